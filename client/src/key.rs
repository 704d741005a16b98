//! Off-chain keys in files of their own.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use perun_protocol::signature::Libsecp256k1Key;

use crate::new_file::write_new;

/// Why there is no key.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// The file could not be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file has something else than a key in 64 hex digits.
    NoKey {
        /// Which one.
        path: PathBuf,
    },
    /// The system gives no randomness.
    Randomness(getrandom::Error),
}

/// The key in a file of hex digits; a new one, written there for its owner's eyes only, if there is
/// no such file.
///
/// # Errors
/// [`KeyError`], with the path.
pub fn load_or_create(path: &Path) -> Result<Libsecp256k1Key, KeyError> {
    let about = |error| KeyError::File {
        path: path.to_owned(),
        error,
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(KeyError::Randomness)?;
            let digits = secret.iter().map(|byte| format!("{byte:02x}"));
            let text = digits.collect::<String>() + "\n";
            write_new(path, text.as_bytes()).map_err(about)?;
            text
        }
        Err(error) => return Err(about(error)),
    };
    let key = secret(text.trim()).and_then(|secret| Libsecp256k1Key::from_bytes(&secret));
    key.ok_or_else(|| KeyError::NoKey {
        path: path.to_owned(),
    })
}

fn secret(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let mut secret = [0; 32];
    for (byte, [high, low]) in secret.iter_mut().zip(pairs) {
        let digit = |ascii: u8| char::from(ascii).to_digit(16);
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(secret)
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "key file {}: {error}", path.display()),
            Self::NoKey { path } => {
                write!(f, "key file {}: no key in 64 hex digits", path.display())
            }
            Self::Randomness(error) => write!(f, "the system gives no randomness: {error}"),
        }
    }
}

impl std::error::Error for KeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { error, .. } => Some(error),
            Self::Randomness(error) => Some(error),
            Self::NoKey { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use perun_protocol::Signer as _;

    use super::*;

    #[test]
    fn a_key_is_the_same_the_next_time() {
        let name = format!("perun-key-{}.hex", std::process::id());
        let path = std::env::temp_dir().join(name);
        let created = load_or_create(&path).unwrap();
        let loaded = load_or_create(&path).unwrap();
        assert_eq!(created.public_key(), loaded.public_key());
        for text in ["", "07", &"00".repeat(32), &"zz".repeat(32)] {
            fs::write(&path, text).unwrap();
            let error = load_or_create(&path).err().unwrap();
            assert!(matches!(error, KeyError::NoKey { .. }), "{error}");
        }
        fs::remove_file(&path).unwrap();
    }
}
