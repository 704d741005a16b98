//! The file: what is in it, and how it is encrypted.
//!
//! ```text
//! { "version": 1,
//!   "keys": { "off_chain": "02…", "principal": "…",                    in the clear
//!             "argon2id": { "memory_kib", "passes", "lanes", "salt" },  password ──> key
//!             "nonce", "sealed": XChaCha20-Poly1305(32 bytes of the words ‖ the PEM) },
//!   "checksum": SHA-256 of "keys" }
//! ```
//!
//! The checksum is against a bad disk, and lets a wrong password be called so. It is no secret: who
//! changes the file on purpose can make it anew, and the AEAD and the comparison of the public keys
//! are there for that.

use argon2::{Algorithm, Argon2, Block, Params};
use candid::Principal;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use perun_protocol::PublicKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::PublicKeys;
use super::derived::{ENTROPY_LENGTH, Phrase};
use super::error::{Flaw, KeystoreError};
use crate::password::Secret;

/// No such file is larger.
pub(super) const MAX_BYTES: u64 = 64 * 1024;

const VERSION: u64 = 1;
const TAG: &[u8] = b"perun keys 1";
const SALT_LENGTH: usize = 16;
const NONCE_LENGTH: usize = 24;

/// What it costs to try a password (Argon2id).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// How many times it is gone through.
    pub passes: u32,
    /// How much of that could be done at the same time.
    pub lanes: u32,
}

