//! Executes one task: a request, an answer, a timer or a heartbeat.
//!
//! Each execution ends in [`Replica::settle`], which keeps or takes back what it did, lets its
//! calls and its answer leave, and closes the call context when nothing is left to wait for.

use super::{Held, Replica, Request, Struck, Task};
use crate::call_context::{CallContext, Origin};
use crate::canister::Status;
use crate::faults::{Fault, Message, MessageKind, ReplyFault, RuleId, Until};
use crate::ic0::Context;
use crate::instance::Entry;
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
        // Queries answer at once, so they are not told how long their caller waits.
        if kind == MethodKind::Update {
            input.deadline_ns = request.deadline_ns.unwrap_or(0);
        }
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
