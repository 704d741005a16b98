//! The small world: the rules and flows of the adjudicator, compiled for the host, beside ledgers
//! that are tables. It has the words of `tests/world`, so that a story reads the same in both; it is a
//! thousand times faster, and has no system: no Candid, no instructions, no traps.
//!
//! A call stops at every call of a ledger, so that others can come between; dropped there, it is a
//! call whose callback trapped.

#![allow(dead_code, reason = "each test file uses its part of the world")]

#[path = "../world/channel.rs"]
mod channel;
mod ledger;
pub mod stranger;

pub use channel::*;
pub use ledger::Strike;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use candid::Principal;
use ic_certification::{HashTree, LookupResult};
use ic_stable_structures::{DefaultMemoryImpl, Memory as _};
use icrc_ledger_types::icrc1::account::Account;
use ledger::{Ledger, Ledgers};
use perun_canister::Adjudicator;
use perun_canister::flow::{self, System, Task, Transient};
use perun_canister::journal::{Entry, JournalNumber, Kind};
use perun_canister::verdict::Answer;
use perun_canister_api::{
    ChannelRequest, ConcludeError, ConcludeRequest, Conclusion, DepositAccount,
    DepositAccountError, DepositAccountRequest, DepositError, DepositReceipt, DepositRequest,
    DisputeError, DisputeRequest, EventRecord, EventsError, EventsPage, EventsRequest, Holdings,
    HoldingsAnswer, Info, InitArgs, QueryError, Registered, UpgradeArgs, WithdrawError,
    WithdrawReceipt, WithdrawRequest, convert,
};
use perun_protocol::{Amount, SignedState, Timestamp};

/// The fee of every ledger at first.
pub const FEE: u128 = 10;
/// What every user has on every ledger at first.
pub const WEALTH: u128 = 1_000_000;
/// The challenge duration of every channel, in seconds.
pub const CHALLENGE_S: u32 = 600;

pub const ALICE: usize = 0;
pub const BOB: usize = 1;

/// Who sends messages. A user's principal has nothing to do with the key of a participant.
pub fn user(number: u8) -> Principal {
    Principal::self_authenticating([number; 32])
}

fn canister_id(number: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, number, 1, 1])
}

pub struct World {
    pub adjudicator: Principal,
    pub ledgers: Vec<Principal>,
    canister: Rc<Canister>,
    memory: DefaultMemoryImpl,
}

/// One instance of the adjudicator's code.
pub struct Canister {
    adjudicator: RefCell<Adjudicator>,
    transient: Transient,
    timers: RefCell<Vec<(u64, Task)>>,
    certified: Cell<[u8; 32]>,
    around: Rc<Around>,
}

/// What an upgrade leaves as it is.
struct Around {
    now_ns: Cell<u64>,
    ledgers: RefCell<Ledgers>,
}

impl World {
    /// An adjudicator that serves one ledger.
    pub fn new() -> Self {
        Self::with_ledgers(1)
    }

    pub fn with_ledgers(count: u8) -> Self {
        Self::with_ids(canister_id(0), (1..=count).map(canister_id).collect())
    }

    pub fn with_ids(adjudicator: Principal, ledgers: Vec<Principal>) -> Self {
        let memory = DefaultMemoryImpl::default();
        let args = InitArgs {
            ledgers: ledgers.clone(),
            min_challenge_duration_s: 60,
            max_challenge_duration_s: 86_400,
        };
        let mut tables = Ledgers::default();
        for &id in &ledgers {
            let mut ledger = Ledger::charging(FEE);
            for number in 0..8 {
                let account = convert::account(&Account::from(user(number))).unwrap();
                ledger.give(None, &account, WEALTH);
            }
            tables.by_id.insert(id, ledger);
        }
        let around = Rc::new(Around {
            now_ns: Cell::new(1_700_000_000_000_000_000),
            ledgers: RefCell::new(tables),
        });
        let installed = Adjudicator::install(memory.clone(), adjudicator, args).unwrap();
        let mut world = Self {
            adjudicator,
            ledgers,
            canister: Canister::start(installed, around),
            memory,
        };
        world.advance(Duration::ZERO);
        world
    }

