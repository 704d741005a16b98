//! The device's side: it publishes, and lets watchers in and out.
//!
//! ```text
//!  create ─┐               allow, remove, subscription, unsubscription, 4096 packets
//!  start ──┼──> epoch due <──────────────────────────────┐
//!  import ─┘        │ open_epoch: keyload                │
//!                   └──────────────> running ────────────┘
//!                                    publish: packets, heartbeat: tagged packets
//! ```
//!
//! Invariants:
//! - A number is reserved in the storage before anything is signed under it.
//! - A packet goes out only in an epoch that was opened after the last start, import and change of
//!   watchers.
//! - A change of watchers is stored before it counts, and nothing changes before a signature was verified.

mod hearing;
mod publishing;
mod record;
mod watchers;

use ed25519_dalek::SigningKey;
use heapless::Vec;
use perun_protocol::{ChannelId, Signer, Version};
use rand_core::{CryptoRng, RngCore};

pub use self::hearing::Heard;
pub(crate) use self::publishing::VERSION_LENGTH;
pub use self::publishing::{PACKET_OVERHEAD, TAGGED_OVERHEAD};
use self::record::Kept;
pub use self::watchers::{Acked, Watcher};
use self::watchers::{Watchers, recipients};
use crate::announcement::{ANNOUNCEMENT_LENGTH, Announcement, AuthorKeys};
use crate::chain::{Chain, MAX_EPOCH_PACKETS};
use crate::cipher::Secret;
use crate::error::{SendError, StartError};
use crate::export::{self, Export};
use crate::header::{Epoch, MessageId, Number, StreamId};
use crate::keys::{self, WatcherId};
use crate::message::{MAX_MESSAGE_LENGTH, Message};
use crate::sequence::Sequence;
use crate::storage::{Record, RecordBytes, Storage};
use crate::wrap;

/// The one who publishes in a stream.
pub struct Author<S> {
    storage: S,
    signing: SigningKey,
    wrapping: Secret,
    announcement: Announcement,
    announcement_id: MessageId,
    watchers: Watchers,
    sequence: Sequence,
    /// `None` while an epoch is due.
    running: Option<Running>,
    /// The last message of this run; `None` before its first.
    head: Option<MessageId>,
    /// The first epoch of this run; `None` before it.
    first_epoch: Option<Epoch>,
    published: Option<Version>,
    keyload: Vec<u8, MAX_MESSAGE_LENGTH>,
    packet: Vec<u8, MAX_MESSAGE_LENGTH>,
}

struct Running {
    chain: Chain,
    tagged: Number,
}

