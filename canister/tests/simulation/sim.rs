//! The adjudicator under simulation: carries out one step after the other, and checks everything
//! after each.

mod calls;
mod messages;
mod moments;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::rc::Rc;

use ic_stable_structures::DefaultMemoryImpl;
use perun_canister::flow::{self, Task};
use perun_canister::journal::JournalNumber;
use perun_canister_api::{
    ConcludeError, Conclusion, DepositError, DepositReceipt, DisputeResult, WithdrawError,
    WithdrawReceipt,
};

use super::books::Books;
use super::cast::{account_of_user, cast};
use super::coverage::Sort;
use super::quiet::Quiet;
use super::stage::{MessageId, Question, Stage};
use super::step::{Call, Place, Step};

/// What a message is answered with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    Deposit(Result<DepositReceipt, DepositError>),
    Withdraw(Result<WithdrawReceipt, WithdrawError>),
    Dispute(DisputeResult),
    DisputeMany(Vec<DisputeResult>),
    Conclude(Result<Conclusion, ConcludeError>),
    Done,
}

/// A message that awaits something.
struct Message {
    sort: Sort,
    channel: Option<usize>,
    future: Pin<Box<dyn Future<Output = Outcome>>>,
    /// The journal entries that it made.
    own: Vec<JournalNumber>,
    /// The holding that its deposit is bound to.
    expected: Option<(Place, u128)>,
    /// Everything that went into it, from which follows where it is.
    past: DefaultHasher,
}

pub struct Sim {
    pub stage: Rc<Stage>,
    pub books: Books,
    messages: BTreeMap<MessageId, Message>,
    next_message: MessageId,
    /// The hash of everything that happened.
    trace: DefaultHasher,
    pub steps: u64,
    /// Tells every step.
    pub is_told: bool,
    /// Only gets to where it was before: everything was checked already.
    pub is_replay: bool,
}

/// What a step may have changed.
enum Touched {
    Nothing,
    One(usize),
    Any,
    All,
}

thread_local! {
    /// Memory is written over and over: fresh one has to be asked of the machine first.
    static MEMORY: RefCell<DefaultMemoryImpl> = RefCell::default();
}

impl Sim {
    /// An adjudicator that has just been installed.
    pub fn new(now_ns: u64, is_watched: impl Fn(usize) -> bool) -> Self {
        let memory = MEMORY.with_borrow(Clone::clone);
        memory.borrow_mut().clear();
        let stage = Rc::new(Stage::new(memory, now_ns));
        flow::start(&*stage);
        Self::with(stage, Books::new(is_watched))
    }

    /// The same moment again.
    pub fn from_quiet(quiet: &Quiet) -> Self {
        let memory = MEMORY.with_borrow(Clone::clone);
        let stage = Rc::new(Stage::from_quiet(memory, quiet));
        flow::start(&*stage);
        Self::with(stage, quiet.books.clone())
    }

    fn with(stage: Rc<Stage>, books: Books) -> Self {
        Self {
            stage,
            books,
            messages: BTreeMap::new(),
            next_message: 0,
            trace: DefaultHasher::new(),
            steps: 0,
            is_told: false,
            is_replay: false,
        }
    }

