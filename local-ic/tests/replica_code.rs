//! Modules: which are taken, what install and upgrade run, and that a failure changes nothing.

mod world;

use local_ic::MethodKind;
use std::io::Write;
use world::calls::{CALLEE, CALLER, Outcome, order};
use world::{World, assert_rejected, module, number, user};

/// Keeps a number in the heap and, over upgrades, in stable memory.
const KEEPER: &str = r#"
  (global $n (mut i64) (i64.const 0))
  (func (export "canister_init")
    (global.set $n (i64.extend_i32_u (call $arg)))
    (call $certified_data_set (i32.const 0) (i32.const 2))
    (drop (call $global_timer_set (i64.const 0x7fffffffffffffff))))
  (func (export "canister_update add")
    (global.set $n (i64.add (global.get $n) (i64.const 1))) (call $answer_i64 (global.get $n)))
  (func (export "canister_pre_upgrade")
    (if (i64.eqz (call $stable64_size)) (then (drop (call $stable64_grow (i64.const 1)))))
    (i64.store (i32.const 8) (global.get $n))
    (call $stable64_write (i64.const 0) (i64.const 8) (i64.const 8)))
  (func (export "canister_post_upgrade")
    (call $stable64_read (i64.const 8) (i64.const 0) (i64.const 8))
    (global.set $n (i64.add (i64.load (i32.const 8)) (i64.extend_i32_u (call $arg)))))
  (func (export "canister_query n") (call $answer_i64 (global.get $n)))
"#;

fn refused(wat: &str) -> String {
    let mut world = World::new();
    let id = world.ic.create_canister(user());
    let wasm = wat::parse_str(wat).unwrap();
    let reject = world.ic.install(id, &wasm, vec![]).unwrap_err();
    assert_eq!(reject.error_code, "IC0505", "{}", reject.message);
    assert!(world.ic.canister(id).unwrap().module_hash.is_none());
    reject.message
}

