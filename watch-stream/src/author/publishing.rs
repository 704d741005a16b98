//! What goes out: keyloads, packets, heartbeats.

use ed25519_dalek::SigningKey;
use heapless::Vec;
use perun_protocol::Version;
use rand_core::{CryptoRng, RngCore};

use super::watchers::recipients;
use super::{Author, Running};
use crate::cipher::{self, MASKED_OVERHEAD, NONCE_LENGTH, TAG_LENGTH};
use crate::error::SendError;
use crate::header::{HEADER_LENGTH, Header, Kind, MessageId, Number};
use crate::keyload::{self, push};
use crate::message::{MAX_MESSAGE_LENGTH, SIGNATURE_LENGTH, SignedHeader};
use crate::storage::Storage;

/// Bytes of the channel version in front of a packet's payload.
pub(crate) const VERSION_LENGTH: usize = 8;
/// Bytes that a packet takes besides its public part and payload.
pub const PACKET_OVERHEAD: usize =
    HEADER_LENGTH + MASKED_OVERHEAD + VERSION_LENGTH + SIGNATURE_LENGTH;
/// Bytes that a tagged packet takes besides its payload.
pub const TAGGED_OVERHEAD: usize = HEADER_LENGTH + MASKED_OVERHEAD;

impl<S: Storage> Author<S> {
    /// Opens an epoch and returns its keyload. Seals a fresh secret to each watcher that has subscribed.
    pub fn open_epoch(
        &mut self,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<&[u8], SendError<S::Error>> {
        let count = self.recipient_count();
        if count == 0 {
            return Err(SendError::NoWatchers);
        }
        let (epoch, number) = self.sequence.take_epoch(&mut self.storage)?;
        let header = Header {
            kind: Kind::Keyload,
            is_restart: self.head.is_none(),
            has_next_key: false,
            stream: self.stream(),
            epoch,
            number,
            previous: self.head.unwrap_or(self.announcement_id),
            public_length: keyload::public_length(count) as u16,
            masked_length: 0,
        };
        self.keyload.clear();
        push(&mut self.keyload, &header.encode());
        let chain = keyload::write(&header, recipients(&self.watchers), &mut self.keyload, rng);
        self.head = Some(sign(&self.signing, &header, &mut self.keyload));
        self.first_epoch.get_or_insert(epoch);
        self.running = Some(Running {
            chain,
            tagged: Number(0),
        });
        Ok(&self.keyload)
    }

    /// Publishes a state: `payload` masked, with the channel `version` that it has; `public` for everybody to
    /// read. Payload and public part have together at most [`MAX_MESSAGE_LENGTH`]` - `[`PACKET_OVERHEAD`]
    /// bytes. Refused if a newer version was published since the start.
    pub fn publish(
        &mut self,
        version: Version,
        public: &[u8],
        payload: &[u8],
    ) -> Result<&[u8], SendError<S::Error>> {
        let length = PACKET_OVERHEAD + public.len() + payload.len();
        if length > MAX_MESSAGE_LENGTH {
            return Err(SendError::TooLong { length });
        }
        match self.published {
            Some(newest) if version < newest => return Err(SendError::OldVersion { newest }),
            _ => {}
        }
        let (Some(running), Some(previous)) = (&mut self.running, self.head) else {
            return Err(SendError::EpochDue);
        };
        if !running.chain.covers(running.chain.next()) {
            return Err(SendError::EpochDue);
        }
        let number = self.sequence.take(&mut self.storage)?;
        let header = Header {
            kind: Kind::Packet,
            is_restart: false,
            has_next_key: false,
            stream: self.announcement.stream(),
            epoch: running.chain.epoch,
            number,
            previous,
            public_length: public.len() as u16,
            masked_length: (MASKED_OVERHEAD + VERSION_LENGTH + payload.len()) as u16,
        };
        // Only this takes numbers while the epoch runs, so number and chain go together.
        let key = running.chain.step();
        let version_bytes = version.number().to_be_bytes();
        self.packet.clear();
        write_masked(
            &mut self.packet,
            &key,
            &header,
            public,
            &[&version_bytes, payload],
        );
        self.head = Some(sign(&self.signing, &header, &mut self.packet));
        self.published = Some(version);
        Ok(&self.packet)
    }

    /// A sign of life: a tagged packet with `payload`, at most [`MAX_MESSAGE_LENGTH`]` -
    /// `[`TAGGED_OVERHEAD`] bytes. It names the newest signed message, so that a watcher sees that it misses
    /// something. Every watcher could have made it; nothing may rest on it.
    pub fn heartbeat(
        &mut self,
        payload: &[u8],
    ) -> Result<Vec<u8, MAX_MESSAGE_LENGTH>, SendError<S::Error>> {
        let length = TAGGED_OVERHEAD + payload.len();
        if length > MAX_MESSAGE_LENGTH {
            return Err(SendError::TooLong { length });
        }
        let (Some(running), Some(previous)) = (&mut self.running, self.head) else {
            return Err(SendError::EpochDue);
        };
        let count = running.tagged;
        running.tagged = count.plus(1).ok_or(SendError::EpochDue)?;
        let header = Header {
            kind: Kind::Tagged,
            is_restart: false,
            has_next_key: false,
            stream: self.announcement.stream(),
            epoch: running.chain.epoch,
            number: count,
            previous,
            public_length: 0,
            masked_length: (MASKED_OVERHEAD + payload.len()) as u16,
        };
        let key = running.chain.tagged(count);
        let mut bytes = Vec::new();
        write_masked(&mut bytes, &key, &header, &[], &[payload]);
        Ok(bytes)
    }
}

/// Appends header, public part and masked text to the empty `out`.
fn write_masked(
    out: &mut Vec<u8, MAX_MESSAGE_LENGTH>,
    key: &[u8; 32],
    header: &Header,
    public: &[u8],
    text: &[&[u8]],
) {
    push(out, &header.encode());
    push(out, public);
    let bound = out.len();
    push(out, &[0; NONCE_LENGTH]);
    text.iter().for_each(|part| push(out, part));
    push(out, &[0; TAG_LENGTH]);
    let (bound, masked) = out.split_at_mut(bound);
    cipher::mask(key, bound, masked);
}

/// Appends the signature and returns the message's name.
fn sign(key: &SigningKey, header: &Header, out: &mut Vec<u8, MAX_MESSAGE_LENGTH>) -> MessageId {
    let signed = SignedHeader::sign(key, header, &out[HEADER_LENGTH..]);
    push(out, signed.signature());
    signed.id()
}
