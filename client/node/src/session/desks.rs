//! The desks of a session, one a channel.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use perun_client::channel::Channel;
use perun_protocol::ChannelId;
use tokio::sync::mpsc;

use super::Session;
use super::desk::Desk;
use super::info::parse_channel;
use crate::api::pb::PayChInfo;
use crate::api::pb::sub_pay_ch_updates_resp::Notify;
use crate::api::pb::sub_pay_ch_updates_resp::notify::ChUpdateType;
use crate::lock::lock;
use crate::{Error, Resource};

/// How many closed channels are remembered.
const CLOSED: usize = 256;

/// The desks of a session, and what is left of channels that are over.
#[derive(Default)]
pub(super) struct Desks {
    open: HashMap<ChannelId, Arc<Desk>>,
    /// Closed ones, oldest first: their last notification may not have been heard yet.
    closed: VecDeque<(Arc<Desk>, PayChInfo)>,
}

impl Session {
    /// The desk of a channel, from its first mention on.
    pub(super) fn desk_of(&self, channel: &Channel) -> Arc<Desk> {
        let mut desks = lock(&self.desks);
        let desk = desks.open.entry(channel.id());
        let desk = desk.or_insert_with(|| Arc::new(Desk::new(channel.clone())));
        Arc::clone(desk)
    }

    pub(super) fn desk_with(&self, id: &ChannelId) -> Option<Arc<Desk>> {
        let desks = lock(&self.desks);
        if let Some(desk) = desks.open.get(id) {
            return Some(Arc::clone(desk));
        }
        let mut closed = desks.closed.iter().rev();
        if let Some((desk, _)) = closed.find(|(desk, _)| desk.id() == *id) {
            return Some(Arc::clone(desk));
        }
        drop(desks);
        let channel = self.client.channel(id)?;
        Some(self.desk_of(&channel))
    }

    /// The desk of the channel that a text of the API names; closed ones too.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(super) fn desk(&self, text: &str) -> Result<Arc<Desk>, Error> {
        let unknown = || Error::not_found(Resource::Channel, text);
        let id = parse_channel(text).ok_or_else(unknown)?;
        if let Some(desk) = self.desk_with(&id) {
            return Ok(desk);
        }
        let desks = lock(&self.desks);
        let closed = desks.closed.iter().rev().find(|(desk, _)| desk.id() == id);
        closed.map(|(desk, _)| Arc::clone(desk)).ok_or_else(unknown)
    }

    pub(super) fn all_desks(&self) -> Vec<Arc<Desk>> {
        lock(&self.desks).open.values().cloned().collect()
    }

    /// What a closed channel was at its end.
    pub(super) fn closed_info(&self, id: &ChannelId) -> Option<PayChInfo> {
        let desks = lock(&self.desks);
        let closed = desks.closed.iter().rev().find(|(desk, _)| desk.id() == *id);
        closed.map(|(_, info)| info.clone())
    }

    /// A channel is over.
    pub(super) fn retire_desk(&self, desk: &Arc<Desk>, failure: Option<&Error>) {
        let info = self.info(&desk.channel);
        {
            let mut desks = lock(&self.desks);
            if desks.open.remove(&desk.id()).is_none() {
                return;
            }
            if desks.closed.len() == CLOSED {
                desks.closed.pop_front();
            }
            desks.closed.push_back((Arc::clone(desk), info.clone()));
        }
        desk.close(Notify {
            update_id: format!("{}_{}_closed", info.ch_id, info.version),
            proposed_pay_ch_info: Some(info),
            r#type: ChUpdateType::Closed.into(),
            expiry: 0,
            error: failure.map(Error::to_message),
        });
    }

    pub(super) fn end_desks(&self) {
        let desks = std::mem::take(&mut *lock(&self.desks));
        let closed = desks.closed.into_iter().map(|(desk, _)| desk);
        for desk in desks.open.into_values().chain(closed) {
            desk.end();
        }
    }

    /// What the peer proposes, and the end of the channel: what waits, and each as it comes.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such channel, [`Error::Exists`] if somebody else has
    /// subscribed.
    pub fn subscribe_updates(&self, channel: &str) -> Result<mpsc::Receiver<Notify>, Error> {
        let subscribed = self.desk(channel)?.subscribe();
        subscribed.ok_or_else(|| Error::exists(Resource::UpdatesSub, channel))
    }

    /// Ends the subscription.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such channel or no subscription.
    pub fn unsubscribe_updates(&self, channel: &str) -> Result<(), Error> {
        let desk = self.desk(channel)?;
        match desk.unsubscribe() {
            true => Ok(()),
            false => Err(Error::not_found(Resource::UpdatesSub, channel)),
        }
    }
}
