//! A new page: erased, filled with what is live, and only then made the one that counts.
//!
//! ```text
//! erase ── records ── header × 2 ── counts ── the page before: retired ── settled
//!          nothing of it counts      │          the page before is never looked at again
//!                                    └── this decides
//! ```

use embedded_storage::nor_flash::NorFlash;

use super::error::StoreError;
use super::index::Index;
use super::layout::{COUNTS, FORMAT, GRANULE, HEADERS, Operation, RECORDS, RETIRED, SETTLED};
use super::record::{Contents, Place};
use super::region::Region;
use super::{Change, Key, Store};

impl<F: NorFlash> Store<F> {
    /// Goes on in the next page, in which `change` has been made.
    pub(super) fn compact(
        &mut self,
        change: Option<Change<'_>>,
    ) -> Result<(), StoreError<F::Error>> {
        // Half a compaction leaves places in two pages.
        self.region.check()?;
        self.begin_page(change).inspect_err(|_| self.region.fail())
    }

    fn begin_page(&mut self, change: Option<Change<'_>>) -> Result<(), StoreError<F::Error>> {
        let sequence = self.sequence.checked_add(1).ok_or(StoreError::Failed)?;
        let shape = self.region.shape;
        let index = shape.index(sequence);
        let page = self.region.page(index);
        // Even if it looks blank: the power may have failed in an erasure.
        self.region.erase(index)?;

        let mut new = NewPage {
            region: &mut self.region,
            sequence,
            position: page + RECORDS as u32,
            index: Index::new(),
        };
        let changed = change.map(|change| change.key);
        for (key, place) in self.index.entries() {
            if Some(key) != changed {
                let sequence = self.sequence;
                new.set(key, place.length, Contents::Copy { place, sequence })?;
            }
        }
        if let Some(Change {
            key,
            new: Some((length, parts)),
        }) = change
        {
            new.set(key, length, Contents::Parts(parts))?;
        }
        let (position, entries) = (new.position, new.index);

        let header = shape.header(sequence);
        for slot in 0..HEADERS {
            self.region
                .program(page + (slot * GRANULE) as u32, &header)?;
        }
        self.region.program(page + COUNTS as u32, &MARK)?;
        self.region.settle(sequence)?;
        self.sequence = sequence;
        self.position = position;
        self.index = entries;
        Ok(())
    }
}

/// A page that does not count yet.
struct NewPage<'a, F> {
    region: &'a mut Region<F>,
    sequence: u32,
    position: u32,
    index: Index,
}

impl<F: NorFlash> NewPage<'_, F> {
    fn set(
        &mut self,
        key: Key,
        length: u16,
        contents: Contents<'_>,
    ) -> Result<(), StoreError<F::Error>> {
        let at = self.position;
        let operation = Operation::Set { key, length };
        let is_sound = self
            .region
            .write_record(at, self.sequence, operation, contents)?;
        if !is_sound {
            return Err(StoreError::Damaged { key: Some(key) });
        }
        self.position += self.region.shape.footprint(length.into());
        self.index.set(key, Place { at, length });
        Ok(())
    }
}

/// The header of a page, as found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) sequence: u32,
    pub(super) is_retired: bool,
}

impl<F: NorFlash> Region<F> {
    /// The header of the page with this index, if it counts.
    pub(super) fn header(&mut self, index: u32) -> Result<Option<Header>, StoreError<F::Error>> {
        let page = self.page(index);
        if self.is_blank(page + COUNTS as u32)? {
            return Ok(None);
        }
        for slot in 0..HEADERS {
            let granule = self.granule(page + (slot * GRANULE) as u32)?;
            match self.shape.decode_header(&granule) {
                Some((FORMAT, sequence)) if sequence > 0 && self.shape.index(sequence) == index => {
                    let is_retired = !self.is_blank(page + RETIRED as u32)?;
                    return Ok(Some(Header {
                        sequence,
                        is_retired,
                    }));
                }
                Some((found, _)) if found != FORMAT => {
                    let known = FORMAT;
                    return Err(StoreError::UnknownFormat { found, known });
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Sees to it that the page before the newest one is retired.
    ///
    /// Should the newest one be lost some day, older values must not be taken for the newest. This must
    /// be done before anything is shown or appended, and before any page is erased: that page may be the
    /// one before. The mark in the newest page tells that it is.
    pub(super) fn settle(&mut self, sequence: u32) -> Result<(), StoreError<F::Error>> {
        let settled = self.page(self.shape.index(sequence)) + SETTLED as u32;
        if !self.is_blank(settled)? {
            return Ok(());
        }
        // Before the first page stands that of the birth mark.
        let before = self.page(self.shape.index(sequence.wrapping_sub(1)));
        if self.is_blank(before + RETIRED as u32)? {
            self.program(before + RETIRED as u32, &MARK)?;
        }
        self.program(settled, &MARK)
    }

    /// Whether nothing was written to the granule at this place.
    pub(super) fn is_blank(&mut self, at: u32) -> Result<bool, StoreError<F::Error>> {
        Ok(self.granule(at)? == [0xff; GRANULE])
    }
}

/// What marks a page. All that matters is that it is not blank: even the smallest part of it is a mark,
/// and stays one.
const MARK: [u8; GRANULE] = [0; GRANULE];
