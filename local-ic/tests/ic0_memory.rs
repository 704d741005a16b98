//! What a trap takes back, what it does not, and where functions may be called at all.

mod world;

use candid::Principal;
use std::time::Duration;
use world::{World, assert_rejected, import_names, module, number, user};

/// Changes everything a message can change, then answers or traps.
const CHANGER: &str = r#"
  (global $g (mut i64) (i64.const 0))
  (func $change
    (i32.store (i32.const 200) (i32.const 7))
    (drop (memory.grow (i32.const 2)))
    (i32.store (i32.const 70000) (i32.const 7))
    (global.set $g (i64.const 7))
    (drop (call $stable64_grow (i64.const 3)))
    (i32.store (i32.const 0) (i32.const 7))
    (call $stable64_write (i64.const 100000) (i64.const 0) (i64.const 4))
    (call $certified_data_set (i32.const 0) (i32.const 4))
    (drop (call $global_timer_set (i64.const 0x7fffffffffffffff))))
  (func (export "canister_update change") (call $change) (call $msg_reply))
  (func (export "canister_update change_and_trap") (call $change) (unreachable))
  (func (export "canister_query change_in_query") (call $change_in_query) (call $msg_reply))
  (func $change_in_query
    (i32.store (i32.const 200) (i32.const 9))
    (drop (memory.grow (i32.const 5)))
    (global.set $g (i64.const 9))
    (drop (call $stable64_grow (i64.const 9))))
  (func (export "canister_query sum")
    (local $sum i64)
    (local.set $sum (i64.add (global.get $g) (i64.extend_i32_u (i32.load (i32.const 200)))))
    (local.set $sum (i64.add (local.get $sum)
      (i64.mul (i64.const 100) (i64.extend_i32_u (memory.size)))))
    (local.set $sum (i64.add (local.get $sum)
      (i64.mul (i64.const 10000) (call $stable64_size))))
    (call $answer_i64 (local.get $sum)))
  (func (export "canister_query far")
    (call $stable64_read (i64.const 0) (i64.const 100000) (i64.const 4))
    (call $answer_i32 (i32.add (i32.load (i32.const 70000)) (i32.load (i32.const 0)))))
"#;

#[test]
fn a_trap_takes_back_heap_globals_stable_memory_certified_data_and_timer() {
    let mut world = World::new();
    let id = world.install(CHANGER);
    assert_eq!(world.ask(id, "sum"), 100);
    assert_rejected(
        world.update(id, "change_and_trap", b""),
        "IC0502",
        "unreachable",
    );
    assert_eq!(world.ask(id, "sum"), 100);
    let info = world.ic.canister(id).unwrap();
    assert_eq!((info.certified_data, info.timer_ns), (&[][..], 0));
    assert_eq!((info.heap_bytes, info.stable_pages), (65_536, 0));
    assert_eq!(world.ic.stable_memory(id), b"");

    world.update(id, "change", b"").unwrap();
    assert_eq!(world.ask(id, "sum"), 30_000 + 300 + 14);
    assert_eq!(world.ask(id, "far"), 14);
    let info = world.ic.canister(id).unwrap();
    assert_eq!(info.certified_data, [7, 0, 0, 0]);
    assert_eq!(info.timer_ns, i64::MAX as u64);

    // Again, now that there is something to go back to.
    assert_rejected(
        world.update(id, "change_and_trap", b""),
        "IC0502",
        "unreachable",
    );
    assert_eq!(world.ask(id, "sum"), 30_000 + 300 + 14);
    assert_eq!(world.ask(id, "far"), 14);
    assert_eq!(world.ic.stable_memory(id)[100_000..100_004], [7, 0, 0, 0]);
}

#[test]
fn a_query_changes_nothing() {
    let mut world = World::new();
    let id = world.install(CHANGER);
    world.update(id, "change", b"").unwrap();
    for _ in 0..3 {
        world.query(id, "change_in_query", b"").unwrap();
        assert_eq!(world.ask(id, "sum"), 30_000 + 300 + 14);
        assert_eq!(world.ask(id, "far"), 14);
    }
}

