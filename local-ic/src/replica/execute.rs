//! Executes one task: a request, an answer, a timer or a heartbeat.
//!
//! Each execution ends in [`Replica::settle`], which keeps or takes back what it did, lets its
//! calls and its answer leave, and closes the call context when nothing is left to wait for.

use super::{Held, Replica, Request, Response, Struck, Task};
use crate::call_context::{CallContext, Callback, Origin};
use crate::canister::Status;
use crate::faults::{Fault, Message, MessageKind, ReplyFault, RuleId, Until};
use crate::ic0::{Context, Effects, OutgoingCall};
use crate::instance::{Entry, Finished};
use crate::management;
use crate::module::{Hook, MethodKind, method_export};
use crate::reject::{ErrorCode, Reject};
use candid::Principal;

impl Replica {
    /// Executes a task; `false` when nothing was executed: nobody waits for it any more, or a
    /// fault holds it back.
    pub(super) fn execute(&mut self, task: Task) -> bool {
        match task {
            Task::Request(request) => self.deliver_request(*request),
            Task::Response(response) => self.deliver_response(*response),
            Task::Timer(id) => self.run_hook(id, Hook::GlobalTimer, "timer"),
            Task::Heartbeat(id) => self.run_hook(id, Hook::Heartbeat, "heartbeat"),
        }
    }

    fn deliver_request(&mut self, mut request: Request) -> bool {
        if request
            .deadline_ns
            .is_some_and(|deadline| deadline <= self.time_ns)
        {
            // The caller was told that the outcome is unknown; what is still queued is dropped.
            return false;
        }
        if request.struck.is_none() {
            let mut struck = Struck::default();
            let (mut refused, mut delayed) = (None, None);
            for (rule, fault) in self.faults.strike(&request.for_rules()) {
                match fault {
                    Fault::RejectBefore { code, message } => {
                        refused = Some(Reject::with_code(code, message));
                    }
                    Fault::DelayCall(until) => delayed = Some((rule, until)),
                    Fault::StopCallee => {
                        // Should it not exist, the request is rejected for that.
                        let _ = self.begin_stop(request.callee, None);
                    }
                    Fault::Trap { after_instructions } => {
                        struck.instruction_limit = Some(after_instructions);
                    }
                    Fault::LoseReply => struck.reply_faults.push(ReplyFault::Lose),
                    Fault::DelayReply(until) => {
                        struck.reply_faults.push(ReplyFault::Delay(rule, until));
                    }
                }
            }
            request.struck = Some(struck);
            if let Some(reject) = refused {
                self.respond(request.origin, Err(reject), request.cycles, &[]);
                return true;
            }
            if let Some((rule, until)) = delayed {
                self.hold(Task::Request(Box::new(request)), rule, until);
                return false;
            }
        }
        let struck = request.struck.take().unwrap_or_default();
        if request.callee == Principal::management_canister() {
            management::execute(self, request.into_management(struck.reply_faults));
        } else {
            self.call_method(request, struck);
        }
        true
    }

    pub(super) fn hold(&mut self, task: Task, rule: RuleId, until: Until) {
        let until_ns = match until {
            Until::Released => None,
            Until::Elapsed(time) => {
                Some(self.time_ns.saturating_add(super::tasks::nanoseconds(time)))
            }
        };
        self.held.push(Held {
            task,
            rule,
            until_ns,
        });
    }

    fn call_method(&mut self, request: Request, struck: Struck) {
        let id = request.callee;
        let checked = self
            .check_takes_calls(id)
            .and_then(|()| self.check_update_method(id, &request.method));
        let kind = match checked {
            Ok(kind) => kind,
            Err(reject) => {
                self.respond(
                    request.origin,
                    Err(reject),
                    request.cycles,
                    &struck.reply_faults,
                );
                return;
            }
        };
        if let Origin::Ingress(message) = request.origin {
            self.ingress.set(message, super::IngressStatus::Processing);
        }
        let context_id = self.number();
        let (time_ns, limit) = (self.time_ns, self.config.update_instructions);
        let Some(canister) = self.canisters.get_mut(&id) else {
            return;
        };
        let (context, label) = match kind {
            MethodKind::Update => (Context::Update, "update"),
            _ => (Context::ReplicatedQuery, "replicated query"),
        };
        let mut input = canister.input(
            context,
            time_ns,
            struck.instruction_limit.map_or(limit, |few| few.min(limit)),
        );
        input.caller = request.caller;
        input.arg = request.arg;
        input.deadline_ns = request.deadline_ns.unwrap_or(0);
        input.cycles_available = request.cycles;
        let entry = format!("{label} {}", request.method);
        let export = method_export(kind, &request.method);
        canister.contexts.insert(
            context_id,
            CallContext {
                origin: request.origin,
                caller: request.caller,
                method: request.method,
                cycles_available: request.cycles,
                answered: false,
                open_calls: 0,
                instructions: 0,
                deadline_ns: request.deadline_ns,
                last_trap: None,
                reply_faults: struck.reply_faults,
            },
        );
        if let Some(instance) = canister.instance.as_mut() {
            let finished = instance.run(Entry::Export(&export), input);
            self.settle(id, context_id, entry, finished, kind == MethodKind::Update);
        }
        self.close_if_done(id, context_id);
    }

