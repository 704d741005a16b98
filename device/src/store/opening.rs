//! Opening: what is there, what a power cut left unfinished, and the very first page.
//!
//! ```text
//! blank ── birth mark in page 0 ── page 1 begun ── page 0 retired ── a store for ever
//! ```
//!
//! A flash is only ours when a birth mark stands in it; marks are written one behind the other and
//! never erased before the first page counts. So a power cut at any time leaves a blank flash, the
//! beginning of a mark in an otherwise blank flash, or a mark.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use super::compaction::Header;
use super::error::StoreError;
use super::index::Index;
use super::layout::{BIRTH_MARK, GRANULE, HEAD, Operation, RECORDS, RETIRED};
use super::record::Place;
use super::region::{CHUNK, Region};
use super::{Store, damaged};

impl<F: NorFlash> Store<F> {
    /// Opens the store in this range of a flash, or makes one if the range is blank.
    ///
    /// Finishes what a power cut interrupted. An error changes nothing that was stored.
    pub fn open(flash: F, range: Range<u32>) -> Result<Self, StoreError<F::Error>> {
        let mut region = Region::new(flash, range)?;
        match region.newest_page()? {
            Some(header) if header.is_retired => Err(damaged()),
            Some(header) => Self::resume(region, header),
            None if region.is_unborn()? => Self::begin(region),
            None => Err(StoreError::Foreign),
        }
    }

    /// Makes an empty store of this range of a flash, whatever it holds.
    ///
    /// Needed once for a flash that has held something else. A store is replaced by the empty one all at
    /// once, and erased. If the power fails while something else is replaced, that may be erased in part
    /// and [`open`](Self::open) may find it foreign still: format again.
    pub fn format(flash: F, range: Range<u32>) -> Result<Self, StoreError<F::Error>> {
        let mut region = Region::new(flash, range)?;
        let newest = match region.newest_page() {
            Ok(newest) => newest.filter(|header| !header.is_retired),
            Err(StoreError::Damaged { .. } | StoreError::UnknownFormat { .. }) => None,
            Err(error) => return Err(error),
        };
        let pages = region.shape.pages;
        if let Some(header) = newest {
            let mut store = Self::at(region, header.sequence);
            store.region.settle(header.sequence)?;
            store.compact(None)?;
            let current = store.region.shape.index(store.sequence);
            for index in (0..pages).filter(|index| *index != current) {
                store.region.erase(index)?;
            }
            return Ok(store);
        }
        for index in (0..pages).rev() {
            region.erase(index)?;
        }
        Self::begin(region)
    }

    /// A store without records whose newest page has this sequence.
    fn at(region: Region<F>, sequence: u32) -> Self {
        let position = region.page(region.shape.index(sequence)) + RECORDS as u32;
        Self {
            region,
            sequence,
            position,
            index: Index::new(),
        }
    }

    /// The first page of all, in a region where nothing but a birth mark is or will be.
    fn begin(mut region: Region<F>) -> Result<Self, StoreError<F::Error>> {
        region.mark_birth()?;
        // What stands before the first page.
        let mut store = Self::at(region, 0);
        store.compact(None)?;
        Ok(store)
    }

    /// Reads the newest page, and finishes what was begun.
    fn resume(region: Region<F>, header: Header) -> Result<Self, StoreError<F::Error>> {
        let mut store = Self::at(region, header.sequence);
        let is_clean = store.replay()?;
        store.region.settle(header.sequence)?;
        if !is_clean {
            store.compact(None)?;
        }
        Ok(store)
    }

