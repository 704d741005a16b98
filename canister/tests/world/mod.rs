//! The test world: the real wasm of adjudicator and ledgers on an embedded Internet Computer, its
//! clock moved by hand.

#![allow(dead_code, reason = "each test file uses its part of the world")]

mod channel;
pub mod payout;

pub use channel::*;

use std::time::Duration;

use candid::utils::ArgumentEncoder;
use candid::{CandidType, Nat, Principal};
use icrc_ledger_types::icrc1::account::Account;
use icrc_ledger_types::icrc1::transfer::{TransferArg, TransferError};
use icrc_ledger_types::icrc2::approve::{ApproveArgs, ApproveError};
use local_ic::canister_wasm;
use local_ic::{Config, IngressStatus, MessageId, Reject, Replica, Status};
use local_ic_ledger::settings::{InitArgs as LedgerInit, LedgerArg, UpgradeArgs as LedgerUpgrade};
use perun_canister_api::{
    ChannelRequest, ConcludeError, ConcludeRequest, Conclusion, DepositAccount,
    DepositAccountError, DepositAccountRequest, DepositError, DepositReceipt, DepositRequest,
    DisputeError, DisputeRequest, EventRecord, EventsError, EventsPage, EventsRequest, Holdings,
    HoldingsAnswer, Info, InitArgs, QueryError, Registered, StateAnswer, UpgradeArgs,
    WithdrawError, WithdrawReceipt, WithdrawRequest, convert,
};
use serde::Deserialize;

/// The fee of every ledger at first.
pub const FEE: u128 = 10;
/// What every user has on every ledger at first.
pub const WEALTH: u128 = 1_000_000;
/// The challenge duration of every channel, in seconds.
pub const CHALLENGE_S: u32 = 600;

/// Who sends messages. A user's principal has nothing to do with the key of a participant.
pub fn user(number: u8) -> Principal {
    Principal::self_authenticating([number; 32])
}

pub const ALICE: usize = 0;
pub const BOB: usize = 1;

pub struct World {
    pub ic: Replica,
    pub adjudicator: Principal,
    pub ledgers: Vec<Principal>,
}

impl World {
    /// An adjudicator that serves one ledger.
    pub fn new() -> Self {
        Self::with_ledgers(1)
    }

    pub fn with_ledgers(count: usize) -> Self {
        let mut ic = Replica::new(Config::default());
        let ledgers = (0..count).map(|_| ic.create_canister(admin())).collect();
        let adjudicator = ic.create_canister(admin());
        Self::installed(ic, adjudicator, ledgers)
    }

    /// An adjudicator and ledgers with these ids.
    pub fn with_ids(adjudicator: Principal, ledgers: Vec<Principal>) -> Self {
        let mut ic = Replica::new(Config::default());
        for id in ledgers.iter().chain([&adjudicator]) {
            ic.create_canister_with_id(admin(), *id).unwrap();
        }
        Self::installed(ic, adjudicator, ledgers)
    }

    /// Ledgers that have no code yet, and an adjudicator that serves them.
    pub fn without_ledger_code() -> Self {
        let mut ic = Replica::new(Config::default());
        let ledgers = vec![ic.create_canister(admin())];
        let adjudicator = ic.create_canister(admin());
        let mut world = Self {
            ic,
            adjudicator,
            ledgers,
        };
        world.install_adjudicator();
        world
    }

    fn installed(ic: Replica, adjudicator: Principal, ledgers: Vec<Principal>) -> Self {
        let mut world = Self {
            ic,
            adjudicator,
            ledgers,
        };
        world.install_ledgers();
        world.install_adjudicator();
        world
    }

    pub fn install_ledgers(&mut self) {
        let wasm = canister_wasm("ledger").unwrap();
        for &ledger in &self.ledgers {
            let args = candid::encode_one(LedgerArg::Init(ledger_init())).unwrap();
            self.ic.install(ledger, &wasm, args).unwrap();
        }
    }

    fn install_adjudicator(&mut self) {
        let args = InitArgs {
            ledgers: self.ledgers.clone(),
            min_challenge_duration_s: 60,
            max_challenge_duration_s: 86_400,
        };
        let wasm = canister_wasm("adjudicator").unwrap();
        let args = candid::encode_one(args).unwrap();
        self.ic.install(self.adjudicator, &wasm, args).unwrap();
        self.ic.run();
    }

    /// Stops the adjudicator, waits until it is stopped, upgrades it to the same code, and starts
    /// it again.
    pub fn upgrade_adjudicator(&mut self, args: Option<UpgradeArgs>) -> Result<(), Reject> {
        self.stop_adjudicator();
        let upgraded = self.upgrade_adjudicator_as_it_is(args);
        self.ic.start(self.adjudicator).unwrap();
        upgraded
    }

