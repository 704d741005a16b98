//! Signatures: ECDSA over secp256k1 of a 32-byte digest.
//!
//! Keys are compressed (SEC 1, section 2.3.3), signatures 64 bytes `r‖s`, big-endian, and only the
//! lower of the two possible `s` is good, so that nobody can change a signature's bytes. Signing is
//! deterministic (RFC 6979): it needs no randomness, which a microcontroller may not have.
//!
//! Two backends compute the same: [`K256`] everywhere, and the C library behind the feature
//! `secp256k1`, which is faster on hosts. Own cryptography is composition only.

use alloc::rc::Rc;
#[cfg(target_has_atomic = "ptr")]
use alloc::sync::Arc;
use core::fmt;

use k256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use k256::elliptic_curve::ops::Reduce;
use k256::{Scalar, U256};

use crate::Participant;

/// The 32 bytes that are signed: a SHA-256 that begins with a domain tag
/// ([`crate::encoding::Domain`]).
pub type Digest = [u8; 32];

/// Bytes of a compressed key.
pub const PUBLIC_KEY_LENGTH: usize = 33;
/// Bytes of a signature.
pub const SIGNATURE_LENGTH: usize = 64;

/// A compressed secp256k1 key: a sign byte (2 or 3) and the big-endian x coordinate.
///
/// Whether x lies on the curve is checked by [`PublicKey::is_on_curve`] and by each verification,
/// not by decoding.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PublicKey([u8; PUBLIC_KEY_LENGTH]);

/// An ECDSA signature, `r‖s`. Whether it is good, and low-s, shows when it is verified.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Signature([u8; SIGNATURE_LENGTH]);

/// Something that signs digests with one key: a key in memory, or one in a device that never gives
/// it away.
pub trait Signer {
    /// The key that its signatures are checked against.
    fn public_key(&self) -> PublicKey;

    /// Signs, low-s.
    fn sign(&self, digest: &Digest) -> Signature;
}

impl<T: Signer + ?Sized> Signer for Rc<T> {
    fn public_key(&self) -> PublicKey {
        (**self).public_key()
    }

    fn sign(&self, digest: &Digest) -> Signature {
        (**self).sign(digest)
    }
}

#[cfg(target_has_atomic = "ptr")]
impl<T: Signer + ?Sized> Signer for Arc<T> {
    fn public_key(&self) -> PublicKey {
        (**self).public_key()
    }

    fn sign(&self, digest: &Digest) -> Signature {
        (**self).sign(digest)
    }
}

/// A way to check signatures. All ways give the same answers.
pub trait Verifier {
    /// Whether `signature` is the low-s signature of `digest` by `key`.
    fn verify(key: &PublicKey, digest: &Digest, signature: &Signature) -> bool;
}

/// Pure Rust, everywhere: the crate `k256`.
#[derive(Clone, Copy, Debug)]
pub struct K256;

/// The C library `libsecp256k1`, on hosts.
#[cfg(feature = "secp256k1")]
#[derive(Clone, Copy, Debug)]
pub struct Libsecp256k1;

/// A secret key in memory; its bytes are zeroed when it is dropped.
#[derive(Clone)]
pub struct SecretKey(k256::ecdsa::SigningKey);

/// A secret key in memory for the C library, which signs faster; its bytes are overwritten when it is
/// dropped.
#[cfg(feature = "secp256k1")]
pub struct Libsecp256k1Key {
    secret: secp256k1::SecretKey,
    public: PublicKey,
}

#[cfg(feature = "secp256k1")]
impl Libsecp256k1Key {
    /// The key with these big-endian bytes, `None` if they are zero or not below the curve's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let public = SecretKey::from_bytes(bytes)?.public_key();
        let secret = secp256k1::SecretKey::from_secret_bytes(*bytes).ok()?;
        Some(Self { secret, public })
    }
}

