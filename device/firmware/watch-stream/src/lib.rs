//! What all programs stand on: no heap, an instruction counter, a painted stack, randomness of the host, a
//! flash in memory.

#![no_std]

pub mod flash;
pub mod heap;
pub mod meter;
pub mod random;

use core::panic::PanicInfo;

use semihosting::{eprintln, process};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    eprintln!("{info}");
    process::exit(101)
}
