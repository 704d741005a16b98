//! A client that is killed in the middle of payments, again and again, and goes on.
//!
//! ```text
//! cargo run --release --example restart
//! ```
//!
//! Bob lives in this process. Alice is another process, which is killed without warning (SIGKILL),
//! started again on the same files, and pays on. In the end the books must be right.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use perun_examples::restart::{as_victim, with_victim};
use perun_examples::{Failure, run};

/// A client that is killed in the middle of payments, again and again, and goes on.
#[derive(Parser)]
struct Program {
    /// How many times Alice is killed.
    #[arg(long, default_value_t = 5)]
    kills: u32,

    /// Be Alice, as this file says: what the program starts itself with.
    #[arg(long, value_name = "FILE", hide = true)]
    victim: Option<PathBuf>,
}

fn main() -> ExitCode {
    let program = Program::parse();
    run("restart", play(program))
}

async fn play(program: Program) -> Result<(), Failure> {
    match program.victim {
        Some(meeting) => as_victim(&meeting).await,
        None => {
            with_victim(program.kills, |meeting| {
                let mut command = std::process::Command::new(std::env::current_exe()?);
                command.arg("--victim").arg(meeting);
                Ok(command)
            })
            .await
        }
    }
}
