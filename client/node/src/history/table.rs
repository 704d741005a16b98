//! The recorded payments, in a `redb` file.
//!
//! | table | key | value |
//! |---|---|---|
//! | `payments` | when, channel, version, index | the payment |
//! | `places` | channel, version, index | when |
//! | `peers` | peer, when, channel, version, index | nothing |
//! | `memos` | memo, channel, version, index | when |
//! | `texts` | memo | its text |
//! | `channels` | channel | peer, the first version that is not recorded, whether it is over |

mod read;
mod write;

use std::path::Path;
use std::sync::OnceLock;

use redb::{Database, TableDefinition};

use super::Recorded;
use crate::Error;
use crate::commits::guarded;
use crate::redb_file;

/// When, channel, version, index.
type PaymentKey = (i64, &'static [u8; 32], u64, u32);
/// Whether the time is late, whether it was sent, the ledger, the amount, the memo.
type Payment = (bool, bool, &'static [u8], u128, Option<&'static [u8; 32]>);
type PlaceKey = (&'static [u8; 32], u64, u32);
type PeerKey = (&'static [u8; 33], i64, &'static [u8; 32], u64, u32);
type MemoKey = (&'static [u8; 32], &'static [u8; 32], u64, u32);
/// The peer, the first version that is not recorded, whether the channel is over.
type Channel = (&'static [u8; 33], u64, bool);

const PAYMENTS: TableDefinition<'static, PaymentKey, Payment> = TableDefinition::new("payments");
const PLACES: TableDefinition<'static, PlaceKey, i64> = TableDefinition::new("places");
const PEERS: TableDefinition<'static, PeerKey, ()> = TableDefinition::new("peers");
const MEMOS: TableDefinition<'static, MemoKey, i64> = TableDefinition::new("memos");
const TEXTS: TableDefinition<'static, &[u8; 32], &str> = TableDefinition::new("texts");
const CHANNELS: TableDefinition<'static, &[u8; 32], Channel> = TableDefinition::new("channels");

/// Memory for pages.
const CACHE: usize = 8 << 20;

/// The file, open.
pub(super) struct Table {
    database: Database,
    /// Told of each payment when it is recorded.
    recorded: OnceLock<Recorded>,
}

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let database = redb_file::open(path, CACHE)?;
        let made = guarded(|| {
            let write = database.begin_write()?;
            write.open_table(PAYMENTS)?;
            write.open_table(PLACES)?;
            write.open_table(PEERS)?;
            write.open_table(MEMOS)?;
            write.open_table(TEXTS)?;
            write.open_table(CHANNELS)?;
            Ok(write.commit()?)
        });
        redb_file::told(path, made)?;
        Ok(Self {
            database,
            recorded: OnceLock::new(),
        })
    }

    /// Tells of each payment that is recorded from now on. Only who asks first is told.
    pub(super) fn tell(&self, recorded: Recorded) {
        let _ = self.recorded.set(recorded);
    }

    pub(super) fn copy_to(&self, path: &Path) -> Result<(), Error> {
        redb_file::copy(&self.database, path, |read, write| {
            redb_file::copy_table(read, write, PAYMENTS)?;
            redb_file::copy_table(read, write, PLACES)?;
            redb_file::copy_table(read, write, PEERS)?;
            redb_file::copy_table(read, write, MEMOS)?;
            redb_file::copy_table(read, write, TEXTS)?;
            redb_file::copy_table(read, write, CHANNELS)
        })
    }
}
