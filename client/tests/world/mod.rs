//! The test world: the real wasm of adjudicator and ledger on an embedded Internet Computer,
//! reached over HTTP by unmodified agents with all their verification on.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test file uses its part of the world"
)]

mod channel;
mod client;
mod proxy;

pub use channel::*;
pub use client::*;
pub use proxy::Proxy;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use candid::{CandidType, Principal};
use ic_agent::Agent;
use ic_agent::identity::BasicIdentity;
use ic_agent::{AgentError, Identity as _};
use local_ic::{Clock, Config, Fault, Replica, RuleId, Server, Target, canister_wasm};
use perun_canister_api::{Account as CandidAccount, InitArgs, convert};
use perun_client::chain::Chain;
use perun_client::{Adjudicator, Funder, Ledger, Patience};
use perun_protocol::{Account, Amount, Timestamp};

/// The fee of the ledger at first.
pub const FEE: u128 = 10;
/// What the users 0 to 7 and 20 to 149 have at first.
pub const WEALTH: u128 = 1_000_000;
/// The bounds of the challenge duration, in seconds.
pub const CHALLENGE_S: (u32, u32) = (60, 86_400);

pub const ALICE: u8 = 0;
pub const BOB: u8 = 1;

/// Quick, so that tests that repeat calls are.
pub const QUICK: Patience = Patience {
    first_pause: Duration::from_millis(20),
    longest_pause: Duration::from_millis(200),
    total: Duration::from_secs(60),
};

pub struct World {
    pub server: Server,
    pub ledger: Principal,
    /// Every ledger that the adjudicator serves, `ledger` first.
    pub ledgers: Vec<Principal>,
    pub adjudicator: Principal,
}

/// Who calls. A user's identity has nothing to do with the key of a participant.
pub fn identity(number: u8) -> BasicIdentity {
    BasicIdentity::from_raw_key(&[number.wrapping_add(100); 32])
}

pub fn user(number: u8) -> Principal {
    identity(number).sender().unwrap()
}

/// The default account of a user.
pub fn account(number: u8) -> Account {
    Account::of(convert::principal(user(number)).unwrap())
}

pub fn units(amount: u128) -> Amount {
    Amount::new(amount)
}

impl World {
    pub async fn new() -> Self {
        Self::with_clock(Clock::Live).await
    }

    pub async fn with_clock(clock: Clock) -> Self {
        Self::with(clock, 1).await
    }

    /// Two ledgers, on which everybody has the same.
    pub async fn with_two_ledgers() -> Self {
        Self::with(Clock::Live, 2).await
    }

    async fn with(clock: Clock, ledgers: usize) -> Self {
        let build = || {
            (
                canister_wasm("ledger").unwrap(),
                canister_wasm("adjudicator").unwrap(),
            )
        };
        let (ledger_wasm, wasm) = tokio::task::spawn_blocking(build).await.unwrap();
        let mut replica = Replica::new(Config::default());
        let nobody = Principal::management_canister();
        let mut install_ledger = || {
            let ledger = replica.create_canister(nobody);
            let argument = candid::encode_one(ledger_init()).unwrap();
            replica.install(ledger, &ledger_wasm, argument).unwrap();
            ledger
        };
        let ledgers: Vec<_> = (0..ledgers).map(|_| install_ledger()).collect();
        let adjudicator = replica.create_canister(nobody);
        let argument = candid::encode_one(InitArgs {
            ledgers: ledgers.clone(),
            min_challenge_duration_s: CHALLENGE_S.0,
            max_challenge_duration_s: CHALLENGE_S.1,
        });
        replica
            .install(adjudicator, &wasm, argument.unwrap())
            .unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::start(replica, address, clock).await.unwrap();
        Self {
            server,
            ledger: ledgers[0],
            ledgers,
            adjudicator,
        }
    }

    pub async fn agent(&self, number: u8) -> Agent {
        self.agent_at(&self.server.url(), number).await
    }

    /// An agent that comes in by another address, e.g. a proxy's.
    pub async fn agent_at(&self, url: &str, number: u8) -> Agent {
        self.try_agent_at(url, number).await.unwrap()
    }

    async fn try_agent_at(&self, url: &str, number: u8) -> Result<Agent, AgentError> {
        let agent = Agent::builder()
            .with_url(url)
            .with_identity(identity(number))
            .with_max_polling_time(Duration::from_secs(1))
            .build()?;
        agent.set_root_key(self.server.root_key());
        Ok(agent)
    }

