//! The journal: where every commit goes first, by one write and one flush.
//!
//! ```text
//!             first pass                  second pass, over the first
//! JOURNAL-1   [1][2][3][4]....            [5][6][3][4]....     [n]: a frame and its sequence
//!                 │                          └─ stale: other salt, lower sequence
//!     its changes move to the index, then it is written over
//! ```
//!
//! Its first file is made long once and written over from then on, because a flush that has nothing
//! to tell the file system but data is much faster. Where most of it is payments, it is kept instead
//! (the index points into it), and a new file follows.
//!
//! Invariant: a frame is written only after all before it are durable. Hence a frame that is broken
//! was cut short by a crash if none follows it, and was broken later if one does.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::change::Change;
use super::frame::{self, FrameBuffer, HEAD_LENGTH, Head, Salt};
use crate::store::StoreError;
use crate::store::disk::{Disk, DiskFile};
use crate::store::group::Group;

/// Names of the journal's files begin with this; a number follows.
const PREFIX: &str = "journal-";
/// Frames begin at multiples of this, so that they are quickly looked for.
const ALIGNMENT: usize = 64;
/// What is written at a time to make a file long.
const FILL: usize = 1 << 20;

/// Where the journal stands, as the index remembers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct JournalState {
    /// The number of its file.
    pub(super) file: u64,
    /// The sequence of the first frame of this pass.
    pub(super) first: u64,
    /// The sequence of the last frame whose changes the index has.
    pub(super) applied: u64,
    /// The salt of this pass.
    pub(super) salt: Salt,
}

/// The journal's file of the present pass.
#[derive(Debug)]
pub(super) struct Journal {
    file: Arc<dyn DiskFile>,
    number: u64,
    salt: Salt,
    first: u64,
    /// The sequence of the next frame.
    next: u64,
    /// Where it will lie.
    end: u64,
    buffer: FrameBuffer,
    flushes: Arc<AtomicU64>,
}

/// What a start finds in a journal.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The frames in their order.
    pub(super) frames: Vec<(u64, Vec<Change>)>,
    /// Whether a frame behind them was cut short.
    pub(super) is_torn: bool,
}

impl JournalState {
    const LENGTH: usize = 40;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LENGTH);
        for number in [self.file, self.first, self.applied] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.salt);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().ok()?;
        let (numbers, salt) = bytes.split_at(24);
        let mut numbers = numbers.as_chunks().0.iter().map(|n| u64::from_be_bytes(*n));
        Some(Self {
            file: numbers.next()?,
            first: numbers.next()?,
            applied: numbers.next()?,
            salt: salt.try_into().ok()?,
        })
    }
}

impl Journal {
    /// Makes a journal's file, `length` bytes long, durably.
    pub(super) fn create(
        disk: &dyn Disk,
        number: u64,
        first: u64,
        length: u64,
        flushes: &Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        let file = disk
            .create(&name(number))
            .map_err(StoreError::io("making a journal"))?;
        let zeros = vec![0; FILL.min(usize::try_from(length).unwrap_or(FILL))];
        let mut filled = 0;
        while filled < length {
            let count = (length - filled).min(zeros.len() as u64);
            file.write_at(filled, &zeros[..count as usize])
                .map_err(StoreError::io("making a journal long"))?;
            filled += count;
        }
        let journal = Self::new(file, number, first, flushes);
        if length > 0 {
            journal.flush()?;
        }
        disk.sync()
            .map_err(StoreError::io("making a journal known to its folder"))?;
        flushes.fetch_add(1, Ordering::Relaxed);
        Ok(journal)
    }

    fn new(file: Arc<dyn DiskFile>, number: u64, first: u64, flushes: &Arc<AtomicU64>) -> Self {
        Self {
            file,
            number,
            salt: fresh_salt(),
            first,
            next: first,
            end: 0,
            buffer: FrameBuffer::default(),
            flushes: flushes.clone(),
        }
    }

    /// Opens the journal that the index remembers, and reads it. The pass has to end if a frame was
    /// cut short: it would look like the first of others that were lost.
    pub(super) fn open(
        disk: &dyn Disk,
        state: &JournalState,
        flushes: &Arc<AtomicU64>,
    ) -> Result<(Self, Replayed), StoreError> {
        let name = name(state.file);
        let file = disk
            .open(&name)
            .map_err(StoreError::io("opening the journal"))?
            .ok_or_else(|| StoreError::Damaged {
                reason: format!("{name} is missing"),
            })?;
        let mut journal = Self {
            salt: state.salt,
            ..Self::new(file, state.file, state.first, flushes)
        };
        let replayed = journal.replay(state.applied)?;
        // The index has followed frames that are not there: some other journal lies here.
        if journal.next <= state.applied {
            return Err(StoreError::Damaged {
                reason: format!(
                    "{name} ends before frame {}, which the index knows up to {}",
                    journal.next, state.applied
                ),
            });
        }
        Ok((journal, replayed))
    }

    /// Makes a group durable, and hands its changes to `take`.
    pub(super) fn commit(
        &mut self,
        group: Group,
        take: impl FnMut(Change),
    ) -> Result<(), StoreError> {
        let frame = self
            .buffer
            .encode(group, (self.next, &self.salt), self.end, take);
        self.file
            .write_at(self.end, frame)
            .map_err(StoreError::io("writing to the journal"))?;
        self.end += frame_room(frame.len());
        self.next += 1;
        self.flush()
    }

    /// The next pass over the same file. Before it writes, nothing may be needed of what is there.
    pub(super) fn restarted(&self) -> Self {
        Self::new(self.file.clone(), self.number, self.next, &self.flushes)
    }

