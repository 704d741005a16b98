//! An epoch's secret, for each watcher.
//!
//! ```text
//! public part
//!            1   how many recipients
//! each:      8   the watcher's id
//!           80   the secret, sealed by HPKE: info = label, aad = header ‖ id
//! then      32   confirmation (derived from the secret and all bytes before)
//! ```
//!
//! The author's signature covers the list, and verifying it needs no key: who was left out sees that, and
//! nobody can make a watcher believe it.

use heapless::Vec;
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};

use crate::chain::Chain;
use crate::cipher::Secret;
use crate::header::{HEADER_LENGTH, Header, Kind, Malformed, array};
use crate::keys::{self, WatcherId};
use crate::message::{MAX_MESSAGE_LENGTH, Message};
use crate::wrap::{self, SEALED_OVERHEAD};
use crate::{MAX_WATCHERS, labels};

const SEALED_LENGTH: usize = 32 + SEALED_OVERHEAD;
const ENTRY_LENGTH: usize = WatcherId::LENGTH + SEALED_LENGTH;
const CONFIRMATION_LENGTH: usize = 32;

/// Whom a keyload is for: an id, and the key to seal to.
pub(crate) type Recipient = (WatcherId, [u8; 32]);

/// Bytes of the public part for so many recipients.
pub(crate) const fn public_length(recipients: usize) -> usize {
    1 + recipients * ENTRY_LENGTH + CONFIRMATION_LENGTH
}

/// Appends the public part to `out`, which holds the header, and returns the epoch's chain. The caller has
/// made sure that it fits.
pub(crate) fn write(
    header: &Header,
    recipients: impl Iterator<Item = Recipient>,
    out: &mut Vec<u8, MAX_MESSAGE_LENGTH>,
    rng: &mut (impl RngCore + CryptoRng),
) -> Chain {
    let secret = wrap::generate(rng);
    let start = out.len();
    push(out, &[0]);
    for (id, key) in recipients {
        let mut sealed = [0; SEALED_LENGTH];
        sealed[wrap::ENCAPPED_LENGTH..][..32].copy_from_slice(&*secret);
        let aad = aad(header, id);
        if wrap::seal(&key, labels::SEAL_EPOCH, &aad, &mut sealed, rng).is_err() {
            // Nobody can open what is sealed to a weak key, but everybody: such a watcher gets nothing.
            sealed = [0; SEALED_LENGTH];
        }
        out[start] += 1;
        push(out, &id.0);
        push(out, &sealed);
    }
    let context = Sha256::digest(&*out).into();
    let (chain, confirmation) = Chain::new(header.epoch, header.number, &context, &secret);
    push(out, &*confirmation);
    chain
}

impl Message<'_> {
    /// Whom a keyload is for; its signature is not verified.
    pub fn recipients(&self) -> Result<Vec<WatcherId, MAX_WATCHERS>, Malformed> {
        if self.header().kind != Kind::Keyload {
            return Err(Malformed::UnknownKind);
        }
        Ok(Keyload::parse(*self)?.recipients().collect())
    }

    /// Who leaves by an unsubscription; its signature is not verified.
    pub fn leaver(&self) -> Result<WatcherId, Malformed> {
        if self.header().kind != Kind::Unsubscription {
            return Err(Malformed::UnknownKind);
        }
        keys::unsubscribed(self)
    }
}

/// The list in a keyload, as far as it can be read without a key.
#[derive(Clone, Copy)]
pub(crate) struct Keyload<'a> {
    message: Message<'a>,
    entries: &'a [u8],
    confirmation: [u8; CONFIRMATION_LENGTH],
}

impl<'a> Keyload<'a> {
    pub(crate) fn parse(message: Message<'a>) -> Result<Self, Malformed> {
        let public = message.public();
        let count = usize::from(*public.first().ok_or(Malformed::WrongParts)?);
        if message.header().masked_length != 0 || public.len() != public_length(count) {
            return Err(Malformed::WrongParts);
        }
        if count > MAX_WATCHERS {
            return Err(Malformed::WrongValue);
        }
        let (entries, confirmation) = public[1..].split_at(count * ENTRY_LENGTH);
        Ok(Self {
            message,
            entries,
            confirmation: array(confirmation, 0),
        })
    }

    /// The ids of the recipients, in the order of the list.
    pub(crate) fn recipients(&self) -> impl Iterator<Item = WatcherId> + use<'a> {
        self.entries
            .chunks_exact(ENTRY_LENGTH)
            .map(|entry| WatcherId(array(entry, 0)))
    }

    /// The chain of the epoch if `key` opens what is sealed to `id`; `None` if it does not.
    /// `Some(Err(()))` if the secret is not the confirmed one.
    pub(crate) fn open(&self, id: WatcherId, key: &[u8; 32]) -> Option<Result<Chain, ()>> {
        let mut entries = self.entries.chunks_exact(ENTRY_LENGTH);
        let entry = entries.find(|entry| entry[..WatcherId::LENGTH] == id.0)?;
        let header = self.message.header();
        let mut secret = Secret::default();
        let sealed = &entry[WatcherId::LENGTH..];
        let aad = aad(header, id);
        wrap::open(key, labels::SEAL_EPOCH, &aad, sealed, &mut *secret)?;
        let bound = HEADER_LENGTH + 1 + self.entries.len();
        let context = Sha256::digest(&self.message.bytes()[..bound]).into();
        let (chain, confirmation) = Chain::new(header.epoch, header.number, &context, &secret);
        // Not secret: it was sent.
        Some(if *confirmation == self.confirmation {
            Ok(chain)
        } else {
            Err(())
        })
    }
}

fn aad(header: &Header, id: WatcherId) -> [u8; HEADER_LENGTH + WatcherId::LENGTH] {
    let mut aad = [0; HEADER_LENGTH + WatcherId::LENGTH];
    aad[..HEADER_LENGTH].copy_from_slice(&header.encode());
    aad[HEADER_LENGTH..].copy_from_slice(&id.0);
    aad
}

/// Appends bytes that the caller knows to fit.
pub(crate) fn push<const N: usize>(out: &mut Vec<u8, N>, bytes: &[u8]) {
    out.extend_from_slice(bytes)
        .expect("the length was checked before");
}
