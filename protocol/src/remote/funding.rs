//! Funding by a node: its money, the device's share.

use minicbor::{Decode, Encode};

use crate::{ChannelId, Params, PartIdx, Timestamp, UnverifiedSignedState};

/// Asks the node to deposit the sender's share. How the two settle that is their own affair.
///
/// It can be sent again: what was deposited already is found.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Fund {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// Whose share it is: the sender's.
    #[n(1)]
    pub part: PartIdx,
    /// The params of the channel.
    #[n(2)]
    pub params: Params,
    /// Version 0, signed by all: the proof that the channel was agreed to. Its funding says how
    /// much is asked for.
    #[n(3)]
    pub initial: UnverifiedSignedState,
    /// Until when everybody deposits, on the adjudicator's clock.
    #[n(4)]
    pub fund_by: Timestamp,
}

impl Fund {
    /// The type number of the message, by which a rejection names it.
    pub const KIND: u16 = 64;
}

/// Says that the share is deposited, by this request or before.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Funded {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// Whose share it is.
    #[n(1)]
    pub part: PartIdx,
}
