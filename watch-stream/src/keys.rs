//! Names of watchers, and the messages by which they come and go.
//!
//! ```text
//! Subscription, masked part (public part empty): sealed to the author by HPKE, aad = header
//!    0  32  Ed25519 key that signs the watcher's acks
//!   32  32  X25519 key that keyloads are sealed to
//!   64  64  the watcher's signature: label ‖ header ‖ the 64 bytes before
//! previous in the header: the announcement
//!
//! Unsubscription, public part: 8 id
//! ```

use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};

use crate::error::Refused;
use crate::header::{
    Epoch, HEADER_LENGTH, Header, Kind, Malformed, MessageId, Number, StreamId, array, hex,
};
use crate::message::{Message, SIGNATURE_LENGTH, SignedHeader, verify};
use crate::wrap::{self, SEALED_OVERHEAD, WeakKey};
use crate::{cipher, labels};

const PLAIN_LENGTH: usize = 64 + SIGNATURE_LENGTH;
const SEALED_LENGTH: usize = PLAIN_LENGTH + SEALED_OVERHEAD;
/// Bytes of a subscription.
pub const SUBSCRIPTION_LENGTH: usize = HEADER_LENGTH + SEALED_LENGTH;
/// Bytes of an unsubscription.
pub const UNSUBSCRIPTION_LENGTH: usize = HEADER_LENGTH + WatcherId::LENGTH + SIGNATURE_LENGTH;

/// A watcher's name in a stream: a hash of its signing key and the stream, so that it says nothing to those
/// who do not know the key.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WatcherId(pub [u8; 8]);

/// The public keys of a watcher.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WatcherKeys {
    /// Ed25519: signs its acks. The same in all streams that it watches.
    pub signing: [u8; 32],
    /// X25519: keyloads are sealed to it.
    pub wrapping: [u8; 32],
}

impl WatcherId {
    /// Bytes of an id.
    pub const LENGTH: usize = 8;

    /// The name that the owner of `signing_key` has in `stream`.
    pub fn of(stream: StreamId, signing_key: &[u8; 32]) -> Self {
        let hash = Sha256::new()
            .chain_update(labels::WATCHER_ID)
            .chain_update(stream.0)
            .chain_update(signing_key);
        Self(array(&hash.finalize(), 0))
    }
}

impl fmt::Debug for WatcherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, "WatcherId", &self.0)
    }
}

/// Makes a subscription.
pub(crate) fn subscribe(
    stream: StreamId,
    announcement: MessageId,
    author: &[u8; 32],
    number: Number,
    signing: &SigningKey,
    wrapping: &[u8; 32],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<[u8; SUBSCRIPTION_LENGTH], WeakKey> {
    let header = header(Kind::Subscription, stream, number, announcement);
    let header = header.encode();
    let mut sealed = [0; SEALED_LENGTH];
    let plain = &mut sealed[wrap::ENCAPPED_LENGTH..][..PLAIN_LENGTH];
    plain[..32].copy_from_slice(signing.verifying_key().as_bytes());
    plain[32..64].copy_from_slice(wrapping);
    let signature = signing.sign(&signed_bytes(&header, plain)).to_bytes();
    plain[64..].copy_from_slice(&signature);
    wrap::seal(author, labels::SEAL_KEYS, &header, &mut sealed, rng)?;
    let mut bytes = [0; SUBSCRIPTION_LENGTH];
    bytes[..HEADER_LENGTH].copy_from_slice(&header);
    bytes[HEADER_LENGTH..].copy_from_slice(&sealed);
    Ok(bytes)
}

/// The keys in a subscription that is sealed to `key`, by their owner's signature.
pub(crate) fn subscribed(
    message: &Message<'_>,
    announcement: MessageId,
    key: &[u8; 32],
) -> Result<WatcherKeys, Refused> {
    let header = message.header();
    if header.public_length != 0 || usize::from(header.masked_length) != SEALED_LENGTH {
        return Err(Malformed::WrongParts.into());
    }
    if header.previous != announcement || header.epoch != Epoch(0) {
        return Err(Malformed::WrongValue.into());
    }
    let header_bytes = message.header_bytes();
    let mut plain = zeroize::Zeroizing::new([0; PLAIN_LENGTH]);
    wrap::open(
        key,
        labels::SEAL_KEYS,
        &header_bytes,
        message.masked(),
        &mut *plain,
    )
    .ok_or(Refused::Unreadable {
        number: header.number,
    })?;
    let keys = WatcherKeys {
        signing: array(&*plain, 0),
        wrapping: array(&*plain, 32),
    };
    let signed = signed_bytes(&header_bytes, &*plain);
    if !verify(&keys.signing, &signed, &array(&*plain, 64)) {
        return Err(Refused::WrongSignature);
    }
    Ok(keys)
}

/// Makes an unsubscription.
pub(crate) fn unsubscribe(
    stream: StreamId,
    announcement: MessageId,
    number: Number,
    signing: &SigningKey,
) -> [u8; UNSUBSCRIPTION_LENGTH] {
    let mut header = header(Kind::Unsubscription, stream, number, announcement);
    header.public_length = WatcherId::LENGTH as u16;
    header.masked_length = 0;
    let id = WatcherId::of(stream, signing.verifying_key().as_bytes());
    let signed = SignedHeader::sign(signing, &header, &id.0);
    let mut bytes = [0; UNSUBSCRIPTION_LENGTH];
    bytes[..HEADER_LENGTH].copy_from_slice(&header.encode());
    bytes[HEADER_LENGTH..][..WatcherId::LENGTH].copy_from_slice(&id.0);
    bytes[HEADER_LENGTH + WatcherId::LENGTH..].copy_from_slice(signed.signature());
    bytes
}

/// Who unsubscribes; the signature is not verified.
pub(crate) fn unsubscribed(message: &Message<'_>) -> Result<WatcherId, Malformed> {
    let id = message.public().try_into();
    let id = id.map_err(|_| Malformed::WrongParts)?;
    if message.header().masked_length != 0 {
        return Err(Malformed::WrongParts);
    }
    Ok(WatcherId(id))
}

fn header(kind: Kind, stream: StreamId, number: Number, announcement: MessageId) -> Header {
    Header {
        kind,
        is_restart: false,
        has_next_key: false,
        stream,
        epoch: Epoch(0),
        number,
        previous: announcement,
        public_length: 0,
        masked_length: SEALED_LENGTH as u16,
    }
}

fn signed_bytes(
    header: &[u8; HEADER_LENGTH],
    plain: &[u8],
) -> [u8; labels::LENGTH + HEADER_LENGTH + 64] {
    let mut bytes = [0; labels::LENGTH + HEADER_LENGTH + 64];
    bytes[..labels::LENGTH].copy_from_slice(labels::SUBSCRIPTION);
    bytes[labels::LENGTH..][..HEADER_LENGTH].copy_from_slice(header);
    bytes[labels::LENGTH + HEADER_LENGTH..].copy_from_slice(&plain[..64]);
    bytes
}

/// A secret key of a watcher or an author, from its 32 bytes.
pub(crate) fn signing_key(seed: &[u8; 32]) -> SigningKey {
    SigningKey::from_bytes(seed)
}

/// A fresh seed.
pub(crate) fn generate(rng: &mut (impl RngCore + CryptoRng)) -> cipher::Secret {
    wrap::generate(rng)
}
