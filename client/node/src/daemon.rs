//! The program `perund`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use candid::Principal;
use clap::{Args, Parser, Subcommand};
use perun_protocol::Amount;

use crate::cli::NewTokenArgs;
use crate::contacts::show_identity;
use crate::node::TOKENS_FILE;
use crate::password::{PasswordSource, Secret};
use crate::settings::{Flags, Settings};
use crate::tokens::{NewToken, Tokens};
use crate::users::{self, NewUser};
use crate::{Error, backup, logging, server};

/// A node for payment channels on the Internet Computer: many users behind one gRPC API.
///
/// Settings come from flags, then from the environment (PERUND_…), then from node.yaml in the data
/// folder, then from defaults.
#[derive(Parser)]
#[command(name = "perund", version, args_conflicts_with_subcommands = true)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Run the node: what is done without a command, too.
    Run(Flags),
    /// Write a sample node.yaml into the data folder.
    Generate(Flags),
    /// See how the node would be set up.
    Config(ConfigArgs),
    /// Make a user while the node does not run.
    CreateUser(CreateUserArgs),
    /// Make an access token while the node does not run, so that no token is needed.
    CreateToken(CreateTokenArgs),
    /// Restore a backup into an empty data folder.
    Restore(RestoreArgs),
    /// Print the version.
    Version,
}

#[derive(Args)]
struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print all settings.
    Show {
        /// Say where each comes from.
        #[arg(long)]
        origin: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        flags: Flags,
    },
}

#[derive(Args)]
struct CreateUserArgs {
    /// Its name.
    name: String,
    /// Where peers reach it.
    #[arg(long, value_name = "HOST:PORT")]
    comm_address: String,
    /// A file with the password that encrypts its keys. Asked for if it is not given.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file with the recovery words of an earlier user.
    #[arg(long, value_name = "FILE")]
    words_file: Option<PathBuf>,
    /// A PEM file of dfx or icp with the identity that pays.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args)]
struct CreateTokenArgs {
    #[command(flatten)]
    token: NewTokenArgs,
    /// What may be spent within any 24 hours, as LEDGER=UNITS: the ledger's canister id, and how much in its
    /// smallest unit, for it cannot be asked now. Nothing of what is not named.
    #[arg(long = "limit", value_name = "LEDGER=UNITS", value_parser = limit)]
    limits: Vec<(Principal, Amount)>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Args)]
struct RestoreArgs {
    /// What `perun backup` has written.
    backup: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// Runs the program with these arguments, the first of which is its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let program = match Program::try_parse_from(arguments) {
        Ok(program) => program,
        Err(error) => {
            // Help and versions are asked for; everything else is a mistake.
            let _ = error.print();
            return match error.use_stderr() {
                true => ExitCode::from(2),
                false => ExitCode::SUCCESS,
            };
        }
    };
    match run(program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("perund: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: Program) -> Result<(), Error> {
    match program.command {
        None => serve(&program.flags),
        Some(Command::Run(flags)) => serve(&flags),
        Some(Command::Generate(flags)) => {
            let path = Settings::generate(&flags)?;
            println!("{}", path.display());
            Ok(())
        }
        Some(Command::Config(ConfigArgs {
            command:
                ConfigCommand::Show {
                    origin,
                    json,
                    flags,
                },
        })) => {
            let settings = Settings::load(&flags)?;
            match json {
                true => println!("{}", settings.to_json(origin)),
                false => print!("{}", settings.show(origin)),
            }
            Ok(())
        }
        Some(Command::CreateUser(arguments)) => create_user(arguments),
        Some(Command::CreateToken(arguments)) => create_token(arguments),
        Some(Command::Restore(RestoreArgs { backup, flags })) => {
            let data = flags.data()?;
            backup::restore(&backup, &data)?;
            println!(
                "restored into {}; access tokens have to be made anew; nothing is paid through a channel before its peer has confirmed the \
                 newest state",
                data.display()
            );
            Ok(())
        }
        Some(Command::Version) => {
            println!("perund {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

fn serve(flags: &Flags) -> Result<(), Error> {
    let settings = Settings::load(flags)?;
    logging::start(&settings.log)?;
    settings.warn();
    let runtime = tokio::runtime::Runtime::new().map_err(Error::internal)?;
    runtime.block_on(server::run(settings))
}

fn create_user(arguments: CreateUserArgs) -> Result<(), Error> {
    let data = arguments.flags.data()?;
    let read = |path: Option<PathBuf>| {
        path.map(|path| PasswordSource::File(path).read())
            .transpose()
    };
    let password = match read(arguments.password_file)? {
        Some(password) => password,
        None => ask_password()?,
    };
    let identity_pem = match arguments.identity {
        Some(path) => Some(Secret::new(std::fs::read_to_string(&path).map_err(
            |error| Error::invalid("identity", path.display().to_string(), error.to_string()),
        )?)),
        None => None,
    };
    let created = users::create(
        &data.join(users::FOLDER),
        &NewUser {
            name: arguments.name,
            password,
            comm_address: arguments.comm_address,
            recovery_words: read(arguments.words_file)?,
            identity_pem,
        },
    )?;
    println!(
        "off-chain identity  {}",
        show_identity(&created.public.off_chain)
    );
    println!("account             {}", created.public.principal);
    if let Some(words) = created.words {
        println!(
            "recovery words, which are nowhere else:\n{}",
            words.expose()
        );
    }
    Ok(())
}

/// As `perun token create`, for who has no administrator's token any more.
fn create_token(arguments: CreateTokenArgs) -> Result<(), Error> {
    let NewTokenArgs {
        label,
        scope,
        user,
        valid,
    } = arguments.token;
    let file = arguments.flags.data()?.join(TOKENS_FILE);
    let cannot = |reason: String| Error::FailedPrecondition {
        message: format!("{}: {reason}", file.display()),
    };
    if !file.is_file() {
        return Err(cannot("it is made at the node's first start".into()));
    }
    // The file is one process's at a time.
    let tokens = Tokens::open(&file).map_err(|error| {
        cannot(format!(
            "{error}; if the node runs, `perun token create` makes a token, or stop it first"
        ))
    })?;
    let (id, secret) = tokens.create(NewToken {
        label,
        scope,
        session: user,
        limits: arguments.limits,
        valid_s: valid.map(|valid| valid.as_secs()),
    })?;
    println!("{id}\n{}", secret.expose());
    Ok(())
}

fn limit(text: &str) -> Result<(Principal, Amount), String> {
    let parts = text.split_once('=');
    let parts = parts.and_then(|(ledger, units)| {
        Some((Principal::from_text(ledger).ok()?, units.parse().ok()?))
    });
    let wrong = || "a limit is written like ryjl3-tyaaa-aaaaa-aaaba-cai=150000000".to_owned();
    let (ledger, units) = parts.ok_or_else(wrong)?;
    Ok((ledger, Amount::new(units)))
}

/// Asks twice, so that nobody is locked out by a slip.
fn ask_password() -> Result<Secret, Error> {
    let ask = |prompt| {
        let typed = rpassword::prompt_password(prompt);
        typed.map(Secret::new).map_err(|error| {
            let requirement = format!("it cannot be asked for here ({error}); use --password-file");
            Error::invalid("password", "", requirement)
        })
    };
    let first = ask("password: ")?;
    if ask("once more: ")?.expose() != first.expose() {
        return Err(Error::invalid("password", "", "both have to be the same"));
    }
    Ok(first)
}
