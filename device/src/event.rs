//! What a device tells its owner.

use core::fmt;

use perun_protocol::channel;
use perun_protocol::dispute::Rank;
use perun_protocol::remote::RemoteCode;
use perun_protocol::wire::{ProposalId, Reason, Terms, Text};
use perun_protocol::{ChannelId, PublicKey, Timestamp, Version};

use crate::PolicyError;

/// Something has happened.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A peer or watcher is connected, and has proved who it is.
    Connected {
        /// Who it is.
        peer: PublicKey,
    },
    /// It is no longer.
    Disconnected {
        /// Who it was.
        peer: PublicKey,
    },
    /// A peer proposes a channel, and the owner decides
    /// ([`Device::accept_proposal`](crate::Device::accept_proposal)).
    Proposed {
        /// What names the proposal.
        proposal: ProposalId,
        /// Who proposes: participant 0. The device would be participant 1.
        peer: PublicKey,
        /// What is proposed.
        terms: alloc::boxed::Box<Terms>,
        /// What the policy asks the owner about, `None` if it allows the channel.
        asks: Option<PolicyError>,
        /// Until when it can be accepted, on the adjudicator's clock.
        expires_at: Timestamp,
    },
    /// A proposal of a peer was refused by the policy, or was none that makes a channel.
    ProposalRefused {
        /// Who proposed.
        peer: PublicKey,
        /// What it was told.
        reason: Reason,
    },
    /// A proposal of the device's own came to nothing.
    ProposalRejected {
        /// What names the proposal.
        proposal: ProposalId,
        /// Why.
        reason: Reason,
    },
    /// A channel begins: it was accepted, by either side.
    Begun {
        /// The channel.
        channel: ChannelId,
        /// With whom.
        peer: PublicKey,
        /// The proposal that it comes from.
        proposal: ProposalId,
    },
    /// Something has happened to a channel.
    Channel {
        /// The channel.
        channel: ChannelId,
        /// What.
        event: channel::Event,
    },
    /// A watcher has stored a state: it will refute everything older.
    Guarded {
        /// The channel.
        channel: ChannelId,
        /// The watcher.
        watcher: PublicKey,
        /// The state.
        version: Version,
    },
    /// As many of those who follow the channel's stream as the settings ask for have stored a state.
    StreamGuarded {
        /// The channel.
        channel: ChannelId,
        /// The state.
        version: Version,
    },
    /// One of those who follow the channel's stream says that it has stored a state that this device does
    /// not know: it lies, or this copy of the device is an old one.
    StreamContradicts {
        /// The channel.
        channel: ChannelId,
        /// The state.
        told: Version,
    },
    /// A watcher says no.
    WatcherRefused {
        /// The channel.
        channel: ChannelId,
        /// The watcher.
        watcher: PublicKey,
        /// Why.
        code: RemoteCode,
        /// Why, in its words.
        text: Text,
    },
    /// A watcher has less than it said that it has: it was restored from an old copy, or lies. It is
    /// given everything again.
    WatcherForgot {
        /// The channel.
        channel: ChannelId,
        /// The watcher.
        watcher: PublicKey,
    },
    /// A watcher says that it has a state which it does not show, and which this device does not know.
    /// Nothing that it says of the channel counts until it does.
    WatcherContradicts {
        /// The channel.
        channel: ChannelId,
        /// The watcher.
        watcher: PublicKey,
    },
    /// A watcher tells that something is registered at the adjudicator.
    DisputeNoticed {
        /// The channel.
        channel: ChannelId,
        /// How new it is.
        registered: Rank,
        /// What the watcher refutes it by, if that is newer.
        held: Version,
        /// Until when it can be refuted.
        timeout: Timestamp,
    },
    /// The flash has failed. Nothing is signed or sent any more before the next start.
    StoreFailed,
    /// Watchers agree that it is much earlier than it was thought to be. Nothing happens any more before
    /// the next start, which goes on with the right time.
    ClockWasWrong,
    /// Events were not fetched in time, and the oldest were forgotten.
    Missed {
        /// How many.
        count: u32,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { peer } => write!(f, "connected with {peer:?}"),
            Self::Disconnected { peer } => write!(f, "no longer connected with {peer:?}"),
            Self::Proposed { peer, asks, .. } => {
                write!(f, "{peer:?} proposes a channel")?;
                asks.iter().try_for_each(|asks| write!(f, ": {asks}"))
            }
            Self::ProposalRefused { reason, .. } => {
                write!(
                    f,
                    "a proposal was refused: {} {}",
                    reason.code,
                    reason.text.as_str()
                )
            }
            Self::ProposalRejected { reason, .. } => {
                write!(
                    f,
                    "our proposal came to nothing: {} {}",
                    reason.code,
                    reason.text.as_str()
                )
            }
            Self::Begun { channel, .. } => write!(f, "channel {channel:.8} begins"),
            Self::Channel { channel, event } => {
                write!(f, "channel {channel:.8}: {}", Told(event))
            }
            Self::Guarded {
                channel, version, ..
            } => write!(f, "channel {channel:.8}: version {version} is guarded"),
            Self::StreamGuarded { channel, version } => write!(
                f,
                "channel {channel:.8}: version {version} is guarded by the stream"
            ),
            Self::StreamContradicts { channel, told } => write!(
                f,
                "channel {channel:.8}: a watcher of the stream claims version {told}"
            ),
            Self::WatcherRefused {
                channel,
                code,
                text,
                ..
            } => write!(
                f,
                "channel {channel:.8}: a watcher says no: {code} {}",
                text.as_str()
            ),
            Self::WatcherForgot { channel, .. } => {
                write!(
                    f,
                    "channel {channel:.8}: a watcher has forgotten what it stored"
                )
            }
            Self::WatcherContradicts { channel, .. } => write!(
                f,
                "channel {channel:.8}: a watcher has a newer state and does not show it"
            ),
            Self::DisputeNoticed {
                channel,
                registered,
                held,
                timeout,
            } => write!(
                f,
                "channel {channel:.8}: {registered} is registered until {timeout}, {held} is held"
            ),
            Self::StoreFailed => write!(f, "the flash has failed; start again"),
            Self::ClockWasWrong => write!(f, "the clock was wrong; start again"),
            Self::Missed { count } => write!(f, "{count} events were missed"),
        }
    }
}

