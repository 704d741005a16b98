//! The index: a `redb` file with everything but the newest commits and big payments.
//!
//! | table | key | record |
//! |---|---|---|
//! | `meta` | `store` | format of the store (2 bytes), then its owner's key |
//! | | `journal` | where the journal stands ([`JournalState`]) |
//! | | `cursor` | of the event log; empty as long as there is none |
//! | `entries` | name | the client's values |
//! | `openings`, `snapshots` | channel | of the channels that are loaded |
//! | `archived openings`, `archived snapshots` | channel | of those that are not |
//! | `payments` | channel, version | the payments, or where in which journal they lie |
//! | `kept journals` | number | how many payments in it are still pointed to |
//!
//! It is changed rarely, so it can afford two-phase commits: a page that went bad is never taken for
//! a commit that a crash has cut short.
//!
//! Its pages are verified when it is opened, since `redb` trusts them from then on. A file that fails
//! this is not given up: records have checksums of their own, which tell the good from the bad
//! ([`salvage`]). Whatever `redb` panics about nevertheless is caught where it arises ([`guarded`]).

mod apply;
mod copy;
mod read;
mod salvage;

pub(super) use self::apply::{Pass, Present};

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use perun_protocol::PublicKey;
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase as _, TableDefinition,
    TableHandle as _, WriteTransaction,
};

use super::backend::Backend;
use super::journal::JournalState;
use crate::store::disk::{Disk, DiskFile};
use crate::store::record::{self, Kind, PaymentsKey, Sealed};
use crate::store::{Flaw, StoreError};

/// The name of its file.
pub(super) const NAME: &str = "index.redb";
/// The newest format of a store that this program knows.
const FORMAT: u16 = 1;
/// Memory for pages, of each store: a node has one for every user.
const CACHE: usize = 4 << 20;

type Channels = TableDefinition<'static, &'static [u8; 32], &'static [u8]>;
type Names = TableDefinition<'static, &'static str, &'static [u8]>;

const META: Names = TableDefinition::new("meta");
const ENTRIES: Names = TableDefinition::new("entries");
const OPENINGS: Channels = TableDefinition::new("openings");
const SNAPSHOTS: Channels = TableDefinition::new("snapshots");
const ARCHIVED_OPENINGS: Channels = TableDefinition::new("archived openings");
const ARCHIVED_SNAPSHOTS: Channels = TableDefinition::new("archived snapshots");
const PAYMENTS: TableDefinition<'static, &'static PaymentsKey, &'static [u8]> =
    TableDefinition::new("payments");
const KEPT: TableDefinition<'static, u64, u64> = TableDefinition::new("kept journals");

const STORE: &str = "store";
const JOURNAL: &str = "journal";
const CURSOR: &str = "cursor";

/// The index, open.
#[derive(Debug)]
pub(super) struct Index {
    database: Database,
    /// Its pages were damaged when it was opened, and it was made anew.
    is_salvaged: bool,
}

impl Index {
    /// Opens the index or makes a new, empty one. One whose pages are damaged is made anew from the
    /// records in it, if they are all there.
    pub(super) fn open(disk: &dyn Disk, flushes: &Arc<AtomicU64>) -> Result<Self, StoreError> {
        let file = match disk
            .open(NAME)
            .map_err(StoreError::io("opening its index"))?
        {
            Some(file) => file,
            None => disk
                .create(NAME)
                .map_err(StoreError::io("making its index"))?,
        };
        match Self::open_file(file.clone(), flushes) {
            Err(StoreError::Damaged { reason }) => {
                if !salvage::salvage(disk, &*file, flushes)? {
                    return Err(StoreError::Damaged { reason });
                }
                let file = disk
                    .open(NAME)
                    .map_err(StoreError::io("opening its index"))?;
                let file = file.expect("it has just been put there");
                Ok(Self {
                    is_salvaged: true,
                    ..Self::open_file(file, flushes)?
                })
            }
            opened => opened,
        }
    }

    /// Opens the index in this file, and verifies all of its pages.
    fn open_file(file: Arc<dyn DiskFile>, flushes: &Arc<AtomicU64>) -> Result<Self, StoreError> {
        let backend = Backend {
            file,
            flushes: flushes.clone(),
        };
        guarded(|| {
            let mut builder = Database::builder();
            builder
                .set_cache_size(CACHE)
                .set_check_integrity_on_open(true);
            let database = builder.create_with_backend(backend)?;
            Ok(Self {
                database,
                is_salvaged: false,
            })
        })
    }