#[test]
fn memory_that_was_rolled_back_is_zero_when_it_grows_again() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update dirty")
          (drop (memory.grow (i32.const 1)))
          (i64.store (i32.const 65536) (i64.const -1))
          (drop (call $stable64_grow (i64.const 1)))
          (call $stable64_write (i64.const 0) (i64.const 65536) (i64.const 8))
          (unreachable))
        (func (export "canister_update look")
          (drop (memory.grow (i32.const 1)))
          (drop (call $stable64_grow (i64.const 1)))
          (call $stable64_read (i64.const 8) (i64.const 0) (i64.const 8))
          (call $answer_i64 (i64.or (i64.load (i32.const 65536)) (i64.load (i32.const 8)))))"#,
    );
    world.update(id, "dirty", b"").unwrap_err();
    assert_eq!(world.number(id, "look", b""), 0);
}

#[test]
fn data_segments_do_not_come_back_over_changed_memory() {
    // The heap grows, a later message traps after growing it again: the engine starts anew then.
    let mut world = World::new();
    let id = world.install(
        r#"(data (i32.const 100) "old")
        (func (export "canister_update set")
          (i32.store8 (i32.const 100) (i32.const 78)) (call $msg_reply))
        (func (export "canister_update grow_and_trap")
          (drop (memory.grow (i32.const 1))) (unreachable))
        (func (export "canister_query get") (call $answer_text (i32.const 100) (i32.const 3)))"#,
    );
    world.update(id, "set", b"").unwrap();
    world.update(id, "grow_and_trap", b"").unwrap_err();
    assert_eq!(world.query(id, "get", b"").unwrap(), b"Nld");
    assert_eq!(world.ic.canister(id).unwrap().heap_bytes, 65_536);
}

#[test]
fn stable_memory_has_bounds_and_an_older_interface() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update old")
          (if (i32.ne (call $stable_grow (i32.const 1)) (i32.const 0)) (then (unreachable)))
          (i64.store (i32.const 8) (i64.const 0x1122334455667788))
          (call $stable_write (i32.const 65528) (i32.const 8) (i32.const 8))
          (call $stable_read (i32.const 16) (i32.const 65528) (i32.const 8))
          (if (i32.ne (call $stable_size) (i32.const 1)) (then (unreachable)))
          (if (i32.ne (call $stable_grow (i32.const 65536)) (i32.const -1)) (then (unreachable)))
          (call $answer_i64 (i64.load (i32.const 16))))
        (func (export "canister_update beyond")
          (call $stable64_write (i64.const 65529) (i64.const 8) (i64.const 8)))
        (func (export "canister_update wraps")
          (call $stable64_read (i64.const 0) (i64.const -1) (i64.const 8)))
        (func (export "canister_update source")
          (call $stable64_write (i64.const 0) (i64.const 0x100000000) (i64.const 8)))
        (func (export "canister_update too_large")
          (if (i64.ne (call $stable64_grow (i64.const 8192001)) (i64.const -1))
            (then (unreachable)))
          (drop (call $stable64_grow (i64.const 65536)))
          (drop (call $stable_size)))"#,
    );
    assert_eq!(world.number(id, "old", b""), 0x1122_3344_5566_7788);
    assert_rejected(
        world.update(id, "beyond", b""),
        "IC0502",
        "stable memory out of bounds",
    );
    assert_rejected(
        world.update(id, "wraps", b""),
        "IC0502",
        "stable memory out of bounds",
    );
    assert_rejected(world.update(id, "source", b""), "IC0504", "out of bounds");
    assert_rejected(
        world.update(id, "too_large", b""),
        "IC0504",
        "larger than 4 GiB",
    );
}

#[test]
fn the_heap_has_the_limit_of_the_replica() {
    let config = local_ic::Config {
        max_heap_bytes: 4 * 65_536,
        ..Default::default()
    };
    let mut world = World {
        ic: local_ic::Replica::new(config),
    };
    let id = world.install(
        r#"(func (export "canister_update it")
          (if (i32.ne (memory.grow (i32.const 3)) (i32.const 1)) (then (unreachable)))
          (call $answer_i32 (memory.grow (i32.const 1))))"#,
    );
    assert_eq!(world.number(id, "it", b""), u64::from(u32::MAX));
    let large = world.ic.create_canister(user());
    let wasm = wat::parse_str("(module (memory 5))").unwrap();
    let reject = world.ic.install(large, &wasm, vec![]).unwrap_err();
    assert_eq!(reject.error_code, "IC0505");
}

