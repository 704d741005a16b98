//! The command line.
//!
//! ```text
//!  perun COMMAND …      ─┐            ┌ connect ── TLS, token ──> perund
//!  shell (a terminal)   ─┼─ args ─ commands ─ waiting, feed (what peers want)
//!  script (piped lines) ─┘            └ answer ── tables, tabs, or JSON
//!  top (a screen)       ── its own words, turned into the same commands
//! ```
//!
//! Everything that is typed is read by one parser (`args`), and done by the same code. Exit codes and
//! the objects of `--json` are promises; `perun --help` and `docs/commands.md` list them.

mod answer;
mod args;
mod asking;
mod channels;
mod commands;
mod config;
mod connect;
mod context;
mod decimal;
mod failure;
mod feed;
mod names;
mod new_file;
mod pages;
mod script;
mod shell;
mod text;
mod top;
mod typed;
mod waiting;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use args::{Cli, Command};
pub(crate) use args::{DemoArgs, DemoCommand, NewTokenArgs};
use context::Context;
pub(crate) use decimal::Decimal;
pub(crate) use failure::Failure;

/// Runs the program with these arguments, its own name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match typed::program(&arguments) {
        Ok(cli) => cli,
        Err(typed::Stop::Said(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(typed::Stop::Wrong(failure)) => return fail(&failure, false, None),
    };
    if let Some(Command::Perund { arguments }) = cli.command {
        let name = OsString::from("perund");
        return crate::daemon::main(std::iter::once(name).chain(arguments));
    }
    let is_json = cli.call.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::own("the runtime", error), is_json, None),
    };
    let code = runtime.block_on(run(cli));
    // Whoever reads the standard input is not waited for.
    runtime.shutdown_background();
    code
}

async fn run(cli: Cli) -> ExitCode {
    let is_json = cli.call.json;
    let config = match config::Config::load() {
        Ok(config) => config,
        Err(failure) => return fail(&failure, is_json, None),
    };
    let mut context = Context::new(cli.connection, cli.call, config);
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let result = match cli.command {
        None if is_terminal => shell::run(&mut context).await,
        None => script::run(&mut context, None, false).await,
        Some(Command::Shell) if is_terminal => shell::run(&mut context).await,
        Some(Command::Shell) => script::run(&mut context, None, false).await,
        Some(Command::Script { file, keep_going }) => {
            script::run(&mut context, file.as_deref(), keep_going).await
        }
        Some(Command::Top) => top::run(&mut context).await.map(|()| 0),
        Some(Command::Demo(command)) => crate::demo::run(command, is_json).await.map(|()| 0),
        Some(command) => once(&mut context, command).await.map(|()| 0),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => fail(&failure, is_json, context.key_to_repeat(&failure)),
    }
}

/// Does one command, and prints what it answers.
async fn once(context: &mut Context, command: Command) -> Result<(), Failure> {
    let answer = tokio::select! {
        // In this order: a password that is asked for at once can still be interrupted as usual.
        biased;
        answer = commands::run(context, command) => answer?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::Interrupted),
    };
    match answer.print(context.style) {
        // Whoever reads has had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::own("the output", error)),
    }
}

/// Tells a failure on the error output, and by which key to repeat what may have been done.
fn tell(failure: &Failure, is_json: bool, key: Option<&str>, place: Option<&str>) {
    let text = if is_json {
        let mut object = failure.to_json();
        if let Some(place) = place {
            object["error"]["at"] = place.into();
        }
        if let Some(key) = key {
            object["error"]["idempotencyKey"] = key.into();
        }
        object.to_string()
    } else {
        let is_terminal = std::io::stderr().is_terminal();
        let (red, plain) = match answer::may_colour(is_terminal) {
            true => ("\u{1b}[31m", "\u{1b}[0m"),
            false => ("", ""),
        };
        let shown = answer::harmless(failure.to_string().trim_end());
        // What the parser says has its own beginning.
        let shown = shown.strip_prefix("error: ").unwrap_or(&shown);
        let place = place.map_or(String::new(), |place| format!("{place}: "));
        let repeat = key.map_or(String::new(), how_to_repeat);
        format!("{place}{red}error:{plain} {shown}{repeat}")
    };
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What to do when nobody knows whether it was done.
fn how_to_repeat(key: &str) -> String {
    format!(
        "\nIt may have been done. Repeat it with `--idempotency-key {key}`: then it is done once, and its \
         answer is shown."
    )
}

fn fail(failure: &Failure, is_json: bool, key: Option<&str>) -> ExitCode {
    tell(failure, is_json, key, None);
    failure.exit()
}