    fn deliver_response(&mut self, response: Response) -> bool {
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
        match response.result {
            Ok(reply) => input.arg = reply,
            Err(reject) => input.reject = Some((reject.code, reject.message)),
        }
        if let Some(instance) = canister.instance.as_mut() {
            let finished = instance.run(Entry::Closure(closure), input);
            let trapped = finished.result.is_err();
            let entry = format!("{label} {}", callback.method);
            self.settle(id, callback.context, entry, finished, true);
            if trapped {
                self.clean_up(id, &callback);
            }
        }
        self.close_if_done(id, callback.context);
        true
    }

    /// Lets a canister tidy up after its callback trapped, on the state before that callback.
    fn clean_up(&mut self, id: Principal, callback: &Callback) {
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

    fn run_hook(&mut self, id: Principal, hook: Hook, label: &str) -> bool {
        let context_id = self.number();
        let time_ns = self.time_ns;
        let mut limit = self.config.update_instructions;
        let faults = self.faults.strike(&Message {
            kind: MessageKind::Task,
            caller: id,
            callee: id,
            method: hook.export(),
        });
        for (_, fault) in faults {
            if let Fault::Trap { after_instructions } = fault {
                limit = limit.min(after_instructions);
            }
        }
        let Some(canister) = self.canisters.get_mut(&id) else {
            return false;
        };
        if canister.status() != Status::Running {
            return false;
        }
        let mut input = canister.input(Context::SystemTask, time_ns, limit);
        let Some(instance) = canister
            .instance
            .as_mut()
            .filter(|it| it.module().has(hook))
        else {
            return false;
        };
        input.caller = Principal::management_canister();
        canister.contexts.insert(
            context_id,
            CallContext {
                origin: Origin::Task,
                caller: Principal::management_canister(),
                method: hook.export().to_owned(),
                cycles_available: 0,
                answered: false,
                open_calls: 0,
                instructions: 0,
                deadline_ns: None,
                last_trap: None,
                reply_faults: Vec::new(),
            },
        );
        let finished = instance.run(Entry::Export(hook.export()), input);
        self.settle(id, context_id, label.to_owned(), finished, true);
        self.close_if_done(id, context_id);
        true
    }

    /// Keeps or takes back what an execution did; `keep_memory` is false for queries, of which
    /// only cycles and the answer stay.
    fn settle(
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

    /// Refuses calls to canisters that are not there, not running, or empty.
    pub(super) fn check_takes_calls(&self, id: Principal) -> Result<(), Reject> {
        let canister = self.canister_ref(id)?;
        match canister.status() {
            Status::Running => {}
            Status::Stopping => {
                return Err(Reject::new(
                    ErrorCode::CanisterStopping,
                    format!("Canister {id} is not running but stopping"),
                ));
            }
            Status::Stopped => {
                return Err(Reject::new(
                    ErrorCode::CanisterStopped,
                    format!("Canister {id} is stopped"),
                ));
            }
        }
        if canister.instance.is_none() {
            return Err(Reject::new(
                ErrorCode::CanisterWasmModuleNotFound,
                format!("Error from Canister {id}: the canister contains no Wasm module"),
            ));
        }
        Ok(())
    }

    /// The kind of a method that can be called through the replicated path.
    pub(super) fn check_update_method(
        &self,
        id: Principal,
        method: &str,
    ) -> Result<MethodKind, Reject> {
        let canister = self.canister_ref(id)?;
        let kind = canister
            .instance
            .as_ref()
            .and_then(|instance| instance.module().method(method));
        match kind {
            Some(MethodKind::CompositeQuery) => Err(Reject::new(
                ErrorCode::CompositeQueryCalledInReplicatedMode,
                format!(
                    "Error from Canister {id}: the composite query '{method}' cannot be called in \
                     replicated mode"
                ),
            )),
            Some(kind) => Ok(kind),
            None => Err(Reject::new(
                ErrorCode::CanisterMethodNotFound,
                format!("Error from Canister {id}: Canister has no update method '{method}'"),
            )),
        }
    }
}

impl crate::canister::Canister {
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

impl Request {
    fn for_rules(&self) -> Message<'_> {
        Message {
            kind: match self.origin {
                Origin::Ingress(_) => MessageKind::Ingress,
                _ => MessageKind::Call,
            },
            caller: self.caller,
            callee: self.callee,
            method: &self.method,
        }
    }

    fn into_management(self, reply_faults: Vec<ReplyFault>) -> management::Call {
        management::Call {
            origin: self.origin,
            caller: self.caller,
            method: self.method,
            arg: self.arg,
            cycles: self.cycles,
            reply_faults,
        }
    }
}
