//! Time: timers, heartbeats, deadlines, stopping, and gaps in which nothing ran.

mod world;

use local_ic::{Config, IngressStatus, Replica, Status};
use std::time::Duration;
use world::calls::{CALLEE, CALLER, Outcome, order};
use world::{World, assert_rejected, number, user};

const SECOND_NS: u64 = 1_000_000_000;

const TIMER: &str = r#"
  (global $runs (mut i64) (i64.const 0))
  (global $every (mut i64) (i64.const 0))
  (func (export "canister_update set")
    (drop (call $arg))
    (call $answer_i64 (call $global_timer_set (i64.load (i32.const 1000)))))
  (func (export "canister_update every")
    (drop (call $arg))
    (global.set $every (i64.load (i32.const 1000)))
    (drop (call $global_timer_set (i64.add (call $time) (global.get $every))))
    (call $msg_reply))
  (func (export "canister_global_timer")
    (global.set $runs (i64.add (global.get $runs) (i64.const 1)))
    (if (i64.ne (global.get $every) (i64.const 0))
      (then (drop (call $global_timer_set (i64.add (call $time) (global.get $every)))))))
  (func (export "canister_query runs") (call $answer_i64 (global.get $runs)))
  (func (export "canister_query time") (call $answer_i64 (call $time)))
"#;

#[test]
fn a_timer_runs_once_when_it_is_due() {
    let mut world = World::new();
    let id = world.install(TIMER);
    let due = world.ic.time_ns() + 10 * SECOND_NS;
    assert_eq!(world.number(id, "set", &due.to_le_bytes()), 0);
    world.ic.advance(Duration::from_secs(9));
    assert_eq!(world.ask(id, "runs"), 0);
    assert_eq!(world.ic.canister(id).unwrap().timer_ns, due);
    world.ic.advance(Duration::from_secs(1));
    assert_eq!(world.ask(id, "runs"), 1);
    assert_eq!(world.ic.canister(id).unwrap().timer_ns, 0);
    world.ic.advance(Duration::from_secs(1_000));
    assert_eq!(world.ask(id, "runs"), 1);
}

#[test]
fn setting_a_timer_tells_the_one_before_and_zero_turns_it_off() {
    let mut world = World::new();
    let id = world.install(TIMER);
    let due = world.ic.time_ns() + SECOND_NS;
    world.number(id, "set", &due.to_le_bytes());
    assert_eq!(world.number(id, "set", &0u64.to_le_bytes()), due);
    assert_eq!(world.number(id, "set", &0u64.to_le_bytes()), 0);
    world.ic.advance(Duration::from_secs(10));
    assert_eq!(world.ask(id, "runs"), 0);
    // One in the past is due at once.
    world.number(id, "set", &1u64.to_le_bytes());
    assert_eq!(world.ask(id, "runs"), 1);
}

#[test]
fn time_moves_in_steps_and_a_gap_is_one() {
    let mut world = World::new();
    let id = world.install(TIMER);
    world.update(id, "every", &SECOND_NS.to_le_bytes()).unwrap();
    world.ic.advance(Duration::from_secs(60));
    assert_eq!(world.ask(id, "runs"), 60);
    world.ic.skip(Duration::from_secs(60));
    assert_eq!(world.ask(id, "runs"), 60);
    world.ic.run();
    assert_eq!(world.ask(id, "runs"), 61);
}

#[test]
fn a_long_wait_is_short_when_nothing_is_due() {
    let mut world = World::new();
    let id = world.install(TIMER);
    let start = world.ic.time_ns();
    let due = start + 400 * 86_400 * SECOND_NS + SECOND_NS / 2;
    world.number(id, "set", &due.to_le_bytes());
    world.ic.advance(Duration::from_secs(500 * 86_400));
    assert_eq!(world.ask(id, "runs"), 1);
    // It ran at the first whole step after it was due, not at the end.
    let ran = world
        .ic
        .executions()
        .find(|it| it.entry == "timer")
        .unwrap();
    assert_eq!(ran.time_ns, due + SECOND_NS / 2);
    assert_eq!(world.ic.time_ns(), start + 500 * 86_400 * SECOND_NS);
}

#[test]
fn time_has_an_end_at_which_nothing_overflows() {
    let mut world = World::new();
    let timer = world.install(TIMER);
    let pair = (world.install(CALLER), world.install(CALLEE));
    world.number(timer, "set", &u64::MAX.to_le_bytes());
    world.ic.advance(Duration::MAX);
    assert_eq!(world.ask(timer, "time"), u64::MAX);
    assert_eq!(world.ask(timer, "runs"), 1);
    // Every deadline has come, so the call is over before it begins, and its answer forgotten.
    let arg = order(pair.1, 0, 30, "ok");
    let message = world.ic.submit_anew(user(), pair.0, "call", arg).unwrap();
    world.ic.advance(Duration::MAX);
    assert_eq!(world.ic.status(&message), IngressStatus::Done);
    assert_eq!(world.ask(pair.1, "count"), 0);
    assert_eq!(world.ic.time_ns(), u64::MAX);
}

