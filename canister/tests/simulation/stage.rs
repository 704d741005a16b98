//! What the flows stand on here: a clock moved by hand, timers, and ledger calls that are answered
//! when the scheduler likes.
//!
//! ```text
//! flow ──asks──> waiting ── request ──> the ledger's queue, in the order of sending
//!   ^               │                        │ executed, dropped, or overtaken by the deadline
//!   └── callback <──┴────── answer <─────────┘
//! ```
//!
//! As on the Internet Computer, requests to one ledger arrive in the order in which they were sent or
//! not at all, answers come in any order, and a request may still be executed after its caller was
//! told that nobody knows.

mod system;

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};

use candid::Principal;
use ic_stable_structures::DefaultMemoryImpl;
use perun_canister::Adjudicator;
use perun_canister::flow::{Task, Transient};
use perun_canister::journal::JournalNumber;
use perun_canister::verdict::Answer;
use perun_canister_api::LedgerRefusal;
use perun_protocol::{Account, Amount};

use super::books::Books;
use super::cast::{ASSETS, HOLDERS, LEDGERS, ME, account_of_user, init_args};
use super::coverage::Await;
use super::ledger::{Ledger, Mood, Transfer};
use super::quiet::Quiet;
use super::world::{FEE, WEALTH};

pub type CallId = u64;
pub type MessageId = u64;

/// What a ledger is asked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Question {
    Transfer(Transfer),
    Balance(Account),
    Allowance(Account),
    Fee,
}

/// What it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    Transfer(Answer),
    Amount(Result<Amount, String>),
}

/// A call whose answer was not handled yet.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub message: MessageId,
    pub ledger: usize,
    pub at: Await,
    pub question: Question,
    /// Whether its request is still on its way.
    pub in_transit: bool,
    pub reply: Option<Reply>,
}

/// A timer that was set.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Alarm {
    pub due_ns: u64,
    pub task: Task,
}

/// One instance of the canister.
struct Instance {
    adjudicator: Adjudicator,
    transient: Transient,
}

pub struct Stage {
    now_ns: Cell<u64>,
    memory: DefaultMemoryImpl,
    instance: RefCell<Instance>,
    pub certified: Cell<[u8; 32]>,
    pub alarms: RefCell<Vec<Alarm>>,
    pub ledgers: RefCell<Vec<Ledger>>,
    pub requests: RefCell<[VecDeque<(CallId, Question)>; ASSETS]>,
    pub waiting: RefCell<BTreeMap<CallId, Waiting>>,
    /// The message that runs right now, or ran last.
    pub running: Cell<MessageId>,
    /// The journal entry that it made, if it made one since somebody looked.
    pub reserved: Cell<Option<JournalNumber>>,
    next_number: Cell<u64>,
    next_call: Cell<CallId>,
    /// The answer that the callback which runs right now handles.
    handed: RefCell<Option<(CallId, Reply)>>,
}

impl Stage {
    /// An adjudicator just installed in empty `memory`, which has not begun yet.
    pub fn new(memory: DefaultMemoryImpl, now_ns: u64) -> Self {
        let adjudicator = Adjudicator::install(memory.clone(), ME, init_args());
        let users = || (0..HOLDERS).map(|user| (account_of_user(user), WEALTH));
        let ledgers = (0..ASSETS).map(|_| Ledger::new(FEE, users())).collect();
        let adjudicator = adjudicator.expect("the set-up is in order");
        Self::with(memory, adjudicator, now_ns, ledgers, 0)
    }

    /// The stage as it was at a moment at which nothing was under way.
    pub fn from_quiet(memory: DefaultMemoryImpl, quiet: &Quiet) -> Self {
        quiet.restore(&memory);
        let adjudicator = Adjudicator::upgrade(memory.clone(), ME, None);
        Self::with(
            memory,
            adjudicator.expect("what was written opens"),
            quiet.now_ns,
            quiet.ledgers.clone(),
            quiet.next_number,
        )
    }

    /// This moment, at which nothing must be under way.
    pub fn quiet(&self, books: &Books) -> Quiet {
        assert!(self.waiting.borrow().is_empty());
        Quiet::new(
            self.now_ns(),
            books.clone(),
            self.ledgers.borrow().clone(),
            self.next_number.get(),
            &self.memory,
        )
    }

    fn with(
        memory: DefaultMemoryImpl,
        adjudicator: Adjudicator,
        now_ns: u64,
        ledgers: Vec<Ledger>,
        next_number: u64,
    ) -> Self {
        Self {
            now_ns: Cell::new(now_ns),
            memory,
            instance: RefCell::new(Instance {
                adjudicator,
                transient: Transient::default(),
            }),
            certified: Cell::default(),
            alarms: RefCell::default(),
            ledgers: RefCell::new(ledgers),
            requests: RefCell::default(),
            waiting: RefCell::default(),
            running: Cell::default(),
            reserved: Cell::default(),
            next_number: Cell::new(next_number),
            next_call: Cell::default(),
            handed: RefCell::default(),
        }
    }

    pub fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    pub fn advance(&self, by_ns: u64) {
        self.now_ns.set(self.now_ns.get() + by_ns);
    }

