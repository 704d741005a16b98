//! The host's side of the board demo: proposes channels to devices, accepts theirs, pays and is paid, as
//! people say at its control port.
//!
//! ```text
//! cargo run --release --example device_counterpart -- --local --any-device --print-settings
//! ncat 127.0.0.1 2222
//! ```
//!
//! With `--local` it brings an Internet Computer of its own, which is gone with it; otherwise
//! `--url`, `--adjudicator`, `--ledger` and `--identity` say where it deals, and `--folder` where it keeps
//! its channels and its off-chain key.
//!
//! Peers and people reach it on loopback only, unless `--listen` and `--control` say otherwise. A board on
//! a network needs the former; the latter would give the money away to whoever reaches the port.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use perun_client::client::Config;
use perun_client::identity::load;
use perun_client::key;
use perun_examples::counterpart::{Contact, ControlPort, Counterpart, Policy, shortest_challenge};
use perun_examples::{Connection, Failure, Papers, Person, Place, Scratch, run};
use perun_local_network::LocalNetwork;
use perun_protocol::{Account, Amount, ChallengeDuration};

/// What it is called.
const NAME: &str = "Counterpart";
/// Whose account a device is paid out to, on a network of our own.
const OWNER: &str = "Owner of the device";

/// The host's side of the board demo, told what to do at a control port.
#[derive(Parser)]
struct Program {
    /// Bring an Internet Computer with an adjudicator and a ledger.
    #[arg(long, required_unless_present = "url", conflicts_with = "url")]
    local: bool,

    /// Where to deal otherwise.
    #[command(flatten)]
    connection: Option<Connection>,

    /// Where channels and the off-chain key are kept; not used with --local.
    #[arg(long, value_name = "FOLDER", default_value = "perun-counterpart")]
    folder: PathBuf,

    /// A device to deal with: 66 hex digits, with @host:port if it is to be dialled. Can be repeated.
    #[arg(long = "device", value_name = "KEY")]
    devices: Vec<Contact>,

    /// Deal with any device.
    #[arg(long)]
    any_device: bool,

    /// Where devices reach it.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1337")]
    listen: SocketAddr,

    /// Where people tell it what to do.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2222")]
    control: SocketAddr,

    /// What it deposits in a channel, in units.
    #[arg(long, value_name = "UNITS", default_value_t = 100_000)]
    deposit: u128,

    /// What a device deposits in a channel that it is proposed, in units.
    #[arg(long, value_name = "UNITS", default_value_t = 100_000)]
    device_deposit: u128,

    /// How long a registered state can be refuted [default: the shortest that is accepted and safe].
    #[arg(long, value_name = "SECONDS")]
    challenge_secs: Option<u32>,

    /// Print settings for a board, or write them to a file.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    print_settings: Option<Option<PathBuf>>,

    /// The host by which a board reaches this one [default: that of --listen].
    #[arg(long, value_name = "HOST")]
    board_host: Option<String>,
}

fn main() -> ExitCode {
    let program = Program::parse();
    run("device_counterpart", play(program))
}

async fn play(program: Program) -> Result<(), Failure> {
    // Both live as long as the program.
    let mut scratch: Option<Scratch> = None;
    let mut network: Option<LocalNetwork> = None;
    let mut receiver: Option<Account> = None;
    let (papers, place, folder, config): (_, _, _, fn(Account) -> Config) =
        match &program.connection {
            Some(connection) => {
                std::fs::create_dir_all(&program.folder)?;
                let (papers, place) = papers(connection, &program.folder)?;
                (papers, place, program.folder.join("store"), Config::new)
            }
            None => {
                let folder = scratch
                    .insert(Scratch::new("counterpart")?)
                    .path()
                    .join("store");
                let (running, place) = Place::local(&[NAME, OWNER]).await?;
                network = Some(running);
                receiver = Some(Papers::demo(OWNER)?.account()?);
                (Papers::demo(NAME)?, place, folder, Config::quick)
            }
        };
    let url = place.url.clone();
    tracing::info!(
        "URL: {url}, adjudicator: {}, ledger: {}",
        place.adjudicator,
        place.ledger
    );
    let person = Person::start_with(papers, &place, &folder, program.listen, config).await?;
    let address = person.address;
    let challenge = match program.challenge_secs {
        Some(secs) => ChallengeDuration::from_secs(secs).ok_or("no challenge duration")?,
        None => shortest_challenge(&person, &config(person.account)).await?,
    };
    let policy = Policy {
        devices: program.devices,
        with_any: program.any_device,
        deposits: [program.deposit, program.device_deposit].map(Amount::new),
        challenge,
    };
    let counterpart = Counterpart::start(person, policy)?;
    let control = ControlPort::open(counterpart.clone(), program.control).await?;
    let host = program.board_host;
    let host = host.unwrap_or_else(|| address.ip().to_string());
    let settings = counterpart
        .settings(&host, Vec::new(), receiver)?
        .to_string();
    match &program.print_settings {
        Some(Some(file)) => std::fs::write(file, settings)?,
        Some(None) => println!("{settings}"),
        None => {}
    }
    tracing::info!("Devices reach {} at {address}", counterpart.identity());
    tracing::info!(
        "Tell it what to do at {}; Ctrl-C stops it",
        control.address()
    );
    tokio::signal::ctrl_c().await?;
    drop(control);
    counterpart.stop().await?;
    if let Some(network) = network {
        network.server.stop().await;
    }
    drop(scratch);
    Ok(())
}

fn papers(connection: &Connection, folder: &Path) -> Result<(Papers, Place), Failure> {
    let papers = Papers {
        name: NAME,
        identity: load(&connection.identity)?,
        key: Arc::new(key::load_or_create(&folder.join("off-chain.key"))?),
        fetch_root_key: connection.fetch_root_key,
    };
    let place = Place {
        url: connection.url.clone(),
        adjudicator: connection.adjudicator,
        ledger: connection.ledger,
    };
    Ok((papers, place))
}
