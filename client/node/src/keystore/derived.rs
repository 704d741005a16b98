//! From recovery words to keys.
//!
//! ```text
//!  24 words ──BIP-39, no passphrase──> seed (64 bytes)
//!  HKDF-SHA-256: extract(salt = "perun keys", seed) ──> expand(purpose ‖ attempt) ──> 32 bytes
//!     purpose "off-chain secp256k1": big-endian; another attempt if it is no key of the curve
//!     purpose "on-chain ed25519":    the private key of RFC 8032
//! ```
//!
//! This is for ever: whoever has the words has to have the keys with any later version.

use std::sync::Arc;

use bip39::{Language, Mnemonic};
use hkdf::Hkdf;
use ic_agent::Identity;
use ic_agent::identity::BasicIdentity;
use perun_protocol::signature::Libsecp256k1Key;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::KeystoreError;
use crate::password::Secret;

/// Bytes of randomness in 24 words.
pub(super) const ENTROPY_LENGTH: usize = 32;

const SALT: &[u8] = b"perun keys";
const OFF_CHAIN: &[u8] = b"off-chain secp256k1";
const ON_CHAIN: &[u8] = b"on-chain ed25519";

/// What 24 words mean.
pub(super) struct Phrase(Zeroizing<[u8; ENTROPY_LENGTH]>);

/// The keys that come from words.
pub(super) struct Derived {
    pub(super) off_chain: Arc<Libsecp256k1Key>,
    pub(super) identity: Arc<dyn Identity>,
}

impl Phrase {
    pub(super) fn generate() -> Result<Self, KeystoreError> {
        let mut entropy = Zeroizing::new([0; ENTROPY_LENGTH]);
        getrandom::fill(&mut *entropy).map_err(KeystoreError::Randomness)?;
        Ok(Self(entropy))
    }

    pub(super) fn from_entropy(entropy: [u8; ENTROPY_LENGTH]) -> Self {
        Self(Zeroizing::new(entropy))
    }

    pub(super) fn entropy(&self) -> &[u8; ENTROPY_LENGTH] {
        &self.0
    }

    /// Reads words, however they are spaced and capitalised.
    pub(super) fn read(words: &Secret) -> Result<Self, KeystoreError> {
        let refused = |reason: String| KeystoreError::Words { reason };
        let lower = Zeroizing::new(words.expose().to_lowercase());
        let count = lower.split_whitespace().count();
        if count != 24 {
            return Err(refused(format!("they are {count}, and not 24")));
        }
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &lower);
        let mnemonic = mnemonic.map_err(|error| match error {
            // Which word is wrong is shown by its place only.
            bip39::Error::UnknownWord(index) => {
                refused(format!("word {} is not in the list", index + 1))
            }
            _ => refused("one of them is wrong, or their order".into()),
        })?;
        let entropy = Zeroizing::new(mnemonic.to_entropy());
        let mut array = Zeroizing::new([0; ENTROPY_LENGTH]);
        array.copy_from_slice(&entropy);
        Ok(Self(array))
    }

    pub(super) fn to_words(&self) -> Secret {
        Secret::new(self.mnemonic().to_string())
    }

    pub(super) fn derive(&self) -> Derived {
        let seed = Zeroizing::new(self.mnemonic().to_seed_normalized(""));
        let prk = Hkdf::<Sha256>::new(Some(SALT), &*seed);
        let key = |purpose: &[u8], attempt: u8| {
            let mut bytes = Zeroizing::new([0; 32]);
            prk.expand_multi_info(&[purpose, &[attempt]], &mut *bytes)
                .expect("one block is not too long");
            bytes
        };
        let off_chain = (0..=u8::MAX)
            .find_map(|attempt| Libsecp256k1Key::from_bytes(&key(OFF_CHAIN, attempt)))
            .expect("one attempt in 2^128 fails");
        Derived {
            off_chain: Arc::new(off_chain),
            identity: Arc::new(BasicIdentity::from_raw_key(&key(ON_CHAIN, 0))),
        }
    }

    fn mnemonic(&self) -> Mnemonic {
        Mnemonic::from_entropy(&*self.0).expect("32 bytes make 24 words")
    }
}

#[cfg(test)]
mod tests {
    use perun_protocol::Signer as _;

    use super::*;

    /// The words of 32 zero bytes, as BIP-39's own test vectors have them.
    fn zero_words() -> String {
        format!("{}art", "abandon ".repeat(23))
    }

    /// Computed apart from this program, with Python's hashlib, hmac and an own curve.
    #[test]
    fn the_same_words_are_the_same_keys_for_ever() {
        let phrase = Phrase::read(&Secret::new(zero_words())).unwrap();
        let derived = phrase.derive();
        assert_eq!(
            hex::encode(derived.off_chain.public_key().as_bytes()),
            "03dff7a98b0b31d5bf62fd64c1811e408224bc5d06d371b1ffa683e95bb351700e"
        );
        assert_eq!(
            hex::encode(derived.identity.public_key().unwrap()),
            "302a300506032b657003210078fef9be01e16da2492f1f6dea0d24288de9ed37a2f7a01c9fb1b401829dadd0"
        );
    }

    #[test]
    fn words_are_read_as_people_write_them() {
        let phrase = Phrase::from_entropy([0; 32]);
        assert_eq!(phrase.to_words().expose(), zero_words());
        let written = format!("  {}\n", zero_words().to_uppercase().replace(' ', "\n\t"));
        let read = Phrase::read(&Secret::new(written)).unwrap();
        assert_eq!(read.entropy(), &[0; 32]);
    }

    #[test]
    fn what_are_no_words_is_said_without_showing_them() {
        let refused = |words: &str| {
            let error = Phrase::read(&Secret::new(words)).err().unwrap();
            error.to_string()
        };
        assert!(refused("abandon art").contains("they are 2, and not 24"));
        let unknown = refused(&zero_words().replacen("abandon art", "hunter art", 1));
        assert!(unknown.contains("word 23 is not in the list"), "{unknown}");
        assert!(!unknown.contains("hunter"), "{unknown}");
        let swapped = refused(&zero_words().replace("art", "zoo"));
        assert!(swapped.contains("one of them is wrong"), "{swapped}");
    }
}
