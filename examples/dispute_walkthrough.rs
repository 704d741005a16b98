//! Mallory registers an old state; it is refuted, and the newest state is paid.
//!
//! ```text
//! cargo run --release --example dispute_walkthrough
//! ```
//!
//! runs it on an embedded Internet Computer, whose time is moved on by the challenge duration. On a
//! real replica it waits for it. `--help` tells how.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use perun_examples::{Stage, WalkthroughArgs, dispute, run};

/// Mallory registers an old state; it is refuted, and the newest state is paid.
#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: WalkthroughArgs,
}

fn main() -> ExitCode {
    let args = Program::parse().args;
    run("dispute_walkthrough", async move {
        let stage = Stage::set(&args, dispute::NAMES).await?;
        dispute::walk(&stage).await?;
        Ok(())
    })
}
