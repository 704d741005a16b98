//! Frames: all that becomes durable by one flush, as bytes of the journal.
//!
//! ```text
//! head: magic (8) ‖ sequence (8) ‖ contents' length (8) ‖ directory's length (8) ‖ seal (16)
//! contents, one behind the other
//! directory: for each change  operation (1) ‖ key's length (2) ‖ key
//!            and for contents  length (4) ‖ checksum (8)
//! seal = first 16 bytes of SHA-256(salt ‖ head up to the seal ‖ directory)
//! ```
//!
//! A journal's file is written over again and again, so what lies behind its last frame may be
//! anything, also bytes that a peer has chosen. That none of it passes for a frame is what the salt
//! is for: nobody outside knows it, and it changes with every pass.
//!
//! Each record in a frame has a checksum of its own (`store::record`), so that damage concerns the
//! channel that it hits and no other.

use perun_protocol::{ChannelId, Version};
use sha2::{Digest as _, Sha256};

use super::change::{Change, Place};
use crate::store::group::{ChannelGroup, Group};
use crate::store::record::{self, Checksum, Kind, Sealed, payments_key, payments_version};

/// Bytes of a frame's head.
pub(super) const HEAD_LENGTH: usize = 48;
/// What a frame begins with.
const MAGIC: [u8; 8] = *b"PERUNJ\x00\x01";

const SEAL_LENGTH: usize = 16;
const SEALED_LENGTH: usize = HEAD_LENGTH - SEAL_LENGTH;

/// What makes the frames of one pass over a journal's file known.
pub(super) type Salt = [u8; 16];

/// The frame that is being made; its memory is used again.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    /// Room for the head, then the contents, in the end the directory.
    bytes: Vec<u8>,
    directory: Vec<u8>,
}

/// A frame's head, as found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) sequence: u64,
    pub(super) contents_length: u64,
    pub(super) directory_length: u64,
    sealed: [u8; SEALED_LENGTH],
    seal: [u8; SEAL_LENGTH],
}

/// A change as a frame's directory tells it, with its contents if it has some.
struct Entry<'a> {
    operation: u8,
    key: &'a [u8],
    contents: Option<(u32, Checksum)>,
}

const OPENING: u8 = 1;
const SNAPSHOT: u8 = 2;
const PAYMENTS: u8 = 3;
const FORGET: u8 = 4;
const ARCHIVE: u8 = 5;
const ERASE: u8 = 6;
const CURSOR: u8 = 7;
const ENTRY: u8 = 8;
const NO_ENTRY: u8 = 9;

impl FrameBuffer {
    /// Makes the frame of a group that is to lie at `base`, hands each change to `take`, and gives
    /// the frame's bytes.
    pub(super) fn encode(
        &mut self,
        group: Group,
        (sequence, salt): (u64, &Salt),
        base: u64,
        mut take: impl FnMut(Change),
    ) -> &[u8] {
        self.bytes.clear();
        self.bytes.resize(HEAD_LENGTH, 0);
        self.directory.clear();
        for (channel, changes) in group.channels {
            self.encode_channel(channel, changes, base, &mut take);
        }
        if let Some(cursor) = group.cursor {
            let sealed = Sealed::new(Kind::Cursor, &[], cursor.to_be_bytes().to_vec());
            self.put(CURSOR, &[], sealed.checksum, &sealed.contents);
            take(Change::Cursor(sealed));
        }
        for (name, value) in group.entries {
            let key = name.as_bytes();
            let value = value.map(|value| Sealed::new(Kind::Entry, key, value));
            match &value {
                Some(sealed) => {
                    self.put(ENTRY, key, sealed.checksum, &sealed.contents);
                }
                None => self.tell(NO_ENTRY, key),
            }
            take(Change::Entry(name, value));
        }
        self.finish(sequence, salt)
    }

    fn encode_channel(
        &mut self,
        channel: ChannelId,
        changes: ChannelGroup,
        base: u64,
        take: &mut impl FnMut(Change),
    ) {
        let key = channel.as_bytes();
        if changes.is_erased {
            self.tell(ERASE, key);
            take(Change::Erase(channel));
        }
        if let Some(opening) = changes.opening {
            let sealed = Sealed::new(Kind::Opening, key, opening);
            self.put(OPENING, key, sealed.checksum, &sealed.contents);
            take(Change::Opening(channel, sealed));
        }
        if let Some(snapshot) = changes.snapshot {
            let sealed = Sealed::new(Kind::Snapshot, key, snapshot);
            self.put(SNAPSHOT, key, sealed.checksum, &sealed.contents);
            take(Change::Snapshot(channel, sealed));
        }
        for (version, bytes) in changes.payments {
            let key = payments_key(&channel, version);
            match bytes {
                Some(bytes) => {
                    let checksum = record::checksum(Kind::Payments, &key, &bytes);
                    let mut place = self.put(PAYMENTS, &key, checksum, &bytes);
                    place.offset += base;
                    take(Change::Payments(channel, version, place));
                }
                None => {
                    self.tell(FORGET, &key);
                    take(Change::Forget(channel, version));
                }
            }
        }
        if changes.is_archived {
            self.tell(ARCHIVE, key);
            take(Change::Archive(channel));
        }
    }

