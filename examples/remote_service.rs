//! Watches and funds payment channels for devices that cannot reach the Internet Computer.
//!
//! ```text
//! cargo run --release --example local_network        in one terminal: prints what to give here
//! cargo run --release --example remote_service -- \
//!     --url http://127.0.0.1:4943 --adjudicator ID --identity KEY.pem \
//!     --listen 0.0.0.0:4711 --store service --allow DEVICE \
//!     --max-funds LEDGER=1000000 --max-funds-total LEDGER=5000000
//! ```
//!
//! A device tells its identity when it starts. With `--allow-anyone` instead, channels are watched for
//! everybody, and none is funded.
//!
//! It prints its identity, which devices are to be told, and what it does, until ctrl-c. What it
//! was told survives that: the next start on the same store goes on with everything.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use candid::Principal;
use clap::{Args, Parser};
use perun_canister_api::convert;
use perun_client::agent::connect;
use perun_client::chain::Chain;
use perun_client::identity::load;
use perun_client::key;
use perun_client::link::{TcpConfig, TcpTransport};
use perun_client::remote::{Config, DeviceLimits, Devices, MAX_MESSAGE, Parts, RemoteService};
use perun_client::store::FileStore;
use perun_client::{Adjudicator, Funder};
use perun_examples::{Failure, run};
use perun_protocol::signature::Signer as _;
use perun_protocol::{Amount, AssetId, PublicKey};

/// Watches and funds payment channels for devices that cannot reach the Internet Computer.
#[derive(Parser)]
struct Program {
    /// The replica, e.g. http://127.0.0.1:4943 or https://icp-api.io
    #[arg(long)]
    url: String,

    /// The adjudicator's canister id.
    #[arg(long, value_name = "ID")]
    adjudicator: Principal,

    /// A PEM file with the identity that pays for deposits.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,

    /// Trust the key that the replica at the URL names. Done anyway on this machine, never for the
    /// Internet Computer itself.
    #[arg(long)]
    fetch_root_key: bool,

    /// Where devices reach it.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4711")]
    listen: SocketAddr,

    /// The folder with what it must not forget, and its key for links. Made if there is none.
    #[arg(long, value_name = "FOLDER")]
    store: PathBuf,

    #[command(flatten)]
    devices: Allowed,

    /// How many channels it watches, and how many it funds, for one device.
    #[arg(long, default_value_t = 16)]
    max_channels: usize,

    /// What may be deposited for one device within a day and in channels that are not over, in the
    /// ledger's smallest units; once for each ledger. Nothing is deposited by default.
    #[arg(
        long,
        value_name = "LEDGER=UNITS",
        value_parser = parse_funds,
        requires = "max_funds_total",
        conflicts_with = "allow_anyone"
    )]
    max_funds: Vec<(AssetId, Amount)>,

    /// The same for all devices together.
    #[arg(long, value_name = "LEDGER=UNITS", value_parser = parse_funds)]
    max_funds_total: Vec<(AssetId, Amount)>,

    /// How often the adjudicator's log is read, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    poll: u64,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Allowed {
    /// The identity of a device that is served, as 66 hex digits; once for each.
    #[arg(long, value_name = "HEX", value_parser = parse_identity)]
    allow: Vec<PublicKey>,

    /// Watch channels for whoever connects.
    #[arg(long)]
    allow_anyone: bool,
}

fn main() -> ExitCode {
    let program = Program::parse();
    run("remote_service", serve(program))
}

async fn serve(program: Program) -> Result<(), Failure> {
    let agent = connect(
        &program.url,
        load(&program.identity)?,
        program.fetch_root_key,
    );
    let agent = agent.await?;
    let payer = agent.get_principal()?;
    fs::create_dir_all(&program.store)?;
    let key = Arc::new(key::load_or_create(&program.store.join("link.key"))?);
    let store = FileStore::open(&program.store.join("records"), &key.public_key())?;
    let limits = TcpConfig {
        max_message: MAX_MESSAGE,
        ..TcpConfig::default()
    };
    let transport = TcpTransport::bind(key.clone(), program.listen, limits).await?;
    let address = transport.local_address();
    let devices = match program.devices.allow_anyone {
        true => Devices::Anybody,
        false => Devices::Only(program.devices.allow.into_iter().collect()),
    };
    let max_funds: BTreeMap<_, _> = program.max_funds.into_iter().collect();
    let config = Config {
        limits: DeviceLimits {
            max_channels: program.max_channels,
            max_funds,
        },
        max_funds_total: program.max_funds_total.into_iter().collect(),
        poll_interval: Duration::from_secs(program.poll.max(1)),
        ..Config::new(devices)
    };
    let service = RemoteService::start(Parts {
        config,
        chain: Chain::new(Funder::new(Adjudicator::new(agent, program.adjudicator))),
        store: Arc::new(store),
        transport: Arc::new(transport),
    })
    .await?;
    println!(
        "
Address   {address}
Identity  {identity}
Deposits  from {payer}
Watching  {watched} channels

Ctrl-C stops it.",
        identity = hex(&key.public_key()),
        watched = service.watched(),
    );
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        // Whoever starts it again starts it on what is durable.
        () = service.failed() => tracing::error!("The store has failed"),
    }
    tracing::info!("Stopping with {} channels watched", service.watched());
    service.stop().await?;
    Ok(())
}

fn parse_funds(text: &str) -> Result<(AssetId, Amount), Failure> {
    let (ledger, units) = text.split_once('=').ok_or("LEDGER=UNITS is expected")?;
    let ledger = convert::principal(ledger.parse()?).ok_or("this is no ledger's id")?;
    Ok((AssetId::Icrc(ledger), Amount::new(units.parse()?)))
}

fn parse_identity(text: &str) -> Result<PublicKey, Failure> {
    let digits: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    let bytes = digits.and_then(|digits| digits.try_into().ok());
    let key = bytes.and_then(PublicKey::from_bytes);
    let key = key.filter(PublicKey::is_on_curve);
    key.ok_or_else(|| "a compressed secp256k1 key of 66 hex digits is expected".into())
}

fn hex(key: &PublicKey) -> String {
    let digits = key.as_bytes().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}
