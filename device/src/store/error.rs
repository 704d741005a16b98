//! Why something is not stored, or cannot be read back.

use core::fmt;

use super::Key;

/// Why a store cannot be opened, read or written; `E` is the error of the flash's driver.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StoreError<E> {
    /// The flash failed. What was being written may be stored or not; nothing more is done before
    /// the store is opened again.
    Flash(E),
    /// The store failed before, and has to be opened again.
    Failed,
    /// The record does not fit besides those that are live. Nothing has changed.
    Full {
        /// Bytes of flash that it needs besides those of the record that it replaces.
        needed: usize,
        /// Bytes of flash that are left.
        free: usize,
    },
    /// No record is that long. Nothing has changed.
    TooLong {
        /// Bytes of its contents.
        length: usize,
        /// Bytes that they may have.
        limit: usize,
    },
    /// There are as many keys as the index can hold. Nothing has changed.
    TooManyKeys {
        /// How many those are.
        limit: usize,
    },
    /// Bits are not what was written. This is no trace of a power cut, which are all recovered from:
    /// the flash is worn out, somebody has written to it, or the store was opened with another range than
    /// before. Older values are not shown instead.
    Damaged {
        /// Which record is concerned, if it is only one.
        key: Option<Key>,
    },
    /// There is something in the flash, but no store: see [`Store::format`](super::Store::format).
    Foreign,
    /// Another program has written the store.
    UnknownFormat {
        /// The format that it has.
        found: u8,
        /// The format that this program knows.
        known: u8,
    },
    /// The store cannot work on this range of this flash.
    Unsuitable(Unsuitable),
}

/// Why a range of a flash cannot hold a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unsuitable {
    /// The sizes of a read and of a write must each divide 16.
    Words,
    /// A page is too small, too large, or no multiple of 16.
    PageSize,
    /// The range does not begin and end with a page, or lies outside of the flash.
    Range,
    /// There must be at least two pages.
    Pages,
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "the flash failed: {error:?}"),
            Self::Failed => write!(f, "the store failed before and has to be opened again"),
            Self::Full { needed, free } => write!(
                f,
                "the store is full: {needed} more bytes are needed and {free} are free"
            ),
            Self::TooLong { length, limit } => {
                write!(f, "a record of {length} bytes is longer than {limit}")
            }
            Self::TooManyKeys { limit } => {
                write!(f, "the store is full: it has {limit} keys already")
            }
            Self::Damaged { key: Some(key) } => write!(
                f,
                "the record {}/{} in the flash is damaged",
                key.kind, key.slot
            ),
            Self::Damaged { key: None } => write!(f, "the store in the flash is damaged"),
            Self::Foreign => write!(f, "the flash holds something that is no store"),
            Self::UnknownFormat { found, known } => write!(
                f,
                "the store has format {found}; this program knows format {known}"
            ),
            Self::Unsuitable(reason) => write!(f, "no store fits here: {reason}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Words => "the sizes of a read and a write do not divide 16",
            Self::PageSize => "the size of a page is too small, too large or no multiple of 16",
            Self::Range => "the range does not consist of pages of the flash",
            Self::Pages => "there are less than two pages",
        })
    }
}
