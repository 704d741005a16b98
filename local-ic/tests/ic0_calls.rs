//! Calls between canisters: answers, traps on either side, cleanup, cycles.

mod world;

use candid::Principal;
use local_ic::Config;
use world::calls::{Outcome, Pair, order};
use world::{World, assert_rejected, number};

impl Pair {
    /// Runs a method of the caller that calls `ok` of the callee.
    fn odd(&mut self, method: &str) -> Result<Vec<u8>, local_ic::Reject> {
        self.odd_to(method, "ok")
    }

    /// Runs a method of the caller that calls `callee_method` of the callee.
    fn odd_to(&mut self, method: &str, callee_method: &str) -> Result<Vec<u8>, local_ic::Reject> {
        let order = order(self.callee, 0, 0, callee_method);
        self.world.update(self.caller, method, &order)
    }

    fn state(&mut self) -> u64 {
        self.world.ask(self.caller, "state")
    }

    fn called(&mut self) -> u64 {
        self.world.ask(self.callee, "count")
    }

    fn balances(&self) -> (u128, u128) {
        let of = |id| self.world.ic.canister(id).unwrap().cycles;
        (of(self.caller), of(self.callee))
    }
}

#[test]
fn a_reply_comes_back_to_the_caller() {
    let mut pair = Pair::new();
    let reply = b"fine".to_vec();
    assert_eq!(pair.call(0, 0, "ok"), Outcome::Reply { refund: 0, reply });
    let caller = pair.caller.as_slice().to_vec();
    assert_eq!(
        pair.call(0, 0, "caller"),
        Outcome::Reply {
            refund: 0,
            reply: caller
        }
    );
}

#[test]
fn every_failure_has_its_code_and_text() {
    let mut pair = Pair::new();
    let cases = [
        ("no", 4, "fine"),
        ("boom", 5, "unreachable"),
        ("silent", 5, "did not reply"),
        ("missing", 5, "no update method 'missing'"),
    ];
    for (method, expected, words) in cases {
        match pair.call(0, 0, method) {
            Outcome::Reject { code, text } => {
                assert_eq!(code, expected, "{method}: {text}");
                assert!(text.contains(words), "{method}: {text}");
            }
            outcome => panic!("{method}: {outcome:?}"),
        }
    }
    pair.callee = Principal::from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 1, 1]);
    assert_eq!(pair.call(0, 0, "ok").code(), 3);
}

#[test]
fn a_call_leaves_only_if_the_message_ends_well() {
    let mut pair = Pair::new();
    let before = pair.balances();
    let order = order(pair.callee, 1_000, 0, "ok");
    let result = pair.world.update(pair.caller, "call_and_trap", &order);
    assert_rejected(result, "IC0502", "unreachable");
    assert_eq!((pair.called(), pair.balances()), (0, before));
}

#[test]
fn a_half_built_call_vanishes_with_its_cycles_back() {
    let mut pair = Pair::new();
    let before = pair.balances();
    let order = order(pair.callee, 1_000, 0, "half");
    pair.world
        .update(pair.caller, "half_built", &order)
        .unwrap();
    assert_eq!(pair.balances(), before);
    // Begun twice, performed once: only the second call's cycles left.
    pair.world.update(pair.caller, "replaced", &order).unwrap();
    assert_eq!(pair.balances(), (before.0 - 500, before.1 + 500));
}

#[test]
fn cycles_are_accepted_in_part_and_the_rest_comes_back() {
    let mut pair = Pair::new();
    let before = pair.balances();
    match pair.call(1_001, 0, "half") {
        Outcome::Reply { refund, reply } => {
            assert_eq!((refund, number(&reply[..8])), (501, 500));
        }
        outcome => panic!("{outcome:?}"),
    }
    assert_eq!(pair.balances(), (before.0 - 500, before.1 + 500));
    // Nothing accepted, accepted by a message that trapped, or no such method: all comes back.
    for method in ["ok", "all_and_trap", "missing", "no"] {
        pair.call(1_000, 0, method);
        assert_eq!(
            pair.balances(),
            (before.0 - 500, before.1 + 500),
            "{method}"
        );
    }
    // A query called by a canister keeps what it accepted.
    assert_eq!(pair.call(1_000, 0, "half_in_query").code(), 0);
    assert_eq!(pair.balances(), (before.0 - 1_000, before.1 + 1_000));
}

#[test]
fn an_answer_gives_back_what_was_not_accepted_before_it() {
    let mut pair = Pair::new();
    let before = pair.balances();
    let outcome = pair.call(1_000, 0, "half_too_late");
    assert!(
        matches!(outcome, Outcome::Reply { refund: 1_000, .. }),
        "{outcome:?}"
    );
    assert_eq!(pair.balances(), before);
}

#[test]
fn a_full_balance_takes_no_more_and_nothing_overflows() {
    let mut pair = Pair::with(Config {
        initial_cycles: u128::MAX,
        ..Config::default()
    });
    let outcome = pair.call(1_000, 0, "accept_while_building");
    assert!(
        matches!(outcome, Outcome::Reply { refund: 0, .. }),
        "{outcome:?}"
    );
    assert_eq!(pair.balances(), (u128::MAX - 1_000, u128::MAX));
}

