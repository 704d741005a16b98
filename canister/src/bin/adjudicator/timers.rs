//! What the canister does by itself: tick while a dispute is open, find out what became of
//! transfers, learn the ledgers' fees.
//!
//! A timer can be lost: with an upgrade, or when the message that it is run by is rejected. Each is
//! therefore armed again by any message that finds it missing or overdue.

use std::cell::Cell;
use std::time::Duration;

use ic_cdk_timers::set_timer;
use perun_canister::journal::JournalNumber;

use crate::state::{mutate, now, read};
use crate::transfer;

/// How often the journal is looked through while it is not empty.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// How many entries one look covers.
const ENTRIES_AT_ONCE: usize = 20;

thread_local! {
    static TICK: Timer = const { Timer::unarmed() };
    static RETRY: Timer = const { Timer::unarmed() };
    static RETRY_FROM: Cell<JournalNumber> = const { Cell::new(JournalNumber(0)) };
}

/// When a timer fires next, in ns since 1970; it may be lost before.
struct Timer {
    due_ns: Cell<Option<u64>>,
}

impl Timer {
    const fn unarmed() -> Self {
        Self {
            due_ns: Cell::new(None),
        }
    }

    /// When to fire, if the timer is to be armed now: not if it is armed already, unless it is
    /// overdue by a whole interval.
    fn arm(&self, interval: Duration) -> Option<u64> {
        let now_ns = now().nanos();
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

/// Arms what an earlier version, or the installation, needs.
pub fn arm_at_start() {
    arm();
    set_timer(Duration::ZERO, learn_fees());
}

/// Arms what is needed and not armed.
pub fn arm() {
    arm_tick();
    arm_retry();
}

/// Ticks as long as a window is open, so that a gap in which nothing ran shows.
fn arm_tick() {
    if !read(|adjudicator| adjudicator.has_open_window()) {
        return;
    }
    let interval = Duration::from_nanos(read(|adjudicator| adjudicator.config().tick_ns()));
    let Some(due_ns) = TICK.with(|timer| timer.arm(interval)) else {
        return;
    };
    set_timer(interval, async move {
        if TICK.with(|timer| timer.fire(due_ns)) {
            mutate(|_, _| ());
        }
    });
}

/// Looks after the journal as long as it is not empty.
fn arm_retry() {
    if !read(|adjudicator| adjudicator.has_journal()) {
        return;
    }
    let Some(due_ns) = RETRY.with(|timer| timer.arm(RETRY_INTERVAL)) else {
        return;
    };
    set_timer(RETRY_INTERVAL, async move {
        if RETRY.with(|timer| timer.fire(due_ns)) {
            retry_some();
        }
    });
}

/// Tries some entries again, each by a message of its own, so that a ledger that does not answer
/// holds up no other.
fn retry_some() {
    let start = RETRY_FROM.get();
    let due = mutate(|adjudicator, now| adjudicator.due(start, ENTRIES_AT_ONCE, now));
    RETRY_FROM.set(due.next);
    for number in due.numbers {
        set_timer(Duration::ZERO, async move {
            transfer::settle(number).await;
        });
    }
}

/// Asks all ledgers for their fees.
async fn learn_fees() {
    let ledgers = read(|adjudicator| adjudicator.config().ledgers().to_vec());
    for ledger in ledgers {
        // A ledger that does not answer now is asked again by the first deposit.
        let _ = transfer::refresh_fee(ledger).await;
    }
}
