//! Records: written in an order that tells a torn one from a damaged one, and read in small pieces.
//!
//! ```text
//! 1. the words of the head ── 2. contents, checksum, padding ── 3. the end: one word of zeros
//! ```
//!
//! Each step begins when the one before has ended, and the next record when all have. So whatever is
//! found after a power cut, of what was written before the last words that are not blank nothing is
//! torn. If it is wrong it is damaged.

use alloc::vec::Vec;

use embedded_storage::nor_flash::NorFlash;

use super::error::StoreError;
use super::layout::{GRANULE, HEAD, Operation, contents_digest};
use super::region::{CHUNK, Region};

/// Where a record begins, and how long its contents are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) at: u32,
    pub(super) length: u16,
}

/// Where the contents of a record come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Contents<'a> {
    /// Memory.
    Parts(&'a [&'a [u8]]),
    /// Another record with the same contents, in the page with this sequence.
    Copy { place: Place, sequence: u32 },
}

impl<F: NorFlash> Region<F> {
    /// Writes a record to a blank place of the page with this sequence.
    ///
    /// `Ok(false)` if the one to be copied is damaged: then what was written is torn.
    pub(super) fn write_record(
        &mut self,
        at: u32,
        sequence: u32,
        operation: Operation,
        contents: Contents<'_>,
    ) -> Result<bool, StoreError<F::Error>> {
        let head = operation.head(sequence);
        let mut digest = contents_digest(sequence, &head);
        let mut words = Words::new(at);
        words.limit = HEAD.next_multiple_of(self.shape.word as usize);
        words.put(self, &head)?;
        match contents {
            Contents::Parts(parts) => {
                for part in parts {
                    digest.update(part);
                    words.put(self, part)?;
                }
            }
            Contents::Copy { place, sequence } => {
                let is_sound = self.visit(place, operation, sequence, |region, piece| {
                    digest.update(piece);
                    words.put(region, piece)
                })?;
                if !is_sound {
                    return Ok(false);
                }
            }
        }
        words.put(self, &digest.finalize().to_be_bytes())?;
        words.flush(self)?;
        let end = [0; GRANULE];
        self.program(words.at, &end[..self.shape.word as usize])?;
        Ok(true)
    }

    /// Appends the contents of a record to `out`; whether they are what was written.
    pub(super) fn read_record(
        &mut self,
        place: Place,
        operation: Operation,
        sequence: u32,
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError<F::Error>> {
        out.reserve_exact(place.length.into());
        self.visit(place, operation, sequence, |_, piece| {
            out.extend_from_slice(piece);
            Ok(())
        })
    }

    /// Whether the contents of a record are what was written.
    pub(super) fn is_sound(
        &mut self,
        place: Place,
        operation: Operation,
        sequence: u32,
    ) -> Result<bool, StoreError<F::Error>> {
        self.visit(place, operation, sequence, |_, _| Ok(()))
    }

    /// Goes through the contents of a record, then tells whether they are what was written.
    fn visit(
        &mut self,
        place: Place,
        operation: Operation,
        sequence: u32,
        mut visit: impl FnMut(&mut Self, &[u8]) -> Result<(), StoreError<F::Error>>,
    ) -> Result<bool, StoreError<F::Error>> {
        let mut digest = contents_digest(sequence, &operation.head(sequence));
        let mut buffer = [0; CHUNK];
        let mut at = place.at + HEAD as u32;
        let mut left = usize::from(place.length);
        while left > 0 {
            let piece = self.read(at, left, &mut buffer)?;
            digest.update(piece);
            visit(self, piece)?;
            at += piece.len() as u32;
            left -= piece.len();
        }
        let expected = digest.finalize().to_be_bytes();
        Ok(self.read(at, expected.len(), &mut buffer)? == expected)
    }
}

/// Bytes on their way to the flash, gathered to whole words.
struct Words {
    at: u32,
    buffer: [u8; CHUNK],
    filled: usize,
    /// Bytes after which they are written: at first those of the head's words.
    limit: usize,
}

impl Words {
    fn new(at: u32) -> Self {
        Self {
            at,
            buffer: [0xff; CHUNK],
            filled: 0,
            limit: CHUNK,
        }
    }

    fn put<F: NorFlash>(
        &mut self,
        region: &mut Region<F>,
        mut bytes: &[u8],
    ) -> Result<(), StoreError<F::Error>> {
        while !bytes.is_empty() {
            let (taken, rest) = bytes.split_at(bytes.len().min(self.limit - self.filled));
            self.buffer[self.filled..][..taken.len()].copy_from_slice(taken);
            self.filled += taken.len();
            bytes = rest;
            if self.filled == self.limit {
                self.flush(region)?;
            }
        }
        Ok(())
    }

    /// Writes what is there, and fills up its last word.
    fn flush<F: NorFlash>(&mut self, region: &mut Region<F>) -> Result<(), StoreError<F::Error>> {
        let whole = self.filled.next_multiple_of(region.shape.word as usize);
        if whole > 0 {
            self.buffer[self.filled..whole].fill(0xff);
            region.program(self.at, &self.buffer[..whole])?;
            self.at += whole as u32;
        }
        self.filled = 0;
        self.limit = CHUNK;
        Ok(())
    }
}
