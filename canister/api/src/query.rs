//! What the adjudicator tells of a channel.
//!
//! A single node answers a query, so its answer counts only as far as it is certified: the registrations
//! that are not concluded, and that there is none. Holdings, and how a channel was concluded, are proven
//! by the event log, or read by an update call.

use candid::CandidType;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::Registered;

/// Asks about one channel.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct ChannelRequest {
    /// The channel's id, 32 bytes.
    pub channel: ByteBuf,
}

/// Answers `query_holdings`.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct HoldingsAnswer {
    /// None if no deposit for the channel has arrived.
    pub holdings: Option<Holdings>,
}

/// What is held for a channel.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Holdings {
    /// How far the channel is.
    pub phase: Phase,
    /// For each asset for each participant: the deposits until the channel is concluded, what is
    /// still to be paid from then on.
    pub amounts: Vec<Vec<u128>>,
    /// For each asset: what has left for a receiver and is not known to have arrived.
    pub in_flight: Vec<u128>,
}

/// How far a channel is.
#[derive(CandidType, Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum Phase {
    /// Deposits arrive, nothing is registered.
    Open,
    /// A claim is registered and can be refuted.
    Registered,
    /// Payouts are fixed.
    Concluded,
}

/// Answers `query_state`.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct StateAnswer {
    /// None if nothing is registered.
    pub registered: Option<Registered>,
    /// The subnet's certificate for this canister, in an answer to a query; none in an update call,
    /// whose answer the subnet has signed.
    pub certificate: Option<ByteBuf>,
    /// Leads from the certificate to what is registered and not concluded, or to its absence: a hash
    /// tree in CBOR with `clock` and `registrations` (`perun-canister`, module `certified`).
    pub witness: Option<ByteBuf>,
}

/// Why a question about a channel has no answer.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum QueryError {
    /// The channel id is not 32 bytes long.
    MalformedChannel {
        /// How long it is.
        length: u64,
    },
}
