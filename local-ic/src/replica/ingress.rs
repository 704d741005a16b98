//! Calls by users: how they get in, and where their answers are found.

use super::{Replica, Request, Task};
use crate::call_context::Origin;
use crate::ic0::Context;
use crate::instance::Entry;
use crate::management;
use crate::module::Hook;
use crate::reject::{ErrorCode, Reject};
use candid::Principal;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};

/// How long an answer is kept, in ns: 5 minutes.
const ANSWER_KEPT_NS: u64 = 300 * 1_000_000_000;

/// How many ids are remembered after their answers are gone, so that a repeated request is known.
const MAX_DONE: usize = 100_000;

/// Names a call by a user; over HTTP, its request id.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageId(pub [u8; 32]);

/// A call by a user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ingress {
    /// Who calls. Whether he is that is checked before it gets here.
    pub sender: Principal,
    /// The canister called.
    pub canister_id: Principal,
    /// Its method.
    pub method_name: String,
    /// The argument, usually Candid.
    pub arg: Vec<u8>,
}

/// How far a call by a user has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum IngressStatus {
    /// Never seen, or forgotten.
    Unknown,
    /// In the queue.
    Received,
    /// The canister works on it.
    Processing,
    /// Answered with this reply.
    Replied(Vec<u8>),
    /// Rejected, by the canister or by the system.
    Rejected(Reject),
    /// Answered, and the answer forgotten.
    Done,
}

/// What is remembered of a call by a user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IngressRecord {
    /// Who called: only he may read the answer.
    pub sender: Principal,
    /// The canister called.
    pub canister_id: Principal,
    /// How far it has come.
    pub status: IngressStatus,
}

#[derive(Default)]
pub(super) struct History {
    records: BTreeMap<MessageId, IngressRecord>,
    /// Answered ones with the time until which the answer is kept, in that order.
    answered: VecDeque<(u64, MessageId)>,
    /// Those whose answers are gone, oldest first.
    done: VecDeque<MessageId>,
}

impl History {
    pub(super) fn set(&mut self, id: MessageId, status: IngressStatus) {
        if let Some(record) = self.records.get_mut(&id) {
            record.status = status;
        }
    }

    pub(super) fn answer(&mut self, now_ns: u64, id: MessageId, result: Result<Vec<u8>, Reject>) {
        let status = match result {
            Ok(reply) => IngressStatus::Replied(reply),
            Err(reject) => IngressStatus::Rejected(reject),
        };
        self.set(id, status);
        self.answered
            .push_back((now_ns.saturating_add(ANSWER_KEPT_NS), id));
    }

    pub(super) fn expire(&mut self, now_ns: u64) {
        while let Some((until_ns, id)) = self.answered.front().copied() {
            if until_ns > now_ns {
                break;
            }
            self.answered.pop_front();
            if self.records.contains_key(&id) {
                self.set(id, IngressStatus::Done);
                self.done.push_back(id);
            }
        }
        while self.done.len() > MAX_DONE {
            if let Some(id) = self.done.pop_front() {
                self.records.remove(&id);
            }
        }
    }

    /// Forgets a call altogether. Its place in the list of answered ones expires by itself.
    fn forget(&mut self, id: &MessageId) -> IngressStatus {
        self.records
            .remove(id)
            .map_or(IngressStatus::Unknown, |record| record.status)
    }
}

impl Replica {
    /// Takes a call by a user in, if the canister is willing to look at it.
    ///
    /// An id that is known already is the same call: it is not executed again, and this says `Ok`.
    ///
    /// # Errors
    ///
    /// The reject of a call that never got in: no such canister, not running, refused by
    /// `inspect_message`, or not allowed at the management canister.
    pub fn submit(&mut self, id: MessageId, ingress: Ingress) -> Result<(), Reject> {
        if self.ingress.records.contains_key(&id) {
            return Ok(());
        }
        if ingress.canister_id == Principal::management_canister() {
            management::inspect(self, &ingress)?;
        } else {
            self.inspect(&ingress)?;
        }
        let record = IngressRecord {
            sender: ingress.sender,
            canister_id: ingress.canister_id,
            status: IngressStatus::Received,
        };
        self.ingress.records.insert(id, record);
        self.queue.push_back(Task::Request(Box::new(Request {
            origin: Origin::Ingress(id),
            caller: ingress.sender,
            callee: ingress.canister_id,
            method: ingress.method_name,
            arg: ingress.arg,
            cycles: 0,
            deadline_ns: None,
            struck: None,
        })));
        self.state_version += 1;
        Ok(())
    }

