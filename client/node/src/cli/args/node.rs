//! `perun chain …`, `perun node …`, `perun demo …`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The Internet Computer that the node uses.
#[derive(Debug, Subcommand)]
pub enum ChainCommand {
    /// Where the replica is, and which adjudicator is used.
    #[command(alias = "get-blockchain-address")]
    Address,
    /// Checks that the node uses this replica. It is set in the node's configuration, by its operator.
    #[command(alias = "set-blockchain-address")]
    SetAddress {
        /// The replica's URL.
        url: String,
    },
    /// What the user's account has on the ledgers.
    #[command(alias = "get-on-chain-balance")]
    Balance {
        /// The account, to be sure that it is the user's own.
        account: Option<String>,
    },
    /// Says which adjudicator and ledgers there are: nothing is deployed for a channel on this chain.
    #[command(alias = "deploy-perun-contracts")]
    Deploy,
    /// Makes a ledger known by its symbol.
    Register {
        /// The ledger's canister id.
        ledger: String,
    },
}

/// The node itself.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Connects (in the shell: to another node), and says what time the node has.
    Connect {
        /// Where it listens, as `host:port`.
        address: Option<String>,
    },
    /// The node's time, on which expiries are.
    Time,
    /// How the node is set up.
    Config,
    /// What runs there: version, adjudicator, ledgers.
    Info,
    /// The calls that it answers.
    Calls,
    /// Devices that it serves.
    Devices,
    /// Stops it gracefully.
    Stop,
}

/// A world to try things on.
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Starts an embedded Internet Computer, a node, and two users with money: until ctrl-c.
    Up(DemoArgs),
    /// Plays the tutorial with two users against real processes, and tells it.
    Run(DemoArgs),
}

/// Of what the demo is made.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// A folder with adjudicator.wasm and ledger.wasm. Without, those beside this program, or what
    /// build.sh makes.
    #[arg(long, value_name = "FOLDER")]
    pub wasm: Option<PathBuf>,
    /// Where the node listens. Any free port without.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where the node keeps its data: must not exist. A new folder without, that is removed at the end.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}
