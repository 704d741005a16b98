//! What goes wrong, sorted by whose fault it is.

use core::fmt;

use crate::payment::BatchFull;
use crate::{Amount, AssetIdx, PartIdx, Timestamp, Version};

/// The peer broke the protocol. The message changed nothing; an honest peer never sends it, so
/// trying again does not help, and a link that brings many of them is better cut.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerMisbehaved {
    /// A signature is not its own, or not on the state that follows.
    WrongSignature {
        /// Who should have signed.
        part: PartIdx,
        /// The version.
        version: Version,
    },
    /// A message speaks for a participant that the peer is not.
    WrongPart {
        /// For whom it speaks.
        part: PartIdx,
    },
    /// It pays more than it has.
    Overdrawn {
        /// The asset.
        asset: AssetIdx,
        /// What it has.
        has: Amount,
        /// What it pays.
        pays: Amount,
    },
    /// It pays in an asset that the channel does not have.
    UnknownAsset,
    /// It updates what is final.
    UpdateAfterFinal,
    /// An update that changes nothing.
    EmptyUpdate {
        /// Its version.
        version: Version,
    },
    /// A version further ahead than any honest peer needs.
    VersionTooFar {
        /// The newest version.
        current: Version,
        /// The version proposed.
        proposed: Version,
    },
    /// A turn further ahead than any honest peer needs.
    TurnTooFar {
        /// The turn.
        current: u64,
        /// The turn claimed.
        claimed: u64,
    },
    /// A state that is none of this channel, or not signed by all.
    WrongState,
    /// A message that has no place where the channel is.
    OutOfPlace,
}

/// A payment is not taken. Nothing has changed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PayError {
    /// The deposits are not all there yet.
    NotOpen,
    /// The channel is being closed, or is closed.
    Closing,
    /// There is less than that.
    InsufficientBalance {
        /// The asset.
        asset: AssetIdx,
        /// What is left, payments under way taken off.
        available: Amount,
        /// What was to be paid.
        amount: Amount,
    },
    /// As many payments as fit are queued; some will be settled soon.
    QueueFull {
        /// How many are queued.
        queued: u32,
    },
    /// It is no payment that the channel can make.
    Invalid(BatchFull),
}

/// A command is not taken. Nothing has changed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommandError {
    /// The channel is not open: deposits are missing, or version 0 is not signed by all.
    NotOpen,
    /// The channel is being closed, or is closed.
    Closing,
    /// No update of this version is offered (any more).
    NotOffered {
        /// The version.
        version: Version,
    },
    /// The channel has no such asset.
    UnknownAsset {
        /// The position asked for.
        asset: AssetIdx,
    },
    /// A payment of nothing.
    Nothing,
    /// The deadline has passed.
    TooLate {
        /// When it was.
        deadline: Timestamp,
    },
    /// There is no link to the peer, or it has not said yet how far it is.
    NoLink,
}

/// A stored channel is not restored.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RestoreError {
    /// The bytes are no snapshot, or of a format that only newer software knows.
    Malformed,
    /// A state in it is none of this channel, or its signatures are not good.
    WrongState,
    /// The payments of the proposal under way are missing, or not those that it was made with.
    PendingPayments {
        /// Its version.
        version: Version,
    },
    /// The key is not that of the participant.
    WrongKey,
}

impl fmt::Display for PeerMisbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongSignature { part, version } => write!(
                f,
                "the signature of participant {part} on version {version} is not good"
            ),
            Self::WrongPart { part } => write!(f, "the peer is not participant {part}"),
            Self::Overdrawn { asset, has, pays } => {
                write!(f, "the peer pays {pays} of asset {asset} and has {has}")
            }
            Self::UnknownAsset => write!(f, "the peer pays in an asset that is not there"),
            Self::UpdateAfterFinal => write!(f, "an update of a final state"),
            Self::EmptyUpdate { version } => {
                write!(f, "the update to version {version} changes nothing")
            }
            Self::VersionTooFar { current, proposed } => write!(
                f,
                "version {proposed} is further ahead of {current} than ever needed"
            ),
            Self::TurnTooFar { current, claimed } => write!(
                f,
                "turn {claimed} is further ahead of {current} than ever needed"
            ),
            Self::WrongState => write!(
                f,
                "a state of another channel, or without the signatures of all"
            ),
            Self::OutOfPlace => write!(f, "a message that has no place here"),
        }
    }
}

impl fmt::Display for PayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => write!(f, "the channel is not open yet"),
            Self::Closing => write!(f, "the channel is closing or closed"),
            Self::InsufficientBalance {
                asset,
                available,
                amount,
            } => write!(
                f,
                "{amount} units of asset {asset} were to be paid, {available} are left"
            ),
            Self::QueueFull { queued } => write!(
                f,
                "{queued} payments are queued and no more fit; wait until some are settled"
            ),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => write!(f, "the channel is not open yet"),
            Self::Closing => write!(f, "the channel is closing or closed"),
            Self::NotOffered { version } => {
                write!(f, "no update of version {version} waits for an answer")
            }
            Self::UnknownAsset { asset } => {
                write!(f, "there is no asset {asset}, counted from 0")
            }
            Self::Nothing => write!(f, "a payment of nothing"),
            Self::TooLate { deadline } => write!(f, "the deadline was {deadline}"),
            Self::NoLink => write!(f, "the peer is not connected"),
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(f, "the record is damaged or of an unknown format"),
            Self::WrongState => write!(
                f,
                "the record holds a state of another channel or with bad signatures"
            ),
            Self::PendingPayments { version } => write!(
                f,
                "the payments proposed in version {version} are missing or others"
            ),
            Self::WrongKey => write!(f, "the key is not that of the channel's participant"),
        }
    }
}

impl core::error::Error for PeerMisbehaved {}
impl core::error::Error for PayError {}
impl core::error::Error for CommandError {}
impl core::error::Error for RestoreError {}
