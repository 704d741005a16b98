//! The one adjudicator of this canister, and the system around it. Nothing borrowed here lives across
//! an await.

use std::cell::RefCell;
use std::time::Duration;

use candid::Principal;
use perun_canister::Adjudicator;
use perun_canister::flow::{self, System, Task, Transient};
use perun_canister::journal::{Entry, JournalNumber};
use perun_canister::verdict::Answer;
use perun_protocol::{Account, Amount, Timestamp};

use crate::{ledger, logs};

thread_local! {
    static ADJUDICATOR: RefCell<Option<Adjudicator>> = const { RefCell::new(None) };
    static TRANSIENT: Transient = Transient::default();
}

const INSTALLED: &str = "init and post_upgrade run before any other message";

/// The system that the flows run on: this canister.
pub struct Canister;

impl System for Canister {
    fn now(&self) -> Timestamp {
        now()
    }

    fn read<R>(&self, f: impl FnOnce(&Adjudicator) -> R) -> R {
        read(f)
    }

    fn change<R>(&self, f: impl FnOnce(&mut Adjudicator) -> R) -> R {
        ADJUDICATOR.with_borrow_mut(|adjudicator| {
            logs::noticing_gaps(adjudicator.as_mut().expect(INSTALLED), f)
        })
    }

    fn transient<R>(&self, f: impl FnOnce(&Transient) -> R) -> R {
        TRANSIENT.with(f)
    }

    fn certify(&self, root: [u8; 32]) {
        ic_cdk::api::certified_data_set(root);
    }

    fn set_timer(&self, pause: Duration, task: Task) {
        ic_cdk_timers::set_timer(pause, flow::run(&Self, task));
    }

    async fn transfer(&self, number: JournalNumber, entry: &Entry) -> Answer {
        let answer = ledger::transfer(number, entry).await;
        logs::answered(number, entry, &answer);
        answer
    }

    async fn balance(&self, ledger: Principal, account: &Account) -> Result<Amount, String> {
        ledger::balance(ledger, account).await
    }

    async fn allowance(&self, ledger: Principal, account: &Account) -> Result<Amount, String> {
        ledger::allowance(ledger, account).await
    }

    async fn ask_fee(&self, ledger: Principal) -> Result<Amount, String> {
        ledger::fee(ledger).await
    }
}

/// Puts the adjudicator in its place, and lets it begin.
pub fn set(adjudicator: Adjudicator) {
    ADJUDICATOR.set(Some(adjudicator));
    flow::start(&Canister);
}

/// The time of this message.
pub fn now() -> Timestamp {
    Timestamp::from_nanos(ic_cdk::api::time())
}

/// Reads.
pub fn read<R>(f: impl FnOnce(&Adjudicator) -> R) -> R {
    ADJUDICATOR.with_borrow(|adjudicator| f(adjudicator.as_ref().expect(INSTALLED)))
}

/// Changes what matters to nobody outside: nothing that is certified, and no timer.
pub fn change<R>(f: impl FnOnce(&mut Adjudicator) -> R) -> R {
    Canister.change(f)
}

/// Changes, in a message that awaits nothing.
pub fn mutate<R>(f: impl FnOnce(&mut Adjudicator, Timestamp) -> R) -> R {
    Canister.mutate(f)
}
