//! Two parties lock tokens in a channel, pay each other, and take home what they have.
//!
//! ```text
//! cargo run --release --example happy_walkthrough
//! ```
//!
//! runs it on an embedded Internet Computer. `--help` tells how to run it against any replica.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use perun_examples::{WalkthroughArgs, happy};

/// Two parties lock tokens in a channel, pay each other, and take home what they have.
#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: WalkthroughArgs,
}

fn main() -> ExitCode {
    happy::main(Program::parse().args)
}
