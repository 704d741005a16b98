//! Instructions and stack of a step.
//!
//! Under QEMU's `-icount shift=0` an instruction takes a nanosecond; the system timer of this machine ticks
//! with 25 MHz, so a tick is 40 instructions.

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::register::msp;

const INSTRUCTIONS_A_TICK: u32 = 40;
const PAINT: u32 = 0xcccc_cccc;
/// Words below the stack pointer that are left alone while painting: the painter's own frame.
const OWN_WORDS: usize = 64;

/// What a step took.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Instructions, rounded to 40.
    pub instructions: u32,
    /// Bytes of the stack below the caller.
    pub stack: usize,
}

/// Starts the timer.
pub fn start() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    assert!(!STARTED.swap(true, Ordering::Relaxed), "started once");
    let mut timer = Peripherals::take().expect("taken once").SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(0x00ff_ffff);
    timer.clear_current();
    timer.enable_counter();
}

/// Runs a step that takes less than 600 million instructions.
#[inline(never)]
pub fn measured<T>(step: impl FnOnce() -> T) -> (T, Cost) {
    let top = msp::read() as usize;
    paint();
    let begin = SYST::get_current();
    let done = step();
    let ticks = begin.wrapping_sub(SYST::get_current()) & 0x00ff_ffff;
    let cost = Cost {
        instructions: ticks * INSTRUCTIONS_A_TICK,
        stack: top - lowest() as usize,
    };
    (done, cost)
}

unsafe extern "C" {
    static _stack_end: u32;
}

/// Paints what is free of the stack.
#[inline(never)]
fn paint() {
    let end = (msp::read() as usize / 4 - OWN_WORDS) * 4;
    let mut word = (&raw const _stack_end).cast_mut();
    while (word as usize) < end {
        // SAFETY: below the stack pointer and its own frame nobody keeps anything, and no interrupt is
        // enabled.
        unsafe {
            word.write_volatile(PAINT);
            word = word.add(1);
        }
    }
}

/// The lowest word that is not painted.
fn lowest() -> *const u32 {
    let mut word = &raw const _stack_end;
    // SAFETY: above lies the stack, whose own words are not all painted.
    while unsafe { word.read_volatile() } == PAINT {
        // SAFETY: likewise.
        word = unsafe { word.add(1) };
    }
    word
}
