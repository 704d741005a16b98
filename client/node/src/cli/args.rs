//! What can be typed. The shell, the one-shot program and its manual all read these.
//!
//! Each command has a short name, and those of perunnodecli as hidden aliases, so that its scripts and
//! its users' fingers still work.

mod channel;
mod history;
mod node;
mod session;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use channel::{ChannelCommand, CurrencyArgs, PayArgs, PaymentCommand, RequestCommand};
pub use history::{Direction, FilterArgs, HistoryCommand, NewTokenArgs, TokenCommand};
pub use node::{ChainCommand, DemoArgs, DemoCommand, NodeCommand};
pub use session::{ContactCommand, SessionCommand};

/// What `perun --help` ends with.
const AFTER_HELP: &str = "\
Channels are named by id, by the first digits of it, by alias (ch_1_bob, see `perun channel list`), or
by the peer if there is one channel with it.

Exit codes: 0 done; 1 perun itself failed; 2 wrong usage; 3 the node is not reached; 4 not allowed;
5 not confirmed; 6 asked too much at once; 10 a peer or user has not played along, try again; 11 the
request is wrong, mend it; 12 the chain failed, act at once; 13 unexpected, report it; 130 interrupted.";

/// Payment channels on the Internet Computer: speaks to a node (perund).
#[derive(Debug, Parser)]
#[command(name = "perun", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(disable_help_subcommand = false, infer_long_args = true)]
pub struct Cli {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub call: CallArgs,
    /// Without one: the shell, or a script if something is piped in.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// A line of the shell or of a script.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true)]
#[command(
    infer_long_args = true,
    max_term_width = 100,
    help_template = "{all-args}"
)]
pub struct Line {
    #[command(flatten)]
    pub call: CallArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Which node, and with what right.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Where the node listens [default: what runs in the data folder, or 127.0.0.1:50001].
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "PERUN_NODE",
        hide_env_values = true
    )]
    pub node: Option<String>,
    /// The node's certificate, which is the only one trusted [default: tls.crt in the data folder].
    #[arg(
        long,
        value_name = "FILE",
        env = "PERUN_TLS_CERT",
        hide_env_values = true
    )]
    pub tls_cert: Option<PathBuf>,
    /// An access token. It is seen by others of this machine if it is typed here: a file is better.
    #[arg(
        long,
        value_name = "SECRET",
        env = "PERUN_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// A file with an access token [default: admin.token in the data folder].
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// Without TLS and token, to what `perund --compat` serves on this machine.
    #[arg(long)]
    pub plaintext: bool,
    /// The node's data folder, if it is on this machine [default: ~/.local/share/perund].
    #[arg(
        long,
        value_name = "FOLDER",
        env = "PERUND_DATA",
        hide_env_values = true
    )]
    pub data: Option<PathBuf>,
}

/// How one command is done.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of all commands")]
pub struct CallArgs {
    /// The user, by name or session id [env: PERUN_SESSION] [default: the one that is open].
    #[arg(long, global = true, value_name = "NAME")]
    pub session: Option<String>,
    /// Answers as JSON, one object a line; errors too, on the error output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Does not ask, however much it is.
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Names what moves money: whatever is done again with the same key is done once.
    #[arg(long, global = true, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The Internet Computer that the node uses: adjudicator, ledgers, balances.
    #[command(subcommand, arg_required_else_help = true)]
    Chain(ChainCommand),
    /// The node itself.
    #[command(subcommand, arg_required_else_help = true)]
    Node(NodeCommand),
    /// Users of the node: make, open, close.
    #[command(subcommand, arg_required_else_help = true)]
    Session(SessionCommand),
    /// With whom channels can be opened.
    #[command(subcommand, arg_required_else_help = true, alias = "peer-id")]
    Contact(ContactCommand),
    /// Channels: propose, answer, look at, close.
    #[command(subcommand, arg_required_else_help = true)]
    Channel(ChannelCommand),
    /// Payments in a channel.
    #[command(subcommand, arg_required_else_help = true)]
    Payment(PaymentCommand),
    /// Pays a payment request, or a peer.
    Pay(PayArgs),
    /// Payment requests as text and QR code.
    #[command(subcommand, arg_required_else_help = true)]
    Request(RequestCommand),
    /// What was paid: list, export, verify.
    #[command(subcommand, arg_required_else_help = true)]
    History(HistoryCommand),
    /// Access tokens.
    #[command(subcommand, arg_required_else_help = true)]
    Token(TokenCommand),
    /// Copies all that the node keeps into a tar file, while it runs.
    Backup {
        /// Where to; must not exist.
        file: PathBuf,
    },
    /// Prints what happens, until interrupted.
    Events {
        /// Ends after so many.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// A screen of channels, pending answers and events.
    Top,
    /// The interactive shell.
    Shell,
    /// Runs the lines of a file, or of the standard input, until the first error.
    Script {
        /// The file; the standard input without.
        file: Option<PathBuf>,
        /// Goes on after errors. The exit code is the first one's.
        #[arg(long)]
        keep_going: bool,
    },
    /// A whole world on this machine to try things on.
    #[command(subcommand, arg_required_else_help = true)]
    Demo(DemoCommand),
    /// Prints completions for a shell.
    Completions {
        /// Which one.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, or writes those of all commands into a folder.
    Man {
        /// The folder.
        folder: Option<PathBuf>,
    },
    /// Runs the daemon itself, with its own arguments. For the demo, which may stand alone.
    #[command(hide = true, disable_help_flag = true)]
    Perund {
        /// The daemon's.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}
