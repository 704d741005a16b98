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
    let encapped = EncappedKey::from_bytes(encapped).ok()?;
    let tag = AeadTag::<ChaCha20Poly1305>::from_bytes(tag).ok()?;
    text.copy_from_slice(ciphertext);
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

#[cfg(test)]
mod tests {
    use rand_core::{CryptoRng, RngCore};
    use std::vec::Vec;

    use super::{ENCAPPED_LENGTH, open, public_key, seal};

    // RFC 9180, A.2.1 (DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, base mode), and the
    // first of its encryptions.
    const INFO: &str = "4f6465206f6e2061204772656369616e2055726e";
    const EPHEMERAL_IKM: &str = "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b";
    const SECRET: &str = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
    const PUBLIC: &str = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
    const ENCAPPED: &str = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
    const AAD: &str = "436f756e742d30";
    const TEXT: &str = "4265617574792069732074727574682c20747275746820626561757479";
    const CIPHERTEXT: &str = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62\
        ce81883d2dd1b51a28";

    fn unhex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        let bytes = digits.map(|digits| core::str::from_utf8(digits).unwrap());
        bytes
            .map(|it| u8::from_str_radix(it, 16).unwrap())
            .collect()
    }

    fn unhex_array(text: &str) -> [u8; 32] {
        unhex(text).try_into().unwrap()
    }

    /// Gives the bytes that the vector's ephemeral key is made of.
    struct Given;

    impl RngCore for Given {
        fn next_u32(&mut self) -> u32 {
            unreachable!()
        }

        fn next_u64(&mut self) -> u64 {
            unreachable!()
        }

        fn fill_bytes(&mut self, out: &mut [u8]) {
            out.copy_from_slice(&unhex(EPHEMERAL_IKM));
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
            self.fill_bytes(out);
            Ok(())
        }
    }

    impl CryptoRng for Given {}

    #[test]
    fn sealing_is_that_of_rfc_9180() {
        let text = unhex(TEXT);
        let expected = [unhex(ENCAPPED), unhex(CIPHERTEXT)].concat();
        assert_eq!(public_key(&unhex_array(SECRET)), unhex_array(PUBLIC));
        let mut sealed = std::vec![0; expected.len()];
        sealed[ENCAPPED_LENGTH..][..text.len()].copy_from_slice(&text);
        let to = unhex_array(PUBLIC);
        let done = seal(&to, &unhex(INFO), &unhex(AAD), &mut sealed, &mut Given);
        assert_eq!(done, Ok(()));
        assert_eq!(sealed, expected);
        let mut opened = std::vec![0; text.len()];
        let key = unhex_array(SECRET);
        assert!(open(&key, &unhex(INFO), &unhex(AAD), &sealed, &mut opened).is_some());
        assert_eq!(opened, text);
        for position in 0..sealed.len() {
            let mut other = sealed.clone();
            other[position] ^= 1;
            let refused = open(&key, &unhex(INFO), &unhex(AAD), &other, &mut opened);
            assert_eq!(refused, None);
            assert!(opened.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn nothing_is_sealed_to_a_key_that_everybody_can_open_with() {
        let mut sealed = [7; 80];
        // The points of small order 0 and 1.
        for byte in [0, 1] {
            let mut weak = [0; 32];
            weak[0] = byte;
            assert!(seal(&weak, &[], &[], &mut sealed, &mut Given).is_err());
        }
    }
}
