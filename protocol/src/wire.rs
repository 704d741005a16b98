//! Messages between peers, and their bytes.
//!
//! A message is a CBOR array of two: a type number, and a map whose keys are numbers too (RFC 8949).
//! Values that are signed or hashed travel as byte strings in their canonical encoding
//! ([`crate::encoding`]), everything else as CBOR numbers, texts and flags; amounts and tables as
//! byte strings. What is zero, empty or false is left out.
//!
//! Decoding is total and bounded: a message costs memory in proportion to its bytes, which the link
//! has bounded before. Types and fields that are not known are skipped, so that newer software can
//! add to older: [`Message::Unknown`] is no error.
//!
//! The roles are those of go-perun's messages:
//!
//! | type | here | go-perun |
//! |---|---|---|
//! | 1 | [`Proposal`] | `LedgerChannelProposalMsg` |
//! | 2 | [`Acceptance`] | `LedgerChannelProposalAccMsg` |
//! | 3 | [`ProposalRejection`] | `ChannelProposalRejMsg` |
//! | 4 | [`Update`] | `ChannelUpdateMsg` |
//! | 5 | [`UpdateAcceptance`], for version 0 too | `ChannelUpdateAccMsg` |
//! | 6 | [`UpdateRejection`] | `ChannelUpdateRejMsg` |
//! | 7 | [`Sync`] | `ChannelSyncMsg` |
//! | 8, 9 | [`TurnRequest`], [`TurnPass`] | – (crossing updates are its fault G6) |
//! | 10, 11 | [`PaymentRequest`], [`PaymentRequestRejection`] | – (an update in which the proposer gains) |
//! | 16–19 | reserved | `SubChannelProposalMsg`, `SubChannelProposalAccMsg`, `VirtualChannelProposalMsg`, `VirtualChannelProposalAccMsg` |
//! | 20, 21 | reserved | `VirtualChannelFundingProposalMsg`, `VirtualChannelSettlementProposalMsg` |
//! | 64–79 | those of [`crate::remote`] | – |
//! | – | the link's frames | `PingMsg`, `PongMsg`, `ShutdownMsg`, `AuthResponseMsg` |
//!
//! A message names no sender: it is the peer whose link it came by.

pub(crate) mod fields;
mod opening;
mod rejection;
mod request;
mod sync;
mod update;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::ChannelId;

pub use self::opening::{
    Acceptance, NonceShare, Proposal, ProposalError, ProposalId, ProposalRejection, Terms,
};
pub use self::rejection::{MAX_TEXT_LENGTH, Reason, RejectCode, Text};
pub use self::request::{MAX_MEMO_LENGTH, PaymentRequest, PaymentRequestRejection, RequestId};
pub use self::sync::{Sync, Witness};
pub use self::update::{TurnPass, TurnRequest, Update, UpdateAcceptance, UpdateRejection};

/// Anything that one peer tells the other.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Message {
    /// Shall we open a channel?
    Proposal(Box<Proposal>),
    /// Yes.
    Acceptance(Acceptance),
    /// No.
    ProposalRejection(ProposalRejection),
    /// Shall this be the next state?
    Update(Box<Update>),
    /// Yes: my signature.
    UpdateAcceptance(UpdateAcceptance),
    /// No.
    UpdateRejection(UpdateRejection),
    /// How far I am, after a (re)connect.
    Sync(Box<Sync>),
    /// May I propose next?
    TurnRequest(TurnRequest),
    /// You may propose from now on.
    TurnPass(TurnPass),
    /// Would you pay me?
    PaymentRequest(PaymentRequest),
    /// No.
    PaymentRequestRejection(PaymentRequestRejection),
    /// Something that only newer software knows; to be skipped.
    Unknown {
        /// Its type number.
        kind: u16,
    },
}

/// Bytes are no message.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct MessageError {
    /// The type number, if it could be read.
    pub kind: Option<u16>,
    /// What is wrong, in the decoder's words.
    pub reason: alloc::string::String,
}