#[test]
fn nobody_attaches_more_than_he_has() {
    let mut world = World::new();
    let caller = world.install(
        r#"(func (export "canister_update it")
          (drop (call $arg))
          (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
          (call $call_cycles_add128 (i64.const 1) (i64.const 0)))
        (func (export "canister_update burn")
          (call $cycles_burn128 (i64.const -1) (i64.const -1) (i32.const 8))
          (call $answer_text (i32.const 8) (i32.const 16)))"#,
    );
    let result = world.update(caller, "it", caller.as_slice());
    assert_rejected(result, "IC0504", "insufficient cycles");
    let held = world.ic.canister(caller).unwrap().cycles;
    let burnt = world.update(caller, "burn", b"").unwrap();
    assert_eq!(u128::from_le_bytes(burnt.try_into().unwrap()), held);
    assert_eq!(world.ic.canister(caller).unwrap().cycles, 0);
}

#[test]
fn a_trap_in_a_callback_goes_back_to_before_it_and_runs_the_cleanup() {
    let mut pair = Pair::new();
    assert_rejected(pair.odd("trap_in_reply"), "IC0503", "'own trap'");
    // 2 was committed before the await, 99 by the callback was taken back, the cleanup added 10.
    assert_eq!(pair.state(), 12);
    let entries: Vec<_> = pair
        .world
        .ic
        .executions()
        .map(|it| it.entry.clone())
        .collect();
    assert!(
        entries.ends_with(&["cleanup ok".into(), "query state".into()]),
        "{entries:?}"
    );
}

#[test]
fn a_trap_in_the_cleanup_is_taken_back_too_and_changes_no_reason() {
    let mut pair = Pair::new();
    assert_rejected(pair.odd("trap_in_cleanup"), "IC0503", "'own trap'");
    assert_eq!(pair.state(), 1);
    assert_rejected(pair.odd("reply_in_cleanup"), "IC0503", "'own trap'");
    let last = pair.world.ic.last_execution().unwrap();
    assert!(
        last.trap
            .as_ref()
            .unwrap()
            .contains("cannot be executed in cleanup mode")
    );
}

#[test]
fn a_cleanup_knows_whether_its_callback_was_about_a_reject() {
    let mut pair = Pair::new();
    for (callee_method, code) in [("ok", 0), ("no", 4), ("boom", 5)] {
        let result = pair.odd_to("code_in_cleanup", callee_method);
        assert_rejected(result, "IC0503", "'own trap'");
        assert_eq!(pair.state(), 100 + code);
    }
}

#[test]
fn answering_does_not_end_a_call() {
    let mut pair = Pair::new();
    // The callback's trap no longer reaches the caller, who was answered.
    assert_eq!(pair.odd("answer_first").unwrap(), b"");
    assert_eq!(pair.called(), 1);
    assert_eq!(pair.state(), 0);
    // Of two callbacks that answer, the second traps.
    assert_eq!(pair.odd("answer_twice").unwrap(), b"");
    assert_eq!(pair.state(), 1);
    let trap = pair
        .world
        .ic
        .executions()
        .rev()
        .find_map(|it| it.trap.clone());
    assert!(trap.unwrap().contains("already replied"));
    assert_eq!(
        pair.world
            .ic
            .canister(pair.caller)
            .unwrap()
            .open_call_contexts,
        0
    );
}

#[test]
fn who_never_answers_is_answered_for_after_the_last_callback() {
    let mut pair = Pair::new();
    assert_rejected(pair.odd("never_answers"), "IC0506", "did not reply");
    assert_eq!(pair.called(), 1);
}

#[test]
fn one_way_calls_are_made_and_nothing_comes_of_their_answer() {
    let mut pair = Pair::new();
    assert_eq!(pair.odd("one_way").unwrap(), b"");
    assert_eq!((pair.called(), pair.state()), (1, 0));
    assert_eq!(
        pair.world
            .ic
            .canister(pair.caller)
            .unwrap()
            .open_call_contexts,
        0
    );
}

#[test]
fn a_callback_must_be_a_function_of_one_number() {
    let mut pair = Pair::new();
    assert_rejected(pair.odd("wrong_type"), "IC0502", "callback 8");
}

#[test]
fn calls_are_built_in_order() {
    let mut pair = Pair::new();
    for method in [
        "no_perform",
        "no_append",
        "no_cycles",
        "no_cleanup",
        "no_timeout",
    ] {
        assert_rejected(pair.odd(method), "IC0504", "no call under construction");
    }
    assert_rejected(pair.odd("cleanup_twice"), "IC0504", "already called");
    assert_rejected(pair.odd("timeout_twice"), "IC0504", "already called");
    assert_rejected(pair.odd("bad_callee"), "IC0504", "the callee is no id");
}

#[test]
fn one_callee_gets_five_hundred_calls_at_once() {
    let mut pair = Pair::new();
    let sent = pair.odd("flood").unwrap();
    assert_eq!(number(&sent), 500);
    assert_eq!(pair.called(), 500);
    // They have ended, so there is room again.
    assert_eq!(number(&pair.odd("flood").unwrap()), 500);
}

#[test]
fn a_canister_calls_itself() {
    let mut pair = Pair::new();
    let order = order(pair.caller, 0, 0, "state");
    let outcome = Outcome::parse(&pair.world.update(pair.caller, "call", &order).unwrap());
    assert_eq!(
        outcome,
        Outcome::Reply {
            refund: 0,
            reply: vec![0; 4]
        }
    );
}
