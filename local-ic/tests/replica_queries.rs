//! Queries, composite queries and data certificates.

mod world;

use candid::Principal;
use ic_certification::{Certificate, LookupResult};
use local_ic::{Config, Replica};
use world::{World, assert_rejected, number};

/// `compose` calls the query named at 1,020 of the canister at 1,000, twice, and answers how often
/// its own callbacks ran, times 1,000, plus the sum of the replies.
const COMPOSER: &str = r#"
  (global $callbacks (mut i32) (i32.const 0))
  (global $sum (mut i32) (i32.const 0))
  (global $own (mut i32) (i32.const 0))
  (data (i32.const 100) "own")
  (data (i32.const 110) "compose")
  (func $begin
    (call $call_new (i32.const 1000) (i32.const 10)
      (i32.const 1020) (i32.sub (call $msg_arg_data_size) (i32.const 20))
      (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 0))
    (if (call $call_perform) (then (unreachable))))
  (func (export "canister_composite_query compose")
    (drop (call $arg))
    (global.set $own (i32.const 1))
    (i32.store (i32.const 300) (i32.const 5))
    (drop (memory.grow (i32.const 1)))
    (call $begin) (call $begin))
  (func $on_reply (param i32)
    ;; What was changed before the calls is still there.
    (if (i32.ne (i32.load (i32.const 300)) (i32.const 5)) (then (unreachable)))
    (if (i32.ne (memory.size) (i32.const 2)) (then (unreachable)))
    (drop (call $arg))
    (global.set $sum (i32.add (global.get $sum) (i32.load (i32.const 1000))))
    (call $done))
  (func $on_reject (param i32)
    (global.set $sum (i32.add (global.get $sum) (i32.mul (i32.const 100) (call $msg_reject_code))))
    (call $done))
  (func $done
    (global.set $callbacks (i32.add (global.get $callbacks) (i32.const 1)))
    (if (i32.eq (global.get $callbacks) (i32.const 2))
      (then (call $answer_i32
        (i32.add (i32.mul (i32.const 1000) (global.get $callbacks)) (global.get $sum))))))
  (func $clean (param i32)
    (if (i32.ne (global.get $own) (i32.const 2)) (then (unreachable))))
  (elem (i32.const 1) $on_reply $on_reject $trap_it $clean)
  (func $trap_it (param i32) (global.set $own (i32.const 7)) (unreachable))
  (func (export "canister_composite_query trapping")
    (drop (call $arg))
    (global.set $own (i32.const 2))
    (call $call_new (i32.const 1000) (i32.const 10) (i32.const 100) (i32.const 3)
      (i32.const 3) (i32.const 0) (i32.const 3) (i32.const 0))
    (call $call_on_cleanup (i32.const 4) (i32.const 0))
    (drop (call $call_perform)))
  (func (export "canister_composite_query deep")
    (drop (call $arg))
    (call $call_new (i32.const 1000) (i32.const 10) (i32.const 120) (i32.const 4)
      (i32.const 5) (i32.const 0) (i32.const 6) (i32.const 0))
    (call $call_data_append (i32.const 1000) (i32.const 10))
    (drop (call $call_perform)))
  (data (i32.const 120) "deep")
  (func $pass (param i32) (call $answer_text (i32.const 1000) (call $arg)))
  (func $level (param i32) (call $answer_i32 (i32.const 4711)))
  (elem (i32.const 5) $pass $level)
  (func (export "canister_query own")
    (global.set $own (i32.add (global.get $own) (i32.const 20)))
    (call $answer_i32 (global.get $own)))
  (func (export "canister_update up")
    (global.set $own (i32.add (global.get $own) (i32.const 3)))
    (call $answer_i32 (global.get $own)))
  (func (export "canister_update call_compose")
    (drop (call $arg)) (call $begin))
"#;

fn order(callee: Principal, method: &str) -> Vec<u8> {
    let mut order = callee.as_slice().to_vec();
    order.extend([0; 10]);
    order.extend(method.as_bytes());
    order
}

#[test]
fn a_composite_query_calls_queries_and_changes_nothing() {
    let mut world = World::new();
    let composer = world.install(COMPOSER);
    let other = world.install(COMPOSER);
    world.update(other, "up", b"").unwrap();
    // Each callee's change was dropped: 23 twice, not 23 and 43.
    let answer = world
        .query(composer, "compose", &order(other, "own"))
        .unwrap();
    assert_eq!(number(&answer), 2_046);
    assert_eq!(world.ask(other, "own"), 23);
    assert_eq!(world.ask(composer, "own"), 20);
    assert_eq!(world.ic.canister(composer).unwrap().heap_bytes, 65_536);
}

#[test]
fn a_composite_query_that_calls_itself_sees_the_committed_state() {
    let mut world = World::new();
    let composer = world.install(COMPOSER);
    let answer = world
        .query(composer, "compose", &order(composer, "own"))
        .unwrap();
    assert_eq!(number(&answer), 2_040);
}

