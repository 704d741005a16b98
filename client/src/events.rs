//! What a client tells its owner.

use std::fmt;
use std::sync::Arc;

use perun_protocol::channel::{Event, PeerMisbehaved};
use perun_protocol::{ChannelId, PublicKey};
use tokio::sync::broadcast;

use crate::chain::{FollowError, PerformError};
use crate::store::StoreError;

/// Something that happened, to a channel if it names one.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The channel.
    pub channel: Option<ChannelId>,
    /// What happened.
    pub event: ClientEvent,
}

/// What can happen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The channel's machine tells.
    Channel(Event),
    /// A call to the adjudicator failed. It is made again for as long as it is needed; somebody may
    /// have to change something first, such as the balance of an account.
    CallFailed {
        /// What it met.
        error: Arc<PerformError>,
    },
    /// The adjudicator's event log could not be read. It is tried again; meanwhile no payments are
    /// made or accepted, once views are too old.
    NotFollowed {
        /// What the poll met.
        error: Arc<FollowError>,
    },
    /// The store has failed for good: nothing is signed or sent any more. Start again once the disk
    /// is repaired.
    StoreFailed {
        /// What it met.
        error: Arc<StoreError>,
    },
    /// A peer broke the protocol.
    Misbehaved {
        /// Which one.
        peer: PublicKey,
        /// How, if it was about a channel.
        how: Option<PeerMisbehaved>,
    },
    /// A peer is connected.
    Connected {
        /// Which one.
        peer: PublicKey,
    },
    /// A peer is no longer connected; connecting again is under way.
    Disconnected {
        /// Which one.
        peer: PublicKey,
    },
}

/// Notifications as they come, of one channel or of all.
///
/// Who reads too slowly misses the oldest, and is told how many ([`EventsError::Missed`]); nothing
/// but the telling is lost.
pub struct Events {
    receiver: broadcast::Receiver<Notification>,
    channel: Option<ChannelId>,
}

/// There is no next notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventsError {
    /// So many notifications of the client were not read in time; the next call gets the next one.
    Missed {
        /// How many.
        count: u64,
    },
    /// The client has stopped.
    Stopped,
}

impl Events {
    pub(crate) fn new(
        receiver: broadcast::Receiver<Notification>,
        channel: Option<ChannelId>,
    ) -> Self {
        Self { receiver, channel }
    }

    /// The next notification. It can be dropped and called again without missing one.
    ///
    /// # Errors
    /// [`EventsError`].
    pub async fn next(&mut self) -> Result<Notification, EventsError> {
        loop {
            match self.receiver.recv().await {
                Ok(notification) => {
                    if self.channel.is_none() || notification.channel == self.channel {
                        return Ok(notification);
                    }
                }
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    return Err(EventsError::Missed { count });
                }
                Err(broadcast::error::RecvError::Closed) => return Err(EventsError::Stopped),
            }
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for EventsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed { count } => write!(f, "{count} notifications were not read in time"),
            Self::Stopped => write!(f, "the client has stopped"),
        }
    }
}

impl std::error::Error for EventsError {}
