//! One stream of bytes to a peer or a watcher: the handshake, then messages.
//!
//! ```text
//! bytes ──receive──> Shaking ──done──> Open ──next──> Inbound
//! bytes <─transmit── outgoing <──send──┘
//! ```
//!
//! The stream itself is the caller's. A link that brings what cannot be is over; everything that it
//! lost is said again on the next one.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use perun_link::{
    Credentials, FrameError, FrameKind, Handshake, HandshakeError, Hello, MAX_HANDSHAKE_MESSAGE,
    Opener, Sealer, Session,
};
use perun_protocol::PublicKey;
use perun_protocol::channel::PeerMisbehaved;
use perun_protocol::remote::RemoteMessage;
use perun_protocol::signature::K256;
use perun_protocol::wire::{Message, MessageError};

/// Bytes read at once, at least.
const READ: usize = 256;
/// A handshake takes no longer, in nanoseconds.
const SHAKE_WITHIN_NS: u64 = 15_000_000_000;
/// A stranger has so long before he may have to make room, in nanoseconds.
const STRANGER_NS: u64 = 3_000_000_000;
/// A silent peer is asked after so long whether it is there, in nanoseconds.
const PING_AFTER_NS: u64 = 10_000_000_000;
/// A link that has been silent for so long is over, in nanoseconds.
const DEAD_AFTER_NS: u64 = 35_000_000_000;
/// Two links in opposite directions that begin within this time were dialled at once, in nanoseconds.
const AT_ONCE_NS: u64 = 5_000_000_000;
/// Messages that wait behind so many bytes mean that the other side takes none.
const MAX_OUTGOING: usize = 8 * 1024;
/// The longest reason of a goodbye that is shown, in bytes.
const MAX_REASON: usize = 128;

/// Names a link: no later one is named the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkId(pub(crate) u32);

/// A link is over, or never began: its stream is to be closed.
#[non_exhaustive]
#[derive(Debug)]
pub enum LinkError {
    /// The other side cannot prove who it is.
    Handshake(HandshakeError),
    /// What arrives is no frame.
    Frame(FrameError),
    /// What arrives is no message.
    Message(MessageError),
    /// The other side is not known.
    Stranger(PublicKey),
    /// The peer broke the protocol.
    Misbehaved(PeerMisbehaved),
    /// The other side said goodbye.
    Goodbye(String),
    /// It was silent for too long.
    TimedOut,
    /// It does not take what is sent.
    Backlog {
        /// Bytes that wait.
        queued: usize,
    },
    /// There are as many links as there may be.
    TooMany {
        /// How many.
        limit: usize,
    },
    /// It is over: a newer link took its place, or it was ended before.
    Over,
}

/// What came in.
pub(crate) enum Inbound {
    /// The other side has proved who it is.
    Authenticated(Hello),
    /// A message about a channel.
    Message(Message),
    /// A message between device and node.
    Remote(RemoteMessage),
}

/// A link.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    /// Who the other side is, once it has proved it.
    pub(crate) peer: Option<PublicKey>,
    /// The longest message that the other side takes, in bytes.
    pub(crate) max_message: usize,
    /// Whether the owner was told of it.
    pub(crate) is_told: bool,
    dialled: bool,
    stage: Stage,
    outgoing: Vec<u8>,
    sent: usize,
    begun_ns: u64,
    heard_ns: u64,
    is_asked: bool,
}

enum Stage {
    Shaking {
        handshake: Box<Handshake>,
        arrived: Vec<u8>,
    },
    Open(Box<Open>),
    /// Only while a link goes from one stage to the other.
    Moving,
}

struct Open {
    session: Session,
    sealer: Sealer,
    opener: Opener,
}

