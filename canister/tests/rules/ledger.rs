//! Ledgers as tables: ICRC-1 and ICRC-2 as far as the adjudicator uses them, checked in the order in
//! which real ledgers check (fee, age, duplicate, allowance, funds).

use std::collections::{BTreeMap, HashMap, VecDeque};

use perun_canister::journal::{Entry, JournalNumber};
use perun_canister::verdict::Answer;
use perun_canister_api::LedgerRefusal;
use perun_protocol::Account;

/// A ledger forgets what it could recognise a repetition by after a day.
const WINDOW_NS: u64 = 24 * 3_600 * 1_000_000_000;

/// What happens to the next transfer on its way.
#[derive(Clone, Copy, Debug)]
pub enum Strike {
    /// It executes, but the answer is lost.
    LoseReply,
    /// It never arrives, and nobody knows.
    LoseCall,
    /// It never arrives, and the caller is told so.
    Refuse,
}

/// One ledger.
#[derive(Default)]
pub struct Ledger {
    pub fee: u128,
    pub balances: HashMap<Account, u128>,
    /// What its owner has approved to the adjudicator.
    pub allowances: HashMap<Account, u128>,
    /// What it has executed, by all that makes a transfer that transfer.
    executed: HashMap<Transfer, u128>,
    pub blocks: u128,
    pub strikes: VecDeque<Strike>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Transfer {
    from: Account,
    to: Account,
    amount: u128,
    fee: u128,
    memo: u64,
    created_at_ns: u64,
}

impl Ledger {
    /// An empty ledger.
    pub fn charging(fee: u128) -> Self {
        Self {
            fee,
            ..Self::default()
        }
    }

    pub fn balance(&self, account: &Account) -> u128 {
        self.balances.get(account).copied().unwrap_or(0)
    }

    /// Moves money without any question, as other people do.
    pub fn give(&mut self, from: Option<&Account>, to: &Account, amount: u128) {
        if let Some(from) = from {
            let balance = self.balances.entry(*from).or_default();
            *balance = balance.checked_sub(amount + self.fee).expect("enough");
        }
        *self.balances.entry(*to).or_default() += amount;
    }

    /// Lets the adjudicator pull so much, which costs the owner the fee.
    pub fn approve(&mut self, owner: &Account, amount: u128) {
        let balance = self.balances.entry(*owner).or_default();
        *balance = balance.checked_sub(self.fee).expect("enough");
        self.allowances.insert(*owner, amount);
    }

    /// The adjudicator's transfer of an entry, on the way that fate has for it.
    pub fn receive(
        &mut self,
        number: JournalNumber,
        entry: &Entry,
        from: Account,
        to: Account,
        is_pull: bool,
        now_ns: u64,
    ) -> Answer {
        let transfer = Transfer {
            from,
            to,
            amount: entry.amount.units(),
            fee: entry.fee.units(),
            memo: number.0,
            created_at_ns: entry.created_at.nanos(),
        };
        match self.strikes.pop_front() {
            None => self.execute(transfer, is_pull, now_ns),
            Some(Strike::LoseReply) => {
                self.execute(transfer, is_pull, now_ns);
                Answer::Lost
            }
            Some(Strike::LoseCall) => Answer::Lost,
            Some(Strike::Refuse) => Answer::NotDelivered(LedgerRefusal::NotDelivered {
                code: 2,
                message: "on purpose".into(),
            }),
        }
    }

    fn execute(&mut self, transfer: Transfer, is_pull: bool, now_ns: u64) -> Answer {
        let refused = Answer::Refused;
        if transfer.fee != self.fee {
            let expected_fee = self.fee;
            return refused(LedgerRefusal::BadFee { expected_fee });
        }
        if transfer.created_at_ns + WINDOW_NS < now_ns {
            return Answer::TooOld;
        }
        if let Some(block) = self.executed.get(&transfer) {
            return Answer::Duplicate(Some(*block));
        }
        let Some(needed) = transfer.amount.checked_add(transfer.fee) else {
            let balance = self.balance(&transfer.from);
            return refused(LedgerRefusal::InsufficientFunds { balance });
        };
        if is_pull {
            let allowance = self.allowances.entry(transfer.from).or_default();
            match allowance.checked_sub(needed) {
                Some(rest) => *allowance = rest,
                None => {
                    let allowance = *allowance;
                    return refused(LedgerRefusal::InsufficientAllowance { allowance });
                }
            }
        }
        let balance = self.balance(&transfer.from);
        let Some(rest) = balance.checked_sub(needed) else {
            return refused(LedgerRefusal::InsufficientFunds { balance });
        };
        self.balances.insert(transfer.from, rest);
        *self.balances.entry(transfer.to).or_default() += transfer.amount;
        let block = self.blocks;
        self.blocks += 1;
        self.executed.insert(transfer, block);
        Answer::Paid(Some(block))
    }
}

/// The ledgers by their principals, and what was asked of which.
#[derive(Default)]
pub struct Ledgers {
    pub by_id: BTreeMap<candid::Principal, Ledger>,
    /// How many questions and transfers there were.
    pub calls: u64,
}

impl Ledgers {
    pub fn ledger(&mut self, id: candid::Principal) -> &mut Ledger {
        self.by_id.get_mut(&id).expect("the ledger exists")
    }

    /// The same, called by the adjudicator.
    pub fn call(&mut self, id: candid::Principal) -> &mut Ledger {
        self.calls += 1;
        self.ledger(id)
    }
}
