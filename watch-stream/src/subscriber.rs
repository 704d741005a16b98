//! The watcher's side: it follows one stream, acts on the newest state, and says what it has stored.
//!
//! ```text
//! bytes ─> lengths, stream ─> author's signature ─> fork? ─> key ─> unmask ─> newer version?
//!             nothing changes before this ^            │
//!                                              evidence is stored
//! ```
//!
//! Whether a state is acted on depends on its version alone, not on what arrived before it: each is complete
//! in itself. So loss, delay, repetition and reordering can make it late, but can't block it while its keyload
//! gets through. A packet that overtakes its keyload is held until that comes.
//!
//! Invariants:
//! - Nothing changes before the author's signature was verified; only heartbeats have none, and change
//!   nothing but their own count.
//! - The version acted on never falls, also over a restart: it is stored before it is acknowledged.
//! - An ack says only what is stored.

mod epochs;
mod forks;
mod record;

use ed25519_dalek::SigningKey;
use heapless::Vec;
use perun_protocol::{ChannelId, Participant, Version};
use rand_core::{CryptoRng, RngCore};

pub use self::epochs::SKIPPED;
use self::epochs::{Epochs, Unread};
use self::forks::Memory;
pub use self::forks::{Fork, REMEMBERED};
use self::record::Kept;
use crate::ack::{Ack, MAX_ACK_LENGTH};
use crate::announcement::{self, ANNOUNCEMENT_LENGTH, Announcement};
use crate::author::VERSION_LENGTH;
use crate::cipher::MASKED_OVERHEAD;
use crate::error::{ReceiveError, Refused, SendError, StartError};
use crate::export::{self, Export};
use crate::header::{Epoch, Header, Kind, Malformed, MessageId, Number, StreamId, array};
use crate::keyload::Keyload;
use crate::keys::{self, SUBSCRIPTION_LENGTH, UNSUBSCRIPTION_LENGTH, WatcherId};
use crate::message::{MAX_MESSAGE_LENGTH, Message};
use crate::sequence::Sequence;
use crate::storage::{Record, RecordBytes, Storage};
use crate::window::Window;
use crate::wrap;

