//! An embedded Internet Computer with a ledger and an adjudicator, to try things by hand.
//!
//! ```text
//! cargo run --release --example local_network
//! ```

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use perun_client::identity::load_or_create;
use perun_examples::{Failure, run};
use perun_local_network::{Endowment, LocalNetwork, Setup};

/// An Internet Computer on this machine with a ledger and an adjudicator, to try things by hand.
/// Everything is gone when it stops.
#[derive(Parser)]
struct Program {
    /// Where it listens on loopback; 0 for any free port.
    #[arg(long, default_value_t = 4943)]
    port: u16,

    /// A PEM file with the identity that gets tokens and may change the canisters. Created if there
    /// is none [default: perun-local-network.pem in the folder for temporary files].
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,

    /// How many tokens it gets.
    #[arg(long, default_value_t = 1_000_000)]
    tokens: u32,
}

fn main() -> ExitCode {
    let program = Program::parse();
    run("local_network", serve(program))
}

async fn serve(program: Program) -> Result<(), Failure> {
    let default = || std::env::temp_dir().join("perun-local-network.pem");
    let path = program.identity.unwrap_or_else(default);
    let owner = load_or_create(&path)?.sender()?;
    let endowment = Endowment {
        owner,
        tokens: program.tokens,
    };
    let network = LocalNetwork::start(Setup {
        port: program.port,
        controller: owner,
        endowments: vec![endowment],
        ..Setup::default()
    });
    let network = network.await?;
    let root_key = network
        .server
        .root_key()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
    let (url, identity) = (network.server.url(), path.display());
    let LocalNetwork {
        ledger,
        adjudicator,
        ..
    } = &network;
    println!(
        "
URL          {url}
Root key     {root_key}
Adjudicator  {adjudicator}
Ledger       {ledger}
Identity     {identity}
             {owner}, with {tokens} tokens

cargo run --release --example happy_walkthrough -- \\
    --url {url} --adjudicator {adjudicator} --ledger {ledger} --identity {identity}

Ctrl-C stops it.",
        tokens = endowment.tokens,
    );
    tokio::signal::ctrl_c().await?;
    network.server.stop().await;
    Ok(())
}