    pub fn stop_adjudicator(&mut self) {
        // It may have to wait for answers first, and says so.
        let _ = self.ic.stop(self.adjudicator);
        while self.ic.canister(self.adjudicator).unwrap().status != Status::Stopped {
            self.ic.advance(Duration::from_secs(10));
        }
    }

    pub fn upgrade_adjudicator_as_it_is(
        &mut self,
        args: Option<UpgradeArgs>,
    ) -> Result<(), Reject> {
        let wasm = canister_wasm("adjudicator").unwrap();
        let args = candid::encode_one(args).unwrap();
        self.ic.upgrade(self.adjudicator, &wasm, args)
    }

    /// The same, which succeeds.
    pub fn upgrade(&mut self, args: Option<UpgradeArgs>) {
        self.upgrade_adjudicator(args).unwrap();
    }

    // Time.

    /// Moves the clock without anything running: the subnet stands still.
    pub fn stall(&mut self, pause: Duration) {
        self.ic.skip(pause);
    }

    /// Moves the clock, and lets the timers run that fire on the way.
    pub fn advance(&mut self, pause: Duration) {
        self.ic.advance(pause);
    }

    /// Upgrades a ledger to another fee, as real ledgers change theirs.
    pub fn change_fee(&mut self, ledger: usize, fee: u128) {
        let wasm = canister_wasm("ledger").unwrap();
        let upgrade = LedgerUpgrade {
            transfer_fee: Some(fee),
        };
        let args = candid::encode_one(LedgerArg::Upgrade(Some(upgrade))).unwrap();
        self.ic.upgrade(self.ledgers[ledger], &wasm, args).unwrap();
    }

    // Calls, sent by `user(0)` unless the caller matters.

    pub fn call<A, R>(&mut self, method: &str, argument: A) -> R
    where
        A: CandidType,
        R: CandidType + for<'a> Deserialize<'a>,
    {
        self.call_as(user(0), method, argument)
    }

    pub fn call_as<A, R>(&mut self, caller: Principal, method: &str, argument: A) -> R
    where
        A: CandidType,
        R: CandidType + for<'a> Deserialize<'a>,
    {
        self.try_call_as(caller, method, argument).unwrap()
    }

    pub fn try_call_as<A, R>(
        &mut self,
        caller: Principal,
        method: &str,
        argument: A,
    ) -> Result<R, Reject>
    where
        A: CandidType,
        R: CandidType + for<'a> Deserialize<'a>,
    {
        let bytes = candid::encode_one(argument).unwrap();
        let reply = self.ic.update(caller, self.adjudicator, method, bytes)?;
        Ok(candid::decode_one(&reply).unwrap())
    }

    /// Sends a message and runs nothing yet.
    pub fn submit(&mut self, method: &str, argument: impl CandidType) -> MessageId {
        let bytes = candid::encode_one(argument).unwrap();
        let id = self
            .ic
            .submit_anew(user(0), self.adjudicator, method, bytes);
        id.unwrap()
    }

    /// The answer to a message that was submitted.
    pub fn answer<R>(&self, id: &MessageId) -> R
    where
        R: CandidType + for<'a> Deserialize<'a>,
    {
        match self.ic.status(id) {
            IngressStatus::Replied(reply) => candid::decode_one(&reply).unwrap(),
            status => panic!("no answer but {status:?}"),
        }
    }

    pub fn deposit(&mut self, request: DepositRequest) -> Result<DepositReceipt, DepositError> {
        self.call("deposit", request)
    }

    pub fn deposit_as(
        &mut self,
        caller: Principal,
        request: DepositRequest,
    ) -> Result<DepositReceipt, DepositError> {
        self.call_as(caller, "deposit", request)
    }

    pub fn dispute(&mut self, request: DisputeRequest) -> Result<Registered, DisputeError> {
        self.call("dispute", request)
    }

    pub fn conclude(&mut self, request: ConcludeRequest) -> Result<Conclusion, ConcludeError> {
        self.call("conclude", request)
    }

    pub fn withdraw(&mut self, request: WithdrawRequest) -> Result<WithdrawReceipt, WithdrawError> {
        self.call("withdraw", request)
    }

    pub fn info(&mut self) -> Info {
        let reply = self
            .ic
            .query(user(0), self.adjudicator, "info", no_arguments());
        candid::decode_one(&reply.unwrap()).unwrap()
    }

    pub fn ask<A, R>(&mut self, method: &str, argument: A) -> R
    where
        A: CandidType,
        R: CandidType + for<'a> Deserialize<'a>,
    {
        let bytes = candid::encode_one(argument).unwrap();
        let reply = self.ic.query(user(0), self.adjudicator, method, bytes);
        candid::decode_one(&reply.unwrap()).unwrap()
    }

    pub fn deposit_account(
        &mut self,
        request: DepositAccountRequest,
    ) -> Result<DepositAccount, DepositAccountError> {
        self.ask("deposit_account", request)
    }

