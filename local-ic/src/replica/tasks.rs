//! Time: what becomes due, and how it is moved.

use super::{Held, Replica, Response, Task};
use crate::canister::Status;
use crate::faults::RuleId;
use crate::module::Hook;
use crate::reject::{ErrorCode, Reject};
use candid::Principal;
use std::time::Duration;

/// How often one canister's timer runs without time moving on. Each run may set it to the present
/// again; on the Internet Computer the next round is always later.
const MAX_TIMER_RUNS: u32 = 100;

/// How long a request to stop a canister waits, in ns.
const STOP_TIMEOUT_NS: u64 = 300 * 1_000_000_000;

impl Replica {
    /// Runs what is left to run, then moves time on in steps of at most [`super::Config::step`],
    /// and after each runs heartbeats and everything that is due until nothing is left.
    pub fn advance(&mut self, by: Duration) {
        let step = nanoseconds(self.config.step).max(1);
        // Time ends in 2554; nothing happens after that.
        let mut left = nanoseconds(by).min(u64::MAX - self.time_ns);
        self.run();
        while left > 0 {
            let mut dt = left.min(step);
            if !self.has_heartbeats() && self.is_idle() {
                // Nothing happens before the next deadline, so whole steps can be made at once.
                let until = self.next_event_ns().unwrap_or(u64::MAX);
                let idle_steps = until.saturating_sub(self.time_ns).saturating_sub(1) / step;
                dt = dt.max(left.min(idle_steps.saturating_mul(step)));
            }
            left -= dt;
            self.tick(Duration::from_nanos(dt));
            self.run();
        }
    }

    /// Begins a new round this much later: queues heartbeats and what is due, and runs nothing.
    pub fn tick(&mut self, by: Duration) {
        self.skip(by);
        let beating: Vec<Principal> = self.beating().collect();
        self.queue.extend(beating.into_iter().map(Task::Heartbeat));
    }

    /// Moves time on in one go, as if the subnet had stood still. What became due meanwhile runs
    /// at the next step.
    pub fn skip(&mut self, by: Duration) {
        self.time_ns = self.time_ns.saturating_add(nanoseconds(by));
        self.state_version += 1;
    }

    /// Queues everything that is due at the present time.
    pub(super) fn wake(&mut self) {
        self.ingress.expire(self.time_ns);
        self.release_held();
        self.expire_calls();
        self.expire_stop_requests();
        self.wake_timers();
    }

    fn release_held(&mut self) {
        if self.held.is_empty() && self.faults.released.is_empty() {
            return;
        }
        let released: Vec<RuleId> = std::mem::take(&mut self.faults.released);
        let now = self.time_ns;
        let moves_on = |held: &Held| {
            released.contains(&held.rule) || held.until_ns.is_some_and(|until| until <= now)
        };
        for held in std::mem::take(&mut self.held) {
            if moves_on(&held) {
                self.queue.push_back(held.task);
            } else {
                self.held.push(held);
            }
        }
    }

    fn expire_calls(&mut self) {
        while let Some((deadline_ns, canister, callback)) = self.deadlines.first().copied() {
            if deadline_ns > self.time_ns {
                break;
            }
            self.deadlines.pop_first();
            self.queue.push_back(Task::Response(Box::new(Response {
                canister,
                callback,
                result: Err(Reject::new(
                    ErrorCode::DeadlineExpired,
                    "Call deadline has expired.",
                )),
                refund: 0,
                best_effort: true,
            })));
        }
    }

    fn expire_stop_requests(&mut self) {
        let now = self.time_ns;
        let mut expired = Vec::new();
        for (id, canister) in &mut self.canisters {
            if let Some(requests) = &mut canister.stopping {
                let late = |since_ns: u64| now >= since_ns.saturating_add(STOP_TIMEOUT_NS);
                expired.extend(
                    requests
                        .extract_if(.., |request| late(request.since_ns))
                        .map(|request| (*id, request)),
                );
            }
        }
        for (id, request) in expired {
            let reject = Reject::new(
                ErrorCode::StopCanisterRequestTimeout,
                format!("Stop request for canister {id} timed out: it still has open calls"),
            );
            self.respond(
                request.origin,
                Err(reject),
                request.cycles,
                &request.reply_faults,
            );
        }
    }

    fn wake_timers(&mut self) {
        let now = self.time_ns;
        for (id, canister) in &mut self.canisters {
            if canister.timer_ns == 0
                || canister.timer_ns > now
                || canister.status() != Status::Running
            {
                continue;
            }
            if canister.timer_runs.0 != now {
                canister.timer_runs = (now, 0);
            }
            if canister.timer_runs.1 >= MAX_TIMER_RUNS {
                continue;
            }
            canister.timer_runs.1 += 1;
            // Off before it runs: the canister sets it again if it wants to.
            canister.timer_ns = 0;
            self.queue.push_back(Task::Timer(*id));
        }
    }

    fn has_heartbeats(&self) -> bool {
        self.beating().next().is_some()
    }

    fn beating(&self) -> impl Iterator<Item = Principal> {
        self.canisters
            .iter()
            .filter(|(_, canister)| {
                canister.status() == Status::Running
                    && canister
                        .instance
                        .as_ref()
                        .is_some_and(|instance| instance.module().has(Hook::Heartbeat))
            })
            .map(|(id, _)| *id)
    }

    /// When something becomes due next.
    fn next_event_ns(&self) -> Option<u64> {
        let timers = self
            .canisters
            .values()
            .filter(|canister| canister.status() == Status::Running && canister.timer_ns > 0)
            .map(|canister| canister.timer_ns);
        let stops = self
            .canisters
            .values()
            .flat_map(|canister| canister.stopping.iter().flatten())
            .map(|request| request.since_ns.saturating_add(STOP_TIMEOUT_NS));
        let held = self.held.iter().filter_map(|held| held.until_ns);
        let deadlines = self.deadlines.first().map(|(deadline_ns, ..)| *deadline_ns);
        timers.chain(stops).chain(held).chain(deadlines).min()
    }
}

/// A length of time in ns; what does not fit is cut to the 584 years that do.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