    /// How far a call has come.
    pub fn status(&self, id: &MessageId) -> IngressStatus {
        self.ingress
            .records
            .get(id)
            .map_or(IngressStatus::Unknown, |record| record.status.clone())
    }

    /// What is remembered of one call by a user.
    pub fn ingress_record(&self, id: &MessageId) -> Option<&IngressRecord> {
        self.ingress.records.get(id)
    }

    /// All calls by users that are remembered, by id.
    pub fn ingress_history(&self) -> impl Iterator<Item = (&MessageId, &IngressRecord)> {
        self.ingress.records.iter()
    }

    /// Submits a call under an id made up here, and runs messages until none is left at the
    /// present time.
    ///
    /// # Errors
    ///
    /// The reject; also a transient one when there is no answer yet although nothing is left to
    /// run, as when a fault holds a message back or the canister waits for a timer. The call goes
    /// on then.
    pub fn update(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<Vec<u8>, Reject> {
        let id = self.submit_anew(sender, canister, method, arg)?;
        self.run();
        match self.status(&id) {
            IngressStatus::Replied(reply) => {
                self.ingress.forget(&id);
                Ok(reply)
            }
            IngressStatus::Rejected(reject) => {
                self.ingress.forget(&id);
                Err(reject)
            }
            status => Err(Reject::new(
                ErrorCode::CanisterQueueFull,
                format!(
                    "Canister {canister} has not answered `{method}` although nothing is left to \
                     run at this time; the call is {}",
                    match status {
                        IngressStatus::Received => "still in the queue",
                        _ => "being worked on",
                    }
                ),
            )),
        }
    }

    /// Submits a call under an id made up here, without running anything.
    ///
    /// # Errors
    ///
    /// As [`Self::submit`].
    pub fn submit_anew(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<MessageId, Reject> {
        let mut hash = Sha256::new();
        hash.update(b"local-ic message");
        hash.update(self.number().to_be_bytes());
        let id = MessageId(hash.finalize().into());
        let ingress = Ingress {
            sender,
            canister_id: canister,
            method_name: method.to_owned(),
            arg,
        };
        self.submit(id, ingress)?;
        Ok(id)
    }

    fn inspect(&mut self, ingress: &Ingress) -> Result<(), Reject> {
        let id = ingress.canister_id;
        self.check_takes_calls(id)?;
        self.check_update_method(id, &ingress.method_name)?;
        let (time_ns, limit) = (self.time_ns, self.config.inspect_instructions);
        let canister = self.canister_mut(id)?;
        let mut input = canister.input(Context::InspectMessage, time_ns, limit);
        let Some(instance) = canister.instance.as_mut() else {
            return Ok(());
        };
        if !instance.module().has(Hook::InspectMessage) {
            return Ok(());
        }
        input.caller = ingress.sender;
        input.method = ingress.method_name.clone();
        input.arg = ingress.arg.clone();
        let mut finished = instance.run(Entry::Export(Hook::InspectMessage.export()), input);
        instance.rollback();
        let accepted = finished.effects.message_accepted;
        canister.print(std::mem::take(&mut finished.effects.debug_output));
        self.record(id, "inspect_message".into(), &finished);
        match finished.result {
            Err(trap) => Err(trap.to_reject(id)),
            Ok(()) if accepted => Ok(()),
            Ok(()) => Err(Reject::new(
                ErrorCode::CanisterRejectedMessage,
                format!("Canister {id} rejected the message"),
            )),
        }
    }
}
