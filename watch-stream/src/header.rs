//! The header that every message begins with.
//!
//! ```text
//! offset  bytes
//!      0      1  format, 1
//!      1      1  suite, 1: Ed25519, HPKE with X25519, HKDF-SHA256, (X)ChaCha20-Poly1305, SHA-256
//!      2      1  kind of message
//!      3      1  flags
//!      4     16  stream
//!     20      4  epoch: of the keyload whose secret masks the message; an ack's is the newest its
//!                watcher could open; 0 before the first keyload
//!     24      8  number: the author counts all that it signs, over all epochs; each watcher what it
//!                sends; tagged packets are counted in their epoch
//!     32     32  previous: the author's message before this one; what a watcher saw last of the author
//!     64      2  bytes of the public part, which follows the header
//!     66      2  bytes of the masked part behind it
//! ```
//!
//! Integers are big-endian. All of it is signed, or authenticated together with the masked part; there
//! is no field that a relay could change. Formats and suites are fixed, not negotiated: another one is
//! another number here, and refused by those who do not know it.

use core::fmt;

use crate::MAX_MESSAGE_LENGTH;

/// Bytes of a header.
pub const HEADER_LENGTH: usize = 68;

const FORMAT: u8 = 1;
const SUITE: u8 = 1;

/// The name of a stream: the first 16 bytes of the digest that the participant signed
/// ([`Announcement`](crate::Announcement)), so that nobody else's keys can have the same.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamId(pub [u8; 16]);

/// The number of a keyload: it and what its secret masks are an epoch. 0 is before the first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u32);

/// A place in the sequence of what a key signs. The announcement's is 0. Numbers only grow, and some are
/// left out.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Number(pub u64);

/// The hash of a signed message ([`SignedHeader::id`](crate::SignedHeader::id)).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct MessageId(pub [u8; 32]);

/// What a message is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// The author's keys, and which participant of which channel it speaks for.
    Announcement,
    /// A watcher's keys, sealed to the author.
    Subscription,
    /// A watcher leaves.
    Unsubscription,
    /// An epoch's secret, sealed to each watcher.
    Keyload,
    /// A masked payload with a channel version, signed by the author.
    Packet,
    /// A masked payload that whoever can read could have made: for heartbeats only.
    Tagged,
    /// What a watcher has stored, signed by it.
    Ack,
}

/// The header of a message, decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// What the message is.
    pub kind: Kind,
    /// A keyload: numbers before it may have been left out, because the author started anew or was
    /// moved; `previous` is then the announcement. False for all others.
    pub is_restart: bool,
    /// An ack: it names the watcher's next wrapping key. False for all others.
    pub has_next_key: bool,
    /// Which stream it belongs to.
    pub stream: StreamId,
    /// Which epoch.
    pub epoch: Epoch,
    /// Which of its sender's messages it is.
    pub number: Number,
    /// What it follows.
    pub previous: MessageId,
    /// Bytes of the public part.
    pub public_length: u16,
    /// Bytes of the masked part, with what unmasking it takes.
    pub masked_length: u16,
}

/// Why bytes are no message. The fault of whoever made or changed them; nothing follows from it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Malformed {
    /// More bytes or fewer than the header says, or than any message has.
    Length,
    /// A format or suite that is not this one.
    UnknownFormat,
    /// A kind without meaning, or flags that the kind does not have.
    UnknownKind,
    /// The parts are not as long as the kind wants them.
    WrongParts,
    /// A value inside cannot be.
    WrongValue,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Announcement,
        Self::Subscription,
        Self::Unsubscription,
        Self::Keyload,
        Self::Packet,
        Self::Tagged,
        Self::Ack,
    ];

    /// The byte for it in a header.
    pub const fn tag(self) -> u8 {
        match self {
            Self::Announcement => 1,
            Self::Subscription => 2,
            Self::Unsubscription => 3,
            Self::Keyload => 4,
            Self::Packet => 5,
            Self::Tagged => 6,
            Self::Ack => 7,
        }
    }

    /// Whether a signature of 64 bytes ends the message. A subscription's is sealed within.
    pub const fn is_signed(self) -> bool {
        !matches!(self, Self::Subscription | Self::Tagged)
    }

    /// Whether the author is who sends such messages.
    pub const fn is_authors(self) -> bool {
        matches!(
            self,
            Self::Announcement | Self::Keyload | Self::Packet | Self::Tagged
        )
    }
}

impl Header {
    const RESTART: u8 = 1;
    const NEXT_KEY: u8 = 2;