    /// Upgrades to the same code. Calls that were begun before are answered by nobody.
    pub fn upgrade(&mut self, args: Option<UpgradeArgs>) {
        let around = Rc::clone(&self.canister.around);
        let upgraded = Adjudicator::upgrade(self.memory.clone(), self.adjudicator, args);
        self.canister = Canister::start(upgraded.unwrap(), around);
    }

    // Time.

    pub fn now_ns(&self) -> u64 {
        self.canister.around.now_ns.get()
    }

    /// Moves the clock without anything running: the subnet stands still.
    pub fn stall(&mut self, pause: Duration) {
        let pause_ns = u64::try_from(pause.as_nanos()).unwrap();
        let around = &self.canister.around;
        around.now_ns.set(around.now_ns.get() + pause_ns);
    }

    /// Moves the clock, and lets the timers run that fire on the way.
    pub fn advance(&mut self, pause: Duration) {
        let end_ns = self.now_ns() + u64::try_from(pause.as_nanos()).unwrap();
        loop {
            let mut timers = self.canister.timers.borrow_mut();
            timers.sort_by_key(|(due_ns, _)| *due_ns);
            if timers.first().is_none_or(|(due_ns, _)| *due_ns > end_ns) {
                break;
            }
            let (due_ns, task) = timers.remove(0);
            drop(timers);
            let around = &self.canister.around;
            around.now_ns.set(around.now_ns.get().max(due_ns));
            let canister = Rc::clone(&self.canister);
            Call::of(async move { flow::run(&*canister, task).await }).finish();
        }
        self.canister.around.now_ns.set(end_ns);
    }

    // Messages.

    pub fn begin_deposit(
        &self,
        caller: Principal,
        request: DepositRequest,
    ) -> Call<Result<DepositReceipt, DepositError>> {
        let canister = Rc::clone(&self.canister);
        Call::of(async move { flow::deposit(&*canister, caller, request).await })
    }

    pub fn begin_withdraw(
        &self,
        request: WithdrawRequest,
    ) -> Call<Result<WithdrawReceipt, WithdrawError>> {
        let canister = Rc::clone(&self.canister);
        Call::of(async move { flow::withdraw(&*canister, request).await })
    }

    pub fn deposit(&mut self, request: DepositRequest) -> Result<DepositReceipt, DepositError> {
        self.begin_deposit(user(0), request).finish()
    }

    pub fn deposit_as(
        &mut self,
        caller: Principal,
        request: DepositRequest,
    ) -> Result<DepositReceipt, DepositError> {
        self.begin_deposit(caller, request).finish()
    }

    pub fn withdraw(&mut self, request: WithdrawRequest) -> Result<WithdrawReceipt, WithdrawError> {
        self.begin_withdraw(request).finish()
    }

    pub fn dispute(&mut self, request: DisputeRequest) -> Result<Registered, DisputeError> {
        self.mutate(|adjudicator, now| adjudicator.dispute(&request, now))
    }

    pub fn conclude(&mut self, request: ConcludeRequest) -> Result<Conclusion, ConcludeError> {
        self.mutate(|adjudicator, now| adjudicator.conclude(&request, now))
    }

    pub fn mutate<R>(&mut self, f: impl FnOnce(&mut Adjudicator, Timestamp) -> R) -> R {
        self.canister.mutate(f)
    }

    pub fn read<R>(&self, f: impl FnOnce(&Adjudicator, Timestamp) -> R) -> R {
        let now = self.canister.now();
        self.canister.read(|adjudicator| f(adjudicator, now))
    }

    pub fn info(&self) -> Info {
        self.read(|adjudicator, now| adjudicator.info(now))
    }

    pub fn deposit_account(
        &self,
        request: DepositAccountRequest,
    ) -> Result<DepositAccount, DepositAccountError> {
        self.read(|adjudicator, _| adjudicator.deposit_account(&request))
    }

    pub fn query_holdings(&self, request: ChannelRequest) -> Result<HoldingsAnswer, QueryError> {
        self.read(|adjudicator, _| adjudicator.holdings(&request))
    }

