//! What a watcher has stored, by its word.
//!
//! ```text
//! public part
//!   0   8  the watcher's id
//!   8   8  the number up to which it misses nothing of the author
//!  16   8  the channel version that it has stored
//!  24  32  its next wrapping key, if the header's flag says so
//! previous in the header: the newest message of the author that it saw
//! ```
//!
//! The number in the header is the watcher's own count, so that of two acks the newer one counts, also if
//! it says less: a watcher that lost states guards nothing any more once it says so. The epoch is that of the
//! newest keyload it saw: the author counts no ack from before its own start. A watcher that lost its whole
//! storage has lost that count, too, and is not heard before the author removes it and allows it again.

use ed25519_dalek::SigningKey;
use heapless::Vec;
use perun_protocol::Version;

use crate::header::{HEADER_LENGTH, Header, Kind, Malformed, Number, array};
use crate::keyload::push;
use crate::keys::WatcherId;
use crate::message::{Message, SIGNATURE_LENGTH, SignedHeader};

const PLAIN_LENGTH: usize = 24;
/// Bytes of an ack that names a next wrapping key; 32 fewer without.
pub const MAX_ACK_LENGTH: usize = HEADER_LENGTH + PLAIN_LENGTH + 32 + SIGNATURE_LENGTH;

/// An ack's content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack {
    /// Who acknowledges.
    pub watcher: WatcherId,
    /// The number up to which it misses nothing.
    pub contiguous: Number,
    /// The channel version that it has stored.
    pub version: Version,
    /// The X25519 key that the next keyload is to be sealed to, if it changes.
    pub next_key: Option<[u8; 32]>,
}

impl Ack {
    /// The message. `header` brings kind, stream, epoch, number and previous.
    pub(crate) fn message(&self, header: Header, key: &SigningKey) -> Vec<u8, MAX_ACK_LENGTH> {
        let next_key = self.next_key.as_ref().map_or(&[][..], |key| key);
        let header = Header {
            has_next_key: self.next_key.is_some(),
            public_length: (PLAIN_LENGTH + next_key.len()) as u16,
            masked_length: 0,
            ..header
        };
        let mut bytes = Vec::new();
        push(&mut bytes, &header.encode());
        push(&mut bytes, &self.watcher.0);
        push(&mut bytes, &self.contiguous.0.to_be_bytes());
        push(&mut bytes, &self.version.number().to_be_bytes());
        push(&mut bytes, next_key);
        let signed = SignedHeader::sign(key, &header, &bytes[HEADER_LENGTH..]);
        push(&mut bytes, signed.signature());
        bytes
    }

    /// What an ack says; its signature is not verified.
    pub fn parse(message: &Message<'_>) -> Result<Self, Malformed> {
        if message.header().kind != Kind::Ack {
            return Err(Malformed::UnknownKind);
        }
        let public = message.public();
        let has_next_key = message.header().has_next_key;
        let length = PLAIN_LENGTH + if has_next_key { 32 } else { 0 };
        if message.header().masked_length != 0 || public.len() != length {
            return Err(Malformed::WrongParts);
        }
        Ok(Self {
            watcher: WatcherId(array(public, 0)),
            contiguous: Number(u64::from_be_bytes(array(public, 8))),
            version: Version::new(u64::from_be_bytes(array(public, 16))),
            next_key: has_next_key.then(|| array(public, PLAIN_LENGTH)),
        })
    }
}
