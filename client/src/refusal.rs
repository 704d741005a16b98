//! What the adjudicator refuses: in words, and whether asking again helps.

use std::convert::Infallible;
use std::fmt::{self, Debug, Formatter};

use perun_canister_api::{
    ConcludeError, DepositAccountError, DepositError, DisputeError, EventsError, LedgerRefusal,
    ParamsError, QueryError, Rank, WithdrawError,
};

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

impl Refusal for DepositError {
    fn advice(&self) -> Advice {
        match self {
            Self::Busy | Self::LedgerUnavailable { .. } => Advice::TryAgain,
            Self::Pending { .. } => Advice::AskAgain,
            Self::Refused(refusal) => refusal.advice(),
            _ => Advice::GiveUp,
        }
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnonymousCaller => {
                write!(
                    f,
                    "nothing can be pulled from the anonymous caller, who has no account"
                )
            }
            Self::MalformedParams { reason } => write!(f, "the params do not decode: {reason}"),
            Self::InvalidParams(error) => error.explain(f),
            Self::UnknownPart { part, participants } => no_part(f, *part, *participants),
            Self::UnknownAsset => write!(f, "the channel does not have this asset"),
            Self::NothingToDeposit => write!(f, "a deposit of zero"),
            Self::BelowFee { balance, fee } => write!(
                f,
                "the deposit account has {balance} units, no more than the fee of {fee}"
            ),
            Self::UnexpectedHolding { holding } => {
                write!(
                    f,
                    "the participant's holding is {holding} units, not what was expected"
                )
            }
            Self::AmountOverflow => write!(f, "the sum of the asset would exceed 128 bits"),
            Self::AlreadyRegistered => {
                write!(
                    f,
                    "the channel has a registered state: approvals are no longer pulled"
                )
            }
            Self::Busy => busy(f),
            Self::Pending { journal } => pending(f, *journal),
            Self::Refused(refusal) => refusal.explain(f),
            Self::LedgerUnavailable { message } => unavailable(f, message),
        }
    }
}

impl Refusal for ParamsError {
    fn advice(&self) -> Advice {
        Advice::GiveUp
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ParticipantCount { count } => {
                write!(f, "a channel cannot have {count} participants")
            }
            Self::DuplicateParticipant { index } => {
                write!(f, "participant {index} repeats an earlier one")
            }
            Self::InvalidKey { index } => {
                write!(f, "the key of participant {index} is no point of its curve")
            }
            Self::AssetCount { count } => write!(f, "a channel cannot have {count} assets"),
            Self::DuplicateAsset { index } => write!(f, "asset {index} repeats an earlier one"),
            Self::LedgerNotServed { index } => {
                write!(
                    f,
                    "the adjudicator does not serve the ledger of asset {index}"
                )
            }
            Self::ChallengeDuration {
                given_s,
                min_s,
                max_s,
            } => write!(
                f,
                "a challenge duration of {given_s} s; this adjudicator accepts {min_s} to {max_s} s"
            ),
            Self::WrongAdjudicator => write!(f, "the params name another adjudicator"),
            Self::NotALedgerChannel => write!(f, "sub- and virtual channels hold no deposits"),
            Self::Other { reason } => f.write_str(reason),
        }
    }
}

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

impl Refusal for WithdrawError {
    fn advice(&self) -> Advice {
        match self {
            Self::Busy | Self::LedgerUnavailable { .. } => Advice::TryAgain,
            Self::Pending { .. } => Advice::AskAgain,
            Self::Refused(refusal) => refusal.advice(),
            _ => Advice::GiveUp,
        }
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { reason } => f.write_str(reason),
            Self::UnknownChannel => write!(f, "the adjudicator knows no such channel"),
            Self::UnknownAsset => write!(f, "the channel does not have this asset"),
            Self::UnknownPart { part, participants } => no_part(f, *part, *participants),
            Self::WrongSignature => write!(
                f,
                "the signature is not the participant's on exactly this authorisation"
            ),
            Self::ReceiverIsAdjudicator => write!(
                f,
                "the receiver is the adjudicator, where nobody could take the money out again"
            ),
            Self::NotRegistered => not_registered(f),
            Self::ChallengeOpen { timeout_ns } => challenge_open(f, *timeout_ns),
            Self::NothingToWithdraw => {
                write!(f, "the participant has nothing (left) of this asset")
            }
            Self::BelowFee { remainder, fee } => {
                write!(
                    f,
                    "the remainder of {remainder} units is not above the fee of {fee}"
                )
            }
            Self::Busy => busy(f),
            Self::Pending { journal } => pending(f, *journal),
            Self::Refused(refusal) => refusal.explain(f),
            Self::LedgerUnavailable { message } => unavailable(f, message),
        }
    }
}

impl Refusal for DepositAccountError {
    fn advice(&self) -> Advice {
        match self {
            Self::FeeUnknown => Advice::TryAgain,
            _ => Advice::GiveUp,
        }
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedChannel { length } => channel_length(f, *length),
            Self::UnknownPart { part } => {
                write!(f, "the channel has no participant {part}, counted from 0")
            }
            Self::UnknownAsset => write!(f, "the channel does not have this asset"),
            Self::LedgerNotServed => write!(f, "the adjudicator does not serve this ledger"),
            Self::FeeUnknown => write!(f, "the ledger has not told its fee yet"),
            Self::AmountOverflow => write!(f, "share and fee exceed 128 bits"),
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

fn no_part(f: &mut Formatter<'_>, part: u8, participants: u8) -> fmt::Result {
    write!(
        f,
        "there is no participant {part} among {participants}, counted from 0"
    )
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

fn busy(f: &mut Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "another ledger call for this channel and asset is under way"
    )
}

fn pending(f: &mut Formatter<'_>, journal: u64) -> fmt::Result {
    write!(
        f,
        "the ledger's answer to the transfer with memo {journal} is not known yet"
    )
}

fn unavailable(f: &mut Formatter<'_>, message: &str) -> fmt::Result {
    write!(f, "the ledger cannot be asked: {message}")
}

fn channel_length(f: &mut Formatter<'_>, length: u64) -> fmt::Result {
    write!(f, "a channel id has 32 bytes, not {length}")
}

#[cfg(test)]
mod tests {
    use super::*;

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