#[test]
fn the_cost_of_a_message_does_not_grow_with_stable_memory() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update grow")
          (drop (call $stable64_grow (i64.const 100000))) (call $msg_reply))
        (func (export "canister_update touch")
          (call $stable64_write (i64.const 6553599992) (i64.const 0) (i64.const 8))
          (call $msg_reply))"#,
    );
    world.update(id, "grow", b"").unwrap();
    let begin = std::time::Instant::now();
    for _ in 0..100 {
        world.update(id, "touch", b"").unwrap();
    }
    // 6.5 GB are in it: a copy or a look at each page would take minutes.
    assert!(begin.elapsed() < Duration::from_secs(5));
}

/// The contexts in which a module's functions can be made to run, and the export for each.
const CONTEXTS: [(&str, &str); 8] = [
    ("start", "(start $f)"),
    ("init", "(export \"canister_init\" (func $f))"),
    ("update", "(export \"canister_update m\" (func $f))"),
    ("query", "(export \"canister_query m\" (func $f))"),
    (
        "composite",
        "(export \"canister_composite_query m\" (func $f))",
    ),
    (
        "inspect",
        "(export \"canister_inspect_message\" (func $f)) (export \"canister_update m\" (func $g))",
    ),
    (
        "timer",
        "(export \"canister_global_timer\" (func $f)) (export \"canister_update m\" (func $t))",
    ),
    ("pre_upgrade", "(export \"canister_pre_upgrade\" (func $f))"),
];

/// Whether the text of the trap, if it trapped, says "cannot be executed".
fn is_allowed(name: &str, ty: &str, context: &str, export: &str) -> bool {
    let params = ty
        .split(['(', ')'])
        .find_map(|part| part.strip_prefix("param"))
        .unwrap_or("");
    let args: String = params
        .split_whitespace()
        .map(|ty| format!("({ty}.const 0)"))
        .collect();
    let call = format!("(call ${name} {args})");
    let call = match ty.contains("result") {
        true => format!("(drop {call})"),
        false => call,
    };
    let mut world = World::new();
    let id = world.ic.create_canister(user());
    let wasm = module(&format!(
        "(func $f {call}) (func $g (call $msg_reply))
         (func $t (drop (call $global_timer_set (i64.const 1))) (call $msg_reply)) {export}"
    ));
    let installed = world.ic.install(id, &wasm, vec![]);
    let result = match context {
        "start" | "init" => installed.map(|()| vec![]),
        "query" | "composite" => world.ic.query(user(), id, "m", vec![]),
        "pre_upgrade" => world.ic.upgrade(id, &wasm, vec![]).map(|()| vec![]),
        "timer" => {
            world.ic.update(user(), id, "m", vec![]).unwrap();
            let last = world.ic.last_execution().unwrap();
            assert_eq!(last.entry, "timer");
            return !last
                .trap
                .as_ref()
                .is_some_and(|trap| trap.contains("cannot be executed"));
        }
        _ => world.ic.update(user(), id, "m", vec![]),
    };
    !result.is_err_and(|reject| reject.message.contains("cannot be executed"))
}

