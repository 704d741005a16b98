//! One canister: its code, its money, its settings and the calls it is part of.

use crate::call_context::{CallContext, Callback, Origin};
use crate::faults::ReplyFault;
use crate::ic0::{Context, Facts, Input};
use crate::instance::Instance;
use crate::module::Metadata;
use candid::{Nat, Principal};
use ic_management_canister_types::{Change, LogVisibility};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many changes of a canister's code and controllers are remembered.
const MAX_HISTORY: usize = 20;

/// How many lines of debug output are remembered.
const MAX_DEBUG_LINES: usize = 1_000;

/// Whether a canister takes messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// It takes messages.
    Running,
    /// It takes only answers to its own calls, and stops when none is open.
    Stopping,
    /// It takes none.
    Stopped,
}

/// Somebody who asked for the canister to stop.
#[derive(Debug)]
pub(crate) struct StopRequest {
    pub(crate) origin: Origin,
    pub(crate) cycles: u128,
    pub(crate) since_ns: u64,
    pub(crate) reply_faults: Vec<ReplyFault>,
}

/// Settings that are kept and shown. Only environment variables have an effect here.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) compute_allocation: Nat,
    pub(crate) memory_allocation: Nat,
    pub(crate) freezing_threshold: Nat,
    pub(crate) reserved_cycles_limit: Nat,
    pub(crate) log_visibility: LogVisibility,
    pub(crate) log_memory_limit: Nat,
    pub(crate) wasm_memory_limit: Nat,
    pub(crate) wasm_memory_threshold: Nat,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            compute_allocation: 0u8.into(),
            memory_allocation: 0u8.into(),
            freezing_threshold: 2_592_000u32.into(),
            reserved_cycles_limit: 5_000_000_000_000u64.into(),
            log_visibility: LogVisibility::Controllers,
            log_memory_limit: 4_096u32.into(),
            wasm_memory_limit: 3_221_225_472u64.into(),
            wasm_memory_threshold: 0u8.into(),
        }
    }
}

pub(crate) struct Canister {
    pub(crate) facts: Arc<Facts>,
    pub(crate) instance: Option<Instance>,
    /// Grows with every change of code, settings, status or state.
    pub(crate) version: u64,
    pub(crate) cycles: u128,
    pub(crate) certified_data: Vec<u8>,
    /// When the global timer is due, in ns; 0 for off.
    pub(crate) timer_ns: u64,
    /// The time at which the timer ran last and how often it ran then.
    pub(crate) timer_runs: (u64, u32),
    pub(crate) stopping: Option<Vec<StopRequest>>,
    pub(crate) stopped: bool,
    pub(crate) settings: Settings,
    pub(crate) chunks: BTreeMap<[u8; 32], Vec<u8>>,
    pub(crate) history: VecDeque<Change>,
    pub(crate) total_changes: u64,
    pub(crate) contexts: BTreeMap<u64, CallContext>,
    pub(crate) callbacks: BTreeMap<u64, Callback>,
    /// Open calls by callee; no entry is 0.
    pub(crate) open_calls: BTreeMap<Principal, usize>,
    pub(crate) debug_output: VecDeque<String>,
}

impl Canister {
    pub(crate) fn new(facts: Facts, cycles: u128) -> Self {
        Self {
            facts: Arc::new(facts),
            instance: None,
            version: 0,
            cycles,
            certified_data: Vec::new(),
            timer_ns: 0,
            timer_runs: (0, 0),
            stopping: None,
            stopped: false,
            settings: Settings::default(),
            chunks: BTreeMap::new(),
            history: VecDeque::new(),
            total_changes: 0,
            contexts: BTreeMap::new(),
            callbacks: BTreeMap::new(),
            open_calls: BTreeMap::new(),
            debug_output: VecDeque::new(),
        }
    }

    pub(crate) fn status(&self) -> Status {
        match (self.stopped, &self.stopping) {
            (true, _) => Status::Stopped,
            (false, Some(_)) => Status::Stopping,
            (false, None) => Status::Running,
        }
    }

    pub(crate) fn is_controller(&self, principal: Principal) -> bool {
        self.facts.controllers.contains(&principal)
    }

    /// What every message of this canister finds; the caller fills in the rest.
    pub(crate) fn input(&self, context: Context, time_ns: u64, instruction_limit: u64) -> Input {
        Input {
            context,
            facts: self.facts.clone(),
            version: self.version,
            status: match self.status() {
                Status::Running => 1,
                Status::Stopping => 2,
                Status::Stopped => 3,
            },
            time_ns,
            timer_ns: self.timer_ns,
            balance: self.cycles,
            instruction_limit,
            open_calls: self.open_calls.clone(),
            ..Input::default()
        }
    }

    /// Counts a call to `callee` as ended.
    pub(crate) fn end_call(&mut self, callee: Principal) {
        if let Some(open) = self.open_calls.get_mut(&callee) {
            *open -= 1;
            if *open == 0 {
                self.open_calls.remove(&callee);
            }
        }
    }

    pub(crate) fn remember(&mut self, change: Change) {
        if self.history.len() == MAX_HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(change);
        self.total_changes += 1;
    }

    pub(crate) fn print(&mut self, lines: Vec<String>) {
        for line in lines {
            tracing::debug!(canister = %self.facts.canister, "{line}");
            if self.debug_output.len() == MAX_DEBUG_LINES {
                self.debug_output.pop_front();
            }
            self.debug_output.push_back(line);
        }
    }

    pub(crate) fn info(&self) -> CanisterInfo<'_> {
        let module = self.instance.as_ref().map(Instance::module);
        CanisterInfo {
            status: self.status(),
            controllers: &self.facts.controllers,
            certified_data: &self.certified_data,
            module_hash: module.map(|module| module.hash),
            metadata: module.map_or(&[], |module| &module.metadata),
            cycles: self.cycles,
            timer_ns: self.timer_ns,
            heap_bytes: self.instance.as_ref().map_or(0, Instance::heap_len),
            stable_pages: self
                .instance
                .as_ref()
                .map_or(0, |instance| instance.stable().size_pages()),
            open_call_contexts: self.contexts.len(),
        }
    }
}

/// What can be seen of a canister from outside.
#[derive(Clone, Copy, Debug)]
pub struct CanisterInfo<'a> {
    /// Whether it takes messages.
    pub status: Status,
    /// Who may change it.
    pub controllers: &'a [Principal],
    /// What it has certified, at most 32 bytes.
    pub certified_data: &'a [u8],
    /// SHA-256 of its module as installed; `None` when it has none.
    pub module_hash: Option<[u8; 32]>,
    /// The published custom sections of its module.
    pub metadata: &'a [Metadata],
    /// Its balance.
    pub cycles: u128,
    /// When its global timer is due, in ns; 0 for off.
    pub timer_ns: u64,
    /// The size of its heap.
    pub heap_bytes: usize,
    /// The size of its stable memory in pages of 64 KiB.
    pub stable_pages: u64,
    /// Calls it has begun to work on and not ended.
    pub open_call_contexts: usize,
}