#[test]
fn a_timer_that_sets_itself_to_now_does_not_run_for_ever() {
    let mut world = World::new();
    let id = world.install(
        r#"(global $runs (mut i64) (i64.const 0))
        (func $set (drop (call $global_timer_set (call $time))))
        (func (export "canister_update go") (call $set) (call $msg_reply))
        (func (export "canister_global_timer")
          (global.set $runs (i64.add (global.get $runs) (i64.const 1))) (call $set))
        (func (export "canister_query runs") (call $answer_i64 (global.get $runs)))"#,
    );
    world.update(id, "go", b"").unwrap();
    let runs = world.ask(id, "runs");
    assert!(runs > 0);
    world.ic.advance(Duration::from_secs(1));
    assert!(world.ask(id, "runs") > runs);
}

#[test]
fn a_trapping_timer_is_off_and_its_changes_are_gone() {
    let mut world = World::new();
    let id = world.install(
        r#"(global $g (mut i32) (i32.const 0))
        (func (export "canister_update go")
          (drop (call $global_timer_set (i64.const 1))) (call $msg_reply))
        (func (export "canister_global_timer")
          (global.set $g (i32.const 1))
          (drop (call $global_timer_set (i64.const 5))) (unreachable))
        (func (export "canister_query g") (call $answer_i32 (global.get $g)))"#,
    );
    world.update(id, "go", b"").unwrap();
    assert_eq!(world.ask(id, "g"), 0);
    assert_eq!(world.ic.canister(id).unwrap().timer_ns, 0);
}

#[test]
fn heartbeats_beat_once_a_step() {
    let mut world = World::new();
    let id = world.install(
        r#"(global $beats (mut i32) (i32.const 0))
        (func (export "canister_heartbeat")
          (call $msg_caller_copy (i32.const 8) (i32.const 0) (call $msg_caller_size))
          (if (call $msg_caller_size) (then (unreachable)))
          (global.set $beats (i32.add (global.get $beats) (i32.const 1))))
        (func (export "canister_query beats") (call $answer_i32 (global.get $beats)))"#,
    );
    world.ic.run();
    assert_eq!(world.ask(id, "beats"), 0);
    world.ic.advance(Duration::from_millis(3_500));
    assert_eq!(world.ask(id, "beats"), 4);
    world.ic.stop(id).unwrap();
    world.ic.advance(Duration::from_secs(3));
    world.ic.start(id).unwrap();
    assert_eq!(world.ask(id, "beats"), 4);
}

#[test]
fn the_step_can_be_chosen() {
    let config = Config {
        step: Duration::from_millis(100),
        ..Config::default()
    };
    let mut world = World {
        ic: Replica::new(config),
    };
    let id = world.install(TIMER);
    world.update(id, "every", &1u64.to_le_bytes()).unwrap();
    world.ic.advance(Duration::from_secs(1));
    assert_eq!(world.ask(id, "runs"), 10);
}

#[test]
fn time_is_the_same_in_every_canister_and_never_goes_back() {
    let mut world = World::new();
    let ids = [world.install(TIMER), world.install(TIMER)];
    let mut last = 0;
    for _ in 0..5 {
        let times = ids.map(|id| world.ask(id, "time"));
        assert_eq!(times[0], times[1]);
        assert!(times[0] > last);
        last = times[0];
        world.ic.advance(Duration::from_nanos(1));
    }
}

#[test]
fn a_bounded_wait_ends_at_its_deadline_with_an_unknown_outcome() {
    let mut world = World::new();
    let caller = world.install(CALLER);
    let callee = world.install(CALLEE);
    let rule = world.ic.faults().add(
        local_ic::Target::call().to(callee),
        local_ic::Fault::DelayReply(local_ic::Until::Released),
    );
    let arg = order(callee, 1_000, 30, "half");
    let message = world.ic.submit_anew(user(), caller, "call", arg).unwrap();
    let held = world.ic.canister(caller).unwrap().cycles;
    world.ic.advance(Duration::from_secs(29));
    assert_eq!(world.ic.status(&message), IngressStatus::Processing);
    world.ic.advance(Duration::from_secs(1));
    let IngressStatus::Replied(answer) = world.ic.status(&message) else {
        panic!("answered at the deadline");
    };
    assert_eq!(Outcome::parse(&answer).code(), 6);
    // The late reply is dropped, and the refund in it is lost.
    world.ic.faults().release(rule);
    world.ic.run();
    assert_eq!(world.ic.canister(caller).unwrap().cycles, held - 1_000);
    assert_eq!(world.ic.canister(caller).unwrap().open_call_contexts, 0);
}

