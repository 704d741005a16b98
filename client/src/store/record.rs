//! Records: contents with a format and a checksum that binds them to their place.
//!
//! ```text
//! format (1) ‖ checksum (8) ‖ contents
//! checksum = first 8 bytes of SHA-256(length (1) ‖ kind's name ‖ length (2) ‖ key ‖ contents)
//! ```
//!
//! The checksum finds what a disk breaks and what a fault of ours puts in the wrong place; it is no
//! protection from somebody who writes to the disk.

use perun_protocol::{ChannelId, Version};
use sha2::{Digest as _, Sha256};

use super::Flaw;

/// The format of records whose contents are the bytes that were written.
pub(super) const PLAIN: u8 = 1;
/// The format of records whose contents say where in which journal the bytes lie.
pub(super) const POINTER: u8 = 2;

/// What stands before the contents.
pub(super) const HEAD_LENGTH: usize = 1 + CHECKSUM_LENGTH;
const CHECKSUM_LENGTH: usize = 8;

/// The first bytes of a SHA-256.
pub(super) type Checksum = [u8; CHECKSUM_LENGTH];

/// The key of a channel's payments: the channel's id, then the version, so that they lie in order.
pub(super) type PaymentsKey = [u8; 40];

/// The kinds of records, by the names that go into their checksums.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Whose store it is; key: none.
    Store,
    /// Where the journal stands; key: none.
    Journal,
    /// Key: channel.
    Opening,
    /// Key: channel.
    Snapshot,
    /// Key: channel and version.
    Payments,
    /// Where payments lie; key: channel and version.
    PaymentsPointer,
    /// Key: none.
    Cursor,
    /// Key: the entry's name.
    Entry,
}

/// Contents and their checksum.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) checksum: Checksum,
    pub(super) contents: Vec<u8>,
}

impl Kind {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Store => b"store",
            Self::Journal => b"journal",
            Self::Opening => b"opening",
            Self::Snapshot => b"snapshot",
            Self::Payments => b"payments",
            Self::PaymentsPointer => b"payments pointer",
            Self::Cursor => b"cursor",
            Self::Entry => b"entry",
        }
    }
}

impl Sealed {
    pub(super) fn new(kind: Kind, key: &[u8], contents: Vec<u8>) -> Self {
        Self {
            checksum: checksum(kind, key, &contents),
            contents,
        }
    }

    /// The record.
    pub(super) fn record(&self) -> Vec<u8> {
        record(PLAIN, self.checksum, &self.contents)
    }
}

/// The checksum of `contents` at this place.
pub(super) fn checksum(kind: Kind, key: &[u8], contents: &[u8]) -> Checksum {
    let name = kind.name();
    let mut hash = Sha256::new();
    hash.update([u8::try_from(name.len()).expect("names are short")]);
    hash.update(name);
    let length = u16::try_from(key.len()).expect("keys are shorter than 64 KiB");
    hash.update(length.to_be_bytes());
    hash.update(key);
    hash.update(contents);
    hash.finalize()[..CHECKSUM_LENGTH]
        .try_into()
        .expect("a SHA-256 is longer")
}

/// A record of its parts.
pub(super) fn record(format: u8, checksum: Checksum, contents: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEAD_LENGTH + contents.len());
    record.push(format);
    record.extend_from_slice(&checksum);
    record.extend_from_slice(contents);
    record
}

/// A record's format, checksum and contents, none of them checked.
pub(super) fn split(record: &[u8]) -> Result<(u8, Checksum, &[u8]), Flaw> {
    let short = Flaw::Short {
        length: record.len(),
    };
    let (format, rest) = record.split_first().ok_or(short)?;
    let (checksum, contents) = rest.split_first_chunk().ok_or(short)?;
    Ok((*format, *checksum, contents))
}

/// The contents of a plain record that lies at this place.
pub(super) fn open<'a>(kind: Kind, key: &[u8], record: &'a [u8]) -> Result<&'a [u8], Flaw> {
    let (format, found, contents) = split(record)?;
    if format != PLAIN {
        return Err(Flaw::Format { found: format });
    }
    check(kind, key, found, contents)?;
    Ok(contents)
}

/// Whether the checksum is that of these contents at this place.
pub(super) fn check(kind: Kind, key: &[u8], found: Checksum, contents: &[u8]) -> Result<(), Flaw> {
    if checksum(kind, key, contents) == found {
        Ok(())
    } else {
        Err(Flaw::Checksum)
    }
}

/// Where a channel's payments to a version lie.
pub(super) fn payments_key(channel: &ChannelId, version: Version) -> PaymentsKey {
    let mut key = [0; 40];
    key[..32].copy_from_slice(channel.as_bytes());
    key[32..].copy_from_slice(&version.number().to_be_bytes());
    key
}

/// The version in the key of payments.
pub(super) fn payments_version(key: &PaymentsKey) -> Version {
    let number = key[32..].try_into().expect("a key has 8 bytes of version");
    Version::new(u64::from_be_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_good_only_at_its_place() {
        let record = Sealed::new(Kind::Snapshot, b"key", b"contents".to_vec()).record();
        assert_eq!(open(Kind::Snapshot, b"key", &record), Ok(&b"contents"[..]));
        assert_eq!(open(Kind::Opening, b"key", &record), Err(Flaw::Checksum));
        assert_eq!(open(Kind::Snapshot, b"kez", &record), Err(Flaw::Checksum));
        // Nor does anything move from the key to the contents.
        assert_ne!(
            checksum(Kind::Entry, b"ab", b"c"),
            checksum(Kind::Entry, b"a", b"bc")
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let record = Sealed::new(Kind::Opening, b"key", b"contents".to_vec()).record();
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Kind::Opening, b"key", &flipped).is_err(), "bit {bit}");
        }
        for length in 0..record.len() {
            let cut = open(Kind::Opening, b"key", &record[..length]);
            let short = Flaw::Short { length };
            let expected = if length < HEAD_LENGTH {
                short
            } else {
                Flaw::Checksum
            };
            assert_eq!(cut, Err(expected));
        }
    }
}
