//! Updates: the next state proposed, accepted, rejected, and the turn to propose.

use minicbor::{Decode, Encode};

use super::fields::is_false;
use super::rejection::{RejectCode, Text};
use crate::payment::Batch;
use crate::{ChannelId, PartIdx, Signature, Version};

/// Proposes the next state by what changes: the proposer's payments, and whether it is the last.
///
/// The receiver makes the state itself and checks the signature against it, so what is signed is
/// what the receiver understood.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Update {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// The version of the new state.
    #[n(1)]
    pub version: Version,
    /// How far the version is above that of the state it builds on, less one: 0 but after
    /// rejections and restored copies.
    #[n(2)]
    #[cbor(skip_if = "is_zero")]
    pub skipped: u64,
    /// The turn in which it is proposed.
    #[n(3)]
    pub turn: u64,
    /// Whether the new state is final.
    #[n(4)]
    #[cbor(skip_if = "is_false")]
    pub is_final: bool,
    /// Whether the turn passes to the receiver once the update is accepted.
    #[n(5)]
    #[cbor(skip_if = "is_false")]
    pub passes_turn: bool,
    /// What the proposer pays.
    #[n(6)]
    #[cbor(skip_if = "Batch::is_empty")]
    pub payments: Batch,
    /// The proposer's signature on the new state.
    #[n(7)]
    pub signature: Signature,
}

/// Accepts a state: version 0 at the opening, an [`Update`] later.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct UpdateAcceptance {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// The version accepted.
    #[n(1)]
    pub version: Version,
    /// Who accepts.
    #[n(2)]
    pub part: PartIdx,
    /// Its signature on the state.
    #[n(3)]
    pub signature: Signature,
    /// Whether it asks for the turn.
    #[n(4)]
    #[cbor(skip_if = "is_false")]
    pub asks_turn: bool,
}

/// Rejects an [`Update`], or says that the channel is not known.
///
/// Rejecting does not undo the proposer's signature: the version is burnt.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct UpdateRejection {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// The version rejected.
    #[n(1)]
    pub version: Version,
    /// Why.
    #[n(2)]
    pub code: RejectCode,
    /// Why, in words.
    #[n(3)]
    #[cbor(skip_if = "Text::is_empty")]
    pub text: Text,
}

/// Asks for the turn, by one who does not have it.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct TurnRequest {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// The number of the turn that is to end.
    #[n(1)]
    pub turn: u64,
}

/// Passes the turn.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct TurnPass {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// The number of the turn that begins; the receiver's.
    #[n(1)]
    pub turn: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
