//! The first message of a stream: the author's keys, and a participant's word for them.
//!
//! ```text
//! public part
//!   0  32  Ed25519 key that signs the author's messages
//!  32  32  X25519 key that subscriptions are sealed to
//!  64  16  nonce
//!  80  32  channel id
//! 112  34  participant: tag 1, compressed secp256k1 key
//! 146  64  the participant's signature over digest(WatchStream, the 146 bytes before)
//! ```
//!
//! The stream's name is the beginning of that digest. So a stream belongs to exactly one participant of
//! one channel, and whoever knows the channel (from the adjudicator) needs to trust nobody for the rest.
//! The author's own signature over the message shows that it has the key.

use ed25519_dalek::SigningKey;
use perun_protocol::encoding::{Domain, digest};
use perun_protocol::signature::{Digest, K256, Verifier};
use perun_protocol::{ChannelId, Participant, PublicKey, Signature, Signer};

use crate::error::Refused;
use crate::header::{
    Epoch, HEADER_LENGTH, Header, Kind, Malformed, MessageId, Number, StreamId, array,
};
use crate::message::{Message, SIGNATURE_LENGTH, SignedHeader};

const BOUND_LENGTH: usize = 146;
const PUBLIC_LENGTH: usize = BOUND_LENGTH + SIGNATURE_LENGTH;
/// Bytes of an announcement.
pub const ANNOUNCEMENT_LENGTH: usize = HEADER_LENGTH + PUBLIC_LENGTH + SIGNATURE_LENGTH;

/// Whose stream it is and by which keys it is known. Exists only if the participant's signature on it was
/// verified, or made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Announcement {
    keys: AuthorKeys,
    nonce: [u8; 16],
    channel: ChannelId,
    participant: Participant,
    binding: Signature,
    stream: StreamId,
}

/// The public keys of an author.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuthorKeys {
    /// Ed25519: signs its messages.
    pub signing: [u8; 32],
    /// X25519: subscriptions are sealed to it.
    pub wrapping: [u8; 32],
}

impl Announcement {
    /// Has `participant` vouch for the keys.
    pub(crate) fn bind(
        keys: AuthorKeys,
        nonce: [u8; 16],
        channel: ChannelId,
        participant: &(impl Signer + ?Sized),
    ) -> Self {
        let name = Participant::Secp256k1(participant.public_key());
        let digest = binding_digest(&bound(&keys, &nonce, channel, name));
        Self::from_parts(keys, nonce, channel, name, participant.sign(&digest))
    }

    pub(crate) fn from_parts(
        keys: AuthorKeys,
        nonce: [u8; 16],
        channel: ChannelId,
        participant: Participant,
        binding: Signature,
    ) -> Self {
        let digest = binding_digest(&bound(&keys, &nonce, channel, participant));
        Self {
            keys,
            nonce,
            channel,
            participant,
            binding,
            stream: StreamId(array(&digest, 0)),
        }
    }

    /// The announcement in `message`, with both signatures verified. Whether it is for the channel and by
    /// the participant that it should be, the caller must ask.
    pub fn verify<V: Verifier>(message: &Message<'_>) -> Result<Self, Refused> {
        let header = message.header();
        if header.kind != Kind::Announcement {
            return Err(Refused::Unexpected(header.kind));
        }
        let public: &[u8; PUBLIC_LENGTH] = message
            .public()
            .try_into()
            .map_err(|_| Malformed::WrongParts)?;
        let key = PublicKey::from_bytes(array(public, 113)).ok_or(Malformed::WrongValue)?;
        let is_first = header.number == Number(0)
            && header.epoch == Epoch(0)
            && header.previous == MessageId::NONE;
        if header.masked_length != 0 {
            return Err(Malformed::WrongParts.into());
        }
        if public[112] != PARTICIPANT_TAG || !is_first {
            return Err(Malformed::WrongValue.into());
        }
        let announcement = Self::from_parts(
            AuthorKeys {
                signing: array(public, 0),
                wrapping: array(public, 32),
            },
            array(public, 64),
            ChannelId::from_bytes(array(public, 80)),
            Participant::Secp256k1(key),
            Signature::from_bytes(array(public, BOUND_LENGTH)),
        );
        if announcement.stream != header.stream {
            return Err(Refused::OtherStream);
        }
        let signed = message.signed();
        let by_author = signed.is_some_and(|it| it.is_signed_by(&announcement.keys.signing));
        let digest = binding_digest(&array(public, 0));
        let by_participant = announcement
            .participant
            .verify::<V>(&digest, &announcement.binding);
        if !by_author || !by_participant {
            return Err(Refused::WrongSignature);
        }
        Ok(announcement)
    }

