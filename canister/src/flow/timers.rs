//! What the canister does by itself: tick while a dispute is open, find out what became of
//! transfers, learn the ledgers' fees.
//!
//! A timer can be lost: with an upgrade, or when the message that it is run by is rejected. Each is
//! therefore armed again by any message that finds it missing or overdue.

use std::cell::Cell;
use std::time::Duration;

use super::System;
use super::transfer::{refresh_fee, settle};
use crate::journal::JournalNumber;

/// How often the journal is looked through while it is not empty.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// How many entries one look covers.
const ENTRIES_AT_ONCE: usize = 20;

/// What a timer does when it fires.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Task {
    /// Gives a sign of life.
    Tick {
        /// When the timer was to fire, by which it is known; ns since 1970.
        due_ns: u64,
    },
    /// Looks through some of the journal.
    Retry {
        /// Likewise.
        due_ns: u64,
    },
    /// Tries an entry again.
    Settle(JournalNumber),
    /// Asks all ledgers for their fees.
    LearnFees,
}

/// The timers that repeat, and how far the journal was looked through.
#[derive(Default)]
pub(super) struct Timers {
    tick: Timer,
    retry: Timer,
    retry_from: Cell<JournalNumber>,
}

/// When a timer fires next, in ns since 1970; it may be lost before.
#[derive(Default)]
struct Timer {
    due_ns: Cell<Option<u64>>,
}

impl Timer {
    /// When to fire, if the timer is to be armed at `now_ns`: not if it is armed already, unless it
    /// is overdue by a whole interval.
    fn arm(&self, now_ns: u64, interval: Duration) -> Option<u64> {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let lost_at_ns = self
            .due_ns
            .get()
            .map(|due_ns| due_ns.saturating_add(interval_ns));
        if lost_at_ns.is_some_and(|lost_at_ns| now_ns < lost_at_ns) {
            return None;
        }
        let due_ns = now_ns.saturating_add(interval_ns);
        self.due_ns.set(Some(due_ns));
        Some(due_ns)
    }

    /// Whether the timer that was armed for `due_ns` is still the one that counts.
    fn fire(&self, due_ns: u64) -> bool {
        let counts = self.due_ns.get() == Some(due_ns);
        if counts {
            self.due_ns.set(None);
        }
        counts
    }
}

/// Certifies what there is, and arms what an earlier version, or the installation, needs: to be
/// called once by every new instance.
pub fn start(system: &impl System) {
    system.resume(|_, _| ());
    system.set_timer(Duration::ZERO, Task::LearnFees);
}

/// Arms what is needed and not armed: ticks as long as a window is open, so that a gap in which
/// nothing ran shows; looks after the journal as long as it is not empty.
pub(super) fn arm(system: &impl System) {
    let now_ns = system.now().nanos();
    if system.read(|adjudicator| adjudicator.has_open_window()) {
        let interval_ns = system.read(|adjudicator| adjudicator.config().tick_ns());
        let interval = Duration::from_nanos(interval_ns);
        if let Some(due_ns) = system.transient(|heap| heap.timers.tick.arm(now_ns, interval)) {
            system.set_timer(interval, Task::Tick { due_ns });
        }
    }
    if system.read(|adjudicator| adjudicator.has_journal()) {
        let armed = system.transient(|heap| heap.timers.retry.arm(now_ns, RETRY_INTERVAL));
        if let Some(due_ns) = armed {
            system.set_timer(RETRY_INTERVAL, Task::Retry { due_ns });
        }
    }
}

/// Carries out a task, as the message of its timer.
pub async fn run(system: &impl System, task: Task) {
    match task {
        Task::Tick { due_ns } => {
            if system.transient(|heap| heap.timers.tick.fire(due_ns)) {
                system.mutate(|_, _| ());
            }
        }
        Task::Retry { due_ns } => {
            if system.transient(|heap| heap.timers.retry.fire(due_ns)) {
                retry_some(system);
            }
        }
        Task::Settle(number) => {
            settle(system, number).await;
        }
        Task::LearnFees => learn_fees(system).await,
    }
}

/// Tries some entries again, each by a message of its own, so that a ledger that does not answer
/// holds up no other.
fn retry_some(system: &impl System) {
    let start = system.transient(|heap| heap.timers.retry_from.get());
    let due = system.mutate(|adjudicator, now| adjudicator.due(start, ENTRIES_AT_ONCE, now));
    system.transient(|heap| heap.timers.retry_from.set(due.next));
    for number in due.numbers {
        system.set_timer(Duration::ZERO, Task::Settle(number));
    }
}

async fn learn_fees(system: &impl System) {
    let ledgers = system.read(|adjudicator| adjudicator.config().ledgers().to_vec());
    for ledger in ledgers {
        // A ledger that does not answer now is asked again by the first deposit.
        let _ = refresh_fee(system, ledger).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_armed_once_until_it_fires_or_is_overdue() {
        let interval = Duration::from_nanos(10);
        let timer = Timer::default();
        assert_eq!(timer.arm(100, interval), Some(110));
        assert_eq!(timer.arm(101, interval), None);
        assert_eq!(timer.arm(119, interval), None, "it is late, not lost");
        assert_eq!(timer.arm(120, interval), Some(130));
        assert!(!timer.fire(110), "another one counts since");
        assert!(timer.fire(130));
        assert!(!timer.fire(130));
        assert_eq!(timer.arm(131, interval), Some(141));
    }
}
