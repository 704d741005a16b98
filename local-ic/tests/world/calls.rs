//! A canister that calls others as it is told, and one to be called.

use super::World;
use candid::Principal;
use local_ic::{Config, Replica};

/// Calls the canister, with the method, cycles and timeout of its argument (see [`order`]).
///
/// `call` answers in the callback: `R`, 16 bytes of refunded cycles, reply; or `J`, 4 bytes of
/// code, text. The other methods are named for what is odd about them.
pub const CALLER: &str = r#"
  (global $state (mut i32) (i32.const 0))
  (data (i32.const 90) "R")
  (data (i32.const 91) "J")
  (data (i32.const 92) "own trap")
  (func $begin (param $reply i32) (param $reject i32)
    (drop (call $arg))
    (call $call_new (i32.const 1000) (i32.const 10)
      (i32.const 1022) (i32.sub (call $msg_arg_data_size) (i32.const 22))
      (local.get $reply) (i32.const 5) (local.get $reject) (i32.const 5))
    (if (i32.load (i32.const 1018))
      (then (call $call_with_best_effort_response (i32.load (i32.const 1018)))))
    (if (i64.ne (i64.load (i32.const 1010)) (i64.const 0))
      (then (call $call_cycles_add128 (i64.const 0) (i64.load (i32.const 1010))))))
  (func $go (if (call $call_perform) (then (unreachable))))
  (func $on_reply (param $env i32)
    (if (i32.ne (local.get $env) (i32.const 5)) (then (unreachable)))
    (call $msg_reply_data_append (i32.const 90) (i32.const 1))
    (call $msg_cycles_refunded128 (i32.const 8))
    (call $msg_reply_data_append (i32.const 8) (i32.const 16))
    (call $answer_text (i32.const 1000) (call $arg)))
  (func $on_reject (param $env i32)
    (call $msg_reply_data_append (i32.const 91) (i32.const 1))
    (i32.store (i32.const 8) (call $msg_reject_code))
    (call $msg_reply_data_append (i32.const 8) (i32.const 4))
    (call $msg_reject_msg_copy (i32.const 2000) (i32.const 0) (call $msg_reject_msg_size))
    (call $answer_text (i32.const 2000) (call $msg_reject_msg_size)))
  (func $trap_in_callback (param $env i32)
    (global.set $state (i32.const 99))
    (call $trap (i32.const 92) (i32.const 8)))
  (func $clean (param $env i32)
    (global.set $state (i32.add (global.get $state) (local.get $env))))
  (func $trap_in_cleanup (param $env i32)
    (global.set $state (i32.const 77)) (unreachable))
  (func $reply_in_cleanup (param $env i32)
    (call $msg_reply))
  (func $code_in_cleanup (param $env i32)
    (global.set $state (i32.add (i32.const 100) (call $msg_reject_code))))
  (func $again (param $env i32)
    ;; Answers, and calls itself once more.
    (global.set $state (i32.add (global.get $state) (i32.const 1)))
    (call $msg_reply))
  (func $two_params (param i32 i32))
  (elem (i32.const 1) $on_reply $on_reject $trap_in_callback $clean $trap_in_cleanup
    $reply_in_cleanup $again $two_params $code_in_cleanup)
  (func (export "canister_update call") (call $begin (i32.const 1) (i32.const 2)) (call $go))
  (func (export "canister_update call_and_trap")
    (call $begin (i32.const 1) (i32.const 2)) (call $go) (unreachable))
  (func (export "canister_update half_built") (call $begin (i32.const 1) (i32.const 2))
    (call $msg_reply))
  (func (export "canister_update replaced") (call $begin (i32.const 1) (i32.const 2))
    (call $begin (i32.const 1) (i32.const 2)) (call $go))
  (func (export "canister_update trap_in_reply")
    (global.set $state (i32.const 1))
    (call $begin (i32.const 3) (i32.const 3))
    (call $call_on_cleanup (i32.const 4) (i32.const 10))
    (call $go)
    (global.set $state (i32.const 2)))
  (func (export "canister_update trap_in_cleanup")
    (global.set $state (i32.const 1))
    (call $begin (i32.const 3) (i32.const 3))
    (call $call_on_cleanup (i32.const 5) (i32.const 10))
    (call $go))
  (func (export "canister_update code_in_cleanup")
    (call $begin (i32.const 3) (i32.const 3))
    (call $call_on_cleanup (i32.const 9) (i32.const 10))
    (call $go))
  (func (export "canister_update reply_in_cleanup")
    (global.set $state (i32.const 1))
    (call $begin (i32.const 3) (i32.const 3))
    (call $call_on_cleanup (i32.const 6) (i32.const 10))
    (call $go))
  (func (export "canister_update answer_first")
    (global.set $state (i32.const 0))
    (call $begin (i32.const 3) (i32.const 3)) (call $go) (call $msg_reply))
  (func (export "canister_update answer_twice")
    (global.set $state (i32.const 0))
    (call $begin (i32.const 7) (i32.const 7)) (call $go)
    (call $begin (i32.const 7) (i32.const 7)) (call $go))
  (func (export "canister_update one_way")
    (call $begin (i32.const -1) (i32.const -1)) (call $go) (call $msg_reply))
  (func (export "canister_update wrong_type")
    (call $begin (i32.const 8) (i32.const 8)) (call $go))
  (func (export "canister_update never_answers")
    (call $begin (i32.const 4) (i32.const 4)) (call $go))
  (func (export "canister_update cleanup_twice")
    (call $begin (i32.const 1) (i32.const 2))
    (call $call_on_cleanup (i32.const 4) (i32.const 0))
    (call $call_on_cleanup (i32.const 4) (i32.const 0)))
  (func (export "canister_update timeout_twice")
    (call $begin (i32.const 1) (i32.const 2))
    (call $call_with_best_effort_response (i32.const 1))
    (call $call_with_best_effort_response (i32.const 1)))
  (func (export "canister_update no_perform") (drop (call $call_perform)))
  (func (export "canister_update no_append")
    (call $call_data_append (i32.const 0) (i32.const 0)))
  (func (export "canister_update no_cycles")
    (call $call_cycles_add128 (i64.const 0) (i64.const 0)))
  (func (export "canister_update no_cleanup")
    (call $call_on_cleanup (i32.const 0) (i32.const 0)))
  (func (export "canister_update no_timeout")
    (call $call_with_best_effort_response (i32.const 1)))
  (func (export "canister_update bad_callee")
    (call $call_new (i32.const 0) (i32.const 30) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
  (func (export "canister_update flood")
    (local $sent i32)
    (block $full
      (loop $again
        (call $begin (i32.const -1) (i32.const -1))
        (br_if $full (call $call_perform))
        (local.set $sent (i32.add (local.get $sent) (i32.const 1)))
        (br $again)))
    (call $answer_i32 (local.get $sent)))
  (func (export "canister_query state") (call $answer_i32 (global.get $state)))
  (func (export "canister_query balance")
    (call $canister_cycle_balance128 (i32.const 8))
    (call $answer_text (i32.const 8) (i32.const 16)))
"#;

/// To be called.
pub const CALLEE: &str = r#"
  (global $count (mut i32) (i32.const 0))
  (data (i32.const 90) "fine")
  (func $counted (global.set $count (i32.add (global.get $count) (i32.const 1))))
  (func (export "canister_update ok")
    (call $counted) (call $answer_text (i32.const 90) (i32.const 4)))
  (func (export "canister_update no") (call $counted) (call $msg_reject (i32.const 90) (i32.const 4)))
  (func (export "canister_update boom") (call $counted) (unreachable))
  (func (export "canister_update silent") (call $counted))
  (func (export "canister_update half")
    (call $msg_cycles_available128 (i32.const 8))
    (call $msg_cycles_accept128 (i64.const 0)
      (i64.div_u (i64.load (i32.const 8)) (i64.const 2)) (i32.const 24))
    (call $answer_text (i32.const 24) (i32.const 16)))
  (func (export "canister_update all_and_trap")
    (call $msg_cycles_accept128 (i64.const -1) (i64.const -1) (i32.const 24)) (unreachable))
  (func (export "canister_query half_in_query")
    (drop (call $msg_cycles_accept (i64.div_u (call $msg_cycles_available) (i64.const 2))))
    (call $msg_reply))
  (func (export "canister_update deadline") (call $answer_i64 (call $msg_deadline)))
  (func (export "canister_query deadline_in_query") (call $answer_i64 (call $msg_deadline)))
  (func (export "canister_update half_too_late")
    (call $answer_text (i32.const 90) (i32.const 4))
    (call $msg_cycles_available128 (i32.const 8))
    (if (i64.ne (i64.load (i32.const 8)) (i64.const 0)) (then (unreachable)))
    (if (i64.ne (call $msg_cycles_accept (i64.const 500)) (i64.const 0)) (then (unreachable))))
  (func (export "canister_update accept_while_building")
    (local $built i32)
    (loop $twice
      (call $call_new (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $call_cycles_add (i64.const 5000))
      (drop (call $msg_cycles_accept (i64.const -1)))
      (local.set $built (i32.add (local.get $built) (i32.const 1)))
      (br_if $twice (i32.lt_u (local.get $built) (i32.const 2))))
    (call $msg_reply))
  (func (export "canister_update caller")
    (call $msg_caller_copy (i32.const 8) (i32.const 0) (call $msg_caller_size))
    (call $answer_text (i32.const 8) (call $msg_caller_size)))
  (func (export "canister_query count") (call $answer_i32 (global.get $count)))
"#;

/// Both on one replica.
pub struct Pair {
    pub world: World,
    pub caller: Principal,
    pub callee: Principal,
}

impl Pair {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let mut world = World {
            ic: Replica::new(config),
        };
        let caller = world.install(CALLER);
        let callee = world.install(CALLEE);
        Self {
            world,
            caller,
            callee,
        }
    }

    /// Lets the caller call `method` of the callee, and says what it found out.
    pub fn call(&mut self, cycles: u64, timeout_s: u32, method: &str) -> Outcome {
        let order = order(self.callee, cycles, timeout_s, method);
        Outcome::parse(&self.world.update(self.caller, "call", &order).unwrap())
    }
}

/// The argument that tells [`CALLER`] what to call.
pub fn order(callee: Principal, cycles: u64, timeout_s: u32, method: &str) -> Vec<u8> {
    let mut order = callee.as_slice().to_vec();
    assert_eq!(order.len(), 10);
    order.extend(cycles.to_le_bytes());
    order.extend(timeout_s.to_le_bytes());
    order.extend(method.as_bytes());
    order
}

/// What [`CALLER`]'s `call` found out.
#[derive(Debug, Eq, PartialEq)]
pub enum Outcome {
    Reply { refund: u128, reply: Vec<u8> },
    Reject { code: u32, text: String },
}

impl Outcome {
    pub fn parse(answer: &[u8]) -> Self {
        match answer[0] {
            b'R' => Self::Reply {
                refund: u128::from_le_bytes(answer[1..17].try_into().unwrap()),
                reply: answer[17..].to_vec(),
            },
            b'J' => Self::Reject {
                code: u32::from_le_bytes(answer[1..5].try_into().unwrap()),
                text: String::from_utf8(answer[5..].to_vec()).unwrap(),
            },
            other => panic!("no outcome begins with {other}"),
        }
    }

    pub fn code(&self) -> u32 {
        match self {
            Self::Reply { .. } => 0,
            Self::Reject { code, .. } => *code,
        }
    }
}