    /// The message, and its name. The same each time: Ed25519 signatures are deterministic.
    pub(crate) fn message(&self, key: &SigningKey) -> ([u8; ANNOUNCEMENT_LENGTH], MessageId) {
        let mut bytes = [0; ANNOUNCEMENT_LENGTH];
        let header = Header {
            kind: Kind::Announcement,
            is_restart: false,
            has_next_key: false,
            stream: self.stream,
            epoch: Epoch(0),
            number: Number(0),
            previous: MessageId::NONE,
            public_length: PUBLIC_LENGTH as u16,
            masked_length: 0,
        };
        let bound = bound(&self.keys, &self.nonce, self.channel, self.participant);
        bytes[..HEADER_LENGTH].copy_from_slice(&header.encode());
        bytes[HEADER_LENGTH..][..BOUND_LENGTH].copy_from_slice(&bound);
        bytes[HEADER_LENGTH + BOUND_LENGTH..][..SIGNATURE_LENGTH]
            .copy_from_slice(self.binding.as_bytes());
        let body_end = HEADER_LENGTH + PUBLIC_LENGTH;
        let signed = SignedHeader::sign(key, &header, &bytes[HEADER_LENGTH..body_end]);
        bytes[body_end..].copy_from_slice(signed.signature());
        (bytes, signed.id())
    }

    /// The author's keys.
    pub const fn keys(&self) -> &AuthorKeys {
        &self.keys
    }

    /// What made the stream unique among those of the participant for the channel.
    pub const fn nonce(&self) -> &[u8; 16] {
        &self.nonce
    }

    /// The channel that the stream is about.
    pub const fn channel(&self) -> ChannelId {
        self.channel
    }

    /// Whose stream it is.
    pub const fn participant(&self) -> Participant {
        self.participant
    }

    /// The participant's signature.
    pub const fn binding(&self) -> &Signature {
        &self.binding
    }

    /// The stream's name.
    pub const fn stream(&self) -> StreamId {
        self.stream
    }
}

/// The tag of a participant that signs with secp256k1, as in the protocol's encoding.
const PARTICIPANT_TAG: u8 = 1;

/// What the participant signs. The protocol's own encoding of a participant, without its heap.
fn bound(
    keys: &AuthorKeys,
    nonce: &[u8; 16],
    channel: ChannelId,
    participant: Participant,
) -> [u8; BOUND_LENGTH] {
    let Participant::Secp256k1(key) = participant;
    let mut bytes = [0; BOUND_LENGTH];
    bytes[..32].copy_from_slice(&keys.signing);
    bytes[32..64].copy_from_slice(&keys.wrapping);
    bytes[64..80].copy_from_slice(nonce);
    bytes[80..112].copy_from_slice(channel.as_bytes());
    bytes[112] = PARTICIPANT_TAG;
    bytes[113..].copy_from_slice(key.as_bytes());
    bytes
}

fn binding_digest(bound: &[u8; BOUND_LENGTH]) -> Digest {
    digest(Domain::WatchStream, bound)
}

/// The announcement in `message`, verified by the backend that is everywhere.
pub(crate) fn verify(message: &Message<'_>) -> Result<Announcement, Refused> {
    Announcement::verify::<K256>(message)
}

#[cfg(test)]
mod tests {
    use perun_protocol::encoding::Canonical;
    use perun_protocol::{ChannelId, SecretKey, Signer};

    use super::{AuthorKeys, bound};

    #[test]
    fn a_participant_is_encoded_as_the_protocol_does() {
        let participant = SecretKey::from_bytes(&[1; 32]).unwrap().participant();
        let keys = AuthorKeys {
            signing: [2; 32],
            wrapping: [3; 32],
        };
        let bytes = bound(&keys, &[4; 16], ChannelId::from_bytes([5; 32]), participant);
        assert_eq!(bytes[112..], participant.encode());
        let key = SecretKey::from_bytes(&[1; 32]).unwrap().public_key();
        assert_eq!(bytes[113..], key.as_bytes()[..]);
    }
}