#[test]
fn what_is_no_query_is_rejected_to_the_composite_query() {
    let mut world = World::new();
    let composer = world.install(COMPOSER);
    for method in ["up", "missing"] {
        let answer = world
            .query(composer, "compose", &order(composer, method))
            .unwrap();
        assert_eq!(number(&answer), 2_000 + 2 * 500, "{method}");
    }
    let nobody = Principal::from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 1, 1]);
    let answer = world
        .query(composer, "compose", &order(nobody, "own"))
        .unwrap();
    assert_eq!(number(&answer), 2_000 + 2 * 300);
}

#[test]
fn a_composite_query_is_for_the_outside_only() {
    let mut world = World::new();
    let composer = world.install(COMPOSER);
    let arg = order(composer, "compose");
    assert_rejected(
        world.update(composer, "compose", &arg),
        "IC0527",
        "'compose'",
    );
    // Called by an update, it is rejected with code 5, twice a hundred of which is no full answer.
    let result = world.update(composer, "call_compose", &arg);
    assert_rejected(result, "IC0506", "did not reply");
}

#[test]
fn a_trapping_callback_of_a_composite_query_is_cleaned_up() {
    let mut world = World::new();
    let composer = world.install(COMPOSER);
    let arg = order(composer, "own");
    assert_rejected(
        world.query(composer, "trapping", &arg),
        "IC0502",
        "unreachable",
    );
    let last = world.ic.last_execution().unwrap();
    assert_eq!((last.entry.as_str(), &last.trap), ("cleanup own", &None));
}

#[test]
fn composite_queries_go_six_deep() {
    let mut world = World::new();
    let composer = world.install(COMPOSER);
    let answer = world.query(composer, "deep", composer.as_slice()).unwrap();
    assert_eq!(number(&answer), 4_711);
    let deep = world
        .ic
        .executions()
        .filter(|it| it.entry == "composite query deep");
    assert_eq!(deep.count(), 6);
}

#[test]
fn a_composite_query_and_its_calls_share_one_limit() {
    let config = Config {
        query_instructions: 200_000,
        ..Config::default()
    };
    let mut world = World {
        ic: Replica::new(config),
    };
    let composer = world.install(COMPOSER);
    let spinner =
        world.install(r#"(func (export "canister_query spin") (loop $again (br $again)))"#);
    // The first call uses all up, so not even the callback can run.
    let arg = order(spinner, "spin");
    let (code, _) = world::rejected(world.query(composer, "compose", &arg));
    assert_eq!(code, "IC0522");
}

const CERTIFIED: &str = r#"
  (func (export "canister_update set")
    (call $certified_data_set (i32.const 1000) (call $arg)) (call $msg_reply))
  (func (export "canister_query certificate")
    (if (i32.eqz (call $data_certificate_present)) (then (unreachable)))
    (drop (memory.grow (i32.const 1)))
    (call $data_certificate_copy (i32.const 0) (i32.const 0) (call $data_certificate_size))
    (call $answer_text (i32.const 0) (call $data_certificate_size)))
  (func (export "canister_query present") (call $answer_i32 (call $data_certificate_present)))
  (func (export "canister_composite_query ask")
    (drop (call $arg))
    (call $call (i32.const 100) (i32.const 7) (i32.const 1) (i32.const 1) (i32.const 0))
    (drop (call $call_perform)))
  (data (i32.const 100) "present")
  (func $pass (param i32) (call $answer_text (i32.const 1000) (call $arg)))
  (elem (i32.const 1) $pass)
"#;

#[test]
fn a_query_gets_its_certificate_when_it_asks_for_it() {
    let mut world = World::new();
    let id = world.install(CERTIFIED);
    world.update(id, "set", b"data").unwrap();
    assert_eq!(world.ask(id, "present"), 1);
    let certificate = world.query(id, "certificate", b"").unwrap();
    let certificate: Certificate = serde_cbor::from_slice(&certificate).unwrap();
    let path = [b"canister".as_slice(), id.as_slice(), b"certified_data"];
    let LookupResult::Found(data) = certificate.tree.lookup_path(path) else {
        panic!("the canister's data is certified");
    };
    assert_eq!(data, b"data");
    // Only once in the log, although it ran twice.
    let runs = world
        .ic
        .executions()
        .filter(|it| it.entry == "query certificate");
    assert_eq!(runs.count(), 1);
}

#[test]
fn updates_and_nested_queries_have_no_certificate() {
    let mut world = World::new();
    let id = world.install(CERTIFIED);
    assert_eq!(world.number(id, "present", b""), 0);
    let nested = world.query(id, "ask", id.as_slice()).unwrap();
    assert_eq!(number(&nested), 0);
    assert_rejected(
        world.update(id, "certificate", b""),
        "IC0502",
        "unreachable",
    );
}

#[test]
fn more_than_32_bytes_cannot_be_certified() {
    let mut world = World::new();
    let id = world.install(CERTIFIED);
    world.update(id, "set", &[1; 32]).unwrap();
    assert_rejected(world.update(id, "set", &[2; 33]), "IC0504", "at most 32");
    assert_eq!(world.ic.canister(id).unwrap().certified_data, [1; 32]);
}
