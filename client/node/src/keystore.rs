//! Keys of a user, encrypted.
//!
//! ```text
//!  24 words ──BIP-39──> seed ──HKDF──┬─> off-chain key (secp256k1): who the user is to peers
//!                                    └─> on-chain identity (Ed25519): whose account deposits
//!  a PEM of dfx or icp ─────────────────> on-chain identity, in place of that
//!
//!  keystore/keys.json:  public keys in the clear │ Argon2id(password) seals words and PEM
//! ```
//!
//! What the public keys are can be read without the password, and is believed of whoever has it:
//! [`Keystore::unlock`] compares them with the keys.

mod derived;
mod error;
mod sealed;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candid::Principal;
use ic_agent::Identity;
use perun_client::identity;
use perun_protocol::signature::Libsecp256k1Key;
use perun_protocol::{PublicKey, Signer as _};

use self::derived::Phrase;
pub use self::error::KeystoreError;
pub use self::sealed::Cost;
use self::sealed::{Contents, Sealed};
use crate::password::Secret;
use crate::private_file;

/// The file in a keystore's folder.
const FILE: &str = "keys.json";

/// No PEM with one key is longer.
const MAX_PEM_BYTES: usize = 16 * 1024;

/// Shorter passwords are refused.
pub const MIN_PASSWORD_CHARS: usize = 8;

/// The keys of a user.
#[derive(Clone)]
pub struct UserKeys {
    /// Signs states, and is who the user is to peers.
    pub off_chain: Arc<Libsecp256k1Key>,
    /// Calls the adjudicator and the ledgers; its account deposits and is paid.
    pub identity: Arc<dyn Identity>,
}

/// What everybody may know of a user's keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PublicKeys {
    /// Of [`UserKeys::off_chain`].
    pub off_chain: PublicKey,
    /// Of [`UserKeys::identity`].
    pub principal: Principal,
}

/// What [`Keystore::create`] has made.
#[derive(Debug)]
pub struct Created {
    /// The recovery words: all keys come from them, but for an imported identity.
    pub words: Secret,
    /// Whose keys they are.
    pub public: PublicKeys,
}

/// A user's keys as they lie on the disk.
#[derive(Debug)]
pub struct Keystore {
    path: PathBuf,
    sealed: Sealed,
}

impl Keystore {
    /// Makes keys, and a folder for them: from these recovery words, or new ones. The identity is the
    /// one in `pem`, if given. Refused if there are keys already.
    ///
    /// This and [`unlock`](Self::unlock) occupy a processor for a tenth of a second, on purpose: not
    /// within a task of tokio.
    pub fn create(
        folder: &Path,
        password: &Secret,
        words: Option<&Secret>,
        pem: Option<&Secret>,
    ) -> Result<Created, KeystoreError> {
        Self::create_at_cost(folder, password, words, pem, Cost::default())
    }

    /// [`create`](Self::create), where trying a password costs so much.
    pub fn create_at_cost(
        folder: &Path,
        password: &Secret,
        words: Option<&Secret>,
        pem: Option<&Secret>,
        cost: Cost,
    ) -> Result<Created, KeystoreError> {
        check_password(password)?;
        let phrase = match words {
            Some(words) => Phrase::read(words)?,
            None => Phrase::generate()?,
        };
        let contents = Contents {
            phrase,
            pem: pem.cloned(),
        };
        let public = contents.keys()?.public();
        let sealed = Sealed::seal(&contents, &public, password, cost)?;
        let path = folder.join(FILE);
        private_file::create_folder(folder)
            .and_then(|()| private_file::create(&path, &sealed.to_bytes()))
            .map_err(|error| KeystoreError::writing(&path, error))?;
        Ok(Created {
            words: contents.phrase.to_words(),
            public,
        })
    }

    /// Reads what is there; no password is needed for that.
    pub fn open(folder: &Path) -> Result<Self, KeystoreError> {
        let path = folder.join(FILE);
        let bytes = private_file::read(&path, sealed::MAX_BYTES)
            .map_err(|error| KeystoreError::reading(&path, error))?;
        let sealed = Sealed::from_bytes(&bytes).map_err(|flaw| flaw.of(&path))?;
        Ok(Self { path, sealed })
    }

    /// Whose keys they are, if nobody has changed the file: [`unlock`](Self::unlock) finds out.
    pub fn public(&self) -> &PublicKeys {
        self.sealed.public()
    }

    /// Decrypts them.
    pub fn unlock(&self, password: &Secret) -> Result<UserKeys, KeystoreError> {
        Ok(self.unseal(password)?.1)
    }

    /// The recovery words.
    pub fn words(&self, password: &Secret) -> Result<Secret, KeystoreError> {
        Ok(self.unseal(password)?.0.phrase.to_words())
    }

    /// Encrypts them with another password. Copies of the file that are elsewhere keep the old one.
    pub fn change_password(&mut self, old: &Secret, new: &Secret) -> Result<(), KeystoreError> {
        check_password(new)?;
        let (contents, _) = self.unseal(old)?;
        let sealed = Sealed::seal(&contents, self.public(), new, self.sealed.cost())?;
        private_file::replace(&self.path, &sealed.to_bytes())
            .map_err(|error| KeystoreError::writing(&self.path, error))?;
        self.sealed = sealed;
        Ok(())
    }

    fn unseal(&self, password: &Secret) -> Result<(Contents, UserKeys), KeystoreError> {
        let contents = self.sealed.unseal(password);
        let contents = contents.map_err(|flaw| flaw.of(&self.path))?;
        let keys = contents.keys()?;
        if keys.public() != *self.public() {
            let path = self.path.clone();
            return Err(KeystoreError::PublicKeysChanged { path });
        }
        Ok((contents, keys))
    }
}

impl UserKeys {
    /// What everybody may know of them.
    pub fn public(&self) -> PublicKeys {
        let principal = self.identity.sender();
        PublicKeys {
            off_chain: self.off_chain.public_key(),
            principal: principal.expect("keys in memory know their principal"),
        }
    }
}

impl Contents {
    fn keys(&self) -> Result<UserKeys, KeystoreError> {
        let derived = self.phrase.derive();
        let identity = match &self.pem {
            Some(pem) => identity_in(pem).ok_or(KeystoreError::Pem)?,
            None => derived.identity,
        };
        Ok(UserKeys {
            off_chain: derived.off_chain,
            identity,
        })
    }
}

impl fmt::Debug for UserKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserKeys").field(&self.public()).finish()
    }
}

fn identity_in(pem: &Secret) -> Option<Arc<dyn Identity>> {
    let bytes = pem.expose().as_bytes();
    if bytes.len() > MAX_PEM_BYTES {
        return None;
    }
    identity::read(bytes)
}

fn check_password(password: &Secret) -> Result<(), KeystoreError> {
    if password.expose().chars().count() < MIN_PASSWORD_CHARS {
        return Err(KeystoreError::PasswordTooShort);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
