//! Where something can happen, and whether it did: each await of each kind of message × each fate.

use std::collections::BTreeMap;

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

/// How often what happened where.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<(Sort, Await, Fate), u64>);

impl Coverage {
    pub fn hit(&mut self, sort: Sort, at: Await, fate: Fate) {
        let is_transfer = matches!(at, Await::Transfer | Await::OlderTransfer);
        // A question changes nothing, so it matters only whether it was answered.
        let fate = match fate {
            Fate::NotDelivered | Fate::ReplyLost | Fate::CallLate if !is_transfer => Fate::CallLost,
            Fate::TrappedUnexecuted if !is_transfer => Fate::Trapped,
            fate => fate,
        };
        *self.0.entry((sort, at, fate)).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (point, count) in &other.0 {
            *self.0.entry(*point).or_default() += count;
        }
    }

    /// Prints the table, and asserts that there is no blank in it.
    pub fn assert_complete(&self) {
        let mut missing = Vec::new();
        for (sort, awaits) in PLACES {
            for &at in awaits {
                let fates: &[Fate] = match at {
                    Await::Transfer | Await::OlderTransfer => &OF_TRANSFERS,
                    _ => &OF_QUESTIONS,
                };
                let mut line = format!("{sort:?} at {at:?}:");
                for &fate in fates {
                    let count = self.0.get(&(sort, at, fate)).copied().unwrap_or(0);
                    line.push_str(&format!(" {fate:?} {count}"));
                    if count == 0 {
                        missing.push((sort, at, fate));
                    }
                }
                println!("{line}");
            }
        }
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}
