//! Why there are no keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use super::MIN_PASSWORD_CHARS;
use crate::{Error, Resource};

/// Why there are no keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeystoreError {
    /// There is nothing to open.
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There are keys already, and they may be the only ones.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    Io {
        /// The file.
        path: PathBuf,
        /// "reading" or "writing".
        doing: &'static str,
        /// What it said.
        error: Arc<io::Error>,
    },
    /// The system gives no randomness.
    Randomness(getrandom::Error),
    /// The file is not what was written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another version of this program has written it.
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// Trying a password would cost more than this program spends on it.
    TooCostly {
        /// The file.
        path: PathBuf,
        /// What it asks for.
        asked: String,
    },
    /// The password is another one; or somebody has changed the file, and its checksum too.
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// Somebody has changed whose keys the file says they are.
    PublicKeysChanged {
        /// The file.
        path: PathBuf,
    },
    /// A new password has less than [`MIN_PASSWORD_CHARS`] characters.
    PasswordTooShort,
    /// These are no recovery words.
    Words {
        /// Why not.
        reason: String,
    },
    /// There is no usable key in the PEM.
    Pem,
}

/// What is wrong with a file whose path is not known here.
#[derive(Debug)]
pub(super) enum Flaw {
    Damaged(String),
    UnknownVersion(u64),
    TooCostly(String),
    WrongPassword,
}

impl Flaw {
    pub(super) fn of(self, path: &Path) -> KeystoreError {
        let path = path.to_owned();
        match self {
            Self::Damaged(reason) => KeystoreError::Damaged { path, reason },
            Self::UnknownVersion(found) => KeystoreError::UnknownVersion { path, found },
            Self::TooCostly(asked) => KeystoreError::TooCostly { path, asked },
            Self::WrongPassword => KeystoreError::WrongPassword { path },
        }
    }
}

impl KeystoreError {
    pub(super) fn reading(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Io {
                path,
                doing: "reading",
                error: Arc::new(error),
            },
        }
    }

    pub(super) fn writing(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Io {
                path,
                doing: "writing",
                error: Arc::new(error),
            },
        }
    }
}

impl From<KeystoreError> for Error {
    fn from(error: KeystoreError) -> Self {
        let secret = |name| Self::invalid(name, "(not shown)", error.to_string());
        match &error {
            KeystoreError::WrongPassword { .. } | KeystoreError::PasswordTooShort => {
                secret("password")
            }
            KeystoreError::Words { .. } => secret("recoveryWords"),
            KeystoreError::Pem => secret("identityPem"),
            KeystoreError::Exists { path } => {
                Self::exists(Resource::Session, path.display().to_string())
            }
            KeystoreError::Missing { path }
            | KeystoreError::Damaged { path, .. }
            | KeystoreError::UnknownVersion { path, .. }
            | KeystoreError::TooCostly { path, .. }
            | KeystoreError::PublicKeysChanged { path } => Self::InvalidConfig {
                name: "keystore".into(),
                value: path.display().to_string(),
                reason: error.to_string(),
            },
            KeystoreError::Io { .. } | KeystoreError::Randomness(_) => Self::internal(error),
        }
    }
}

impl fmt::Display for KeystoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(f, "there are no keys: {} is missing", path.display()),
            Self::Exists { path } => write!(
                f,
                "there are keys already, which are not overwritten: {}",
                path.display()
            ),
            Self::Io { path, doing, error } => write!(f, "{doing} {}: {error}", path.display()),
            Self::Randomness(error) => write!(f, "the system gives no randomness: {error}"),
            Self::Damaged { path, reason } => write!(
                f,
                "{} is damaged ({reason}); restore it from a backup, or the keys from their \
                 recovery words",
                path.display()
            ),
            Self::UnknownVersion { path, found } => write!(
                f,
                "{} has version {found}, which this program does not know; update it",
                path.display()
            ),
            Self::TooCostly { path, asked } => write!(
                f,
                "{} asks for {asked} to try a password, which is beyond all reason; the file is not \
                 from this program",
                path.display()
            ),
            Self::WrongPassword { path } => write!(
                f,
                "wrong password for {}; or somebody has changed the file",
                path.display()
            ),
            Self::PublicKeysChanged { path } => write!(
                f,
                "somebody has changed the public keys in {}; restore it from a backup",
                path.display()
            ),
            Self::PasswordTooShort => {
                write!(f, "a password has at least {MIN_PASSWORD_CHARS} characters")
            }
            Self::Words { reason } => write!(f, "these are no recovery words: {reason}"),
            Self::Pem => write!(
                f,
                "no PEM with an unencrypted private key for Ed25519, secp256k1 or P-256, as dfx and \
                 icp export it"
            ),
        }
    }
}

impl std::error::Error for KeystoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(&**error),
            Self::Randomness(error) => Some(error),
            _ => None,
        }
    }
}
