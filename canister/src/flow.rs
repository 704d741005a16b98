//! The order of checks, ledger calls and consequences: what a message does from its first segment to
//! its last.
//!
//! ```text
//! message ──> check ──> [await fee] ──> reserve ──> [await transfer] ──> settle ──> answer
//!                                          │              ^
//!                                       journal ──────────┘  timer, or any later caller
//! ```
//!
//! The flows await, but only through [`System`]: the program `adjudicator` implements it by the
//! system API and by calls of ledgers, tests by a simulation in which anything may happen at any
//! await. Nothing of the adjudicator is borrowed across one, and a flow that never goes on (its
//! callback trapped, the canister was upgraded) leaves nothing behind but a journal entry.

mod deposit;
mod timers;
mod transfer;
mod withdraw;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use candid::Principal;
use perun_protocol::{Account, Amount, Timestamp};

use crate::Adjudicator;
use crate::journal::{Entry, JournalNumber};
use crate::verdict::Answer;

pub use deposit::deposit;
pub use timers::{Task, run, start};
pub use withdraw::withdraw;

/// What surrounds the adjudicator: its place, the time, timers, and the ledgers.
pub trait System: Sized {
    /// The time of this message.
    fn now(&self) -> Timestamp;

    /// Lends the adjudicator to be read.
    fn read<R>(&self, f: impl FnOnce(&Adjudicator) -> R) -> R;

    /// Lends the adjudicator to be changed. [`System::mutate`] and [`System::resume`] do what else
    /// a change asks for.
    fn change<R>(&self, f: impl FnOnce(&mut Adjudicator) -> R) -> R;

    /// Lends what this instance of the canister remembers beside the adjudicator.
    fn transient<R>(&self, f: impl FnOnce(&Transient) -> R) -> R;

    /// Has the subnet sign what the adjudicator certifies.
    fn certify(&self, root: [u8; 32]);

    /// Has [`run`] carry out a task after a pause, as a message of its own.
    fn set_timer(&self, pause: Duration, task: Task);

    /// Sends the transfer of a journal entry, exactly as it is written there.
    fn transfer(&self, number: JournalNumber, entry: &Entry) -> impl Future<Output = Answer>;

    /// The balance of an account; otherwise why it could not be read.
    fn balance(
        &self,
        ledger: Principal,
        account: &Account,
    ) -> impl Future<Output = Result<Amount, String>>;

    /// What the account has approved to this canister, zero if it expired; otherwise why it could
    /// not be read.
    fn allowance(
        &self,
        ledger: Principal,
        account: &Account,
    ) -> impl Future<Output = Result<Amount, String>>;

    /// The ledger's fee; otherwise why it could not be read.
    fn ask_fee(&self, ledger: Principal) -> impl Future<Output = Result<Amount, String>>;

    /// Changes at the beginning of a message, after giving a sign of life.
    fn mutate<R>(&self, f: impl FnOnce(&mut Adjudicator, Timestamp) -> R) -> R {
        self.resume(|adjudicator, now| {
            adjudicator.observe(now);
            f(adjudicator, now)
        })
    }

    /// Changes behind an await. That an answer arrives is no sign of life: answers also arrive while
    /// the canister is being stopped and takes no refutation.
    fn resume<R>(&self, f: impl FnOnce(&mut Adjudicator, Timestamp) -> R) -> R {
        let result = self.change(|adjudicator| f(adjudicator, self.now()));
        self.renew_certificate();
        timers::arm(self);
        result
    }

    /// Has what the adjudicator certifies signed with the next block, if it is not what was.
    fn renew_certificate(&self) {
        let version = Some(self.read(Adjudicator::certified_version));
        if self.transient(|transient| transient.certified.replace(version)) != version {
            self.certify(self.read(Adjudicator::certified_root));
        }
    }
}

/// What one instance of the canister remembers on its heap. An upgrade forgets it, and loses nothing:
/// no call of the old instance is answered, and the timers are armed anew.
#[derive(Default)]
pub struct Transient {
    /// The entries that a ledger call is under way for.
    calling: RefCell<BTreeSet<JournalNumber>>,
    /// The version of what was certified last.
    certified: Cell<Option<(u64, u64)>>,
    timers: timers::Timers,
}