    /// Reads all records of the page; whether new ones can be written behind them.
    fn replay(&mut self) -> Result<bool, StoreError<F::Error>> {
        let shape = self.region.shape;
        let index = shape.index(self.sequence);
        let end = self.region.page(index) + shape.page_size;
        // What lies before this has been written to the end, but for the words right before it.
        let blank_from = self.region.blank_from(index)?;
        let mut unsound = Index::new();
        let mut is_clean = true;
        while self.position < blank_from {
            let at = self.position;
            if at + shape.footprint(0) > end {
                is_clean = false;
                break;
            }
            let head = self.region.head(at)?;
            let operation = Operation::decode(&head, self.sequence);
            let Some(operation) = operation else {
                let is_torn = blank_from <= at + HEAD.next_multiple_of(shape.word as usize) as u32;
                let is_blank = head == [0xff; HEAD];
                if !is_torn && !is_blank {
                    return Err(damaged());
                }
                is_clean = false;
                break;
            };
            let behind = at + shape.footprint(operation.length());
            if behind > end {
                return Err(damaged());
            }
            if blank_from <= behind - shape.word {
                is_clean = false;
                break;
            }
            self.replay_record(operation, &mut unsound)?;
            self.position = behind;
        }
        match unsound.entries().next() {
            Some((key, _)) => Err(StoreError::Damaged { key: Some(key) }),
            None => Ok(is_clean),
        }
    }

    fn replay_record(
        &mut self,
        operation: Operation,
        unsound: &mut Index,
    ) -> Result<(), StoreError<F::Error>> {
        match operation {
            Operation::Set { key, length } => {
                if !self.index.has_room_for(key) {
                    return Err(damaged());
                }
                let at = self.position;
                let place = Place { at, length };
                self.index.set(key, place);
                // Damage to a record that is replaced later does no harm.
                if self.region.is_sound(place, operation, self.sequence)? {
                    unsound.remove(key);
                } else {
                    unsound.set(key, place);
                }
            }
            Operation::Remove { key } => {
                self.index.remove(key);
                unsound.remove(key);
            }
        }
        Ok(())
    }
}

impl<F: NorFlash> Region<F> {
    /// The page with the highest sequence.
    fn newest_page(&mut self) -> Result<Option<Header>, StoreError<F::Error>> {
        let mut newest: Option<Header> = None;
        for index in 0..self.shape.pages {
            let header = self.header(index)?;
            if header.map(|h| h.sequence) > newest.map(|h| h.sequence) {
                newest = header;
            }
        }
        Ok(newest)
    }

    /// Whether a region without any page of a store may become one.
    fn is_unborn(&mut self) -> Result<bool, StoreError<F::Error>> {
        let (begin, end) = (self.page(0), self.blank_from(0)?);
        let (retired, records) = (begin + RETIRED as u32, begin + RECORDS as u32);
        let mut is_marked = false;
        for at in (begin..end).step_by(GRANULE) {
            let granule = self.granule(at)?;
            let is_expected = match at {
                at if at < retired => granule == [0xff; GRANULE],
                // Decided below.
                at if at < records => true,
                _ => is_begun_mark(&granule),
            };
            if !is_expected {
                return Ok(false);
            }
            is_marked |= granule == *BIRTH_MARK;
        }
        let is_retired = !self.is_blank(retired)?;
        if is_marked && is_retired {
            // It was a store before it lost all its pages.
            return Err(damaged());
        }
        if is_marked {
            return Ok(true);
        }
        for index in 1..self.shape.pages {
            if self.blank_from(index)? != self.page(index) {
                return Ok(false);
            }
        }
        Ok(!is_retired)
    }

    /// Makes a region ours.
    fn mark_birth(&mut self) -> Result<(), StoreError<F::Error>> {
        let blank_from = self.blank_from(0)?.max(self.page(0) + RECORDS as u32);
        let at = blank_from.next_multiple_of(GRANULE as u32);
        // Where so many were begun, one is complete.
        if at < self.page(0) + self.shape.page_size {
            self.program(at, BIRTH_MARK)?;
        }
        Ok(())
    }

    /// The head at this place.
    fn head(&mut self, at: u32) -> Result<[u8; HEAD], StoreError<F::Error>> {
        let mut buffer = [0; CHUNK];
        let head = self.read(at, HEAD, &mut buffer)?;
        Ok(head.try_into().expect("a buffer holds more than a head"))
    }
}

/// Whether this is a mark, or the part of one that was written before the power failed: that has some of
/// a mark's zeros, and no others.
fn is_begun_mark(granule: &[u8; GRANULE]) -> bool {
    let mut bytes = granule.iter().zip(BIRTH_MARK);
    bytes.all(|(found, mark)| found & mark == *mark)
}
