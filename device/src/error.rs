//! Why a device does not start, or does not do what it is told.

use core::fmt;

use perun_protocol::channel::{self, PayError, RestoreError};
use perun_protocol::wire::ProposalError;

use crate::PolicyError;
use crate::store::StoreError;

/// Why a device does not start. Nothing was changed.
#[non_exhaustive]
#[derive(Debug)]
pub enum StartError<E> {
    /// The flash cannot be read or written, or is damaged.
    Store(StoreError<E>),
    /// A record is none that this software knows.
    Record {
        /// What it is of.
        what: &'static str,
    },
    /// A channel cannot be restored.
    Channel {
        /// In which slot it lies.
        slot: u8,
        /// What is wrong.
        error: RestoreError,
    },
    /// There are more channels in the flash than the settings allow.
    Capacity {
        /// How many the settings allow.
        channels: usize,
    },
    /// The settings name no watcher, without whom nothing can be signed.
    NoWatcher,
    /// A watcher is also a peer, or the device itself.
    WatcherHasInterest,
}

/// Why a command is not taken. Nothing has changed.
#[non_exhaustive]
#[derive(Debug)]
pub enum CommandError {
    /// The policy does not allow it.
    Policy(PolicyError),
    /// The payment cannot be made.
    Pay(PayError),
    /// The channel does not allow it.
    Channel(channel::CommandError),
    /// There is no such channel.
    UnknownChannel,
    /// There is no such proposal, or no longer.
    UnknownProposal,
    /// There are as many channels, or proposals, as there may be.
    Full {
        /// How many.
        limit: usize,
    },
    /// No watcher has told the time yet.
    TimeUnknown,
    /// The terms make no channel.
    Proposal(ProposalError),
    /// The terms name another adjudicator than the settings.
    OtherAdjudicator,
    /// The challenge duration is too short for the times of the settings.
    ChallengeTooShort {
        /// The least, in seconds.
        least_secs: u64,
    },
    /// The challenge duration is longer than the policy allows: for so long a peer could hold money
    /// up.
    ChallengeTooLong {
        /// The most, in seconds.
        most_secs: u32,
    },
    /// So many assets make messages that are longer than the device takes.
    TooManyAssets,
    /// The participant is not the peer itself.
    OtherParticipant,
    /// The deadlines have passed, contradict each other, or are too far away.
    Deadlines,
    /// The flash has no room for another channel. Pages of 8 KiB hold one channel, pages of
    /// 16 KiB three, of one asset each.
    NoRoom {
        /// Bytes that the channel needs.
        needed: usize,
        /// Bytes that are left.
        free: usize,
    },
    /// The device has stopped, since its flash has failed or its clock was wrong. Nothing is signed any
    /// more before the next start.
    Stopped,
}

impl CommandError {
    /// Whether the owner's approval may lift it.
    pub fn is_up_to_owner(&self) -> bool {
        matches!(self, Self::Policy(error) if PolicyError::is_up_to_owner(error))
    }
}

impl From<PolicyError> for CommandError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl<E: fmt::Debug> fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Record { what } => write!(f, "the record of {what} is of an unknown format"),
            Self::Channel { slot, error } => write!(f, "the channel in slot {slot}: {error}"),
            Self::Capacity { channels } => write!(
                f,
                "the flash holds more than the {channels} channels that the settings allow"
            ),
            Self::NoWatcher => write!(f, "the settings name no watcher"),
            Self::WatcherHasInterest => {
                write!(
                    f,
                    "a watcher of the settings is a peer, or the device itself"
                )
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StartError<E> {}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => error.fmt(f),
            Self::Pay(error) => error.fmt(f),
            Self::Channel(error) => error.fmt(f),
            Self::UnknownChannel => write!(f, "there is no such channel"),
            Self::UnknownProposal => write!(f, "there is no such proposal, or no longer"),
            Self::Full { limit } => write!(f, "there are {limit}, the most there may be"),
            Self::TimeUnknown => write!(f, "no watcher has told the time yet"),
            Self::Proposal(error) => error.fmt(f),
            Self::OtherAdjudicator => write!(f, "the adjudicator is not that of the settings"),
            Self::ChallengeTooShort { least_secs } => write!(
                f,
                "a registered state must be refutable for {least_secs} seconds at least"
            ),
            Self::ChallengeTooLong { most_secs } => write!(
                f,
                "a registered state must be final after {most_secs} seconds at most"
            ),
            Self::TooManyAssets => write!(f, "more assets than the device can take"),
            Self::OtherParticipant => write!(f, "the participant is not the peer itself"),
            Self::Deadlines => write!(
                f,
                "the deadlines have passed, contradict each other, or are too far away"
            ),
            Self::NoRoom { needed, free } => write!(
                f,
                "the flash has {free} bytes left, another channel takes {needed}"
            ),
            Self::Stopped => write!(f, "the device has stopped; start again"),
        }
    }
}

impl core::error::Error for CommandError {}
