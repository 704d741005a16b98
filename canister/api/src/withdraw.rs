//! Money out.

use candid::CandidType;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::{Account, Asset, LedgerRefusal};

/// Pays a participant's whole remainder of one asset to the receiver that it authorised. Concludes
/// the channel first if its timeout has passed.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct WithdrawRequest {
    /// The channel's id, 32 bytes.
    pub channel: ByteBuf,
    /// What is to be paid.
    pub asset: Asset,
    /// Whose remainder it is.
    pub part: u8,
    /// Who receives it.
    pub receiver: Account,
    /// The participant's signature on the withdrawal authorisation, 64 bytes.
    pub signature: ByteBuf,
}

/// A payout arrived.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct WithdrawReceipt {
    /// What the receiver got: the remainder less the fee.
    pub paid: u128,
    /// The ledger's fee.
    pub fee: u128,
    /// The ledger's block with the transfer; none if its answer was lost and the balance showed
    /// that it happened.
    pub block: Option<u128>,
}

/// Why nothing was paid.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum WithdrawError {
    /// A field has not its one form.
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// The adjudicator knows no such channel.
    UnknownChannel,
    /// The channel does not have this asset.
    UnknownAsset,
    /// There is no such participant.
    UnknownPart {
        /// The position asked for.
        part: u8,
        /// How many participants the channel has.
        participants: u8,
    },
    /// The signature is not the participant's on exactly this authorisation.
    WrongSignature,
    /// The receiver is the adjudicator: nobody could take the money out again.
    ReceiverIsAdjudicator,
    /// Nothing is registered: conclude with a final state, or `dispute` first.
    NotRegistered,
    /// What is registered can still be refuted.
    ChallengeOpen {
        /// Until then.
        timeout_ns: u64,
    },
    /// The participant has nothing (left) of this asset.
    NothingToWithdraw,
    /// The remainder is not above the ledger's fee. It is kept.
    BelowFee {
        /// The remainder.
        remainder: u128,
        /// The ledger's fee.
        fee: u128,
    },
    /// Another ledger call for this channel and asset is under way: try again in some seconds.
    Busy,
    /// The ledger's answer was lost, so nobody knows yet whether the money moved. The adjudicator
    /// finds out by itself; any later call for this channel and asset asks again.
    Pending {
        /// The number of the journal entry, which is the memo of the transfer too.
        journal: u64,
    },
    /// The ledger refused: no money moved.
    Refused(LedgerRefusal),
    /// The ledger's fee could not be read: try again. No money moved.
    LedgerUnavailable {
        /// What it said.
        message: String,
    },
}