    /// Adds contents; their place is counted from the frame's beginning.
    fn put(&mut self, operation: u8, key: &[u8], checksum: Checksum, contents: &[u8]) -> Place {
        let offset = self.bytes.len() as u64;
        let length = u32::try_from(contents.len()).expect("the queue is limited to less");
        self.bytes.extend_from_slice(contents);
        self.tell(operation, key);
        self.directory.extend_from_slice(&length.to_be_bytes());
        self.directory.extend_from_slice(&checksum);
        Place {
            offset,
            length,
            checksum,
        }
    }

    fn tell(&mut self, operation: u8, key: &[u8]) {
        let length = u16::try_from(key.len()).expect("keys are shorter than 64 KiB");
        self.directory.push(operation);
        self.directory.extend_from_slice(&length.to_be_bytes());
        self.directory.extend_from_slice(key);
    }

    fn finish(&mut self, sequence: u64, salt: &Salt) -> &[u8] {
        let contents_length = (self.bytes.len() - HEAD_LENGTH) as u64;
        let directory_length = self.directory.len() as u64;
        self.bytes[..8].copy_from_slice(&MAGIC);
        self.bytes[8..16].copy_from_slice(&sequence.to_be_bytes());
        self.bytes[16..24].copy_from_slice(&contents_length.to_be_bytes());
        self.bytes[24..32].copy_from_slice(&directory_length.to_be_bytes());
        let seal = seal(salt, &self.bytes[..SEALED_LENGTH], &self.directory);
        self.bytes[SEALED_LENGTH..HEAD_LENGTH].copy_from_slice(&seal);
        self.bytes.extend_from_slice(&self.directory);
        &self.bytes
    }
}

impl Head {
    /// `None` if this is no frame's head.
    pub(super) fn decode(bytes: &[u8; HEAD_LENGTH]) -> Option<Self> {
        bytes.starts_with(&MAGIC).then(|| Self::read(bytes))
    }

    /// What the head of this frame was if only its magic and sequence went bad.
    pub(super) fn mended(bytes: &[u8; HEAD_LENGTH], sequence: u64) -> Self {
        let mut bytes = *bytes;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&sequence.to_be_bytes());
        Self::read(&bytes)
    }

    fn read(bytes: &[u8; HEAD_LENGTH]) -> Self {
        let number = |at: usize| {
            let bytes = bytes[at..at + 8].try_into();
            u64::from_be_bytes(bytes.expect("8 bytes"))
        };
        let (sealed, seal) = bytes.split_at(SEALED_LENGTH);
        Self {
            sequence: number(8),
            contents_length: number(16),
            directory_length: number(24),
            sealed: sealed.try_into().expect("split there"),
            seal: seal.try_into().expect("the rest of a head"),
        }
    }

    /// How long the frame is; `None` if that is no number.
    pub(super) fn frame_length(&self) -> Option<u64> {
        (HEAD_LENGTH as u64)
            .checked_add(self.contents_length)?
            .checked_add(self.directory_length)
    }

    /// Whether head and directory are as they were made in the pass with this salt.
    pub(super) fn seals(&self, salt: &Salt, directory: &[u8]) -> bool {
        seal(salt, &self.sealed, directory) == self.seal
    }
}

/// The changes of a frame whose seal is good and which lies at `base`, and whether all of their
/// contents are good, too. `None` if the directory makes no sense.
pub(super) fn decode(base: u64, contents: &[u8], directory: &[u8]) -> Option<(Vec<Change>, bool)> {
    let mut changes = Vec::new();
    let mut are_good = true;
    let mut rest = directory;
    let mut offset = 0;
    while !rest.is_empty() {
        let entry = Entry::take(&mut rest)?;
        let at = offset;
        let (length, checksum) = entry.contents.unwrap_or_default();
        offset += length as usize;
        let bytes = contents.get(at..offset)?;
        let place = Place {
            offset: base + (HEAD_LENGTH + at) as u64,
            length,
            checksum,
        };
        if let Some(kind) = entry.kind() {
            are_good &= record::check(kind, entry.key, checksum, bytes).is_ok();
        }
        changes.push(entry.change(place, bytes)?);
    }
    (offset == contents.len()).then_some((changes, are_good))
}