    pub fn holdings(&self, channel: &TestChannel) -> Option<Holdings> {
        let channel = channel.id_bytes();
        let answer = self.query_holdings(ChannelRequest { channel });
        answer.unwrap().holdings
    }

    pub fn registered(&self, channel: &TestChannel) -> Option<Registered> {
        self.read(|adjudicator, now| adjudicator.registered(channel.id(), now))
    }

    /// All events of a channel.
    pub fn events(&self, channel: &TestChannel) -> Vec<EventRecord> {
        let request = EventsRequest {
            channel: Some(channel.id_bytes()),
            start: 0,
            length: 100,
        };
        self.query_events(request).unwrap().events
    }

    pub fn query_events(&self, request: EventsRequest) -> Result<EventsPage, EventsError> {
        self.read(|adjudicator, now| adjudicator.events(&request, now))
    }

    /// What the subnet signs.
    pub fn certified(&self) -> [u8; 32] {
        self.canister.certified.get()
    }

    /// All that a stranger could make grow: pages of stable memory, channels, events, open ledger
    /// calls.
    pub fn size(&self) -> [u64; 4] {
        let info = self.info();
        [self.memory.size(), info.channels, info.events, info.journal]
    }

    // Ledgers.

    pub fn ledger<R>(&self, ledger: usize, f: impl FnOnce(&mut Ledger) -> R) -> R {
        let mut ledgers = self.canister.around.ledgers.borrow_mut();
        f(ledgers.ledger(self.ledgers[ledger]))
    }

    /// How often a ledger was called.
    pub fn ledger_calls(&self) -> u64 {
        self.canister.around.ledgers.borrow().calls
    }

    /// Lets something happen to the adjudicator's next transfer on the first ledger.
    pub fn strike(&mut self, strike: Strike) {
        self.ledger(0, |ledger| ledger.strikes.push_back(strike));
    }

    pub fn change_fee(&mut self, ledger: usize, fee: u128) {
        self.ledger(ledger, |ledger| ledger.fee = fee);
    }

    pub fn balance(&self, ledger: usize, account: Account) -> u128 {
        let account = convert::account(&account).unwrap();
        self.ledger(ledger, |ledger| ledger.balance(&account))
    }

    /// What lies in the account of the channel's funds.
    pub fn funds(&self, channel: &TestChannel, asset: usize) -> u128 {
        let ledger = self.ledger_of(channel, asset);
        self.ledger(ledger, |ledger| ledger.balance(&channel.funds_account()))
    }

    pub fn ledger_of(&self, channel: &TestChannel, asset: usize) -> usize {
        let perun_canister_api::Asset::Icrc(ledger) = channel.asset(asset);
        let position = self.ledgers.iter().position(|&served| served == ledger);
        position.expect("the channel's ledgers are served")
    }

    pub fn approve(&mut self, ledger: usize, owner: Principal, amount: u128) {
        let owner = convert::account(&Account::from(owner)).unwrap();
        self.ledger(ledger, |ledger| ledger.approve(&owner, amount));
    }

    pub fn transfer(&mut self, ledger: usize, from: Principal, to: Account, amount: u128) {
        let from = convert::account(&Account::from(from)).unwrap();
        let to = convert::account(&to).unwrap();
        self.ledger(ledger, |ledger| ledger.give(Some(&from), &to, amount));
    }
}

impl Canister {
    fn start(adjudicator: Adjudicator, around: Rc<Around>) -> Rc<Self> {
        let canister = Rc::new(Self {
            adjudicator: RefCell::new(adjudicator),
            transient: Transient::default(),
            timers: RefCell::default(),
            certified: Cell::default(),
            around,
        });
        flow::start(&*canister);
        canister
    }

    fn ask<R>(&self, ledger: Principal, question: impl FnOnce(&mut Ledger) -> R) -> R {
        question(self.around.ledgers.borrow_mut().call(ledger))
    }
}

