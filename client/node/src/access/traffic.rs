//! How much one caller asks at once.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use crate::Error;

/// How much one caller may ask at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Calls that run at the same time; subscriptions are calls.
    pub concurrent_calls: u32,
    /// Calls a second.
    pub calls_per_s: u32,
}

impl Default for Limits {
    /// More than a person or an honest program asks for.
    fn default() -> Self {
        Self {
            concurrent_calls: 4_096,
            calls_per_s: 20_000,
        }
    }
}

/// The calls of one caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    running: AtomicU32,
    rate: Rate,
}

/// A call that runs; until it is dropped.
#[derive(Debug)]
pub(super) struct Running(Arc<Counts>);

impl Traffic {
    /// Lets a call begin, if there are not too many.
    pub(super) fn begin(&self, limits: &Limits, now_ns: u64) -> Result<Running, Error> {
        let counts = &self.0;
        // Counted first, and taken back when dropped: two that come at once can't both be the last.
        let others = counts.running.fetch_add(1, Ordering::AcqRel);
        let running = Running(counts.clone());
        if others >= limits.concurrent_calls {
            return Err(Error::ResourceExhausted {
                message: format!("{others} calls of this caller run already; end some first"),
            });
        }
        let per_s = limits.calls_per_s;
        if !counts.rate.allows(now_ns, per_s, per_s) {
            return Err(Error::ResourceExhausted {
                message: format!("this caller makes more than {per_s} calls a second; slow down"),
            });
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A bound on how often something happens: when the next one were due, if they came evenly and no
/// sooner than allowed. (The generic cell rate algorithm.)
#[derive(Debug, Default)]
pub(super) struct Rate {
    due_ns: AtomicU64,
}

impl Rate {
    /// Counts one, if it may happen now: `per_s` a second, and `burst` at once after a pause.
    pub(super) fn allows(&self, now_ns: u64, per_s: u32, burst: u32) -> bool {
        let interval = 1_000_000_000 / u64::from(per_s.max(1));
        let early = interval * u64::from(burst.saturating_sub(1));
        let update = |due: u64| {
            let is_early = due > now_ns.saturating_add(early);
            (!is_early).then(|| due.max(now_ns).saturating_add(interval))
        };
        let due_ns = &self.due_ns;
        due_ns
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, update)
            .is_ok()
    }

    /// Whether it is as if nothing had happened.
    pub(super) fn is_idle(&self, now_ns: u64) -> bool {
        self.due_ns.load(Ordering::Acquire) <= now_ns
    }
}

/// Nanoseconds since the first call of this function.
pub(super) fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limits(concurrent_calls: u32, calls_per_s: u32) -> Limits {
        Limits {
            concurrent_calls,
            calls_per_s,
        }
    }

    #[test]
    fn so_many_run_at_once_and_no_more() {
        let traffic = Traffic::default();
        let limits = limits(2, 1000);
        let first = traffic.begin(&limits, 0).unwrap();
        let _second = traffic.begin(&limits, 0).unwrap();
        for _ in 0..3 {
            let error = traffic.begin(&limits, 0).unwrap_err();
            assert!(matches!(error, Error::ResourceExhausted { .. }));
        }
        drop(first);
        traffic.begin(&limits, 0).unwrap();
    }

    #[test]
    fn so_many_a_second_and_no_more() {
        let rate = Rate::default();
        let allowed = |now_ns| (0..1000).filter(|_| rate.allows(now_ns, 10, 10)).count();
        assert_eq!(allowed(0), 10);
        assert_eq!(allowed(0), 0);
        assert_eq!(allowed(SECOND / 10), 1);
        assert_eq!(allowed(SECOND / 2), 4);
        // A long pause does not add up.
        assert_eq!(allowed(100 * SECOND), 10);
        assert!(!rate.is_idle(100 * SECOND));
        assert!(rate.is_idle(101 * SECOND));
    }

    #[test]
    fn a_second_is_counted_whatever_came_before() {
        let traffic = Traffic::default();
        let limits = limits(u32::MAX, 3);
        let begun = |now_ns| {
            let begun = (0..10).filter(|_| traffic.begin(&limits, now_ns).is_ok());
            begun.count()
        };
        assert_eq!(begun(7 * SECOND), 3);
        assert_eq!(begun(8 * SECOND), 3);
    }
}