#[test]
fn the_callee_knows_how_long_the_caller_waits_at_most_300_seconds() {
    let mut world = World::new();
    let caller = world.install(CALLER);
    let callee = world.install(CALLEE);
    let now = world.ic.time_ns();
    for (timeout, expected) in [
        (0, 0),
        (7, now + 7 * SECOND_NS),
        (301, now + 300 * SECOND_NS),
    ] {
        let arg = order(callee, 0, timeout, "deadline");
        let answer = world.update(caller, "call", &arg).unwrap();
        match Outcome::parse(&answer) {
            Outcome::Reply { reply, .. } => assert_eq!(number(&reply), expected),
            outcome => panic!("{outcome:?}"),
        }
    }
    // A query answers at once and is not told.
    let arg = order(callee, 0, 7, "deadline_in_query");
    let answer = world.update(caller, "call", &arg).unwrap();
    let outcome = Outcome::parse(&answer);
    assert!(matches!(outcome, Outcome::Reply { reply, .. } if reply == [0; 8]));
}

#[test]
fn a_call_still_queued_at_its_deadline_is_never_executed() {
    let mut world = World::new();
    let caller = world.install(CALLER);
    let callee = world.install(CALLEE);
    let arg = order(callee, 0, 5, "ok");
    let message = world.ic.submit_anew(user(), caller, "call", arg).unwrap();
    assert!(world.ic.step());
    world.ic.skip(Duration::from_secs(5));
    world.ic.run();
    let IngressStatus::Replied(answer) = world.ic.status(&message) else {
        panic!("answered");
    };
    assert_eq!(Outcome::parse(&answer).code(), 6);
    assert_eq!(world.ask(callee, "count"), 0);
}

#[test]
fn stopping_waits_for_open_calls() {
    let mut world = World::new();
    let caller = world.install(CALLER);
    let callee = world.install(CALLEE);
    let rule = world.ic.faults().add(
        local_ic::Target::call().to(callee),
        local_ic::Fault::DelayReply(local_ic::Until::Released),
    );
    let arg = order(callee, 0, 0, "ok");
    let message = world.ic.submit_anew(user(), caller, "call", arg).unwrap();
    world.ic.run();
    let reject = world.ic.stop(caller).unwrap_err();
    assert!(
        reject.message.contains("1 call contexts are open"),
        "{reject}"
    );
    assert_eq!(world.ic.canister(caller).unwrap().status, Status::Stopping);
    assert_rejected(world.query(caller, "state", b""), "IC0509", "stopping");
    assert_rejected(
        world.update(caller, "half_built", b""),
        "IC0509",
        "stopping",
    );
    // Its own call is answered: that still runs, and then it has stopped.
    world.ic.faults().release(rule);
    world.ic.run();
    assert!(matches!(
        world.ic.status(&message),
        IngressStatus::Replied(_)
    ));
    assert_eq!(world.ic.canister(caller).unwrap().status, Status::Stopped);
    assert_rejected(world.query(caller, "state", b""), "IC0508", "stopped");
    assert_rejected(world.update(caller, "half_built", b""), "IC0508", "stopped");
    world.ic.start(caller).unwrap();
    assert_eq!(world.ask(caller, "state"), 0);
}

#[test]
fn a_stopped_canister_is_a_rejection_for_its_callers_and_its_timer_waits() {
    let mut world = World::new();
    let caller = world.install(CALLER);
    let timer = world.install(TIMER);
    world.number(timer, "set", &1u64.to_le_bytes());
    assert_eq!(world.ask(timer, "runs"), 1);
    let due = world.ic.time_ns() + SECOND_NS;
    world.number(timer, "set", &due.to_le_bytes());
    world.ic.stop(timer).unwrap();
    world.ic.advance(Duration::from_secs(10));
    let answer = world
        .update(caller, "call", &order(timer, 0, 0, "set"))
        .unwrap();
    assert_eq!(Outcome::parse(&answer).code(), 5);
    world.ic.start(timer).unwrap();
    world.ic.run();
    assert_eq!(world.ask(timer, "runs"), 2);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut world = World::new();
        let caller = world.install(CALLER);
        let callee = world.install(CALLEE);
        for method in ["ok", "no", "half", "boom"] {
            world
                .update(caller, "call", &order(callee, 10, 0, method))
                .unwrap();
            world.ic.advance(Duration::from_secs(1));
        }
        world.ic.executions().cloned().collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
