//! Faults on purpose: each kind, told as a story of two canisters.

mod world;

use candid::Principal;
use local_ic::{Fault, IngressStatus, MessageId, RejectCode, Status, Target, Until};
use std::time::Duration;
use world::calls::{CALLEE, CALLER, Outcome, Pair, order};
use world::{World, assert_rejected, module, user};

impl Pair {
    fn add(&mut self, target: Target, fault: Fault) -> local_ic::RuleId {
        self.world.ic.faults().add(target, fault)
    }

    fn begin(&mut self, timeout_s: u32, method: &str) -> MessageId {
        let order = order(self.callee, 0, timeout_s, method);
        let ic = &mut self.world.ic;
        let id = ic.submit_anew(user(), self.caller, "call", order).unwrap();
        ic.run();
        id
    }

    fn outcome(&self, id: &MessageId) -> Option<Outcome> {
        match self.world.ic.status(id) {
            IngressStatus::Replied(answer) => Some(Outcome::parse(&answer)),
            IngressStatus::Processing => None,
            status => panic!("{status:?}"),
        }
    }

    fn called(&mut self) -> u64 {
        self.world.ask(self.callee, "count")
    }
}

#[test]
fn a_lost_reply_leaves_the_caller_in_doubt() {
    let mut pair = Pair::new();
    let target = Target::call()
        .from(pair.caller)
        .to(pair.callee)
        .method("ok")
        .nth(2);
    let rule = pair.add(target, Fault::LoseReply);
    assert_eq!(pair.call(0, 0, "ok").code(), 0);
    assert_eq!(pair.call(0, 0, "no").code(), 4);
    assert_eq!(pair.call(0, 0, "ok").code(), 6);
    assert_eq!(pair.call(0, 0, "ok").code(), 0);
    // All four were executed.
    assert_eq!(pair.called(), 4);
    assert_eq!(pair.world.ic.faults().fired(rule), 1);
}

#[test]
fn a_lost_reply_loses_its_refund() {
    let mut pair = Pair::new();
    pair.add(Target::call(), Fault::LoseReply);
    let held = pair.world.ic.canister(pair.caller).unwrap().cycles;
    assert_eq!(pair.call(1_000, 0, "half").code(), 6);
    let now = pair.world.ic.canister(pair.caller).unwrap().cycles;
    assert_eq!(now, held - 1_000);
}

#[test]
fn a_call_is_rejected_before_it_is_executed() {
    let mut pair = Pair::new();
    let held = pair.world.ic.canister(pair.caller).unwrap().cycles;
    for code in [RejectCode::SysTransient, RejectCode::SysUnknown] {
        let message = "not today".to_owned();
        pair.add(Target::call(), Fault::RejectBefore { code, message });
        let expected = Outcome::Reject {
            code: code.as_u32(),
            text: "not today".into(),
        };
        assert_eq!(pair.call(1_000, 0, "ok"), expected);
    }
    assert_eq!(pair.called(), 0);
    assert_eq!(pair.world.ic.canister(pair.caller).unwrap().cycles, held);
    // A user's call likewise.
    let code = RejectCode::SysTransient;
    let message = "nor you".to_owned();
    pair.add(
        Target::ingress().to(pair.callee),
        Fault::RejectBefore { code, message },
    );
    assert_rejected(
        pair.world.update(pair.callee, "ok", b""),
        "IC0201",
        "nor you",
    );
    assert_eq!(pair.called(), 0);
}

#[test]
fn a_delayed_call_arrives_later() {
    let mut pair = Pair::new();
    pair.add(
        Target::call(),
        Fault::DelayCall(Until::Elapsed(Duration::from_secs(10))),
    );
    let id = pair.begin(0, "ok");
    pair.world.ic.advance(Duration::from_secs(9));
    assert_eq!((pair.called(), pair.outcome(&id)), (0, None));
    pair.world.ic.advance(Duration::from_secs(1));
    assert_eq!(pair.called(), 1);
    assert_eq!(pair.outcome(&id).unwrap().code(), 0);
}

#[test]
fn a_held_call_waits_until_it_is_released() {
    let mut pair = Pair::new();
    let rule = pair.add(Target::call(), Fault::DelayCall(Until::Released));
    let held = pair.begin(0, "ok");
    // The next one is not held, and overtakes it.
    let next = pair.begin(0, "no");
    assert_eq!(pair.outcome(&next).unwrap().code(), 4);
    pair.world.ic.advance(Duration::from_secs(100_000));
    assert_eq!(pair.outcome(&held), None);
    pair.world.ic.faults().release(rule);
    pair.world.ic.run();
    assert_eq!(pair.outcome(&held).unwrap().code(), 0);
}

