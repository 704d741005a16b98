//! The classic calls of the ICP ledger: accounts are identifiers, amounts have 64 bits.
//!
//! The types are equal on the wire to those of that ledger and of the crate `ic-ledger-types`.
//! This ledger's amounts have 128 bits. What does not fit is never shown as another number: a
//! balance or fee is refused with a text, a block's operation is left out. Only allowances,
//! which are upper limits anyway, are shown as the largest 64-bit number.

use candid::CandidType;
use icrc_ledger_types::{icrc1::account::Account, icrc3::archive};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::{
    account::{AccountIdentifier, BadAccountIdentifier},
    amount::Amount,
    block::{self, Memo},
    ledger::{Ledger, Transfer},
    refusal::Refusal,
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

/// The argument of `query_blocks`.
#[derive(CandidType, Clone, Copy, Debug, Deserialize)]
pub struct GetBlocksArgs {
    /// The first block.
    pub start: u64,
    /// How many at most.
    pub length: u64,
}

/// The answer of `query_blocks`.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub struct QueryBlocksResponse {
    /// How many blocks there are.
    pub chain_length: u64,
    /// The certificate of the tip, in answers to queries. As the certified data is the root of
    /// the tree of ICRC-3, `icrc3_get_tip_certificate` is needed to make use of it.
    pub certificate: Option<ByteBuf>,
    /// The blocks asked for, as far as they exist and fit into one answer.
    pub blocks: Vec<Block>,
    /// The index of the first of them.
    pub first_block_index: u64,
    /// Always empty: all blocks are in the ledger.
    pub archived_blocks: Vec<ArchivedBlocksRange>,
}

/// Blocks in an archive.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub struct ArchivedBlocksRange {
    /// The first block.
    pub start: u64,
    /// How many.
    pub length: u64,
    /// Where they are.
    pub callback: QueryArchiveFn,
}

/// Gives blocks from an archive.
pub type QueryArchiveFn = archive::QueryArchiveFn<GetBlocksArgs, QueryArchiveResult>;

/// The answer of an archive.
pub type QueryArchiveResult = Result<BlockRange, QueryArchiveError>;

/// Blocks of an archive.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct BlockRange {
    /// The blocks.
    pub blocks: Vec<Block>,
}

/// Why an archive gives no blocks.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum QueryArchiveError {
    /// They are in an earlier archive.
    BadFirstBlockIndex {
        /// What was asked for.
        requested_index: u64,
        /// The first block of this archive.
        first_valid_index: u64,
    },
    /// Something else.
    Other {
        /// For programs.
        error_code: u64,
        /// For people.
        error_message: String,
    },
}

/// A block as the classic calls show it.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Block {
    /// The hash of the block before, 32 bytes.
    pub parent_hash: Option<ByteBuf>,
    /// What was asked for.
    pub transaction: Transaction,
    /// When the ledger executed it.
    pub timestamp: TimeStamp,
}

/// What a caller asked for.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Transaction {
    /// The number of a classic transfer; 0 for ICRC calls.
    pub memo: u64,
    /// The bytes of an ICRC call.
    pub icrc1_memo: Option<ByteBuf>,
    /// `None` if an amount has more than 64 bits.
    pub operation: Option<Operation>,
    /// The block's time if the caller gave none.
    pub created_at_time: TimeStamp,
}

/// What was done.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of block::Operation")]
pub enum Operation {
    /// New tokens.
    Mint { to: ByteBuf, amount: Tokens },
    /// Tokens vanish.
    Burn {
        from: ByteBuf,
        spender: Option<ByteBuf>,
        amount: Tokens,
    },
    /// Tokens change hands.
    Transfer {
        from: ByteBuf,
        to: ByteBuf,
        amount: Tokens,
        fee: Tokens,
        spender: Option<ByteBuf>,
    },
    /// Somebody else may spend.
    Approve {
        from: ByteBuf,
        spender: ByteBuf,
        allowance_e8s: candid::Int,
        allowance: Tokens,
        fee: Tokens,
        expires_at: Option<TimeStamp>,
        expected_allowance: Option<Tokens>,
    },
}

impl From<&block::Block> for Block {
    fn from(block: &block::Block) -> Self {
        let transaction = &block.transaction;
        let (memo, icrc1_memo) = match &transaction.memo {
            None => (0, None),
            Some(Memo::Number(number)) => (*number, None),
            Some(Memo::Bytes(bytes)) => (0, Some(ByteBuf::from(bytes.clone()))),
        };
        Self {
            parent_hash: block.parent_hash.map(|hash| ByteBuf::from(hash.to_vec())),
            transaction: Transaction {
                memo,
                icrc1_memo,
                operation: operation(block).ok(),
                created_at_time: transaction
                    .created_at_ns
                    .unwrap_or(block.timestamp_ns)
                    .into(),
            },
            timestamp: block.timestamp_ns.into(),
        }
    }
}

fn operation(block: &block::Block) -> Result<Operation, TooLarge> {
    Ok(match &block.transaction.operation {
        block::Operation::Mint { to, amount } => Operation::Mint {
            to: identifier(to),
            amount: (*amount).try_into()?,
        },
        block::Operation::Burn {
            from,
            spender,
            amount,
        } => Operation::Burn {
            from: identifier(from),
            spender: spender.as_ref().map(identifier),
            amount: (*amount).try_into()?,
        },
        block::Operation::Transfer {
            from,
            to,
            spender,
            amount,
            ..
        } => Operation::Transfer {
            from: identifier(from),
            to: identifier(to),
            amount: (*amount).try_into()?,
            fee: block.charged_fee().try_into()?,
            spender: spender.as_ref().map(identifier),
        },
        block::Operation::Approve {
            from,
            spender,
            amount,
            expected_allowance,
            expires_at_ns,
            ..
        } => Operation::Approve {
            from: identifier(from),
            spender: identifier(spender),
            allowance_e8s: u128::from(*amount).into(),
            allowance: limit(*amount),
            fee: block.charged_fee().try_into()?,
            expires_at: expires_at_ns.map(TimeStamp::from),
            expected_allowance: expected_allowance.map(limit),
        },
    })
}

fn identifier(account: &Account) -> ByteBuf {
    ByteBuf::from(AccountIdentifier::of(account).as_slice().to_vec())
}

fn limit(allowance: Amount) -> Tokens {
    allowance.try_into().unwrap_or(Tokens { e8s: u64::MAX })
}

#[cfg(test)]
mod tests;
