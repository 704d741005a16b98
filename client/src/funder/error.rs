//! Why a deposit was not made, or is not known to be.

use std::convert::Infallible;
use std::fmt;

use icrc_ledger_types::icrc1::transfer::TransferError;
use icrc_ledger_types::icrc2::approve::ApproveError;
use perun_canister_api::{DepositError, QueryError};
use perun_protocol::{Amount, PartIdx};

use crate::{CallError, Unsuitable};

/// Why a deposit was not made, or is not known to be.
#[derive(Debug)]
pub enum FundError {
    /// The adjudicator does not serve the channel. No money moved.
    Unsuitable(Unsuitable),
    /// The channel has no such participant. No money moved.
    UnknownPart {
        /// The position asked for.
        part: PartIdx,
    },
    /// The channel does not have this asset. No money moved.
    UnknownAsset,
    /// A deposit of zero.
    NothingToDeposit,
    /// Amount and fee exceed 128 bits. No money moved.
    AmountOverflow,
    /// The agent's identity has no principal that could have an account.
    NoAccount {
        /// What is wrong with it.
        reason: String,
    },
    /// The paying account has not enough, as [`Funder::deposit_missing`](crate::Funder) finds.
    InsufficientFunds {
        /// What it has.
        balance: Amount,
        /// What it takes, fees included.
        needed: Amount,
    },
    /// Something could not be read.
    Read(CallError<Infallible>),
    /// The holdings could not be read.
    Holdings(CallError<QueryError>),
    /// The approval. No money moved but perhaps its fee.
    Approve(CallError<ApproveError>),
    /// The transfer to the deposit account.
    Transfer(CallError<TransferError>),
    /// The deposit itself. If it was to come through the deposit account, the money is there.
    Deposit(CallError<DepositError>),
}

impl fmt::Display for FundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsuitable(error) => error.fmt(f),
            Self::UnknownPart { part } => {
                write!(f, "the channel has no participant {part}, counted from 0")
            }
            Self::UnknownAsset => write!(f, "the channel does not have this asset"),
            Self::NothingToDeposit => write!(f, "a deposit of zero"),
            Self::AmountOverflow => write!(f, "amount and fee exceed 128 bits"),
            Self::NoAccount { reason } => {
                write!(f, "the identity has no account to pay from: {reason}")
            }
            Self::InsufficientFunds { balance, needed } => write!(
                f,
                "the paying account has {balance} units, {needed} are needed"
            ),
            Self::Read(error) => error.fmt(f),
            Self::Holdings(error) => write!(f, "holdings: {error}"),
            Self::Approve(error) => write!(f, "approval: {error}"),
            Self::Transfer(error) => write!(f, "transfer to the deposit account: {error}"),
            Self::Deposit(error) => write!(f, "deposit: {error}"),
        }
    }
}

impl std::error::Error for FundError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unsuitable(error) => Some(error),
            Self::Read(error) => Some(error),
            Self::Holdings(error) => Some(error),
            Self::Approve(error) => Some(error),
            Self::Transfer(error) => Some(error),
            Self::Deposit(error) => Some(error),
            Self::UnknownPart { .. }
            | Self::UnknownAsset
            | Self::NothingToDeposit
            | Self::AmountOverflow
            | Self::NoAccount { .. }
            | Self::InsufficientFunds { .. } => None,
        }
    }
}
