//! Small canisters written in WebAssembly text, on a replica of their own.
//!
//! [`World::install`] takes the functions of a canister. Around them it puts imports of the system
//! interface, a page of memory, a table, and a few helpers:
//!
//! | helper | does |
//! |---|---|
//! | `$answer_i32`, `$answer_i64` | replies a number, little-endian |
//! | `$answer_text ptr len` | replies bytes of the memory |
//! | `$arg` | copies the argument to 1,000 and gives its length |
//! | `$call ptr len reply reject env` | begins a call to the canister whose 10-byte id is at 1,000 |
//!
//! Numbers below 64 and from 1,000 on are scratch space.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod calls;

use candid::Principal;
use local_ic::{Config, Reject, Replica};

/// Every function of `ic0` with its parameters and result.
const IMPORTS: &[(&str, &str)] = &[
    ("msg_arg_data_size", "(result i32)"),
    ("msg_arg_data_copy", "(param i32 i32 i32)"),
    ("msg_caller_size", "(result i32)"),
    ("msg_caller_copy", "(param i32 i32 i32)"),
    ("msg_caller_info_data_size", "(result i32)"),
    ("msg_caller_info_data_copy", "(param i32 i32 i32)"),
    ("msg_caller_info_signer_size", "(result i32)"),
    ("msg_caller_info_signer_copy", "(param i32 i32 i32)"),
    ("msg_reject_code", "(result i32)"),
    ("msg_reject_msg_size", "(result i32)"),
    ("msg_reject_msg_copy", "(param i32 i32 i32)"),
    ("msg_deadline", "(result i64)"),
    ("msg_reply_data_append", "(param i32 i32)"),
    ("msg_reply", ""),
    ("msg_reject", "(param i32 i32)"),
    ("msg_method_name_size", "(result i32)"),
    ("msg_method_name_copy", "(param i32 i32 i32)"),
    ("accept_message", ""),
    ("call_new", "(param i32 i32 i32 i32 i32 i32 i32 i32)"),
    ("call_on_cleanup", "(param i32 i32)"),
    ("call_data_append", "(param i32 i32)"),
    ("call_with_best_effort_response", "(param i32)"),
    ("call_cycles_add128", "(param i64 i64)"),
    ("call_perform", "(result i32)"),
    ("msg_cycles_available128", "(param i32)"),
    ("msg_cycles_refunded128", "(param i32)"),
    ("msg_cycles_accept128", "(param i64 i64 i32)"),
    ("cycles_burn128", "(param i64 i64 i32)"),
    ("canister_cycle_balance128", "(param i32)"),
    ("canister_liquid_cycle_balance128", "(param i32)"),
    ("canister_self_size", "(result i32)"),
    ("canister_self_copy", "(param i32 i32 i32)"),
    ("canister_status", "(result i32)"),
    ("canister_version", "(result i64)"),
    ("subnet_self_size", "(result i32)"),
    ("subnet_self_copy", "(param i32 i32 i32)"),
    ("subnet_self_node_count", "(result i32)"),
    ("is_controller", "(param i32 i32) (result i32)"),
    ("in_replicated_execution", "(result i32)"),
    ("certified_data_set", "(param i32 i32)"),
    ("data_certificate_present", "(result i32)"),
    ("data_certificate_size", "(result i32)"),
    ("data_certificate_copy", "(param i32 i32 i32)"),
    ("root_key_size", "(result i32)"),
    ("root_key_copy", "(param i32 i32 i32)"),
    ("env_var_count", "(result i32)"),
    ("env_var_name_size", "(param i32) (result i32)"),
    ("env_var_name_copy", "(param i32 i32 i32 i32)"),
    ("env_var_name_exists", "(param i32 i32) (result i32)"),
    ("env_var_value_size", "(param i32 i32) (result i32)"),
    ("env_var_value_copy", "(param i32 i32 i32 i32 i32)"),
    ("stable64_size", "(result i64)"),
    ("stable64_grow", "(param i64) (result i64)"),
    ("stable64_read", "(param i64 i64 i64)"),
    ("stable64_write", "(param i64 i64 i64)"),
    ("time", "(result i64)"),
    ("global_timer_set", "(param i64) (result i64)"),
    ("performance_counter", "(param i32) (result i64)"),
    ("cost_call", "(param i64 i64 i32)"),
    ("cost_create_canister", "(param i32)"),
    ("cost_http_request", "(param i64 i64 i32)"),
    ("cost_http_request_v2", "(param i32 i32 i32)"),
    (
        "cost_sign_with_ecdsa",
        "(param i32 i32 i32 i32) (result i32)",
    ),
    (
        "cost_sign_with_schnorr",
        "(param i32 i32 i32 i32) (result i32)",
    ),
    (
        "cost_vetkd_derive_key",
        "(param i32 i32 i32 i32) (result i32)",
    ),
    ("debug_print", "(param i32 i32)"),
    ("trap", "(param i32 i32)"),
    ("stable_size", "(result i32)"),
    ("stable_grow", "(param i32) (result i32)"),
    ("stable_read", "(param i32 i32 i32)"),
    ("stable_write", "(param i32 i32 i32)"),
    ("call_cycles_add", "(param i64)"),
    ("msg_cycles_available", "(result i64)"),
    ("msg_cycles_refunded", "(result i64)"),
    ("msg_cycles_accept", "(param i64) (result i64)"),
    ("canister_cycle_balance", "(result i64)"),
];

