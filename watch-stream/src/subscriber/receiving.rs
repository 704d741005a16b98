//! What the author says: keyloads, packets, heartbeats.

use perun_protocol::Version;

use super::Subscriber;
use super::epochs::Unread;
use crate::author::VERSION_LENGTH;
use crate::cipher::MASKED_OVERHEAD;
use crate::error::{ReceiveError, Refused};
use crate::header::{Epoch, Header, Kind, Malformed, MessageId, Number, array};
use crate::keyload::Keyload;
use crate::message::Message;
use crate::storage::Storage;
use crate::window::Window;

/// What a message of the author was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received<'a> {
    /// A keyload for us: its epoch can be read. If a packet was held, [`Subscriber::release`] it now.
    Epoch(Epoch),
    /// The newest keyload leaves us out: what follows can't be read.
    Removed(Epoch),
    /// A state with a higher version than any before. Act on it, store it, then call
    /// [`Subscriber::stored`].
    State {
        /// The channel version that the author gave it.
        version: Version,
        /// The number of the packet.
        number: Number,
        /// What was masked.
        payload: &'a [u8],
    },
    /// A good packet, but its version is not above the newest. Acknowledge again: it was published again because
    /// acks were lost, or forgotten at the author's start.
    Superseded {
        /// Its version.
        version: Version,
        /// Its number.
        number: Number,
    },
    /// A good packet whose keyload has not come; the newest such one is held.
    Held {
        /// Its number.
        number: Number,
    },
    /// A good packet that contradicts another and can't be read: only its evidence is of use.
    Forked {
        /// Its number.
        number: Number,
    },
    /// A sign of life; anybody who can read the stream may have made it.
    Heartbeat {
        /// Its count in the epoch.
        count: Number,
        /// What was masked.
        payload: &'a [u8],
        /// It names a newest message that was not seen: ask for what is missing.
        misses: bool,
    },
}

