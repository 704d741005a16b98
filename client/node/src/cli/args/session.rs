//! `perun session …`, `perun contact …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Users of the node.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Makes a user with keys, contacts and channels of its own.
    Create {
        /// Letters, digits, "-" and "_".
        name: String,
        /// Where peers reach it, as `host:port`.
        address: String,
        #[command(flatten)]
        password: PasswordArgs,
        /// A file with the 24 words of an earlier user, to have its keys again.
        #[arg(long, value_name = "FILE")]
        words_file: Option<PathBuf>,
        /// A PEM file of dfx or icp, to pay from its account.
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
    /// Opens a user's session and restores its channels.
    Open {
        /// The user; or, as perunnodecli has it, a configuration file on the node's machine.
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// All users.
    List,
    /// Closes the session.
    Close {
        /// Also if channels are open: they go on when it is opened again.
        #[arg(long)]
        force: bool,
        /// The same, as perunnodecli has it.
        #[arg(hide = true, value_parser = ["force", "no-force"], conflicts_with = "force")]
        how: Option<String>,
    },
}

/// Where a password comes from. It is asked for on a terminal.
#[derive(Args, Clone, Debug, Default)]
pub struct PasswordArgs {
    /// A file with the password; without, PERUN_PASSWORD, or it is asked for.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// With whom channels can be opened.
#[derive(Debug, Subcommand)]
pub enum ContactCommand {
    /// Adds somebody. They print what to type by `perun contact card`.
    Add {
        /// What you call it.
        alias: String,
        /// Its off-chain identity, as 66 hex digits.
        #[arg(value_name = "OFF-CHAIN-ADDRESS")]
        identity: String,
        /// Where it listens, as `host:port`.
        address: String,
        /// How it is reached.
        #[arg(hide = true, default_value = "tcp")]
        comm_type: String,
    },
    /// Shows one.
    Get {
        /// What you call it.
        #[arg(value_name = "PEER")]
        peer: String,
    },
    /// Shows all.
    List,
    /// Removes one.
    Remove {
        /// What you call it.
        #[arg(value_name = "PEER")]
        peer: String,
    },
    /// What others have to type to add you.
    Card,
}
