//! Where something can happen, and whether it did: each await of each kind of message × each fate,
//! and the cases that no await tells.

use std::collections::BTreeMap;

use super::books::Judgement;

/// The kinds of messages that await.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Sort {
    Pull,
    Sweep,
    Withdraw,
    /// The timer's look at an entry.
    Settle,
    LearnFees,
    /// What awaits nothing.
    Immediate,
}

/// What is awaited.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Await {
    Fee,
    Allowance,
    /// The balance of a deposit account, before it is swept.
    DepositAccount,
    /// The transfer that the message has just written down.
    Transfer,
    /// One that was written down before.
    OlderTransfer,
    /// The balance of a channel's funds, which tells whether a transfer happened.
    Funds,
}

/// What becomes of an await.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Fate {
    Answered,
    NotDelivered,
    /// The answer is lost: the ledger has executed the request,
    ReplyLost,
    /// never will,
    CallLost,
    /// or may later.
    CallLate,
    /// The callback trapped; the ledger has executed the request,
    Trapped,
    /// or not.
    TrappedUnexecuted,
    /// The canister was upgraded while it waited.
    Upgraded,
}

/// All places at which a message can be interrupted.
const PLACES: [(Sort, &[Await]); 5] = [
    (
        Sort::Pull,
        &[
            Await::Fee,
            Await::Allowance,
            Await::Transfer,
            Await::OlderTransfer,
            Await::Funds,
        ],
    ),
    (
        Sort::Sweep,
        &[
            Await::Fee,
            Await::DepositAccount,
            Await::Transfer,
            Await::OlderTransfer,
            Await::Funds,
        ],
    ),
    (
        Sort::Withdraw,
        &[
            Await::Fee,
            Await::Transfer,
            Await::OlderTransfer,
            Await::Funds,
        ],
    ),
    (Sort::Settle, &[Await::OlderTransfer, Await::Funds]),
    (Sort::LearnFees, &[Await::Fee]),
];

const OF_TRANSFERS: [Fate; 8] = [
    Fate::Answered,
    Fate::NotDelivered,
    Fate::ReplyLost,
    Fate::CallLost,
    Fate::CallLate,
    Fate::Trapped,
    Fate::TrappedUnexecuted,
    Fate::Upgraded,
];

const OF_QUESTIONS: [Fate; 4] = [
    Fate::Answered,
    Fate::CallLost,
    Fate::Trapped,
    Fate::Upgraded,
];

/// What has to happen besides.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Case {
    /// A claim that comes alone.
    Alone(Judgement),
    /// One of many in a message.
    OneOfMany(Judgement),
    /// An earlier one of the same message decided what became of it.
    DecidedByEarlier,
    /// One of many is a final state, and concludes its channel.
    FinalOfMany,
    /// One that is refused comes between two that are registered.
    RefusedBetween,
    /// The record of a channel that was paid out goes.
    Finished,
    /// Money comes after that.
    LateMoney,
    /// And is paid.
    LatePayout,
    /// And the record goes again.
    FinishedAgain,
    /// A claim comes for a channel whose record is gone.
    ClaimForFinished,
}

/// Everything that is one.
fn cases() -> impl Iterator<Item = Case> {
    let of_claims = Judgement::ALL
        .into_iter()
        .flat_map(|judgement| [Case::Alone(judgement), Case::OneOfMany(judgement)]);
    of_claims.chain([
        Case::DecidedByEarlier,
        Case::FinalOfMany,
        Case::RefusedBetween,
        Case::Finished,
        Case::LateMoney,
        Case::LatePayout,
        Case::FinishedAgain,
        Case::ClaimForFinished,
    ])
}

/// How often what happened where.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    awaits: BTreeMap<(Sort, Await, Fate), u64>,
    cases: BTreeMap<Case, u64>,
}

impl Coverage {
    pub fn hit(&mut self, sort: Sort, at: Await, fate: Fate) {
        let is_transfer = matches!(at, Await::Transfer | Await::OlderTransfer);
        // A question changes nothing, so it matters only whether it was answered.
        let fate = match fate {
            Fate::NotDelivered | Fate::ReplyLost | Fate::CallLate if !is_transfer => Fate::CallLost,
            Fate::TrappedUnexecuted if !is_transfer => Fate::Trapped,
            fate => fate,
        };
        *self.awaits.entry((sort, at, fate)).or_default() += 1;
    }

    pub fn meet(&mut self, case: Case) {
        *self.cases.entry(case).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (point, count) in &other.awaits {
            *self.awaits.entry(*point).or_default() += count;
        }
        for (case, count) in &other.cases {
            *self.cases.entry(*case).or_default() += count;
        }
    }

    /// Prints the tables, and asserts that there is no blank in them.
    pub fn assert_complete(&self) {
        let (mut missing, mut unmet) = (Vec::new(), Vec::new());
        for (sort, awaits) in PLACES {
            for &at in awaits {
                let fates: &[Fate] = match at {
                    Await::Transfer | Await::OlderTransfer => &OF_TRANSFERS,
                    _ => &OF_QUESTIONS,
                };
                let mut line = format!("{sort:?} at {at:?}:");
                for &fate in fates {
                    let count = self.awaits.get(&(sort, at, fate)).copied().unwrap_or(0);
                    line.push_str(&format!(" {fate:?} {count}"));
                    if count == 0 {
                        missing.push((sort, at, fate));
                    }
                }
                println!("{line}");
            }
        }
        for case in cases() {
            let count = self.cases.get(&case).copied().unwrap_or(0);
            println!("{case:?} {count}");
            if count == 0 {
                unmet.push(case);
            }
        }
        assert!(missing.is_empty(), "never happened: {missing:?}");
        assert!(unmet.is_empty(), "never happened: {unmet:?}");
    }
}
