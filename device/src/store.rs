//! The store: a few small records in flash, each of which is its old or its new self after any power cut.
//!
//! ```text
//!            page 1              page 2              page 3
//!        ┌────────────┐      ┌────────────┐      ┌────────────┐
//!        │ header × 2 │      │ header × 2 │      │            │
//!        │ counts     │      │ counts     │      │            │
//!        │ retired    │      │            │      │            │
//!        │ A  B  A  A │ live │ B  A       │      │   (next)   │
//!        │ C  A  -C B │ ───> │ A ← write  │      │            │
//!        └────────────┘      └────────────┘      └────────────┘
//! ```
//!
//! A record of a key replaces the one before. Records are appended to the newest page. When it is full,
//! the next one is erased, what is live is copied to it, and last it is marked as the one that counts: so
//! a page counts only if everything is in it. Then the old one is marked as retired. Pages take turns, so
//! all wear alike.
//!
//! # What holds
//!
//! - [`Store::write`] returns `Ok` when the record is durable. After a power cut each key has its newest
//!   durable contents, or those that were being written. Once these were shown, they stay.
//! - A word in which the power failed may read differently each time. Only one thing is asked of it: that
//!   it stays blank (all ones) or stays not blank, whichever it was first found.
//! - No word is programmed twice between two erasures, which flashes with error correction ask for.
//! - Damage is told from a power cut, because of what is torn only the end can be: see `store/record.rs`.
//!   Neither a value that was not written is shown for it, nor an older one: that would make a device sign
//!   a version twice. Damaged is what the store says instead.
//! - A flash that failed is not used any more until the store is opened again.
//!
//! Against somebody who puts an old copy of the whole flash back nothing in it can help.
//!
//! # Wear
//!
//! A page of *P* bytes holds 80 bytes of its own; a record with contents of *n* bytes takes
//! [`footprint`]`(n) = ⌈12 + n⌉ + word` bytes, where the word is what the flash reads and writes at once and
//! `⌈ ⌉` rounds up to it. With *L* bytes live, one erasure of one page is good for
//! [`writes_per_erase`]` = 1 + ⌊(P − 80 − L) / footprint(n)⌋` records, and *N* pages which
//! endure *c* erasures each for `N · c` times as many.
//!
//! Four pages of 16 KiB, words of 4 bytes, records of 700 bytes, two of which are live:
//!
//! ```
//! use perun_device::store::{footprint, writes_per_erase};
//!
//! let live = 2 * footprint(700, 4);
//! let states = 4 * 10_000 * writes_per_erase(16 * 1024, 4, live, 700);
//! assert_eq!(states, 840_000);
//! ```
//!
//! Opening writes nothing, unless a power cut has left something to be finished. At most half of a page is
//! ever live ([`StoreError::Full`]), so an erasure is good for more than half a page of records.
//!
//! # Memory
//!
//! An index entry a key, at most [`MAX_KEYS`]; on the stack a few times 64 bytes, whatever the size of
//! pages and records. Contents are read and copied piece by piece.

use alloc::vec::Vec;

use embedded_storage::nor_flash::NorFlash;

mod compaction;
mod error;
mod index;
mod layout;
mod opening;
mod record;
mod region;

use index::Index;
use layout::Operation;
use record::{Contents, Place};
use region::Region;

pub use error::{StoreError, Unsuitable};
pub use layout::{MAX_LENGTH, footprint, writes_per_erase};

/// How many keys a store can have.
pub const MAX_KEYS: usize = 64;

/// The name of a record.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// What it is.
    pub kind: u8,
    /// Which of its kind.
    pub slot: u8,
}

impl Key {
    /// The name of a record.
    pub const fn new(kind: u8, slot: u8) -> Self {
        Self { kind, slot }
    }
}

/// What was done to the flash since the store was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Wear {
    /// Pages erased.
    pub erases: u32,
    /// Bytes programmed.
    pub written_bytes: u64,
    /// Records written and removed by who uses the store.
    pub writes: u32,
}

/// Records in flash: see the module.
#[derive(Debug)]
pub struct Store<F> {
    region: Region<F>,
    /// The newest page's.
    sequence: u32,
    /// Where the next record begins.
    position: u32,
    index: Index,
}

/// What happens to one key.
#[derive(Clone, Copy, Debug)]
struct Change<'a> {
    key: Key,
    /// Its new contents and their length; `None` removes it.
    new: Option<(u16, &'a [&'a [u8]])>,
}

