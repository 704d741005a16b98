//! What can go wrong, by whose fault it is.

use core::fmt;

use perun_protocol::Version;

use crate::header::{Kind, Malformed, Number};

/// Why a message has no effect. Nothing changed, and no retry of the same message helps, but where it says
/// so. None of these is a reason to stop.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// It is no message.
    Malformed(Malformed),
    /// It belongs to another stream.
    OtherStream,
    /// Such messages are not for this side.
    Unexpected(Kind),
    /// A signature is not of whom it should be of.
    WrongSignature,
    /// The announcement is for another channel, or by another participant.
    OtherParticipant,
    /// It had its effect already, or a newer one of its kind did.
    Repeated {
        /// Its number, or its count if it is tagged.
        number: Number,
    },
    /// It is not sealed or masked for us, or by a key that we gave up or never got.
    Unreadable {
        /// Its number, or its count if it is tagged.
        number: Number,
    },
    /// Who signed it is no watcher that is allowed here.
    NotAllowed,
    /// The keyload gave its recipients different secrets, or not the one that it confirms: the author
    /// misbehaves.
    Unconfirmed {
        /// Its number.
        number: Number,
    },
}

/// Why a message that arrived was not dealt with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReceiveError<E> {
    /// It is refused.
    Refused(Refused),
    /// The storage failed. Nothing changed; the same message can be tried again.
    Storage(E),
}

/// Why something can't be sent or changed. Nothing was.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendError<E> {
    /// The storage failed; it can be tried again.
    Storage(E),
    /// The author has started, was moved, changed its watchers, or used an epoch up: a keyload must go
    /// out first.
    EpochDue,
    /// Nobody has subscribed.
    NoWatchers,
    /// The parts do not fit into a message.
    TooLong {
        /// Bytes that they would take.
        length: usize,
    },
    /// A newer version was published.
    OldVersion {
        /// The newest.
        newest: Version,
    },
    /// The table of watchers is full.
    TooManyWatchers,
    /// There is no such watcher.
    UnknownWatcher,
    /// Nothing was stored yet that could be acknowledged.
    NothingStored,
    /// Numbers or epochs are used up: the stream must be made anew.
    Exhausted,
}

/// Why what was stored or exported can't be taken up.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartError<E> {
    /// The storage failed.
    Storage(E),
    /// A record is not what this side wrote.
    Damaged,
    /// The export was not made under this key, is not of this side, or was changed.
    WrongExport,
    /// Numbers or epochs are used up: the stream must be made anew.
    Exhausted,
    /// The announcement is refused.
    Refused(Refused),
}

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl<E> From<Refused> for ReceiveError<E> {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl<E> From<Malformed> for ReceiveError<E> {
    fn from(malformed: Malformed) -> Self {
        Self::Refused(malformed.into())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::OtherStream => f.write_str("a message of another stream"),
            Self::Unexpected(kind) => write!(f, "{kind:?} is not for this side"),
            Self::WrongSignature => f.write_str("a signature is wrong"),
            Self::OtherParticipant => f.write_str("an announcement for another participant"),
            Self::Repeated { number } => write!(f, "message {} is repeated", number.0),
            Self::Unreadable { number } => write!(f, "message {} can't be read", number.0),
            Self::NotAllowed => f.write_str("the watcher is not allowed"),
            Self::Unconfirmed { number } => {
                write!(f, "keyload {} does not confirm its secret", number.0)
            }
        }
    }
}

impl<E: fmt::Display> fmt::Display for ReceiveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Storage(error) => write!(f, "storage: {error}"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for SendError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => write!(f, "storage: {error}"),
            Self::EpochDue => f.write_str("a keyload must go out first"),
            Self::NoWatchers => f.write_str("nobody has subscribed"),
            Self::TooLong { length } => write!(f, "{length} bytes are no message"),
            Self::OldVersion { newest } => write!(f, "version {} is published", newest.number()),
            Self::TooManyWatchers => f.write_str("the table of watchers is full"),
            Self::UnknownWatcher => f.write_str("no such watcher"),
            Self::NothingStored => f.write_str("nothing was stored yet"),
            Self::Exhausted => f.write_str("numbers or epochs are used up"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for StartError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => write!(f, "storage: {error}"),
            Self::Damaged => f.write_str("a record is damaged"),
            Self::WrongExport => f.write_str("the export can't be opened"),
            Self::Exhausted => f.write_str("numbers or epochs are used up"),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for Refused {}
impl<E: fmt::Debug + fmt::Display> core::error::Error for ReceiveError<E> {}
impl<E: fmt::Debug + fmt::Display> core::error::Error for SendError<E> {}
impl<E: fmt::Debug + fmt::Display> core::error::Error for StartError<E> {}
