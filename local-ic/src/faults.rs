//! Faults on purpose, at message level.
//!
//! A rule says which messages it means ([`Target`]) and what befalls them ([`Fault`]):
//!
//! ```
//! # use local_ic::{Fault, Replica, Target};
//! # let mut replica = Replica::new(Default::default());
//! # let (shop, ledger) = (replica.create_canister(candid::Principal::anonymous()),
//! #     replica.create_canister(candid::Principal::anonymous()));
//! // The ledger executes the shop's second transfer, but the shop never learns it.
//! replica.faults().add(
//!     Target::call().from(shop).to(ledger).method("icrc1_transfer").nth(2),
//!     Fault::LoseReply,
//! );
//! ```
//!
//! A rule counts the messages that match its target and fires on the n-th, or from the n-th on.
//! Each delivery is counted once; a message that was held back is not counted again.

use crate::reject::RejectCode;
use candid::Principal;
use std::time::Duration;

/// What kind of execution a rule is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageKind {
    /// A call by a user.
    Ingress,
    /// A call by a canister, to another one or to the management canister.
    Call,
    /// The execution of a reply or reject callback in the calling canister.
    Callback,
    /// A timer (`canister_global_timer`) or heartbeat (`canister_heartbeat`).
    Task,
}

/// Which messages a rule is about. Everything not said matches everything.
#[derive(Clone, Debug)]
pub struct Target {
    kind: MessageKind,
    caller: Option<Principal>,
    callee: Option<Principal>,
    method: Option<String>,
    nth: u64,
    times: u64,
}

impl Target {
    /// Calls between canisters, on their way to the callee.
    pub fn call() -> Self {
        Self::of(MessageKind::Call)
    }

    /// Calls by users, before they are executed.
    pub fn ingress() -> Self {
        Self::of(MessageKind::Ingress)
    }

    /// Callbacks: `from` is still who made the call, and who runs the callback.
    pub fn callback() -> Self {
        Self::of(MessageKind::Callback)
    }

    /// Timers and heartbeats.
    pub fn task() -> Self {
        Self::of(MessageKind::Task)
    }

    fn of(kind: MessageKind) -> Self {
        Self {
            kind,
            caller: None,
            callee: None,
            method: None,
            nth: 1,
            times: 1,
        }
    }

    /// Only calls made by this principal.
    pub fn from(mut self, caller: Principal) -> Self {
        self.caller = Some(caller);
        self
    }

    /// Only calls to this canister.
    pub fn to(mut self, callee: Principal) -> Self {
        self.callee = Some(callee);
        self
    }

    /// Only calls of this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Fires on the n-th match, counted from 1, instead of the first.
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// Fires that many times in a row instead of once.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Fires on every match from the n-th on.
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    fn matches(&self, message: &Message<'_>) -> bool {
        self.kind == message.kind
            && self.caller.is_none_or(|caller| caller == message.caller)
            && self.callee.is_none_or(|callee| callee == message.callee)
            && self
                .method
                .as_deref()
                .is_none_or(|method| method == message.method)
    }
}

/// When a message that is held back moves on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Until {
    /// When [`Faults::release`] is called for the rule.
    Released,
    /// When this much time has passed.
    Elapsed(Duration),
}

/// What befalls a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The callee never sees it; the caller gets this code and text, and its cycles back.
    /// For calls and ingress.
    RejectBefore {
        /// The class the caller sees.
        code: RejectCode,
        /// The text the caller sees.
        message: String,
    },
    /// The callee executes it, but the caller gets reject code 6 instead of the answer, and
    /// refunded cycles are lost. For calls between canisters.
    LoseReply,
    /// It arrives later. A bounded-wait call that expires meanwhile is never executed.
    /// For calls and ingress.
    DelayCall(Until),
    /// The callee executes it now, its answer arrives later. A bounded-wait caller gets reject
    /// code 6 at its deadline. For calls between canisters.
    DelayReply(Until),
    /// The execution gets only so many instructions and traps when it needs more.
    /// For every kind.
    Trap {
        /// How many instructions are executed before the trap.
        after_instructions: u64,
    },
    /// The callee begins to stop just before the message arrives, which is then rejected.
    /// For calls and ingress.
    StopCallee,
}

