//! The stage as the flows see it.

use std::time::Duration;

use candid::Principal;
use perun_canister::Adjudicator;
use perun_canister::flow::{System, Task, Transient};
use perun_canister::journal::{Entry, JournalNumber, Kind};
use perun_canister::verdict::Answer;
use perun_protocol::{Account, Amount, Timestamp};

use super::{Alarm, Question, Reply, Stage};
use crate::cast::cast;
use crate::coverage::Await;
use crate::ledger::Transfer;

impl System for Stage {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now_ns())
    }

    fn read<R>(&self, f: impl FnOnce(&Adjudicator) -> R) -> R {
        f(&self.instance.borrow().adjudicator)
    }

    fn change<R>(&self, f: impl FnOnce(&mut Adjudicator) -> R) -> R {
        f(&mut self.instance.borrow_mut().adjudicator)
    }

    fn transient<R>(&self, f: impl FnOnce(&Transient) -> R) -> R {
        f(&self.instance.borrow().transient)
    }

    fn certify(&self, root: [u8; 32]) {
        self.certified.set(root);
    }

    fn set_timer(&self, pause: Duration, task: Task) {
        let pause_ns = u64::try_from(pause.as_nanos()).expect("pauses are short");
        let due_ns = self.now_ns() + pause_ns;
        self.alarms.borrow_mut().push(Alarm { due_ns, task });
    }

    async fn transfer(&self, number: JournalNumber, entry: &Entry) -> Answer {
        // What nobody has sent before was written down just now.
        let is_own = number.0 >= self.next_number.get();
        if is_own {
            self.reserved.set(Some(number));
            self.next_number.set(number.0 + 1);
        }
        let (from, to) = self.read(|adjudicator| adjudicator.route(entry));
        let transfer = Transfer {
            from,
            to,
            by_allowance: matches!(entry.kind, Kind::Pull { .. }),
            amount: entry.amount.units(),
            fee: entry.fee.units(),
            memo: number.0,
            created_at_ns: entry.created_at.nanos(),
        };
        let at = if is_own {
            Await::Transfer
        } else {
            Await::OlderTransfer
        };
        match self
            .ask(entry.ledger, Question::Transfer(transfer), at)
            .await
        {
            Reply::Transfer(answer) => answer,
            Reply::Amount(amount) => panic!("{amount:?} to {transfer:?}"),
        }
    }

    async fn balance(&self, ledger: Principal, account: &Account) -> Result<Amount, String> {
        let is_funds = cast()
            .channels
            .iter()
            .any(|channel| channel.funds == *account);
        let at = if is_funds {
            Await::Funds
        } else {
            Await::DepositAccount
        };
        self.amount(ledger, Question::Balance(*account), at).await
    }

    async fn allowance(&self, ledger: Principal, account: &Account) -> Result<Amount, String> {
        self.amount(ledger, Question::Allowance(*account), Await::Allowance)
            .await
    }

    async fn ask_fee(&self, ledger: Principal) -> Result<Amount, String> {
        self.amount(ledger, Question::Fee, Await::Fee).await
    }
}
