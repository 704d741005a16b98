//! Where in which journal payments lie.

use super::change::Place;
use crate::store::Flaw;
use crate::store::record::{self, Kind, POINTER, PaymentsKey};

/// A place in a journal, as a record of the index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pointer {
    pub(super) journal: u64,
    pub(super) place: Place,
}

impl Pointer {
    const LENGTH: usize = 8 + 8 + 4 + 8;

    /// The record.
    pub(super) fn record(&self, key: &PaymentsKey) -> Vec<u8> {
        let mut contents = Vec::with_capacity(Self::LENGTH);
        contents.extend_from_slice(&self.journal.to_be_bytes());
        contents.extend_from_slice(&self.place.offset.to_be_bytes());
        contents.extend_from_slice(&self.place.length.to_be_bytes());
        contents.extend_from_slice(&self.place.checksum);
        let checksum = record::checksum(Kind::PaymentsPointer, key, &contents);
        record::record(POINTER, checksum, &contents)
    }

    /// The pointer that is a record of this format with these contents.
    pub(super) fn open(
        key: &PaymentsKey,
        checksum: record::Checksum,
        contents: &[u8],
    ) -> Result<Self, Flaw> {
        record::check(Kind::PaymentsPointer, key, checksum, contents)?;
        Self::decode(contents).ok_or(Flaw::Short {
            length: contents.len(),
        })
    }

    /// Which journal a record points into, if it is a pointer. Not checked.
    pub(super) fn journal(record: &[u8]) -> Option<u64> {
        Self::unchecked(record).map(|pointer| pointer.journal)
    }

    /// Where a record points to, if it is a pointer. Not checked.
    pub(super) fn place(record: &[u8]) -> Option<Place> {
        Self::unchecked(record).map(|pointer| pointer.place)
    }

    fn unchecked(record: &[u8]) -> Option<Self> {
        let (format, _, contents) = record::split(record).ok()?;
        (format == POINTER).then(|| Self::decode(contents))?
    }

    fn decode(contents: &[u8]) -> Option<Self> {
        let (journal, rest) = contents.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        Some(Self {
            journal: u64::from_be_bytes(*journal),
            place: Place {
                offset: u64::from_be_bytes(*offset),
                length: u32::from_be_bytes(*length),
                checksum: rest.try_into().ok()?,
            },
        })
    }
}
