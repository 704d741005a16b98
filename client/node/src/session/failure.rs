//! What the library's errors are to a caller of the API.

use std::convert::Infallible;
use std::time::Duration;

use perun_client::channel::{CloseError, PaymentError};
use perun_client::client::OpenError;
use perun_client::{CallError, CheckError, Unsuitable};
use perun_protocol::channel::{CommandError, PayError};
use perun_protocol::wire::{Reason, RejectCode};

use super::Session;
use crate::{ContractError, Error};

/// A call that can move money has failed. Whoever makes the error knows which it is: by the error
/// alone it could not be told.
#[derive(Debug)]
pub enum Failure {
    /// No money moved, and none will: it is as if the call had never been made.
    NoEffect(Error),
    /// Money may have moved, or may still move.
    Uncertain(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoEffect(error) | Failure::Uncertain(error) => error,
        }
    }
}

/// How long it is waited beyond what others have, for what happens on the way.
pub(super) const GRACE: Duration = Duration::from_secs(5);

impl Session {
    /// What a peer said instead of yes.
    pub(super) fn refused(&self, alias: &str, reason: &Reason, timeout: Duration) -> Error {
        let alias = alias.to_owned();
        match reason.code {
            RejectCode::TimedOut => Error::PeerRequestTimedOut { alias, timeout },
            RejectCode::NotFunded => Error::PeerNotFunded { alias },
            _ => Error::PeerRejected {
                alias,
                reason: reason.to_string(),
            },
        }
    }

    /// The replica, the adjudicator or a ledger does not answer.
    pub(super) fn unreachable(&self, error: &CallError<Infallible>) -> Error {
        Error::ChainNotReachable {
            url: self.chain_url.clone(),
            cause: error.to_string(),
        }
    }

    pub(super) fn not_opened(
        &self,
        alias: &str,
        error: OpenError,
        answer_within: Duration,
    ) -> Failure {
        let certainty = match error.is_before_deposits() {
            true => Failure::NoEffect,
            false => Failure::Uncertain,
        };
        certainty(match error {
            OpenError::Rejected(reason) => self.refused(alias, &reason, answer_within),
            OpenError::Abandoned(reason) => self.refused(alias, &reason, answer_within),
            OpenError::NoAnswer { .. } => Error::PeerRequestTimedOut {
                alias: alias.to_owned(),
                timeout: answer_within,
            },
            OpenError::NotFunded { .. } => Error::PeerNotFunded {
                alias: alias.to_owned(),
            },
            OpenError::ChallengeTooShort { given, .. } => {
                let value = given.as_secs().to_string();
                Error::invalid("challengeDurSecs", value, error.to_string())
            }
            OpenError::Terms(error) => Error::invalid("openingBalInfo", "", error.to_string()),
            OpenError::Invalid(error) => Error::invalid("openingBalInfo", "", error.to_string()),
            OpenError::Adjudicator(CheckError::Call(error)) => self.unreachable(&error),
            OpenError::Adjudicator(CheckError::Unsuitable(unsuitable)) => match unsuitable {
                Unsuitable::ChallengeDuration { given_s, .. } => Error::invalid(
                    "challengeDurSecs",
                    given_s.to_string(),
                    unsuitable.to_string(),
                ),
                unsuitable => self.unsuitable(&unsuitable),
            },
            OpenError::OtherAdjudicator | OpenError::Deadlines { .. } | OpenError::Expired => {
                Error::FailedPrecondition {
                    message: error.to_string(),
                }
            }
            OpenError::Stopped => Error::Stopped,
            error => Error::internal(error),
        })
    }

    fn unsuitable(&self, unsuitable: &Unsuitable) -> Error {
        let address = self.client.chain().adjudicator().id().to_text();
        Error::InvalidContracts {
            contracts: vec![ContractError {
                name: "adjudicator",
                address,
                error: unsuitable.to_string(),
            }],
        }
    }

    pub(super) fn not_paid(&self, alias: &str, error: PaymentError, timeout: Duration) -> Error {
        match error {
            PaymentError::NotTaken(error) => not_taken(&error),
            PaymentError::Refused(reason) => self.refused(alias, &reason, timeout),
            PaymentError::Stopped => Error::Stopped,
            error => Error::internal(error),
        }
    }

    pub(super) fn not_closed(&self, alias: &str, error: CloseError) -> Error {
        match error {
            CloseError::NotTaken(CommandError::NoLink) => Error::FailedPrecondition {
                message: format!(
                    "{alias} was not heard of since this session was opened, and what is stored here \
                     may be an old copy; wait until it is connected, or close by force"
                ),
            },
            CloseError::NotTaken(error) => not_ordered(&error),
            CloseError::Abandoned(reason) => self.refused(alias, &reason, Duration::ZERO),
            CloseError::Stopped => Error::Stopped,
            error => Error::internal(error),
        }
    }
}

/// A payment that the channel does not take.
pub(super) fn not_taken(error: &PayError) -> Error {
    match error {
        PayError::InsufficientBalance { amount, .. } => {
            Error::invalid("amount", amount.units().to_string(), error.to_string())
        }
        PayError::Invalid(invalid) => Error::invalid("amount", "", invalid.to_string()),
        PayError::QueueFull { .. } => Error::ResourceExhausted {
            message: error.to_string(),
        },
        error => Error::FailedPrecondition {
            message: error.to_string(),
        },
    }
}

/// A command that the channel does not take.
pub(super) fn not_ordered(error: &CommandError) -> Error {
    match error {
        CommandError::Nothing | CommandError::UnknownAsset { .. } => {
            Error::invalid("amount", "", error.to_string())
        }
        error => Error::FailedPrecondition {
            message: error.to_string(),
        },
    }
}
