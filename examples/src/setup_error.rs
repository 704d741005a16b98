//! Why a walkthrough can't begin: mostly, what is wrong with what it was pointed at.

use std::fmt;

use candid::Principal;
use perun_client::agent::ConnectError;
use perun_client::identity::IdentityError;
use perun_client::{INTERFACE, ParseAmountError};

/// Why a walkthrough can't begin.
#[derive(Debug)]
pub enum SetupError {
    /// There is no agent.
    Connect(ConnectError),
    /// The identity can't be had.
    Identity(IdentityError),
    /// The adjudicator speaks another interface than this program.
    Interface {
        /// The one it speaks.
        found: u16,
    },
    /// The adjudicator does not serve the ledger.
    LedgerNotServed {
        /// The ledger.
        ledger: Principal,
        /// Those that it serves.
        served: Vec<Principal>,
    },
    /// The adjudicator does not accept such a challenge duration, in seconds.
    ChallengeDuration {
        /// What was asked for.
        given_s: u32,
        /// The least it accepts.
        min_s: u32,
        /// The most it accepts.
        max_s: u32,
    },
    /// An amount on the command line is none.
    Amount {
        /// What was given.
        text: String,
        /// What is wrong with it.
        error: ParseAmountError,
    },
    /// A principal can't be used.
    Principal(Principal),
    /// An account has not enough for its deposits and fees, all of them with the token's symbol.
    Poor {
        /// Whose account it is.
        owner: Principal,
        /// What it has.
        has: String,
        /// What it needs.
        needs: String,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Identity(error) => error.fmt(f),
            Self::Interface { found } => write!(
                f,
                "the adjudicator has interface {found}, this program speaks {INTERFACE}"
            ),
            Self::LedgerNotServed { ledger, served } => {
                write!(
                    f,
                    "the adjudicator does not serve the ledger {ledger}; it serves"
                )?;
                served.iter().try_for_each(|served| write!(f, " {served}"))
            }
            Self::ChallengeDuration {
                given_s,
                min_s,
                max_s,
            } => write!(
                f,
                "a challenge duration of {given_s} s; the adjudicator accepts {min_s} to {max_s} s"
            ),
            Self::Amount { text, error } => write!(f, "{text:?} is no amount: {error}"),
            Self::Principal(principal) => write!(f, "{principal} can't be used here"),
            Self::Poor { owner, has, needs } => write!(
                f,
                "the account of {owner} has {has}; deposits and fees need {needs}"
            ),
        }
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Identity(error) => Some(error),
            Self::Amount { error, .. } => Some(error),
            _ => None,
        }
    }
}
