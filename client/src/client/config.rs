//! How a client is set up.

use std::time::Duration;

use perun_protocol::channel::Limits;
use perun_protocol::{Account, ChallengeDuration};

use crate::Door;

/// How a client is set up. The defaults suit people who pay each other over the Internet; demos and
/// tests shorten the times.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where payouts go.
    pub receiver: Account,
    /// By which door deposits are made.
    pub door: Door,
    /// How often the adjudicator's event log is read.
    pub poll_interval: Duration,
    /// Nothing is paid, accepted or reported received unless the channel was seen funded and
    /// undisputed so recently. Greater than the poll interval, or payments wait for polls.
    pub max_view_age: Duration,
    /// After so long an unanswered message is sent again.
    pub retry_after: Duration,
    /// After so long without an answer a peer is called silent.
    pub silent_after: Duration,
    /// How long the owner has to decide on updates that the peer proposes; `None` accepts them: none
    /// lowers the owner's balance.
    pub decide_within: Option<Duration>,
    /// How long the peer has to agree to close, before the newest state is registered without it.
    pub close_within: Duration,
    /// For how long a proposal that is accepted may let deposits wait for those of others.
    pub fund_within_at_most: Duration,
    /// How many proposals of all peers together may wait for the owner's answer.
    pub max_proposals: usize,
    /// How many of one peer.
    pub max_proposals_per_peer: usize,
    /// How many notifications are kept for a reader who is slow; at least one is.
    pub events_kept: usize,
}

impl Config {
    /// The defaults, with payouts to `receiver`.
    pub fn new(receiver: Account) -> Self {
        Self {
            receiver,
            door: Door::Approval,
            poll_interval: Duration::from_secs(15),
            max_view_age: Duration::from_secs(60),
            retry_after: Duration::from_secs(5),
            silent_after: Duration::from_secs(60),
            decide_within: None,
            close_within: Duration::from_secs(60),
            fund_within_at_most: Duration::from_secs(24 * 3600),
            max_proposals: 64,
            max_proposals_per_peer: 8,
            events_kept: 256,
        }
    }

    /// Times for demos and tests: everything happens within seconds.
    pub fn quick(receiver: Account) -> Self {
        Self {
            poll_interval: Duration::from_millis(500),
            max_view_age: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
            silent_after: Duration::from_secs(10),
            close_within: Duration::from_secs(10),
            ..Self::new(receiver)
        }
    }

    /// The least challenge duration that is safe with these times: four times as long as it can take
    /// until a dispute is seen and answered.
    pub fn least_challenge_duration(&self) -> Duration {
        4 * (self.max_view_age + self.poll_interval + self.retry_after)
    }

    /// Whether a challenge duration is long enough.
    pub(super) fn allows(&self, duration: ChallengeDuration) -> bool {
        Duration::from_secs(duration.secs().into()) >= self.least_challenge_duration()
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            max_view_age_ns: nanos(self.max_view_age),
            retry_ns: nanos(self.retry_after),
            silence_ns: nanos(self.silent_after),
            decide_ns: self.decide_within.map(nanos),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
