//! What waits to be executed.

use crate::call_context::Origin;
use crate::faults::{ReplyFault, RuleId};
use crate::reject::Reject;
use candid::Principal;

/// A request on its way to a canister.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) origin: Origin,
    pub(super) caller: Principal,
    pub(super) callee: Principal,
    pub(super) method: String,
    pub(super) arg: Vec<u8>,
    pub(super) cycles: u128,
    pub(super) deadline_ns: Option<u64>,
    /// What faults do to its execution; `None` until the rules have seen it.
    pub(super) struck: Option<Struck>,
}

/// What faults do to an execution that does take place.
#[derive(Clone, Debug, Default)]
pub(super) struct Struck {
    pub(super) instruction_limit: Option<u64>,
    pub(super) reply_faults: Vec<ReplyFault>,
}

/// An answer on its way to a caller.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) canister: Principal,
    pub(super) callback: u64,
    pub(super) result: Result<Vec<u8>, Reject>,
    pub(super) refund: u128,
    pub(super) best_effort: bool,
}

/// Something to execute.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Request(Box<Request>),
    Response(Box<Response>),
    Timer(Principal),
    Heartbeat(Principal),
}

/// A task that a fault holds back.
pub(super) struct Held {
    pub(super) task: Task,
    pub(super) rule: RuleId,
    /// When it moves on by itself, in ns.
    pub(super) until_ns: Option<u64>,
}
