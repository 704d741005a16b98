//! Calls that have begun and not ended.
//!
//! ```text
//! request --> CallContext --call_perform--> Callback --request--> callee
//!    ^            |  ^                         |                    |
//!    +---answer---+  +-------- reply or reject runs the closure ----+
//! ```
//!
//! A context lives until it has neither an open call nor somebody waiting for an answer. Answering
//! does not end it: its callbacks still run, they just cannot answer again.

use crate::faults::ReplyFault;
use crate::ic0::Closure;
use crate::reject::Reject;
use crate::replica::MessageId;
use candid::Principal;

/// Who waits for an answer.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A user, who finds the answer in the ingress history.
    Ingress(MessageId),
    /// A canister, in one of its callbacks.
    Call {
        canister: Principal,
        callback: u64,
        /// Nobody waits after the deadline, and what comes then is lost.
        best_effort: bool,
    },
    /// Nobody: a timer or heartbeat.
    Task,
}

/// One call being worked on by a canister.
#[derive(Debug)]
pub(crate) struct CallContext {
    pub(crate) origin: Origin,
    /// Who called, as every message of this context sees it.
    pub(crate) caller: Principal,
    pub(crate) method: String,
    /// Attached cycles that were neither accepted nor refunded yet.
    pub(crate) cycles_available: u128,
    pub(crate) answered: bool,
    /// Callbacks that have not run yet.
    pub(crate) open_calls: usize,
    /// Counted by all messages of this context so far.
    pub(crate) instructions: u64,
    pub(crate) deadline_ns: Option<u64>,
    /// Why the last message of this context trapped, if it did.
    pub(crate) last_trap: Option<Reject>,
    pub(crate) reply_faults: Vec<ReplyFault>,
}

/// What to do when the answer to a call comes.
#[derive(Debug)]
pub(crate) struct Callback {
    pub(crate) context: u64,
    pub(crate) callee: Principal,
    pub(crate) method: String,
    pub(crate) on_reply: Closure,
    pub(crate) on_reject: Closure,
    pub(crate) on_cleanup: Option<Closure>,
    pub(crate) deadline_ns: Option<u64>,
}