    /// The journal that follows this one in a new file.
    pub(super) fn successor(&self, disk: &dyn Disk) -> Result<Self, StoreError> {
        Self::create(disk, self.number + 1, self.next, 0, &self.flushes)
    }

    /// The number of its file.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of this pass.
    pub(super) fn length(&self) -> u64 {
        self.end
    }

    /// Reads bytes of this pass.
    pub(super) fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.file
            .read_at(offset, bytes)
            .map_err(StoreError::io("reading the journal"))
    }

    /// What the index is to remember of it: everything up to now is applied.
    pub(super) fn state(&self) -> JournalState {
        JournalState {
            file: self.number,
            first: self.first,
            applied: self.next - 1,
            salt: self.salt,
        }
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.file
            .sync_data()
            .map_err(StoreError::io("flushing the journal"))
    }

    fn replay(&mut self, applied: u64) -> Result<Replayed, StoreError> {
        let file_length = self
            .file
            .len()
            .map_err(StoreError::io("measuring the journal"))?;
        let mut frames = Vec::new();
        // The last frame read, while it is not known whether one follows.
        let mut broken = None;
        loop {
            let found = self.frame_at(self.end, self.next, file_length)?;
            let Some((head, frame)) = found.sealed else {
                let is_cut = found.is_begun || broken.is_some();
                if let Some(sequence) = self.later_frame(file_length)? {
                    return Err(StoreError::Damaged {
                        reason: format!(
                            "frame {} of the journal is broken, but {sequence} is there",
                            self.next
                        ),
                    });
                }
                if let Some((end, next)) = broken {
                    (self.end, self.next) = (end, next);
                    frames.pop();
                }
                return Ok(Replayed {
                    frames,
                    is_torn: is_cut,
                });
            };
            let contents = &frame[..head.contents_length as usize];
            let directory = &frame[contents.len()..];
            let (changes, are_good) =
                frame::decode(self.end, contents, directory).ok_or_else(|| {
                    StoreError::Damaged {
                        reason: format!("frame {} means nothing to this program", head.sequence),
                    }
                })?;
            // Broken contents matter to their channels only, if this is not where a crash was. What
            // the index knows was durable.
            broken = (!are_good && head.sequence > applied).then_some((self.end, self.next));
            frames.push((head.sequence, changes));
            self.end += frame_room(HEAD_LENGTH + frame.len());
            self.next += 1;
        }
    }

    fn frame_at(&self, at: u64, sequence: u64, file_length: u64) -> Result<Found, StoreError> {
        if file_length.saturating_sub(at) < HEAD_LENGTH as u64 {
            return Ok(Found::default());
        }
        let mut bytes = [0; HEAD_LENGTH];
        self.read_at(at, &mut bytes)?;
        let head = Head::decode(&bytes).filter(|head| head.sequence == sequence);
        let likely = head.unwrap_or_else(|| Head::mended(&bytes, sequence));
        let body = self.sealed_body(&likely, at, file_length)?;
        Ok(Found {
            is_begun: head.is_some() || body.is_some(),
            sealed: head.zip(body),
        })
    }

    /// What follows the head of a frame, if the seal is good.
    fn sealed_body(
        &self,
        head: &Head,
        at: u64,
        file_length: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        // Lengths are compared with what is there before anything is reserved for them.
        let Some(length) = head.frame_length().filter(|l| *l <= file_length - at) else {
            return Ok(None);
        };
        let mut body = vec![0; length as usize - HEAD_LENGTH];
        self.read_at(at + HEAD_LENGTH as u64, &mut body)?;
        let directory = &body[head.contents_length as usize..];
        let is_good = head.seals(&self.salt, directory);
        Ok(is_good.then_some(body))
    }

    /// The sequence of some frame of this pass behind the end.
    fn later_frame(&self, file_length: u64) -> Result<Option<u64>, StoreError> {
        // The room of the last frame may be longer than the file.
        let mut rest = vec![0; file_length.saturating_sub(self.end) as usize];
        if !rest.is_empty() {
            self.read_at(self.end, &mut rest)?;
        }
        for at in (0..rest.len()).step_by(ALIGNMENT) {
            let Some(head) = rest[at..].first_chunk().and_then(Head::decode) else {
                continue;
            };
            if head.sequence < self.next {
                continue;
            }
            let found = self.frame_at(self.end + at as u64, head.sequence, file_length)?;
            // The frame that is expected next may itself be found here, if the end is wrong.
            if found.sealed.is_some() {
                return Ok(Some(head.sequence));
            }
        }
        Ok(None)
    }
}

/// What lies where a frame may lie.
#[derive(Default)]
struct Found {
    /// A head that fits, or all else.
    is_begun: bool,
    /// The frame without its head, if the seal is good.
    sealed: Option<(Head, Vec<u8>)>,
}

/// How much room a frame of this length takes up.
fn frame_room(length: usize) -> u64 {
    length.next_multiple_of(ALIGNMENT) as u64
}

/// The name of a journal's file.
pub(super) fn name(number: u64) -> String {
    format!("{PREFIX}{number}")
}

/// The number in the name of a journal's file.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// A salt that nobody outside can guess. The standard library's hash maps are keyed by the operating
/// system's randomness, and keys are all that is needed.
fn fresh_salt() -> Salt {
    let mut hash = Sha256::new();
    for number in 0..4_u64 {
        hash.update(RandomState::new().hash_one(number).to_be_bytes());
    }
    hash.finalize()[..16]
        .try_into()
        .expect("a SHA-256 is longer")
}
