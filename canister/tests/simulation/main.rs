//! The adjudicator under a seeded simulation at the level of messages: the real rules and the real
//! flows, over a model of ledgers, with everything that may happen on the Internet Computer at and
//! between any two awaits.
//!
//! ```text
//!   seed ──> steps ──> flows (perun_canister::flow) ──asks──> ledger model
//!                         │                                      │
//!                      adjudicator ───────── books ──────────────┘   agree after every step
//! ```
//!
//! A failure names its seed; `PERUN_SEED=… cargo test -p perun-canister --test simulation -- --nocapture
//! seeded` tells that history step by step. `PERUN_STEPS` asks for more or fewer steps.

mod books;
mod cast;
mod certificates;
mod coverage;
mod ending;
mod history;
mod ledger;
mod played;
mod quiet;
mod random;
mod sim;
mod small;
mod stage;
mod step;
#[path = "../world/mod.rs"]
mod world;

use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Instant;

use coverage::Coverage;

/// How many steps all histories have together.
const STEPS: u64 = 1_000_000;
/// How many each of them has.
const STEPS_OF_ONE: u64 = 2_000;
const FIRST_SEED: u64 = 0x5eed_0000_0000_0000;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.replace('_', "").parse(),
    };
    Some(number.unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

/// What came of some histories.
#[derive(Default)]
struct Tally {
    histories: u64,
    steps: u64,
    events: u64,
    coverage: Coverage,
}

#[test]
fn seeded_histories_keep_all_promises() {
    if let Some(seed) = number_from("PERUN_SEED") {
        history::play(seed, STEPS_OF_ONE, true);
        return;
    }
    let steps = number_from("PERUN_STEPS").unwrap_or(STEPS);
    let began = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let workers: Vec<_> = (0..threads)
        .map(|worker| thread::spawn(move || play_some(worker, threads, steps / threads)))
        .collect();
    let mut all = Tally::default();
    for worker in workers {
        let tally = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        all.histories += tally.histories;
        all.steps += tally.steps;
        all.events += tally.events;
        all.coverage.add(&tally.coverage);
    }
    // Straight to the terminal, so that it is seen although the test passes.
    writeln!(
        io::stderr(),
        "{} steps in {} histories, {} events, {:.1} s",
        all.steps,
        all.histories,
        all.events,
        began.elapsed().as_secs_f64()
    )
    .unwrap();
    if steps >= STEPS {
        all.coverage.assert_complete();
    }
}

fn play_some(worker: u64, threads: u64, steps: u64) -> Tally {
    let mut tally = Tally::default();
    while tally.steps < steps {
        let seed = FIRST_SEED + worker + threads * tally.histories;
        let played = catch_unwind(AssertUnwindSafe(|| {
            history::play(seed, STEPS_OF_ONE, false)
        }));
        let sim = played.unwrap_or_else(|panic| {
            eprintln!(
                "\nThis history alone: PERUN_SEED={seed:#x} cargo test -p perun-canister --test \
                 simulation -- --nocapture seeded\n"
            );
            resume_unwind(panic)
        });
        tally.histories += 1;
        tally.steps += sim.steps;
        tally.events += sim.books.seen;
        tally.coverage.add(&sim.books.coverage);
    }
    tally
}

#[test]
fn a_seed_always_tells_the_same_history() {
    for seed in 0..3 {
        let traces: Vec<_> = (0..3)
            .map(|_| history::play(seed, STEPS_OF_ONE, false).trace())
            .collect();
        assert_eq!(traces[0], traces[1]);
        assert_eq!(traces[0], traces[2]);
    }
}
