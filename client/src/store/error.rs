//! Why something is not stored, or cannot be read back.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

use perun_protocol::{PublicKey, Version};

/// Why a store cannot be opened, read or written.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum StoreError {
    /// The operating system refused, or the disk failed.
    Io {
        /// What was done, in words.
        doing: &'static str,
        /// What it said.
        error: Arc<io::Error>,
    },
    /// Another process or handle has the store open.
    InUse {
        /// Where it lies.
        path: PathBuf,
    },
    /// It belongs to somebody else.
    WrongIdentity {
        /// Whose it is.
        owner: Box<PublicKey>,
        /// Who wanted it.
        identity: Box<PublicKey>,
    },
    /// A newer program has written it.
    NewerFormat {
        /// The format it has.
        found: u16,
        /// The newest that this program knows.
        known: u16,
    },
    /// There is something, but no store.
    NotAStore {
        /// What is wrong, in words.
        reason: String,
    },
    /// Damage that cannot be laid to single channels.
    Damaged {
        /// What is wrong, in words.
        reason: String,
    },
    /// More was queued than the store may hold: the disk does not keep up, or not at all.
    Overrun {
        /// Bytes queued.
        queued: usize,
        /// Bytes that may be.
        limit: usize,
    },
    /// It was closed.
    Closed,
}

/// A stored record that cannot be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Damage {
    /// Which record.
    pub record: RecordKind,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// A kind of record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordKind {
    /// A channel's opening.
    Opening,
    /// A channel's snapshot.
    Snapshot,
    /// A channel's payments that lead to this version.
    Payments(Version),
    /// The event log's cursor.
    Cursor,
    /// A named value of the client.
    Entry,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// It is not there.
    Missing,
    /// It is too short to be one.
    Short {
        /// Its bytes.
        length: usize,
    },
    /// It has a format that is not known.
    Format {
        /// Its format byte.
        found: u8,
    },
    /// Its checksum is not that of its place and contents.
    Checksum,
}

impl StoreError {
    /// For `map_err`: an I/O error and what was being done.
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io {
            doing,
            error: Arc::new(error),
        }
    }
}

/// A key as people compare it.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, error } => write!(f, "the store failed {doing}: {error}"),
            Self::InUse { path } => {
                write!(f, "the store {} is open elsewhere", path.display())
            }
            Self::WrongIdentity { owner, identity } => write!(
                f,
                "the store belongs to {}, not to {}",
                Hex(owner.as_bytes()),
                Hex(identity.as_bytes())
            ),
            Self::NewerFormat { found, known } => write!(
                f,
                "the store has format {found} of a newer program; this one knows {known}"
            ),
            Self::NotAStore { reason } => write!(f, "this is no store: {reason}"),
            Self::Damaged { reason } => write!(f, "the store is damaged: {reason}"),
            Self::Overrun { queued, limit } => write!(
                f,
                "{queued} bytes wait for the disk, which is more than the {limit} that may"
            ),
            Self::Closed => write!(f, "the store is closed"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(&**error),
            _ => None,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.record, self.flaw)
    }
}

impl std::error::Error for Damage {}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => write!(f, "the opening"),
            Self::Snapshot => write!(f, "the snapshot"),
            Self::Payments(version) => {
                write!(f, "the record of payments to version {}", version.number())
            }
            Self::Cursor => write!(f, "the event log's cursor"),
            Self::Entry => write!(f, "the client's entry"),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "is missing"),
            Self::Short { length } => write!(f, "is cut to {length} bytes"),
            Self::Format { found } => write!(f, "has the unknown format {found}"),
            Self::Checksum => write!(f, "does not match its checksum"),
        }
    }
}
