//! Messages between a device and a node that stands in for it at the adjudicator.
//!
//! A device is a participant that cannot reach the Internet Computer. It keeps its own key, signs
//! its own states, and asks nodes to deposit its share, to watch its channels and to tell it what
//! they see:
//!
//! ```text
//! device                                               node                       adjudicator
//!   | -- Fund (params, version 0 signed by all) ------> | -- deposit ----------------> |
//!   | <- Funded --------------------------------------- |                              |
//!   | -- Watch (params, authorisations, newest) ------> | (durable)                    |
//!   | <- WatchAck (version, view) --------------------- | <------ certified looks ---- |
//!   | -- Watch (newest), after each update -----------> | (durable)                    |
//!   | <- WatchAck ------------------------------------- |                              |
//!   | <- DisputeNotice -------------------------------- | <- an old state registered - |
//!   |                                                   | -- refutation -------------> |
//!   | -- ForceClose ----------------------------------> | -- dispute, later withdraw > |
//! ```
//!
//! They travel over the same authenticated links as [`crate::wire`], in the same frame, with type
//! numbers of their own, which [`Message`](crate::wire::Message) knows as
//! [`Unknown`](crate::wire::Message::Unknown). The decoder keeps the same promises: total, bounded,
//! unknown types and fields are skipped.
//!
//! | type | message | from | answered by |
//! |---|---|---|---|
//! | 64 | [`Fund`] | device | [`Funded`], [`RemoteRejection`] |
//! | 65 | [`Funded`] | node | – |
//! | 66 | [`Watch`] | device | [`WatchAck`], [`RemoteRejection`] |
//! | 67 | [`WatchAck`] | node | – |
//! | 68 | [`ForceClose`] | device | [`WatchAck`], later [`DisputeNotice`]; [`RemoteRejection`] |
//! | 69 | [`DisputeNotice`] | node, unasked too | – |
//! | 70 | [`RemoteRejection`] | node | – |
//! | 71 | [`TimeRequest`](RemoteMessage::TimeRequest) | device | [`Time`] |
//! | 72 | [`Time`] | node | – |
//!
//! What a node can do with all of this: nothing but good. It holds no key of the device. States are
//! signed by all, authorisations name their receivers, and neither can be turned against the device.
//! It can keep silent or lie about what it saw; that is why a device may ask several.

mod funding;
mod rejection;
mod time;
mod view;
mod watching;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use minicbor::Decoder;

pub use self::funding::{Fund, Funded};
pub use self::rejection::{RemoteCode, RemoteRejection};
pub use self::time::Time;
pub use self::view::{UnverifiedStatus, UnverifiedView, ViewError};
pub use self::watching::{DisputeNotice, ForceClose, SignedReceiver, Watch, WatchAck};
use crate::ChannelId;
use crate::wire::{MessageError, Nothing, read, write};

/// Anything that a device and a node tell each other.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum RemoteMessage {
    /// Would you deposit my share?
    Fund(Box<Fund>),
    /// It is deposited.
    Funded(Funded),
    /// Would you watch this channel? Or: here is a newer state. Or: what do you see?
    Watch(Box<Watch>),
    /// This much is durable here, and this is what I see.
    WatchAck(Box<WatchAck>),
    /// Register the newest state now.
    ForceClose(Box<ForceClose>),
    /// Something is registered at the adjudicator.
    DisputeNotice(DisputeNotice),
    /// No.
    RemoteRejection(RemoteRejection),
    /// What time is it at the adjudicator? Deadlines of proposals are on its clock.
    TimeRequest,
    /// So late.
    Time(Time),
    /// Something that only newer software knows, or a message of another table; to be skipped.
    Unknown {
        /// Its type number.
        kind: u16,
    },
}

impl RemoteMessage {
    /// The type numbers of this table, of messages to come too.
    pub const KINDS: RangeInclusive<u16> = 64..=79;

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    /// Appends the bytes to `out`.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        let kind = self.kind();
        match self {
            Self::Fund(body) => write(out, kind, &**body),
            Self::Funded(body) => write(out, kind, body),
            Self::Watch(body) => write(out, kind, &**body),
            Self::WatchAck(body) => write(out, kind, &**body),
            Self::ForceClose(body) => write(out, kind, &**body),
            Self::DisputeNotice(body) => write(out, kind, body),
            Self::RemoteRejection(body) => write(out, kind, body),
            Self::Time(body) => write(out, kind, body),
            Self::TimeRequest | Self::Unknown { .. } => write(out, kind, &Nothing {}),
        }
    }

    /// The message with these bytes. Bytes behind it are an error, unknown types and fields are not.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        read(bytes, Self::decode_body)
    }

    fn decode_body(kind: u16, decoder: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        Ok(match kind {
            64 => Self::Fund(Box::new(decoder.decode()?)),
            65 => Self::Funded(decoder.decode()?),
            66 => Self::Watch(Box::new(decoder.decode()?)),
            67 => Self::WatchAck(Box::new(decoder.decode()?)),
            68 => Self::ForceClose(Box::new(decoder.decode()?)),
            69 => Self::DisputeNotice(decoder.decode()?),
            70 => Self::RemoteRejection(decoder.decode()?),
            71 => {
                decoder.skip()?;
                Self::TimeRequest
            }
            72 => Self::Time(decoder.decode()?),
            kind => {
                decoder.skip()?;
                Self::Unknown { kind }
            }
        })
    }

    /// The type number, which a [`RemoteRejection`] names.
    pub fn kind(&self) -> u16 {
        match self {
            Self::Fund(_) => Fund::KIND,
            Self::Funded(_) => 65,
            Self::Watch(_) => Watch::KIND,
            Self::WatchAck(_) => 67,
            Self::ForceClose(_) => 68,
            Self::DisputeNotice(_) => 69,
            Self::RemoteRejection(_) => 70,
            Self::TimeRequest => 71,
            Self::Time(_) => 72,
            Self::Unknown { kind } => *kind,
        }
    }

    /// The channel that the message is about, `None` if it is about none, or not known.
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Fund(body) => Some(body.channel),
            Self::Funded(body) => Some(body.channel),
            Self::Watch(body) => Some(body.channel),
            Self::WatchAck(body) => Some(body.channel),
            Self::ForceClose(body) => Some(body.channel),
            Self::DisputeNotice(body) => Some(body.channel),
            Self::RemoteRejection(body) => Some(body.channel),
            Self::TimeRequest | Self::Time(_) | Self::Unknown { .. } => None,
        }
    }
}
