//! An embedded Internet Computer with a ledger and an adjudicator.

use std::net::{Ipv4Addr, SocketAddr};

use candid::{CandidType, Principal};
use local_ic::{Clock, Config, Replica, Server, canister_wasm};
use perun_canister_api::{Account, InitArgs};

use crate::Failure;

/// Tokens for somebody to begin with.
#[derive(Clone, Copy, Debug)]
pub struct Endowment {
    /// Whose default account gets them.
    pub owner: Principal,
    /// How many, in whole tokens.
    pub tokens: u32,
}

/// An embedded Internet Computer with a ledger and an adjudicator, gone when it is dropped.
pub struct LocalNetwork {
    /// The replica; time can be moved by it.
    pub server: Server,
    /// The ledger's canister id. Its token is written like ICP.
    pub ledger: Principal,
    /// The adjudicator's canister id.
    pub adjudicator: Principal,
}

impl LocalNetwork {
    /// Whole tokens have this many digits behind the point, as ICP has.
    pub const DECIMALS: u8 = 8;
    /// What a transfer costs in the smallest unit, as with ICP.
    pub const FEE_E8S: u128 = 10_000;
    /// The challenge durations that the adjudicator accepts, in seconds. A minute is too short for
    /// real money.
    pub const CHALLENGE_DURATIONS_S: (u32, u32) = (60, 30 * 24 * 3600);

    /// Builds the canisters if they are not, and starts everything on loopback; port 0 takes any
    /// free one. `controller` may change the canisters.
    ///
    /// # Errors
    /// If the canisters can't be built or installed, or the port can't be had.
    pub async fn start(
        port: u16,
        controller: Principal,
        endowments: &[Endowment],
    ) -> Result<Self, Failure> {
        // Building blocks for as long as it takes, so it gets a thread of its own.
        let build = || Ok::<_, Failure>((canister_wasm("ledger")?, canister_wasm("adjudicator")?));
        let (ledger_wasm, adjudicator_wasm) = tokio::task::spawn_blocking(build).await??;

        let mut replica = Replica::new(Config::default());
        let ledger = replica.create_canister(controller);
        let argument = candid::encode_one(ledger_init(endowments))?;
        replica.install(ledger, &ledger_wasm, argument)?;

        let adjudicator = replica.create_canister(controller);
        let (min_s, max_s) = Self::CHALLENGE_DURATIONS_S;
        let argument = candid::encode_one(InitArgs {
            ledgers: vec![ledger],
            min_challenge_duration_s: min_s,
            max_challenge_duration_s: max_s,
        })?;
        replica.install(adjudicator, &adjudicator_wasm, argument)?;

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = Server::start(replica, address, Clock::Live).await?;
        Ok(Self {
            server,
            ledger,
            adjudicator,
        })
    }
}

/// The init argument of `local-ic`'s ledger (`candid/ledger.did`), as far as it is used here.
#[derive(CandidType)]
enum LedgerArg {
    Init(LedgerInit),
}

#[derive(CandidType)]
struct LedgerInit {
    minting_account: Account,
    initial_balances: Vec<(Account, u128)>,
    transfer_fee: u128,
    token_symbol: String,
    token_name: String,
    decimals: Option<u8>,
}

fn ledger_init(endowments: &[Endowment]) -> LedgerArg {
    let whole = 10_u128.pow(LocalNetwork::DECIMALS.into());
    let balance = |endowment: &Endowment| {
        let units = u128::from(endowment.tokens) * whole;
        (Account::from(endowment.owner), units)
    };
    LedgerArg::Init(LedgerInit {
        // Nobody has the key of this principal, so nothing is minted later.
        minting_account: Account::from(Principal::self_authenticating(b"perun local minter")),
        initial_balances: endowments.iter().map(balance).collect(),
        transfer_fee: LocalNetwork::FEE_E8S,
        token_symbol: "ICP".into(),
        token_name: "Internet Computer, on this machine only".into(),
        decimals: Some(LocalNetwork::DECIMALS),
    })
}
