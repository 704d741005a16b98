//! What a message finds, how it is answered, and what happens when it is not.

mod world;

use candid::Principal;
use local_ic::RejectCode;
use world::{World, assert_rejected, number, rejected, user};

#[test]
fn a_message_finds_its_argument_its_caller_and_its_own_id() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update arg")
          (call $answer_text (i32.const 1000) (call $arg)))
        (func (export "canister_update caller")
          (call $msg_caller_copy (i32.const 0) (i32.const 0) (call $msg_caller_size))
          (call $answer_text (i32.const 0) (call $msg_caller_size)))
        (func (export "canister_query self")
          (call $canister_self_copy (i32.const 0) (i32.const 0) (call $canister_self_size))
          (call $answer_text (i32.const 0) (call $canister_self_size)))"#,
    );
    assert_eq!(world.update(id, "arg", b"hello").unwrap(), b"hello");
    assert_eq!(world.update(id, "caller", b"").unwrap(), user().as_slice());
    assert_eq!(world.query(id, "self", b"").unwrap(), id.as_slice());
}

#[test]
fn copying_beyond_the_data_or_the_memory_traps() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update data")
          (call $msg_arg_data_copy (i32.const 0) (i32.const 1) (i32.const 5)))
        (func (export "canister_update memory")
          (call $msg_arg_data_copy (i32.const 65534) (i32.const 0) (i32.const 5)))
        (func (export "canister_update wraps")
          (call $msg_arg_data_copy (i32.const 0) (i32.const 0xffffffff) (i32.const 2)))
        (func (export "canister_update source")
          (call $msg_reply_data_append (i32.const 0xffffffff) (i32.const 0xffffffff)))"#,
    );
    for method in ["data", "memory", "wraps"] {
        assert_rejected(
            world.update(id, method, b"hello"),
            "IC0504",
            "out of bounds",
        );
    }
    // The size alone is already too much for a reply.
    assert_rejected(world.update(id, "source", b""), "IC0504", "");
}

#[test]
fn an_answer_is_given_once() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update twice") (call $msg_reply) (call $msg_reply))
        (func (export "canister_update reply_reject")
          (call $msg_reply) (call $msg_reject (i32.const 0) (i32.const 0)))
        (func (export "canister_update append_after")
          (call $msg_reply) (call $msg_reply_data_append (i32.const 0) (i32.const 1)))"#,
    );
    for method in ["twice", "reply_reject", "append_after"] {
        assert_rejected(world.update(id, method, b""), "IC0504", "already replied");
    }
}

#[test]
fn a_canister_rejects_with_its_own_words() {
    let mut world = World::new();
    let id = world.install(
        r#"(data (i32.const 100) "not you")
        (data (i32.const 110) "\ff")
        (func (export "canister_update it") (call $msg_reject (i32.const 100) (i32.const 7)))
        (func (export "canister_update no_text") (call $msg_reject (i32.const 110) (i32.const 1)))"#,
    );
    let reject = world.update(id, "it", b"").unwrap_err();
    assert_eq!(reject.code, RejectCode::CanisterReject);
    assert_eq!(
        (reject.error_code.as_str(), reject.message.as_str()),
        ("IC0406", "not you")
    );
    assert_rejected(world.update(id, "no_text", b""), "IC0504", "no UTF-8 text");
}

#[test]
fn who_does_not_answer_is_answered_for() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update silent"))
        (func (export "canister_update half")
          (call $msg_reply_data_append (i32.const 0) (i32.const 4)))
        (func (export "canister_query silent_query"))"#,
    );
    assert_rejected(world.update(id, "silent", b""), "IC0506", "did not reply");
    assert_rejected(world.update(id, "half", b""), "IC0506", "did not reply");
    assert_rejected(
        world.query(id, "silent_query", b""),
        "IC0506",
        "did not reply",
    );
}