impl System for Canister {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.around.now_ns.get())
    }

    fn read<R>(&self, f: impl FnOnce(&Adjudicator) -> R) -> R {
        f(&self.adjudicator.borrow())
    }

    fn change<R>(&self, f: impl FnOnce(&mut Adjudicator) -> R) -> R {
        f(&mut self.adjudicator.borrow_mut())
    }

    fn transient<R>(&self, f: impl FnOnce(&Transient) -> R) -> R {
        f(&self.transient)
    }

    fn certify(&self, root: [u8; 32]) {
        self.certified.set(root);
    }

    fn set_timer(&self, pause: Duration, task: Task) {
        let pause_ns = u64::try_from(pause.as_nanos()).unwrap();
        let due_ns = self.around.now_ns.get() + pause_ns;
        self.timers.borrow_mut().push((due_ns, task));
    }

    async fn transfer(&self, number: JournalNumber, entry: &Entry) -> Answer {
        let (from, to) = self.read(|adjudicator| adjudicator.route(entry));
        let is_pull = matches!(entry.kind, Kind::Pull { .. });
        let now_ns = self.around.now_ns.get();
        let answer = self.ask(entry.ledger, |ledger| {
            ledger.receive(number, entry, from, to, is_pull, now_ns)
        });
        others_first().await;
        answer
    }

    async fn balance(
        &self,
        ledger: Principal,
        account: &perun_protocol::Account,
    ) -> Result<Amount, String> {
        let balance = self.ask(ledger, |ledger| ledger.balance(account));
        others_first().await;
        Ok(Amount::new(balance))
    }

    async fn allowance(
        &self,
        ledger: Principal,
        account: &perun_protocol::Account,
    ) -> Result<Amount, String> {
        let allowance = self.ask(ledger, |ledger| ledger.allowances.get(account).copied());
        others_first().await;
        Ok(Amount::new(allowance.unwrap_or(0)))
    }

    async fn ask_fee(&self, ledger: Principal) -> Result<Amount, String> {
        let fee = self.ask(ledger, |ledger| ledger.fee);
        others_first().await;
        Ok(Amount::new(fee))
    }
}

/// A channel that owes 100 to each.
pub fn concluded(world: &mut World) -> TestChannel {
    let channel = world.funded(1, [100, 100]);
    world
        .conclude(channel.concluding(1, &[100, 100], &[100, 100]))
        .unwrap();
    channel
}

impl TestChannel {
    /// A signed final state of all assets.
    pub fn signed_final(&self, version: u64, balances: &[u128], funding: &[u128]) -> SignedState {
        self.sign(&self.state(version, balances, funding).finalized())
    }
}

/// Whether the witness shows a registration of the channel; otherwise it must show that there is
/// none.
pub fn is_registered_by(witness: &HashTree, channel: &TestChannel) -> bool {
    let id = channel.id();
    let path: [&[u8]; 2] = [b"registrations", id.as_bytes()];
    match witness.lookup_path(path) {
        LookupResult::Found(_) => true,
        LookupResult::Absent => false,
        other => panic!("the witness does not tell: {other:?}"),
    }
}

/// `n - s` for the curve's order `n`: the other half of what signs the same words.
pub fn negated(s: &[u8]) -> [u8; 32] {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36,
        0x41, 0x41,
    ];
    let mut difference = [0; 32];
    let mut borrow = 0;
    for place in (0..32).rev() {
        let rest = i16::from(ORDER[place]) - i16::from(s[place]) - borrow;
        borrow = i16::from(rest < 0);
        difference[place] = rest.rem_euclid(256) as u8;
    }
    difference
}

/// A call under way.
pub struct Call<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Call<T> {
    fn of(future: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(future))
    }

    /// Goes on until the next ledger was called, or to the answer.
    pub fn step(&mut self) -> Option<T> {
        let mut context = Context::from_waker(Waker::noop());
        match self.0.as_mut().poll(&mut context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// Goes on to the answer.
    pub fn finish(mut self) -> T {
        loop {
            if let Some(answer) = self.step() {
                return answer;
            }
        }
    }
}

/// The answer of a ledger comes in a message of its own.
async fn others_first() {
    let mut has_waited = false;
    poll_fn(|_| match std::mem::replace(&mut has_waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
