//! Answers: whom they go to, when a call context ends, and how a canister stops.

use super::{Replica, Response, Task};
use crate::call_context::Origin;
use crate::canister::{Status, StopRequest};
use crate::faults::ReplyFault;
use crate::reject::{ErrorCode, Reject, RejectCode};
use candid::Principal;

impl Replica {
    /// Sends an answer to whoever waits for it.
    pub(crate) fn respond(
        &mut self,
        origin: Origin,
        result: Result<Vec<u8>, Reject>,
        refund: u128,
        faults: &[ReplyFault],
    ) {
        let (canister, callback, best_effort) = match origin {
            Origin::Task => return,
            Origin::Ingress(id) => {
                self.ingress.answer(self.time_ns, id, result);
                return;
            }
            Origin::Call {
                canister,
                callback,
                best_effort,
            } => (canister, callback, best_effort),
        };
        let mut response = Response {
            canister,
            callback,
            result,
            refund,
            best_effort,
        };
        let mut delay = None;
        for fault in faults {
            match fault {
                ReplyFault::Lose => {
                    response.refund = 0;
                    response.result = Err(Reject::new(
                        ErrorCode::ResponseDropped,
                        "the response was lost; the call may have been executed",
                    ));
                }
                ReplyFault::Delay(rule, until) => delay = Some((*rule, *until)),
            }
        }
        let task = Task::Response(Box::new(response));
        match delay {
            Some((rule, until)) => self.hold(task, rule, until),
            None => self.queue.push_back(task),
        }
    }

    /// Sends the answer of a call context, with the cycles it did not accept.
    pub(super) fn answer(
        &mut self,
        id: Principal,
        context_id: u64,
        result: Result<Vec<u8>, Reject>,
    ) {
        let Some(context) = self
            .canisters
            .get_mut(&id)
            .and_then(|canister| canister.contexts.get_mut(&context_id))
        else {
            return;
        };
        context.answered = true;
        let refund = std::mem::take(&mut context.cycles_available);
        let faults = std::mem::take(&mut context.reply_faults);
        let origin = context.origin.clone();
        self.respond(origin, result, refund, &faults);
    }

    /// Ends a call context that waits for nothing any more, and answers in its place if it did
    /// not. A canister that is stopping may have stopped by that.
    pub(super) fn close_if_done(&mut self, id: Principal, context_id: u64) {
        let Some(canister) = self.canisters.get_mut(&id) else {
            return;
        };
        let Some(context) = canister.contexts.get(&context_id) else {
            return;
        };
        if context.open_calls > 0 {
            return;
        }
        if !context.answered {
            let reject = context.last_trap.clone().unwrap_or_else(|| {
                Reject::new(
                    ErrorCode::CanisterDidNotReply,
                    format!(
                        "Error from Canister {id}: Canister did not reply to the call of '{}'",
                        context.method
                    ),
                )
            });
            self.answer(id, context_id, Err(reject));
        }
        if let Some(canister) = self.canisters.get_mut(&id) {
            canister.contexts.remove(&context_id);
        }
        self.stop_if_done(id);
    }

    /// Rejects everything a canister has not answered and forgets its open calls, because its
    /// code is gone.
    pub(super) fn drop_calls(&mut self, id: Principal, message: &str) {
        let Some(canister) = self.canisters.get_mut(&id) else {
            return;
        };
        for (number, callback) in std::mem::take(&mut canister.callbacks) {
            if let Some(deadline_ns) = callback.deadline_ns {
                self.deadlines.remove(&(deadline_ns, id, number));
            }
        }
        canister.open_calls.clear();
        for (_, context) in std::mem::take(&mut canister.contexts) {
            if !context.answered {
                let reject = Reject::with_code(RejectCode::CanisterReject, message);
                self.respond(
                    context.origin,
                    Err(reject),
                    context.cycles_available,
                    &context.reply_faults,
                );
            }
        }
        self.stop_if_done(id);
    }

    /// Lets a canister begin to stop; `request` is answered when it has.
    pub(crate) fn begin_stop(
        &mut self,
        id: Principal,
        request: Option<StopRequest>,
    ) -> Result<(), Reject> {
        let canister = self.canister_mut(id)?;
        if canister.status() == Status::Running {
            canister.version += 1;
        }
        let requests = canister.stopping.get_or_insert_default();
        requests.extend(request);
        if canister.stopped {
            // Nothing to wait for.
            self.answer_stop_requests(id);
        } else {
            self.stop_if_done(id);
        }
        Ok(())
    }

    /// Lets a canister take calls again.
    pub(crate) fn restart(&mut self, id: Principal) -> Result<(), Reject> {
        let canister = self.canister_mut(id)?;
        if canister.status() != Status::Running {
            canister.version += 1;
        }
        canister.stopped = false;
        for request in canister.stopping.take().unwrap_or_default() {
            let reject = Reject::new(
                ErrorCode::CanisterStoppingCancelled,
                format!("Canister {id}: stopping was called off by a start request"),
            );
            self.respond(
                request.origin,
                Err(reject),
                request.cycles,
                &request.reply_faults,
            );
        }
        Ok(())
    }

    fn stop_if_done(&mut self, id: Principal) {
        if let Some(canister) = self.canisters.get_mut(&id)
            && canister.status() == Status::Stopping
            && canister.contexts.is_empty()
        {
            canister.stopped = true;
            canister.version += 1;
            self.answer_stop_requests(id);
        }
    }

    fn answer_stop_requests(&mut self, id: Principal) {
        let Some(canister) = self.canisters.get_mut(&id) else {
            return;
        };
        for request in canister.stopping.take().unwrap_or_default() {
            let nothing = candid::encode_args(()).unwrap_or_default();
            self.respond(
                request.origin,
                Ok(nothing),
                request.cycles,
                &request.reply_faults,
            );
        }
    }
}
