//! Why something is not watched.

use std::convert::Infallible;
use std::fmt;

use perun_protocol::Version;

use crate::CallError;
use crate::store::StoreError;

/// Why a watcher does not start. Nothing was changed.
#[non_exhaustive]
#[derive(Debug)]
pub enum StartError {
    /// The adjudicator does not tell its time.
    Adjudicator(CallError<Infallible>),
    /// The store cannot be read.
    Store(StoreError),
    /// A record is damaged or of an unknown format: without it, nobody here would refute an old state.
    Record {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a channel is not watched, or not by this state.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatchError {
    /// The state is another channel's.
    WrongChannel,
    /// Another adjudicator settles the channel.
    WrongAdjudicator,
    /// Another state of this version is held, signed by all as well.
    AnotherState {
        /// The version.
        version: Version,
    },
    /// So many channels are watched already.
    LimitReached,
    /// Nothing can be stored any more.
    NotStored,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adjudicator(error) => write!(f, "the adjudicator does not answer: {error}"),
            Self::Store(error) => error.fmt(f),
            Self::Record { name, reason } => write!(f, "record {name}: {reason}"),
        }
    }
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongChannel => write!(f, "the state is another channel's"),
            Self::WrongAdjudicator => write!(f, "another adjudicator settles this channel"),
            Self::AnotherState { version } => {
                write!(
                    f,
                    "another state of version {version} is held, signed by all as well"
                )
            }
            Self::LimitReached => write!(f, "so many channels are watched already"),
            Self::NotStored => write!(f, "nothing can be stored any more"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Adjudicator(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Record { .. } => None,
        }
    }
}

impl std::error::Error for WatchError {}
