//! The simulation, which does things in the order of the embedded Internet Computer: everything that
//! is due, then time passes by a second.

use perun_canister::flow::System as _;
use perun_canister_api::{EventRecord, Holdings, Registered};

use super::{Action, Breakage, channel_request, events_from};
use crate::ledger::Mood;
use crate::sim::{Outcome, Sim};
use crate::step::{Call, Step};

/// The simulation, played as the embedded Internet Computer runs.
pub(super) struct Simulated {
    pub(super) sim: Sim,
    pub(super) breakage: Option<(Breakage, usize)>,
}

impl Simulated {
    pub(super) fn act(&mut self, action: Action) -> Vec<Option<Outcome>> {
        match action {
            Action::Call(call) => {
                let answer = self.sim.apply(Step::Call(call));
                vec![self.run(answer)]
            }
            Action::WithdrawTwice(place) => {
                let step = Step::Call(Call::Withdraw { place });
                let first = self.sim.apply(step);
                let second = self.sim.apply(step);
                let mut answers = vec![first, second];
                answers.retain(Option::is_some);
                self.run_into(&mut answers);
                answers.resize(2, None);
                answers
            }
            Action::Other(step) => {
                self.sim.apply(step);
                self.run_all();
                vec![]
            }
            Action::Advance { seconds } => {
                self.advance(seconds);
                vec![]
            }
            Action::Gap { seconds } => {
                let ns = seconds * 1_000_000_000;
                self.sim.apply(Step::Advance { ns });
                self.run_all();
                vec![]
            }
            Action::Upgrade => {
                self.sim.apply(Step::Upgrade);
                self.run_all();
                vec![]
            }
            Action::StopLedgerForAnHour(ledger) => {
                let mood = Mood::Stopped;
                self.sim.apply(Step::ChangeMood { ledger, mood });
                self.advance(3_600);
                let mood = Mood::Willing;
                self.sim.apply(Step::ChangeMood { ledger, mood });
                vec![]
            }
            Action::Break(breakage, ledger) => {
                self.breakage = Some((breakage, ledger));
                vec![]
            }
        }
    }

    fn run(&mut self, answer: Option<Outcome>) -> Option<Outcome> {
        let mut answers: Vec<_> = answer.into_iter().map(Some).collect();
        self.run_into(&mut answers);
        answers.into_iter().next().flatten()
    }

    /// Answers all calls and fires all timers that are due.
    fn run_into(&mut self, answers: &mut Vec<Option<Outcome>>) {
        loop {
            while let Some(step) = self.next() {
                match self.sim.apply(step) {
                    Some(Outcome::Done) | None => {}
                    answer => answers.push(answer),
                }
            }
            if !self.fire_due() {
                return;
            }
        }
    }

    fn run_all(&mut self) {
        self.run_into(&mut Vec::new());
    }

    /// Fires everything that is due, in the order in which it became so.
    fn fire_due(&mut self) -> bool {
        let now_ns = self.sim.stage.now_ns();
        let count = self.sim.stage.alarms.borrow().len();
        let mut fired = false;
        for _ in 0..count {
            let alarms = self.sim.stage.alarms.borrow();
            let first = (0..alarms.len()).min_by_key(|&index| alarms[index].due_ns);
            let due = first.filter(|&index| alarms[index].due_ns <= now_ns);
            drop(alarms);
            let Some(alarm) = due else { break };
            self.sim.apply(Step::Fire(alarm));
            fired = true;
        }
        fired
    }

    fn advance(&mut self, seconds: u64) {
        self.run_all();
        for _ in 0..seconds {
            self.sim.apply(Step::Advance { ns: 1_000_000_000 });
            self.run_all();
        }
    }

    fn next(&mut self) -> Option<Step> {
        let step = self.sim.next_to_finish()?;
        let Some((breakage, of)) = self.breakage else {
            return Some(step);
        };
        let broken = match (step, breakage) {
            (Step::GoOn(call), Breakage::TrapCallback) => {
                (self.sim.stage.ledger_of(call) == of).then_some(Step::Trap(call))
            }
            (Step::Execute(ledger), Breakage::LoseCall) => {
                (ledger == of).then_some(Step::DropRequest {
                    ledger,
                    told: false,
                })
            }
            (Step::Execute(ledger), Breakage::RefuseCall) => {
                (ledger == of).then_some(Step::DropRequest { ledger, told: true })
            }
            (Step::Execute(ledger), Breakage::LoseReply) if ledger == of => {
                let call = self.sim.stage.requests.borrow()[ledger][0].0;
                self.sim.apply(step);
                Some(Step::LoseReply(call))
            }
            _ => None,
        };
        if broken.is_some() {
            self.breakage = None;
        }
        Some(broken.unwrap_or(step))
    }

    pub(super) fn holdings(&self, channel: usize) -> Option<Holdings> {
        let request = channel_request(channel);
        let answer = self.sim.stage.adjudicator().holdings(&request);
        answer.unwrap().holdings
    }

    pub(super) fn registered(&self, channel: usize) -> Option<Registered> {
        let adjudicator = self.sim.stage.adjudicator();
        let answer = adjudicator.state(&channel_request(channel), self.sim.stage.now());
        answer.unwrap().1.registered
    }

    pub(super) fn events(&self, start: u64) -> Vec<EventRecord> {
        let adjudicator = self.sim.stage.adjudicator();
        let page = adjudicator.events(&events_from(start), self.sim.stage.now());
        page.unwrap().events
    }
}
