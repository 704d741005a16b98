//! An off-chain key in a file.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use perun_protocol::signature::Libsecp256k1Key;

use super::contact::{Hex, bytes};
use crate::{Failure, random};

/// The off-chain key in a file of hex digits; a new one, written there for its owner's eyes only, if
/// there is no such file.
///
/// # Errors
/// If the file cannot be read or written, or holds something else.
pub fn load_or_create_key(path: &Path) -> Result<Arc<Libsecp256k1Key>, Failure> {
    let about = |error: io::Error| format!("{}: {error}", path.display());
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("{}\n", Hex(&random()?));
            write_new(path, &text).map_err(about)?;
            text
        }
        Err(error) => return Err(about(error).into()),
    };
    let secret = bytes(text.trim());
    let key = secret.and_then(|secret| Libsecp256k1Key::from_bytes(&secret));
    let key = key.ok_or_else(|| format!("{}: no key in 64 hex digits", path.display()))?;
    Ok(Arc::new(key))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;
    use perun_protocol::Signer as _;

    #[test]
    fn a_key_is_the_same_the_next_time() {
        let folder = Scratch::new("counterpart-key").unwrap();
        let path = folder.path().join("key");
        let created = load_or_create_key(&path).unwrap();
        let loaded = load_or_create_key(&path).unwrap();
        assert_eq!(created.public_key(), loaded.public_key());
        for text in ["", "07", &"00".repeat(32), &"zz".repeat(32)] {
            fs::write(&path, text).unwrap();
            let error = load_or_create_key(&path).err().unwrap().to_string();
            assert!(error.contains("no key"), "{error}");
        }
    }
}