impl Link {
    /// Begins a handshake: as dialler if `wanted` says who must answer.
    pub(crate) fn new(
        id: LinkId,
        credentials: &Credentials,
        wanted: Option<PublicKey>,
        entropy: [u8; 32],
        uptime_ns: u64,
    ) -> Result<Self, LinkError> {
        let handshake = Handshake::new(credentials, wanted, entropy);
        let mut link = Self {
            id,
            peer: None,
            max_message: 0,
            is_told: false,
            dialled: wanted.is_some(),
            stage: Stage::Shaking {
                handshake: Box::new(handshake.map_err(LinkError::Handshake)?),
                arrived: Vec::new(),
            },
            outgoing: Vec::new(),
            sent: 0,
            begun_ns: uptime_ns,
            heard_ns: uptime_ns,
            is_asked: false,
        };
        link.shake(credentials, 0)?;
        Ok(link)
    }

    /// Bytes have arrived.
    pub(crate) fn arrived(&mut self, bytes: &[u8], uptime_ns: u64) {
        self.heard_ns = uptime_ns;
        self.is_asked = false;
        match &mut self.stage {
            Stage::Shaking { arrived, .. } => arrived.extend_from_slice(bytes),
            Stage::Open(open) => open.opener.take_in(bytes),
            Stage::Moving => {}
        }
    }

    /// How many bytes can be taken in at once: a caller hands over no more before it has asked for
    /// what came in.
    pub(crate) const PORTION: usize = READ;

    /// What came in next, `None` if nothing is there whole.
    #[inline(never)]
    pub(crate) fn next(
        &mut self,
        credentials: &Credentials,
        max_message: u32,
    ) -> Result<Option<Inbound>, LinkError> {
        if let Stage::Shaking { .. } = self.stage {
            let hello = self.shake(credentials, max_message)?;
            return Ok(hello.map(Inbound::Authenticated));
        }
        loop {
            let Stage::Open(open) = &mut self.stage else {
                return Ok(None);
            };
            let Open {
                session, opener, ..
            } = &mut **open;
            let Some(length) = opener.whole().map_err(LinkError::Frame)? else {
                return Ok(None);
            };
            let (kind, bytes) = opener.open(session, length).map_err(LinkError::Frame)?;
            match kind {
                FrameKind::Message => return decode(bytes).map(Some),
                FrameKind::Ping => self.send_frame(FrameKind::Pong, &[])?,
                FrameKind::Pong | FrameKind::Unknown(_) => {}
                FrameKind::Goodbye => {
                    let shown = &bytes[..bytes.len().min(MAX_REASON)];
                    let reason = String::from_utf8_lossy(shown).into_owned();
                    return Err(LinkError::Goodbye(reason));
                }
            }
        }
    }

    /// Goes on with the handshake; who the other side is once it is done.
    #[inline(never)]
    fn shake(
        &mut self,
        credentials: &Credentials,
        max_message: u32,
    ) -> Result<Option<Hello>, LinkError> {
        loop {
            let Stage::Shaking { handshake, arrived } = &mut self.stage else {
                return Ok(None);
            };
            if handshake.is_done() {
                return self.open(max_message).map(Some);
            }
            if handshake.is_our_turn() {
                let written = handshake.write(credentials, &mut self.outgoing);
                written.map_err(LinkError::Handshake)?;
                continue;
            }
            let Some((length, rest)) = arrived.split_first_chunk::<2>() else {
                return Ok(None);
            };
            let length = usize::from(u16::from_be_bytes(*length));
            if length > MAX_HANDSHAKE_MESSAGE {
                let error = HandshakeError::TooLong { length };
                return Err(LinkError::Handshake(error));
            }
            let Some(message) = rest.get(..length) else {
                return Ok(None);
            };
            let read = handshake.read::<K256>(credentials, message);
            read.map_err(LinkError::Handshake)?;
            arrived.drain(..2 + length);
        }
    }

