//! What an author keeps in its storage.
//!
//! ```text
//!   1  role, 1        1  format, 1
//!  32  Ed25519 seed  32  X25519 secret   16  nonce
//!  32  channel id    33  participant's key  64  participant's signature
//!   1  how many watchers, each:
//!      32  Ed25519 key   1  subscribed   32  X25519 key   8  number that brought it
//! ```

use heapless::Vec;
use perun_protocol::{ChannelId, Participant, PublicKey, Signature};

use super::watchers::{Watcher, Watchers};
use crate::announcement::{Announcement, AuthorKeys};
use crate::cipher::Secret;
use crate::header::{Number, array};
use crate::keyload::push;
use crate::storage::RecordBytes;
use crate::{keys, wrap};

const ROLE: u8 = 1;
const FORMAT: u8 = 1;
const FIXED_LENGTH: usize = 2 + 32 + 32 + 16 + 32 + 33 + 64 + 1;
const WATCHER_LENGTH: usize = 32 + 1 + 32 + 8;

/// What an author keeps.
pub(super) struct Kept {
    pub(super) seed: Secret,
    pub(super) wrapping: Secret,
    pub(super) announcement: Announcement,
    pub(super) watchers: Watchers,
}

impl Kept {
    pub(super) fn encode(
        seed: &[u8; 32],
        wrapping: &[u8; 32],
        announcement: &Announcement,
        watchers: &Watchers,
    ) -> RecordBytes {
        let Participant::Secp256k1(participant) = announcement.participant();
        let mut bytes = RecordBytes(Vec::new());
        let out = &mut bytes.0;
        push(out, &[ROLE, FORMAT]);
        push(out, seed);
        push(out, wrapping);
        push(out, announcement.nonce());
        push(out, announcement.channel().as_bytes());
        push(out, participant.as_bytes());
        push(out, announcement.binding().as_bytes());
        push(out, &[watchers.len() as u8]);
        for watcher in watchers {
            let (key, number) = watcher.wrapping.unwrap_or_default();
            push(out, &watcher.signing_key);
            push(out, &[u8::from(watcher.is_subscribed())]);
            push(out, &key);
            push(out, &number.0.to_be_bytes());
        }
        bytes
    }

    /// `None` if the bytes are no such record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let count = usize::from(*bytes.get(FIXED_LENGTH - 1)?);
        if bytes[..2] != [ROLE, FORMAT] || bytes.len() != FIXED_LENGTH + count * WATCHER_LENGTH {
            return None;
        }
        let seed = Secret::new(array(bytes, 2));
        let wrapping = Secret::new(array(bytes, 34));
        let public = AuthorKeys {
            signing: keys::signing_key(&seed).verifying_key().to_bytes(),
            wrapping: wrap::public_key(&wrapping),
        };
        let announcement = Announcement::from_parts(
            public,
            array(bytes, 66),
            ChannelId::from_bytes(array(bytes, 82)),
            Participant::Secp256k1(PublicKey::from_bytes(array(bytes, 114))?),
            Signature::from_bytes(array(bytes, 147)),
        );
        let mut watchers = Watchers::new();
        for entry in bytes[FIXED_LENGTH..].chunks_exact(WATCHER_LENGTH) {
            let mut watcher = Watcher::allowed(announcement.stream(), array(entry, 0));
            watcher.wrapping = match entry[32] {
                0 => None,
                1 => Some((
                    array(entry, 33),
                    Number(u64::from_be_bytes(array(entry, 65))),
                )),
                _ => return None,
            };
            watchers.push(watcher).ok()?;
        }
        Some(Self {
            seed,
            wrapping,
            announcement,
            watchers,
        })
    }
}