    pub async fn adjudicator_for(&self, number: u8) -> Adjudicator {
        self.adjudicator_at(&self.server.url(), number).await
    }

    pub async fn adjudicator_at(&self, url: &str, number: u8) -> Adjudicator {
        let agent = self.agent_at(url, number).await;
        Adjudicator::new(agent, self.adjudicator).with_patience(QUICK)
    }

    pub async fn funder_for(&self, number: u8) -> Funder {
        let funder = Funder::new(self.adjudicator_for(number).await);
        funder.with_poll_interval(Duration::from_millis(20))
    }

    pub async fn funder_at(&self, url: &str, number: u8) -> Funder {
        Funder::new(self.adjudicator_at(url, number).await)
    }

    pub async fn ledger_for(&self, number: u8) -> Ledger {
        self.nth_ledger_for(0, number).await
    }

    pub async fn nth_ledger_for(&self, index: usize, number: u8) -> Ledger {
        Ledger::new(self.agent(number).await, self.ledgers[index]).with_patience(QUICK)
    }

    pub async fn chain_for(&self, number: u8) -> Chain {
        Chain::new(self.funder_for(number).await)
    }

    /// A chain that comes in by another address, and asks everything once only.
    pub async fn hasty_chain_at(&self, url: &str, number: u8) -> Chain {
        let adjudicator = self.adjudicator_at(url, number).await;
        Chain::new(Funder::new(adjudicator.with_patience(Patience::NONE)))
    }

    /// The adjudicator's time.
    pub fn time(&self) -> Timestamp {
        let time_ns = self.server.with(|replica| replica.time_ns());
        Timestamp::from_nanos(time_ns)
    }

    /// What the ledger says that an account has.
    pub async fn balance(&self, account: &Account) -> u128 {
        let ledger = self.ledger_for(9).await;
        ledger.balance(account).await.unwrap().units()
    }

    /// What lies in the account of the channel's funds.
    pub async fn funds(&self, channel: &TestChannel) -> u128 {
        let funds = Account::of_funds(channel.params.adjudicator(), channel.params.id());
        self.balance(&funds).await
    }

    pub fn fault(&self, target: Target, fault: Fault) -> RuleId {
        self.server
            .with(|replica| replica.faults().add(target, fault))
    }

    pub fn fired(&self, rule: RuleId) -> u64 {
        self.server.with(|replica| replica.faults().fired(rule))
    }

    pub fn release(&self, rule: RuleId) {
        self.server.with(|replica| replica.faults().release(rule));
    }

    pub fn advance(&self, by: Duration) {
        self.server.with(|replica| replica.advance(by));
    }

    /// Upgrades the ledger to another fee, as real ledgers change theirs.
    pub fn change_fee(&self, fee: u128) {
        let wasm = canister_wasm("ledger").unwrap();
        let upgrade = LedgerArg::Upgrade(Some(LedgerUpgrade {
            transfer_fee: Some(fee),
        }));
        let argument = candid::encode_one(upgrade).unwrap();
        let upgraded = self
            .server
            .with(|replica| replica.upgrade(self.ledger, &wasm, argument));
        upgraded.unwrap();
    }

    /// Calls from the adjudicator to the ledger.
    pub fn ledger_calls(&self, method: &str) -> Target {
        let calls = Target::call().from(self.adjudicator).to(self.ledger);
        calls.method(method)
    }
}

#[derive(CandidType)]
enum LedgerArg {
    Init(LedgerInit),
    Upgrade(Option<LedgerUpgrade>),
}

#[derive(CandidType)]
struct LedgerInit {
    minting_account: CandidAccount,
    initial_balances: Vec<(CandidAccount, u128)>,
    transfer_fee: u128,
    token_symbol: String,
    token_name: String,
    decimals: Option<u8>,
}

#[derive(CandidType)]
struct LedgerUpgrade {
    transfer_fee: Option<u128>,
}

fn ledger_init() -> LedgerArg {
    LedgerArg::Init(LedgerInit {
        minting_account: CandidAccount::from(Principal::self_authenticating([255; 32])),
        initial_balances: (0..8)
            .chain(20..150)
            .map(|number| (CandidAccount::from(user(number)), WEALTH))
            .collect(),
        transfer_fee: FEE,
        token_symbol: "TOK".into(),
        token_name: "Token".into(),
        decimals: Some(2),
    })
}
