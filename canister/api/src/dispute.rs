//! Disputes: handing in a claim, refuting one.

use candid::CandidType;
use serde::Deserialize;
use serde_bytes::ByteBuf;

/// Hands in a claim: it is registered, or refutes what is.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct DisputeRequest {
    /// The claim.
    pub claim: Claim,
}

/// What became of one claim.
pub type DisputeResult = Result<Registered, DisputeError>;

/// Why none of many claims was looked at.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum DisputeManyError {
    /// There are more than one message may carry: send them in several.
    TooMany {
        /// How many were given.
        given: u64,
        /// How many may be.
        max: u32,
    },
}

/// What can be handed in.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum Claim {
    /// "No state was ever signed by all": everybody gets the deposits back. Ranks below version 0.
    Refund {
        /// The channel's id, 32 bytes.
        channel: ByteBuf,
        /// The participant that claims it.
        part: u8,
        /// Its signature on the refund claim, 64 bytes.
        signature: ByteBuf,
    },
    /// A state with all signatures, canonical.
    State(ByteBuf),
}

/// How new a claim is.
#[derive(CandidType, Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum Rank {
    /// A refund claim: older than any state.
    Refund,
    /// A state of this version.
    State(u64),
}

/// What is registered.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Registered {
    /// How new it is.
    pub rank: Rank,
    /// The state with all signatures, canonical; none for a refund claim.
    pub signed_state: Option<ByteBuf>,
    /// From this instant on it can no longer be refuted. Time in which the canister did not run is
    /// added to it: it may move later, never earlier.
    pub timeout_ns: u64,
    /// Whether the channel is concluded: then payouts are fixed.
    pub concluded: bool,
}

/// Why a claim is not registered.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum DisputeError {
    /// The claim is no canonical encoding.
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// No deposit for this channel has arrived, so there is nothing to dispute about. If money
    /// lies in a deposit account, call `deposit` first.
    UnknownChannel,
    /// The state has another number of assets or participants than the channel.
    WrongShape,
    /// There is not one signature per participant.
    SignatureCount {
        /// How many participants there are.
        expected: u64,
        /// How many signatures were given.
        found: u64,
    },
    /// A signature is not the participant's.
    WrongSignature {
        /// The first participant without a good signature.
        part: u8,
    },
    /// The time to refute is over.
    ChallengeElapsed {
        /// When it ended.
        at_ns: u64,
    },
    /// Something at least as new is registered.
    Outdated {
        /// What is registered.
        registered: Rank,
        /// What was handed in.
        submitted: Rank,
    },
    /// A deposit that the state rests on was not there at the first registration.
    InsufficientFunding {
        /// The position of the asset.
        asset: u8,
        /// The participant.
        part: u8,
        /// What was held.
        held: u128,
        /// What the state rests on.
        needed: u128,
    },
    /// States with locked amounts cannot be enforced yet.
    LockedUnsupported,
}
