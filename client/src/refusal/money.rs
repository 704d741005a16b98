//! What is refused about money: deposits and payouts.

use std::fmt::{self, Formatter};

use perun_canister_api::{DepositAccountError, DepositError, ParamsError, WithdrawError};

use super::{Advice, Refusal, challenge_open, channel_length, not_registered};

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

fn no_part(f: &mut Formatter<'_>, part: u8, participants: u8) -> fmt::Result {
    write!(
        f,
        "there is no participant {part} among {participants}, counted from 0"
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
