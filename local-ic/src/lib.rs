//! An embedded Internet Computer, for demos, tests and benches.
//!
//! Canisters run as WebAssembly in an interpreter, with the whole system interface: calls between
//! canisters, commit and rollback, timers, stable memory, certified data, upgrades, cycles. Time is
//! moved by hand and all randomness comes from a seed, so that a test does the same every time; and
//! messages can be lost, delayed and made to trap on purpose ([`Faults`]).
//!
//! ```
//! use candid::Principal;
//! use local_ic::{Config, Replica};
//!
//! let mut replica = Replica::new(Config::default());
//! let user = Principal::anonymous();
//! let id = replica.create_canister(user);
//! # let wasm = wat::parse_str(r#"(module
//! #     (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
//! #     (import "ic0" "msg_reply" (func $reply))
//! #     (memory 1) (data (i32.const 0) "hello")
//! #     (func (export "canister_query greet")
//! #         (call $append (i32.const 0) (i32.const 5)) (call $reply)))"#).unwrap();
//! replica.install(id, &wasm, vec![]).unwrap();
//! assert_eq!(replica.query(user, id, "greet", vec![]).unwrap(), b"hello");
//! ```
//!
//! It knows one subnet with one node. There is no consensus and nothing costs cycles. It is made
//! for one machine and must not be reachable from others.

#![forbid(unsafe_code)]

pub mod canister_build;

mod auth;
mod call_context;
mod canister;
mod certificate;
mod cost;
mod faults;
mod http;
mod ic0;
mod instance;
mod management;
mod module;
mod network;
mod reject;
mod replica;
mod runtime;
mod server;
mod stable_memory;
mod state_tree;
mod turns;
mod view;

pub use canister::{CanisterInfo, Status};
pub use canister_build::{BuildError, canister_wasm};
pub use faults::{Fault, Faults, MessageKind, RuleId, Target, Until};
pub use module::{Metadata, MethodKind};
pub use reject::{Reject, RejectCode};
pub use replica::{
    Config, ExecutionRecord, Ingress, IngressRecord, IngressStatus, InstallMode, MessageId, Replica,
};
pub use server::{Clock, Server};
