//! The time that counts for disputes: only that in which the canister ran.
//!
//! A canister that is stopped, frozen or stalled cannot take a refutation. While a window is open a
//! timer ticks; a longer silence is a gap, and gaps do not count.
//!
//! ```text
//! wall time   |----ran----|....gap....|----ran----|
//! uptime      |----ran----|           |----ran----|     = wall time - gaps
//! ```
//!
//! Deadlines are kept in uptime. Invariant: uptime never goes back, so what has elapsed stays
//! elapsed, and the wall time of a deadline only moves later.

use perun_protocol::Timestamp;

/// An instant on the canister's clock less all gaps before it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Uptime(pub(crate) Timestamp);

/// Tells uptime from wall time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Clock {
    /// The length of all gaps so far, in nanoseconds.
    pub(crate) gaps_ns: u64,
    /// The last sign of life.
    pub(crate) last_seen: Timestamp,
}

impl Clock {
    /// The clock after a sign of life at `now`. A silence of more than two ticks is a gap if
    /// `window_open`, from its beginning on: without an open window nobody ticked, and no gap
    /// matters.
    pub fn observe(self, now: Timestamp, tick_ns: u64, window_open: bool) -> Self {
        let silence_ns = now.nanos_since(self.last_seen);
        let is_gap = window_open && silence_ns > tick_ns.saturating_mul(2);
        let gap_ns = if is_gap { silence_ns } else { 0 };
        Self {
            gaps_ns: self.gaps_ns.saturating_add(gap_ns),
            last_seen: self.last_seen.max(now),
        }
    }

    /// The uptime at `now`.
    pub fn uptime(&self, now: Timestamp) -> Uptime {
        Uptime(Timestamp::from_nanos(
            now.nanos().saturating_sub(self.gaps_ns),
        ))
    }

    /// When `deadline` is reached if no further gap comes.
    pub fn wall(&self, deadline: Uptime) -> Timestamp {
        deadline.0.saturating_add_nanos(self.gaps_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 10;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_gap_moves_a_deadline_later() {
        let clock = Clock::default().observe(at(100), TICK, false);
        let deadline = Uptime(at(150));
        let ticked = clock
            .observe(at(110), TICK, true)
            .observe(at(130), TICK, true);
        assert_eq!(ticked.wall(deadline), at(150), "a late tick is no gap");
        let stalled = ticked.observe(at(1_130), TICK, true);
        assert_eq!(stalled.wall(deadline), at(150 + 1_000));
        assert!(stalled.uptime(at(1_130)) < deadline);
    }

    #[test]
    fn silence_without_an_open_window_is_no_gap() {
        let clock = Clock::default().observe(at(100), TICK, false);
        assert_eq!(
            clock.observe(at(9_000), TICK, false).uptime(at(9_000)),
            Uptime(at(9_000))
        );
    }

    #[test]
    fn uptime_never_goes_back() {
        let mut clock = Clock::default();
        let mut last = clock.uptime(at(0));
        for now in [5, 7, 7, 400, 401, 2_000, 2_001, 2_022, 90_000] {
            clock = clock.observe(at(now), TICK, true);
            let uptime = clock.uptime(at(now));
            assert!(uptime >= last, "at {now}");
            last = uptime;
        }
    }
}
