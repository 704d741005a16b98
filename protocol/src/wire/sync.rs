//! Syncing after a (re)connect: both say how far they are.

use minicbor::{Decode, Encode};

use super::Update;
use super::fields::is_false;
use crate::{ChannelId, UnverifiedSignedState, Version};

/// How far one side is. Both send it when a link begins; one round trip and both know what the
/// other knows.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Sync {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// The number of the turn, as far as it knows.
    #[n(1)]
    pub turn: u64,
    /// The newest state that all have signed.
    #[n(2)]
    pub newest: UnverifiedSignedState,
    /// Its own proposal that was not answered, if there is one.
    #[n(3)]
    pub pending: Option<Update>,
    /// The receiver's newest proposal that was refused, if it is newer than `newest`.
    #[n(4)]
    pub witness: Option<Witness>,
    /// The highest version that it has signed: it signs nothing else up to it. What the receiver
    /// proposes next must be above.
    #[n(5)]
    pub signed_through: Option<Version>,
    /// Whether it waits for a sync in return: a message of the link's beginning may be lost.
    #[n(6)]
    #[cbor(skip_if = "is_false")]
    pub wants_answer: bool,
    /// The receiver's proposal that the sender has not answered yet.
    #[n(7)]
    pub offered: Option<Witness>,
}

/// A state with the signature of one who proposed it: proof that it is bound, even if it forgot.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Witness {
    /// The state and the proposer's signature alone.
    #[n(0)]
    pub proposed: UnverifiedSignedState,
}
