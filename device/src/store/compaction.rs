//! A new page: erased, filled with what is live, and only then made the one that counts.

use embedded_storage::nor_flash::NorFlash;

use super::error::StoreError;
use super::index::Index;
use super::layout::{FORMAT, GRANULE, HEADERS, Operation, RECORDS, RETIRED, SETTLED};
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

        let mut page = NewPage {
            region: &mut self.region,
            sequence,
            position: page + RECORDS as u32,
            index: Index::new(),
        };
        // So that what an interrupted compaction leaves is never blank.
        page.write(Operation::Seal, None, Contents::Parts(&[]))?;
        let changed = change.map(|change| change.key);
        for (key, place) in self.index.entries() {
            if Some(key) != changed {
                let sequence = self.sequence;
                page.set(key, place.length, Contents::Copy { place, sequence })?;
            }
        }
        if let Some(Change {
            key,
            new: Some((length, parts)),
        }) = change
        {
            page.set(key, length, Contents::Parts(parts))?;
        }
        let (position, entries) = (page.position, page.index);

        self.region.write_header(sequence)?;
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
        self.write(Operation::Set { key, length }, Some(key), contents)?;
        self.index.set(key, Place { at, length });
        Ok(())
    }

    fn write(
        &mut self,
        operation: Operation,
        key: Option<Key>,
        contents: Contents<'_>,
    ) -> Result<(), StoreError<F::Error>> {
        let at = self.position;
        if !self
            .region
            .write_record(at, self.sequence, operation, contents)?
        {
            return Err(StoreError::Damaged { key });
        }
        self.position += self.region.shape.footprint(operation.length());
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
    /// The header of the page with this index, if it has one.
    pub(super) fn header(&mut self, index: u32) -> Result<Option<Header>, StoreError<F::Error>> {
        let mut found: Option<Header> = None;
        for slot in 0..HEADERS {
            let granule = self.granule(self.slot(index, slot))?;
            let Some((format, sequence)) = self.shape.decode_header(&granule) else {
                continue;
            };
            if format != FORMAT {
                return Err(StoreError::UnknownFormat {
                    found: format,
                    known: FORMAT,
                });
            }
            match found {
                Some(header) if header.sequence != sequence => {
                    return Err(StoreError::Damaged { key: None });
                }
                None if sequence > 0 && self.shape.index(sequence) == index => {
                    let is_retired = self.is_retired(index)?;
                    found = Some(Header {
                        sequence,
                        is_retired,
                    });
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Makes sure that the newest page counts for ever, and the one before never again.
    ///
    /// A header in which the power failed may read differently next time, so it is written once more.
    /// Should all copies be lost some day, the mark on the page before keeps older values from being
    /// taken for the newest. Both must be there before anything is shown or appended, and before any
    /// page is erased: that page may be the one before. The last mark tells that they are.
    pub(super) fn settle(&mut self, sequence: u32) -> Result<(), StoreError<F::Error>> {
        let page = self.page(self.shape.index(sequence));
        if !self.is_blank(page + SETTLED as u32)? {
            return Ok(());
        }
        self.write_header(sequence)?;
        // Before the first page stands that of the birth mark.
        let before = self.page(self.shape.index(sequence.wrapping_sub(1)));
        if self.is_blank(before + RETIRED as u32)? {
            self.program(before + RETIRED as u32, &MARK)?;
        }
        self.program(page + SETTLED as u32, &MARK)
    }

    /// Writes the header of a page, or writes it once more if there is room.
    fn write_header(&mut self, sequence: u32) -> Result<(), StoreError<F::Error>> {
        let index = self.shape.index(sequence);
        for slot in 0..HEADERS {
            let at = self.slot(index, slot);
            if self.is_blank(at)? {
                return self.program(at, &self.shape.header(sequence));
            }
        }
        Ok(())
    }

    /// Whether the page has been replaced.
    pub(super) fn is_retired(&mut self, index: u32) -> Result<bool, StoreError<F::Error>> {
        let at = self.page(index) + RETIRED as u32;
        Ok(!self.is_blank(at)?)
    }

    /// Whether nothing was written to the granule at this place.
    pub(super) fn is_blank(&mut self, at: u32) -> Result<bool, StoreError<F::Error>> {
        Ok(self.granule(at)? == [0xff; GRANULE])
    }

    fn slot(&self, index: u32, slot: usize) -> u32 {
        self.page(index) + (slot * GRANULE) as u32
    }
}

/// What marks a page as settled or retired. All that counts is that it is not blank.
const MARK: [u8; GRANULE] = [0; GRANULE];
