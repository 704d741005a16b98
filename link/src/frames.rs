//! Frames: a length of 32 bits, then what Noise has sealed.
//!
//! ```text
//! length u32 │ chunk │ chunk │ …        chunk: up to 65,519 bytes and a tag of 16
//! ```
//!
//! What is sealed is one byte for the frame's kind and the message. A message longer than Noise seals
//! at once takes several chunks. Nonces count chunks, so that none can be left out, repeated or moved,
//! and the highest bit of the last chunk's says that it is the last: the length stands in clear, and
//! nobody in between can make two frames of one, or one of two.

use alloc::vec::Vec;
use core::fmt;

use crate::Session;

const TAG: usize = 16;
/// The longest ciphertext of one Noise message.
const CHUNK: usize = 65_535;
/// Buffers that have grown longer for a long message are given back after it, in bytes.
const KEPT: usize = 64 * 1024;

/// What a frame is for: the first byte of what it carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameKind {
    /// A message for those above.
    Message,
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
    /// The connection ends, for the reason in the text that follows.
    Goodbye,
    /// Something that only newer software knows; to be skipped.
    Unknown(u8),
}

/// What arrives is no frame, and the connection is over.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameError {
    /// A frame is longer than allowed.
    TooLong {
        /// Its length, in bytes.
        length: usize,
        /// The longest that is taken.
        limit: usize,
    },
    /// A frame was not sealed by the peer, or not as the next one.
    NotAuthentic,
    /// A frame carries nothing, not even its kind.
    Empty,
}

/// The peer does not take so long a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooLong {
    /// Its length, in bytes.
    pub length: usize,
    /// The longest that the peer takes.
    pub limit: usize,
}

impl FrameKind {
    /// The byte that travels.
    pub fn byte(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::Ping => 1,
            Self::Pong => 2,
            Self::Goodbye => 3,
            Self::Unknown(byte) => byte,
        }
    }

    /// The kind with this byte.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Message,
            1 => Self::Ping,
            2 => Self::Pong,
            3 => Self::Goodbye,
            byte => Self::Unknown(byte),
        }
    }
}

/// Bytes of the longest frame that carries messages up to `max_message`, without its length.
fn longest_frame(max_message: usize) -> usize {
    let plain = max_message.saturating_add(1);
    let chunks = plain.div_ceil(CHUNK - TAG);
    plain.saturating_add(chunks.saturating_mul(TAG))
}

/// Empties a buffer, and does not keep a long one for the next.
pub fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    } else {
        buffer.clear();
    }
}

/// The nonce of the chunk with this number, counted from 0 over all frames.
fn nonce(number: u64, is_last: bool) -> u64 {
    number | u64::from(is_last) << 63
}

/// Seals frames.
pub struct Sealer {
    /// Chunks so far.
    count: u64,
    max_message: usize,
    plain: Vec<u8>,
}

impl Sealer {
    /// For a peer that takes messages of this many bytes at most.
    pub fn new(max_message: usize) -> Self {
        Self {
            count: 0,
            max_message,
            plain: Vec::new(),
        }
    }

