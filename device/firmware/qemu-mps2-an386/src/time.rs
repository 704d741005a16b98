//! Time: a counter of the machine that never stops, and a timer that wakes whoever waits.
//!
//! The counter runs at 25 MHz and wraps after 172 seconds; whoever reads it notices, and somebody does
//! every few milliseconds.

use core::cell::RefCell;
use core::task::Waker;

use cortex_m::asm::wfi;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::interrupts::Interrupt;
use crate::register::Register;

// SAFETY: the counter of the board's FPGA I/O block, and the CMSDK timer 0.
const COUNTER: Register = unsafe { Register::at(0x4002_8018) };
const CONTROL: Register = unsafe { Register::at(0x4000_0000) };
const VALUE: Register = unsafe { Register::at(0x4000_0004) };
const RELOAD: Register = unsafe { Register::at(0x4000_0008) };
const CLEAR: Register = unsafe { Register::at(0x4000_000c) };

const RUN_AND_INTERRUPT: u32 = 0b1001;

/// Both count at 25 MHz.
const NS_PER_COUNT: u64 = 40;

/// The timer runs down at least every 5 milliseconds. A counter that wraps could do with less, but
/// QEMU looks at what a new connection of its user network has become only when something happens.
const FURTHEST: u64 = 5_000_000 / NS_PER_COUNT;

struct Time {
    inner: Mutex<RefCell<Inner>>,
}

struct Inner {
    queue: Queue,
    /// What the counter was when it was last read, with its wraps in the upper half.
    count: u64,
    #[cfg(feature = "figures")]
    asleep_ns: u64,
}

embassy_time_driver::time_driver_impl!(static TIME: Time = Time {
    inner: Mutex::new(RefCell::new(Inner {
        queue: Queue::new(),
        count: 0,
        #[cfg(feature = "figures")]
        asleep_ns: 0,
    })),
});

impl Inner {
    fn now_ns(&mut self) -> u64 {
        let low = COUNTER.read();
        let passed = low.wrapping_sub(self.count as u32);
        self.count += u64::from(passed);
        self.count * NS_PER_COUNT
    }

    /// Wakes whoever is due and sets the timer to when somebody is next, or to when the counter must
    /// be read again.
    fn advance(&mut self) {
        let now_ns = self.now_ns();
        let next_ns = self.queue.next_expiration(now_ns);
        let counts = (next_ns - now_ns).div_ceil(NS_PER_COUNT).min(FURTHEST) as u32;
        CONTROL.write(0);
        RELOAD.write(counts);
        VALUE.write(counts);
        CONTROL.write(RUN_AND_INTERRUPT);
    }
}

impl Time {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        critical_section::with(|section: CriticalSection<'_>| {
            act(&mut self.inner.borrow_ref_mut(section))
        })
    }
}

impl Driver for Time {
    fn now(&self) -> u64 {
        self.with(Inner::now_ns)
    }

    fn schedule_wake(&self, at_ns: u64, waker: &Waker) {
        self.with(|inner| {
            if inner.queue.schedule_wake(at_ns, waker) {
                inner.advance();
            }
        });
    }
}

/// Starts the timer.
pub fn start() {
    TIME.with(Inner::advance);
    Interrupt::Timer.enable();
}

/// Sleeps until there is an interrupt, with interrupts disabled.
pub fn sleep() {
    #[cfg(feature = "figures")]
    let begin_ns = TIME.now();
    wfi();
    #[cfg(feature = "figures")]
    TIME.with(|inner| inner.asleep_ns += inner.now_ns() - begin_ns);
}

/// For how long the board was not asleep since it started.
#[cfg(feature = "figures")]
pub fn awake_ns() -> u64 {
    TIME.with(|inner| inner.now_ns() - inner.asleep_ns)
}

/// The timer has run down.
pub extern "C" fn interrupt() {
    CLEAR.write(1);
    TIME.with(Inner::advance);
}
