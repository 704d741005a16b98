//! The end of an execution: what it did is kept or taken back, its calls and its answer leave.

use super::{Replica, Request, Task};
use crate::call_context::{Callback, Origin};
use crate::canister::Canister;
use crate::ic0::{Effects, OutgoingCall};
use crate::instance::Finished;
use candid::Principal;

impl Replica {
    /// Keeps or takes back what an execution did; `keep_memory` is false for queries, of which
    /// only cycles and the answer stay.
    pub(super) fn settle(
        &mut self,
        id: Principal,
        context_id: u64,
        entry: String,
        finished: Finished,
        keep_memory: bool,
    ) {
        self.record(id, entry, &finished);
        let Finished {
            result,
            instructions,
            mut effects,
            ..
        } = finished;
        let Some(canister) = self.canisters.get_mut(&id) else {
            return;
        };
        canister.print(std::mem::take(&mut effects.debug_output));
        let (Some(instance), Some(context)) = (
            canister.instance.as_mut(),
            canister.contexts.get_mut(&context_id),
        ) else {
            return;
        };
        context.instructions += instructions;
        if let Err(trap) = result {
            instance.rollback();
            context.last_trap = Some(trap.to_reject(id));
            return;
        }
        if keep_memory {
            instance.commit();
        } else {
            instance.rollback();
        }
        context.last_trap = None;
        context.cycles_available = effects.cycles_available;
        let answer = effects.answer.take();
        let calls = std::mem::take(&mut effects.calls);
        canister.version += 1;
        canister.apply(effects);
        for call in calls {
            self.send(id, context_id, call);
        }
        if let Some(answer) = answer {
            self.answer(id, context_id, answer);
        }
    }

    fn send(&mut self, id: Principal, context_id: u64, call: OutgoingCall) {
        let number = self.number();
        let deadline_ns = call.timeout_s.map(|seconds| {
            self.time_ns
                .saturating_add(u64::from(seconds) * 1_000_000_000)
        });
        let Some(canister) = self.canisters.get_mut(&id) else {
            return;
        };
        if let Some(context) = canister.contexts.get_mut(&context_id) {
            context.open_calls += 1;
        }
        if let Some(deadline_ns) = deadline_ns {
            self.deadlines.insert((deadline_ns, id, number));
        }
        canister.callbacks.insert(
            number,
            Callback {
                context: context_id,
                callee: call.callee,
                method: call.method.clone(),
                on_reply: call.on_reply,
                on_reject: call.on_reject,
                on_cleanup: call.on_cleanup,
                deadline_ns,
            },
        );
        self.queue.push_back(Task::Request(Box::new(Request {
            origin: Origin::Call {
                canister: id,
                callback: number,
                best_effort: deadline_ns.is_some(),
            },
            caller: id,
            callee: call.callee,
            method: call.method,
            arg: call.arg,
            cycles: call.cycles,
            deadline_ns,
            struck: None,
        })));
    }
}

impl Canister {
    /// Takes over what an execution that ended well did beside its memories.
    pub(super) fn apply(&mut self, effects: Effects) {
        self.cycles = effects.balance;
        self.open_calls = effects.open_calls;
        if let Some(data) = effects.certified_data {
            self.certified_data = data;
        }
        if let Some(timer_ns) = effects.timer_ns {
            self.timer_ns = timer_ns;
        }
    }
}
