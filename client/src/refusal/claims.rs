//! What is refused about claims, and about questions.

use std::fmt::{self, Formatter};

use perun_canister_api::{ConcludeError, DisputeError, EventsError, QueryError, Rank};

use super::{Advice, Refusal, challenge_open, channel_length, not_registered};

impl Refusal for DisputeError {
    fn advice(&self) -> Advice {
        Advice::GiveUp
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { reason } => write!(f, "the claim does not decode: {reason}"),
            Self::UnknownChannel => write!(f, "no deposit for this channel has arrived"),
            Self::WrongShape => write!(
                f,
                "the state has another number of assets or participants than the channel"
            ),
            Self::SignatureCount { expected, found } => {
                write!(f, "{found} signatures for {expected} participants")
            }
            Self::WrongSignature { part } => {
                write!(f, "the signature of participant {part} is not good")
            }
            Self::ChallengeElapsed { at_ns } => {
                write!(f, "the time to refute ended at {at_ns} ns")
            }
            Self::Outdated {
                registered,
                submitted,
            } => {
                rank(f, registered)?;
                write!(f, " is registered, ")?;
                rank(f, submitted)?;
                write!(f, " is not newer")
            }
            Self::InsufficientFunding {
                asset,
                part,
                held,
                needed,
            } => write!(
                f,
                "of asset {asset} participant {part} has deposited {held} units, the state rests \
                 on {needed}"
            ),
            Self::LockedUnsupported => {
                write!(f, "states with locked amounts cannot be enforced yet")
            }
        }
    }
}

impl Refusal for ConcludeError {
    fn advice(&self) -> Advice {
        Advice::GiveUp
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinal => write!(f, "the state is not final"),
            Self::WrongChannel => write!(f, "the state is one of another channel"),
            Self::NotRegistered => not_registered(f),
            Self::ChallengeOpen { timeout_ns } => challenge_open(f, *timeout_ns),
            Self::Refused(refusal) => refusal.explain(f),
        }
    }
}

impl Refusal for QueryError {
    fn advice(&self) -> Advice {
        Advice::GiveUp
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self::MalformedChannel { length } = self;
        channel_length(f, *length)
    }
}

impl Refusal for EventsError {
    fn advice(&self) -> Advice {
        Advice::GiveUp
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self::MalformedChannel { length } = self;
        channel_length(f, *length)
    }
}

fn rank(f: &mut Formatter<'_>, rank: &Rank) -> fmt::Result {
    match rank {
        Rank::Refund => write!(f, "a refund claim"),
        Rank::State(version) => write!(f, "version {version}"),
    }
}