    /// The bytes, as the table above has them.
    pub fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[0] = FORMAT;
        bytes[1] = SUITE;
        bytes[2] = self.kind.tag();
        bytes[3] = self.flags();
        bytes[4..20].copy_from_slice(&self.stream.0);
        bytes[20..24].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.number.0.to_be_bytes());
        bytes[32..64].copy_from_slice(&self.previous.0);
        bytes[64..66].copy_from_slice(&self.public_length.to_be_bytes());
        bytes[66..68].copy_from_slice(&self.masked_length.to_be_bytes());
        bytes
    }

    /// The header with these bytes. Each header has one encoding.
    pub fn decode(bytes: &[u8; HEADER_LENGTH]) -> Result<Self, Malformed> {
        if bytes[0] != FORMAT || bytes[1] != SUITE {
            return Err(Malformed::UnknownFormat);
        }
        let kind = Kind::ALL.into_iter().find(|kind| kind.tag() == bytes[2]);
        let header = Self {
            kind: kind.ok_or(Malformed::UnknownKind)?,
            is_restart: bytes[3] & Self::RESTART != 0,
            has_next_key: bytes[3] & Self::NEXT_KEY != 0,
            stream: StreamId(array(bytes, 4)),
            epoch: Epoch(u32::from_be_bytes(array(bytes, 20))),
            number: Number(u64::from_be_bytes(array(bytes, 24))),
            previous: MessageId(array(bytes, 32)),
            public_length: u16::from_be_bytes(array(bytes, 64)),
            masked_length: u16::from_be_bytes(array(bytes, 66)),
        };
        let flags_fit = header.flags() == bytes[3]
            && (!header.is_restart || header.kind == Kind::Keyload)
            && (!header.has_next_key || header.kind == Kind::Ack);
        if !flags_fit {
            return Err(Malformed::UnknownKind);
        }
        if header.message_length() > MAX_MESSAGE_LENGTH {
            return Err(Malformed::Length);
        }
        Ok(header)
    }

    /// Bytes of the whole message.
    pub fn message_length(&self) -> usize {
        let signature = if self.kind.is_signed() { 64 } else { 0 };
        HEADER_LENGTH
            + usize::from(self.public_length)
            + usize::from(self.masked_length)
            + signature
    }

    fn flags(&self) -> u8 {
        let restart = if self.is_restart { Self::RESTART } else { 0 };
        let next_key = if self.has_next_key { Self::NEXT_KEY } else { 0 };
        restart | next_key
    }
}

impl Epoch {
    /// `None` when the counter is spent: the stream must be made anew.
    pub fn plus(self, more: u32) -> Option<Self> {
        self.0.checked_add(more).map(Self)
    }
}

impl Number {
    /// `None` when the counter is spent: the stream must be made anew.
    pub fn plus(self, more: u64) -> Option<Self> {
        self.0.checked_add(more).map(Self)
    }
}

impl MessageId {
    /// Before the first message.
    pub const NONE: Self = Self([0; 32]);
}

/// The bytes at `offset`, which the caller knows to be there.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let slice = &bytes[offset..offset + N];
    slice.try_into().expect("a slice of N bytes")
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, "StreamId", &self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, "MessageId", &self.0)
    }
}

/// `name(01ab…)`.
pub(crate) fn hex(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(f, "{name}(")?;
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
    write!(f, ")")
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the length is not what the header says",
            Self::UnknownFormat => "an unknown format or suite",
            Self::UnknownKind => "an unknown kind of message, or flags that it does not have",
            Self::WrongParts => "the parts are not as long as this kind of message has them",
            Self::WrongValue => "a value inside cannot be",
        })
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::{Epoch, HEADER_LENGTH, Header, Kind, Malformed, MessageId, Number, StreamId};

    fn header(kind: Kind) -> Header {
        Header {
            kind,
            is_restart: kind == Kind::Keyload,
            has_next_key: kind == Kind::Ack,
            stream: StreamId([7; 16]),
            epoch: Epoch(0x0102_0304),
            number: Number(0x0506_0708_090a_0b0c),
            previous: MessageId([9; 32]),
            public_length: 0x0102,
            masked_length: 0x0304,
        }
    }

    #[test]
    fn a_header_has_one_encoding() {
        for kind in Kind::ALL {
            let header = Header {
                masked_length: 4,
                ..header(kind)
            };
            let bytes = header.encode();
            assert_eq!(Header::decode(&bytes), Ok(header));
            // Whatever else decodes, encodes to itself: no byte is without meaning.
            for position in 0..HEADER_LENGTH {
                for bit in 0..8 {
                    let mut other = bytes;
                    other[position] ^= 1 << bit;
                    if let Ok(decoded) = Header::decode(&other) {
                        assert_ne!(decoded, header);
                        assert_eq!(decoded.encode(), other);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let bytes = Header {
            masked_length: 0,
            ..header(Kind::Keyload)
        }
        .encode();
        let with = |position: usize, value: u8| {
            let mut other = bytes;
            other[position] = value;
            Header::decode(&other)
        };
        assert_eq!(with(0, 2), Err(Malformed::UnknownFormat));
        assert_eq!(with(1, 0), Err(Malformed::UnknownFormat));
        assert_eq!(with(2, 0), Err(Malformed::UnknownKind));
        assert_eq!(with(2, 8), Err(Malformed::UnknownKind));
        assert_eq!(with(2, Kind::Packet.tag()), Err(Malformed::UnknownKind));
        assert_eq!(with(3, Header::NEXT_KEY), Err(Malformed::UnknownKind));
        assert_eq!(with(3, 4), Err(Malformed::UnknownKind));
        assert_eq!(with(66, 0xff), Err(Malformed::Length));
    }
}
