//! The end of a channel: from here on payouts are fixed.

use candid::CandidType;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::DisputeError;

/// Concludes a channel: at once with a final state, otherwise after the timeout of what is
/// registered.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct ConcludeRequest {
    /// The channel's id, 32 bytes.
    pub channel: ByteBuf,
    /// A final state with all signatures, canonical.
    pub final_state: Option<ByteBuf>,
}

/// A concluded channel.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Conclusion {
    /// What is still to be paid, for each asset for each participant.
    pub remainders: Vec<Vec<u128>>,
}

/// Why a channel is not concluded.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum ConcludeError {
    /// The state given is not final: hand it in by `dispute`.
    NotFinal,
    /// The state given is one of another channel.
    WrongChannel,
    /// Nothing is registered: give a final state, or `dispute` first.
    NotRegistered,
    /// What is registered can still be refuted.
    ChallengeOpen {
        /// Until then.
        timeout_ns: u64,
    },
    /// The final state is refused.
    Refused(DisputeError),
}