impl<S: Storage> Subscriber<S> {
    /// Takes up a message of the author; what it masks is put into `text`, which holds any message's with
    /// [`MAX_MESSAGE_LENGTH`](crate::MAX_MESSAGE_LENGTH) bytes. The public part of a packet ([`Message::public`]) is as authentic as the
    /// rest once this returned `Ok`.
    pub fn receive<'a>(
        &mut self,
        bytes: &[u8],
        text: &'a mut [u8],
    ) -> Result<Received<'a>, ReceiveError<S::Error>> {
        let message = Message::parse(bytes)?;
        if message.header().stream != self.stream() {
            return Err(Refused::OtherStream.into());
        }
        match message.header().kind {
            Kind::Keyload => self.keyload(message),
            Kind::Packet => self.packet(&message, text),
            Kind::Tagged => Ok(self.tagged(&message, text)?),
            kind => Err(Refused::Unexpected(kind).into()),
        }
    }

    /// Reads the packet that is held, if it can be read now.
    pub fn release<'a>(
        &mut self,
        text: &'a mut [u8],
    ) -> Result<Option<Received<'a>>, ReceiveError<S::Error>> {
        if self.held.is_empty() {
            return Ok(None);
        }
        let held = core::mem::take(&mut self.held);
        match self.receive(&held, text) {
            Ok(Received::Held { .. }) => Ok(None),
            Ok(received) => Ok(Some(received)),
            Err(error) => {
                if matches!(error, ReceiveError::Storage(_)) {
                    self.held = held;
                }
                Err(error)
            }
        }
    }

    /// Verifies the author's signature and remembers the message; says whether it makes a fork.
    fn verify(
        &mut self,
        message: &Message<'_>,
    ) -> Result<(MessageId, bool), ReceiveError<S::Error>> {
        let key = &self.kept.announcement.keys().signing;
        let signed = message.signed().filter(|signed| signed.is_signed_by(key));
        let signed = signed.ok_or(Refused::WrongSignature)?;
        let fork = self.memory.fork(&signed);
        if let (Some(fork), None) = (fork, &self.kept.fork) {
            self.change(|kept| kept.fork = Some(fork))
                .map_err(ReceiveError::Storage)?;
        }
        let id = signed.id();
        self.memory.remember(id, signed);
        Ok((id, fork.is_some()))
    }

    fn keyload(
        &mut self,
        message: Message<'_>,
    ) -> Result<Received<'static>, ReceiveError<S::Error>> {
        let keyload = Keyload::parse(message)?;
        let (id, _) = self.verify(&message)?;
        let header = message.header();
        let (number, epoch) = (header.number, header.epoch);
        self.epochs.check(id, number)?;
        let is_newest = self.membership.is_none_or(|(newest, _, _)| number > newest);
        let is_member = keyload.recipients().any(|recipient| recipient == self.id);
        if !is_member {
            self.see_keyload(header, is_newest.then_some(false));
            return if is_newest {
                Ok(Received::Removed(epoch))
            } else {
                Err(Refused::Repeated { number }.into())
            };
        }
        let next_key = self.kept.next_wrapping.as_ref();
        let by_next = next_key.and_then(|key| keyload.open(self.id, key));
        let rotates = by_next.is_some();
        let opened = by_next.or_else(|| keyload.open(self.id, &self.kept.wrapping));
        let chain = opened
            .ok_or(Refused::Unreadable { number })?
            .map_err(|()| Refused::Unconfirmed { number })?;
        if rotates {
            self.change(|kept| {
                if let Some(next) = kept.next_wrapping.take() {
                    kept.wrapping = next;
                }
            })
            .map_err(ReceiveError::Storage)?;
        }
        self.epochs.open(id, chain);
        self.see_keyload(header, is_newest.then_some(true));
        Ok(Received::Epoch(epoch))
    }

    fn see_keyload(&mut self, header: &Header, membership: Option<bool>) {
        if let Some(is_member) = membership {
            self.membership = Some((header.number, header.epoch, is_member));
        }
        match &mut self.window {
            Some(window) if header.is_restart => window.restart_at(header.number),
            Some(window) => window.see(header.number),
            none => *none = Some(Window::starting_at(header.number)),
        }
    }

    fn packet<'a>(
        &mut self,
        message: &Message<'_>,
        text: &'a mut [u8],
    ) -> Result<Received<'a>, ReceiveError<S::Error>> {
        let header = message.header();
        let number = header.number;
        let least = MASKED_OVERHEAD + VERSION_LENGTH;
        if usize::from(header.masked_length) < least {
            return Err(Malformed::WrongParts.into());
        }
        let (_, is_fork) = self.verify(message)?;
        let length = match self.epochs.read(message, text) {
            Ok(length) => length,
            Err(Unread::NoKeyload) => {
                self.hold(message);
                return Ok(Received::Held { number });
            }
            Err(Unread::NoKey) if is_fork => {
                self.hold(message);
                return Ok(Received::Forked { number });
            }
            Err(Unread::NoKey) => return Err(Refused::Repeated { number }.into()),
        };
        match &mut self.window {
            Some(window) => window.see(number),
            none => *none = Some(Window::starting_at(number)),
        }
        let version = Version::new(u64::from_be_bytes(array(text, 0)));
        if self.newest.is_some_and(|newest| version <= newest) {
            return Ok(Received::Superseded { version, number });
        }
        self.newest = Some(version);
        Ok(Received::State {
            version,
            number,
            payload: &text[VERSION_LENGTH..length],
        })
    }

    /// Holds a packet that can't be read yet, if it is newer than the one that is held.
    fn hold(&mut self, message: &Message<'_>) {
        let held = Message::parse(&self.held).ok();
        let is_newer = held.is_none_or(|held| held.header().number < message.header().number);
        if is_newer {
            self.held.clear();
            // A message is never longer than that.
            let _ = self.held.extend_from_slice(message.bytes());
        }
    }

    fn tagged<'a>(
        &mut self,
        message: &Message<'_>,
        text: &'a mut [u8],
    ) -> Result<Received<'a>, Refused> {
        let header = message.header();
        if header.public_length != 0 || usize::from(header.masked_length) < MASKED_OVERHEAD {
            return Err(Malformed::WrongParts.into());
        }
        let length = self.epochs.read_tagged(message, text)?;
        let newest = self.memory.newest();
        Ok(Received::Heartbeat {
            count: header.number,
            payload: &text[..length],
            misses: newest.is_none_or(|(_, id)| id != header.previous),
        })
    }
}
