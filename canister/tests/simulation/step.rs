//! What can happen next. A history is a list of these, and nothing else decides anything.

use super::ledger::Mood;
use super::stage::CallId;

/// A participant's place in a channel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place {
    pub channel: usize,
    pub asset: usize,
    pub part: usize,
}

/// What is handed in for a channel.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Claim {
    /// The state with this position in the cast.
    State {
        channel: usize,
        state: usize,
    },
    /// The same with a signature of somebody else.
    Forged {
        channel: usize,
        state: usize,
    },
    Refund {
        channel: usize,
        part: usize,
    },
}

/// How many claims come in one message. How many may come is told elsewhere (`tests/batches.rs`).
pub const MANY: usize = 4;

/// A message to the adjudicator.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Call {
    /// A deposit by approval.
    Pull {
        place: Place,
        user: usize,
        amount: u128,
        expected: Option<u128>,
    },
    /// A deposit from the deposit account.
    Sweep {
        place: Place,
    },
    Dispute(Claim),
    /// Claims of whatever channels in one message.
    DisputeMany([Claim; MANY]),
    /// After the timeout.
    Conclude {
        channel: usize,
    },
    /// With this state, which should be final.
    ConcludeBy {
        channel: usize,
        state: usize,
    },
    Withdraw {
        place: Place,
    },
    /// With an authorisation of another place.
    Steal {
        place: Place,
        other: Place,
    },
    /// All queries.
    Ask {
        channel: usize,
    },
}

impl Claim {
    pub fn channel(self) -> usize {
        match self {
            Self::State { channel, .. }
            | Self::Forged { channel, .. }
            | Self::Refund { channel, .. } => channel,
        }
    }

    /// The state that it is for; none is a refund claim.
    pub fn state(self) -> Option<usize> {
        match self {
            Self::State { state, .. } | Self::Forged { state, .. } => Some(state),
            Self::Refund { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Step {
    /// A message begins.
    Call(Call),
    /// A timer fires: the one with this position.
    Fire(usize),
    /// A timer's message is rejected.
    LoseTimer(usize),
    /// A ledger executes what arrives next.
    Execute(usize),
    /// What would arrive next at the ledger is lost; the caller may be told.
    DropRequest {
        ledger: usize,
        told: bool,
    },
    /// An answer is lost, or its deadline passes.
    LoseReply(CallId),
    /// An answered call goes on.
    GoOn(CallId),
    /// An answered call goes on and traps.
    Trap(CallId),
    /// The canister is stopped, answers everything, is upgraded and started.
    Upgrade,
    /// It is upgraded at once, with calls under way.
    UpgradeAtOnce,
    /// Time passes.
    Advance {
        ns: u64,
    },
    /// The participants sign the next state.
    Sign {
        channel: usize,
    },
    /// A user pays into a deposit account.
    PayIn {
        place: Place,
        user: usize,
        amount: u128,
    },
    /// A user approves to the adjudicator.
    Approve {
        ledger: usize,
        user: usize,
        amount: u128,
    },
    ChangeFee {
        ledger: usize,
        fee: u128,
    },
    ChangeMood {
        ledger: usize,
        mood: Mood,
    },
}