const HELPERS: &str = r#"
  (func $answer_i32 (param i32)
    (i32.store (i32.const 0) (local.get 0))
    (call $answer_text (i32.const 0) (i32.const 4)))
  (func $answer_i64 (param i64)
    (i64.store (i32.const 0) (local.get 0))
    (call $answer_text (i32.const 0) (i32.const 8)))
  (func $answer_text (param i32 i32)
    (call $msg_reply_data_append (local.get 0) (local.get 1))
    (call $msg_reply))
  (func $arg (result i32)
    (call $msg_arg_data_copy (i32.const 1000) (i32.const 0) (call $msg_arg_data_size))
    (call $msg_arg_data_size))
  (func $call (param i32 i32 i32 i32 i32)
    (call $call_new (i32.const 1000) (i32.const 10) (local.get 0) (local.get 1)
      (local.get 2) (local.get 4) (local.get 3) (local.get 4)))
"#;

/// A module of these functions, with imports, memory, table and helpers around them.
pub fn module(functions: &str) -> Vec<u8> {
    let imports: String = IMPORTS
        .iter()
        .map(|(name, ty)| format!("(import \"ic0\" \"{name}\" (func ${name} {ty}))\n"))
        .collect();
    let text = format!("(module {imports} (memory 1) (table 16 funcref) {HELPERS} {functions})");
    wat::parse_str(&text).expect("the test's module is well formed")
}

/// All names the table of imports has.
pub fn import_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    IMPORTS.iter().copied()
}

pub fn user() -> Principal {
    Principal::self_authenticating(b"user")
}

pub struct World {
    pub ic: Replica,
}

impl World {
    pub fn new() -> Self {
        Self {
            ic: Replica::new(Config::default()),
        }
    }

    /// Creates a canister of these functions.
    pub fn install(&mut self, functions: &str) -> Principal {
        let id = self.ic.create_canister(user());
        self.ic
            .install(id, &module(functions), vec![])
            .expect("installs");
        id
    }

    pub fn update(&mut self, id: Principal, method: &str, arg: &[u8]) -> Result<Vec<u8>, Reject> {
        self.ic.update(user(), id, method, arg.to_vec())
    }

    pub fn query(&mut self, id: Principal, method: &str, arg: &[u8]) -> Result<Vec<u8>, Reject> {
        self.ic.query(user(), id, method, arg.to_vec())
    }

    /// What a method answers, as a number of 4 or 8 bytes.
    pub fn number(&mut self, id: Principal, method: &str, arg: &[u8]) -> u64 {
        number(&self.update(id, method, arg).expect("answers"))
    }

    /// What a query answers, as a number of 4 or 8 bytes.
    pub fn ask(&mut self, id: Principal, method: &str) -> u64 {
        number(&self.query(id, method, &[]).expect("answers"))
    }
}

pub fn number(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(number)
}

/// The error code and text of a rejection that must have come.
pub fn rejected(result: Result<Vec<u8>, Reject>) -> (String, String) {
    let reject = result.expect_err("is rejected");
    (reject.error_code, reject.message)
}

/// Whether a rejection with this error code and these words in its text came.
#[track_caller]
pub fn assert_rejected(result: Result<Vec<u8>, Reject>, code: &str, words: &str) {
    let (error_code, message) = rejected(result);
    assert_eq!(error_code, code, "{message}");
    assert!(
        message.contains(words),
        "`{message}` does not contain `{words}`"
    );
}