    /// Where the journal stands; `None` if no store was made here yet. Refused if it is somebody
    /// else's, or a newer program's.
    pub(super) fn journal(&self, identity: &PublicKey) -> Result<Option<JournalState>, StoreError> {
        guarded(|| {
            let read = self.database.begin_read()?;
            let mut tables = read.list_tables()?;
            if !tables.any(|table| table.name() == "meta") {
                return Ok(None);
            }
            let meta = read.open_table(META)?;
            let Some(store) = meta.get(STORE)? else {
                return Err(StoreError::NotAStore {
                    reason: "its index does not say whose it is".to_owned(),
                });
            };
            check_owner(store.value(), identity)?;
            journal_state(&read).map(Some)
        })
    }

    /// Makes a store in an empty index.
    pub(super) fn initialise(
        &self,
        identity: &PublicKey,
        journal: &JournalState,
    ) -> Result<(), StoreError> {
        guarded(|| {
            let write = self.begin()?;
            let mut owner = FORMAT.to_be_bytes().to_vec();
            owner.extend_from_slice(identity.as_bytes());
            {
                let mut meta = write.open_table(META)?;
                let record = Sealed::new(Kind::Store, &[], owner).record();
                meta.insert(STORE, &record[..])?;
                let record = Sealed::new(Kind::Journal, &[], journal.encode()).record();
                meta.insert(JOURNAL, &record[..])?;
                // Always there, so that it cannot go missing unnoticed.
                let record = Sealed::new(Kind::Cursor, &[], Vec::new()).record();
                meta.insert(CURSOR, &record[..])?;
            }
            write.open_table(ENTRIES)?;
            for table in [OPENINGS, SNAPSHOTS, ARCHIVED_OPENINGS, ARCHIVED_SNAPSHOTS] {
                write.open_table(table)?;
            }
            write.open_table(PAYMENTS)?;
            write.open_table(KEPT)?;
            write.commit()?;
            Ok(())
        })
    }

    /// Closes its file, as far as that is possible.
    pub(super) fn close(self) -> Result<(), StoreError> {
        guarded(|| Ok(self.database.close()?))
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let mut write = self.database.begin_write()?;
        write
            .set_durability(Durability::Immediate)
            .map_err(redb::Error::from)?;
        write.set_quick_repair(true);
        Ok(write)
    }
}

/// Where the journal stands.
fn journal_state(read: &ReadTransaction) -> Result<JournalState, StoreError> {
    let meta = read.open_table(META)?;
    let journal = meta.get(JOURNAL)?;
    let journal = journal.as_ref().map_or(&[][..], |record| record.value());
    let contents = record::open(Kind::Journal, &[], journal).map_err(meta_flaw)?;
    JournalState::decode(contents).ok_or_else(|| StoreError::Damaged {
        reason: "where the journal stands has the wrong length".to_owned(),
    })
}

/// Whether the store is this identity's, and of a format that is known.
fn check_owner(record: &[u8], identity: &PublicKey) -> Result<(), StoreError> {
    // A newer format may change everything behind its number.
    let (_, _, contents) = record::split(record).map_err(meta_flaw)?;
    let (format, owner) = contents
        .split_first_chunk()
        .ok_or_else(|| meta_flaw(Flaw::Checksum))?;
    let format = u16::from_be_bytes(*format);
    let checked = record::open(Kind::Store, &[], record);
    if format > FORMAT && !matches!(checked, Err(Flaw::Checksum)) {
        return Err(StoreError::NewerFormat {
            found: format,
            known: FORMAT,
        });
    }
    checked.map_err(meta_flaw)?;
    let owner = owner.try_into().ok().and_then(PublicKey::from_bytes);
    let owner = owner.ok_or_else(|| StoreError::Damaged {
        reason: "its owner is no key".to_owned(),
    })?;
    if owner != *identity {
        return Err(StoreError::WrongIdentity {
            owner: Box::new(owner),
            identity: Box::new(*identity),
        });
    }
    Ok(())
}

fn meta_flaw(flaw: Flaw) -> StoreError {
    StoreError::Damaged {
        reason: format!("the record of what it is {flaw}"),
    }
}

/// Does something with `redb`, which may panic about a damaged file.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    // What a panic leaves behind is not used again: the store is given up.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(StoreError::Damaged {
            reason: panic_message(&*panic),
        })
    })
}

/// What a panic says.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::NotAStore {
                    reason: error.to_string(),
                }
            }
            redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Damaged {
                    reason: "its index is cut short".to_owned(),
                }
            }
            redb::Error::Io(error) => Self::io("reading or writing its index")(error),
            redb::Error::UpgradeRequired(format) => Self::Damaged {
                reason: format!("its index has format {format}"),
            },
            error => Self::Damaged {
                reason: error.to_string(),
            },
        }
    }
}

/// `redb` has an error type for every kind of call; all of them are parts of [`redb::Error`].
macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_redb!(
    CommitError,
    DatabaseError,
    StorageError,
    TableError,
    TransactionError
);
