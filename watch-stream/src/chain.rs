//! The keys of an epoch, from its secret on.
//!
//! ```text
//! context      = SHA-256(keyload's header ‖ list of recipients with what is sealed to each)
//! root         = HKDF-Extract(salt: context, epoch secret)
//! confirmation = HKDF-Expand(root, "confirmed")       in the keyload: all were given the same secret
//! chain key 0  = HKDF-Expand(root, "chain key")
//! tagged key   = HKDF-Expand(root, "tagged")
//!
//! message key  = HKDF-Expand(chain key, "message" ‖ epoch ‖ number)
//! next         = HKDF-Expand(chain key, "next step")  and the old one is overwritten
//! tagged packet's key = HKDF-Expand(tagged key, "message" ‖ epoch ‖ count)
//! ```
//!
//! The author's packets of an epoch are numbered without gaps from its keyload on, so the number tells how
//! many steps to take. Tagged packets don't take any: whoever can read could forge their count, and must
//! not move the chain by it.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::cipher::{Secret, expand};
use crate::header::{Epoch, Number};
use crate::labels;

/// Packets of one epoch at most: what a reader may have to derive to reach the newest of them.
pub const MAX_EPOCH_PACKETS: u64 = 4_096;

/// Where the chain of an epoch stands.
#[derive(Clone)]
pub(crate) struct Chain {
    /// Which epoch.
    pub(crate) epoch: Epoch,
    /// The number of its keyload.
    pub(crate) keyload: Number,
    /// The number that `key` is for.
    next: u64,
    key: Secret,
    tagged: Secret,
}

impl Chain {
    /// The chain of the epoch whose keyload has this number and context, and what the keyload must
    /// confirm.
    pub(crate) fn new(
        epoch: Epoch,
        keyload: Number,
        context: &[u8; 32],
        secret: &[u8; 32],
    ) -> (Self, Secret) {
        let (root, _) = Hkdf::<Sha256>::extract(Some(context), secret);
        let root = Secret::new(root.into());
        let chain = Self {
            epoch,
            keyload,
            next: keyload.0.saturating_add(1),
            key: expand(&root, labels::CHAIN, &[]),
            tagged: expand(&root, labels::TAGGED, &[]),
        };
        (chain, expand(&root, labels::CONFIRMATION, &[]))
    }

    /// The number whose key comes next.
    pub(crate) fn next(&self) -> Number {
        Number(self.next)
    }

    /// Whether the epoch can have a packet with this number.
    pub(crate) fn covers(&self, number: Number) -> bool {
        let steps = number.0.checked_sub(self.keyload.0);
        steps.is_some_and(|steps| (1..=MAX_EPOCH_PACKETS).contains(&steps))
    }

    /// The key of the message with the number [`Chain::next`]; the chain steps past it.
    pub(crate) fn step(&mut self) -> Secret {
        let key = expand(&self.key, labels::MESSAGE, &context(self.epoch, self.next));
        self.key = expand(&self.key, labels::STEP, &[]);
        self.next = self.next.saturating_add(1);
        key
    }

    /// The key of a tagged packet.
    pub(crate) fn tagged(&self, count: Number) -> Secret {
        expand(&self.tagged, labels::MESSAGE, &context(self.epoch, count.0))
    }
}

fn context(epoch: Epoch, number: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&epoch.0.to_be_bytes());
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    bytes
}