impl<S: Storage> Author<S> {
    /// Makes a stream of `participant` about `channel`, in place of whatever `storage` holds. If the power is
    /// cut, either that or the new stream is there.
    pub fn create(
        mut storage: S,
        channel: ChannelId,
        participant: &(impl Signer + ?Sized),
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, S::Error> {
        let seed = keys::generate(rng);
        let wrapping = wrap::generate(rng);
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let public = AuthorKeys {
            signing: keys::signing_key(&seed).verifying_key().to_bytes(),
            wrapping: wrap::public_key(&wrapping),
        };
        let announcement = Announcement::bind(public, nonce, channel, participant);
        let watchers = Watchers::new();
        let record = Kept::encode(&seed, &wrapping, &announcement, &watchers);
        let sequence = Sequence::begin(&mut storage, &record.0)?;
        let kept = Kept {
            seed,
            wrapping,
            announcement,
            watchers,
        };
        Ok(Self::assemble(storage, kept, sequence))
    }

    /// Goes on with the stream that `storage` holds; `None` if it holds none. The first thing to publish is
    /// a keyload.
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

    /// All that the author keeps, encrypted under the owner's `key`, for [`Author::import`].
    pub fn export(&self, key: &[u8; 32]) -> Export {
        export::seal(key, &self.sequence, &self.record(&self.watchers))
    }

    /// Goes on with an exported stream, far behind the numbers that the export knew, in place of whatever
    /// `storage` holds. The first thing to publish is a keyload. The original must not go on.
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

    /// Lets the owner of this Ed25519 key subscribe. True if it was not allowed before. A watcher that lost its
    /// storage, and with it the count of its messages, is heard again after [`Author::remove`] and this.
    pub fn allow(&mut self, signing_key: [u8; 32]) -> Result<bool, SendError<S::Error>> {
        let is_known = |watcher: &Watcher| watcher.signing_key == signing_key;
        if self.watchers.iter().any(is_known) {
            return Ok(false);
        }
        let mut changed = self.watchers.clone();
        changed
            .push(Watcher::allowed(self.stream(), signing_key))
            .map_err(|_| SendError::TooManyWatchers)?;
        self.store(changed).map_err(SendError::Storage)?;
        Ok(true)
    }

    /// Takes a watcher out, who then is no longer allowed either. What is published afterwards it can't
    /// read; an epoch is due.
    pub fn remove(&mut self, watcher: WatcherId) -> Result<(), SendError<S::Error>> {
        let position = self.watchers.iter().position(|it| it.id == watcher);
        let position = position.ok_or(SendError::UnknownWatcher)?;
        let mut changed = self.watchers.clone();
        changed.remove(position);
        self.store(changed).map_err(SendError::Storage)?;
        self.running = None;
        Ok(())
    }

    /// Leaves a wide range of numbers and epochs out: for a copy that learned that it is an old one
    /// ([`Heard::Acked`]). An epoch is due.
    pub fn jump(&mut self) -> Result<(), SendError<S::Error>> {
        self.running = None;
        self.head = None;
        self.first_epoch = None;
        self.sequence = self.sequence.jump(None, &mut self.storage)?;
        Ok(())
    }

    /// The announcement: what watchers follow the stream by. Always the same bytes.
    pub fn announcement(&self) -> [u8; ANNOUNCEMENT_LENGTH] {
        self.announcement.message(&self.signing).0
    }

    /// The stream's name.
    pub const fn stream(&self) -> StreamId {
        self.announcement.stream()
    }

    /// Whose stream it is, about which channel, by which keys.
    pub const fn about(&self) -> &Announcement {
        &self.announcement
    }

    /// Those who may subscribe, and those who have.
    pub fn watchers(&self) -> &[Watcher] {
        &self.watchers
    }

    /// Whether a keyload must go out before anything else can.
    pub fn is_epoch_due(&self) -> bool {
        let ends = |running: &Running| !running.chain.covers(running.chain.next());
        self.running.as_ref().is_none_or(ends)
    }

    /// The newest epoch, opened or not.
    pub const fn epoch(&self) -> Epoch {
        self.sequence.epoch()
    }

    /// The keyload of the running epoch, for sending it again.
    pub fn keyload(&self) -> Option<&[u8]> {
        self.running.as_ref().map(|_| &*self.keyload)
    }

    /// The newest packet since the start, for sending it again. It may be of an earlier epoch than the
    /// running one: then a watcher that was let in later can't read it, and the state must be published
    /// again.
    pub fn packet(&self) -> Option<&[u8]> {
        (!self.packet.is_empty()).then_some(&*self.packet)
    }

    /// The newest version published since the start.
    pub const fn published(&self) -> Option<Version> {
        self.published
    }

    /// Whether [`Author::packet`] is of the running epoch.
    pub fn is_packet_current(&self) -> bool {
        let packet = Message::parse(&self.packet).ok();
        let epoch = packet.map(|packet| packet.header().epoch);
        let running = self.running.as_ref().map(|running| running.chain.epoch);
        epoch.is_some() && epoch == running
    }

    /// How many watchers have subscribed: those that keyloads are for.
    pub fn recipient_count(&self) -> usize {
        recipients(&self.watchers).count()
    }

    /// Packets that the running epoch can still have.
    pub fn packets_left(&self) -> u64 {
        let used = |running: &Running| running.chain.next().0 - running.chain.keyload.0 - 1;
        let used = self.running.as_ref().map(used);
        used.map_or(0, |used| MAX_EPOCH_PACKETS.saturating_sub(used))
    }

    /// How many watchers said since the start that they have stored this version or a newer one
    /// ([`Watcher::acked`]).
    pub fn guarded_by(&self, version: Version) -> usize {
        let has_it = |watcher: &&Watcher| {
            watcher.is_subscribed() && watcher.acked.is_some_and(|acked| acked.version >= version)
        };
        self.watchers.iter().filter(has_it).count()
    }

    /// The storage.
    pub fn into_storage(self) -> S {
        self.storage
    }

    fn assemble(storage: S, kept: Kept, sequence: Sequence) -> Self {
        let signing = keys::signing_key(&kept.seed);
        let (_, announcement_id) = kept.announcement.message(&signing);
        Self {
            storage,
            signing,
            wrapping: kept.wrapping,
            announcement: kept.announcement,
            announcement_id,
            watchers: kept.watchers,
            sequence,
            running: None,
            head: None,
            first_epoch: None,
            published: None,
            keyload: Vec::new(),
            packet: Vec::new(),
        }
    }

    fn record(&self, watchers: &Watchers) -> RecordBytes {
        let seed = Secret::new(self.signing.to_bytes());
        Kept::encode(&seed, &self.wrapping, &self.announcement, watchers)
    }

    fn store(&mut self, watchers: Watchers) -> Result<(), S::Error> {
        let record = self.record(&watchers);
        self.storage.store(Record::State, &record.0)?;
        self.watchers = watchers;
        Ok(())
    }
}