    /// Appends a frame to `out`.
    ///
    /// # Errors
    /// [`TooLong`]; nothing was sealed then.
    pub fn seal(
        &mut self,
        session: &Session,
        kind: FrameKind,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TooLong> {
        if message.len() > self.max_message {
            return Err(TooLong {
                length: message.len(),
                limit: self.max_message,
            });
        }
        self.plain.push(kind.byte());
        self.plain.extend_from_slice(message);
        let begin = out.len();
        out.extend([0; 4]);
        let mut chunks = self.plain.chunks(CHUNK - TAG).peekable();
        while let Some(plain) = chunks.next() {
            let nonce = nonce(self.count, chunks.peek().is_none());
            let at = out.len();
            out.resize(at + plain.len() + TAG, 0);
            let sealed = session.write_message(nonce, plain, &mut out[at..]);
            sealed.expect("a chunk fits a Noise message, and its place");
            self.count += 1;
        }
        empty(&mut self.plain);
        let length = (out.len() - begin - 4) as u32;
        out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// Collects bytes and opens frames.
pub struct Opener {
    /// Chunks so far.
    count: u64,
    longest: usize,
    /// So much is read at once, at least.
    read: usize,
    /// What has arrived and is not opened; from `begin` to `end`.
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    plain: Vec<u8>,
}

impl Opener {
    /// For messages of at most `max_message` bytes, of which `read` bytes or more are read at once.
    pub fn new(max_message: usize, read: usize) -> Self {
        Self {
            count: 0,
            longest: longest_frame(max_message),
            read,
            buffer: Vec::new(),
            begin: 0,
            end: 0,
            plain: Vec::new(),
        }
    }

    /// Where the next bytes go. It is at most as long again as what has arrived, and some.
    pub fn space(&mut self) -> &mut [u8] {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            if self.buffer.len() > KEPT {
                self.buffer = Vec::new();
            }
            empty(&mut self.plain);
        }
        if self.buffer.len() - self.end < self.read {
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
            let wanted = self.end + self.read.max(self.end);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes have arrived there.
    pub fn advance(&mut self, count: usize) {
        self.end += count;
    }

    /// Takes in bytes that have arrived elsewhere.
    pub fn take_in(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.advance(count);
            bytes = &bytes[count..];
        }
    }

    /// Whether a frame has begun and not ended.
    pub fn is_in_frame(&self) -> bool {
        self.begin < self.end
    }

    /// The next frame's bytes on the wire, if it is there whole.
    ///
    /// # Errors
    /// [`FrameError::TooLong`].
    pub fn whole(&self) -> Result<Option<usize>, FrameError> {
        let arrived = &self.buffer[self.begin..self.end];
        let Some((length, rest)) = arrived.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.longest {
            return Err(FrameError::TooLong {
                length,
                limit: self.longest,
            });
        }
        Ok((rest.len() >= length).then_some(4 + length))
    }

    /// Opens the next frame, which is there whole and takes `length` bytes.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn open(
        &mut self,
        session: &Session,
        length: usize,
    ) -> Result<(FrameKind, &[u8]), FrameError> {
        let sealed = &self.buffer[self.begin + 4..self.begin + length];
        self.plain.resize(sealed.len(), 0);
        let mut end = 0;
        let mut chunks = sealed.chunks(CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            let nonce = nonce(self.count, chunks.peek().is_none());
            let opened = session.read_message(nonce, chunk, &mut self.plain[end..]);
            end += opened.map_err(|_| FrameError::NotAuthentic)?;
            self.count += 1;
        }
        self.begin += length;
        match self.plain[..end].split_first() {
            Some((kind, message)) => Ok((FrameKind::from_byte(*kind), message)),
            None => Err(FrameError::Empty),
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => {
                write!(f, "a frame of {length} bytes, at most {limit} are taken")
            }
            Self::NotAuthentic => write!(f, "a frame that the peer did not seal"),
            Self::Empty => write!(f, "a frame without contents"),
        }
    }
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, limit } = self;
        write!(
            f,
            "a message of {length} bytes, the peer takes at most {limit}"
        )
    }
}

impl core::error::Error for FrameError {}
impl core::error::Error for TooLong {}

#[cfg(test)]
mod tests {
    use std::vec;

    use perun_protocol::SecretKey;
    use perun_protocol::signature::K256;

    use super::*;
    use crate::{Credentials, Handshake};

    const READ: usize = 16 * 1024;

    /// Both halves of a connection.
    fn sessions() -> [Session; 2] {
        let credentials = [1, 2].map(|byte| {
            let key = SecretKey::from_bytes(&[byte; 32]).unwrap();
            Credentials::new(&key, 0, [byte; 32]).unwrap()
        });
        let [one, other] = &credentials;
        let mut dialler = Handshake::new(one, Some(other.identity()), [3; 32]).unwrap();
        let mut answerer = Handshake::new(other, None, [4; 32]).unwrap();
        while !dialler.is_done() {
            let mut message = Vec::new();
            if dialler.is_our_turn() {
                dialler.write(one, &mut message).unwrap();
                answerer.read::<K256>(other, &message[2..]).unwrap();
            } else {
                answerer.write(other, &mut message).unwrap();
                dialler.read::<K256>(one, &message[2..]).unwrap();
            }
        }
        [dialler, answerer].map(|half| half.finish().unwrap().0)
    }

