//! A board that runs in QEMU pays and is paid: the real firmware, over TCP, against the real
//! adjudicator. It loses power in the middle of payments, again and again, and its money in the end
//! is what both agreed to, although its peer registers an old state. Then two boards pay each other.
//!
//! ```text
//! cargo run --release --example device_pays
//! ```
//!
//! It needs `qemu-system-arm` and the target of the board, and says so where one is missing.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use perun_examples::{Failure, device_pays, run};

fn main() -> ExitCode {
    run("device_pays", play())
}

async fn play() -> Result<(), Failure> {
    device_pays::one_board_and_its_counterpart().await?;
    device_pays::two_boards().await
}
