//! Identities: whose calls the Internet Computer believes them to be.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ic_agent::Identity;
use ic_agent::identity::{BasicIdentity, Prime256v1Identity, Secp256k1Identity};

use crate::new_file::write_new;

/// An identity that several agents can use.
pub type SharedIdentity = Arc<dyn Identity>;

/// Why there is no identity.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file could not be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is no PEM file with a private key of a kind that the Internet Computer knows.
    NoKey {
        /// Which one.
        path: PathBuf,
    },
    /// The system gives no randomness.
    Randomness(getrandom::Error),
}

/// The identity in a PEM file: Ed25519, or ECDSA over secp256k1 or P-256, as `dfx identity export`
/// and similar tools write it.
///
/// # Errors
/// [`IdentityError::File`] and [`IdentityError::NoKey`], with the path.
pub fn load(path: &Path) -> Result<SharedIdentity, IdentityError> {
    let bytes = fs::read(path).map_err(|error| IdentityError::File {
        path: path.to_owned(),
        error,
    })?;
    read(&bytes).ok_or_else(|| IdentityError::NoKey {
        path: path.to_owned(),
    })
}

/// The identity in a PEM file's contents, as [`load`] has it; `None` if there is none.
pub fn read(bytes: &[u8]) -> Option<SharedIdentity> {
    // The key's kind is looked up by its object identifier, wherever it stands in the file: a reader
    // for another curve would take the same 32 bytes and be somebody else.
    const SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
    const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
    let blocks = pem::parse_many(bytes).ok()?;
    let mentions = |id: &[u8]| {
        let mut contents = blocks.iter().map(pem::Pem::contents);
        contents.any(|contents| contents.windows(id.len()).any(|window| window == id))
    };
    if mentions(SECP256K1) {
        let identity = Secp256k1Identity::from_pem(bytes).ok()?;
        return Some(Arc::new(identity));
    }
    if mentions(P256) {
        let identity = Prime256v1Identity::from_pem(bytes).ok()?;
        return Some(Arc::new(identity));
    }
    if mentions(ED25519) {
        let identity = BasicIdentity::from_pem(bytes).ok()?;
        return Some(Arc::new(identity));
    }
    None
}

/// A new Ed25519 identity that is forgotten with the program.
///
/// # Errors
/// [`IdentityError::Randomness`].
pub fn generate() -> Result<SharedIdentity, IdentityError> {
    let identity = BasicIdentity::from_raw_key(&new_key()?);
    Ok(Arc::new(identity))
}

/// The identity in a PEM file; a new one, written there for its owner's eyes only, if there is no
/// such file.
///
/// # Errors
/// As [`load`] and [`generate`].
pub fn load_or_create(path: &Path) -> Result<SharedIdentity, IdentityError> {
    let key = new_key()?;
    match write_new(path, to_pem(&key).as_bytes()) {
        Ok(()) => Ok(Arc::new(BasicIdentity::from_raw_key(&key))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(path),
        Err(error) => Err(IdentityError::File {
            path: path.to_owned(),
            error,
        }),
    }
}

fn new_key() -> Result<[u8; 32], IdentityError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(IdentityError::Randomness)?;
    Ok(key)
}

/// An Ed25519 key as PKCS #8 (RFC 8410, section 7).
fn to_pem(key: &[u8; 32]) -> String {
    // SEQUENCE { INTEGER 0, SEQUENCE { OID 1.3.101.112 }, OCTET STRING { OCTET STRING { key } } }
    const PREFIX: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let contents = [PREFIX.as_slice(), key].concat();
    pem::encode(&pem::Pem::new("PRIVATE KEY", contents))
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "identity file {}: {error}", path.display()),
            Self::NoKey { path } => write!(
                f,
                "identity file {}: no PEM with an unencrypted private key for Ed25519, secp256k1 \
                 or P-256",
                path.display()
            ),
            Self::Randomness(error) => write!(f, "the system gives no randomness: {error}"),
        }
    }
}

impl std::error::Error for IdentityError {
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
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let unique = format!("perun-identity-{name}-{}.pem", std::process::id());
        std::env::temp_dir().join(unique)
    }

    #[test]
    fn what_was_created_is_loaded_again() {
        let path = scratch("created");
        let created = load_or_create(&path).unwrap();
        let loaded = load_or_create(&path).unwrap();
        assert_eq!(created.sender(), loaded.sender());
        assert_eq!(load(&path).unwrap().sender(), created.sender());
        fs::remove_file(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_created_key_is_for_its_owners_eyes_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = scratch("mode");
        load_or_create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// An elliptic curve key as RFC 5915 has it, without the public key.
    fn sec1_pem(curve: &[u8]) -> String {
        let mut contents = vec![0x30, 0, 0x02, 0x01, 0x01, 0x04, 0x20];
        contents.extend([7; 32]);
        contents.extend([0xa0, curve.len() as u8]);
        contents.extend(curve);
        contents[1] = contents.len() as u8 - 2;
        pem::encode(&pem::Pem::new("EC PRIVATE KEY", contents))
    }

    #[test]
    fn the_curve_in_the_file_decides_whose_key_it_is() {
        let secp256k1 = sec1_pem(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]);
        let expected = Secp256k1Identity::from_pem(&secp256k1).unwrap().sender();
        assert_eq!(read(secp256k1.as_bytes()).unwrap().sender(), expected);

        let p256 = sec1_pem(&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
        let expected = Prime256v1Identity::from_pem(&p256).unwrap().sender();
        assert_eq!(read(p256.as_bytes()).unwrap().sender(), expected);
    }

    #[test]
    fn an_ed25519_key_is_read_as_written() {
        let expected = BasicIdentity::from_raw_key(&[7; 32]).sender();
        assert_eq!(
            read(to_pem(&[7; 32]).as_bytes()).unwrap().sender(),
            expected
        );
    }

    #[test]
    fn other_files_are_named() {
        let path = scratch("garbage");
        fs::write(
            &path,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let error = load(&path).err().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(error, IdentityError::NoKey { .. }));
        let missing = load(Path::new("/no/such/key.pem")).err().unwrap();
        assert!(
            missing.to_string().contains("/no/such/key.pem"),
            "{missing}"
        );
    }
}
