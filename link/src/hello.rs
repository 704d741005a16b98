//! What each side says of itself in the handshake.

use alloc::vec::Vec;
use core::fmt;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use perun_protocol::encoding::{Domain, digest};
use perun_protocol::signature::{PUBLIC_KEY_LENGTH, SIGNATURE_LENGTH, Signer, Verifier};
use perun_protocol::{PublicKey, Signature};

/// The version of the link's protocol.
const VERSION: u16 = 1;

/// What a peer has told of itself, proved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Who it is.
    pub identity: PublicKey,
    /// The longest message that it takes, in bytes.
    pub max_message: u32,
}

/// What a peer has told of itself proves nothing.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HelloError {
    /// It is not encoded as it should be.
    Malformed,
    /// It is of another version of the link's protocol.
    Version {
        /// The peer's.
        theirs: u16,
        /// Ours.
        ours: u16,
    },
    /// The identity is no key.
    Identity,
    /// The identity has not signed for the key of the handshake.
    Signature,
}

/// As it travels in the payload of a handshake message: a map with numbered fields, of which
/// unknown ones are skipped.
#[derive(Decode, Encode)]
#[cbor(map)]
struct Told {
    #[n(0)]
    version: u16,
    #[n(1)]
    identity: ByteArray<PUBLIC_KEY_LENGTH>,
    /// The identity's signature on the static key of the handshake, which thereby speaks for it.
    #[n(2)]
    signature: ByteArray<SIGNATURE_LENGTH>,
    #[n(3)]
    max_message: u32,
}

/// What the identity signs: that this static key speaks for it.
fn statement(identity: &PublicKey, static_key: &[u8]) -> [u8; 32] {
    digest(
        Domain::LinkKey,
        &[identity.as_bytes().as_slice(), static_key].concat(),
    )
}

/// Our own, signed once for a static key.
pub(super) fn encode(signer: &(impl Signer + ?Sized), static_key: &[u8], max: u32) -> Vec<u8> {
    let identity = signer.public_key();
    let signature = signer.sign(&statement(&identity, static_key));
    let told = Told {
        version: VERSION,
        identity: (*identity.as_bytes()).into(),
        signature: (*signature.as_bytes()).into(),
        max_message: max,
    };
    minicbor::to_vec(told).expect("a vector takes every byte")
}

/// The peer's, if it is well-formed and its identity has signed for the static key that the
/// handshake has proved.
pub(super) fn decode<V: Verifier>(payload: &[u8], static_key: &[u8]) -> Result<Hello, HelloError> {
    let told: Told = minicbor::decode(payload).map_err(|_| HelloError::Malformed)?;
    if told.version != VERSION {
        return Err(HelloError::Version {
            theirs: told.version,
            ours: VERSION,
        });
    }
    let identity = PublicKey::from_bytes(*told.identity).ok_or(HelloError::Identity)?;
    let signature = Signature::from_bytes(*told.signature);
    if !V::verify(&identity, &statement(&identity, static_key), &signature) {
        return Err(HelloError::Signature);
    }
    Ok(Hello {
        identity,
        max_message: told.max_message,
    })
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(f, "what the peer says of itself cannot be read"),
            Self::Version { theirs, ours } => write!(
                f,
                "the peer speaks version {theirs} of the link's protocol, this is version {ours}"
            ),
            Self::Identity => write!(f, "the peer's identity is no key"),
            Self::Signature => write!(
                f,
                "the peer's identity has not signed for the key of the handshake"
            ),
        }
    }
}

impl core::error::Error for HelloError {}

#[cfg(test)]
mod tests {
    use perun_protocol::SecretKey;
    use perun_protocol::signature::K256;

    use super::*;

    #[test]
    fn a_signature_for_another_key_proves_nothing() {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let told = encode(&key, &[1; 32], 99);
        let hello = decode::<K256>(&told, &[1; 32]).unwrap();
        assert_eq!((hello.identity, hello.max_message), (key.public_key(), 99));
        let replayed = decode::<K256>(&told, &[2; 32]);
        assert_eq!(replayed, Err(HelloError::Signature));
        let mut forged = told.clone();
        let place = forged
            .windows(33)
            .position(|bytes| bytes == key.public_key().as_bytes());
        let other = SecretKey::from_bytes(&[8; 32]).unwrap().public_key();
        forged[place.unwrap()..][..33].copy_from_slice(other.as_bytes());
        let claimed = decode::<K256>(&forged, &[1; 32]);
        assert_eq!(claimed, Err(HelloError::Signature));
    }

    #[test]
    fn garbage_is_no_hello() {
        for bytes in [&[][..], &[0xff; 40], &[0xa0], &[0xbf, 0xff]] {
            assert_eq!(decode::<K256>(bytes, &[1; 32]), Err(HelloError::Malformed));
        }
    }
}
