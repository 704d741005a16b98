//! The classic calls of the ICP ledger: accounts are identifiers, amounts have 64 bits.
//!
//! The types are equal on the wire to those of that ledger and of the crate `ic-ledger-types`.
//! This ledger's amounts have 128 bits. What does not fit is never shown as another number: a
//! balance or fee is refused with a text, a block's operation is left out. Only allowances,
//! which are upper limits anyway, are shown as the largest 64-bit number.

use candid::CandidType;
use icrc_ledger_types::icrc1::account::Account;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::{
    account::{AccountIdentifier, BadAccountIdentifier},
    amount::Amount,
    block::Memo,
    ledger::{Ledger, Transfer},
    refusal::Refusal,
};

mod blocks;

pub use blocks::{
    ArchivedBlocksRange, Block, BlockRange, GetBlocksArgs, Operation, QueryArchiveError,
    QueryArchiveFn, QueryArchiveResult, QueryBlocksResponse, Transaction,
};

/// An amount of 64 bits, in the smallest unit whatever the decimals are.
#[derive(CandidType, Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct Tokens {
    /// The number; the name is from ICP's eight decimals.
    pub e8s: u64,
}

/// An amount that has more than 64 bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooLarge(pub Amount);

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} does not fit into the 64 bits of the classic calls, use the ICRC-1 ones",
            self.0
        )
    }
}

impl std::error::Error for TooLarge {}

impl TryFrom<Amount> for Tokens {
    type Error = TooLarge;

    fn try_from(amount: Amount) -> Result<Self, TooLarge> {
        u64::try_from(u128::from(amount))
            .map(|e8s| Self { e8s })
            .map_err(|_| TooLarge(amount))
    }
}

/// Nanoseconds since 1970.
#[derive(CandidType, Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct TimeStamp {
    /// The number.
    pub timestamp_nanos: u64,
}

impl From<u64> for TimeStamp {
    fn from(timestamp_nanos: u64) -> Self {
        Self { timestamp_nanos }
    }
}

/// The argument of `transfer`.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub struct TransferArgs {
    /// The caller's note.
    pub memo: u64,
    /// How much arrives.
    pub amount: Tokens,
    /// The fee the caller expects.
    pub fee: Tokens,
    /// Which of the caller's accounts pays.
    pub from_subaccount: Option<[u8; 32]>,
    /// The account identifier that is paid.
    pub to: ByteBuf,
    /// When the caller created the request; `None` means it is never a duplicate.
    pub created_at_time: Option<TimeStamp>,
}

impl TransferArgs {
    /// The transfer that `caller` asks for.
    ///
    /// # Errors
    /// [`BadAccountIdentifier`] if the receiver is none.
    pub fn into_transfer(
        self,
        caller: candid::Principal,
        ledger: &Ledger,
    ) -> Result<Transfer, BadAccountIdentifier> {
        Ok(Transfer {
            from: Account {
                owner: caller,
                subaccount: self.from_subaccount,
            },
            to: ledger.resolve(&AccountIdentifier::from_slice(&self.to)?),
            spender: None,
            amount: self.amount.e8s.into(),
            fee: Some(self.fee.e8s.into()),
            memo: Some(Memo::Number(self.memo)),
            created_at_ns: self.created_at_time.map(|time| time.timestamp_nanos),
        })
    }
}

/// Why a `transfer` was not executed.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum TransferError {
    /// The caller named another fee than this ledger takes.
    BadFee {
        /// What it takes.
        expected_fee: Tokens,
    },
    /// The paying account has less than amount and fee.
    InsufficientFunds {
        /// What it has.
        balance: Tokens,
    },
    /// The request was created before the transaction window.
    TxTooOld {
        /// The length of the window, ns.
        allowed_window_nanos: u64,
    },
    /// The request was created in the future.
    TxCreatedInFuture,
    /// The same request was executed before.
    TxDuplicate {
        /// The block it led to.
        duplicate_of: u64,
    },
}

impl TryFrom<Refusal> for TransferError {
    /// What the classic calls have no word for; the call is then rejected with it.
    type Error = String;

    fn try_from(refusal: Refusal) -> Result<Self, String> {
        Ok(match refusal {
            Refusal::BadFee { expected_fee } => Self::BadFee {
                expected_fee: expected_fee
                    .try_into()
                    .map_err(|error: TooLarge| format!("the fee is wrong: {error}"))?,
            },
            Refusal::InsufficientFunds { balance } => Self::InsufficientFunds {
                balance: balance
                    .try_into()
                    .map_err(|error: TooLarge| format!("the balance is too small: {error}"))?,
            },
            Refusal::TooOld { window_ns } => Self::TxTooOld {
                allowed_window_nanos: window_ns,
            },
            Refusal::CreatedInFuture { .. } => Self::TxCreatedInFuture,
            Refusal::Duplicate { duplicate_of } => Self::TxDuplicate { duplicate_of },
            other => return Err(other.to_string()),
        })
    }
}

/// The answer of `transfer`: the index of the block.
pub type TransferResult = Result<u64, TransferError>;

/// The argument of `account_balance`.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub struct AccountBalanceArgs {
    /// The account identifier.
    pub account: ByteBuf,
}

/// The argument of `transfer_fee`: nothing.
#[derive(CandidType, Clone, Copy, Debug, Deserialize)]
pub struct TransferFeeArg {}

/// The answer of `transfer_fee`.
#[derive(CandidType, Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct TransferFee {
    /// The fee.
    pub transfer_fee: Tokens,
}

/// The answer of `symbol`.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Symbol {
    /// The token's symbol.
    pub symbol: String,
}

/// The answer of `name`.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Name {
    /// The token's name.
    pub name: String,
}

/// The answer of `decimals`.
#[derive(CandidType, Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct Decimals {
    /// How many digits follow the point.
    pub decimals: u32,
}

/// The answer of `archives`.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Archives {
    /// Always empty: all blocks are in the ledger.
    pub archives: Vec<Archive>,
}

/// A canister with old blocks.
#[derive(CandidType, Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct Archive {
    /// Its principal.
    pub canister_id: candid::Principal,
}

#[cfg(test)]
mod tests;
