//! One timer for all channels.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use perun_protocol::Timestamp;
use tokio::sync::Notify;

use super::Driver;
use crate::chain::Clock;

/// A timer fires so much later than now at the earliest, so that nothing can make it spin.
const SHORTEST: Duration = Duration::from_millis(1);
/// The adjudicator's clock, by which instants are told, may be corrected meanwhile.
const LONGEST: Duration = Duration::from_secs(5);

/// Which channels wait for which instant on the adjudicator's clock.
#[derive(Default)]
pub(crate) struct Timers {
    waiting: Mutex<Waiting>,
    earlier: Notify,
}

#[derive(Default)]
struct Waiting {
    drivers: BTreeMap<(Timestamp, u64), Weak<Driver>>,
    /// Tells those apart that wait for the same instant.
    count: u64,
}

impl Timers {
    pub(super) fn add(&self, due: Timestamp, driver: &Arc<Driver>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = waiting
            .drivers
            .keys()
            .next()
            .is_none_or(|(first, _)| due < *first);
        waiting.count += 1;
        let key = (due, waiting.count);
        waiting.drivers.insert(key, Arc::downgrade(driver));
        drop(waiting);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Fires timers for ever. It can be dropped at any time.
    pub(crate) async fn run(&self, clock: &Clock) {
        loop {
            let now = clock.now().unwrap_or_default();
            let (due, next) = self.take_due(now);
            for driver in &due {
                driver.fire();
            }
            let pause = match next {
                None => LONGEST,
                Some(next) => Duration::from_nanos(next.nanos_since(now)).clamp(SHORTEST, LONGEST),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Those whose time has come, and the instant that the next one waits for.
    fn take_due(&self, now: Timestamp) -> (Vec<Arc<Driver>>, Option<Timestamp>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let later = waiting.drivers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut waiting.drivers, later);
        let next = waiting.drivers.keys().next().map(|(next, _)| *next);
        let due = due.into_values().filter_map(|driver| driver.upgrade());
        (due.collect(), next)
    }
}