#[test]
fn replies_end_at_two_mebibytes() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update it")
          (local $left i32)
          (drop (call $arg))
          (drop (memory.grow (i32.const 31)))
          (call $msg_reply_data_append (i32.const 0) (i32.const 2097152))
          (call $msg_reply_data_append (i32.const 0) (i32.load (i32.const 1000)))
          (call $msg_reply))"#,
    );
    let reply = world.update(id, "it", &0u32.to_le_bytes()).unwrap();
    assert_eq!(reply.len(), 2 * 1024 * 1024);
    assert_rejected(
        world.update(id, "it", &1u32.to_le_bytes()),
        "IC0504",
        "2097153",
    );
}

#[test]
fn every_kind_of_trap_says_what_it_was() {
    let mut world = World::new();
    let id = world.install(
        r#"(data (i32.const 100) "my reason")
        (func (export "canister_update own") (call $trap (i32.const 100) (i32.const 9)))
        (func (export "canister_update range") (call $trap (i32.const 65530) (i32.const 100)))
        (func (export "canister_update unreachable") (unreachable))
        (func (export "canister_update heap") (drop (i32.load (i32.const 65536))))
        (func (export "canister_update zero")
          (drop (i32.div_u (i32.const 1) (i32.const 0))))
        (func (export "canister_update table")
          (call_indirect (param i32) (i32.const 0) (i32.const 3)))"#,
    );
    assert_rejected(world.update(id, "own", b""), "IC0503", "'my reason'");
    assert_rejected(
        world.update(id, "range", b""),
        "IC0503",
        "out of memory bounds",
    );
    assert_rejected(
        world.update(id, "unreachable", b""),
        "IC0502",
        "unreachable",
    );
    assert_rejected(
        world.update(id, "heap", b""),
        "IC0502",
        "heap out of bounds",
    );
    assert_rejected(world.update(id, "zero", b""), "IC0502", "divide by zero");
    let (code, text) = rejected(world.update(id, "table", b""));
    assert_eq!(code, "IC0502");
    assert!(text.contains(&id.to_text()), "{text}");
}

#[test]
fn printing_never_traps() {
    let mut world = World::new();
    let id = world.install(
        r#"(data (i32.const 100) "hello")
        (func (export "canister_update it")
          (call $debug_print (i32.const 100) (i32.const 5))
          (call $debug_print (i32.const 0xffffffff) (i32.const 0xffffffff))
          (call $msg_reply))
        (func (export "canister_update then_trap")
          (call $debug_print (i32.const 100) (i32.const 5)) (unreachable))
        (func (export "canister_update endless")
          (loop $again (call $debug_print (i32.const 0) (i32.const 60000)) (br $again)))"#,
    );
    world.update(id, "it", b"").unwrap();
    world.update(id, "then_trap", b"").unwrap_err();
    let printed = world.ic.debug_output(id);
    assert_eq!(printed.len(), 3);
    assert_eq!(
        (printed[0].as_str(), printed[2].as_str()),
        ("hello", "hello")
    );
    world.ic.clear_executions();
    world.update(id, "endless", b"").unwrap_err();
    assert!(world.ic.debug_output(id).len() < 10);
}

#[test]
fn unknown_methods_and_canisters_are_named() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update up") (call $msg_reply))
        (func (export "canister_query ask") (call $msg_reply))
        (func (export "canister_composite_query compose") (call $msg_reply))
        (func (export "canister_update <odd> name with spaces") (call $msg_reply))"#,
    );
    assert_rejected(world.update(id, "nope", b""), "IC0536", "'nope'");
    assert_rejected(world.query(id, "nope", b""), "IC0536", "'nope'");
    assert_rejected(world.query(id, "up", b""), "IC0536", "no query method 'up'");
    assert_rejected(
        world.update(id, "compose", b""),
        "IC0527",
        "replicated mode",
    );
    world.update(id, "ask", b"").unwrap();
    world.update(id, "<odd> name with spaces", b"").unwrap();
    let nobody = Principal::from_slice(&[9, 9, 9, 9, 9, 9, 9, 9, 1, 1]);
    assert_rejected(world.update(nobody, "up", b""), "IC0301", &nobody.to_text());
    let empty = world.ic.create_canister(user());
    assert_rejected(world.update(empty, "up", b""), "IC0537", "no Wasm module");
    assert_rejected(world.query(empty, "up", b""), "IC0537", "no Wasm module");
}