#[test]
fn a_bounded_call_that_is_held_too_long_is_never_executed() {
    let mut pair = Pair::new();
    let rule = pair.add(Target::call(), Fault::DelayCall(Until::Released));
    let id = pair.begin(10, "ok");
    pair.world.ic.advance(Duration::from_secs(10));
    assert_eq!(pair.outcome(&id).unwrap().code(), 6);
    pair.world.ic.faults().release(rule);
    pair.world.ic.run();
    assert_eq!(pair.called(), 0);
}

#[test]
fn a_delayed_reply_comes_after_the_deadline_and_finds_nobody() {
    let mut pair = Pair::new();
    pair.add(
        Target::call(),
        Fault::DelayReply(Until::Elapsed(Duration::from_secs(20))),
    );
    let id = pair.begin(10, "ok");
    assert_eq!((pair.called(), pair.outcome(&id)), (1, None));
    pair.world.ic.advance(Duration::from_secs(10));
    assert_eq!(pair.outcome(&id).unwrap().code(), 6);
    pair.world.ic.advance(Duration::from_secs(10));
    assert_eq!(pair.outcome(&id).unwrap().code(), 6);
}

#[test]
fn an_update_that_is_held_back_says_that_it_still_waits() {
    let mut pair = Pair::new();
    let rule = pair.add(Target::ingress(), Fault::DelayCall(Until::Released));
    let result = pair.world.update(pair.callee, "ok", b"");
    assert_rejected(result, "IC0201", "still in the queue");
    pair.add(Target::call(), Fault::DelayCall(Until::Released));
    let order = order(pair.callee, 0, 0, "ok");
    let result = pair.world.update(pair.caller, "call", &order);
    assert_rejected(result, "IC0201", "being worked on");
    pair.world.ic.faults().release(rule);
    pair.world.ic.run();
    assert_eq!(pair.called(), 1);
}

