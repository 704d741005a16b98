//! What the log remembers: everything that changed a channel.

use perun_canister_api as api;
use perun_canister_api::convert;
use perun_protocol::dispute::Rank;
use perun_protocol::encoding::Canonical as _;
use perun_protocol::signature::Digest;
use perun_protocol::{Account, Amount, AssetId, Balances, ChannelId, PartIdx, Timestamp};
use serde_bytes::ByteBuf;

use crate::channel::RegisteredClaim;

/// One entry of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// The channel it happened to.
    pub channel: ChannelId,
    /// What happened.
    pub change: Change,
}

/// What can happen to a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// A deposit arrived.
    Deposited {
        /// What was deposited.
        asset: AssetId,
        /// For whom.
        part: PartIdx,
        /// How much.
        amount: Amount,
        /// What is held for the participant since.
        holding: Amount,
        /// The ledger's block, if its answer arrived.
        block: Option<u128>,
    },
    /// The first claim was registered.
    Registered {
        /// How new it is.
        rank: Rank,
        /// The digest of the state, `None` for a refund claim. The whole state would let
        /// participants who refute themselves fill the log for nothing.
        digest: Option<Digest>,
        /// When it can no longer be refuted.
        timeout: Timestamp,
    },
    /// A newer claim took the place of the registered one.
    Refuted {
        /// How new it is.
        rank: Rank,
        /// The digest of the state.
        digest: Option<Digest>,
        /// When it can no longer be refuted.
        timeout: Timestamp,
    },
    /// Payouts are fixed.
    Concluded {
        /// What is to be paid.
        outcome: Balances,
    },
    /// A payout arrived.
    Withdrawn {
        /// What was paid.
        asset: AssetId,
        /// Whose remainder it was.
        part: PartIdx,
        /// Who received it.
        receiver: Account,
        /// What the receiver got.
        paid: Amount,
        /// The ledger's fee.
        fee: Amount,
        /// The ledger's block, if its answer arrived.
        block: Option<u128>,
    },
}

impl Event {
    /// The entry as it travels, with its position in the log.
    pub fn to_record(&self, index: u64) -> api::EventRecord {
        api::EventRecord {
            index,
            at_ns: self.at.nanos(),
            channel: convert::channel_to_candid(&self.channel),
            event: self.change.to_candid(),
        }
    }
}

impl Change {
    fn to_candid(&self) -> api::Event {
        match self {
            Self::Deposited {
                asset,
                part,
                amount,
                holding,
                block,
            } => api::Event::Deposited {
                asset: convert::asset_to_candid(asset),
                part: part.number(),
                amount: amount.units(),
                holding: holding.units(),
                block: *block,
            },
            Self::Registered {
                rank,
                digest,
                timeout,
            } => api::Event::Registered {
                rank: (*rank).into(),
                digest: digest.map(ByteBuf::from),
                timeout_ns: timeout.nanos(),
            },
            Self::Refuted {
                rank,
                digest,
                timeout,
            } => api::Event::Refuted {
                rank: (*rank).into(),
                digest: digest.map(ByteBuf::from),
                timeout_ns: timeout.nanos(),
            },
            Self::Concluded { outcome } => api::Event::Concluded {
                outcome: convert::balances_to_candid(outcome),
            },
            Self::Withdrawn {
                asset,
                part,
                receiver,
                paid,
                fee,
                block,
            } => api::Event::Withdrawn {
                asset: convert::asset_to_candid(asset),
                part: part.number(),
                receiver: convert::account_to_candid(receiver),
                paid: paid.units(),
                fee: fee.units(),
                block: *block,
            },
        }
    }
}

impl RegisteredClaim {
    /// The claim's rank and, if it is one, its signed state, as they travel.
    pub fn to_candid(&self) -> (api::Rank, Option<ByteBuf>) {
        let rank: Rank = self.rank();
        let signed_state = match self {
            Self::Refund | Self::Digest { .. } => None,
            Self::State(signed) => Some(ByteBuf::from(signed.encode())),
        };
        (rank.into(), signed_state)
    }
}