#[test]
fn inspect_message_decides_what_gets_in() {
    let mut world = World::new();
    let id = world.install(
        r#"(global $seen (mut i32) (i32.const 0))
        (func (export "canister_inspect_message")
          (global.set $seen (i32.const 1))
          (call $msg_method_name_copy (i32.const 0) (i32.const 0) (call $msg_method_name_size))
          ;; `a...` gets in, `t...` traps, `d...` is accepted twice, all else is refused.
          (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 0x61))
            (then (call $accept_message)))
          (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 0x64))
            (then (call $accept_message) (call $accept_message)))
          (if (i32.eq (i32.load8_u (i32.const 0)) (i32.const 0x74)) (then (unreachable))))
        (func (export "canister_update a") (call $answer_i32 (global.get $seen)))
        (func (export "canister_update b") (call $msg_reply))
        (func (export "canister_update d") (call $msg_reply))
        (func (export "canister_update t") (call $msg_reply))
        (func (export "canister_query q") (call $msg_reply))"#,
    );
    // Accepted; and what inspecting changed is gone.
    assert_eq!(world.number(id, "a", b""), 0);
    assert_rejected(world.update(id, "b", b""), "IC0406", "rejected the message");
    assert_rejected(world.update(id, "d", b""), "IC0504", "already called");
    assert_rejected(world.update(id, "t", b""), "IC0502", "unreachable");
    // Queries are not inspected.
    world.query(id, "q", b"").unwrap();
    // Nor are calls by canisters.
    let caller = world.install(
        r#"(data (i32.const 100) "b")
        (func (export "canister_update go")
          (drop (call $arg))
          (call $call (i32.const 100) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 0))
          (drop (call $call_perform)))
        (func $ok (param i32) (call $msg_reply))
        (func $bad (param i32) (call $msg_reject (i32.const 0) (i32.const 0)))
        (elem (i32.const 1) $ok $bad)"#,
    );
    world.update(caller, "go", id.as_slice()).unwrap();
}

#[test]
fn a_repeated_message_is_the_same_message() {
    use local_ic::{Ingress, IngressStatus, MessageId};
    use std::time::Duration;
    let mut world = World::new();
    let id = world.install(
        r#"(global $n (mut i32) (i32.const 0))
        (func (export "canister_update up")
          (global.set $n (i32.add (global.get $n) (i32.const 1)))
          (call $answer_i32 (global.get $n)))"#,
    );
    let message = MessageId([7; 32]);
    let ingress = Ingress {
        sender: user(),
        canister_id: id,
        method_name: "up".into(),
        arg: vec![],
    };
    assert_eq!(world.ic.status(&message), IngressStatus::Unknown);
    world.ic.submit(message, ingress.clone()).unwrap();
    world.ic.submit(message, ingress.clone()).unwrap();
    assert_eq!(world.ic.status(&message), IngressStatus::Received);
    assert!(world.ic.step());
    assert!(!world.ic.step());
    world.ic.submit(message, ingress.clone()).unwrap();
    world.ic.run();
    let first = IngressStatus::Replied(1u32.to_le_bytes().to_vec());
    assert_eq!(world.ic.status(&message), first);
    world.ic.advance(Duration::from_secs(299));
    assert_eq!(world.ic.status(&message), first);
    world.ic.advance(Duration::from_secs(2));
    assert_eq!(world.ic.status(&message), IngressStatus::Done);
    world.ic.submit(message, ingress).unwrap();
    world.ic.run();
    assert_eq!(world.number(id, "up", b""), 2);
}

#[test]
fn a_query_called_as_an_update_changes_nothing() {
    let mut world = World::new();
    let id = world.install(
        r#"(global $n (mut i32) (i32.const 0))
        (func (export "canister_query up")
          (global.set $n (i32.add (global.get $n) (i32.const 1)))
          (call $answer_i32 (i32.add (i32.mul (i32.const 10) (global.get $n))
            (call $in_replicated_execution))))"#,
    );
    assert_eq!(number(&world.update(id, "up", b"").unwrap()), 11);
    assert_eq!(number(&world.query(id, "up", b"").unwrap()), 10);
    assert_eq!(number(&world.update(id, "up", b"").unwrap()), 11);
}