/// What is encrypted.
pub(super) struct Contents {
    pub(super) phrase: Phrase,
    pub(super) pem: Option<Secret>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Sealed {
    keys: Keys,
    public: PublicKeys,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    keys: Keys,
    checksum: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    off_chain: String,
    principal: String,
    argon2id: Kdf,
    nonce: String,
    sealed: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Kdf {
    #[serde(flatten)]
    cost: Cost,
    salt: String,
}

impl Default for Cost {
    /// More than the second choice of RFC 9106: a tenth of a second of one processor.
    fn default() -> Self {
        Self {
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 1,
        }
    }
}

impl Cost {
    /// The least there is, for tests.
    pub const LEAST: Self = Self {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    /// What is done for a file that somebody may have written to keep this program busy.
    const MOST: Self = Self {
        memory_kib: 1024 * 1024,
        passes: 32,
        lanes: 16,
    };

    fn params(self) -> Result<Params, Flaw> {
        let Self {
            memory_kib,
            passes,
            lanes,
        } = self;
        if memory_kib > Self::MOST.memory_kib || passes > Self::MOST.passes {
            let memory_mib = memory_kib / 1024;
            return Err(Flaw::TooCostly(format!(
                "{passes} passes through {memory_mib} MiB"
            )));
        }
        if lanes > Self::MOST.lanes {
            return Err(Flaw::TooCostly(format!("{lanes} lanes")));
        }
        Params::new(memory_kib, passes, lanes, Some(32))
            .map_err(|error| Flaw::Damaged(format!("its cost makes no sense: {error}")))
    }
}

impl Sealed {
    pub(super) fn seal(
        contents: &Contents,
        public: &PublicKeys,
        password: &Secret,
        cost: Cost,
    ) -> Result<Self, KeystoreError> {
        let mut salt = [0; SALT_LENGTH];
        let mut nonce = [0; NONCE_LENGTH];
        getrandom::fill(&mut salt).map_err(KeystoreError::Randomness)?;
        getrandom::fill(&mut nonce).map_err(KeystoreError::Randomness)?;
        // A cost that this program chooses makes sense.
        let cipher = cipher(password, &salt, cost).expect("the cost is within bounds");
        let plain = contents.to_bytes();
        let payload = Payload {
            msg: &plain,
            aad: TAG,
        };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload);
        let keys = Keys {
            off_chain: hex::encode(public.off_chain.as_bytes()),
            principal: public.principal.to_text(),
            argon2id: Kdf {
                cost,
                salt: hex::encode(salt),
            },
            nonce: hex::encode(nonce),
            sealed: hex::encode(sealed.expect("a few bytes are not too many")),
        };
        Ok(Self {
            keys,
            public: *public,
        })
    }

    pub(super) fn unseal(&self, password: &Secret) -> Result<Contents, Flaw> {
        let salt = array::<SALT_LENGTH>(&self.keys.argon2id.salt, "salt")?;
        let nonce = array::<NONCE_LENGTH>(&self.keys.nonce, "nonce")?;
        let sealed = hex::decode(&self.keys.sealed)
            .map_err(|_| Flaw::Damaged("\"sealed\" is no hex".into()))?;
        let cipher = cipher(password, &salt, self.cost())?;
        let payload = Payload {
            msg: &sealed,
            aad: TAG,
        };
        let plain = cipher.decrypt(&XNonce::from(nonce), payload);
        let plain = Zeroizing::new(plain.map_err(|_| Flaw::WrongPassword)?);
        Contents::from_bytes(&plain)
    }

    pub(super) fn public(&self) -> &PublicKeys {
        &self.public
    }

    pub(super) fn cost(&self) -> Cost {
        self.keys.argon2id.cost
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Borrowed, as the file is written from what is kept.
        let file = serde_json::json!({
            "version": VERSION,
            "keys": self.keys,
            "checksum": self.keys.checksum(),
        });
        let mut bytes = serde_json::to_vec_pretty(&file).expect("texts and numbers are JSON");
        bytes.push(b'\n');
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Flaw> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let damaged = |error: serde_json::Error| Flaw::Damaged(error.to_string());
        let Versioned { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        if version != VERSION {
            return Err(Flaw::UnknownVersion(version));
        }
        let file: File = serde_json::from_slice(bytes).map_err(damaged)?;
        let keys = file.keys;
        if file.checksum != keys.checksum() {
            return Err(Flaw::Damaged("its checksum is wrong".into()));
        }
        // Refused already here, though only a password needs it.
        keys.argon2id.cost.params()?;
        let off_chain = PublicKey::from_bytes(array(&keys.off_chain, "off_chain")?);
        let principal = Principal::from_text(&keys.principal);
        let public = PublicKeys {
            off_chain: off_chain.ok_or(Flaw::Damaged("\"off_chain\" is no key".into()))?,
            principal: principal.map_err(|_| Flaw::Damaged("\"principal\" is none".into()))?,
        };
        Ok(Self { keys, public })
    }
}

impl Keys {
    fn checksum(&self) -> String {
        let json = serde_json::to_vec(self).expect("texts and numbers are JSON");
        hex::encode(Sha256::digest(json))
    }
}

impl Contents {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let pem = self.pem.as_ref().map_or("", Secret::expose);
        // So large from the start that no copy is left behind by growing.
        let mut bytes = Zeroizing::new(Vec::with_capacity(ENTROPY_LENGTH + pem.len()));
        bytes.extend_from_slice(self.phrase.entropy());
        bytes.extend_from_slice(pem.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Flaw> {
        let flaw = || Flaw::Damaged("what is sealed makes no sense".into());
        let (entropy, pem) = bytes.split_first_chunk().ok_or_else(flaw)?;
        let pem = str::from_utf8(pem).map_err(|_| flaw())?;
        Ok(Self {
            phrase: Phrase::from_entropy(*entropy),
            pem: (!pem.is_empty()).then(|| Secret::new(pem)),
        })
    }
}

fn cipher(password: &Secret, salt: &[u8], cost: Cost) -> Result<XChaCha20Poly1305, Flaw> {
    let params = cost.params()?;
    // Wiped afterwards: it tells as much as the key.
    let mut memory = Zeroizing::new(vec![Block::default(); params.block_count()]);
    let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = Zeroizing::new([0; 32]);
    argon2
        .hash_password_into_with_memory(
            password.expose().as_bytes(),
            salt,
            &mut *key,
            memory.as_mut_slice(),
        )
        .map_err(|error| Flaw::Damaged(error.to_string()))?;
    Ok(XChaCha20Poly1305::new(key.as_slice().into()))
}

fn array<const N: usize>(text: &str, name: &str) -> Result<[u8; N], Flaw> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| Flaw::Damaged(format!("{name:?} is not {N} bytes in hex")))?;
    Ok(bytes)
}