#[cfg(feature = "secp256k1")]
impl Signer for Libsecp256k1Key {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, digest: &Digest) -> Signature {
        // RFC 6979 and low-s, as the other backend.
        let message = secp256k1::Message::from_digest(*digest);
        let signature = secp256k1::ecdsa::sign(message, &self.secret);
        Signature(signature.serialize_compact())
    }
}

#[cfg(feature = "secp256k1")]
impl Drop for Libsecp256k1Key {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

#[cfg(feature = "secp256k1")]
impl fmt::Debug for Libsecp256k1Key {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Libsecp256k1Key of")
            .field(&self.public)
            .finish()
    }
}

impl PublicKey {
    /// `None` if the first byte is not 2 or 3.
    pub fn from_bytes(bytes: [u8; PUBLIC_KEY_LENGTH]) -> Option<Self> {
        matches!(bytes[0], 2 | 3).then_some(Self(bytes))
    }

    /// The 33 bytes.
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LENGTH] {
        &self.0
    }

    /// Whether such a key can exist: only then can anybody sign for it.
    pub fn is_on_curve(&self) -> bool {
        k256::ecdsa::VerifyingKey::from_sec1_bytes(&self.0).is_ok()
    }
}

impl Signature {
    /// The signature with these bytes, `r‖s`.
    pub const fn from_bytes(bytes: [u8; SIGNATURE_LENGTH]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes, `r‖s`.
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_LENGTH] {
        &self.0
    }
}

impl Participant {
    /// Whether `signature` is this participant's on `digest`.
    pub fn verify<V: Verifier>(&self, digest: &Digest, signature: &Signature) -> bool {
        match self {
            Self::Secp256k1(key) => V::verify(key, digest, signature),
        }
    }
}

impl Verifier for K256 {
    fn verify(key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        let Ok(key) = k256::ecdsa::VerifyingKey::from_sec1_bytes(&key.0) else {
            return false;
        };
        let Ok(signature) = k256::ecdsa::Signature::from_slice(&signature.0) else {
            return false;
        };
        // For this curve the crate refuses a high s itself; the rule must not depend on that.
        let is_low = signature.normalize_s().is_none();
        is_low && key.verify_prehash(digest, &signature).is_ok()
    }
}

#[cfg(feature = "secp256k1")]
impl Verifier for Libsecp256k1 {
    fn verify(key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        let Ok(key) = secp256k1::PublicKey::from_byte_array_compressed(key.0) else {
            return false;
        };
        let Ok(signature) = secp256k1::ecdsa::Signature::from_compact(&signature.0) else {
            return false;
        };
        // The C library accepts low-s only.
        let message = secp256k1::Message::from_digest(*digest);
        secp256k1::ecdsa::verify(&signature, message, &key).is_ok()
    }
}

impl SecretKey {
    /// The key with these big-endian bytes, `None` if they are zero or not below the curve's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        k256::ecdsa::SigningKey::from_slice(bytes).ok().map(Self)
    }

    /// The participant that signs with this key.
    pub fn participant(&self) -> Participant {
        Participant::Secp256k1(self.public_key())
    }
}

impl Signer for SecretKey {
    fn public_key(&self) -> PublicKey {
        let point = self.0.verifying_key().to_encoded_point(true);
        let bytes = point.as_bytes().try_into();
        PublicKey(bytes.expect("a compressed point has 33 bytes"))
    }

    fn sign(&self, digest: &Digest) -> Signature {
        // RFC 6979 (section 2.3.4) derives the nonce from the digest modulo the order, which the
        // crate leaves to its caller. The signature is one of the digest either way.
        let reduced = <Scalar as Reduce<U256>>::reduce_bytes(&(*digest).into()).to_bytes();
        let signature: k256::ecdsa::Signature = self
            .0
            .sign_prehash(&reduced)
            .expect("RFC 6979 finds a nonce for every 32-byte digest");
        let low = signature.normalize_s().unwrap_or(signature);
        Signature(low.to_bytes().into())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ")")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ")")
    }
}

impl fmt::Debug for SecretKey {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey of")
            .field(&self.public_key())
            .finish()
    }
}
