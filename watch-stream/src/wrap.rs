//! Sealing secrets to a key: HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305.
//!
//! ```text
//! sealed = encapsulated key 32 ‖ ciphertext ‖ tag 16
//! ```
//!
//! Who sealed something is never told by HPKE here, but by a signature over or in it.

use hpke::aead::{AeadTag, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use rand_core::{CryptoRng, RngCore};

use crate::cipher::Secret;

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Bytes of an encapsulated key.
pub(crate) const ENCAPPED_LENGTH: usize = 32;
const TAG_LENGTH: usize = 16;
/// How many bytes longer something sealed is than what it seals.
pub(crate) const SEALED_OVERHEAD: usize = ENCAPPED_LENGTH + TAG_LENGTH;

/// A key is none that anybody could open with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct WeakKey;

/// A fresh secret key.
pub(crate) fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Secret {
    let mut key = Secret::default();
    rng.fill_bytes(&mut *key);
    key
}

/// The public key of a secret one.
pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    X25519HkdfSha256::sk_to_pk(&private_key(secret))
        .to_bytes()
        .into()
}

/// Seals the plaintext in the middle of `sealed`, behind room for the encapsulated key and before room
/// for the tag ([`SEALED_OVERHEAD`] together), where it lies.
pub(crate) fn seal(
    to: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    sealed: &mut [u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(), WeakKey> {
    let to = PublicKey::from_bytes(to).map_err(|_| WeakKey)?;
    let text_length = sealed.len() - SEALED_OVERHEAD;
    let (encapped, rest) = sealed.split_at_mut(ENCAPPED_LENGTH);
    let (text, tag) = rest.split_at_mut(text_length);
    let (made_key, made_tag) = hpke::single_shot_seal_in_place_detached::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
        _,
    >(&OpModeS::Base, &to, info, text, aad, rng)
    .map_err(|_| WeakKey)?;
    made_key.write_exact(encapped);
    made_tag.write_exact(tag);
    Ok(())
}

/// Opens `sealed` into `text`, which is [`SEALED_OVERHEAD`] shorter; `None` if it was not sealed to this
/// key with this `info` and `aad`. `text` then holds nothing of it.
pub(crate) fn open(
    key: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
    text: &mut [u8],
) -> Option<()> {
    if sealed.len() != text.len() + SEALED_OVERHEAD {
        return None;
    }
    let (encapped, rest) = sealed.split_at(ENCAPPED_LENGTH);
    let (ciphertext, tag) = rest.split_at(text.len());
    text.copy_from_slice(ciphertext);
    let encapped = EncappedKey::from_bytes(encapped).ok()?;
    let tag = AeadTag::<ChaCha20Poly1305>::from_bytes(tag).ok()?;
    let opened =
        hpke::single_shot_open_in_place_detached::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &private_key(key),
            &encapped,
            info,
            text,
            aad,
            &tag,
        );
    if opened.is_err() {
        text.fill(0);
    }
    opened.ok()
}

fn private_key(secret: &[u8; 32]) -> PrivateKey {
    PrivateKey::from_bytes(secret).expect("any 32 bytes are an X25519 key")
}
