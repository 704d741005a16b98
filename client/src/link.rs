//! Links: authenticated, encrypted connections to peers, over which whole messages travel.
//!
//! ```text
//!   Peers      one link a peer, made anew when it breaks; heartbeats; the newest connection wins
//!     │
//!  Transport   TCP with Noise (tcp), or memory with faults (memory)
//!     │
//!  Connection  { who it is, what it takes, sender, receiver }
//! ```
//!
//! A peer is its off-chain identity, a secp256k1 key. Whoever a connection's `peer` is has proved it;
//! messages name no sender. Messages of one connection arrive in their order or not at all; what a
//! break lost is said again by those who need it, above.
//!
//! Invariants: memory grows with bytes that have arrived, not with bytes that were promised. A peer
//! that floods, stalls or lies slows only its own connection.

pub mod memory;

mod noise;
mod peers;
mod tcp;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use perun_link::{FrameError, HandshakeError, MAX_HANDSHAKE_MESSAGE, TooLong};
use perun_protocol::PublicKey;

pub use peers::{Handler, Peers, PeersConfig, Verdict};
pub use perun_link::{FrameKind, Hello};
pub use tcp::{TcpConfig, TcpTransport};

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to reach peers and be reached.
pub trait Transport: Send + Sync + 'static {
    /// Connects to a peer at an address. Whoever answers there must prove to be that peer.
    ///
    /// # Errors
    /// [`LinkError`].
    fn connect<'a>(
        &'a self,
        peer: PublicKey,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Connection, LinkError>>;

    /// The next connection that somebody else has made, and has proved who he is. It can be dropped
    /// and called again without losing one.
    ///
    /// # Errors
    /// [`LinkError::Closed`] if there will be none any more.
    fn accept(&self) -> BoxFuture<'_, Result<Connection, LinkError>>;

    /// Who we are.
    fn identity(&self) -> PublicKey;

    /// Takes no connections any more: [`accept`](Self::accept) ends once it has told of those that
    /// were made before.
    fn close(&self);
}

/// A connection to a peer that has proved who it is.
pub struct Connection {
    /// Who it is.
    pub peer: PublicKey,
    /// What it takes.
    pub hello: Hello,
    /// How to tell it something.
    pub sender: Arc<dyn MessageSender>,
    /// What it tells.
    pub receiver: Box<dyn MessageReceiver>,
}

/// The sending half of a connection.
pub trait MessageSender: Send + Sync {
    /// Sends a message or queues it, and never waits.
    ///
    /// # Errors
    /// [`SendError`]; the message was not sent then.
    fn send(&self, kind: FrameKind, message: &[u8]) -> Result<(), SendError>;

    /// Ends the connection. What was queued may be lost.
    fn close(&self);

    /// What has travelled.
    fn traffic(&self) -> &Traffic;
}

/// The receiving half of a connection.
pub trait MessageReceiver: Send {
    /// The next message, `None` at the end of the connection.
    ///
    /// # Errors
    /// [`LinkError`]; the connection is over then.
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<'_>>, LinkError>>;
}

/// What a frame is for, and what it carries.
pub type Frame<'a> = (FrameKind, &'a [u8]);

/// What has travelled over a connection so far.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes sent, as they stand on the wire without the headers of TCP and below. What is queued
    /// counts.
    pub sent_bytes: AtomicU64,
    /// Bytes received, also of a frame that is not there whole.
    pub received_bytes: AtomicU64,
    /// Frames sent.
    pub sent_frames: AtomicU64,
    /// Frames received.
    pub received_frames: AtomicU64,
}

/// Why there is no connection, or no longer.
#[non_exhaustive]
#[derive(Debug)]
pub enum LinkError {
    /// The network.
    Io(io::Error),
    /// Somebody else answers at the peer's address.
    WrongPeer {
        /// Who was wanted.
        wanted: Box<PublicKey>,
        /// Who answers.
        found: Box<PublicKey>,
    },
    /// It is ourselves.
    Ourselves,
    /// The other side does not speak this protocol, or cannot prove who it is.
    Handshake {
        /// What is wrong, in words.
        reason: String,
    },
    /// A frame is longer than allowed.
    TooLong {
        /// Its length, in bytes.
        length: u64,
        /// The longest that is taken.
        limit: u64,
    },
    /// A frame was not sealed by the peer, or not as the next one.
    NotAuthentic,
    /// A frame carries nothing, not even its kind.
    Empty,
    /// It took too long.
    TimedOut,
    /// The peer said goodbye.
    Goodbye {
        /// Why, in its words.
        reason: String,
    },
    /// It was closed.
    Closed,
}

/// Why a message was not sent.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendError {
    /// There is no connection.
    NotConnected,
    /// The peer does not take what was sent before: its connection is better ended.
    Full {
        /// Bytes that wait.
        queued: usize,
    },
    /// The peer does not take so long a message.
    TooLong {
        /// Its length.
        length: usize,
        /// The longest that the peer takes.
        limit: usize,
    },
}

impl Traffic {
    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sent_frames.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_received_bytes(&self, bytes: usize) {
        self.received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_received_frame(&self) {
        self.received_frames.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("hello", &self.hello)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::WrongPeer { wanted, found } => {
                write!(f, "{found:?} answers at the address of {wanted:?}")
            }
            Self::Ourselves => write!(f, "it is ourselves who answer at the peer's address"),
            Self::Handshake { reason } => write!(f, "no handshake: {reason}"),
            Self::TooLong { length, limit } => {
                write!(f, "a frame of {length} bytes, at most {limit} are taken")
            }
            Self::NotAuthentic => write!(f, "a frame that the peer did not seal"),
            Self::Empty => write!(f, "a frame without contents"),
            Self::TimedOut => write!(f, "it took too long"),
            Self::Goodbye { reason } => write!(f, "the peer said goodbye: {reason:?}"),
            Self::Closed => write!(f, "closed"),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<HandshakeError> for LinkError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::TooLong { length } => Self::TooLong {
                length: length as u64,
                limit: MAX_HANDSHAKE_MESSAGE as u64,
            },
            HandshakeError::WrongPeer { wanted, found } => Self::WrongPeer {
                wanted: Box::new(wanted),
                found: Box::new(found),
            },
            HandshakeError::Ourselves => Self::Ourselves,
            error => Self::Handshake {
                reason: error.to_string(),
            },
        }
    }
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLong { length, limit } => Self::TooLong {
                length: length as u64,
                limit: limit as u64,
            },
            FrameError::Empty => Self::Empty,
            _ => Self::NotAuthentic,
        }
    }
}

impl From<TooLong> for SendError {
    fn from(TooLong { length, limit }: TooLong) -> Self {
        Self::TooLong { length, limit }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => write!(f, "the peer is not connected"),
            Self::Full { queued } => {
                write!(f, "the peer does not take the {queued} bytes that wait")
            }
            Self::TooLong { length, limit } => {
                write!(
                    f,
                    "a message of {length} bytes, the peer takes at most {limit}"
                )
            }
        }
    }
}

impl std::error::Error for SendError {}
