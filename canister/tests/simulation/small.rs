//! An exhaustive small model: every order in which a few messages, answers, losses, and one crash or
//! upgrade can come.
//!
//! Two participants, two assets, the first versions of their states and the final one, and every
//! choice of two messages at once from [`MESSAGES`]. Forged claims, thefts and claims of which many
//! come at once are left to random histories: they await nothing, so few orders are theirs.
//!
//! The search is depth first over the same simulation; a moment that was seen before is not looked
//! at again. A message that waits cannot be copied, so each branch is played from the beginning, on
//! memory that is put back as it was.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Instant;

use perun_canister::flow::Task;

use super::cast::{TICK_NS, funding};
use super::history::BEGINNING_NS;
use super::quiet::Quiet;
use super::sim::{Sim, assert_complete, hash_of};
use super::step::{Call, Claim, Place, Step};
use super::world::FEE;

/// At least so many moments are looked at, or the model has become too small to tell anything.
const FLOOR: usize = 60_000;

/// The final state, which rests on a top-up.
const LAST: usize = 5;

const PULL: Call = Call::Pull {
    place: place(0, 0),
    user: 0,
    amount: 20,
    expected: None,
};
const PULL_ONCE: Call = Call::Pull {
    place: place(1, 1),
    user: 1,
    amount: 20,
    expected: Some(130),
};
/// The last deposit that is missing.
const PULL_REST: Call = Call::Pull {
    place: place(0, 1),
    user: 1,
    amount: 100,
    expected: Some(0),
};
const SWEEP: Call = Call::Sweep { place: place(0, 1) };
const REFUND: Call = Call::Dispute(Claim::Refund {
    channel: 0,
    part: 1,
});
const DISPUTE_FIRST: Call = dispute(0);
const DISPUTE_OLD: Call = dispute(1);
const DISPUTE: Call = dispute(2);
const CONCLUDE: Call = Call::Conclude { channel: 0 };
const CONCLUDE_BY_LAST: Call = Call::ConcludeBy {
    channel: 0,
    state: LAST,
};
const WITHDRAW: Call = Call::Withdraw { place: place(0, 0) };
const WITHDRAW_OTHER_PART: Call = Call::Withdraw { place: place(0, 1) };
const WITHDRAW_OTHER_ASSET: Call = Call::Withdraw { place: place(1, 0) };

const fn place(asset: usize, part: usize) -> Place {
    Place {
        channel: 0,
        asset,
        part,
    }
}

const fn dispute(state: usize) -> Call {
    Call::Dispute(Claim::State { channel: 0, state })
}

/// Where it begins.
#[derive(Clone, Copy, Debug)]
enum Beginning {
    /// All deposits but one have arrived, and both have signed the first version.
    Funding,
    /// Both have deposited and signed three versions.
    Open,
    /// And an old state is registered.
    Registered,
    /// And the channel is concluded.
    Concluded,
    /// One has topped up, and both have signed the final state.
    Final,
}

/// What may come at once, in each beginning.
const MESSAGES: [(Beginning, &[Call]); 5] = [
    (
        Beginning::Funding,
        &[PULL_REST, REFUND, DISPUTE_FIRST, CONCLUDE],
    ),
    (
        Beginning::Open,
        &[PULL, PULL_ONCE, SWEEP, REFUND, DISPUTE_OLD, DISPUTE],
    ),
    (
        Beginning::Registered,
        &[SWEEP, REFUND, DISPUTE, CONCLUDE, WITHDRAW],
    ),
    (
        Beginning::Concluded,
        &[WITHDRAW, WITHDRAW_OTHER_PART, WITHDRAW_OTHER_ASSET, SWEEP],
    ),
    (
        Beginning::Final,
        &[PULL, REFUND, DISPUTE_OLD, CONCLUDE_BY_LAST, WITHDRAW],
    ),
];

/// What may still go wrong or happen once.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Budget {
    crashes: u8,
    losses: u8,
    fee_changes: u8,
    advances: u8,
}

const BUDGET: Budget = Budget {
    crashes: 1,
    losses: 1,
    fee_changes: 0,
    advances: 1,
};

/// One scenario being searched.
struct Search<'a> {
    quiet: &'a Quiet,
    seen: HashSet<u64>,
    path: Vec<Step>,
    ends: usize,
}

impl Search<'_> {
    /// Looks at everything that can come after this moment, which is new.
    fn descend(&mut self, sim: Sim, left: &[Call], budget: Budget) {
        let choices = choices(&sim, left, budget);
        if choices.is_empty() {
            let mut sim = sim;
            super::ending::end(&mut sim);
            self.ends += 1;
            return;
        }
        let mut here = Some(sim);
        for (step, spent) in choices {
            let mut sim = here.take().unwrap_or_else(|| self.replay());
            self.path.push(step);
            sim.apply(step);
            let mut left = left.to_vec();
            if let Step::Call(call) = step {
                let used = left.iter().position(|other| *other == call);
                left.remove(used.expect("it was one of them"));
            }
            let moment = hash_of(&(sim.summary(), &left, spent));
            if self.seen.insert(moment) {
                self.descend(sim, &left, spent);
            }
            self.path.pop();
        }
    }

    fn replay(&self) -> Sim {
        let mut sim = Sim::from_quiet(self.quiet);
        sim.is_replay = true;
        for &step in &self.path {
            sim.apply(step);
        }
        sim.is_replay = false;
        sim
    }
}