#[test]
fn functions_can_be_called_only_where_they_make_sense() {
    // Everywhere, even in start.
    let everywhere = [
        "stable64_size",
        "stable64_grow",
        "stable64_read",
        "stable64_write",
        "stable_size",
        "stable_grow",
        "stable_read",
        "stable_write",
        "performance_counter",
        "is_controller",
        "in_replicated_execution",
        "cost_call",
        "cost_create_canister",
        "cost_http_request",
        "cost_http_request_v2",
        "cost_sign_with_ecdsa",
        "cost_sign_with_schnorr",
        "cost_vetkd_derive_key",
        "debug_print",
        "trap",
    ];
    let allowed = |name: &str| -> &[&str] {
        match name {
            name if everywhere.contains(&name) => &[
                "start",
                "init",
                "update",
                "query",
                "composite",
                "inspect",
                "timer",
                "pre_upgrade",
            ],
            "msg_arg_data_size" | "msg_arg_data_copy" => {
                &["init", "update", "query", "composite", "inspect"]
            }
            "msg_reply_data_append" | "msg_reply" | "msg_reject" | "msg_deadline" => {
                &["update", "query", "composite"]
            }
            "msg_caller_info_data_size"
            | "msg_caller_info_data_copy"
            | "msg_caller_info_signer_size"
            | "msg_caller_info_signer_copy" => &["update", "query", "composite", "inspect"],
            "msg_reject_code"
            | "msg_reject_msg_size"
            | "msg_reject_msg_copy"
            | "msg_cycles_refunded128"
            | "msg_cycles_refunded" => &[],
            "msg_method_name_size" | "msg_method_name_copy" | "accept_message" => &["inspect"],
            "call_new"
            | "call_on_cleanup"
            | "call_data_append"
            | "call_perform"
            | "call_with_best_effort_response" => &["update", "composite", "timer"],
            "call_cycles_add" | "call_cycles_add128" => &["update", "timer"],
            "msg_cycles_available"
            | "msg_cycles_available128"
            | "msg_cycles_accept"
            | "msg_cycles_accept128" => &["update"],
            "cycles_burn128" | "root_key_size" | "root_key_copy" => {
                &["init", "update", "timer", "pre_upgrade"]
            }
            "certified_data_set" => &["init", "update", "timer", "pre_upgrade"],
            "global_timer_set" => &["init", "update", "timer", "pre_upgrade"],
            "data_certificate_size" | "data_certificate_copy" => &["query", "composite"],
            _ => &[
                "init",
                "update",
                "query",
                "composite",
                "inspect",
                "timer",
                "pre_upgrade",
            ],
        }
    };
    for (name, ty) in import_names() {
        for (context, export) in CONTEXTS {
            let expected = allowed(name).contains(&context);
            let actual = is_allowed(name, ty, context, export);
            assert_eq!(actual, expected, "{name} in {context}");
        }
    }
}

#[test]
fn a_canister_knows_its_surroundings() {
    let mut world = World::new();
    let id = world.install(
        r#"(data (i32.const 100) "NAME")
        (func (export "canister_update root_key")
          (call $root_key_copy (i32.const 2000) (i32.const 0) (call $root_key_size))
          (call $answer_text (i32.const 2000) (call $root_key_size)))
        (func (export "canister_query subnet")
          (call $subnet_self_copy (i32.const 0) (i32.const 0) (call $subnet_self_size))
          (call $answer_text (i32.const 0) (call $subnet_self_size)))
        (func (export "canister_query status") (call $answer_i32 (call $canister_status)))
        (func (export "canister_query nodes") (call $answer_i32 (call $subnet_self_node_count)))
        (func (export "canister_query version") (call $answer_i64 (call $canister_version)))
        (func (export "canister_query controller")
          (call $answer_i32 (call $is_controller (i32.const 1000) (call $arg))))
        (func (export "canister_query ecdsa")
          (call $answer_i32 (call $cost_sign_with_ecdsa
            (i32.const 100) (i32.const 4) (i32.load (i32.const 1000)) (i32.const 0))))
        (func (export "canister_query time") (call $answer_i64 (call $time)))"#,
    );
    // The one subnet is the root subnet, whose id follows from the root key.
    let root_key = world.update(id, "root_key", b"").unwrap();
    let subnet = Principal::self_authenticating(&root_key);
    assert_eq!(root_key.len(), 133);
    assert_eq!(world.query(id, "subnet", b"").unwrap(), subnet.as_slice());
    assert_eq!((world.ask(id, "status"), world.ask(id, "nodes")), (1, 1));
    assert_eq!(world.ask(id, "time"), world.ic.time_ns());
    let is = number(&world.query(id, "controller", user().as_slice()).unwrap());
    assert_eq!(is, 1);
    let is = number(&world.query(id, "controller", id.as_slice()).unwrap());
    assert_eq!(is, 0);
    assert_rejected(
        world.query(id, "controller", &[0; 30]),
        "IC0504",
        "no principal",
    );
    // There are no threshold keys here.
    assert_eq!(world.ask(id, "ecdsa"), 2);
    let before = world.ask(id, "version");
    world.update(id, "root_key", b"").unwrap();
    assert!(world.ask(id, "version") > before);
}