    /// The hash of everything that happened.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    pub fn messages_under_way(&self) -> usize {
        self.messages.len()
    }

    /// Carries out a step; the answer to a message that it completes.
    pub fn apply(&mut self, step: Step) -> Option<Outcome> {
        if self.is_told {
            println!("{:6} {:?}", self.steps, step);
        }
        step.hash(&mut self.trace);
        self.steps += 1;
        let touched = self.touched_by(&step);
        let stage = Rc::clone(&self.stage);
        let outcome = match step {
            Step::Call(call) => self.call(call),
            Step::Fire(alarm) => {
                let alarm = stage.alarms.borrow_mut().remove(alarm);
                let (sort, channel) = match alarm.task {
                    Task::Settle(number) => (Sort::Settle, self.channel_of(number)),
                    Task::LearnFees => (Sort::LearnFees, None),
                    Task::Tick { .. } | Task::Retry { .. } => (Sort::Immediate, None),
                };
                let system = Rc::clone(&stage);
                self.begin(sort, channel, &step, async move {
                    flow::run(&*system, alarm.task).await;
                    Outcome::Done
                })
            }
            Step::LoseTimer(alarm) => {
                stage.alarms.borrow_mut().remove(alarm);
                None
            }
            Step::Execute(ledger) => {
                stage.execute(ledger);
                None
            }
            Step::DropRequest { ledger, told } => {
                stage.drop_request(ledger, told);
                None
            }
            Step::LoseReply(call) => {
                stage.lose_reply(call);
                None
            }
            Step::GoOn(call) => self.go_on(call),
            Step::Trap(call) => {
                self.trap(call);
                None
            }
            Step::Upgrade => {
                self.finish_everything();
                self.upgrade();
                None
            }
            Step::UpgradeAtOnce => {
                self.upgrade();
                None
            }
            Step::Advance { ns } => {
                self.advance(ns);
                None
            }
            Step::Sign { channel } => {
                self.books.channels[channel].signed += 1;
                None
            }
            Step::PayIn {
                place,
                user,
                amount,
            } => {
                let account = cast().channels[place.channel].deposit_accounts[place.part];
                let ledger = &mut stage.ledgers.borrow_mut()[place.asset];
                ledger.pay(&account_of_user(user), account, amount);
                None
            }
            Step::Approve {
                ledger,
                user,
                amount,
            } => {
                stage.ledgers.borrow_mut()[ledger].approve(account_of_user(user), amount);
                None
            }
            Step::ChangeFee { ledger, fee } => {
                stage.ledgers.borrow_mut()[ledger].fee = fee;
                None
            }
            Step::ChangeMood { ledger, mood } => {
                stage.ledgers.borrow_mut()[ledger].mood = mood;
                None
            }
        };
        if let Some(outcome) = &outcome {
            if self.is_told {
                println!("       {outcome:?}");
            }
            let _ = write!(Hashing(&mut self.trace), "{outcome:?}");
        }
        self.check(touched);
        outcome
    }

    /// Checks the channel that the step was about, and all of them now and then.
    fn check(&mut self, touched: Touched) {
        let channels = cast().channels.len();
        let steps = self.steps as usize;
        self.books.see_finished(&self.stage);
        match touched {
            _ if self.is_replay => {
                (0..channels).for_each(|channel| self.books.follow(&self.stage, channel));
            }
            touched if steps.is_multiple_of(50) || matches!(touched, Touched::All) => {
                (0..channels).for_each(|channel| self.books.check(&self.stage, channel));
            }
            Touched::One(channel) => self.books.check(&self.stage, channel),
            Touched::Any => self.books.check(&self.stage, steps % channels),
            Touched::Nothing | Touched::All => {}
        }
    }

    fn touched_by(&self, step: &Step) -> Touched {
        let of_message = |message: MessageId| {
            let message = self.messages.get(&message);
            message.and_then(|message| message.channel)
        };
        let one = match *step {
            Step::Call(
                Call::Pull { place, .. }
                | Call::Sweep { place }
                | Call::Withdraw { place }
                | Call::Steal { place, .. },
            ) => Some(place.channel),
            Step::Call(Call::DisputeMany(_)) => return Touched::All,
            Step::Call(Call::Dispute(claim)) => Some(claim.channel()),
            Step::Call(
                Call::Conclude { channel }
                | Call::ConcludeBy { channel, .. }
                | Call::Ask { channel },
            ) => Some(channel),
            Step::GoOn(call) | Step::Trap(call) => {
                let waiting = self.stage.waiting.borrow();
                waiting
                    .get(&call)
                    .and_then(|waiting| of_message(waiting.message))
            }
            Step::Execute(ledger) => match self.stage.requests.borrow()[ledger].front() {
                Some((_, Question::Transfer(transfer))) => {
                    let mut channels = cast().channels.iter();
                    let of = |account| [transfer.from, transfer.to].contains(account);
                    channels.position(|channel| of(&channel.funds))
                }
                _ => return Touched::Nothing,
            },
            Step::Fire(_) | Step::Upgrade | Step::UpgradeAtOnce | Step::Advance { .. } => None,
            _ => return Touched::Nothing,
        };
        one.map_or(Touched::Any, Touched::One)
    }

    fn channel_of(&self, number: JournalNumber) -> Option<usize> {
        let entry = self.stage.adjudicator().entry(number)?;
        let channels = &cast().channels;
        channels
            .iter()
            .position(|channel| channel.id == entry.channel)
    }

    /// Whether a timer would be armed by the next message.
    pub fn has_timers_to_arm(&self) -> bool {
        let adjudicator = self.stage.adjudicator();
        adjudicator.has_open_window() || adjudicator.has_journal()
    }
}

/// Asserts that coming back to a quiet moment forgot nothing.
pub fn assert_complete(quiet: &Quiet) {
    MEMORY.with_borrow(|memory| quiet.assert_complete(memory));
}

/// The same for equal things, on every machine.
pub fn hash_of(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Hashes what is written.
struct Hashing<'a>(&'a mut DefaultHasher);

impl fmt::Write for Hashing<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
