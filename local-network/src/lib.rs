//! An embedded Internet Computer with a ledger and an adjudicator, for demos and tests.
//!
//! ```text
//! Setup ──> LocalNetwork::start ──> local-ic, on loopback
//!              │                       ├ a ledger, whose token is written like ICP
//!              └ wasm: built, or       └ an adjudicator that serves it
//!                from a folder
//! ```

#![forbid(unsafe_code)]

mod error;
mod wasm;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use candid::{CandidType, Principal};
use local_ic::{Clock, Config, Replica, Server};
use perun_canister_api::{Account, InitArgs};

use self::wasm::Modules;

/// What it all stands on: who tests against it makes faults and other canisters with it.
pub use local_ic;

pub use self::error::StartError;

/// Tokens for somebody to begin with.
#[derive(Clone, Copy, Debug)]
pub struct Endowment {
    /// Whose default account gets them.
    pub owner: Principal,
    /// How many, in whole tokens.
    pub tokens: u32,
}

/// What a network is to be.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where it listens on loopback; 0 for any free port.
    pub port: u16,
    /// Who may change the canisters.
    pub controller: Principal,
    /// Who has tokens at first.
    pub endowments: Vec<Endowment>,
    /// The least and the longest challenge duration that the adjudicator accepts, in seconds.
    pub challenge_durations_s: (u32, u32),
    /// The folder with `adjudicator.wasm` and `ledger.wasm`; without one, they are built from the
    /// sources that this program was built from.
    pub wasm_folder: Option<PathBuf>,
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

impl Default for Setup {
    /// Any free port, nobody has anything, and nobody may change the canisters.
    fn default() -> Self {
        Self {
            port: 0,
            controller: Principal::management_canister(),
            endowments: Vec::new(),
            challenge_durations_s: LocalNetwork::CHALLENGE_DURATIONS_S,
            wasm_folder: None,
        }
    }
}

impl LocalNetwork {
    /// Whole tokens have this many digits behind the point, as ICP has.
    pub const DECIMALS: u8 = 8;
    /// What a transfer costs in the smallest unit, as with ICP.
    pub const FEE_E8S: u128 = 10_000;
    /// The challenge durations that the adjudicator accepts unless said otherwise, in seconds. A
    /// minute is too short for real money.
    pub const CHALLENGE_DURATIONS_S: (u32, u32) = (60, 30 * 24 * 3600);

    /// Starts everything on loopback, after the canisters were built if they have to be.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(setup: Setup) -> Result<Self, StartError> {
        let modules = Modules::find(setup.wasm_folder).await?;
        let mut replica = Replica::new(Config::default());
        let mut install = |name, wasm: &[u8], argument: candid::Result<Vec<u8>>| {
            let id = replica.create_canister(setup.controller);
            let argument = argument.expect("a value of these types is written without fail");
            let installed = replica.install(id, wasm, argument);
            installed.map_err(|error| StartError::Install { name, error })?;
            Ok::<_, StartError>(id)
        };
        let argument = ledger_init(&setup.endowments);
        let ledger = install("ledger", &modules.ledger, candid::encode_one(argument))?;
        let (min_s, max_s) = setup.challenge_durations_s;
        let argument = candid::encode_one(InitArgs {
            ledgers: vec![ledger],
            min_challenge_duration_s: min_s,
            max_challenge_duration_s: max_s,
        });
        let adjudicator = install("adjudicator", &modules.adjudicator, argument)?;

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, setup.port));
        let server = Server::start(replica, address, Clock::Live).await;
        Ok(Self {
            server: server.map_err(|error| StartError::Listen { address, error })?,
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