    pub fn adjudicator(&self) -> Ref<'_, Adjudicator> {
        Ref::map(self.instance.borrow(), |instance| &instance.adjudicator)
    }

    /// A new instance on the same stable memory. Whatever the old one waited for is answered to
    /// nobody; its requests are on their way all the same.
    pub fn replace_instance(&self) {
        let adjudicator = Adjudicator::upgrade(self.memory.clone(), ME, None);
        self.instance.replace(Instance {
            adjudicator: adjudicator.expect("what was written opens"),
            transient: Transient::default(),
        });
        self.alarms.borrow_mut().clear();
        self.waiting.borrow_mut().clear();
    }

    /// Executes the first request on its way to a ledger.
    pub fn execute(&self, ledger: usize) -> Option<Question> {
        let (call, question) = self.requests.borrow_mut()[ledger].pop_front()?;
        let reply = self.ask_now(ledger, &question);
        if let Some(waiting) = self.waiting.borrow_mut().get_mut(&call) {
            waiting.in_transit = false;
            waiting.reply.get_or_insert(reply);
        }
        Some(question)
    }

    fn ask_now(&self, ledger: usize, question: &Question) -> Reply {
        let ledger = &mut self.ledgers.borrow_mut()[ledger];
        let amount = match question {
            Question::Transfer(transfer) => {
                return Reply::Transfer(ledger.transfer(transfer, self.now_ns()));
            }
            _ if ledger.mood == Mood::Stopped => {
                return Reply::Amount(Err("stopped".into()));
            }
            Question::Balance(account) => ledger.balance(account),
            Question::Allowance(owner) => ledger.allowance(owner),
            Question::Fee => ledger.fee,
        };
        Reply::Amount(Ok(Amount::new(amount)))
    }

    /// Loses the first request on its way to a ledger; the caller may be told that it is.
    pub fn drop_request(&self, ledger: usize, told: bool) {
        let Some((call, question)) = self.requests.borrow_mut()[ledger].pop_front() else {
            return;
        };
        if let Some(waiting) = self.waiting.borrow_mut().get_mut(&call) {
            waiting.in_transit = false;
            waiting.reply.get_or_insert(match told {
                true => not_delivered(&question),
                false => lost(&question),
            });
        }
    }

    /// The caller learns nothing: the answer is lost, or its deadline passes before there is one.
    pub fn lose_reply(&self, call: CallId) {
        if let Some(waiting) = self.waiting.borrow_mut().get_mut(&call) {
            waiting.reply = Some(lost(&waiting.question));
        }
    }

    /// Which ledger a call asks.
    pub fn ledger_of(&self, call: CallId) -> usize {
        self.waiting.borrow()[&call].ledger
    }

    /// Takes a call's answer for the callback that runs next.
    pub fn hand(&self, call: CallId) -> Option<Waiting> {
        let waiting = self.waiting.borrow_mut().remove(&call)?;
        let reply = waiting.reply.clone().expect("only answered calls go on");
        self.handed.replace(Some((call, reply)));
        Some(waiting)
    }

    /// The same, and the callback traps.
    pub fn discard(&self, call: CallId) -> Option<Waiting> {
        self.waiting.borrow_mut().remove(&call)
    }

    fn ask(&self, ledger: Principal, question: Question, at: Await) -> Asking<'_> {
        let ledger = LEDGERS.iter().position(|&served| served == ledger);
        let ledger = ledger.expect("only ledgers that are served are called");
        let call = self.next_call.get();
        self.next_call.set(call + 1);
        self.requests.borrow_mut()[ledger].push_back((call, question));
        let waiting = Waiting {
            message: self.running.get(),
            ledger,
            at,
            question,
            in_transit: true,
            reply: None,
        };
        self.waiting.borrow_mut().insert(call, waiting);
        Asking { stage: self, call }
    }

    async fn amount(
        &self,
        ledger: Principal,
        question: Question,
        at: Await,
    ) -> Result<Amount, String> {
        match self.ask(ledger, question, at).await {
            Reply::Amount(amount) => amount,
            Reply::Transfer(answer) => panic!("{answer:?} to {question:?}"),
        }
    }
}

/// A ledger call that is waited for.
struct Asking<'a> {
    stage: &'a Stage,
    call: CallId,
}

impl Future for Asking<'_> {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Reply> {
        let handed = &mut *self.stage.handed.borrow_mut();
        match handed.take() {
            Some((call, reply)) if call == self.call => Poll::Ready(reply),
            other => {
                *handed = other;
                Poll::Pending
            }
        }
    }
}

fn lost(question: &Question) -> Reply {
    match question {
        Question::Transfer(_) => Reply::Transfer(Answer::Lost),
        _ => Reply::Amount(Err("nobody knows".into())),
    }
}

fn not_delivered(question: &Question) -> Reply {
    match question {
        Question::Transfer(_) => {
            Reply::Transfer(Answer::NotDelivered(LedgerRefusal::NotDelivered {
                code: 2,
                message: "on purpose".into(),
            }))
        }
        _ => Reply::Amount(Err("not delivered".into())),
    }
}
