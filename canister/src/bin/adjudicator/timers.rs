//! What the canister does by itself: tick while a dispute is open, find out what became of
//! transfers, learn the ledgers' fees. Timers die with an upgrade and are armed again after it.

use std::cell::Cell;
use std::time::Duration;

use ic_cdk_timers::set_timer;
use perun_canister::journal::JournalNumber;

use crate::state::{now, observe, read};
use crate::transfer;

/// How often the journal is looked through while it is not empty.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// How many entries one look covers.
const ENTRIES_AT_ONCE: usize = 20;

thread_local! {
    static TICK_ARMED: Cell<bool> = const { Cell::new(false) };
    static RETRY_ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Arms what an earlier version, or the installation, needs.
pub fn arm_at_start() {
    arm_tick();
    arm_retry();
    set_timer(Duration::ZERO, learn_fees());
}

/// Ticks as long as a window is open, so that a gap in which nothing ran shows.
pub fn arm_tick() {
    if !read(|adjudicator| adjudicator.has_open_window()) || TICK_ARMED.replace(true) {
        return;
    }
    let interval = read(|adjudicator| adjudicator.config().tick_ns());
    set_timer(Duration::from_nanos(interval), async {
        TICK_ARMED.set(false);
        observe();
        arm_tick();
    });
}

/// Looks after the journal as long as it is not empty.
pub fn arm_retry() {
    if !read(|adjudicator| adjudicator.has_journal()) || RETRY_ARMED.replace(true) {
        return;
    }
    set_timer(RETRY_INTERVAL, async {
        RETRY_ARMED.set(false);
        arm_retry();
        retry_due().await;
    });
}

async fn retry_due() {
    let mut start = Some(JournalNumber(0));
    while let Some(from) = start {
        let due = read(|adjudicator| adjudicator.due(from, ENTRIES_AT_ONCE, now()));
        for number in due.numbers {
            transfer::settle(number).await;
        }
        start = due.next;
    }
}

async fn learn_fees() {
    let ledgers = read(|adjudicator| adjudicator.config().ledgers().to_vec());
    for ledger in ledgers {
        // A ledger that does not answer now is asked again by the first deposit.
        let _ = transfer::fee(ledger).await;
    }
}
