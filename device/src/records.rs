//! What lies in the flash: one key, what was given away by channels that are over, and two records a
//! channel.
//!
//! ```text
//! identity    the secret key, written once
//! given       what channels that are over have given away in the present period
//! opening n   what never changes about the channel in slot n
//! state n     everything else about it, replaced by each update, in one write
//! ```
//!
//! Maps with numbered fields (CBOR, RFC 8949), so that newer software reads what older wrote.

use alloc::vec::Vec;

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use perun_protocol::channel::Setup;
use perun_protocol::signature::PUBLIC_KEY_LENGTH;
use perun_protocol::wire::ProposalId;
use perun_protocol::{PublicKey, Version};

use crate::spending::{Carried, Spending};
use crate::store::Key;

pub(crate) const IDENTITY: Key = Key::new(1, 0);
pub(crate) const GIVEN: Key = Key::new(2, 0);
const OPENING: u8 = 3;
const STATE: u8 = 4;

/// The key of what never changes about the channel in this slot.
pub(crate) fn opening(slot: u8) -> Key {
    Key::new(OPENING, slot)
}

/// The slot of the channel whose opening this key names, if it does.
pub(crate) fn slot_of(key: Key) -> Option<u8> {
    (key.kind == OPENING).then_some(key.slot)
}

/// The key of everything else about it.
pub(crate) fn state(slot: u8) -> Key {
    Key::new(STATE, slot)
}

/// What never changes about a channel.
pub(crate) struct StoredOpening {
    pub(crate) setup: Setup,
    pub(crate) peer: PublicKey,
    pub(crate) proposal: ProposalId,
}

#[derive(Decode, Encode)]
#[cbor(map)]
struct OpeningFields {
    #[n(0)]
    setup: ByteVec,
    #[n(1)]
    peer: ByteArray<PUBLIC_KEY_LENGTH>,
    #[cbor(n(2), with = "minicbor::bytes")]
    proposal: ProposalId,
}

/// Everything else.
#[derive(Decode, Encode)]
#[cbor(map)]
pub(crate) struct StoredState {
    #[n(0)]
    pub(crate) snapshot: ByteVec,
    /// The payments of our proposal under way, without which it is not restored.
    #[n(1)]
    pub(crate) pending: Option<StoredPayments>,
    #[n(2)]
    pub(crate) spending: Spending,
}

/// The payments that lead to a version.
#[derive(Clone, Decode, Encode)]
#[cbor(map)]
pub(crate) struct StoredPayments {
    #[n(0)]
    pub(crate) version: Version,
    #[n(1)]
    pub(crate) payments: ByteVec,
}

impl StoredOpening {
    pub(crate) fn encode(setup: &Setup, peer: &PublicKey, proposal: ProposalId) -> Vec<u8> {
        encode(&OpeningFields {
            setup: setup.encode().into(),
            peer: (*peer.as_bytes()).into(),
            proposal,
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let fields: OpeningFields = minicbor::decode(bytes).ok()?;
        Some(Self {
            setup: Setup::decode(&fields.setup)?,
            peer: PublicKey::from_bytes(*fields.peer)?,
            proposal: fields.proposal,
        })
    }
}

impl StoredState {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        minicbor::decode(bytes).ok()
    }
}

pub(crate) fn encode_given(carried: &[Carried]) -> Vec<u8> {
    encode(&carried)
}

pub(crate) fn decode_given(bytes: &[u8]) -> Option<Vec<Carried>> {
    minicbor::decode(bytes).ok()
}

fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("a vector takes every byte")
}
