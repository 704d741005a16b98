//! What a watcher keeps in its storage.
//!
//! ```text
//!   1  role, 2     1  format, 1     342  announcement
//!  32  Ed25519 seed
//!  32  X25519 secret
//!   1  whether there is a next one,  32  the next one
//!   1  whether a version was stored,  8  the version
//!   1  whether there is a fork,     328  the evidence
//! ```

use heapless::Vec;
use perun_protocol::Version;

use super::forks::Fork;
use crate::announcement::{self, ANNOUNCEMENT_LENGTH, Announcement};
use crate::cipher::Secret;
use crate::header::{MessageId, array};
use crate::keyload::push;
use crate::message::Message;
use crate::storage::RecordBytes;

const ROLE: u8 = 2;
const FORMAT: u8 = 1;
const KEYS: usize = 2 + ANNOUNCEMENT_LENGTH;
const LENGTH: usize = KEYS + 64 + 33 + 9 + 1 + Fork::LENGTH;

/// What a watcher keeps, but for its sequence.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) announcement: Announcement,
    pub(super) announcement_id: MessageId,
    pub(super) announcement_bytes: [u8; ANNOUNCEMENT_LENGTH],
    pub(super) seed: Secret,
    pub(super) wrapping: Secret,
    pub(super) next_wrapping: Option<Secret>,
    pub(super) stored: Option<Version>,
    pub(super) fork: Option<Fork>,
}

impl Kept {
    pub(super) fn encode(&self) -> RecordBytes {
        let next = self.next_wrapping.clone().unwrap_or_default();
        let stored = self.stored.map_or(0, Version::number);
        let fork = self.fork.map_or([0; Fork::LENGTH], |fork| fork.encode());
        let mut bytes = RecordBytes(Vec::new());
        let out = &mut bytes.0;
        push(out, &[ROLE, FORMAT]);
        push(out, &self.announcement_bytes);
        push(out, &*self.seed);
        push(out, &*self.wrapping);
        push(out, &[u8::from(self.next_wrapping.is_some())]);
        push(out, &*next);
        push(out, &[u8::from(self.stored.is_some())]);
        push(out, &stored.to_be_bytes());
        push(out, &[u8::from(self.fork.is_some())]);
        push(out, &fork);
        bytes
    }

    /// `None` if the bytes are no such record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LENGTH || bytes[..2] != [ROLE, FORMAT] {
            return None;
        }
        let announcement_bytes = array(bytes, 2);
        let message = Message::parse(&announcement_bytes).ok()?;
        let announcement = announcement::verify(&message).ok()?;
        let fork_bytes = array(bytes, KEYS + 107);
        let fork = match bytes[KEYS + 106] {
            0 => None,
            1 => Some(Fork::decode(&fork_bytes, &announcement.keys().signing)?),
            _ => return None,
        };
        Some(Self {
            announcement,
            announcement_id: message.signed()?.id(),
            announcement_bytes,
            seed: Secret::new(array(bytes, KEYS)),
            wrapping: Secret::new(array(bytes, KEYS + 32)),
            next_wrapping: flag(bytes[KEYS + 64])?.then(|| Secret::new(array(bytes, KEYS + 65))),
            stored: flag(bytes[KEYS + 97])?
                .then(|| Version::new(u64::from_be_bytes(array(bytes, KEYS + 98)))),
            fork,
        })
    }
}

fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