/// One who follows a stream.
pub struct Subscriber<S> {
    storage: S,
    kept: Kept,
    signing: SigningKey,
    id: WatcherId,
    sequence: Sequence,
    epochs: Epochs,
    /// The newest keyload, and whether it was for us.
    membership: Option<(Number, Epoch, bool)>,
    window: Option<Window>,
    memory: Memory,
    /// The newest version handed out; at least what is stored.
    newest: Option<Version>,
    /// A good packet that its keyload has not come for.
    held: Vec<u8, MAX_MESSAGE_LENGTH>,
}

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
    /// A good packet, but its version is not above the newest.
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
    /// Begins to follow the stream that `announcement` announces, in place of whatever `storage` holds. It
    /// must be about `channel` and by `participant`. `identity` is the seed of the Ed25519 key that the author
    /// allows; the key that keyloads are sealed to is made here.
    pub fn follow(
        mut storage: S,
        announcement: &[u8],
        channel: ChannelId,
        participant: Participant,
        identity: &[u8; 32],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, StartError<S::Error>> {
        let refused = |malformed: Malformed| StartError::Refused(malformed.into());
        let bytes: [u8; ANNOUNCEMENT_LENGTH] = announcement
            .try_into()
            .map_err(|_| refused(Malformed::Length))?;
        let message = Message::parse(&bytes).map_err(refused)?;
        let about = announcement::verify(&message).map_err(StartError::Refused)?;
        if about.channel() != channel || about.participant() != participant {
            return Err(StartError::Refused(Refused::OtherParticipant));
        }
        let signed = message.signed().ok_or(refused(Malformed::UnknownKind))?;
        let kept = Kept {
            announcement: about,
            announcement_id: signed.id(),
            announcement_bytes: bytes,
            seed: zeroize::Zeroizing::new(*identity),
            wrapping: wrap::generate(rng),
            next_wrapping: None,
            stored: None,
            fork: None,
        };
        let sequence = Sequence::create(&mut storage).map_err(StartError::Storage)?;
        let record = kept.encode();
        storage
            .store(Record::State, &record.0)
            .map_err(StartError::Storage)?;
        Ok(Self::assemble(storage, kept, sequence))
    }

    /// Goes on following the stream that `storage` holds; `None` if it holds none. What was published before
    /// can be read again from its keyload on.
    pub fn start(mut storage: S) -> Result<Option<Self>, StartError<S::Error>> {
        let Some(record) = RecordBytes::load(&mut storage)? else {
            return Ok(None);
        };
        let kept = Kept::decode(&record.0);
        let kept = kept.ok_or(StartError::Damaged)?;
        // It was written before the state was.
        let sequence = Sequence::load(&mut storage)?.ok_or(StartError::Damaged)?;
        Ok(Some(Self::assemble(storage, kept, sequence)))
    }

    /// All that the watcher keeps, encrypted under the owner's `key`, for [`Subscriber::import`].
    pub fn export(&self, key: &[u8; 32]) -> Export {
        export::seal(key, &self.sequence, &self.kept.encode())
    }

    /// Goes on with what was exported, in place of whatever `storage` holds. The original must not go on.
    pub fn import(
        mut storage: S,
        export: &[u8],
        key: &[u8; 32],
    ) -> Result<Self, StartError<S::Error>> {
        let check = |record: &[u8]| Kept::decode(record).is_some();
        export::take_up(&mut storage, key, export, check)?;
        // It was just stored.
        Self::start(storage)?.ok_or(StartError::Damaged)
    }

    /// Asks the author to let us in.
    pub fn subscribe(
        &mut self,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<[u8; SUBSCRIPTION_LENGTH], SendError<S::Error>> {
        let number = self.sequence.take(&mut self.storage)?;
        let newest_key = self.kept.next_wrapping.as_ref();
        let wrapping = wrap::public_key(newest_key.unwrap_or(&self.kept.wrapping));
        keys::subscribe(
            self.stream(),
            self.kept.announcement_id,
            &self.kept.announcement.keys().wrapping,
            number,
            &self.signing,
            &wrapping,
            rng,
        )
        // Nobody could ever subscribe to an author with a weak key.
        .map_err(|_| SendError::NoWatchers)
    }

    /// Tells the author that we leave.
    pub fn unsubscribe(&mut self) -> Result<[u8; UNSUBSCRIPTION_LENGTH], SendError<S::Error>> {
        let number = self.sequence.take(&mut self.storage)?;
        let announcement = self.kept.announcement_id;
        let stream = self.stream();
        Ok(keys::unsubscribe(
            stream,
            announcement,
            number,
            &self.signing,
        ))
    }

    /// Takes up a message of the author; what it masks is put into `text`, which holds any message's with
    /// [`MAX_MESSAGE_LENGTH`] bytes. The public part of a packet ([`Message::public`]) is as authentic as the
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

    /// The state of this version is stored where no power cut reaches it: from now on it is what acks say.
    pub fn stored(&mut self, version: Version) -> Result<(), SendError<S::Error>> {
        if self.kept.stored.is_some_and(|stored| version <= stored) {
            return Ok(());
        }
        self.change(|kept| kept.stored = Some(version))
            .map_err(SendError::Storage)?;
        self.newest = self.newest.max(Some(version));
        Ok(())
    }

    /// Says what is stored. Refused before anything is.
    pub fn ack(&mut self) -> Result<Vec<u8, MAX_ACK_LENGTH>, SendError<S::Error>> {
        let version = self.kept.stored.ok_or(SendError::NothingStored)?;
        let number = self.sequence.take(&mut self.storage)?;
        let newest = self.memory.newest();
        let next_key = self.kept.next_wrapping.as_ref();
        let ack = Ack {
            watcher: self.id,
            contiguous: self.window.map_or(Number(0), |it| it.contiguous()),
            version,
            next_key: next_key.map(|secret| wrap::public_key(secret)),
        };
        let header = Header {
            kind: Kind::Ack,
            is_restart: false,
            has_next_key: false,
            stream: self.stream(),
            epoch: self.membership.map_or(Epoch(0), |(_, epoch, _)| epoch),
            number,
            previous: newest.map_or(self.kept.announcement_id, |(_, id)| id),
            public_length: 0,
            masked_length: 0,
        };
        Ok(ack.message(header, &self.signing))
    }

    /// Makes a new key for keyloads, which acks name until a keyload is sealed to it; the old one is then
    /// overwritten, and who steals the new one can't read what was recorded before.
    pub fn rotate(&mut self, rng: &mut (impl RngCore + CryptoRng)) -> Result<(), S::Error> {
        let secret = wrap::generate(rng);
        self.change(|kept| kept.next_wrapping = Some(secret))
    }

    /// Our name in the stream.
    pub const fn id(&self) -> WatcherId {
        self.id
    }

    /// The stream's name.
    pub const fn stream(&self) -> StreamId {
        self.kept.announcement.stream()
    }

    /// Whose stream it is, about which channel, by which keys.
    pub const fn about(&self) -> &Announcement {
        &self.kept.announcement
    }

    /// The version that is stored.
    pub const fn stored_version(&self) -> Option<Version> {
        self.kept.stored
    }

    /// Whether the newest keyload that was seen is for us; `None` before the first.
    pub fn is_member(&self) -> Option<bool> {
        self.membership.map(|(_, _, is_member)| is_member)
    }

    /// Which numbers were seen since the start, and which are missing; `None` before the first.
    pub const fn window(&self) -> Option<&Window> {
        self.window.as_ref()
    }

    /// The first evidence of a fork: alarm the owner. It stays.
    pub const fn fork(&self) -> Option<&Fork> {
        self.kept.fork.as_ref()
    }

    /// The storage.
    pub fn into_storage(self) -> S {
        self.storage
    }

    fn assemble(storage: S, kept: Kept, sequence: Sequence) -> Self {
        let signing = keys::signing_key(&kept.seed);
        let key = signing.verifying_key();
        let id = WatcherId::of(kept.announcement.stream(), key.as_bytes());
        Self {
            storage,
            newest: kept.stored,
            kept,
            signing,
            id,
            sequence,
            epochs: Epochs::default(),
            membership: None,
            window: None,
            memory: Memory::default(),
            held: Vec::new(),
        }
    }

    /// Changes what is kept, durably or not at all.
    fn change(&mut self, change: impl FnOnce(&mut Kept)) -> Result<(), S::Error> {
        let mut kept = self.kept.clone();
        change(&mut kept);
        self.storage.store(Record::State, &kept.encode().0)?;
        self.kept = kept;
        Ok(())
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
