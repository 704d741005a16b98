//! The flash under a store: its pages, its words, and what was done to it.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use super::Wear;
use super::error::{StoreError, Unsuitable};
use super::layout::{GRANULE, RECORDS, Shape};

/// Bytes that are held in memory at once.
pub(super) const CHUNK: usize = 64;

/// The smallest page: the head of a page and a few short records.
const MIN_PAGE_SIZE: usize = 256;

/// Pages of a flash. Places in it are counted from the beginning of the flash.
#[derive(Debug)]
pub(super) struct Region<F> {
    flash: F,
    start: u32,
    pub(super) shape: Shape,
    pub(super) wear: Wear,
    /// After a failure nothing is known of the flash, so nothing is done with it any more.
    is_failed: bool,
}

impl<F: NorFlash> Region<F> {
    pub(super) fn new(flash: F, range: Range<u32>) -> Result<Self, StoreError<F::Error>> {
        let shape = shape(&flash, &range).map_err(StoreError::Unsuitable)?;
        Ok(Self {
            flash,
            start: range.start,
            shape,
            wear: Wear::default(),
            is_failed: false,
        })
    }

    pub(super) fn into_flash(self) -> F {
        self.flash
    }

    /// Where the page with this index begins.
    pub(super) fn page(&self, index: u32) -> u32 {
        self.start + index * self.shape.page_size
    }

    /// Lets nothing more happen.
    pub(super) fn fail(&mut self) {
        self.is_failed = true;
    }

    pub(super) fn check(&self) -> Result<(), StoreError<F::Error>> {
        if self.is_failed {
            return Err(StoreError::Failed);
        }
        Ok(())
    }

    /// Up to `length` bytes at a place that need not be aligned: as many as fit into the buffer.
    pub(super) fn read<'b>(
        &mut self,
        at: u32,
        length: usize,
        buffer: &'b mut [u8; CHUNK],
    ) -> Result<&'b [u8], StoreError<F::Error>> {
        self.check()?;
        let skipped = at % self.shape.word;
        let end = length.saturating_add(skipped as usize).min(CHUNK);
        let whole = end.next_multiple_of(self.shape.word as usize);
        let read = self.flash.read(at - skipped, &mut buffer[..whole]);
        self.done(read)?;
        Ok(&buffer[skipped as usize..end])
    }

    /// The granule at an aligned place.
    pub(super) fn granule(&mut self, at: u32) -> Result<[u8; GRANULE], StoreError<F::Error>> {
        let mut buffer = [0; CHUNK];
        let read = self.read(at, GRANULE, &mut buffer)?;
        Ok(read.try_into().expect("places of granules are aligned"))
    }

    /// Programs whole words that are blank.
    pub(super) fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), StoreError<F::Error>> {
        self.check()?;
        self.wear.written_bytes += bytes.len() as u64;
        let written = self.flash.write(at, bytes);
        self.done(written)
    }

    /// Makes a page blank.
    pub(super) fn erase(&mut self, index: u32) -> Result<(), StoreError<F::Error>> {
        self.check()?;
        self.wear.erases += 1;
        let from = self.page(index);
        let erased = self.flash.erase(from, from + self.shape.page_size);
        self.done(erased)
    }

    /// The place behind the last byte of a page that is not blank; its beginning if all are.
    pub(super) fn blank_from(&mut self, index: u32) -> Result<u32, StoreError<F::Error>> {
        let page = self.page(index);
        let mut end = page + self.shape.page_size;
        while end > page {
            let length = (end - page).min(CHUNK as u32);
            let mut buffer = [0; CHUNK];
            let read = self.read(end - length, length as usize, &mut buffer)?;
            if let Some(last) = read.iter().rposition(|byte| *byte != 0xff) {
                return Ok(end - length + last as u32 + 1);
            }
            end -= length;
        }
        Ok(page)
    }

    fn done(&mut self, outcome: Result<(), F::Error>) -> Result<(), StoreError<F::Error>> {
        outcome.map_err(|error| {
            self.fail();
            StoreError::Flash(error)
        })
    }
}

fn shape<F: NorFlash>(flash: &F, range: &Range<u32>) -> Result<Shape, Unsuitable> {
    let divides = |size: usize| size != 0 && GRANULE.is_multiple_of(size);
    if !divides(F::READ_SIZE) || !divides(F::WRITE_SIZE) {
        return Err(Unsuitable::Words);
    }
    let is_suitable = F::ERASE_SIZE >= MIN_PAGE_SIZE && F::ERASE_SIZE.is_multiple_of(GRANULE);
    let page_size = u32::try_from(F::ERASE_SIZE)
        .ok()
        .filter(|_| is_suitable)
        .ok_or(Unsuitable::PageSize)?;
    let is_inside = range.start <= range.end && range.end as usize <= flash.capacity();
    if !is_inside || !range.start.is_multiple_of(page_size) || !range.end.is_multiple_of(page_size)
    {
        return Err(Unsuitable::Range);
    }
    let pages = (range.end - range.start) / page_size;
    if pages < 2 {
        return Err(Unsuitable::Pages);
    }
    Ok(Shape {
        pages,
        page_size,
        word: F::READ_SIZE.max(F::WRITE_SIZE) as u32,
    })
}

const _: () = assert!(RECORDS < MIN_PAGE_SIZE && CHUNK.is_multiple_of(GRANULE));