#[test]
fn a_message_traps_after_so_many_instructions() {
    let mut pair = Pair::new();
    let trap = |after_instructions| Fault::Trap { after_instructions };
    pair.add(Target::call().method("ok"), trap(100));
    match pair.call(0, 0, "ok") {
        Outcome::Reject { code: 5, text } => assert!(text.contains("100 instructions"), "{text}"),
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(pair.called(), 0);
    // Enough instructions are no trap.
    pair.add(Target::call().method("ok"), trap(1_000_000));
    assert_eq!(pair.call(0, 0, "ok").code(), 0);
    assert_eq!(pair.called(), 1);
}

#[test]
fn a_callback_traps_after_its_await() {
    let mut pair = Pair::new();
    let target = Target::callback().from(pair.caller).to(pair.callee);
    pair.add(
        target,
        Fault::Trap {
            after_instructions: 0,
        },
    );
    let arg = order(pair.callee, 0, 0, "ok");
    let result = pair.world.update(pair.caller, "call", &arg);
    assert_rejected(result, "IC0522", "0 instructions");
    // The call itself was made.
    assert_eq!(pair.called(), 1);
}

#[test]
fn a_trap_at_every_instruction_leaves_all_or_nothing() {
    let mut world = World::new();
    let id = world.install(
        r#"(global $a (mut i32) (i32.const 0))
        (func (export "canister_update it")
          (global.set $a (i32.const 1))
          (i32.store (i32.const 200) (i32.const 1))
          (drop (call $stable64_grow (i64.const 1)))
          (call $stable64_write (i64.const 0) (i64.const 200) (i64.const 1))
          (call $msg_reply))
        (func (export "canister_query sum")
          (call $answer_i32 (i32.add (i32.add (global.get $a) (i32.load (i32.const 200)))
            (i32.wrap_i64 (call $stable64_size)))))"#,
    );
    let mut limit = 0;
    loop {
        world.ic.faults().add(
            Target::ingress(),
            Fault::Trap {
                after_instructions: limit,
            },
        );
        let result = world.update(id, "it", b"");
        let sum = world.ask(id, "sum");
        if result.is_ok() {
            assert_eq!(sum, 3);
            break;
        }
        assert_eq!(sum, 0, "after {limit} instructions");
        limit += 7;
    }
    assert!(limit > 500);
}

#[test]
fn timers_trap_too() {
    let mut world = World::new();
    let id = world.install(
        r#"(global $runs (mut i32) (i32.const 0))
        (func (export "canister_update go")
          (drop (call $global_timer_set (i64.const 1))) (call $msg_reply))
        (func (export "canister_global_timer")
          (global.set $runs (i32.add (global.get $runs) (i32.const 1))))
        (func (export "canister_query runs") (call $answer_i32 (global.get $runs)))"#,
    );
    let trap = Fault::Trap {
        after_instructions: 0,
    };
    world
        .ic
        .faults()
        .add(Target::task().to(id).method("canister_global_timer"), trap);
    world.update(id, "go", b"").unwrap();
    assert_eq!(world.ask(id, "runs"), 0);
    world.update(id, "go", b"").unwrap();
    assert_eq!(world.ask(id, "runs"), 1);
}

#[test]
fn the_callee_stops_just_before_the_call() {
    let mut pair = Pair::new();
    pair.add(Target::call().nth(2), Fault::StopCallee);
    assert_eq!(pair.call(0, 0, "ok").code(), 0);
    match pair.call(0, 0, "ok") {
        Outcome::Reject { code: 5, text } => assert!(text.contains("is stopped"), "{text}"),
        outcome => panic!("{outcome:?}"),
    }
    let status = pair.world.ic.canister(pair.callee).unwrap().status;
    assert_eq!(status, Status::Stopped);
    pair.world.ic.start(pair.callee).unwrap();
    assert_eq!(pair.call(0, 0, "ok").code(), 0);
}

#[test]
fn an_upgrade_runs_between_two_messages() {
    let mut pair = Pair::new();
    let arg = order(pair.callee, 0, 0, "ok");
    let id = pair
        .world
        .ic
        .submit_anew(user(), pair.caller, "call", arg)
        .unwrap();
    // First the caller's message, then the callee's; then both are upgraded.
    assert!(pair.world.ic.step());
    assert!(pair.world.ic.step());
    pair.world
        .ic
        .upgrade(pair.caller, &module(CALLER), vec![])
        .unwrap();
    pair.world
        .ic
        .upgrade(pair.callee, &module(CALLEE), vec![])
        .unwrap();
    pair.world.ic.run();
    assert_eq!(pair.outcome(&id).unwrap().code(), 0);
}

#[test]
fn faults_strike_the_management_canister_too() {
    let mut world = World::new();
    let id = world.install(
        r#"(data (i32.const 100) "raw_rand")
        (data (i32.const 110) "DIDL\00\00")
        (func (export "canister_update it")
          (call $call_new (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 8)
            (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 0))
          (call $call_data_append (i32.const 110) (i32.const 6))
          (drop (call $call_perform)))
        (func $ok (param i32) (call $answer_i32 (i32.const 0)))
        (func $bad (param i32) (call $answer_i32 (call $msg_reject_code)))
        (elem (i32.const 1) $ok $bad)"#,
    );
    let target = Target::call().to(Principal::management_canister());
    world
        .ic
        .faults()
        .add(target.method("raw_rand").nth(2), Fault::LoseReply);
    let codes = [(); 3].map(|()| world.number(id, "it", b""));
    assert_eq!(codes, [0, 6, 0]);
}

#[test]
fn clearing_lets_go_of_everything() {
    let mut pair = Pair::new();
    pair.add(Target::call().always(), Fault::DelayCall(Until::Released));
    let ids = [pair.begin(0, "ok"), pair.begin(0, "ok")];
    assert_eq!(pair.called(), 0);
    pair.world.ic.faults().clear();
    pair.world.ic.run();
    assert_eq!(pair.called(), 2);
    for id in ids {
        assert_eq!(pair.outcome(&id).unwrap().code(), 0);
    }
}

#[test]
fn a_message_can_be_struck_twice() {
    let mut pair = Pair::new();
    let delay = pair.add(Target::call(), Fault::DelayCall(Until::Released));
    pair.add(Target::call(), Fault::LoseReply);
    let id = pair.begin(0, "ok");
    assert_eq!((pair.called(), pair.outcome(&id)), (0, None));
    pair.world.ic.faults().release(delay);
    pair.world.ic.run();
    assert_eq!((pair.called(), pair.outcome(&id).unwrap().code()), (1, 6));
}
