//! What watchers say: subscriptions, acks, unsubscriptions.

use super::Author;
use super::watchers::{Acked, with_subscription};
use crate::ack::Ack;
use crate::error::{ReceiveError, Refused};
use crate::header::Kind;
use crate::keys::{self, WatcherId};
use crate::message::Message;
use crate::storage::Storage;

/// What a watcher's message did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// A watcher subscribed, or brought a new key. An epoch is due.
    Subscribed(WatcherId),
    /// A watcher left, and is no longer allowed. An epoch is due.
    Unsubscribed(WatcherId),
    /// A watcher said what it has stored. If that does not count ([`Watcher::acked`](super::Watcher::acked)), the
    /// watcher is one that has stored nothing.
    Acked {
        /// Who.
        watcher: WatcherId,
        /// What.
        acked: Acked,
        /// It saw numbers or an epoch that this author has not used yet: this is an old copy of the
        /// author, and must [`Author::jump`] before it publishes anything.
        is_ahead: bool,
    },
}

impl<S: Storage> Author<S> {
    /// Takes up a watcher's message.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Heard, ReceiveError<S::Error>> {
        let message = Message::parse(bytes)?;
        let header = message.header();
        if header.stream != self.stream() {
            return Err(Refused::OtherStream.into());
        }
        match header.kind {
            Kind::Subscription => self.subscribed(&message),
            Kind::Unsubscription => self.unsubscribed(&message),
            Kind::Ack => self.acked(&message),
            kind => Err(Refused::Unexpected(kind).into()),
        }
    }

    fn subscribed(&mut self, message: &Message<'_>) -> Result<Heard, ReceiveError<S::Error>> {
        let keys = keys::subscribed(message, self.announcement_id, &self.wrapping)?;
        let number = message.header().number;
        let (changed, id) = with_subscription(&self.watchers, &keys, number)?;
        self.store(changed).map_err(ReceiveError::Storage)?;
        self.running = None;
        Ok(Heard::Subscribed(id))
    }

    fn unsubscribed(&mut self, message: &Message<'_>) -> Result<Heard, ReceiveError<S::Error>> {
        let id = keys::unsubscribed(message)?;
        let position = self.signer(id, message)?;
        self.watchers[position].check_newer(message.header().number)?;
        let mut changed = self.watchers.clone();
        changed.remove(position);
        self.store(changed).map_err(ReceiveError::Storage)?;
        self.running = None;
        Ok(Heard::Unsubscribed(id))
    }

    fn acked(&mut self, message: &Message<'_>) -> Result<Heard, ReceiveError<S::Error>> {
        let ack = Ack::parse(message)?;
        let position = self.signer(ack.watcher, message)?;
        let header = message.header();
        self.watchers[position].check_newer(header.number)?;
        let current = self.watchers[position].wrapping.map(|(key, _)| key);
        let acked = Acked {
            number: header.number,
            version: ack.version,
            contiguous: ack.contiguous,
        };
        let mut changed = self.watchers.clone();
        changed[position].heard = Some(header.number);
        // Of an earlier run, an ack may be one that was kept and sent again.
        let is_of_run = self.first_epoch.is_some_and(|first| header.epoch >= first);
        // Nobody has stored what was never published; nor does it count once it is.
        let is_published = Some(ack.version) <= self.published;
        changed[position].acked = (is_of_run && is_published).then_some(acked);
        match ack.next_key {
            Some(key) if current.is_some_and(|current| current != key) => {
                changed[position].wrapping = Some((key, header.number));
                self.store(changed).map_err(ReceiveError::Storage)?;
            }
            _ => self.watchers = changed,
        }
        Ok(Heard::Acked {
            watcher: ack.watcher,
            acked,
            is_ahead: ack.contiguous >= self.sequence.next()
                || header.epoch > self.sequence.epoch(),
        })
    }

    /// Where in the table the watcher is that signed `message`.
    fn signer(&self, id: WatcherId, message: &Message<'_>) -> Result<usize, Refused> {
        let position = self.watchers.iter().position(|it| it.id == id);
        let position = position.ok_or(Refused::NotAllowed)?;
        let key = &self.watchers[position].signing_key;
        match message.signed() {
            Some(signed) if signed.is_signed_by(key) => Ok(position),
            _ => Err(Refused::WrongSignature),
        }
    }
}