    #[test]
    fn a_promised_length_costs_nothing() {
        let mut opener = Opener::new(1 << 20, READ);
        opener.take_in(&(1u32 << 20).to_be_bytes());
        assert!(matches!(opener.whole(), Ok(None)));
        opener.take_in(&[0; 1000]);
        opener.space();
        assert!(opener.buffer.len() <= 2 * READ);
        let mut opener = Opener::new(1 << 20, READ);
        opener.take_in(&u32::MAX.to_be_bytes());
        assert!(matches!(opener.whole(), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn what_a_long_message_took_is_given_back() {
        let [one, other] = sessions();
        let (mut sealer, mut opener) = (Sealer::new(1 << 20), Opener::new(1 << 20, READ));
        let message = vec![7; 1 << 20];
        let mut frame = Vec::new();
        let sealed = sealer.seal(&one, FrameKind::Message, &message, &mut frame);
        sealed.unwrap();
        opener.take_in(&frame);
        assert!(opener.buffer.len() <= 2 * frame.len() + READ);
        let length = opener.whole().unwrap().unwrap();
        let opened = opener.open(&other, length).unwrap();
        assert_eq!(opened, (FrameKind::Message, &message[..]));
        opener.space();
        for kept in [&sealer.plain, &opener.plain, &opener.buffer] {
            assert!(kept.capacity() <= KEPT);
        }
    }

    /// Two chunks in one frame, whose length stands in clear.
    #[test]
    fn nobody_makes_two_frames_of_one() {
        let [one, other] = sessions();
        let (mut sealer, mut opener) = (Sealer::new(1 << 20), Opener::new(1 << 20, READ));
        let mut frame = Vec::new();
        let message = [7; 2 * CHUNK - 3 * TAG];
        let sealed = sealer.seal(&one, FrameKind::Message, &message, &mut frame);
        sealed.unwrap();
        let (first, second) = frame[4..].split_at(CHUNK);
        let forged = [
            &(first.len() as u32).to_be_bytes(),
            first,
            &(second.len() as u32).to_be_bytes(),
            second,
        ];
        opener.take_in(&forged.concat());
        let length = opener.whole().unwrap().unwrap();
        let opened = opener.open(&other, length);
        assert!(matches!(opened, Err(FrameError::NotAuthentic)));
    }

    #[test]
    fn nobody_makes_one_frame_of_two() {
        let [one, other] = sessions();
        let (mut sealer, mut opener) = (Sealer::new(1 << 20), Opener::new(1 << 20, READ));
        let mut frames = Vec::new();
        // One less than a chunk, for the kind.
        for message in [&[7; CHUNK - TAG - 1][..], &[8]] {
            let sealed = sealer.seal(&one, FrameKind::Message, message, &mut frames);
            sealed.unwrap();
        }
        let (first, second) = frames.split_at(4 + CHUNK);
        let length = (first.len() + second.len() - 8) as u32;
        let forged = [&length.to_be_bytes(), &first[4..], &second[4..]];
        opener.take_in(&forged.concat());
        let length = opener.whole().unwrap().unwrap();
        let opened = opener.open(&other, length);
        assert!(matches!(opened, Err(FrameError::NotAuthentic)));
    }

    #[test]
    fn the_longest_frame_is_that_of_the_longest_message() {
        let [one, _] = sessions();
        for longest in [0, 1, 65_518, 65_519, 131_037, 131_038, 1 << 20] {
            let mut frame = Vec::new();
            let mut sealer = Sealer::new(longest);
            let message = vec![0; longest + 1];
            let sealed = sealer.seal(&one, FrameKind::Message, &message[1..], &mut frame);
            sealed.unwrap();
            assert_eq!(frame.len() - 4, longest_frame(longest));
            let refused = sealer.seal(&one, FrameKind::Message, &message, &mut frame);
            assert!(refused.is_err());
        }
    }
}
