//! Storage in a bare flash: two slots for each record, so that no power cut and no damage brings an older
//! one back unnoticed.
//!
//! ```text
//! region   0              1              2              3
//!          reservation A  reservation B  state A        state B
//! slot     | done | count u32 | length u16 | 0 u16 | record | SHA-256[..16] |
//!           one word ╰──────────── written at once, padded to whole words ──╯
//! ```
//!
//! A store erases the slot that does not hold the newest record, writes the record there with a count one
//! higher, and then marks the *other* slot as done: what it holds was replaced, and that was told to the
//! caller. So:
//!
//! - Nothing done: a slot that can't be read was never completed, and the other one counts.
//! - One slot done: the other one was, too. If it can't be read it is damaged, and [`FlashError::Damaged`] says
//!   so; the older record is not shown for it, because numbers would be signed twice.
//!
//! No word is programmed twice between two erasures. A region is as many sectors as a slot needs; each store
//! is one erasure, and since numbers are reserved in blocks of [`BLOCK`](crate::BLOCK), a flash that endures
//! *c* erasures is good for `2 · 32 · c` messages. Devices that have a store which spreads wear can
//! implement [`Storage`] with that instead.

use core::fmt;

use embedded_storage::nor_flash::NorFlash;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::header::array;
use crate::storage::{MAX_RECORD_LENGTH, Record, Storage};

const HEAD_LENGTH: usize = 8;
const CHECK_LENGTH: usize = 16;
/// The longest word that a flash may have.
const MAX_WORD: usize = 32;
const BODY_LENGTH: usize = HEAD_LENGTH + MAX_RECORD_LENGTH + CHECK_LENGTH;
const BUFFER_LENGTH: usize = BODY_LENGTH.next_multiple_of(MAX_WORD);
const ERASED: u8 = 0xff;

/// Both records in the first four regions of a flash.
pub struct FlashStorage<F> {
    flash: F,
}

/// Why the storage does not work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FlashError<E> {
    /// The flash failed.
    Flash(E),
    /// What was stored can't be read any more.
    Damaged,
    /// The record is empty or longer than [`MAX_RECORD_LENGTH`].
    WrongLength,
}

/// The flash is too small, or its words are longer than 32 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unsuitable;

/// What a slot holds.
struct Slot {
    /// Count and length, if the record is whole.
    record: Option<(u32, usize)>,
    is_done: bool,
}

/// The slot with the newest record of a kind.
struct Newest {
    slot: usize,
    count: u32,
    length: usize,
}

type Buffer = Zeroizing<[u8; BUFFER_LENGTH]>;

impl<F: NorFlash> FlashStorage<F> {
    /// Bytes of a word: what is read and written at once.
    const WORD: usize = if F::WRITE_SIZE > F::READ_SIZE {
        F::WRITE_SIZE
    } else {
        F::READ_SIZE
    };
    /// Bytes of a region.
    pub const REGION: usize = (Self::WORD + BUFFER_LENGTH).next_multiple_of(F::ERASE_SIZE);

    /// Takes the first 4 × [`FlashStorage::REGION`] bytes of `flash`, which are blank or hold records. Nothing is
    /// read or written yet.
    pub fn new(flash: F) -> Result<Self, Unsuitable> {
        let fits = flash.capacity() >= 4 * Self::REGION && Self::WORD <= MAX_WORD;
        fits.then_some(Self { flash }).ok_or(Unsuitable)
    }

    /// Erases everything, for a flash that held something else. All records are lost.
    pub fn format(&mut self) -> Result<(), FlashError<F::Error>> {
        let end = (4 * Self::REGION) as u32;
        self.flash.erase(0, end).map_err(FlashError::Flash)
    }

    /// The flash.
    pub fn into_flash(self) -> F {
        self.flash
    }

    fn start(record: Record, slot: usize) -> u32 {
        let region = match record {
            Record::Reservation => slot,
            Record::State => 2 + slot,
        };
        (region * Self::REGION) as u32
    }

