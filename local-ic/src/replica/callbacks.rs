//! Answers that come back: the caller's callback, and its cleanup when that traps.

use super::{Replica, Response};
use crate::call_context::Callback;
use crate::faults::{Fault, Message, MessageKind};
use crate::ic0::Context;
use crate::instance::Entry;
use crate::reject::{Reject, RejectCode};
use candid::Principal;

impl Replica {
    pub(super) fn deliver_response(&mut self, response: Response) -> bool {
        let id = response.canister;
        let time_ns = self.time_ns;
        let mut limit = self.config.update_instructions;
        let Some(canister) = self.canisters.get_mut(&id) else {
            return false;
        };
        let Some(callback) = canister.callbacks.remove(&response.callback) else {
            // Given up at its deadline, or uninstalled meanwhile.
            if !response.best_effort {
                canister.cycles = canister.cycles.saturating_add(response.refund);
            }
            return false;
        };
        if let Some(deadline_ns) = callback.deadline_ns {
            self.deadlines.remove(&(deadline_ns, id, response.callback));
        }
        canister.end_call(callback.callee);
        canister.cycles = canister.cycles.saturating_add(response.refund);
        let faults = self.faults.strike(&Message {
            kind: MessageKind::Callback,
            caller: id,
            callee: callback.callee,
            method: &callback.method,
        });
        for (_, fault) in faults {
            if let Fault::Trap { after_instructions } = fault {
                limit = limit.min(after_instructions);
            }
        }
        let (kind, label, closure) = match &response.result {
            Ok(_) => (Context::ReplyCallback, "reply", callback.on_reply),
            Err(_) => (Context::RejectCallback, "reject", callback.on_reject),
        };
        let mut input = canister.input(kind, time_ns, limit);
        let Some(context) = canister.contexts.get_mut(&callback.context) else {
            return false;
        };
        context.open_calls -= 1;
        input.caller = context.caller;
        input.deadline_ns = context.deadline_ns.unwrap_or(0);
        input.cycles_available = context.cycles_available;
        input.cycles_refunded = response.refund;
        input.answered = context.answered;
        input.context_instructions = context.instructions;
        let mut reject = None;
        match response.result {
            Ok(reply) => input.arg = reply,
            Err(Reject { code, message, .. }) => reject = Some((code, message)),
        }
        input.reject = reject.clone();
        if let Some(instance) = canister.instance.as_mut() {
            let finished = instance.run(Entry::Closure(closure), input);
            let trapped = finished.result.is_err();
            let entry = format!("{label} {}", callback.method);
            self.settle(id, callback.context, entry, finished, true);
            if trapped {
                self.clean_up(id, &callback, reject);
            }
        }
        self.close_if_done(id, callback.context);
        true
    }

    /// Lets a canister tidy up after its callback trapped, on the state before that callback.
    /// `reject` is what that callback was about, unless it was a reply.
    fn clean_up(
        &mut self,
        id: Principal,
        callback: &Callback,
        reject: Option<(RejectCode, String)>,
    ) {
        let (time_ns, limit) = (self.time_ns, self.config.update_instructions);
        let Some(closure) = callback.on_cleanup else {
            return;
        };
        let Some(canister) = self.canisters.get_mut(&id) else {
            return;
        };
        let mut input = canister.input(Context::Cleanup, time_ns, limit);
        let Some(context) = canister.contexts.get_mut(&callback.context) else {
            return;
        };
        // A trap of the cleanup does not replace the reason why the call failed.
        let reason = context.last_trap.clone();
        input.caller = context.caller;
        input.reject = reject;
        input.context_instructions = context.instructions;
        if let Some(instance) = canister.instance.as_mut() {
            let finished = instance.run(Entry::Closure(closure), input);
            let entry = format!("cleanup {}", callback.method);
            self.settle(id, callback.context, entry, finished, true);
        }
        if let Some(context) = self
            .canisters
            .get_mut(&id)
            .and_then(|canister| canister.contexts.get_mut(&callback.context))
        {
            context.last_trap = reason;
        }
    }
}
