//! What the adjudicator refuses: in words, and whether asking again helps.

mod claims;
mod money;

use std::convert::Infallible;
use std::fmt::{self, Debug, Formatter};

use perun_canister_api::LedgerRefusal;

/// What a caller who was refused should do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advice {
    /// The same call would be refused again.
    GiveUp,
    /// Nothing has changed, and the same call may succeed soon.
    TryAgain,
    /// The call may have taken effect, which the same call will find out.
    AskAgain,
}

/// A refusal by a canister.
pub trait Refusal: Debug {
    /// What to do about it.
    fn advice(&self) -> Advice;

    /// Says it in words.
    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result;
}

impl Refusal for Infallible {
    fn advice(&self) -> Advice {
        match *self {}
    }

    fn explain(&self, _: &mut Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Refusal for LedgerRefusal {
    fn advice(&self) -> Advice {
        match self {
            Self::BadFee { .. } | Self::TemporarilyUnavailable | Self::NotDelivered { .. } => {
                Advice::TryAgain
            }
            Self::InsufficientFunds { .. }
            | Self::InsufficientAllowance { .. }
            | Self::Other { .. } => Advice::GiveUp,
        }
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsufficientFunds { balance } => {
                write!(
                    f,
                    "the ledger says that the account has only {balance} units"
                )
            }
            Self::InsufficientAllowance { allowance } => {
                write!(
                    f,
                    "the ledger says that only {allowance} units are approved"
                )
            }
            Self::BadFee { expected_fee } => {
                write!(f, "the ledger's fee is now {expected_fee} units")
            }
            Self::TemporarilyUnavailable => write!(f, "the ledger is busy"),
            Self::NotDelivered { code, message } => {
                write!(
                    f,
                    "the call did not reach the ledger (reject code {code}): {message}"
                )
            }
            Self::Other { message } => write!(f, "the ledger says: {message}"),
        }
    }
}

fn not_registered(f: &mut Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "nothing is registered: conclude with a final state, or dispute first"
    )
}

fn challenge_open(f: &mut Formatter<'_>, timeout_ns: u64) -> fmt::Result {
    write!(
        f,
        "what is registered can still be refuted until {timeout_ns} ns"
    )
}

fn channel_length(f: &mut Formatter<'_>, length: u64) -> fmt::Result {
    write!(f, "a channel id has 32 bytes, not {length}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use perun_canister_api::{ConcludeError, DepositError, WithdrawError};

    #[test]
    fn what_passes_is_tried_again_and_what_is_unknown_is_asked_again() {
        let unavailable = || DepositError::LedgerUnavailable {
            message: String::new(),
        };
        assert_eq!(DepositError::Busy.advice(), Advice::TryAgain);
        assert_eq!(unavailable().advice(), Advice::TryAgain);
        assert_eq!(
            DepositError::Pending { journal: 1 }.advice(),
            Advice::AskAgain
        );
        assert_eq!(
            WithdrawError::Pending { journal: 1 }.advice(),
            Advice::AskAgain
        );
        let bad_fee = || LedgerRefusal::BadFee { expected_fee: 2 };
        assert_eq!(DepositError::Refused(bad_fee()).advice(), Advice::TryAgain);
        assert_eq!(WithdrawError::Refused(bad_fee()).advice(), Advice::TryAgain);
    }

    #[test]
    fn what_stays_is_given_up() {
        let poor = LedgerRefusal::InsufficientFunds { balance: 3 };
        assert_eq!(DepositError::Refused(poor).advice(), Advice::GiveUp);
        assert_eq!(WithdrawError::NothingToWithdraw.advice(), Advice::GiveUp);
        let open = ConcludeError::ChallengeOpen { timeout_ns: 1 };
        assert_eq!(open.advice(), Advice::GiveUp);
    }
}
