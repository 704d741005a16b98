//! What a client must not forget, kept so that a crash at any moment leaves all that was durable.
//!
//! ```text
//!  channels ──write──> queue ──everything queued──> journal ──now and then──> index
//!                        │        one frame,       JOURNAL-n                 index.redb
//!                        │        one flush           │
//!                      Ticket <──durable, observer────┘         (store::file, on a store::disk)
//! ```
//!
//! A channel's driver writes its newest snapshot, goes on, and lets nothing leave that depends on it
//! before the write's [`Ticket`] is durable. While the disk is busy, the writes of all channels
//! collect and share the next flush (group commit): a flush costs the same for one record as for
//! hundreds.
//!
//! Invariants:
//! - All of one [`Write`] becomes durable together, and writes become durable in the order of their
//!   tickets.
//! - [`Store::durable`] never names a ticket that a crash could take back.
//! - A store that failed to write once is failed for good: what the disk holds then is only known
//!   after it was read again, by a new start.
//! - Every record carries its format and a checksum over its place and contents. A record that does
//!   not fit them is reported with the channel that it is of, never skipped, never believed.
//!
//! Here nothing is known of what the bytes mean. What is deliberately absent: encryption (the
//! records hold no keys), and reading back a single record while a client runs.

pub mod disk;
mod error;
pub mod file;
mod group;
pub mod memory;
mod record;

use std::collections::BTreeMap;
use std::sync::Arc;

use perun_protocol::{ChannelId, Version};

pub use error::{Damage, Flaw, RecordKind, StoreError};
pub use file::FileStore;
pub use memory::MemoryStore;

/// A place where a client keeps what it must not forget.
pub trait Store: Send + Sync + 'static {
    /// Everything that is durable, channel by channel. Meant for the start; later it may wait for
    /// the disk.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Queues a write and returns its ticket. Never waits for the disk.
    fn write(&self, write: Write) -> Ticket;

    /// Queues a write of what belongs to no channel. Its tickets are of the same order.
    fn write_client(&self, write: ClientWrite) -> Ticket;

    /// The newest ticket that is durable; all before it are, too. An atomic load.
    fn durable(&self) -> Ticket;

    /// Who is told of what becomes durable, in place of the one before. Told of the present at once,
    /// if anything is durable or the store has failed.
    fn set_observer(&self, observer: Arc<dyn Observer>);

    /// Bytes that are queued and not durable. Whoever makes writes without waiting for them should
    /// stop when this grows.
    fn backlog(&self) -> usize;

    /// The payments of a channel from this version on, in order: as many records as fit `limit`
    /// bytes, but one at least if there is one. Everything written before is seen. The next page
    /// begins behind the last version of this one. Works for archived channels too.
    fn payments(
        &self,
        channel: &ChannelId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<StoredPayments>, StoreError>;

    /// The archived channels behind `after` in the order of their ids, `limit` at most. Everything
    /// written before is seen.
    fn archived(
        &self,
        after: Option<&ChannelId>,
        limit: usize,
    ) -> Result<Vec<LoadedChannel>, StoreError>;

    /// Waits until everything written so far is durable, and closes. What is written later never
    /// becomes durable.
    fn close(&self) -> Result<(), StoreError>;
}

/// Told by a store of its progress, in the store's own thread: it must not wait for anything.
///
/// A [`MemoryStore`] to which everything is durable at once has no such thread and tells nobody.
/// So whoever needs a ticket looks at [`Store::durable`] once after [`Store::write`] has returned.
pub trait Observer: Send + Sync {
    /// Everything up to this ticket is durable.
    fn durable(&self, ticket: Ticket);

    /// Nothing will become durable any more. Called once.
    fn failed(&self, error: &StoreError);
}

/// The place of a write in the order of all writes since the store was opened.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(u64);

/// What is to be stored of a channel. All of it becomes durable together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    /// The channel.
    pub channel: ChannelId,
    /// What never changes: params, peer and so on. Written once.
    pub opening: Option<Vec<u8>>,
    /// What replaces the snapshot before it.
    pub snapshot: Option<Vec<u8>>,
    /// The payments that lead to a version. Kept until they are forgotten or erased.
    pub payments: Option<(Version, Vec<u8>)>,
    /// The version whose payments are forgotten, since it was refused.
    pub forget: Option<Version>,
    /// What becomes of the channel after this.
    pub ending: Option<Ending>,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
}

/// What becomes of a channel that is over. Nothing may be written of it afterwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It is no longer loaded, but [`Store::archived`] and [`Store::payments`] still know it.
    Archive,
    /// Everything about it is deleted, its payments and what was archived too.
    Erase,
}

/// What is to be stored and belongs to no channel. All of it becomes durable together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientWrite {
    /// How far the adjudicator's event log was followed.
    pub cursor: Option<u64>,
    /// Named values, each to be replaced or (`None`) deleted.
    pub entries: Vec<(String, Option<Vec<u8>>)>,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
}

/// How soon a write is to become durable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Urgency {
    /// As soon as the disk can.
    #[default]
    Now,
    /// With the next commit, but some tens of milliseconds later at most: it shall not cost a flush
    /// of its own as long as others cause some.
    Later,
}

/// What a store knew when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The channels that are not archived, in the order of their ids. One with a damaged record is
    /// known by name only.
    pub channels: Vec<LoadedChannel>,
    /// How far the adjudicator's event log was followed.
    pub cursor: Option<Result<u64, Damage>>,
    /// Named values.
    pub entries: BTreeMap<String, Result<Vec<u8>, Damage>>,
    /// Whether the last writes before this start were cut short, as by a power cut. They were never
    /// reported durable, unless the disk has lost what it had promised to keep.
    pub was_torn: bool,
    /// Whether damaged pages were found at this start, and everything was copied out of them. What
    /// could not be believed is told where it belongs; a name that went bad takes its record
    /// elsewhere, so there may be a damaged one of which nobody knows whose it was.
    pub was_salvaged: bool,
}

/// A channel and what is stored of it, or why that cannot be believed.
pub type LoadedChannel = (ChannelId, Result<StoredChannel, Damage>);

/// What is stored of a channel, besides its payments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredChannel {
    /// What never changes.
    pub opening: Vec<u8>,
    /// The newest snapshot.
    pub snapshot: Vec<u8>,
}

/// The stored payments that lead to a version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredPayments {
    /// The version.
    pub version: Version,
    /// The bytes that were written, or why they cannot be believed.
    pub payments: Result<Vec<u8>, Damage>,
}

impl Ticket {
    /// Before every write.
    pub const NONE: Self = Self(0);

    /// How many writes have been made up to this one.
    pub const fn number(self) -> u64 {
        self.0
    }

    fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Write {
    /// A write of this channel that stores nothing yet and is urgent.
    pub fn new(channel: ChannelId) -> Self {
        Self {
            channel,
            opening: None,
            snapshot: None,
            payments: None,
            forget: None,
            ending: None,
            urgency: Urgency::Now,
        }
    }
}
