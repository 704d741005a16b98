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
use perun_examples::{WalkthroughArgs, dispute};

/// Mallory registers an old state; it is refuted, and the newest state is paid.
#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: WalkthroughArgs,
}

fn main() -> ExitCode {
    dispute::main(Program::parse().args)
}
