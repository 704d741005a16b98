//! Money in: by approval, or through a deposit account.

use candid::CandidType;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::{Account, Asset, LedgerRefusal};

/// Asks the adjudicator to take a deposit for a participant. Anybody may deposit for anybody.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct DepositRequest {
    /// The channel's params, canonical. The first deposit of a channel brings them.
    pub params: ByteBuf,
    /// The participant that the money is for, by its position.
    pub part: u8,
    /// What is deposited.
    pub asset: Asset,
    /// Where the money comes from.
    pub source: DepositSource,
}

/// Where the money of a deposit comes from.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum DepositSource {
    /// Pulled from an account **of the caller**, which has approved amount + fee to the
    /// adjudicator's default account (ICRC-2). The caller bears the fee.
    Approval {
        /// Which of the caller's accounts; none is the default one.
        from_subaccount: Option<[u8; 32]>,
        /// What the participant is credited.
        amount: u128,
        /// If given, the deposit happens only while the participant's holding is this. Send the
        /// same request again after a lost answer: it cannot be pulled twice.
        expected_holding: Option<u128>,
    },
    /// Everything in the deposit account of the channel and participant (see `deposit_account`),
    /// less one fee.
    DepositAccount,
}

/// A deposit arrived.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct DepositReceipt {
    /// What this deposit added.
    pub credited: u128,
    /// What is now held of the asset for the participant.
    pub holding: u128,
    /// The ledger's block with the transfer; none if its answer was lost and the balance showed
    /// that it happened.
    pub block: Option<u128>,
}

/// Why a deposit did not happen.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum DepositError {
    /// An approval is pulled from the caller's account, and the anonymous caller has none.
    AnonymousCaller,
    /// The params are no canonical encoding.
    MalformedParams {
        /// What is wrong.
        reason: String,
    },
    /// The params break a rule.
    InvalidParams(ParamsError),
    /// There is no such participant.
    UnknownPart {
        /// The position asked for.
        part: u8,
        /// How many participants the channel has.
        participants: u8,
    },
    /// The channel does not have this asset.
    UnknownAsset,
    /// A deposit of zero.
    NothingToDeposit,
    /// The deposit account holds no more than the fee.
    BelowFee {
        /// What it holds.
        balance: u128,
        /// The ledger's fee.
        fee: u128,
    },
    /// The participant's holding is not the one expected.
    UnexpectedHolding {
        /// What it is.
        holding: u128,
    },
    /// The sum of the asset would exceed 128 bits.
    AmountOverflow,
    /// The channel has a registered state: approvals are no longer pulled.
    AlreadyRegistered,
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
    /// The ledger's fee, balance or allowance could not be read, or too many transfers have an
    /// unknown outcome: try again. No money moved.
    LedgerUnavailable {
        /// What it said.
        message: String,
    },
}

/// Why params are refused.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum ParamsError {
    /// Too few or too many participants.
    ParticipantCount {
        /// How many there are.
        count: u64,
    },
    /// A participant repeats an earlier one.
    DuplicateParticipant {
        /// The later of the two.
        index: u8,
    },
    /// A key is no point of its curve.
    InvalidKey {
        /// Whose key it is.
        index: u8,
    },
    /// Too few or too many assets.
    AssetCount {
        /// How many there are.
        count: u64,
    },
    /// An asset repeats an earlier one.
    DuplicateAsset {
        /// The later of the two.
        index: u8,
    },
    /// The adjudicator does not serve this ledger; `info` lists those it does.
    LedgerNotServed {
        /// The position of the asset.
        index: u8,
    },
    /// The challenge duration is outside of this adjudicator's bounds.
    ChallengeDuration {
        /// What it is.
        given_s: u32,
        /// The least allowed.
        min_s: u32,
        /// The most allowed.
        max_s: u32,
    },
    /// The params name another adjudicator.
    WrongAdjudicator,
    /// Sub- and virtual channels hold no deposits.
    NotALedgerChannel,
    /// A rule that this version of the interface has no word for.
    Other {
        /// The rule.
        reason: String,
    },
}

/// Asks where to pay a deposit to.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct DepositAccountRequest {
    /// The channel's id, 32 bytes.
    pub channel: ByteBuf,
    /// The participant that the money is for, by its position.
    pub part: u8,
    /// What is to be deposited.
    pub asset: Asset,
    /// What the participant should be credited.
    pub share: u128,
}

/// Where to pay a deposit to, and how much. The account can be computed without asking
/// (`perun_protocol::Account::of_deposit`): do that, since one node answers a query.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct DepositAccount {
    /// The account.
    pub account: Account,
    /// What to pay: the share and one fee, which the sweep costs.
    pub amount: u128,
    /// The ledger's fee as the adjudicator knows it.
    pub fee: u128,
}

/// Why no deposit account is given.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum DepositAccountError {
    /// The channel id is not 32 bytes long.
    MalformedChannel {
        /// How long it is.
        length: u64,
    },
    /// There is no such participant.
    UnknownPart {
        /// The position asked for.
        part: u8,
    },
    /// The adjudicator does not serve this ledger; `info` lists those it does.
    LedgerNotServed,
    /// The channel does not have this asset.
    UnknownAsset,
    /// The ledger has not told its fee yet: try again in some seconds.
    FeeUnknown,
    /// Share and fee exceed 128 bits.
    AmountOverflow,
}