    pub fn query_holdings(
        &mut self,
        request: ChannelRequest,
    ) -> Result<HoldingsAnswer, QueryError> {
        self.ask("query_holdings", request)
    }

    pub fn holdings(&mut self, channel: &TestChannel) -> Option<Holdings> {
        let channel = channel.id_bytes();
        let answer = self.query_holdings(ChannelRequest { channel });
        answer.unwrap().holdings
    }

    pub fn registered(&mut self, channel: &TestChannel) -> Option<Registered> {
        let request = ChannelRequest {
            channel: channel.id_bytes(),
        };
        let answer: Result<StateAnswer, QueryError> = self.ask("query_state", request);
        answer.unwrap().registered
    }

    /// All events of a channel.
    pub fn events(&mut self, channel: &TestChannel) -> Vec<EventRecord> {
        let request = EventsRequest {
            channel: Some(channel.id_bytes()),
            start: 0,
            length: 100,
        };
        self.query_events(request).unwrap().events
    }

    pub fn query_events(&mut self, request: EventsRequest) -> Result<EventsPage, EventsError> {
        self.ask("query_events", request)
    }

    // The ledger.

    pub fn ledger_call<A, R>(
        &mut self,
        ledger: usize,
        caller: Principal,
        method: &str,
        arguments: A,
    ) -> R
    where
        A: ArgumentEncoder,
        R: CandidType + for<'a> Deserialize<'a>,
    {
        let bytes = candid::encode_args(arguments).unwrap();
        let reply = self.ic.update(caller, self.ledgers[ledger], method, bytes);
        candid::decode_one(&reply.unwrap()).unwrap()
    }

    pub fn balance(&mut self, ledger: usize, account: Account) -> u128 {
        let bytes = candid::encode_one(account).unwrap();
        let ledger = self.ledgers[ledger];
        let reply = self.ic.query(user(0), ledger, "icrc1_balance_of", bytes);
        let balance: Nat = candid::decode_one(&reply.unwrap()).unwrap();
        u128::try_from(balance.0).unwrap()
    }

    /// What lies in the account of the channel's funds.
    pub fn funds(&mut self, channel: &TestChannel, asset: usize) -> u128 {
        let account = convert::account_to_candid(&channel.funds_account());
        let ledger = self.ledger_of(channel, asset);
        self.balance(ledger, account)
    }

    pub fn ledger_of(&self, channel: &TestChannel, asset: usize) -> usize {
        let asset = convert::asset_to_candid(&channel.params.assets()[asset]);
        let perun_canister_api::Asset::Icrc(ledger) = asset;
        let position = self.ledgers.iter().position(|&served| served == ledger);
        position.expect("the channel's ledgers are served")
    }

    pub fn approve(&mut self, ledger: usize, owner: Principal, amount: u128) {
        let args = ApproveArgs {
            from_subaccount: None,
            spender: Account::from(self.adjudicator),
            amount: Nat::from(amount),
            expected_allowance: None,
            expires_at: None,
            fee: None,
            memo: None,
            created_at_time: None,
        };
        let answer: Result<Nat, ApproveError> =
            self.ledger_call(ledger, owner, "icrc2_approve", (args,));
        answer.unwrap();
    }

    pub fn transfer(&mut self, ledger: usize, from: Principal, to: Account, amount: u128) {
        let args = TransferArg {
            from_subaccount: None,
            to,
            fee: None,
            created_at_time: None,
            memo: None,
            amount: Nat::from(amount),
        };
        let answer: Result<Nat, TransferError> =
            self.ledger_call(ledger, from, "icrc1_transfer", (args,));
        answer.unwrap();
    }
}

fn admin() -> Principal {
    user(255)
}

fn ledger_init() -> LedgerInit {
    LedgerInit {
        minting_account: Account::from(admin()),
        initial_balances: (0..8)
            .map(|number| (Account::from(user(number)), WEALTH))
            .collect(),
        transfer_fee: FEE,
        token_symbol: "TOK".into(),
        token_name: "Token".into(),
        decimals: None,
        transaction_window_seconds: None,
        max_transactions_in_window: None,
    }
}

pub fn no_arguments() -> Vec<u8> {
    candid::encode_args(()).unwrap()
}

/// The methods that are promised, and whether they take an argument.
pub fn methods() -> Vec<(String, bool)> {
    const PROMISE: &str = include_str!("../../../candid/adjudicator.did");
    let promise = candid_parser::utils::CandidSource::Text(PROMISE).load();
    let (types, service) = promise.expect("the promise is Candid");
    let service = service.expect("the promise is a service");
    let methods = types.as_service(&service).expect("it is a service").iter();
    methods
        .map(|(name, method)| {
            let method = types.as_func(method).expect("a method is a function");
            (name.clone(), !method.args.is_empty())
        })
        .collect()
}
