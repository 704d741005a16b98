//! A ledger as the adjudicator knows it: accounts, allowances, a fee that changes, and the memory of
//! a day by which it recognises a repeated transfer.
//!
//! Requests are judged in the order of the ledgers in use: fee, room, age, repetition, allowance,
//! funds.
//!
//! Invariant, and the sharpest oracle there is: no memo is ever executed twice, whatever the ledger
//! has forgotten.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use perun_canister::verdict::Answer;
use perun_canister_api::LedgerRefusal;
use perun_protocol::Account;

/// How long a transfer is remembered.
const WINDOW_NS: u64 = 24 * 3_600 * 1_000_000_000;
/// How far a transfer may come from the future.
const DRIFT_NS: u64 = 60 * 1_000_000_000;

/// What the adjudicator asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Transfer {
    pub from: Account,
    pub to: Account,
    /// By the adjudicator's allowance.
    pub by_allowance: bool,
    pub amount: u128,
    pub fee: u128,
    pub memo: u64,
    pub created_at_ns: u64,
}

/// How a ledger is today.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Mood {
    #[default]
    Willing,
    /// It remembers as many transfers as it can.
    Busy,
    /// It answers nothing.
    Stopped,
}

#[derive(Clone)]
pub struct Ledger {
    pub fee: u128,
    pub mood: Mood,
    /// How far its clock runs ahead, or behind.
    pub skew_ns: i64,
    balances: HashMap<Account, u128>,
    /// To the adjudicator.
    allowances: HashMap<Account, u128>,
    remembered: HashMap<Transfer, u64>,
    /// Memos to blocks.
    executed: HashMap<u64, u64>,
    blocks: u64,
}

impl Ledger {
    pub fn new(fee: u128, holders: impl Iterator<Item = (Account, u128)>) -> Self {
        let balances: HashMap<_, _> = holders.collect();
        Self {
            fee,
            mood: Mood::default(),
            skew_ns: 0,
            blocks: balances.len() as u64,
            balances,
            allowances: HashMap::new(),
            remembered: HashMap::new(),
            executed: HashMap::new(),
        }
    }

    pub fn balance(&self, account: &Account) -> u128 {
        self.balances.get(account).copied().unwrap_or(0)
    }

    pub fn allowance(&self, owner: &Account) -> u128 {
        self.allowances.get(owner).copied().unwrap_or(0)
    }

    /// The block of the transfer with this memo, if it was executed.
    pub fn executed(&self, memo: u64) -> Option<u64> {
        self.executed.get(&memo).copied()
    }

    /// Everything that decides what it will do.
    pub fn hash_into(&self, hasher: &mut impl Hasher) {
        (self.fee, self.mood).hash(hasher);
        let mut amounts: Vec<_> = self.balances.iter().chain(&self.allowances).collect();
        amounts.sort_unstable_by_key(|(account, amount)| {
            (account.owner, account.subaccount, **amount)
        });
        amounts.hash(hasher);
        let mut executed: Vec<_> = self.executed.keys().collect();
        executed.sort_unstable();
        executed.hash(hasher);
    }

    /// A user approves to the adjudicator.
    pub fn approve(&mut self, owner: Account, amount: u128) {
        self.take(&owner, self.fee);
        self.allowances.insert(owner, amount);
        self.blocks += 1;
    }

    /// A user pays somebody.
    pub fn pay(&mut self, from: &Account, to: Account, amount: u128) {
        self.take(from, amount + self.fee);
        *self.balances.entry(to).or_default() += amount;
        self.blocks += 1;
    }

    /// The adjudicator's transfer.
    pub fn transfer(&mut self, transfer: &Transfer, now_ns: u64) -> Answer {
        let now_ns = now_ns.saturating_add_signed(self.skew_ns);
        if self.mood == Mood::Stopped {
            return Answer::Lost;
        }
        if transfer.fee != self.fee {
            let expected_fee = self.fee;
            return Answer::Refused(LedgerRefusal::BadFee { expected_fee });
        }
        if self.mood == Mood::Busy {
            return Answer::Refused(LedgerRefusal::TemporarilyUnavailable);
        }
        if transfer.created_at_ns + WINDOW_NS < now_ns {
            return Answer::TooOld;
        }
        if transfer.created_at_ns > now_ns + DRIFT_NS {
            let message = "created in the future".into();
            return Answer::Refused(LedgerRefusal::Other { message });
        }
        if let Some(block) = self.remembered.get(transfer) {
            return Answer::Duplicate(Some(u128::from(*block)));
        }
        let total = transfer.amount + transfer.fee;
        if transfer.by_allowance {
            let allowance = self.allowance(&transfer.from);
            if allowance < total {
                return Answer::Refused(LedgerRefusal::InsufficientAllowance { allowance });
            }
        }
        let balance = self.balance(&transfer.from);
        if balance < total {
            return Answer::Refused(LedgerRefusal::InsufficientFunds { balance });
        }
        if transfer.by_allowance {
            *self.allowances.entry(transfer.from).or_default() -= total;
        }
        self.take(&transfer.from, total);
        *self.balances.entry(transfer.to).or_default() += transfer.amount;
        let block = self.blocks;
        self.blocks += 1;
        self.remembered.insert(*transfer, block);
        let before = self.executed.insert(transfer.memo, block);
        assert_eq!(before, None, "paid twice: {transfer:?}");
        Answer::Paid(Some(u128::from(block)))
    }

    fn take(&mut self, account: &Account, amount: u128) {
        let balance = self.balances.entry(*account).or_default();
        *balance = balance.checked_sub(amount).expect("users are rich");
    }
}
