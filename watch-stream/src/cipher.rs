//! Masking: XChaCha20-Poly1305 with a key for each message and a synthetic nonce.
//!
//! ```text
//! masked part = nonce 24 ‖ ciphertext ‖ tag 16
//! cipher key ‖ nonce key = HKDF-Expand(message key)
//! nonce = HMAC-SHA256(nonce key, header ‖ public part ‖ plaintext)[..24]
//! ```
//!
//! Each message has a key of its own, so any nonce would do. That keys do not repeat rests on the
//! randomness of the epoch's secret and on nobody running a copy of a live author's memory. Where either
//! fails, a nonce that was random would fail with the first, and a nonce counted from the number with
//! both: two payloads under one key and nonce can be read by XOR, and forged. A nonce that is a keyed hash
//! of all that is masked and bound repeats only for the same message, which shows nothing but that it is
//! the same (this is how SIV modes come to theirs). The cipher and its tag stay the standard ones; that a
//! nonce is a MAC of the plaintext as well, so that the tag could be left out, is not made use of: it
//! would save 16 bytes and make the construction ours.

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hkdf::hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::header::array;
use crate::labels;

/// Bytes of a nonce of XChaCha20.
pub(crate) const NONCE_LENGTH: usize = 24;
/// Bytes of a tag of Poly1305.
pub(crate) const TAG_LENGTH: usize = 16;
/// How many bytes longer a masked part is than what it masks.
pub const MASKED_OVERHEAD: usize = NONCE_LENGTH + TAG_LENGTH;

/// A secret of 32 bytes that is overwritten when it is dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// `length` bytes for `label` and `context` from a key that is uniformly random.
pub(crate) fn expand<const N: usize>(
    key: &[u8; 32],
    label: &[u8; labels::LENGTH],
    context: &[u8],
) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    let hkdf = Hkdf::<Sha256>::from_prk(key).expect("32 bytes are as long as the hash");
    hkdf.expand_multi_info(&[label, context], &mut *out)
        .expect("far fewer than 255 blocks");
    out
}

/// Masks the plaintext in the middle of `masked`, behind room for the nonce and before room for the tag
/// ([`MASKED_OVERHEAD`] together), where it lies. `bound` is the message's header and public part.
pub(crate) fn mask(key: &[u8; 32], bound: &[u8], masked: &mut [u8]) {
    let keys = Keys::of(key);
    let text_length = masked.len() - MASKED_OVERHEAD;
    let (nonce, rest) = masked.split_at_mut(NONCE_LENGTH);
    let (text, tag) = rest.split_at_mut(text_length);
    nonce.copy_from_slice(&keys.nonce(bound, text));
    let made = keys
        .cipher()
        .encrypt_in_place_detached(&xnonce(nonce), bound, text)
        .expect("messages are far shorter than the cipher's bound");
    tag.copy_from_slice(&made);
}

/// Unmasks `masked` into the beginning of `text` and says how long it is; `None` if it was not masked
/// under this key together with `bound`, or `text` is too short; `text` then holds nothing of it.
pub(crate) fn unmask(
    key: &[u8; 32],
    bound: &[u8],
    masked: &[u8],
    text: &mut [u8],
) -> Option<usize> {
    let length = masked.len().checked_sub(MASKED_OVERHEAD)?;
    let text = text.get_mut(..length)?;
    let (nonce, rest) = masked.split_at(NONCE_LENGTH);
    let (ciphertext, tag) = rest.split_at(length);
    text.copy_from_slice(ciphertext);
    let opened = Keys::of(key).cipher().decrypt_in_place_detached(
        &xnonce(nonce),
        bound,
        text,
        &Tag::from(array(tag, 0)),
    );
    if opened.is_err() {
        text.fill(0);
        return None;
    }
    Some(length)
}

fn xnonce(bytes: &[u8]) -> XNonce {
    XNonce::from(array(bytes, 0))
}

/// The cipher's key, and behind it the one that the nonce comes from.
struct Keys(Zeroizing<[u8; 64]>);

impl Keys {
    fn of(message_key: &[u8; 32]) -> Self {
        Self(expand(message_key, labels::CIPHER, &[]))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let key = Secret::new(array(&*self.0, 0));
        XChaCha20Poly1305::new((&*key).into())
    }

    fn nonce(&self, bound: &[u8], text: &[u8]) -> [u8; NONCE_LENGTH] {
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0[32..]);
        let mut mac = mac.expect("HMAC takes keys of any length");
        // Where `bound` ends is in its first bytes.
        mac.update(bound);
        mac.update(text);
        array(&mac.finalize().into_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{MASKED_OVERHEAD, NONCE_LENGTH, TAG_LENGTH, mask, unmask};

    const KEY: [u8; 32] = [3; 32];

    fn masked(bound: &[u8], text: &[u8]) -> std::vec::Vec<u8> {
        let mut bytes = std::vec![0; NONCE_LENGTH];
        bytes.extend(text);
        bytes.extend([0; TAG_LENGTH]);
        mask(&KEY, bound, &mut bytes);
        bytes
    }

    #[test]
    fn what_is_masked_is_bound_and_hidden() {
        let text = [0x5a; 300];
        let bytes = masked(b"header", &text);
        assert_eq!(bytes.len(), text.len() + MASKED_OVERHEAD);
        assert!(!bytes.windows(8).any(|window| window == &text[..8]));
        let mut out = [1; 300];
        assert_eq!(unmask(&KEY, b"header", &bytes, &mut out), Some(300));
        assert_eq!(out, text);
        assert_eq!(unmask(&KEY, b"heade!", &bytes, &mut out), None);
        assert_eq!(out, [0; 300]);
        for position in 0..bytes.len() {
            let mut other = bytes.clone();
            other[position] ^= 1;
            assert_eq!(unmask(&KEY, b"header", &other, &mut out), None);
        }
        assert_eq!(unmask(&[4; 32], b"header", &bytes, &mut out), None);
        assert_eq!(unmask(&KEY, b"header", &bytes, &mut out[..299]), None);
        assert_eq!(unmask(&KEY, b"header", &bytes[..39], &mut out), None);
    }

    /// The two-time pad of the predecessor: the same key for two payloads. Their XOR must tell nothing.
    #[test]
    fn one_key_twice_is_no_two_time_pad() {
        let (one, other) = ([0x11; 64], [0x22; 64]);
        let (first, second) = (masked(b"header", &one), masked(b"header", &other));
        assert_ne!(first[..NONCE_LENGTH], second[..NONCE_LENGTH]);
        let xor = |position: usize| first[position] ^ second[position];
        let repeats = (NONCE_LENGTH..NONCE_LENGTH + 64).filter(|&position| xor(position) == 0x33);
        assert!(repeats.count() < 8);
        assert_ne!(masked(b"header", &one), masked(b"heade2", &one));
        assert_eq!(masked(b"header", &one), first);
    }
}
