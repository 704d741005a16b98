//! Why a channel was not opened.

use std::fmt;
use std::time::Duration;

use perun_protocol::BalancesError;
use perun_protocol::channel::RestoreError;
use perun_protocol::wire::{ProposalError, Reason};

use crate::CheckError;
use crate::channel::Channel;

/// Why a channel was not opened.
#[non_exhaustive]
#[derive(Debug)]
pub enum OpenError {
    /// The amounts make no channel.
    Terms(BalancesError),
    /// The amounts and the participants make no channel.
    Invalid(ProposalError),
    /// The adjudicator does not serve such a channel, or could not be asked.
    Adjudicator(CheckError),
    /// With so short a challenge duration a dispute could be missed.
    ChallengeTooShort {
        /// What was proposed.
        given: Duration,
        /// The least that is safe with the client's times.
        least: Duration,
    },
    /// The peer says no.
    Rejected(Reason),
    /// The peer has not answered in time, and an answer would not be taken any more. If it is not
    /// connected, it may not have been asked.
    NoAnswer {
        /// Whether it was connected at the end.
        is_connected: bool,
    },
    /// Not everybody deposited in time. What is there goes back; the channel is not over before it
    /// is back ([`Channel::closed`]).
    NotFunded {
        /// The channel.
        channel: Channel,
    },
    /// Version 0 was not signed by both in time, or nobody deposited.
    Abandoned(Reason),
    /// The proposal has expired, or was answered already.
    Expired,
    /// The peer's proposal lets deposits wait for longer than the client's configuration allows, or
    /// ends before it can be accepted.
    Deadlines {
        /// How long deposits may wait.
        latest: Duration,
    },
    /// The peer's proposal is about another adjudicator.
    OtherAdjudicator,
    /// The system gives no randomness.
    Randomness(getrandom::Error),
    /// The key is not the client's.
    Key(RestoreError),
    /// The client has stopped.
    Stopped,
}

impl OpenError {
    /// Whether we certainly have deposited nothing, and never will for this proposal.
    pub fn is_before_deposits(&self) -> bool {
        // What nobody saw arrive in time may still be on its way. A client that has stopped may have
        // had version 0 signed by both, and deposits follow.
        !matches!(
            self,
            Self::NotFunded { .. } | Self::Abandoned(_) | Self::Stopped
        )
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terms(error) => error.fmt(f),
            Self::Invalid(error) => error.fmt(f),
            Self::Adjudicator(error) => error.fmt(f),
            Self::ChallengeTooShort { given, least } => write!(
                f,
                "a challenge duration of {} s is too short: with the client's times at least {} s \
                 are safe",
                given.as_secs(),
                least.as_secs_f64().ceil()
            ),
            Self::Rejected(reason) => write!(f, "the peer says no: {reason}"),
            Self::NoAnswer { is_connected: true } => {
                write!(f, "the peer has not answered in time")
            }
            Self::NoAnswer {
                is_connected: false,
            } => write!(f, "the peer is not connected"),
            Self::NotFunded { channel } => write!(
                f,
                "not everybody deposited in time; what is there goes back (channel {})",
                channel.id()
            ),
            Self::Abandoned(reason) => write!(f, "the channel never came to be: {reason}"),
            Self::Expired => write!(f, "the proposal has expired"),
            Self::Deadlines { latest } => write!(
                f,
                "deposits would have to be there too early, or later than in {} s",
                latest.as_secs()
            ),
            Self::OtherAdjudicator => write!(f, "the proposal is about another adjudicator"),
            Self::Randomness(error) => write!(f, "the system gives no randomness: {error}"),
            Self::Key(error) => error.fmt(f),
            Self::Stopped => write!(f, "the client has stopped"),
        }
    }
}

impl std::error::Error for OpenError {}
