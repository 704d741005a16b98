//! What was executed, and how many instructions it took.

use super::Replica;
use candid::Principal;
use std::collections::VecDeque;

/// How many executions are remembered.
const MAX_RECORDS: usize = 100_000;

/// One execution of canister code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExecutionRecord {
    /// Whose code ran.
    pub canister: Principal,
    /// What ran: `update NAME`, `query NAME`, `composite query NAME`, `replicated query NAME`,
    /// `reply NAME`, `reject NAME` and `cleanup NAME` with the method that was called, `init`,
    /// `pre_upgrade`, `post_upgrade`, `start`, `timer`, `heartbeat`, `inspect_message`.
    pub entry: String,
    /// Instructions with the Internet Computer's weights, up to the end or trap.
    pub instructions: u64,
    /// How many bytes it was given: the argument of a call, or the reply to one.
    pub argument_bytes: usize,
    /// Why it trapped, if it did.
    pub trap: Option<String>,
    /// When, in ns.
    pub time_ns: u64,
}

#[derive(Default)]
pub(super) struct ExecutionLog(VecDeque<ExecutionRecord>);

impl Replica {
    /// The last 100,000 executions, oldest first.
    pub fn executions(&self) -> impl DoubleEndedIterator<Item = &ExecutionRecord> {
        self.log.0.iter()
    }

    /// Forgets all executions, so that what follows can be looked at alone.
    pub fn clear_executions(&mut self) {
        self.log.0.clear();
    }

    /// The last execution of all.
    pub fn last_execution(&self) -> Option<&ExecutionRecord> {
        self.log.0.back()
    }

    /// Instructions of the last execution of all; 0 before the first.
    pub fn last_message_instructions(&self) -> u64 {
        self.last_execution()
            .map_or(0, |record| record.instructions)
    }

    /// Instructions of the last execution of `entry` (see [`ExecutionRecord::entry`]) in a canister.
    pub fn instructions(&self, canister: Principal, entry: &str) -> Option<u64> {
        self.executions()
            .rev()
            .find(|record| record.canister == canister && record.entry == entry)
            .map(|record| record.instructions)
    }

    pub(super) fn record(
        &mut self,
        canister: Principal,
        entry: String,
        finished: &crate::instance::Finished,
    ) {
        let trap = finished.result.as_ref().err().map(ToString::to_string);
        if let Some(trap) = &trap {
            tracing::debug!(%canister, entry, "{trap}");
        }
        if self.log.0.len() == MAX_RECORDS {
            self.log.0.pop_front();
        }
        self.log.0.push_back(ExecutionRecord {
            canister,
            entry,
            instructions: finished.instructions,
            argument_bytes: finished.argument_bytes,
            trap,
            time_ns: self.time_ns,
        });
    }
}
