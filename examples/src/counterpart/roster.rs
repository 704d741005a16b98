//! Numbers for channels, so that people can name them.

use std::collections::BTreeMap;

use perun_client::channel::Channel;
use perun_protocol::ChannelId;
use perun_protocol::wire::PaymentRequest;

use super::status::{ChannelStatus, Phase};

/// How many channels that are over are still shown.
const OVER_KEPT: usize = 64;

/// Channels by number. A number is never given twice.
#[derive(Default)]
pub(super) struct Roster {
    entries: BTreeMap<usize, Entry>,
    next: usize,
}

struct Entry {
    channel: Channel,
    /// What the device has asked for last, and was not paid.
    asked: Option<PaymentRequest>,
}

impl Roster {
    /// The number of a channel; a new one if it has none.
    pub(super) fn note(&mut self, channel: &Channel) -> usize {
        let id = channel.id();
        if let Some((index, _)) = self.find(&id) {
            return index;
        }
        let index = self.next;
        self.next += 1;
        let entry = Entry {
            channel: channel.clone(),
            asked: None,
        };
        self.entries.insert(index, entry);
        self.forget_oldest();
        index
    }

    fn forget_oldest(&mut self) {
        let over = self.entries.iter();
        let over = over.filter(|(_, entry)| Phase::of(&entry.channel).is_over());
        let over: Vec<usize> = over.map(|(index, _)| *index).collect();
        let surplus = over.len().saturating_sub(OVER_KEPT);
        for index in &over[..surplus] {
            self.entries.remove(index);
        }
    }

    fn find(&mut self, id: &ChannelId) -> Option<(usize, &mut Entry)> {
        let mut entries = self.entries.iter_mut();
        let (index, entry) = entries.find(|(_, entry)| entry.channel.id() == *id)?;
        Some((*index, entry))
    }

    pub(super) fn channel(&self, index: usize) -> Option<Channel> {
        Some(self.entries.get(&index)?.channel.clone())
    }

    /// The last one that is not over.
    pub(super) fn last(&self) -> Option<(usize, Channel)> {
        let mut entries = self.entries.iter().rev();
        let (index, entry) = entries.find(|(_, entry)| !Phase::of(&entry.channel).is_over())?;
        Some((*index, entry.channel.clone()))
    }

    /// How many are not over.
    pub(super) fn live(&self) -> usize {
        let entries = self.entries.values();
        entries
            .filter(|entry| !Phase::of(&entry.channel).is_over())
            .count()
    }

    pub(super) fn status(&self) -> Vec<ChannelStatus> {
        let entries = self.entries.iter();
        entries
            .map(|(index, entry)| ChannelStatus::of(*index, &entry.channel))
            .collect()
    }

    /// The device asks for a payment.
    pub(super) fn ask(&mut self, request: PaymentRequest) {
        if let Some((_, entry)) = self.find(&request.channel) {
            entry.asked = Some(request);
        }
    }

    /// What the device has asked for last, if `is_it`; it is asked for no longer.
    pub(super) fn take_asked(
        &mut self,
        index: usize,
        is_it: impl FnOnce(&PaymentRequest) -> bool,
    ) -> Option<PaymentRequest> {
        self.entries
            .get_mut(&index)?
            .asked
            .take_if(|asked| is_it(asked))
    }
}
