//! What the canister's log tells its operators.

mod world;

use std::time::Duration;

use local_ic::{Fault, RejectCode};
use world::payout::{concluded, rejected};
use world::{ALICE, World, methods, user};

/// The lines about an event.
fn lines(world: &World, event: &str) -> Vec<String> {
    let lines = world.ic.debug_output(world.adjudicator).into_iter();
    lines
        .filter(|line| line.split(' ').nth(1) == Some(event))
        .collect()
}

#[test]
fn install_and_upgrade_are_logged() {
    let mut world = World::new();
    world.funded(1, [100, 100]);
    world.upgrade_adjudicator(None).unwrap();
    let installed = lines(&world, "installed");
    assert_eq!(installed.len(), 1);
    assert!(
        installed[0].starts_with("INFO installed version="),
        "{installed:?}"
    );
    let upgraded = lines(&world, "upgraded");
    assert!(upgraded[0].contains(" channels=1 "), "{upgraded:?}");
}

#[test]
fn what_goes_well_is_not_logged() {
    let mut world = World::new();
    let before = world.ic.debug_output(world.adjudicator).len();
    let channel = concluded(&mut world);
    let withdrawal = channel.withdrawing(0, ALICE, user(10));
    world.withdraw(withdrawal).unwrap();
    assert_eq!(world.ic.debug_output(world.adjudicator).len(), before);
}

#[test]
fn a_lost_answer_is_logged() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.strike_transfers(1, Fault::LoseReply);
    world.try_withdraw(channel.withdrawing(0, ALICE, user(10)));
    let lost = lines(&world, "outcome_unknown");
    assert_eq!(lost.len(), 1, "{lost:?}");
    for fact in ["WARN ", "amount=90 ", "fee=10 ", "attempt=1 "] {
        assert!(lost[0].contains(fact), "{fact} is not in {lost:?}");
    }
}

#[test]
fn a_caller_cannot_fill_the_log_with_refusals() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.strike_transfers(10, rejected(RejectCode::SysTransient));
    let withdrawal = channel.withdrawing(0, ALICE, user(10));
    for _ in 0..5 {
        world.try_withdraw(withdrawal.clone());
    }
    let refused = lines(&world, "ledger_refused");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].ends_with("left_out=0"), "{refused:?}");
    world.ic.advance(Duration::from_secs(61));
    world.try_withdraw(withdrawal);
    let refused = lines(&world, "ledger_refused");
    assert!(refused[1].ends_with("left_out=4"), "{refused:?}");
}

/// A message that traps is in the log; one that is not accepted is not even executed.
#[test]
fn a_caller_cannot_fill_the_log_with_garbage() {
    let mut world = World::new();
    let before = world.ic.debug_output(world.adjudicator).len();
    for (method, _) in methods().into_iter().filter(|(_, takes_any)| *takes_any) {
        for garbage in [&b"x"[..], b"DIDL\0\0", &[0; 50_000]] {
            world.ic.clear_executions();
            let refused = world
                .ic
                .update(user(3), world.adjudicator, &method, garbage.to_vec());
            let refused = refused.unwrap_err();
            assert!(refused.message.contains("decode"), "{method}: {refused:?}");
            let executed: Vec<_> = world.ic.executions().map(|run| run.entry.clone()).collect();
            assert_eq!(executed, ["inspect_message"], "{method}");
        }
    }
    assert_eq!(world.ic.debug_output(world.adjudicator).len(), before);
}

#[test]
fn a_gap_is_logged() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .dispute(channel.disputing(1, &[50, 150], &[100, 100]))
        .unwrap();
    world.stop_adjudicator();
    world.ic.advance(Duration::from_secs(300));
    world.ic.start(world.adjudicator).unwrap();
    world.ic.advance(Duration::from_secs(10));
    let gaps = lines(&world, "gap");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].starts_with("WARN gap length_s=30"), "{gaps:?}");
}