    fn open(&mut self, max_message: u32) -> Result<Hello, LinkError> {
        let stage = core::mem::replace(&mut self.stage, Stage::Moving);
        let Stage::Shaking { handshake, arrived } = stage else {
            return Err(LinkError::Over);
        };
        let (session, hello) = handshake.finish().map_err(LinkError::Handshake)?;
        let mut opener = Opener::new(max_message as usize, READ);
        opener.take_in(&arrived);
        let taken = usize::try_from(hello.max_message).unwrap_or(usize::MAX);
        self.stage = Stage::Open(Box::new(Open {
            session,
            sealer: Sealer::new(taken),
            opener,
        }));
        self.peer = Some(hello.identity);
        self.max_message = taken;
        Ok(hello)
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<(), LinkError> {
        self.send_frame(FrameKind::Message, message)
    }

    fn send_frame(&mut self, kind: FrameKind, message: &[u8]) -> Result<(), LinkError> {
        let Stage::Open(open) = &mut self.stage else {
            return Ok(());
        };
        // What is written takes no room any more, however slowly the other side reads.
        self.outgoing.drain(..self.sent);
        self.sent = 0;
        let queued = self.outgoing.len();
        if queued > MAX_OUTGOING {
            return Err(LinkError::Backlog { queued });
        }
        let Open {
            session, sealer, ..
        } = &mut **open;
        // A peer that takes no message so long has said so and is not told.
        let _ = sealer.seal(session, kind, message, &mut self.outgoing);
        Ok(())
    }

    /// What is to be written to the stream.
    pub(crate) fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    /// So many bytes of it were written.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent = self.outgoing.len().min(self.sent + count);
        if self.sent == self.outgoing.len() {
            self.outgoing = Vec::new();
            self.sent = 0;
        }
    }

    /// Looks whether the other side is still there.
    pub(crate) fn check(&mut self, uptime_ns: u64) -> Result<(), LinkError> {
        if uptime_ns >= self.due_ns() {
            match self.stage {
                Stage::Open(_) if !self.is_asked => {
                    self.is_asked = true;
                    self.send_frame(FrameKind::Ping, &[])?;
                }
                _ => return Err(LinkError::TimedOut),
            }
        }
        Ok(())
    }

    /// Whether it can make room for another one: somebody else has begun it a while ago, and has not
    /// shown who he is.
    pub(crate) fn is_idle_stranger(&self, uptime_ns: u64) -> bool {
        let age_ns = uptime_ns.saturating_sub(self.begun_ns);
        self.peer.is_none() && !self.dialled && age_ns >= STRANGER_NS
    }

    /// When [`Link::check`] has something to do.
    pub(crate) fn due_ns(&self) -> u64 {
        match (&self.stage, self.is_asked) {
            (Stage::Open(_), false) => self.heard_ns + PING_AFTER_NS,
            (Stage::Open(_), true) => self.heard_ns + DEAD_AFTER_NS,
            _ => self.begun_ns + SHAKE_WITHIN_NS,
        }
    }

    /// Of two links to one peer, whether this one is to stay although `newer` has come: both were
    /// dialled at once, and both sides keep the one that the smaller identity has dialled.
    pub(crate) fn outlives(&self, newer: &Self, us: &PublicKey, them: &PublicKey) -> bool {
        let at_once = newer.begun_ns.saturating_sub(self.begun_ns) < AT_ONCE_NS;
        at_once && self.dialled != newer.dialled && self.dialled == (us < them)
    }
}

fn decode(bytes: &[u8]) -> Result<Inbound, LinkError> {
    let message = Message::decode(bytes).map_err(LinkError::Message)?;
    match message {
        Message::Unknown { kind } if RemoteMessage::KINDS.contains(&kind) => {
            let remote = RemoteMessage::decode(bytes).map_err(LinkError::Message)?;
            Ok(Inbound::Remote(remote))
        }
        message => Ok(Inbound::Message(message)),
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => write!(f, "no handshake: {error}"),
            Self::Frame(error) => error.fmt(f),
            Self::Message(error) => error.fmt(f),
            Self::Stranger(peer) => write!(f, "{peer:?} is neither a known peer nor a watcher"),
            Self::Misbehaved(misbehaved) => misbehaved.fmt(f),
            Self::Goodbye(reason) => write!(f, "the other side said goodbye: {reason:?}"),
            Self::TimedOut => write!(f, "the other side was silent for too long"),
            Self::Backlog { queued } => {
                write!(
                    f,
                    "the other side does not take the {queued} bytes that wait"
                )
            }
            Self::TooMany { limit } => write!(f, "there are {limit} links, the most there may be"),
            Self::Over => write!(f, "the link is over"),
        }
    }
}

impl core::error::Error for LinkError {}
