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
//! - The version acted on never falls, also over a restart: it is stored before it is acknowledged. Only
//!   [`Subscriber::forget`] lowers it, when the state itself was lost.
//! - An ack says only what is stored.

mod epochs;
mod forks;
mod receiving;
mod record;
mod saying;

use ed25519_dalek::SigningKey;
use heapless::Vec;
use perun_protocol::{ChannelId, Participant, Version};
use rand_core::{CryptoRng, RngCore};

use self::epochs::Epochs;
pub use self::epochs::SKIPPED;
use self::forks::Memory;
pub use self::forks::{Fork, REMEMBERED};
pub use self::receiving::Received;
use self::record::Kept;
use crate::announcement::{self, ANNOUNCEMENT_LENGTH, Announcement};
use crate::error::{Refused, StartError};
use crate::export::{self, Export};
use crate::header::{Epoch, Malformed, Number, StreamId};
use crate::keys::{self, WatcherId};
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

impl<S: Storage> Subscriber<S> {
    /// Begins to follow the stream that `announcement` announces, in place of whatever `storage` holds. It
    /// must be about `channel` and by `participant`. `identity` is the seed of the Ed25519 key that the author
    /// allows; the key that keyloads are sealed to is made here. Numbers go on behind those that `storage`
    /// knows, since the identity may be the one that signed under them.
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
        let record = kept.encode();
        let sequence = Sequence::go_on(&mut storage, &record.0);
        let sequence = sequence.map_err(StartError::Storage)?;
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
        // A state is never there without it.
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
}
