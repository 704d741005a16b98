//! Why a call did not give what was asked for, sorted by whose fault it is.

use std::fmt;

use candid::Principal;
use ic_agent::AgentError;
use perun_protocol::encoding::DecodeError;
use perun_protocol::{BalancesError, SignedStateError};

use crate::{Refusal, Unproven};

/// Why a call did not give what was asked for.
#[derive(Debug)]
pub enum CallError<R> {
    /// The canister refused, so nothing has changed, not by an earlier attempt either.
    Refused(R),
    /// An earlier attempt may have taken effect, and then the canister said this. Nobody knows yet;
    /// the same call with the same arguments can be made again at any time.
    Unresolved(R),
    /// There is no answer that can be believed.
    Transport {
        /// What the last attempt met.
        error: Box<AgentError>,
        /// How many attempts were made.
        attempts: u32,
        /// Whether one of them may have taken effect. The same call with the same arguments can be
        /// made again at any time.
        in_doubt: bool,
    },
    /// The canister answered what its interface cannot mean.
    Nonsense(Box<Nonsense>),
}

/// An answer that makes no sense: the canister is not what it was taken for, or has a fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nonsense {
    /// Who answered.
    pub canister: Principal,
    /// What was asked.
    pub method: &'static str,
    /// What is wrong with the answer.
    pub wrong: WrongAnswer,
}

/// What is wrong with an answer.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WrongAnswer {
    /// It is not of the type that the interface promises.
    Candid {
        /// The decoder's words.
        reason: String,
    },
    /// A number does not fit 128 bits.
    AmountOverflow,
    /// Amounts are not one per asset and participant.
    Shape {
        /// How many assets the channel has.
        assets: usize,
        /// How many participants it has.
        parts: usize,
    },
    /// Amounts are no table.
    Balances(BalancesError),
    /// A principal is the empty one.
    EmptyPrincipal,
    /// A channel id has not 32 bytes.
    ChannelLength {
        /// How many it has.
        length: usize,
    },
    /// A digest has not 32 bytes.
    DigestLength {
        /// How many it has.
        length: usize,
    },
    /// It is about a channel that was not asked about.
    WrongChannel,
    /// A signed state is no canonical encoding.
    State(DecodeError),
    /// A signed state is not signed by all participants.
    Signatures(SignedStateError),
    /// The state shown has not the rank that is told, or there is one for a refund claim.
    RankMismatch,
    /// The deposit account told is not the one that follows from the params.
    DepositAccount,
    /// The amount told is not share and fee.
    DepositAmount,
    /// Events are not in order, or from before what was asked for.
    EventOrder {
        /// The index of the event that is out of place, or the cursor.
        index: u64,
    },
    /// A channel is further than an answer that came later says.
    WentBack,
    /// It came from one node, and proves nothing.
    Unproven(Unproven),
    /// A question that cannot be refused was.
    Refusal {
        /// The refusal in words.
        words: String,
    },
}

impl<R> CallError<R> {
    /// What the canister said, if it refused.
    pub fn refusal(&self) -> Option<&R> {
        match self {
            Self::Refused(refusal) | Self::Unresolved(refusal) => Some(refusal),
            Self::Transport { .. } | Self::Nonsense(_) => None,
        }
    }

    /// Whether the call may have taken effect nevertheless. Repeating it is safe.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Unresolved(_) | Self::Nonsense(_) => true,
            Self::Transport { in_doubt, .. } => *in_doubt,
        }
    }

    pub(crate) fn nonsense(canister: Principal, method: &'static str, wrong: WrongAnswer) -> Self {
        Self::Nonsense(Box::new(Nonsense {
            canister,
            method,
            wrong,
        }))
    }
}

impl<R: Refusal> CallError<R> {
    /// The error of a question that was asked only to find out what became of a call which may have
    /// taken effect; such questions are not refused.
    pub(crate) fn while_in_doubt<S>(
        self,
        canister: Principal,
        method: &'static str,
    ) -> CallError<S> {
        match self {
            Self::Refused(refusal) | Self::Unresolved(refusal) => {
                let words = Words(&refusal).to_string();
                CallError::nonsense(canister, method, WrongAnswer::Refusal { words })
            }
            Self::Transport {
                error, attempts, ..
            } => CallError::Transport {
                error,
                attempts,
                in_doubt: true,
            },
            Self::Nonsense(nonsense) => CallError::Nonsense(nonsense),
        }
    }
}

/// A refusal as its words.
pub(crate) struct Words<'a, R>(pub(crate) &'a R);

impl<R: Refusal> fmt::Display for Words<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.explain(f)
    }
}

impl<R: Refusal> fmt::Display for CallError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "refused: {}", Words(refusal)),
            Self::Unresolved(refusal) => write!(
                f,
                "not known whether it took effect; the last answer was: {}",
                Words(refusal)
            ),
            Self::Transport {
                error,
                attempts,
                in_doubt,
            } => {
                write!(f, "no answer after {attempts} attempt(s): {error}")?;
                if *in_doubt {
                    write!(
                        f,
                        " (it may have taken effect; the same call can be repeated)"
                    )?;
                }
                Ok(())
            }
            Self::Nonsense(nonsense) => nonsense.fmt(f),
        }
    }
}

impl<R: Refusal> std::error::Error for CallError<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport { error, .. } => Some(error),
            Self::Refused(_) | Self::Unresolved(_) | Self::Nonsense(_) => None,
        }
    }
}

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            canister,
            method,
            wrong,
        } = self;
        write!(
            f,
            "canister {canister} answers `{method}` with nonsense: {wrong}"
        )
    }
}

impl std::error::Error for Nonsense {}

impl fmt::Display for WrongAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Candid { reason } => write!(f, "not of the promised type: {reason}"),
            Self::AmountOverflow => write!(f, "a number exceeds 128 bits"),
            Self::Shape { assets, parts } => {
                write!(
                    f,
                    "not one amount for each of {assets} assets and {parts} participants"
                )
            }
            Self::Balances(error) => error.fmt(f),
            Self::EmptyPrincipal => write!(f, "an empty principal"),
            Self::ChannelLength { length } => {
                write!(f, "a channel id has 32 bytes, not {length}")
            }
            Self::DigestLength { length } => write!(f, "a digest has 32 bytes, not {length}"),
            Self::WrongChannel => write!(f, "about a channel that was not asked about"),
            Self::State(error) => write!(f, "the registered state does not decode: {error}"),
            Self::Signatures(error) => write!(f, "the registered state is not signed: {error}"),
            Self::RankMismatch => write!(f, "the state shown has not the rank that is told"),
            Self::DepositAccount => {
                write!(
                    f,
                    "the deposit account does not follow from the channel's params"
                )
            }
            Self::DepositAmount => write!(f, "the amount to pay is not share and fee"),
            Self::EventOrder { index } => write!(f, "the events are out of order at {index}"),
            Self::Unproven(unproven) => unproven.fmt(f),
            Self::WentBack => write!(f, "the channel is further than that already"),
            Self::Refusal { words } => {
                write!(f, "a question that cannot be refused was refused: {words}")
            }
        }
    }
}

impl std::error::Error for WrongAnswer {}
