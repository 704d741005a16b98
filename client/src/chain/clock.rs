//! The adjudicator's clock, as far as it is known here.
//!
//! ```text
//!   sent ───────── the adjudicator says T ───────── received
//!    └─ now is at most T + (now − sent)               └─ now is at least T + (now − received)
//! ```
//!
//! This machine's idea of the date is never asked for, so it may be wrong and may jump. Only its
//! monotonic clock counts, and only from one answer to the next.
//!
//! What is told is the latest that it can be there. So a view looks as old as it may be, and never
//! younger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perun_protocol::Timestamp;
use tokio::time::Instant;

/// Two clocks may run apart by one part in so many. Quartz is ten times better.
const DRIFT: u64 = 1_000;

/// The adjudicator's clock, as far as it is known here. Clones are the same clock.
///
/// It stands still while the machine is suspended, until the next answer of the adjudicator.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    bounds: Option<Bounds>,
    /// The latest time told; what is told never goes back.
    told: Timestamp,
}

/// What time it is there at an instant here.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    at: Instant,
    earliest: Timestamp,
    latest: Timestamp,
}

impl Clock {
    /// The latest that it can be at the adjudicator by now; `None` until it was asked once. It never
    /// goes back.
    ///
    /// It errs towards late: a timeout that seems to have passed may not have, so whoever refutes
    /// goes on until the adjudicator itself says that it is over.
    pub fn now(&self) -> Option<Timestamp> {
        let mut known = self.known();
        let bounds = known.bounds?.moved_to(Instant::now());
        known.told = known.told.max(bounds.latest);
        Some(known.told)
    }

    /// How long ago something was seen that was certainly so at `at`, at most; `None` until the
    /// adjudicator was asked once.
    pub fn age(&self, at: Timestamp) -> Option<Duration> {
        let age_ns = self.now()?.nanos_since(at);
        Some(Duration::from_nanos(age_ns))
    }

    /// Takes in that the adjudicator has just answered that it is `time`, to a question that was
    /// sent not earlier than at `sent`.
    ///
    /// Answers that took long say little and change nothing. One that contradicts what was known
    /// shows that one of the clocks has jumped, and counts alone.
    pub fn observe(&self, time: Timestamp, sent: Instant) {
        let now = Instant::now();
        let answer = Bounds {
            at: now,
            earliest: time,
            latest: time.saturating_add_nanos(nanos(now.saturating_duration_since(sent))),
        };
        let mut known = self.known();
        let both = known.bounds.and_then(|bounds| bounds.and(answer));
        known.bounds = Some(both.unwrap_or(answer));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bounds {
    fn moved_to(self, at: Instant) -> Self {
        let passed_ns = nanos(at.saturating_duration_since(self.at));
        let drift_ns = passed_ns / DRIFT;
        Self {
            at: self.at.max(at),
            earliest: self.earliest.saturating_add_nanos(passed_ns - drift_ns),
            latest: self.latest.saturating_add_nanos(passed_ns + drift_ns),
        }
    }

    /// What both say, `None` if they contradict each other.
    fn and(self, other: Self) -> Option<Self> {
        let at = self.at.max(other.at);
        let (one, other) = (self.moved_to(at), other.moved_to(at));
        let earliest = one.earliest.max(other.earliest);
        let latest = one.latest.min(other.latest);
        (earliest <= latest).then_some(Self {
            at,
            earliest,
            latest,
        })
    }
}

/// Half of the range is 292 years, so that adding drift to it never overflows.
fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).map_or(u64::MAX / 2, |nanos| nanos.min(u64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    /// An answer with this time that took so long.
    async fn answer(clock: &Clock, millis: u64, took: Duration) {
        let sent = Instant::now();
        advance(took).await;
        clock.observe(at(millis), sent);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_be_as_old_as_its_question() {
        let clock = Clock::default();
        assert_eq!((clock.now(), clock.age(at(0))), (None, None));
        answer(&clock, 100_000, 2 * SECOND).await;
        assert_eq!(clock.now(), Some(at(102_000)));
        advance(10 * SECOND).await;
        // Ten seconds here are at most this there.
        assert_eq!(clock.now(), Some(at(112_010)));
        assert_eq!(clock.age(at(100_010)), Some(12 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quicker_answer_says_more_and_a_slower_one_nothing() {
        let clock = Clock::default();
        answer(&clock, 100_000, 5 * SECOND).await;
        let before = clock.now();
        assert_eq!(before, Some(at(105_000)));
        answer(&clock, 104_000, SECOND / 2).await;
        assert_eq!(clock.now(), before, "what was told never goes back");
        advance(SECOND).await;
        assert_eq!(clock.now(), Some(at(105_501)));
        answer(&clock, 105_700, 60 * SECOND).await;
        let slow = clock.now().unwrap();
        assert!(slow < at(165_600), "{slow}: not 165 700");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_there_is_followed() {
        let clock = Clock::default();
        answer(&clock, 100_000, SECOND).await;
        // A replica that stood still, or a test that moves time.
        answer(&clock, 9_000_000, SECOND).await;
        assert_eq!(clock.now(), Some(at(9_001_000)));
        // Another that is behind: it is waited for.
        answer(&clock, 5_000_000, SECOND).await;
        assert_eq!(clock.now(), Some(at(9_001_000)));
        advance(4_000 * SECOND).await;
        assert_eq!(clock.now(), Some(at(9_001_000 + 4_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn clones_are_one_clock() {
        let clock = Clock::default();
        answer(&clock.clone(), 100_000, SECOND).await;
        assert_eq!(clock.now(), Some(at(101_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_time_is_no_panic() {
        let clock = Clock::default();
        clock.observe(Timestamp::from_nanos(u64::MAX), Instant::now());
        advance(SECOND).await;
        assert_eq!(clock.now(), Some(Timestamp::from_nanos(u64::MAX)));
    }
}