/// A channel's event in a few words.
struct Told<'a>(&'a channel::Event);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use channel::Event;
        match self.0 {
            Event::Opened => write!(f, "open"),
            Event::Received { version, payments } => write!(
                f,
                "received {} payments in version {version}",
                payments.count()
            ),
            Event::Settled { through } => write!(f, "payments up to number {through} are settled"),
            Event::Refused {
                from,
                through,
                reason,
            } => write!(
                f,
                "payments {from} to {through} are refused: {} {}",
                reason.code,
                reason.text.as_str()
            ),
            Event::Requested(request) => write!(f, "{} are asked for", request.amount),
            Event::RequestRejected { id, .. } => write!(f, "request {id} is rejected"),
            Event::Synced => write!(f, "in sync with the peer"),
            Event::RolledBack { knew, shown } => {
                write!(
                    f,
                    "this copy is an old one: it knew {knew} and was shown {shown}"
                )
            }
            Event::Unanswered => write!(f, "the peer does not answer"),
            Event::Closing { version } => write!(f, "closing by version {version}"),
            Event::CloseRefused { .. } => write!(f, "the peer did not agree to close"),
            Event::FundingTimedOut => write!(f, "not everybody deposited in time"),
            Event::Disputed {
                registered, newest, ..
            } => write!(f, "{registered} is registered, the newest is {newest}"),
            Event::Offered { version, .. } => write!(f, "version {version} is offered"),
            Event::RefutationLate { .. } => write!(f, "the refutation is late"),
            Event::Closed { .. } => write!(f, "over, and paid out"),
            Event::Abandoned { reason } => write!(f, "never came to be: {}", reason.code),
            // Debug formatting of everything would be a tenth of a small flash.
            _ => write!(f, "something that this software has no words for"),
        }
    }
}