    /// Reads a slot; its body is in `buffer` then.
    fn read(&mut self, start: u32, buffer: &mut Buffer) -> Result<Slot, FlashError<F::Error>> {
        let mut done = [0; MAX_WORD];
        let done = &mut done[..Self::WORD];
        self.flash.read(start, done).map_err(FlashError::Flash)?;
        let body = start + Self::WORD as u32;
        self.flash
            .read(body, &mut buffer[..])
            .map_err(FlashError::Flash)?;
        let count = u32::from_be_bytes(array(&buffer[..], 0));
        let length = usize::from(u16::from_be_bytes(array(&buffer[..], 4)));
        let is_whole = (1..=MAX_RECORD_LENGTH).contains(&length)
            && buffer[HEAD_LENGTH + length..][..CHECK_LENGTH] == check(buffer, length);
        Ok(Slot {
            record: is_whole.then_some((count, length)),
            is_done: done.iter().any(|&byte| byte != ERASED),
        })
    }

    /// The newest record; its body is in `buffer` then.
    fn newest(
        &mut self,
        record: Record,
        buffer: &mut Buffer,
    ) -> Result<Option<Newest>, FlashError<F::Error>> {
        let slots = [
            self.read(Self::start(record, 0), buffer)?,
            self.read(Self::start(record, 1), buffer)?,
        ];
        let newest = match (slots[0].record, slots[1].record) {
            (None, None) => None,
            (Some(_), None) => Some(0),
            (None, Some(_)) => Some(1),
            // They are one apart.
            (Some((one, _)), Some((other, _))) => Some(usize::from(other == one.wrapping_add(1))),
        };
        // What replaced the record in a slot that is done lies in the other one.
        let is_damaged = match newest {
            None => slots[0].is_done || slots[1].is_done,
            Some(newest) => slots[newest].is_done && slots[1 - newest].record.is_none(),
        };
        if is_damaged {
            return Err(FlashError::Damaged);
        }
        let Some(slot) = newest else {
            return Ok(None);
        };
        let read = self.read(Self::start(record, slot), buffer)?;
        let (count, length) = read.record.ok_or(FlashError::Damaged)?;
        Ok(Some(Newest {
            slot,
            count,
            length,
        }))
    }
}

impl<F: NorFlash> Storage for FlashStorage<F> {
    type Error = FlashError<F::Error>;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Self::Error> {
        let mut buffer = Buffer::new([0; BUFFER_LENGTH]);
        let Some(Newest { length, .. }) = self.newest(record, &mut buffer)? else {
            return Ok(None);
        };
        let into = into.get_mut(..length).ok_or(FlashError::WrongLength)?;
        into.copy_from_slice(&buffer[HEAD_LENGTH..][..length]);
        Ok(Some(length))
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Self::Error> {
        if !(1..=MAX_RECORD_LENGTH).contains(&bytes.len()) {
            return Err(FlashError::WrongLength);
        }
        let mut buffer = Buffer::new([0; BUFFER_LENGTH]);
        let newest = self.newest(record, &mut buffer)?;
        let (slot, count) = newest.map_or((0, 0), |newest| (1 - newest.slot, newest.count));
        buffer.fill(ERASED);
        buffer[..4].copy_from_slice(&count.wrapping_add(1).to_be_bytes());
        buffer[4..6].copy_from_slice(&(bytes.len() as u16).to_be_bytes());
        buffer[6..HEAD_LENGTH].fill(0);
        buffer[HEAD_LENGTH..][..bytes.len()].copy_from_slice(bytes);
        let check = check(&buffer, bytes.len());
        buffer[HEAD_LENGTH + bytes.len()..][..CHECK_LENGTH].copy_from_slice(&check);
        let length = HEAD_LENGTH + bytes.len() + CHECK_LENGTH;
        let length = length.next_multiple_of(Self::WORD);

        let start = Self::start(record, slot);
        let other = Self::start(record, 1 - slot);
        self.flash
            .erase(start, start + Self::REGION as u32)
            .map_err(FlashError::Flash)?;
        self.flash
            .write(start + Self::WORD as u32, &buffer[..length])
            .map_err(FlashError::Flash)?;
        let done = [0; MAX_WORD];
        self.flash
            .write(other, &done[..Self::WORD])
            .map_err(FlashError::Flash)
    }
}

fn check(buffer: &Buffer, length: usize) -> [u8; CHECK_LENGTH] {
    array(&Sha256::digest(&buffer[..HEAD_LENGTH + length]), 0)
}

impl<E: fmt::Debug> fmt::Display for FlashError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "flash: {error:?}"),
            Self::Damaged => f.write_str("a record is damaged"),
            Self::WrongLength => f.write_str("a record has a wrong length"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for FlashError<E> {}