impl<F: NorFlash> Store<F> {
    /// Replaces what is in `out` by the contents of a record; whether there is one.
    pub fn read(&mut self, key: Key, out: &mut Vec<u8>) -> Result<bool, StoreError<F::Error>> {
        out.clear();
        self.region.check()?;
        let Some(place) = self.index.find(key) else {
            return Ok(false);
        };
        let length = place.length;
        let operation = Operation::Set { key, length };
        let is_sound = self
            .region
            .read_record(place, operation, self.sequence, out);
        if matches!(is_sound, Ok(true)) {
            return Ok(true);
        }
        out.clear();
        is_sound?;
        Err(StoreError::Damaged { key: Some(key) })
    }

    /// Keys that have a record, in no order.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.index.entries().map(|(key, _)| key)
    }

    /// Makes these the contents of the record with this key. They are durable when this returns `Ok`.
    pub fn write(&mut self, key: Key, contents: &[u8]) -> Result<(), StoreError<F::Error>> {
        self.write_parts(key, &[contents])
    }

    /// As [`write`](Self::write), for contents that lie in several places.
    pub fn write_parts(&mut self, key: Key, parts: &[&[u8]]) -> Result<(), StoreError<F::Error>> {
        self.region.check()?;
        let length = self.check_room(key, parts)?;
        self.change(
            Operation::Set { key, length },
            Change {
                key,
                new: Some((length, parts)),
            },
        )
    }

    /// Removes the record with this key, if there is one.
    pub fn remove(&mut self, key: Key) -> Result<(), StoreError<F::Error>> {
        self.region.check()?;
        if self.index.find(key).is_none() {
            return Ok(());
        }
        self.change(Operation::Remove { key }, Change { key, new: None })
    }

    /// Bytes of flash for records besides those that are live: one with contents of `n` bytes takes
    /// [`footprint`](Self::footprint)`(n)`.
    ///
    /// Half of a page is kept, so that every live record can be replaced without a compaction for each.
    pub fn free(&self) -> usize {
        let live: u32 = self
            .index
            .entries()
            .map(|(_, place)| self.region.shape.footprint(place.length.into()))
            .sum();
        (self.region.shape.capacity() / 2).saturating_sub(live) as usize
    }

    /// Bytes of this flash that a record with contents of this length takes.
    pub fn footprint(&self, length: usize) -> usize {
        footprint(length, self.region.shape.word as usize)
    }

    /// What was done to the flash since the store was opened.
    pub fn wear(&self) -> Wear {
        self.region.wear
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.region.into_flash()
    }

    /// Whether these contents may be stored; their length.
    fn check_room(&self, key: Key, parts: &[&[u8]]) -> Result<u16, StoreError<F::Error>> {
        let length = parts
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let Some(known) = u16::try_from(length).ok().filter(|_| length <= MAX_LENGTH) else {
            return Err(StoreError::TooLong {
                length,
                limit: MAX_LENGTH,
            });
        };
        if !self.index.has_room_for(key) {
            return Err(StoreError::TooManyKeys { limit: MAX_KEYS });
        }
        let old = self.index.find(key);
        let old = old.map_or(0, |place| self.footprint(place.length.into()));
        let needed = self.footprint(length).saturating_sub(old);
        let free = self.free();
        if needed > free {
            return Err(StoreError::Full { needed, free });
        }
        Ok(known)
    }

    fn change(
        &mut self,
        operation: Operation,
        change: Change<'_>,
    ) -> Result<(), StoreError<F::Error>> {
        if self.has_room(operation) {
            let at = self.position;
            let parts = change.new.map_or(&[][..], |(_, parts)| parts);
            self.append(operation, Contents::Parts(parts))?;
            match change.new {
                Some((length, _)) => self.index.set(change.key, Place { at, length }),
                None => self.index.remove(change.key),
            }
        } else {
            self.compact(Some(change))?;
        }
        self.region.wear.writes += 1;
        Ok(())
    }

    /// Whether the newest page has room for such a record.
    fn has_room(&self, operation: Operation) -> bool {
        let shape = self.region.shape;
        let end = self.region.page(shape.index(self.sequence)) + shape.page_size;
        self.position + shape.footprint(operation.length()) <= end
    }

    /// Writes a record behind the last one.
    fn append(
        &mut self,
        operation: Operation,
        contents: Contents<'_>,
    ) -> Result<(), StoreError<F::Error>> {
        self.region
            .write_record(self.position, self.sequence, operation, contents)?;
        self.position += self.region.shape.footprint(operation.length());
        Ok(())
    }
}

/// The error that concerns all records.
fn damaged<E>() -> StoreError<E> {
    StoreError::Damaged { key: None }
}
