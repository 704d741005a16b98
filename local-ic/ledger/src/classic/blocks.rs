//! Blocks as `query_blocks` shows them.

use candid::CandidType;
use icrc_ledger_types::{icrc1::account::Account, icrc3::archive};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::{TimeStamp, Tokens, TooLarge};
use crate::{
    account::AccountIdentifier,
    amount::Amount,
    block::{self, Memo},
};

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
