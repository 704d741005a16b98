//! Queries: executed on the present state, and taken back.
//!
//! A composite query calls other queries. Each runs at once on the present state and is taken back;
//! what the caller has changed so far is kept aside meanwhile, put back for its callbacks, and
//! dropped at the end. So a canister that is called back by its callee shows that one its committed
//! state.

use super::Replica;
use crate::ic0::{Certificate, Closure, Context, Input, OutgoingCall, Trap};
use crate::instance::{Changes, Entry, Finished};
use crate::module::{MethodKind, method_export};
use crate::reject::{ErrorCode, Reject};
use candid::Principal;
use std::collections::VecDeque;

/// How many composite queries may be inside each other.
const MAX_DEPTH: usize = 6;

/// A composite query that waits for what it called.
struct Waiting<'a> {
    canister: Principal,
    caller: Principal,
    method: &'a str,
    /// What it has changed so far.
    changes: Changes,
    calls: VecDeque<OutgoingCall>,
    answer: Option<Result<Vec<u8>, Reject>>,
    instructions: u64,
    last_trap: Option<Reject>,
}

impl Replica {
    /// Executes a query method. Nothing it does stays, except its place in
    /// [`Replica::executions`] and its debug output.
    ///
    /// # Errors
    ///
    /// Its reject; also when there is no such canister or query method, or it does not run.
    pub fn query(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<Vec<u8>, Reject> {
        let mut left = self.config.query_instructions;
        if canister == Principal::management_canister() {
            return Err(Reject::new(
                ErrorCode::CanisterMethodNotFound,
                format!("Query method '{method}' of the management canister is not supported here"),
            ));
        }
        self.evaluate(canister, method, arg, sender, 0, &mut left)
    }

    fn evaluate(
        &mut self,
        id: Principal,
        method: &str,
        arg: Vec<u8>,
        caller: Principal,
        depth: usize,
        left: &mut u64,
    ) -> Result<Vec<u8>, Reject> {
        self.check_takes_calls(id)?;
        let kind = match self
            .canister_ref(id)?
            .instance
            .as_ref()
            .and_then(|instance| instance.module().method(method))
        {
            Some(MethodKind::Update) | None => {
                return Err(Reject::new(
                    ErrorCode::CanisterMethodNotFound,
                    format!("Error from Canister {id}: Canister has no query method '{method}'"),
                ));
            }
            Some(kind) => kind,
        };
        let (context, label) = match kind {
            MethodKind::CompositeQuery => (Context::CompositeQuery, "composite query"),
            _ => (Context::Query, "query"),
        };
        let mut input = self.canister_ref(id)?.input(context, self.time_ns, *left);
        input.caller = caller;
        input.arg = arg;
        if depth == 0 {
            input.certificate = Certificate::OnDemand;
        }
        let export = method_export(kind, method);
        let entry = Entry::Export(&export);
        let label = format!("{label} {method}");
        let mut finished = self.run_query(id, entry, input.clone())?;
        if finished.result == Err(Trap::CertificateNeeded) {
            // Certificates are dear, so one is made only for queries that ask for it, which then
            // start again.
            self.roll_back(id);
            input.certificate = self.make_certificate(id)?;
            finished = self.run_query(id, entry, input)?;
        }
        self.record(id, label, &finished);
        *left = left.saturating_sub(finished.instructions);
        if let Err(trap) = finished.result {
            self.roll_back(id);
            return Err(trap.to_reject(id));
        }
        if finished.effects.calls.is_empty() {
            self.roll_back(id);
            return finished
                .effects
                .answer
                .unwrap_or_else(|| Err(no_reply(id, method)));
        }
        let Some(changes) = self.detach(id) else {
            return Err(Reject::canister_not_found(id));
        };
        let waiting = Waiting {
            canister: id,
            caller,
            method,
            changes,
            calls: finished.effects.calls.into(),
            answer: finished.effects.answer,
            instructions: finished.instructions,
            last_trap: None,
        };
        self.evaluate_calls(waiting, depth, left)
    }

    fn evaluate_calls(
        &mut self,
        mut waiting: Waiting<'_>,
        depth: usize,
        left: &mut u64,
    ) -> Result<Vec<u8>, Reject> {
        let id = waiting.canister;
        while let Some(call) = waiting.calls.pop_front() {
            let result = if depth + 1 >= MAX_DEPTH {
                Err(Reject::new(
                    ErrorCode::QueryCallGraphTooDeep,
                    format!("Composite queries are more than {MAX_DEPTH} deep"),
                ))
            } else if *left == 0 {
                Err(Reject::new(
                    ErrorCode::QueryCallGraphTotalInstructionLimitExceeded,
                    "The composite query and what it called used up all instructions",
                ))
            } else {
                self.evaluate(call.callee, &call.method, call.arg, id, depth + 1, left)
            };
            let (context, label, closure) = match &result {
                Ok(_) => (Context::CompositeReplyCallback, "reply", call.on_reply),
                Err(_) => (Context::CompositeRejectCallback, "reject", call.on_reject),
            };
            let mut input = self.canister_ref(id)?.input(context, self.time_ns, *left);
            match result {
                Ok(reply) => input.arg = reply,
                Err(reject) => input.reject = Some((reject.code, reject.message)),
            }
            let label = format!("{label} {}", call.method);
            let trap = self.run_callback(&mut waiting, closure, input, label, left)?;
            if let (Some(trap), Some(cleanup)) = (trap, call.on_cleanup) {
                let context = Context::CompositeCleanup;
                let input = self.canister_ref(id)?.input(context, self.time_ns, *left);
                let label = format!("cleanup {}", call.method);
                self.run_callback(&mut waiting, cleanup, input, label, left)?;
                waiting.last_trap = Some(trap);
            }
        }
        waiting
            .answer
            .unwrap_or_else(|| Err(waiting.last_trap.unwrap_or(no_reply(id, waiting.method))))
    }

    /// Runs a callback on what its composite query has changed so far. A trap leaves that as it
    /// was, and is handed back.
    fn run_callback(
        &mut self,
        waiting: &mut Waiting<'_>,
        closure: Closure,
        mut input: Input,
        label: String,
        left: &mut u64,
    ) -> Result<Option<Reject>, Reject> {
        let id = waiting.canister;
        input.caller = waiting.caller;
        input.answered = waiting.answer.is_some();
        input.context_instructions = waiting.instructions;
        if let Some(instance) = self.canister_mut(id)?.instance.as_mut() {
            instance.attach(&waiting.changes);
        }
        let finished = self.run_query(id, Entry::Closure(closure), input)?;
        self.record(id, label, &finished);
        *left = left.saturating_sub(finished.instructions);
        waiting.instructions += finished.instructions;
        if let Err(trap) = finished.result {
            self.roll_back(id);
            let reject = trap.to_reject(id);
            waiting.last_trap = Some(reject.clone());
            return Ok(Some(reject));
        }
        if let Some(changes) = self.detach(id) {
            waiting.changes = changes;
        }
        waiting.last_trap = None;
        waiting.answer = waiting.answer.take().or(finished.effects.answer);
        waiting.calls.extend(finished.effects.calls);
        Ok(None)
    }

    fn run_query(
        &mut self,
        id: Principal,
        entry: Entry<'_>,
        input: Input,
    ) -> Result<Finished, Reject> {
        let canister = self.canister_mut(id)?;
        let Some(instance) = canister.instance.as_mut() else {
            return Err(Reject::canister_not_found(id));
        };
        let mut finished = instance.run(entry, input);
        if finished.result != Err(Trap::CertificateNeeded) {
            canister.print(std::mem::take(&mut finished.effects.debug_output));
        }
        Ok(finished)
    }

    fn roll_back(&mut self, id: Principal) {
        if let Some(instance) = self
            .canisters
            .get_mut(&id)
            .and_then(|canister| canister.instance.as_mut())
        {
            instance.rollback();
        }
    }

    fn detach(&mut self, id: Principal) -> Option<Changes> {
        let canister = self.canisters.get_mut(&id)?;
        Some(canister.instance.as_mut()?.detach())
    }

    fn make_certificate(&self, id: Principal) -> Result<Certificate, Reject> {
        let data = &self.canister_ref(id)?.certified_data;
        let bytes = self.keys.certify_data(id, data, self.time_ns);
        Ok(Certificate::Present(bytes.into()))
    }
}

fn no_reply(id: Principal, method: &str) -> Reject {
    Reject::new(
        ErrorCode::CanisterDidNotReply,
        format!("Error from Canister {id}: Canister did not reply to the call of '{method}'"),
    )
}
