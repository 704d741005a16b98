//! What the client tells: put on desks, told to whoever listens, recorded.

use std::sync::Arc;

use perun_client::events::{ClientEvent, Events, EventsError, Notification};
use perun_protocol::channel::Event;
use perun_protocol::{ChannelId, PublicKey, Timestamp};
use tokio::sync::broadcast;

use super::Session;
use super::desk::Desk;
use super::info::{channel_text, update_text};
use super::update_notices::totals;
use crate::api::pb::sub_pay_ch_updates_resp::Notify;
use crate::api::pb::sub_pay_ch_updates_resp::notify::ChUpdateType;
use crate::api::v1;
use crate::api::v1::event::Kind;
use crate::session::config::IncomingPayments;
use crate::{Error, clock};

impl v1::Event {
    /// The same with more to it.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Session {
    /// Handles what the client tells, until it stops.
    pub(super) async fn listen(self: Arc<Self>, mut events: Events) {
        loop {
            match events.next().await {
                Ok(notification) => self.handle(notification),
                Err(EventsError::Missed { count }) => {
                    tracing::warn!(session = %self.name, count, "notifications of the client were missed");
                    self.metrics.missed(count);
                    self.catch_up();
                }
                Err(EventsError::Stopped) => return,
            }
        }
    }

    /// Notifications were missed: what they said is found out from the channels themselves.
    fn catch_up(&self) {
        for desk in self.all_desks() {
            if let Some(newest) = desk.channel.newest() {
                desk.reached(newest.version());
            }
            if self.client.channel(&desk.id()).is_none() {
                self.retire_desk(&desk, None);
            }
        }
        self.history.catch_up(&self.client);
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<v1::Event> {
        self.events.subscribe()
    }

    pub(super) fn event(
        &self,
        kind: Kind,
        channel: Option<&ChannelId>,
        peer: Option<PublicKey>,
    ) -> v1::Event {
        v1::Event {
            at_ms: clock::millis(),
            channel: channel.map(channel_text).unwrap_or_default(),
            peer_alias: peer.map(|peer| self.alias(&peer)).unwrap_or_default(),
            kind: kind.into(),
            ..v1::Event::default()
        }
    }

    pub(super) fn announce(&self, event: v1::Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn handle(self: &Arc<Self>, notification: Notification) {
        let Notification { channel, event } = notification;
        let desk = channel.and_then(|id| self.desk_with(&id));
        match (event, desk) {
            (ClientEvent::Channel(event), Some(desk)) => self.handle_channel(&desk, event),
            (ClientEvent::Channel(event), None) => {
                tracing::debug!(session = %self.name, ?event, "about a channel that is over");
            }
            (ClientEvent::Connected { peer }, _) => {
                let event = self.event(Kind::Connected, None, Some(peer));
                self.announce(event.with(|event| event.text = "is connected".into()));
            }
            (ClientEvent::Disconnected { peer }, _) => {
                let event = self.event(Kind::Disconnected, None, Some(peer));
                self.announce(event.with(|event| event.text = "is not connected any more".into()));
            }
            (ClientEvent::Misbehaved { peer, how }, _) => {
                let how = how.map_or("a message that is none".into(), |how| how.to_string());
                tracing::warn!(session = %self.name, peer = %self.alias(&peer), "misbehaved: {how}");
                let event = self.event(Kind::Failed, channel.as_ref(), Some(peer));
                self.announce(event.with(|event| event.text = format!("misbehaved: {how}")));
            }
            (ClientEvent::CallFailed { error }, _) => {
                self.alarm(channel.as_ref(), &self.chain_failed(&error));
            }
            (ClientEvent::NotFollowed { error }, _) => {
                self.alarm(channel.as_ref(), &self.chain_failed(&error));
            }
            (ClientEvent::StoreFailed { error }, _) => {
                let message = format!("the store has failed; nothing is signed any more: {error}");
                self.alarm(None, &Error::Internal { message });
            }
            (event, _) => tracing::info!(session = %self.name, ?event, "not known to this node"),
        }
    }

    fn chain_failed(&self, error: &dyn std::fmt::Display) -> Error {
        Error::ChainNotReachable {
            url: self.chain_url.clone(),
            cause: error.to_string(),
        }
    }

    /// Something that somebody may have to look after.
    fn alarm(&self, channel: Option<&ChannelId>, error: &Error) {
        tracing::warn!(session = %self.name, channel = ?channel.map(channel_text), "{error}");
        self.metrics.failed(error);
        let event = self.event(Kind::Failed, channel, None);
        self.announce(event.with(|event| {
            event.text = error.to_string();
            event.error = Some(error.to_message());
        }));
    }

    fn handle_channel(self: &Arc<Self>, desk: &Arc<Desk>, event: Event) {
        let channel = &desk.channel;
        let id = desk.id();
        let peer = Some(channel.peer());
        let tell = |kind: Kind, text: String| {
            if self.events.receiver_count() == 0 {
                return;
            }
            let event = self.event(kind, Some(&id), peer);
            self.announce(event.with(|event| {
                event.text = text;
                event.info = Some(self.info(channel));
            }));
        };
        match event {
            Event::Opened => tell(Kind::Opened, "the channel is open".into()),
            Event::Received { version, payments } => {
                desk.reached(version);
                desk.handle_received(&payments);
                self.follow_history(channel);
                let amounts = self.in_words(desk, &totals(channel, &payments));
                if self.incoming == IncomingPayments::Accept {
                    desk.inform(Notify {
                        update_id: update_text(&id, version),
                        proposed_pay_ch_info: Some(self.info(channel)),
                        r#type: ChUpdateType::Open.into(),
                        expiry: 0,
                        error: None,
                    });
                }
                tell(Kind::Received, format!("has paid {amounts}"));
            }
            Event::Settled { through } => {
                if let Some(newest) = channel.newest() {
                    desk.reached(newest.version());
                }
                self.follow_history(channel);
                tell(
                    Kind::Sent,
                    format!("payments up to number {through} are agreed to"),
                );
            }
            Event::Refused {
                from,
                through,
                reason,
            } => {
                self.metrics.refused(through.saturating_sub(from) + 1);
                let text = format!("payments {from} to {through} were not agreed to: {reason}");
                tell(Kind::Refused, text);
            }
            Event::Offered {
                version,
                payments,
                is_final,
                deadline,
            } => {
                if !is_final && desk.awaits(&payments) && channel.accept_update(version).is_ok() {
                    return;
                }
                let expiry = self.expiry_of(deadline);
                let notice = self.offer_notice(channel, version, &payments, is_final, expiry);
                let text = match is_final {
                    true => "wants to close the channel".into(),
                    false => format!(
                        "wants to pay {}",
                        self.in_words(desk, &totals(channel, &payments))
                    ),
                };
                let event = self.event(Kind::Offered, Some(&id), peer).with(|event| {
                    event.text = text;
                    event.info = notice.proposed_pay_ch_info.clone();
                    event.answer_id = notice.update_id.clone();
                    event.expiry = expiry;
                    event.is_final = is_final;
                });
                desk.offer(version, notice);
                self.announce(event);
            }
            Event::Requested(request) => {
                let expiry = self.expiry_of(request.expires_at);
                let notice = self.request_notice(channel, &request, expiry);
                let amount = self.in_words(desk, &[(request.asset, request.amount)]);
                let memo = request.memo();
                let event = self.event(Kind::Requested, Some(&id), peer).with(|event| {
                    event.text = match memo.is_empty() {
                        true => format!("asks for {amount}"),
                        false => format!("asks for {amount}: {memo}"),
                    };
                    event.info = notice.proposed_pay_ch_info.clone();
                    event.answer_id = notice.update_id.clone();
                    event.expiry = expiry;
                });
                if desk.request(request, notice) {
                    self.announce(event);
                }
            }
            Event::RequestRejected {
                id: request,
                reason,
            } => {
                tell(
                    Kind::Refused,
                    format!("will not pay what it was asked for: {reason}"),
                );
                desk.handle_request_rejected(request, reason);
            }
            Event::Closing { version } => {
                desk.reached(version);
                self.follow_history(channel);
                tell(Kind::Closing, "both agreed to close; payouts follow".into());
            }
            Event::CloseRefused { reason } => {
                let reason = reason.map_or("no answer".into(), |reason| reason.to_string());
                let text =
                    format!("did not agree to close ({reason}); the newest state is registered");
                tell(Kind::Closing, text);
            }
            Event::Disputed {
                registered, newest, ..
            } => {
                self.metrics.disputed();
                let text = format!(
                    "{registered} is registered at the adjudicator; the newest here is version {}",
                    newest.number()
                );
                tell(Kind::Disputed, text);
            }
            Event::RefutationLate { timeout, .. } => {
                let error = Error::TxTimedOut {
                    kind: "dispute",
                    id: channel_text(&id),
                    timeout: std::time::Duration::from_secs(
                        u64::try_from(self.expiry_of(timeout) - clock::seconds()).unwrap_or(0),
                    ),
                };
                self.alarm(Some(&id), &error);
            }
            Event::Closed { kept } => {
                self.retire_desk(desk, None);
                let assets = channel.params().assets().to_vec();
                let kept = assets.iter().zip(kept).filter(|(_, kept)| kept.units() > 0);
                let kept: Vec<_> = kept
                    .map(|(asset, kept)| {
                        format!("{} {}", self.show(asset, kept), self.symbol_of(asset))
                    })
                    .collect();
                let text = match kept.is_empty() {
                    true => "the channel is closed and paid out".into(),
                    false => format!(
                        "the channel is closed; {} were too little to be paid out",
                        kept.join(", ")
                    ),
                };
                tell(Kind::Closed, text);
            }
            Event::Abandoned { reason } => {
                let alias = self.alias(&channel.peer());
                let error = self.refused(&alias, &reason, self.times.response);
                self.retire_desk(desk, Some(&error));
                tell(
                    Kind::Closed,
                    format!("the channel never came to be: {reason}"),
                );
            }
            Event::FundingTimedOut => {
                let text = "not everybody deposited in time; what is there goes back".into();
                tell(Kind::Closing, text);
            }
            Event::Synced => {
                if let Some(newest) = channel.newest() {
                    desk.reached(newest.version());
                }
                tell(Kind::Other, "both know how far the other is".into());
            }
            Event::RolledBack { knew, shown } => {
                let text = format!(
                    "this node ran on an old copy: it knew version {}, and the peer has shown {}",
                    knew.number(),
                    shown.number()
                );
                tracing::warn!(session = %self.name, channel = %channel_text(&id), "{text}");
                tell(Kind::Failed, text);
            }
            Event::Unanswered => tell(Kind::Other, "does not answer".into()),
            event => tracing::info!(session = %self.name, ?event, "not known to this node"),
        }
    }

    /// An instant of the adjudicator's clock on ours, in seconds.
    fn expiry_of(&self, instant: Timestamp) -> i64 {
        let now = self.client.chain().clock().now();
        let left_ns = now.map_or(0, |now| instant.nanos_since(now));
        clock::seconds() + i64::try_from(left_ns / 1_000_000_000).unwrap_or(0)
    }

    fn in_words(
        &self,
        desk: &Desk,
        amounts: &[(perun_protocol::AssetIdx, perun_protocol::Amount)],
    ) -> String {
        let params = desk.channel.params();
        let amounts = amounts.iter().filter_map(|(idx, amount)| {
            let asset = params.assets().get(idx.index())?;
            Some(format!(
                "{} {}",
                self.show(asset, *amount),
                self.symbol_of(asset)
            ))
        });
        let amounts: Vec<_> = amounts.collect();
        match amounts.is_empty() {
            true => "nothing".into(),
            false => amounts.join(" and "),
        }
    }
}
