//! When a device sends what, and whether it may go on.
//!
//! ```text
//! poll: keyload due? ─> newest state not out in this epoch? ─> not acknowledged, and it is time to
//!       send again? ─> heartbeat due? ─> nothing until `poll_timeout`
//! ```
//!
//! The stream itself knows no time. Time is an argument, from any clock that does not go back.

use perun_protocol::{Timestamp, Version};

use crate::author::Author;
use crate::storage::Storage;

/// What an owner wants of a device's stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// How many watchers must have stored a state for it to be guarded: k of n.
    pub guards: usize,
    /// How long a state may be unguarded before the device must neither sign on nor pay out.
    pub alarm_ns: u64,
    /// After how long what was not acknowledged is sent again; it doubles each time.
    pub resend_ns: u64,
    /// The longest that it doubles to.
    pub max_resend_ns: u64,
    /// How often a heartbeat goes out if nothing else does.
    pub heartbeat_ns: u64,
    /// How long an epoch lasts at most.
    pub epoch_ns: u64,
}

/// What to do now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// [`Author::open_epoch`], and send the keyload.
    Keyload,
    /// [`Author::publish`] the newest state, though it may have been before: not everybody could read that, or
    /// acknowledge it since the start.
    State,
    /// Send [`Author::keyload`] and [`Author::packet`] again.
    Again,
    /// [`Author::heartbeat`].
    Heartbeat,
}

/// Whether the newest state is safe with the watchers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Guard {
    /// So many have it, as many as the policy asks for.
    Guarded(usize),
    /// So many have it, which is too few, but not for long.
    Waiting(usize),
    /// So many have it, and too few for too long: sign nothing more, and tell the owner.
    Alarm(usize),
}

/// The times of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    policy: Policy,
    opened: Timestamp,
    /// Since when the newest version is not guarded; `None` if it is.
    unguarded: Option<Timestamp>,
    newest: Option<Version>,
    resend: u64,
    sent: Timestamp,
    beat: Timestamp,
}

impl Policy {
    /// One of two watchers; sends again after 2 s, beats each minute, a new epoch each day, alarm after
    /// 5 minutes.
    pub const USUAL: Self = Self {
        guards: 1,
        alarm_ns: 300_000_000_000,
        resend_ns: 2_000_000_000,
        max_resend_ns: 120_000_000_000,
        heartbeat_ns: 60_000_000_000,
        epoch_ns: 86_400_000_000_000,
    };
}

impl Schedule {
    /// Times that begin at `now`, the start of the author.
    pub const fn new(policy: Policy, now: Timestamp) -> Self {
        Self {
            policy,
            opened: now,
            unguarded: None,
            newest: None,
            resend: policy.resend_ns,
            sent: now,
            beat: now,
        }
    }

    /// What to do now, most urgent first; ask until there is nothing. After each, call what belongs to it.
    pub fn poll<S: Storage>(&self, author: &Author<S>, now: Timestamp) -> Option<Due> {
        if author.recipient_count() == 0 {
            return None;
        }
        let epoch_is_over = now.nanos_since(self.opened) >= self.policy.epoch_ns;
        if author.is_epoch_due() || epoch_is_over {
            return Some(Due::Keyload);
        }
        let Some(version) = author.published().filter(|_| author.is_packet_current()) else {
            return Some(Due::State);
        };
        let is_told = author.guarded_by(version) == author.recipient_count();
        if !is_told && now.nanos_since(self.sent) >= self.resend {
            return Some(Due::Again);
        }
        let is_quiet = now.nanos_since(self.beat) >= self.policy.heartbeat_ns;
        is_quiet.then_some(Due::Heartbeat)
    }

    /// When [`Schedule::poll`] has something new to say at the latest, if nothing else happens.
    pub fn poll_timeout<S: Storage>(&self, author: &Author<S>) -> Timestamp {
        let beat = self.beat.saturating_add_nanos(self.policy.heartbeat_ns);
        let epoch = self.opened.saturating_add_nanos(self.policy.epoch_ns);
        let earliest = beat.min(epoch);
        let newest = author.published();
        let is_told = newest.is_some_and(|it| author.guarded_by(it) == author.recipient_count());
        if is_told {
            earliest
        } else {
            earliest.min(self.sent.saturating_add_nanos(self.resend))
        }
    }

    /// A keyload went out.
    pub fn opened(&mut self, now: Timestamp) {
        self.opened = now;
        self.out(now);
    }

    /// There is a state of this version, published or not: from now on [`Schedule::guard`] is about it, or a
    /// newer one.
    pub fn signed(&mut self, version: Version, now: Timestamp) {
        if self.newest < Some(version) {
            self.newest = Some(version);
            self.unguarded = self.unguarded.or(Some(now));
        }
    }

    /// A state went out, for the first time or published again.
    pub fn published(&mut self, version: Version, now: Timestamp) {
        self.signed(version, now);
        self.out(now);
    }

    /// Keyload and packet were sent again.
    pub fn sent_again(&mut self, now: Timestamp) {
        let resend = self.resend.saturating_mul(2);
        self.out(now);
        self.resend = resend.min(self.policy.max_resend_ns);
    }

    /// A heartbeat went out.
    pub fn beaten(&mut self, now: Timestamp) {
        self.beat = now;
    }

    /// Whether the newest state is guarded. Call it after each ack, or the time of the alarm runs on from the
    /// state before, and before anything is signed.
    pub fn guard<S: Storage>(&mut self, author: &Author<S>, now: Timestamp) -> Guard {
        let by = self.newest.map_or(0, |version| author.guarded_by(version));
        if by >= self.policy.guards {
            self.unguarded = None;
            return Guard::Guarded(by);
        }
        let since = *self.unguarded.get_or_insert(now);
        if now.nanos_since(since) >= self.policy.alarm_ns {
            Guard::Alarm(by)
        } else {
            Guard::Waiting(by)
        }
    }

    fn out(&mut self, now: Timestamp) {
        self.sent = now;
        self.beat = now;
        self.resend = self.policy.resend_ns;
    }
}
