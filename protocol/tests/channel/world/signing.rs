//! Signatures for explorations: quick, deterministic, and anybody's to forge.

use std::sync::OnceLock;

use perun_protocol::signature::{Digest, Verifier};
use perun_protocol::{PublicKey, Signature, Signer};

use super::{BOTH, secret_key};

/// "Signs" by putting its key behind the digest.
#[derive(Clone, Copy, Debug)]
pub struct Stamp(PublicKey);

/// Knows the stamps.
#[derive(Clone, Copy, Debug)]
pub struct Stamps;

impl Stamp {
    /// That of a side, by the name of its real key.
    pub fn of(side: usize) -> Self {
        static KEYS: OnceLock<[PublicKey; 2]> = OnceLock::new();
        let keys = KEYS.get_or_init(|| BOTH.map(|side| secret_key(side).public_key()));
        Self(keys[side])
    }
}

fn stamp(key: &PublicKey, digest: &Digest) -> Signature {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(digest);
    bytes[32..].copy_from_slice(&key.as_bytes()[1..]);
    Signature::from_bytes(bytes)
}

impl Signer for Stamp {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, digest: &Digest) -> Signature {
        stamp(&self.0, digest)
    }
}

impl Verifier for Stamps {
    fn verify(key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        stamp(key, digest) == *signature
    }
}
