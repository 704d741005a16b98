//! The key by which devices let the node into their watch streams.

use std::io::{self, ErrorKind};
use std::path::Path;

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::private_file;

/// 64 hex digits, and the end of the line.
const MAX_LENGTH: u64 = 66;

/// An Ed25519 key. In its file as 64 hex digits, for its owner's eyes only, as the link's.
pub(super) struct StreamKey(SigningKey);

impl StreamKey {
    /// The key in a file; a new one, written there, if there is no such file.
    ///
    /// # Errors
    /// What the system says, or [`ErrorKind::InvalidData`] if something else is there; with the path.
    pub(super) fn load_or_create(path: &Path) -> io::Result<Self> {
        let about = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("key file {}: {error}", path.display()),
            )
        };
        let mut seed = Zeroizing::new([0; 32]);
        match private_file::read(path, MAX_LENGTH).map(Zeroizing::new) {
            Ok(text) => {
                let read = hex::decode_to_slice(text.trim_ascii(), &mut *seed);
                read.map_err(|_| {
                    let reason = "no key in 64 hex digits";
                    about(io::Error::new(ErrorKind::InvalidData, reason))
                })?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                getrandom::fill(&mut *seed).map_err(|error| about(io::Error::other(error)))?;
                let text = Zeroizing::new(hex::encode(seed.as_slice()) + "\n");
                private_file::create(path, text.as_bytes()).map_err(about)?;
            }
            Err(error) => return Err(about(error)),
        }
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// What devices' owners allow.
    pub(super) fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// What subscribers sign with.
    pub(super) fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_key_is_made_once_and_its_file_is_named_if_it_has_none() {
        let scratch = Scratch::new();
        let path = scratch.path().join("stream.key");
        let made = StreamKey::load_or_create(&path).unwrap();
        let again = StreamKey::load_or_create(&path).unwrap();
        assert_eq!(again.public_key(), made.public_key());
        assert!(!private_file::is_readable_by_others(&path));
        let long = "00".repeat(40);
        for text in ["", "07", &"zz".repeat(32), &long] {
            fs::write(&path, text).unwrap();
            let error = StreamKey::load_or_create(&path).err().unwrap().to_string();
            assert!(error.contains("stream.key"), "{error}");
            // It is left as it is.
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