/// Every step that can come next, and what is left of the budget after it.
fn choices(sim: &Sim, left: &[Call], budget: Budget) -> Vec<(Step, Budget)> {
    let mut steps = Vec::new();
    for (index, call) in left.iter().enumerate() {
        if !left[..index].contains(call) {
            steps.push((Step::Call(*call), budget));
        }
    }
    let crashed = budget
        .crashes
        .checked_sub(1)
        .map(|crashes| Budget { crashes, ..budget });
    let lost = budget
        .losses
        .checked_sub(1)
        .map(|losses| Budget { losses, ..budget });
    let requests = sim.stage.requests.borrow();
    for ledger in 0..requests.len() {
        if requests[ledger].is_empty() {
            continue;
        }
        steps.push((Step::Execute(ledger), budget));
        if let Some(lost) = lost {
            for told in [false, true] {
                steps.push((Step::DropRequest { ledger, told }, lost));
            }
        }
    }
    for (&call, waiting) in sim.stage.waiting.borrow().iter() {
        if waiting.reply.is_some() {
            steps.push((Step::GoOn(call), budget));
            steps.extend(crashed.map(|crashed| (Step::Trap(call), crashed)));
        }
        steps.extend(lost.map(|lost| (Step::LoseReply(call), lost)));
    }
    let now_ns = sim.stage.now_ns();
    for (index, alarm) in sim.stage.alarms.borrow().iter().enumerate() {
        if alarm.due_ns <= now_ns && !matches!(alarm.task, Task::LearnFees) {
            steps.push((Step::Fire(index), budget));
        }
    }
    if steps.is_empty() {
        return steps;
    }
    if let Some(crashed) = crashed {
        steps.push((Step::UpgradeAtOnce, crashed));
        if sim.messages_under_way() == 0 {
            steps.push((Step::Upgrade, crashed));
        }
    }
    if let Some(fee_changes) = budget.fee_changes.checked_sub(1) {
        let spent = Budget {
            fee_changes,
            ..budget
        };
        steps.push((Step::ChangeFee { ledger: 0, fee: 3 }, spent));
    }
    if let Some(advances) = budget.advances.checked_sub(1) {
        // Beyond every window and every pause between two attempts.
        let ns = 61_000_000_000;
        steps.push((Step::Advance { ns }, Budget { advances, ..budget }));
    }
    steps
}

fn begin(beginning: Beginning) -> Sim {
    let mut sim = Sim::new(BEGINNING_NS, |_| true);
    sim.fire_all();
    for user in 0..2 {
        for ledger in 0..2 {
            sim.apply(Step::Approve {
                ledger,
                user,
                amount: 1_000,
            });
        }
    }
    let newest = match beginning {
        Beginning::Funding => 0,
        Beginning::Open | Beginning::Registered | Beginning::Concluded => 2,
        Beginning::Final => LAST,
    };
    for asset in 0..2 {
        for part in 0..2 {
            if matches!(beginning, Beginning::Funding) && (asset, part) == (0, 1) {
                continue;
            }
            let amount = funding(2, 2, newest)[asset][part];
            sim.run(Call::Pull {
                place: place(asset, part),
                user: 0,
                amount,
                expected: Some(0),
            });
        }
    }
    for _ in 0..=newest {
        sim.apply(Step::Sign { channel: 0 });
    }
    let paid_in = Step::PayIn {
        place: place(0, 1),
        user: 2,
        amount: 30 + FEE,
    };
    sim.apply(paid_in);
    if matches!(beginning, Beginning::Registered | Beginning::Concluded) {
        sim.run(DISPUTE_OLD);
    }
    if matches!(beginning, Beginning::Concluded) {
        sim.run(DISPUTE);
        while sim.stage.adjudicator().has_open_window() {
            sim.apply(Step::Advance { ns: TICK_NS });
            sim.fire_all();
        }
        sim.run(CONCLUDE);
    }
    sim
}

/// All choices of two, the same one twice too.
fn pairs(calls: &[Call]) -> Vec<Vec<Call>> {
    let firsts = calls.iter().enumerate();
    firsts
        .flat_map(|(index, &first)| {
            calls[index..]
                .iter()
                .map(move |&second| vec![first, second])
        })
        .collect()
}

#[test]
fn every_order_of_a_few_messages_keeps_all_promises() {
    let began = Instant::now();
    let scenarios: Vec<_> = MESSAGES
        .into_iter()
        .flat_map(|(beginning, calls)| pairs(calls).into_iter().map(move |pair| (beginning, pair)))
        .collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let counts: Vec<(usize, usize)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let mine: Vec<_> = scenarios.iter().skip(worker).step_by(threads).collect();
                scope.spawn(move || mine.into_iter().map(search).collect::<Vec<_>>())
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("the search keeps all promises"))
            .collect()
    });
    let states: usize = counts.iter().map(|(states, _)| states).sum();
    let ends: usize = counts.iter().map(|(_, ends)| ends).sum();
    // Straight to the terminal, so that it is seen although the test passes.
    writeln!(
        io::stderr(),
        "{states} states, {ends} ends, {} scenarios, {:.1} s",
        scenarios.len(),
        began.elapsed().as_secs_f64()
    )
    .unwrap();
    assert!(states >= FLOOR, "only {states} states");
}

/// How many moments and how many ends there are.
fn search((beginning, calls): &(Beginning, Vec<Call>)) -> (usize, usize) {
    let sim = begin(*beginning);
    let quiet = sim.stage.quiet(&sim.books);
    drop(sim);
    let mut search = Search {
        quiet: &quiet,
        seen: HashSet::new(),
        path: Vec::new(),
        ends: 0,
    };
    let sim = Sim::from_quiet(&quiet);
    let searched = catch_unwind(AssertUnwindSafe(|| search.descend(sim, calls, BUDGET)));
    if let Err(panic) = searched {
        eprintln!("from {beginning:?}: {:#?}", search.path);
        resume_unwind(panic);
    }
    assert_complete(&quiet);
    (search.seen.len(), search.ends)
}