#[test]
fn an_unknown_import_is_refused_by_its_name() {
    let text = refused(r#"(module (import "ic0" "msg_replay" (func)))"#);
    assert!(text.contains("`ic0.msg_replay`"), "{text}");
    let text = refused(r#"(module (import "env" "abort" (func)))"#);
    assert!(text.contains("`env.abort`"), "{text}");
    let text = refused(r#"(module (import "ic0" "time" (memory 1)))"#);
    assert!(text.contains("`ic0.time` is not a function"), "{text}");
    let text = refused(r#"(module (import "ic0" "time" (func (param i32))))"#);
    assert!(text.contains("time"), "{text}");
}

#[test]
fn exports_must_mean_something() {
    let cases = [
        (
            r#"(module (func (export "canister_frobnicate")))"#,
            "canister_frobnicate",
        ),
        (
            r#"(module (func (export "canister_init") (param i32)))"#,
            "canister_init",
        ),
        (
            r#"(module (global (export "canister_query x") i32 (i32.const 0)))"#,
            "canister_query x",
        ),
        (
            r#"(module (func (export "canister_query x")) (func (export "canister_update x")))"#,
            "exported twice",
        ),
        (
            r#"(module (func (export "local-ic memory")))"#,
            "local-ic memory",
        ),
    ];
    for (wat, words) in cases {
        let text = refused(wat);
        assert!(text.contains(words), "{text}");
    }
    // This one has a meaning, although its time never comes here.
    World::new().install(r#"(func (export "canister_on_low_wasm_memory"))"#);
}

#[test]
fn what_is_no_module_is_refused_and_nothing_panics() {
    let mut world = World::new();
    let id = world.ic.create_canister(user());
    let good = module(KEEPER);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&good).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut bad: Vec<Vec<u8>> = vec![
        vec![],
        b"\0asm".to_vec(),
        b"no wasm".to_vec(),
        b"\0asm\x0d\0\x01\0".to_vec(),
        gzip[..gzip.len() / 2].to_vec(),
        vec![0x1f, 0x8b],
    ];
    // Every prefix, and one changed byte at many places.
    bad.extend((9..good.len()).step_by(97).map(|len| good[..len].to_vec()));
    for wasm in bad {
        let reject = world.ic.install(id, &wasm, vec![]).unwrap_err();
        assert_eq!(reject.error_code, "IC0505", "{}", reject.message);
    }
    for position in (8..good.len()).step_by(13) {
        let mut wasm = good.clone();
        wasm[position] ^= 0x55;
        // Some of these are valid; what matters is that each gets an answer.
        let _ = world.ic.reinstall(id, &wasm, vec![]);
        let _ = world.ic.update(user(), id, "add", vec![]);
    }
    world.ic.reinstall(id, &gzip, vec![0; 5]).unwrap();
    assert_eq!(world.ask(id, "n"), 5);
}

#[test]
fn the_hash_is_of_the_bytes_as_they_came() {
    use sha2::{Digest, Sha256};
    let mut world = World::new();
    let id = world.install(KEEPER);
    let expected: [u8; 32] = Sha256::digest(module(KEEPER)).into();
    assert_eq!(world.ic.canister(id).unwrap().module_hash, Some(expected));
}

#[test]
fn published_sections_are_found() {
    let mut world = World::new();
    let id = world.ic.create_canister(user());
    let wasm = wat::parse_str(
        r#"(module (@custom "icp:public candid:service" "service {}")
          (@custom "icp:private note" "mine") (@custom "name2" "not published"))"#,
    )
    .unwrap();
    world.ic.install(id, &wasm, vec![]).unwrap();
    let info = world.ic.canister(id).unwrap();
    let seen: Vec<_> = info
        .metadata
        .iter()
        .map(|it| (it.name.as_str(), it.public, it.content.as_slice()))
        .collect();
    assert_eq!(
        seen,
        [
            ("candid:service", true, &b"service {}"[..]),
            ("note", false, &b"mine"[..])
        ]
    );
}

#[test]
fn methods_are_listed_with_their_kinds() {
    let mut world = World::new();
    let id = world.install(CALLEE);
    let methods = world.ic.methods(id);
    assert!(methods.contains(&("half".into(), MethodKind::Update)));
    assert!(methods.contains(&("count".into(), MethodKind::Query)));
}

#[test]
fn the_start_function_runs_before_init() {
    let mut world = World::new();
    let id = world.install(
        r#"(global $order (mut i32) (i32.const 0))
        (func $start (global.set $order (i32.const 1)))
        (start $start)
        (func (export "canister_init")
          (global.set $order (i32.add (i32.mul (global.get $order) (i32.const 10)) (i32.const 2))))
        (func (export "canister_query order") (call $answer_i32 (global.get $order)))"#,
    );
    assert_eq!(world.ask(id, "order"), 12);
    let empty = world.ic.create_canister(user());
    let trapping = module("(func $f (unreachable)) (start $f)");
    let reject = world.ic.install(empty, &trapping, vec![]).unwrap_err();
    assert_eq!(reject.error_code, "IC0502");
}

#[test]
fn an_upgrade_keeps_stable_memory_and_nothing_of_the_heap() {
    let mut world = World::new();
    let id = world.ic.create_canister(user());
    world.ic.install(id, &module(KEEPER), vec![0; 3]).unwrap();
    assert_eq!(world.number(id, "add", b""), 4);
    world.ic.upgrade(id, &module(KEEPER), vec![0; 10]).unwrap();
    assert_eq!(world.ask(id, "n"), 14);
    let info = world.ic.canister(id).unwrap();
    // The timer is off, what was certified is kept.
    assert_eq!((info.timer_ns, info.certified_data), (0, &[0, 0][..]));
    let entries: Vec<_> = world.ic.executions().map(|it| it.entry.as_str()).collect();
    assert_eq!(
        entries,
        [
            "init",
            "update add",
            "pre_upgrade",
            "post_upgrade",
            "query n"
        ]
    );
}

#[test]
fn a_reinstall_keeps_nothing() {
    let mut world = World::new();
    let id = world.install(KEEPER);
    world.ic.upgrade(id, &module(KEEPER), vec![]).unwrap();
    assert_eq!(world.ic.canister(id).unwrap().stable_pages, 1);
    let plain = module(r#"(func (export "canister_query n") (call $answer_i64 (i64.const 99)))"#);
    world.ic.reinstall(id, &plain, vec![]).unwrap();
    let info = world.ic.canister(id).unwrap();
    assert_eq!(
        (info.stable_pages, info.certified_data, info.timer_ns),
        (0, &[][..], 0)
    );
    assert_eq!(world.ask(id, "n"), 99);
}

#[test]
fn a_failed_upgrade_restores_everything() {
    let mut world = World::new();
    let id = world.ic.create_canister(user());
    world.ic.install(id, &module(KEEPER), vec![0; 3]).unwrap();
    let before = *world.ic.canister(id).unwrap().module_hash.as_ref().unwrap();
    let bad_post = module(
        r#"(func (export "canister_post_upgrade")
          (drop (call $stable64_grow (i64.const 7)))
          (call $stable64_write (i64.const 0) (i64.const 0) (i64.const 100))
          (call $certified_data_set (i32.const 0) (i32.const 9))
          (unreachable))"#,
    );
    let bad_start = module("(func $f (unreachable)) (start $f)");
    let no_wasm = b"no wasm".to_vec();
    for wasm in [bad_post, bad_start, no_wasm] {
        world.ic.upgrade(id, &wasm, vec![]).unwrap_err();
        let info = world.ic.canister(id).unwrap();
        assert_eq!(info.module_hash, Some(before));
        assert_eq!((info.stable_pages, info.certified_data), (0, &[0, 0][..]));
        assert_eq!(info.timer_ns, i64::MAX as u64);
        assert_eq!(world.ask(id, "n"), 3);
    }
    // Its own hook fails.
    let stubborn = world.install(
        r#"(func (export "canister_pre_upgrade")
          (drop (call $stable64_grow (i64.const 1))) (unreachable))
        (func (export "canister_query pages") (call $answer_i64 (call $stable64_size)))"#,
    );
    let reject = world
        .ic
        .upgrade(stubborn, &module(KEEPER), vec![])
        .unwrap_err();
    assert_eq!(reject.error_code, "IC0502");
    assert_eq!(world.ask(stubborn, "pages"), 0);
}

#[test]
fn modes_fit_what_is_there() {
    let mut world = World::new();
    let empty = world.ic.create_canister(user());
    let full = world.install(KEEPER);
    let code = |result: Result<(), local_ic::Reject>| result.unwrap_err().error_code;
    assert_eq!(
        code(world.ic.install(full, &module(KEEPER), vec![])),
        "IC0514"
    );
    assert_eq!(
        code(world.ic.upgrade(empty, &module(KEEPER), vec![])),
        "IC0537"
    );
    world.ic.reinstall(empty, &module(KEEPER), vec![]).unwrap();
    let nobody = candid::Principal::anonymous();
    assert_eq!(
        code(world.ic.install(nobody, &module(KEEPER), vec![])),
        "IC0301"
    );
}

#[test]
fn a_module_is_installed_over_a_given_stable_memory() {
    let mut world = World::new();
    let id = world.ic.create_canister(user());
    let image = 41u64.to_le_bytes();
    world
        .ic
        .install_with_stable_memory(id, &module(KEEPER), vec![0], &image)
        .unwrap();
    assert_eq!(world.ask(id, "n"), 42);
    let stable = world.ic.stable_memory(id);
    assert_eq!((stable.len(), &stable[..8]), (65_536, &image[..]));
    // Taken from one canister and given to another.
    world.ic.upgrade(id, &module(KEEPER), vec![]).unwrap();
    let copy = world.ic.create_canister(user());
    let stable = world.ic.stable_memory(id);
    world
        .ic
        .install_with_stable_memory(copy, &module(KEEPER), vec![], &stable)
        .unwrap();
    assert_eq!(world.ask(copy, "n"), 42);
}

#[test]
fn a_callback_runs_in_the_module_it_comes_back_to() {
    let mut world = World::new();
    let caller = world.install(CALLER);
    let callee = world.install(CALLEE);
    let arg = order(callee, 0, 0, "ok");
    // One message ran: the call is on its way when the caller is upgraded.
    let message = world
        .ic
        .submit_anew(user(), caller, "call", arg.clone())
        .unwrap();
    assert!(world.ic.step());
    let other = module(
        r#"(func $on_reply (param i32) (call $answer_i32 (i32.const 4711)))
        (elem (i32.const 1) $on_reply)"#,
    );
    world.ic.upgrade(caller, &other, vec![]).unwrap();
    world.ic.run();
    match world.ic.status(&message) {
        local_ic::IngressStatus::Replied(reply) => assert_eq!(number(&reply), 4_711),
        status => panic!("{status:?}"),
    }
    // A new module without that function: the callback traps.
    world.ic.upgrade(caller, &module(CALLER), vec![]).unwrap();
    let message = world.ic.submit_anew(user(), caller, "call", arg).unwrap();
    assert!(world.ic.step());
    world.ic.upgrade(caller, &module(""), vec![]).unwrap();
    world.ic.run();
    match world.ic.status(&message) {
        local_ic::IngressStatus::Rejected(reject) => {
            assert!(reject.message.contains("callback 1"), "{reject}");
        }
        status => panic!("{status:?}"),
    }
}

#[test]
fn hooks_of_an_upgrade_share_one_limit() {
    let config = local_ic::Config {
        install_instructions: 100_000,
        ..Default::default()
    };
    let mut world = World {
        ic: local_ic::Replica::new(config),
    };
    let spin = r#"(local $i i32)
        (loop $again
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (i32.const 7000))))"#;
    let wat = format!(
        r#"(func (export "canister_pre_upgrade") {spin})
        (func (export "canister_post_upgrade") {spin})
        (func (export "canister_init") {spin})"#
    );
    let id = world.install(&wat);
    let reject = world.ic.upgrade(id, &module(&wat), vec![]).unwrap_err();
    assert_eq!(reject.error_code, "IC0522");
}

#[test]
fn calls_to_self_and_others_survive_a_callee_upgrade() {
    let mut world = World::new();
    let caller = world.install(CALLER);
    let callee = world.install(CALLEE);
    let arg = order(callee, 0, 0, "ok");
    let message = world.ic.submit_anew(user(), caller, "call", arg).unwrap();
    assert!(world.ic.step());
    world.ic.upgrade(callee, &module(CALLEE), vec![]).unwrap();
    world.ic.run();
    match world.ic.status(&message) {
        local_ic::IngressStatus::Replied(reply) => assert_eq!(Outcome::parse(&reply).code(), 0),
        status => panic!("{status:?}"),
    }
    assert_rejected(world.update(callee, "no", b""), "IC0406", "fine");
}
