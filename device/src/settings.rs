//! How a device is set up.

use alloc::vec::Vec;

use perun_protocol::channel::Limits;
use perun_protocol::{Account, Principal, PublicKey};

use crate::Policy;

const SECOND_NS: u64 = 1_000_000_000;

/// How a device is set up. All of it may be another at the next start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The nodes that watch the channels and deposit for the device, one at least. Each is given
    /// every new state; one that is connected is asked to deposit, the first of them if it can be.
    /// None of them may be a peer, whose interest is another.
    pub watchers: Vec<PublicKey>,
    /// How many of those who follow a channel's [stream](crate::stream) must have stored a state, besides
    /// one of the watchers, before it counts as guarded. With 0 streams are only published. No more than
    /// follow it, or nothing is ever accepted.
    pub stream_guards: usize,
    /// The canister that holds the deposits of all channels.
    pub adjudicator: Principal,
    /// Where payouts go: an account of the owner. It is fixed for a channel when that begins.
    pub receiver: Account,
    /// What the device signs.
    pub policy: Policy,
    /// How long it waits for things.
    pub times: Times,
    /// How much memory it takes.
    pub capacity: Capacity,
}

/// How long a device waits, in nanoseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Times {
    /// Nothing is proposed, accepted or reported received unless a watcher has seen the channel
    /// funded and undisputed so recently.
    pub max_view_age_ns: u64,
    /// So often a watcher is asked what it sees if it was not told anything.
    pub poll_ns: u64,
    /// After so long a message without an answer is sent again.
    pub retry_ns: u64,
    /// After so long without an answer a peer is called silent.
    pub silence_ns: u64,
    /// How long a peer has to agree to the end of a channel before the newest state is registered.
    pub close_within_ns: u64,
    /// How long a peer has to answer a proposal.
    pub answer_within_ns: u64,
    /// How long everybody has to deposit, after the time to answer.
    pub fund_within_ns: u64,
    /// So late at most is stored what a power cut may take.
    pub store_later_ns: u64,
}

/// How much memory a device takes. The crate's documentation says what follows from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// Channels that are not over.
    pub channels: usize,
    /// Connections, those included that have not shown who they are.
    pub links: usize,
    /// The longest message that is taken, in bytes.
    pub message: u32,
    /// Bytes of payments that one update carries, either way.
    pub batch: usize,
}

/// How many have to be told of each state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guards {
    /// Watchers by links.
    pub(crate) linked: usize,
    /// Those of the stream who must have stored it.
    pub(crate) streamed: usize,
}

impl Settings {
    pub(crate) fn guards(&self) -> Guards {
        Guards {
            linked: self.watchers.len(),
            streamed: self.stream_guards,
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            max_view_age_ns: 60 * SECOND_NS,
            poll_ns: 15 * SECOND_NS,
            retry_ns: 5 * SECOND_NS,
            silence_ns: 60 * SECOND_NS,
            close_within_ns: 60 * SECOND_NS,
            answer_within_ns: 60 * SECOND_NS,
            fund_within_ns: 10 * 60 * SECOND_NS,
            store_later_ns: 5 * SECOND_NS,
        }
    }
}

impl Times {
    /// Times for demos and tests: everything happens within seconds.
    pub fn quick() -> Self {
        Self {
            max_view_age_ns: 10 * SECOND_NS,
            poll_ns: SECOND_NS,
            retry_ns: SECOND_NS,
            silence_ns: 10 * SECOND_NS,
            close_within_ns: 10 * SECOND_NS,
            ..Self::default()
        }
    }

    /// The least challenge duration that is safe with these times, in nanoseconds: four times as
    /// long as it can take until a dispute is seen and answered.
    pub fn least_challenge_ns(&self) -> u64 {
        let once = self.max_view_age_ns + self.poll_ns + self.retry_ns;
        once.saturating_mul(4)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_view_age_ns: self.max_view_age_ns,
            retry_ns: self.retry_ns,
            silence_ns: self.silence_ns,
            // No update of the peer's lowers what is ours, so the owner need not be asked.
            decide_ns: None,
        }
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            channels: 2,
            links: 4,
            message: 2048,
            batch: 512,
        }
    }
}
