//! `perun history …`, `perun token …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::tokens::Scope;

/// What was paid.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Payments, newest first.
    List(FilterArgs),
    /// The same as comma-separated values.
    Csv(FilterArgs),
    /// The same as JSON, one object a line.
    Json(FilterArgs),
    /// All payments of a channel with the state that proves them.
    Export {
        /// Which one.
        channel: String,
        /// Where to; must not exist. To the standard output without.
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Checks an export against the signatures in it. Needs no node.
    Verify {
        /// What `export` has written.
        file: PathBuf,
    },
}

/// Which payments.
#[derive(Args, Clone, Debug, Default)]
pub struct FilterArgs {
    /// Of this channel only.
    #[arg(long)]
    pub channel: Option<String>,
    /// With this contact only.
    #[arg(long)]
    pub peer: Option<String>,
    /// In this currency only.
    #[arg(long, value_name = "SYMBOL")]
    pub currency: Option<String>,
    /// Sent or received only.
    #[arg(long, value_enum)]
    pub direction: Option<Direction>,
    /// From this day or instant on: 2026-05-01, or 2026-05-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = super::super::text::instant_ms)]
    pub since: Option<i64>,
    /// Before this day or instant.
    #[arg(long, value_name = "TIME", value_parser = super::super::text::instant_ms)]
    pub before: Option<i64>,
    /// At most so many; all without, but 100 in `list`.
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// Which way a payment went.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Direction {
    /// To the peer.
    Sent,
    /// From the peer.
    Received,
}

/// Access tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Makes one. Its secret is shown once.
    Create {
        #[command(flatten)]
        token: NewTokenArgs,
        /// What may be spent within any 24 hours, as ICP=1.5. Nothing of what is not named.
        #[arg(long = "limit", value_name = "SYMBOL=AMOUNT", value_parser = super::super::text::limit)]
        limits: Vec<(String, String)>,
    },
    /// All of them.
    List,
    /// Refuses one from now on.
    Revoke {
        /// Its id, see `list`.
        id: String,
    },
}

/// A token that is to be made, without its limits.
#[derive(Args, Debug)]
pub struct NewTokenArgs {
    /// What it is called.
    pub label: String,
    /// What it allows.
    #[arg(long, value_enum, default_value_t = Scope::Read)]
    pub scope: Scope,
    /// For this user only.
    #[arg(long = "for", value_name = "NAME")]
    pub user: Option<String>,
    /// For how long it is good: 30s, 15m, 2h, 7d. For ever without.
    #[arg(long, value_name = "TIME", value_parser = super::super::text::duration)]
    pub valid: Option<std::time::Duration>,
}
