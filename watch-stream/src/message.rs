//! A message as it travels: header, public part, masked part, and a signature behind most.
//!
//! ```text
//! | header 68 | public | masked | signature 64 |
//!              ╰───── body ─────╯
//! signed: label ‖ header ‖ SHA-256(body)
//! id:     SHA-256(label ‖ header ‖ SHA-256(body) ‖ signature)
//! ```
//!
//! Because the hash of the body is signed and not the body, header, hash and signature alone prove what
//! was signed ([`SignedHeader`], 164 bytes): that is what watchers remember of messages, and what they
//! keep as evidence of a fork, without anybody's payload.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::header::{HEADER_LENGTH, Header, Malformed, MessageId, array};
use crate::labels;

/// Bytes of the longest message: what a buffer for any must hold.
pub const MAX_MESSAGE_LENGTH: usize = 1_280;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_LENGTH: usize = 64;

/// A message whose lengths fit. Nothing in it is verified yet.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    header: Header,
    bytes: &'a [u8],
}

/// What was signed and by which signature: the header, and the hash of what follows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SignedHeader {
    header: [u8; HEADER_LENGTH],
    body_hash: [u8; 32],
    signature: [u8; SIGNATURE_LENGTH],
}

impl<'a> Message<'a> {
    /// The message that is exactly `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = bytes.first_chunk().ok_or(Malformed::Length)?;
        let header = Header::decode(header)?;
        if bytes.len() != header.message_length() {
            return Err(Malformed::Length);
        }
        Ok(Self { header, bytes })
    }

    /// Its header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// All of it.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The header as it travels, which is what masked parts are bound to.
    pub fn header_bytes(&self) -> [u8; HEADER_LENGTH] {
        array(self.bytes, 0)
    }

    /// The public part.
    pub fn public(&self) -> &'a [u8] {
        &self.bytes[HEADER_LENGTH..][..usize::from(self.header.public_length)]
    }

    /// The masked part.
    pub fn masked(&self) -> &'a [u8] {
        let start = HEADER_LENGTH + usize::from(self.header.public_length);
        &self.bytes[start..][..usize::from(self.header.masked_length)]
    }

    /// What was signed; `None` if such messages are not.
    pub fn signed(&self) -> Option<SignedHeader> {
        if !self.header.kind.is_signed() {
            return None;
        }
        let body_end = self.bytes.len() - SIGNATURE_LENGTH;
        Some(SignedHeader {
            header: self.header_bytes(),
            body_hash: Sha256::digest(&self.bytes[HEADER_LENGTH..body_end]).into(),
            signature: array(self.bytes, body_end),
        })
    }
}

impl SignedHeader {
    /// Bytes of the encoding.
    pub const LENGTH: usize = HEADER_LENGTH + 32 + SIGNATURE_LENGTH;

    /// Signs `header` and the body that belongs to it.
    pub(crate) fn sign(key: &SigningKey, header: &Header, body: &[u8]) -> Self {
        let mut signed = Self {
            header: header.encode(),
            body_hash: Sha256::digest(body).into(),
            signature: [0; SIGNATURE_LENGTH],
        };
        signed.signature = key.sign(&signed.signed_bytes()).to_bytes();
        signed
    }

    /// The encoding: header, hash of the body, signature.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..HEADER_LENGTH].copy_from_slice(&self.header);
        bytes[HEADER_LENGTH..][..32].copy_from_slice(&self.body_hash);
        bytes[HEADER_LENGTH + 32..].copy_from_slice(&self.signature);
        bytes
    }

    /// What was signed, from its encoding; refused if the header is none of a signed message.
    pub fn decode(bytes: &[u8; Self::LENGTH]) -> Result<Self, Malformed> {
        let header = Header::decode(&array(bytes, 0))?;
        if !header.kind.is_signed() {
            return Err(Malformed::UnknownKind);
        }
        Ok(Self {
            header: header.encode(),
            body_hash: array(bytes, HEADER_LENGTH),
            signature: array(bytes, HEADER_LENGTH + 32),
        })
    }

    /// The header.
    pub fn header(&self) -> Header {
        Header::decode(&self.header).expect("it was encoded or decoded before")
    }

    /// The signature.
    pub const fn signature(&self) -> &[u8; SIGNATURE_LENGTH] {
        &self.signature
    }

    /// Whether the owner of `key` signed this; strict: no weak keys, one form of each signature
    /// (`verify_strict`).
    pub fn is_signed_by(&self, key: &[u8; 32]) -> bool {
        verify(key, &self.signed_bytes(), &self.signature)
    }

    /// The name of the message: what the next one of its author says it follows.
    pub fn id(&self) -> MessageId {
        let hash = Sha256::new()
            .chain_update(labels::MESSAGE_ID)
            .chain_update(self.encode());
        MessageId(hash.finalize().into())
    }

    fn signed_bytes(&self) -> [u8; labels::LENGTH + HEADER_LENGTH + 32] {
        let mut bytes = [0; labels::LENGTH + HEADER_LENGTH + 32];
        bytes[..labels::LENGTH].copy_from_slice(labels::SIGNATURE);
        bytes[labels::LENGTH..][..HEADER_LENGTH].copy_from_slice(&self.header);
        bytes[labels::LENGTH + HEADER_LENGTH..].copy_from_slice(&self.body_hash);
        bytes
    }
}

/// Whether `signature` is the strict Ed25519 one of `bytes` by `key`.
pub(crate) fn verify(key: &[u8; 32], bytes: &[u8], signature: &[u8; SIGNATURE_LENGTH]) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(bytes, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};
    use std::vec::Vec;

    use super::verify;

    /// RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature.
    const VECTORS: [[&str; 4]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
             d25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c\
             387b2eaeb4302aeeb00d291612bb0c00",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659\
             4a7c15e9716ed28dc027beceea1ec40a",
        ],
    ];

    fn unhex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        let bytes = digits.map(|digits| core::str::from_utf8(digits).unwrap());
        bytes
            .map(|it| u8::from_str_radix(it, 16).unwrap())
            .collect()
    }

    #[test]
    fn signatures_are_those_of_rfc_8032() {
        for [secret, public, message, signature] in VECTORS {
            let key = SigningKey::from_bytes(&unhex(secret).try_into().unwrap());
            let public: [u8; 32] = unhex(public).try_into().unwrap();
            let signature: [u8; 64] = unhex(signature).try_into().unwrap();
            let message = unhex(message);
            assert_eq!(key.verifying_key().to_bytes(), public);
            assert_eq!(key.sign(&message).to_bytes(), signature);
            assert!(verify(&public, &message, &signature));
            assert!(!verify(&public, b"another", &signature));
        }
    }

    /// By the lax rule this signature is good for every message.
    #[test]
    fn a_weak_key_signs_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&identity);
        assert!(!verify(&identity, b"anything", &signature));
    }

    /// S plus the order of the group is another form of the same signature.
    #[test]
    fn a_signature_has_one_form() {
        const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        let [_, public, message, signature] = VECTORS[1];
        let public: [u8; 32] = unhex(public).try_into().unwrap();
        let mut signature: [u8; 64] = unhex(signature).try_into().unwrap();
        let mut carry = 0;
        for (byte, order) in signature[32..].iter_mut().zip(unhex(ORDER)) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert!(!verify(&public, &unhex(message), &signature));
    }
}
