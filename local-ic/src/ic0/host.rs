//! What one execution finds, and what it does.
//!
//! The engine owns a [`Host`] per canister. Before an execution the replica puts an [`Input`] into
//! it; system functions read that and collect [`Effects`]; afterwards the replica takes the effects
//! out and applies them, or drops them when the execution trapped. Nothing in here reaches the
//! replica directly.

use super::context::Context;
use crate::reject::{Reject, RejectCode};
use crate::stable_memory::StableMemory;
use candid::Principal;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmi::{Memory, StoreLimits};

/// The engine's data for one canister.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) memory: Option<Memory>,
    pub(crate) stable: StableMemory,
    pub(crate) limits: StoreLimits,
    /// The heap's size in bytes when the execution began. The engine counts one instruction per
    /// byte the heap grows, which the Internet Computer does not; so that is taken off again.
    pub(crate) heap_before: usize,
    pub(crate) input: Input,
    pub(crate) effects: Effects,
}

impl Host {
    /// Whether the call was answered, by this message or an earlier one.
    pub(crate) fn is_answered(&self) -> bool {
        self.input.answered || self.effects.answer.is_some()
    }
}

/// What a canister can know about itself and its surroundings.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) canister: Principal,
    pub(crate) controllers: Vec<Principal>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) subnet: Principal,
    pub(crate) root_key: Arc<[u8]>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            canister: Principal::management_canister(),
            controllers: Vec::new(),
            environment: Vec::new(),
            subnet: Principal::management_canister(),
            root_key: Arc::new([]),
        }
    }
}

/// The certificate of a query.
#[derive(Clone, Debug, Default)]
pub(crate) enum Certificate {
    /// This execution gets none.
    #[default]
    Absent,
    /// One can be made when it is asked for.
    OnDemand,
    Present(Arc<[u8]>),
}

/// What an execution finds.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) context: Context,
    pub(crate) facts: Arc<Facts>,
    pub(crate) version: u64,
    /// 1 running, 2 stopping, 3 stopped.
    pub(crate) status: u32,
    pub(crate) caller: Principal,
    /// Argument, or the reply in a reply callback.
    pub(crate) arg: Vec<u8>,
    /// The method, for `inspect_message`.
    pub(crate) method: String,
    pub(crate) reject: Option<(RejectCode, String)>,
    /// When the caller stops waiting, in ns; 0 for never.
    pub(crate) deadline_ns: u64,
    pub(crate) time_ns: u64,
    /// The present deadline of the global timer in ns; 0 for off.
    pub(crate) timer_ns: u64,
    pub(crate) balance: u128,
    pub(crate) cycles_available: u128,
    pub(crate) cycles_refunded: u128,
    /// Whether this call context was answered by an earlier message.
    pub(crate) answered: bool,
    /// What earlier messages of this call context counted.
    pub(crate) context_instructions: u64,
    pub(crate) instruction_limit: u64,
    pub(crate) certificate: Certificate,
    /// Open calls by callee; one callee gets only so many at once.
    pub(crate) open_calls: BTreeMap<Principal, usize>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            context: Context::Start,
            facts: Arc::default(),
            version: 0,
            status: 1,
            caller: Principal::anonymous(),
            arg: Vec::new(),
            method: String::new(),
            reject: None,
            deadline_ns: 0,
            time_ns: 0,
            timer_ns: 0,
            balance: 0,
            cycles_available: 0,
            cycles_refunded: 0,
            answered: false,
            context_instructions: 0,
            instruction_limit: 0,
            certificate: Certificate::Absent,
            open_calls: BTreeMap::new(),
        }
    }
}

/// A function of the canister with its environment, called when an answer comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Closure {
    /// Index into table 0.
    pub(crate) function: u32,
    pub(crate) environment: u32,
}

/// A call to another canister, under construction or on its way.
#[derive(Clone, Debug)]
pub(crate) struct OutgoingCall {
    pub(crate) callee: Principal,
    pub(crate) method: String,
    pub(crate) arg: Vec<u8>,
    pub(crate) cycles: u128,
    pub(crate) on_reply: Closure,
    pub(crate) on_reject: Closure,
    pub(crate) on_cleanup: Option<Closure>,
    /// Seconds the caller is willing to wait; `None` waits for ever.
    pub(crate) timeout_s: Option<u32>,
}

/// What an execution did, beside changing its memories.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Data for a reply that has not been sent.
    pub(crate) reply_data: Vec<u8>,
    pub(crate) answer: Option<Result<Vec<u8>, Reject>>,
    pub(crate) building: Option<OutgoingCall>,
    pub(crate) calls: Vec<OutgoingCall>,
    /// The memory these calls take, in bytes.
    pub(crate) queued_bytes: usize,
    /// The balance after it.
    pub(crate) balance: u128,
    pub(crate) cycles_available: u128,
    pub(crate) open_calls: BTreeMap<Principal, usize>,
    pub(crate) certified_data: Option<Vec<u8>>,
    pub(crate) timer_ns: Option<u64>,
    pub(crate) message_accepted: bool,
    /// Kept even if the execution traps.
    pub(crate) debug_output: Vec<String>,
}

impl Effects {
    /// What stands before an execution with this input has done anything.
    pub(crate) fn of(input: &Input) -> Self {
        Self {
            balance: input.balance,
            cycles_available: input.cycles_available,
            open_calls: input.open_calls.clone(),
            ..Self::default()
        }
    }
}
