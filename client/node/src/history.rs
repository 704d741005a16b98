//! History: what was paid, when, to or by whom, and what for.
//!
//! ```text
//!  a channel has news ──follow──> queue ──> payments since the last one read from the client's store
//!  a memo's text ─────note_memo──>  │                 │
//!                                   └─────────────────┴──one commit──> history.redb ──> list, export
//! ```
//!
//! The client's store has every payment of a channel, and what proves them; this file adds what only
//! this side knows: when, and the texts of memos. It is made from the store, so nothing is lost with it
//! but times and texts. What was agreed to while nobody recorded is appended at the next opening of the
//! session, and its time is marked as late.
//!
//! Invariant: for each channel the file has every payment up to a version, once, and none behind it.

mod export;
mod page;
mod table;
mod verify;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use perun_client::channel::Channel;
use perun_client::client::{Client, ReadHistoryError};
use perun_protocol::payment::Entry;
use perun_protocol::{Amount, AssetId, ChannelId, PublicKey, Version};

use self::table::Table;
use crate::commits::{Commits, Pace};
use crate::{Error, clock};

pub use self::export::Export;
pub use self::page::{Filter, Page};
pub use self::verify::{Unproven, Verified, verify};

/// The name of the file in a session's folder.
pub(crate) const FILE: &str = "history.redb";

/// The history of a session.
pub struct History {
    table: Arc<Table>,
    commits: Commits<Order>,
}

/// A payment that was agreed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The channel.
    pub channel: ChannelId,
    /// The peer's off-chain identity.
    pub peer: PublicKey,
    /// The version that carries it.
    pub version: Version,
    /// Its place there, counted from 0.
    pub index: u32,
    /// When this node learned of it, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whether that is the time of a restart, because the node stopped between payment and record.
    pub time_is_late: bool,
    /// Whether we paid it; else we received it.
    pub is_sent: bool,
    /// What was paid.
    pub asset: AssetId,
    /// How much.
    pub amount: Amount,
    /// What travelled of its memo.
    pub memo: Option<[u8; 32]>,
    /// The text of the memo, if this side knows it.
    pub memo_text: Option<String>,
}

/// What the thread is to do.
enum Order {
    /// Read what is new of a channel.
    Follow(News),
    /// Read what is new of channels that are over.
    CatchUp(Client),
    /// Keep the text of a memo.
    Memo([u8; 32], String),
}

/// A channel has something new.
struct News {
    channel: ChannelId,
    peer: PublicKey,
    part: perun_protocol::PartIdx,
    assets: Vec<AssetId>,
    /// Up to this version, as both have signed it.
    through: Version,
    at_ms: i64,
    is_late: bool,
    read: Read,
}

/// Reads the payments of a channel from a version on.
type Read = Box<dyn Fn(Version) -> Result<Vec<Entry>, ReadHistoryError> + Send>;

/// Told of a payment that was recorded: whether it was sent, what was paid, and how much.
pub(crate) type Recorded = Box<dyn Fn(bool, &AssetId, Amount) + Send + Sync>;

impl History {
    const PACE: Pace = Pace {
        // Reading from a store makes it put its journal in order, so it is not done for each payment.
        // Whoever asks for the history does not wait for this.
        later: Duration::from_millis(500),
        most: 100_000,
    };

    /// Opens the history in a session's folder, or makes it.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be read or belongs to another process.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let table = Arc::new(Table::open(&folder.join(FILE))?);
        let writer = Arc::clone(&table);
        let apply = move |orders| writer.apply(orders);
        Ok(Self {
            table,
            commits: Commits::start("history", Self::PACE, apply)?,
        })
    }

    /// Tells of each payment that is recorded from now on, in the thread that records.
    pub(crate) fn tell(&self, recorded: Recorded) {
        self.table.tell(recorded);
    }

    /// Records what was agreed to while nobody recorded, in channels that are over, too. For the
    /// opening of a session, before anything new happens. Never waits.
    pub fn catch_up(&self, client: &Client) {
        for channel in client.channels() {
            self.push(Order::Follow(news(&channel, true)));
        }
        self.push(Order::CatchUp(client.clone()));
    }

    /// Records what is new in a channel: something was received, or payments of ours were agreed to, at
    /// this moment. Never waits.
    pub fn follow(&self, channel: &Channel) {
        self.push(Order::Follow(news(channel, false)));
    }

    /// Keeps the text of a memo, for payments that were or will be made with it. Never waits.
    pub fn note_memo(&self, memo: [u8; 32], text: &str) {
        self.push(Order::Memo(memo, text.to_owned()));
    }

    /// The channel, as text, through which we have paid something with this memo.
    pub fn paid_with(&self, memo: &[u8; 32]) -> Option<String> {
        let found = self.table.with_memo(memo, |record| record.is_sent);
        let paid = found.unwrap_or_else(|error| {
            tracing::error!("the history cannot be read: {error}");
            None
        })?;
        Some(hex::encode(paid.channel.as_bytes()))
    }

    /// What was paid, newest first: `limit` payments at most, behind the page whose `next` is given.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if that is no page.
    pub async fn list(
        &self,
        filter: Filter,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page, Error> {
        self.flush().await?;
        let after = after.map(page::parse_token).transpose()?;
        let table = Arc::clone(&self.table);
        let listing = move || table.list(&filter, limit, after);
        let listed = tokio::task::spawn_blocking(listing).await;
        listed.map_err(Error::internal)?
    }

    /// Waits until everything is recorded that happened so far.
    ///
    /// # Errors
    /// [`Error::Internal`] if the disk fails.
    pub async fn flush(&self) -> Result<(), Error> {
        self.commits.flush().await
    }

    /// Waits until everything is recorded, and ends. Channels can be read as long as their client has
    /// not stopped.
    pub async fn close(&self) {
        if let Err(error) = self.flush().await {
            tracing::error!("the history is not complete: {error}");
        }
        self.commits.close();
    }

    /// Copies the file as it is at this moment to a new one.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), Error> {
        self.table.copy_to(path)
    }

    /// What does not fit the queue is found in the store at the next opening.
    fn push(&self, order: Order) {
        if let Err(error) = self.commits.push(order) {
            tracing::warn!("the history does not keep up with the payments: {error}");
        }
    }
}

fn news(channel: &Channel, is_late: bool) -> News {
    let newest = channel.newest();
    News {
        channel: channel.id(),
        peer: channel.peer(),
        part: channel.part(),
        assets: channel.params().assets().to_vec(),
        through: newest.map_or(Version::INITIAL, |newest| newest.version()),
        at_ms: clock::millis(),
        is_late,
        read: {
            let channel = channel.clone();
            Box::new(move |from| channel.payments(from))
        },
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
