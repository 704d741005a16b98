//! The bytes of a page, and how many states they are good for.
//!
//! ```text
//! page    header (16) × 2 ‖ counts (16) ‖ settled (16) ‖ retired (16) ‖ record ‖ record ‖ … ‖ blank
//! header  "PERUNFS" (7) ‖ format (1) ‖ sequence (4) ‖ CRC-32 (4)
//! record  head (8) ‖ contents ‖ CRC-32 (4) ‖ padding ‖ end (one word)
//! head    length (2) ‖ kind (1) ‖ slot (1) ‖ CRC-32 (4)
//! ```
//!
//! Numbers are big-endian. Both checksums of a record cover the sequence of its page, so that what an
//! interrupted erasure left of an older record is not taken for one. A header's covers the shape of the
//! region, so that a store is not opened with another one.
//!
//! The highest bit of a head is 0, so its first word is never one that a blank flash would show.

use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};

use super::Key;

/// The format of what is written.
pub(super) const FORMAT: u8 = 1;
const MAGIC: &[u8; 7] = b"PERUNFS";

/// What every flash that we work with reads and writes in one or several words.
pub(super) const GRANULE: usize = 16;
/// Copies of the header in a page, in case one of them is damaged.
pub(super) const HEADERS: usize = 2;
/// Where a page is marked as the newest: before, nothing in it counts.
pub(super) const COUNTS: usize = HEADERS * GRANULE;
/// Where a page is marked as the one whose predecessor is retired.
pub(super) const SETTLED: usize = COUNTS + GRANULE;
/// Where a page is marked as replaced by its successor.
pub(super) const RETIRED: usize = SETTLED + GRANULE;
/// Where records begin.
pub(super) const RECORDS: usize = RETIRED + GRANULE;

/// Length of a record's head.
pub(super) const HEAD: usize = 8;
const CHECKSUM: usize = 4;

/// The longest contents of a record.
pub const MAX_LENGTH: usize = 0x7ff0;
const REMOVAL: u16 = 0x7fff;

/// Contents of a region that is about to become a store: the first thing ever written to it.
pub(super) const BIRTH_MARK: &[u8; GRANULE] = b"PERUN is born \x01\0";

static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// What a record does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    /// The key has these contents from now on.
    Set { key: Key, length: u16 },
    /// The key is gone.
    Remove { key: Key },
}

impl Operation {
    /// Bytes of contents.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Set { length, .. } => length.into(),
            Self::Remove { .. } => 0,
        }
    }

    /// The head of such a record in the page with this sequence.
    pub(super) fn head(self, sequence: u32) -> [u8; HEAD] {
        let (code, key) = match self {
            Self::Set { key, length } => (length, key),
            Self::Remove { key } => (REMOVAL, key),
        };
        let [high, low] = code.to_be_bytes();
        let told = [high, low, key.kind, key.slot];
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&told);
        head[4..].copy_from_slice(&head_checksum(sequence, &told));
        head
    }

    /// `None` if this is no head of that page.
    pub(super) fn decode(head: &[u8; HEAD], sequence: u32) -> Option<Self> {
        let [high, low, kind, slot, checksum @ ..] = *head;
        if checksum != head_checksum(sequence, &[high, low, kind, slot]) {
            return None;
        }
        let key = Key::new(kind, slot);
        match u16::from_be_bytes([high, low]) {
            REMOVAL => Some(Self::Remove { key }),
            length if usize::from(length) <= MAX_LENGTH => Some(Self::Set { key, length }),
            _ => None,
        }
    }
}

fn head_checksum(sequence: u32, told: &[u8; 4]) -> [u8; CHECKSUM] {
    let mut digest = CRC.digest();
    digest.update(&sequence.to_be_bytes());
    digest.update(told);
    digest.finalize().to_be_bytes()
}

/// The checksum of a record, to which its contents are still to be added.
pub(super) fn contents_digest(sequence: u32, head: &[u8; HEAD]) -> Digest<'static, u32, Table<1>> {
    let mut digest = CRC.digest();
    digest.update(&sequence.to_be_bytes());
    digest.update(head);
    digest
}

/// The shape of a region: what a store must be opened with again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) pages: u32,
    pub(super) page_size: u32,
    /// Bytes of the larger of a read and a write: records are aligned to it.
    pub(super) word: u32,
}

impl Shape {
    /// Which page has this sequence: they take turns.
    pub(super) fn index(self, sequence: u32) -> u32 {
        sequence % self.pages
    }

    /// The header of a page.
    pub(super) fn header(self, sequence: u32) -> [u8; GRANULE] {
        let mut header = [0; GRANULE];
        header[..7].copy_from_slice(MAGIC);
        header[7] = FORMAT;
        header[8..12].copy_from_slice(&sequence.to_be_bytes());
        let checksum = self.header_checksum(&header);
        header[12..].copy_from_slice(&checksum);
        header
    }

    /// Format and sequence that a header tells; `None` if it is none.
    pub(super) fn decode_header(self, header: &[u8; GRANULE]) -> Option<(u8, u32)> {
        let is_header = header.starts_with(MAGIC) && header[12..] == self.header_checksum(header);
        let [.., a, b, c, d, _, _, _, _] = *header;
        is_header.then_some((header[7], u32::from_be_bytes([a, b, c, d])))
    }

    fn header_checksum(self, header: &[u8; GRANULE]) -> [u8; CHECKSUM] {
        let mut digest = CRC.digest();
        digest.update(&header[..12]);
        for number in [self.pages, self.page_size, self.word] {
            digest.update(&number.to_be_bytes());
        }
        digest.finalize().to_be_bytes()
    }

    /// Bytes that a record takes.
    pub(super) fn footprint(self, length: usize) -> u32 {
        // At most MAX_LENGTH and a few words.
        footprint(length, self.word as usize) as u32
    }

    /// Bytes for records in a page.
    pub(super) fn capacity(self) -> u32 {
        self.page_size - RECORDS as u32
    }
}

/// Bytes of flash that a record with contents of this length takes, if a word (the larger of what the
/// flash reads and writes at once) has so many bytes.
pub const fn footprint(length: usize, word: usize) -> usize {
    (HEAD + length + CHECKSUM).next_multiple_of(word) + word
}

/// How many records of one length can be written for one erasure of one page, while `live` bytes of
/// flash ([`footprint`]s) are live, those of the record's predecessor among them.
///
/// The first is written together with what is live at the page's beginning.
pub const fn writes_per_erase(page_size: usize, word: usize, live: usize, length: usize) -> usize {
    let room = page_size.saturating_sub(RECORDS + live);
    1 + room / footprint(length, word)
}
