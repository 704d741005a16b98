//! What a payment costs a device: instructions, flash, memory and bytes, measured in the firmware of
//! the QEMU board.
//!
//! ```text
//! cargo run --release --example device_figures
//! ```
//!
//! It needs `qemu-system-arm`, `readelf` and the target of the board, and says so where one is missing.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use perun_examples::{device_figures, run};

fn main() -> ExitCode {
    run("device_figures", device_figures::print())
}