impl Message {
    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    /// Appends the bytes to `out`.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Proposal(body) => write(out, 1, &**body),
            Self::Acceptance(body) => write(out, 2, body),
            Self::ProposalRejection(body) => write(out, 3, body),
            Self::Update(body) => write(out, 4, &**body),
            Self::UpdateAcceptance(body) => write(out, 5, body),
            Self::UpdateRejection(body) => write(out, 6, body),
            Self::Sync(body) => write(out, 7, &**body),
            Self::TurnRequest(body) => write(out, 8, body),
            Self::TurnPass(body) => write(out, 9, body),
            Self::PaymentRequest(body) => write(out, 10, body),
            Self::PaymentRequestRejection(body) => write(out, 11, body),
            Self::Unknown { kind } => write(out, *kind, &Nothing {}),
        }
    }

    /// The message with these bytes. Bytes behind it are an error, unknown types and fields are not.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        read(bytes, Self::decode_body)
    }

    fn decode_body(kind: u16, decoder: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        Ok(match kind {
            1 => Self::Proposal(Box::new(decoder.decode()?)),
            2 => Self::Acceptance(decoder.decode()?),
            3 => Self::ProposalRejection(decoder.decode()?),
            4 => Self::Update(Box::new(decoder.decode()?)),
            5 => Self::UpdateAcceptance(decoder.decode()?),
            6 => Self::UpdateRejection(decoder.decode()?),
            7 => Self::Sync(Box::new(decoder.decode()?)),
            8 => Self::TurnRequest(decoder.decode()?),
            9 => Self::TurnPass(decoder.decode()?),
            10 => Self::PaymentRequest(decoder.decode()?),
            11 => Self::PaymentRequestRejection(decoder.decode()?),
            kind => {
                decoder.skip()?;
                Self::Unknown { kind }
            }
        })
    }

    /// The channel that the message is about, `None` for those before there is one.
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Proposal(_)
            | Self::Acceptance(_)
            | Self::ProposalRejection(_)
            | Self::Unknown { .. } => None,
            Self::Update(body) => Some(body.channel),
            Self::UpdateAcceptance(body) => Some(body.channel),
            Self::UpdateRejection(body) => Some(body.channel),
            Self::Sync(body) => Some(body.channel),
            Self::TurnRequest(body) => Some(body.channel),
            Self::TurnPass(body) => Some(body.channel),
            Self::PaymentRequest(body) => Some(body.channel),
            Self::PaymentRequestRejection(body) => Some(body.channel),
        }
    }
}

/// The body of a message of which only the type is known.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct Nothing {}

/// Appends the frame of every message, of this and of other tables of types, and the body.
pub(crate) fn write<T: Encode<()>>(out: &mut Vec<u8>, kind: u16, body: &T) {
    let mut encoder = Encoder::new(out);
    let written = (|| {
        encoder.array(2)?.u16(kind)?.encode(body)?;
        Ok::<_, minicbor::encode::Error<Infallible>>(())
    })();
    written.expect("a vector takes every byte, and no field refuses to be encoded");
}

/// Reads the frame and, by its type number, the body. Bytes behind it are an error.
pub(crate) fn read<T>(
    bytes: &[u8],
    body: impl FnOnce(u16, &mut Decoder<'_>) -> Result<T, minicbor::decode::Error>,
) -> Result<T, MessageError> {
    let mut decoder = Decoder::new(bytes);
    let malformed = |kind, error: minicbor::decode::Error| MessageError {
        kind,
        reason: alloc::format!("{error}"),
    };
    let frame = |decoder: &mut Decoder<'_>| {
        if decoder.array()? != Some(2) {
            return Err(minicbor::decode::Error::message(
                "a message is an array of two",
            ));
        }
        decoder.u16()
    };
    let kind = frame(&mut decoder).map_err(|error| malformed(None, error))?;
    let message = body(kind, &mut decoder).map_err(|error| malformed(Some(kind), error))?;
    match bytes.len() - decoder.position() {
        0 => Ok(message),
        count => Err(MessageError {
            kind: Some(kind),
            reason: alloc::format!("{count} bytes follow the message"),
        }),
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "no message of type {kind}: {}", self.reason),
            None => write!(f, "no message: {}", self.reason),
        }
    }
}

impl core::error::Error for MessageError {}
