//! What stops, lost ticks and late answers do to a window: only time in which the canister ran counts.

mod world;

use std::time::Duration;

use local_ic::{Fault, RejectCode, Status, Target, Until};
use perun_canister_api::ConcludeError;
use world::{ALICE, CHALLENGE_S, World, user};

const WINDOW: Duration = Duration::from_secs(CHALLENGE_S as u64);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_stopped_canister_gives_the_time_back() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .dispute(channel.disputing(0, &[100, 100], &[100, 100]))
        .unwrap();
    world.ic.stop(world.adjudicator).unwrap();
    world.ic.run();
    world.ic.advance(2 * WINDOW);
    world.ic.start(world.adjudicator).unwrap();
    world.ic.advance(SECOND);
    let early = world.conclude(channel.concluding_elapsed());
    assert!(
        matches!(early, Err(ConcludeError::ChallengeOpen { .. })),
        "{early:?}"
    );
    world
        .dispute(channel.disputing(1, &[30, 170], &[100, 100]))
        .unwrap();
}

/// Whatever happens to the message that a timer is run by, the next message arms it again.
#[test]
fn a_lost_tick_is_found_missing() {
    let faults = [
        Fault::StopCallee,
        Fault::RejectBefore {
            code: RejectCode::CanisterError,
            message: "on purpose".into(),
        },
        Fault::Trap {
            after_instructions: 100,
        },
    ];
    for fault in faults {
        let mut world = World::new();
        let channel = world.funded(1, [100, 100]);
        world
            .dispute(channel.disputing(0, &[100, 100], &[100, 100]))
            .unwrap();
        let lost = Target::call().method("<ic-cdk internal> timer_executor");
        let rule = world.ic.faults().add(lost, fault.clone());
        world.ic.advance(WINDOW / 4);
        assert_eq!(world.ic.faults().fired(rule), 1, "{fault:?}");
        if world.ic.canister(world.adjudicator).unwrap().status != Status::Running {
            world.ic.start(world.adjudicator).unwrap();
        }
        // Any message will do.
        let early = world.conclude(channel.concluding_elapsed());
        assert!(
            matches!(early, Err(ConcludeError::ChallengeOpen { .. })),
            "{early:?}"
        );
        world.ic.advance(2 * WINDOW);
        let conclusion = world.conclude(channel.concluding_elapsed());
        assert_eq!(conclusion.unwrap().remainders, [[100, 100]], "{fault:?}");
    }
}

#[test]
fn answers_of_ledgers_are_no_sign_of_life() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let other = world.funded(2, [100, 100]);
    world
        .conclude(other.concluding(1, &[100, 100], &[100, 100]))
        .unwrap();
    let ledger = world.ledgers[0];
    world.ic.faults().add(
        Target::call().to(ledger).method("icrc1_transfer"),
        Fault::DelayReply(Until::Elapsed(Duration::from_secs(200))),
    );
    let registered = world
        .dispute(channel.disputing(0, &[100, 100], &[100, 100]))
        .unwrap();
    world.submit("withdraw", other.withdrawing(0, ALICE, user(10)));
    world.ic.run();
    // It is stopping for 200 s and takes nothing in, but the answer that it waits for arrives.
    world.stop_adjudicator();
    world.ic.start(world.adjudicator).unwrap();
    world.ic.advance(SECOND);
    world
        .dispute(channel.disputing(1, &[100, 100], &[100, 100]))
        .unwrap();
    let timeout_ns = world.registered(&channel).unwrap().timeout_ns;
    let moved = Duration::from_nanos(timeout_ns - registered.timeout_ns);
    assert!(moved >= Duration::from_secs(199), "moved by {moved:?}");
}
