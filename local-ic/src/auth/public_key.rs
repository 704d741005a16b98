//! The keys a caller can sign with, and how each of them verifies.
//!
//! A key arrives as DER (`SubjectPublicKeyInfo`), because the principal of its owner is a hash of
//! exactly these bytes. Signatures are raw: 64 bytes for each of the three algorithms.
//!
//! Deliberately absent are the two kinds that need more than a curve: canister signatures (they
//! are certificates of another network) and WebAuthn keys (COSE with browser-made client data).
//! Both are recognised and refused by name.

use std::fmt;

use p256::pkcs8::der::{Decode, asn1::ObjectIdentifier};
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const COSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.56387.1.1");
const CANISTER_SIGNATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.56387.1.2");

/// A decoded key of one of the supported algorithms.
pub(crate) enum PublicKey {
    Ed25519(ic_ed25519::PublicKey),
    Secp256k1(k256::ecdsa::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
}

/// Why bytes are no key, or no signature of this key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeyError {
    /// Not a DER `SubjectPublicKeyInfo`, or one with trailing bytes.
    NotDer,
    /// The structure is right but its bits are no point on the named curve.
    NotAPoint { algorithm: &'static str },
    /// A key of the Internet Computer which this network can't check.
    Unsupported { algorithm: &'static str },
    /// Some other algorithm or curve, named by its object identifier.
    UnknownAlgorithm { oid: String },
    /// The signature isn't 64 bytes long, or its scalars are out of range.
    MalformedSignature { algorithm: &'static str, len: usize },
    /// Well formed, but not made by this key over this message.
    WrongSignature { algorithm: &'static str },
}

impl PublicKey {
    /// Decodes a DER key.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::NotDer)?;
        let bits = info.subject_public_key.as_bytes().ok_or(KeyError::NotDer)?;
        match info.algorithm.oid {
            ED25519 => ic_ed25519::PublicKey::deserialize_raw(bits)
                .map(Self::Ed25519)
                .map_err(|_| KeyError::NotAPoint {
                    algorithm: "Ed25519",
                }),
            EC_PUBLIC_KEY => match info.algorithm.parameters_oid() {
                Ok(SECP256K1) => k256::ecdsa::VerifyingKey::from_sec1_bytes(bits)
                    .map(Self::Secp256k1)
                    .map_err(|_| KeyError::NotAPoint {
                        algorithm: "secp256k1",
                    }),
                Ok(P256) => p256::ecdsa::VerifyingKey::from_sec1_bytes(bits)
                    .map(Self::P256)
                    .map_err(|_| KeyError::NotAPoint { algorithm: "P-256" }),
                Ok(curve) => Err(KeyError::UnknownAlgorithm {
                    oid: curve.to_string(),
                }),
                Err(_) => Err(KeyError::NotDer),
            },
            CANISTER_SIGNATURE => Err(KeyError::Unsupported {
                algorithm: "canister signature",
            }),
            COSE => Err(KeyError::Unsupported {
                algorithm: "WebAuthn (COSE)",
            }),
            oid => Err(KeyError::UnknownAlgorithm {
                oid: oid.to_string(),
            }),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "Ed25519",
            Self::Secp256k1(_) => "secp256k1",
            Self::P256(_) => "P-256",
        }
    }

    /// Checks `signature` over `message` (which is hashed here, not by the caller).
    ///
    /// ECDSA signatures with a high `s` are accepted like those with a low one: they authenticate
    /// the same request, and some signing devices don't normalise.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let algorithm = self.algorithm();
        let malformed = KeyError::MalformedSignature {
            algorithm,
            len: signature.len(),
        };
        let genuine = match self {
            Self::Ed25519(key) => {
                use ic_ed25519::SignatureError;
                match key.verify_signature(message, signature) {
                    Ok(()) => true,
                    Err(SignatureError::InvalidLength) => return Err(malformed),
                    Err(_) => false,
                }
            }
            Self::Secp256k1(key) => {
                use k256::ecdsa::signature::Verifier;
                let signature =
                    k256::ecdsa::Signature::from_slice(signature).map_err(|_| malformed)?;
                let signature = signature.normalize_s().unwrap_or(signature);
                key.verify(message, &signature).is_ok()
            }
            Self::P256(key) => {
                use p256::ecdsa::signature::Verifier;
                let signature =
                    p256::ecdsa::Signature::from_slice(signature).map_err(|_| malformed)?;
                key.verify(message, &signature).is_ok()
            }
        };
        if genuine {
            Ok(())
        } else {
            Err(KeyError::WrongSignature { algorithm })
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDer => f.write_str("the public key is not a DER-encoded SubjectPublicKeyInfo"),
            Self::NotAPoint { algorithm } => {
                write!(f, "the public key is not a valid {algorithm} key")
            }
            Self::Unsupported { algorithm } => {
                write!(
                    f,
                    "{algorithm} keys are not supported by this local network"
                )
            }
            Self::UnknownAlgorithm { oid } => {
                write!(f, "the public key's algorithm or curve {oid} is unknown")
            }
            Self::MalformedSignature { algorithm, len } => {
                write!(
                    f,
                    "{len} bytes are no {algorithm} signature (64 bytes r and s, in range)"
                )
            }
            Self::WrongSignature { algorithm } => {
                write!(
                    f,
                    "the {algorithm} signature does not match the key and the content"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::pkcs8::EncodePublicKey;

    #[test]
    fn each_algorithm_verifies_its_own_signature_and_no_other_message() {
        use k256::ecdsa::signature::Signer as _;

        let ed = ic_ed25519::PrivateKey::deserialize_raw_32(&[7; 32]);
        let k = k256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let p = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let k_sig: k256::ecdsa::Signature = k.sign(b"pay 3");
        let p_sig: p256::ecdsa::Signature = p.sign(b"pay 3");
        let k_der = k256::PublicKey::from(k.verifying_key())
            .to_public_key_der()
            .unwrap();
        let p_der = p256::PublicKey::from(p.verifying_key())
            .to_public_key_der()
            .unwrap();

        for (der, signature) in [
            (
                ed.public_key().serialize_rfc8410_der(),
                ed.sign_message(b"pay 3").to_vec(),
            ),
            (k_der.as_bytes().to_vec(), k_sig.to_vec()),
            (p_der.as_bytes().to_vec(), p_sig.to_vec()),
        ] {
            let key = PublicKey::from_der(&der).unwrap();
            assert_eq!(key.verify(b"pay 3", &signature), Ok(()));
            let algorithm = key.algorithm();
            assert_eq!(
                key.verify(b"pay 4", &signature),
                Err(KeyError::WrongSignature { algorithm })
            );
            assert_eq!(
                key.verify(b"pay 3", &signature[1..]),
                Err(KeyError::MalformedSignature { algorithm, len: 63 })
            );
        }
    }

    #[test]
    fn a_high_s_is_accepted() {
        use k256::ecdsa::signature::Signer as _;

        let key = k256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap();
        let low: k256::ecdsa::Signature = key.sign(b"pay");
        let (r, s) = low.split_scalars();
        let high = k256::ecdsa::Signature::from_scalars(r, -*s).unwrap();
        assert_ne!(high, low);
        let key = PublicKey::Secp256k1(*key.verifying_key());
        assert_eq!(key.verify(b"pay", &high.to_vec()), Ok(()));
    }

    #[test]
    fn foreign_keys_are_refused_by_name() {
        // The empty bit string is enough: the algorithm is looked at first.
        let canister_signature = [
            0x30, 0x11, 0x30, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43,
            0x01, 0x02, 0x03, 0x01, 0x00,
        ];
        assert_eq!(
            PublicKey::from_der(&canister_signature).err(),
            Some(KeyError::Unsupported {
                algorithm: "canister signature"
            })
        );

        let ed448 = [
            0x30, 0x0a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x71, 0x03, 0x01, 0x00,
        ];
        assert_eq!(
            PublicKey::from_der(&ed448).err(),
            Some(KeyError::UnknownAlgorithm {
                oid: "1.3.101.113".into()
            })
        );

        let key = ic_ed25519::PrivateKey::deserialize_raw_32(&[7; 32]).public_key();
        let mut der = key.serialize_rfc8410_der();
        der.push(0);
        assert_eq!(PublicKey::from_der(&der).err(), Some(KeyError::NotDer));
        der.truncate(43);
        assert_eq!(PublicKey::from_der(&der).err(), Some(KeyError::NotDer));
        assert_eq!(PublicKey::from_der(&[]).err(), Some(KeyError::NotDer));
    }
}
