//! The event log: everything that ever happened to a channel, append-only.

use candid::CandidType;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::{Account, Asset, Rank};

/// Asks for a page of the log.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct EventsRequest {
    /// Only events of this channel, by its id of 32 bytes; all if none.
    pub channel: Option<ByteBuf>,
    /// Only events from this index on. Pass the `next` of the page before.
    pub start: u64,
    /// At most so many; the adjudicator may give fewer (`info` tells its limit).
    pub length: u32,
}

/// A page of the log, in the order of the indices.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct EventsPage {
    /// The events.
    pub events: Vec<EventRecord>,
    /// Where the next page starts: behind the last event given, or at the log's end if this page
    /// reached it.
    pub next: u64,
    /// How many events the log has, of all channels.
    pub total: u64,
    /// The canister's time when the page was made. If the page reaches the log's end, nothing else
    /// has happened until then.
    pub as_of_ns: u64,
    /// The hash of the block before the first event given, 32 bytes, from which the hashes of the
    /// blocks of all of them follow. None in pages of one channel, and in one that starts with event 0.
    pub parent: Option<ByteBuf>,
    /// The subnet's certificate for this canister, in an answer to a query; none in an update call,
    /// whose answer the subnet has signed.
    pub certificate: Option<ByteBuf>,
    /// Leads from the certificate to the log's tip: a hash tree in CBOR with `last_block_index` (LEB128)
    /// and `last_block_hash`.
    pub witness: Option<ByteBuf>,
}

/// One entry of the log.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct EventRecord {
    /// Its position in the log, from 0 and without gaps.
    pub index: u64,
    /// When it happened.
    pub at_ns: u64,
    /// The channel it happened to.
    pub channel: ByteBuf,
    /// What happened.
    pub event: Event,
}

/// What can happen to a channel.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum Event {
    /// A deposit arrived.
    Deposited {
        /// What was deposited.
        asset: Asset,
        /// For whom.
        part: u8,
        /// How much.
        amount: u128,
        /// What is held of the asset for the participant since.
        holding: u128,
        /// The ledger's block; none if its answer was lost.
        block: Option<u128>,
    },
    /// A claim was registered, the first one of the channel.
    Registered {
        /// How new it is.
        rank: Rank,
        /// The digest of the state, 32 bytes; none for a refund claim. `query_state` has the state.
        digest: Option<ByteBuf>,
        /// When it can no longer be refuted.
        timeout_ns: u64,
    },
    /// A newer claim took the place of the registered one.
    Refuted {
        /// How new it is.
        rank: Rank,
        /// The digest of the state, 32 bytes. `query_state` has the state.
        digest: Option<ByteBuf>,
        /// When it can no longer be refuted.
        timeout_ns: u64,
    },
    /// Payouts are fixed.
    Concluded {
        /// For each asset for each participant what is to be paid.
        outcome: Vec<Vec<u128>>,
    },
    /// A payout arrived.
    Withdrawn {
        /// What was paid.
        asset: Asset,
        /// Whose remainder it was.
        part: u8,
        /// Who received it.
        receiver: Account,
        /// What the receiver got.
        paid: u128,
        /// The ledger's fee.
        fee: u128,
        /// The ledger's block; none if its answer was lost.
        block: Option<u128>,
    },
}

/// Why there is no page.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum EventsError {
    /// The channel id is not 32 bytes long.
    MalformedChannel {
        /// How long it is.
        length: u64,
    },
}
