//! Every order in which two machines can act, lose and crash, within a bounded number of each.
//!
//! The machines, their stores and their messages are the real ones; only signatures are cheap. A
//! state of this world is everything that decides what can happen next. From each state every
//! possible action is tried, and every state is entered once. What is checked is said in [`check`].

#[path = "../channel/world/mod.rs"]
mod world;

mod graph;
mod machine;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::graph::{Budget, Exploration, Fault};
use crate::world::{ALICE, BOB, Plan};

/// Explores everything and says how much that was.
fn explore(name: &str, plan: &Plan, budget: Budget) -> usize {
    let start = Instant::now();
    let (states, moves) = Exploration::new(plan, budget, Fault::None).run();
    let took = start.elapsed().as_millis();
    println!("{name}: {states} states, {moves} moves, {took} ms");
    states
}

fn plan() -> Plan {
    Plan::of([20, 20])
}

#[test]
fn crossing_payments_over_a_link_that_breaks() {
    let budget = Budget {
        payments: [3, 2],
        cuts: 2,
        repeats: 1,
        ..Budget::default()
    };
    assert!(explore("payments, cuts", &plan(), budget) > 1_000);
}

#[test]
fn crossing_payments_and_crashes() {
    let budget = Budget {
        payments: [2, 2],
        cuts: 1,
        crashes: [1, 1],
        ..Budget::default()
    };
    assert!(explore("payments, crashes", &plan(), budget) > 1_000);
}

#[test]
fn crossing_payments_and_old_copies() {
    for old in [ALICE, BOB] {
        let mut budget = Budget {
            payments: [2, 2],
            cuts: 1,
            ..Budget::default()
        };
        budget.copies[old] = 1;
        assert!(explore("payments, old copy", &plan(), budget) > 1_000);
    }
}

#[test]
fn closing_while_payments_cross() {
    let budget = Budget {
        payments: [1, 1],
        closings: [1, 1],
        cuts: 1,
        crashes: [1, 1],
        ..Budget::default()
    };
    assert!(explore("closing, crashes", &plan(), budget) > 1_000);
}

#[test]
fn an_owner_who_decides() {
    for asks in [ALICE, BOB] {
        let mut budget = Budget {
            payments: [1, 1],
            refusals: 1,
            cuts: 1,
            crashes: [1, 1],
            ..Budget::default()
        };
        budget.payments[1 - asks] = 2;
        assert!(explore("asking, crashes", &plan().asking(asks), budget) > 1_000);
    }
}

#[test]
fn owners_who_decide_and_old_copies() {
    for old in [ALICE, BOB] {
        let mut budget = Budget {
            payments: [2, 1],
            refusals: 1,
            cuts: 1,
            ..Budget::default()
        };
        budget.copies[old] = 1;
        let plan = plan().asking(ALICE).asking(BOB);
        assert!(explore("asking, old copy", &plan, budget) > 1_000);
    }
}

#[test]
fn time_passes_in_between() {
    let budget = Budget {
        payments: [2, 1],
        ticks: 2,
        cuts: 1,
        repeats: 1,
        ..Budget::default()
    };
    assert!(explore("payments, time", &plan(), budget) > 1_000);
}

#[test]
fn closing_is_refused_and_a_side_crashes_or_is_an_old_copy() {
    for closer in [ALICE, BOB] {
        let mut budget = Budget {
            refusals: 1,
            cuts: 1,
            ..Budget::default()
        };
        budget.payments[closer] = 1;
        budget.closings[closer] = 1;
        budget.crashes[closer] = 1;
        budget.copies[closer] = 1;
        let plan = plan().asking(1 - closer);
        assert!(explore("refused closing, old copy", &plan, budget) > 1_000);
    }
}

/// What the exploration finds if those who carry the outputs out do it wrongly.
fn found_with(fault: Fault) -> String {
    let budget = Budget {
        payments: [2, 1],
        cuts: 1,
        crashes: [1, 1],
        ..Budget::default()
    };
    // What an owner who is asked has not answered dies with a crash of its side. Without that the
    // other side always shows what was forgotten, and the fault heals.
    let plan = plan().asking(BOB);
    let run = AssertUnwindSafe(|| Exploration::new(&plan, budget, fault).run());
    let found = catch_unwind(run).expect_err("it finds something");
    *found.downcast::<String>().expect("it says what")
}

#[test]
fn sending_before_storing_is_found() {
    let found = found_with(Fault::SendsFirst);
    assert!(found.contains("signed version 1 twice"), "{found}");
}

#[test]
fn storing_too_late_is_found() {
    let found = found_with(Fault::StoresLater);
    assert!(found.contains("twice"), "{found}");
}