/// Names a rule.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuleId(u64);

/// What happens to an answer on its way back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReplyFault {
    Lose,
    Delay(RuleId, Until),
}

/// A message as rules see it.
pub(crate) struct Message<'a> {
    pub(crate) kind: MessageKind,
    pub(crate) caller: Principal,
    pub(crate) callee: Principal,
    pub(crate) method: &'a str,
}

struct Rule {
    id: RuleId,
    target: Target,
    fault: Fault,
    matched: u64,
    fired: u64,
}

/// The rules of a replica, and which of them let go of what they held.
#[derive(Default)]
pub struct Faults {
    rules: Vec<Rule>,
    next: u64,
    /// Rules whose held messages are to move on at the next step.
    pub(crate) released: Vec<RuleId>,
}

impl Faults {
    /// Adds a rule. Rules are independent of each other; a message may be hit by several.
    pub fn add(&mut self, target: Target, fault: Fault) -> RuleId {
        let id = RuleId(self.next);
        self.next += 1;
        self.rules.push(Rule {
            id,
            target,
            fault,
            matched: 0,
            fired: 0,
        });
        id
    }

    /// Ends a rule. What it holds back stays held until it is released.
    pub fn remove(&mut self, rule: RuleId) {
        self.rules.retain(|known| known.id != rule);
    }

    /// Ends all rules, and lets everything they hold move on.
    pub fn clear(&mut self) {
        self.released
            .extend(self.rules.drain(..).map(|rule| rule.id));
    }

    /// Lets what a rule has held back move on at the next step.
    pub fn release(&mut self, rule: RuleId) {
        self.released.push(rule);
    }

    /// How often the rule has fired; 0 for a rule that was removed.
    pub fn fired(&self, rule: RuleId) -> u64 {
        self.rules
            .iter()
            .find(|known| known.id == rule)
            .map_or(0, |known| known.fired)
    }

    /// What befalls this message now.
    pub(crate) fn strike(&mut self, message: &Message<'_>) -> Vec<(RuleId, Fault)> {
        let mut faults = Vec::new();
        for rule in &mut self.rules {
            if rule.target.matches(message) {
                rule.matched += 1;
                if rule.matched >= rule.target.nth && rule.fired < rule.target.times {
                    rule.fired += 1;
                    faults.push((rule.id, rule.fault.clone()));
                }
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Principal = Principal::management_canister();
    const B: Principal = Principal::anonymous();

    fn call(method: &str) -> Message<'_> {
        Message {
            kind: MessageKind::Call,
            caller: A,
            callee: B,
            method,
        }
    }

    #[test]
    fn a_rule_fires_on_the_nth_match_only() {
        let mut faults = Faults::default();
        let rule = faults.add(Target::call().method("pay").nth(2), Fault::LoseReply);
        let hits: Vec<_> = ["pay", "other", "pay", "pay"]
            .map(|method| faults.strike(&call(method)).len())
            .into();
        assert_eq!(hits, [0, 0, 1, 0]);
        assert_eq!(faults.fired(rule), 1);
    }

    #[test]
    fn a_rule_may_fire_several_times_or_always() {
        let mut faults = Faults::default();
        faults.add(Target::call().nth(2).times(2), Fault::LoseReply);
        faults.add(Target::call().nth(3).always(), Fault::StopCallee);
        let hits: Vec<_> = (0..5).map(|_| faults.strike(&call("pay")).len()).collect();
        assert_eq!(hits, [0, 1, 2, 1, 1]);
    }

    #[test]
    fn caller_callee_and_kind_must_match() {
        let mut faults = Faults::default();
        for target in [
            Target::call().from(B),
            Target::call().to(A),
            Target::callback(),
            Target::ingress(),
            Target::task(),
        ] {
            faults.add(target, Fault::LoseReply);
        }
        assert_eq!(faults.strike(&call("pay")), []);
    }
}