impl<'a> Entry<'a> {
    /// The first entry of a directory, which is taken off.
    fn take(directory: &mut &'a [u8]) -> Option<Self> {
        let (&operation, rest) = directory.split_first()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (key, mut rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let mut entry = Self {
            operation,
            key,
            contents: None,
        };
        if entry.kind().is_some() {
            let (length, behind) = rest.split_first_chunk()?;
            let (checksum, behind) = behind.split_first_chunk()?;
            entry.contents = Some((u32::from_be_bytes(*length), *checksum));
            rest = behind;
        }
        *directory = rest;
        Some(entry)
    }

    /// What its contents are, if it has some.
    fn kind(&self) -> Option<Kind> {
        match self.operation {
            OPENING => Some(Kind::Opening),
            SNAPSHOT => Some(Kind::Snapshot),
            PAYMENTS => Some(Kind::Payments),
            CURSOR => Some(Kind::Cursor),
            ENTRY => Some(Kind::Entry),
            _ => None,
        }
    }

    fn change(&self, place: Place, contents: &[u8]) -> Option<Change> {
        let sealed = || Sealed {
            checksum: place.checksum,
            contents: contents.to_vec(),
        };
        Some(match self.operation {
            OPENING => Change::Opening(self.channel()?, sealed()),
            SNAPSHOT => Change::Snapshot(self.channel()?, sealed()),
            PAYMENTS => {
                let (channel, version) = self.payments()?;
                Change::Payments(channel, version, place)
            }
            FORGET => {
                let (channel, version) = self.payments()?;
                Change::Forget(channel, version)
            }
            ARCHIVE => Change::Archive(self.channel()?),
            ERASE => Change::Erase(self.channel()?),
            CURSOR => Change::Cursor(sealed()),
            ENTRY => Change::Entry(self.name()?, Some(sealed())),
            NO_ENTRY => Change::Entry(self.name()?, None),
            _ => return None,
        })
    }

    fn channel(&self) -> Option<ChannelId> {
        self.key.try_into().ok().map(ChannelId::from_bytes)
    }

    fn payments(&self) -> Option<(ChannelId, Version)> {
        let key = self.key.try_into().ok()?;
        let channel = self.key.first_chunk()?;
        Some((ChannelId::from_bytes(*channel), payments_version(key)))
    }

    fn name(&self) -> Option<String> {
        String::from_utf8(self.key.to_vec()).ok()
    }
}

fn seal(salt: &Salt, head: &[u8], directory: &[u8]) -> [u8; SEAL_LENGTH] {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(head);
    hash.update(directory);
    hash.finalize()[..SEAL_LENGTH]
        .try_into()
        .expect("a SHA-256 is longer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Ticket, Write};

    const SALT: Salt = [7; 16];
    const BASE: u64 = 640;

    fn frame() -> Vec<u8> {
        let mut write = Write::new(ChannelId::from_bytes([1; 32]));
        write.opening = Some(b"opening".to_vec());
        write.snapshot = Some(b"snapshot".to_vec());
        write.payments = Some((Version::new(3), b"payments".to_vec()));
        write.forget = Some(Version::new(2));
        let mut group = Group::default();
        group.add(write, Ticket::NONE);
        let mut buffer = FrameBuffer::default();
        buffer.encode(group, (5, &SALT), BASE, drop).to_vec()
    }

    fn parts(frame: &[u8]) -> Option<(Head, &[u8], &[u8])> {
        let (head, body) = frame.split_first_chunk()?;
        let head = Head::decode(head)?;
        let length = usize::try_from(head.contents_length).ok()?;
        let (contents, directory) = body.split_at_checked(length)?;
        let is_whole = head.frame_length() == Some(frame.len() as u64);
        is_whole.then_some((head, contents, directory))
    }

    #[test]
    fn a_frame_tells_what_it_was_made_of() {
        let frame = frame();
        let (head, contents, directory) = parts(&frame).unwrap();
        assert_eq!(head.sequence, 5);
        assert!(head.seals(&SALT, directory));
        let (changes, are_good) = decode(BASE, contents, directory).unwrap();
        assert!(are_good);
        let [
            Change::Opening(_, opening),
            Change::Snapshot(_, snapshot),
            Change::Payments(_, _, place),
            Change::Forget(_, forgotten),
        ] = &changes[..]
        else {
            panic!("{changes:?}");
        };
        assert_eq!(opening.contents, b"opening");
        assert_eq!(snapshot.contents, b"snapshot");
        assert_eq!(*forgotten, Version::new(2));
        let at = (place.offset - BASE) as usize;
        assert_eq!(&frame[at..at + place.length as usize], b"payments");
    }

    #[test]
    fn a_frame_of_another_pass_is_none() {
        let frame = frame();
        let (head, _, directory) = parts(&frame).unwrap();
        assert!(!head.seals(&[8; 16], directory));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_found() {
        let good = frame();
        for bit in 0..good.len() * 8 {
            let mut frame = good.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            let Some((head, contents, directory)) = parts(&frame) else {
                continue;
            };
            let is_sealed = head.sequence == 5 && head.seals(&SALT, directory);
            let are_good = decode(BASE, contents, directory).is_some_and(|(_, good)| good);
            assert!(!(is_sealed && are_good), "bit {bit}");
        }
    }
}
