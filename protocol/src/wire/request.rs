//! Payment requests: the pull half of payments. They are unsigned and bind nobody.

use alloc::string::String;

use minicbor::{Decode, Encode};

use super::fields::nested;
use super::rejection::{RejectCode, Text};
use crate::encoding::{Domain, digest};
use crate::payment::Payment;
use crate::{Amount, AssetIdx, ChannelId, Timestamp};

/// The longest memo of a request, in bytes of UTF-8.
pub const MAX_MEMO_LENGTH: usize = 256;

/// What names a request within its channel and side; the requester chooses it.
pub type RequestId = u64;

/// Asks the peer to pay.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct PaymentRequest {
    /// The channel to pay through.
    #[n(0)]
    pub channel: ChannelId,
    /// What the requester calls it.
    #[n(1)]
    pub id: RequestId,
    /// What is asked for.
    #[n(2)]
    pub asset: AssetIdx,
    /// How much.
    #[n(3)]
    pub amount: Amount,
    /// What for; cut to [`MAX_MEMO_LENGTH`] bytes.
    #[n(4)]
    pub memo: Text,
    /// Until when a payment makes sense, on the adjudicator's clock.
    #[n(5)]
    pub expires_at: Timestamp,
}

/// Says that a request will not be paid.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct PaymentRequestRejection {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// The request.
    #[n(1)]
    pub id: RequestId,
    /// Why not.
    #[n(2)]
    pub code: RejectCode,
    /// Why not, in words.
    #[n(3)]
    pub text: Text,
}

impl PaymentRequest {
    /// The payment that answers it. Its memo is the digest of the request, so that both sides can
    /// tell later what was paid.
    pub fn payment(&self) -> Payment {
        Payment {
            asset: self.asset,
            amount: self.amount,
            memo: Some(digest(Domain::Request, &nested(self))),
        }
    }

    /// The memo as text.
    pub fn memo(&self) -> String {
        self.memo.as_str().into()
    }
}
