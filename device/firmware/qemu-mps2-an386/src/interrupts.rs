//! Who handles which interrupt.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

use crate::{console, ethernet, host, time};

/// The interrupts of the machine that something here handles.
#[derive(Clone, Copy)]
#[repr(u16)]
pub enum Interrupt {
    /// UART 0 has received a byte.
    Console = 0,
    /// Timer 0 has run down.
    Timer = 8,
    /// The Ethernet controller has something to say.
    Ethernet = 13,
}

// SAFETY: the numbers are those of the enum, and they don't change.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

impl Interrupt {
    /// Lets it happen. Its handler must be ready.
    pub fn enable(self) {
        // SAFETY: no critical section here relies on masked interrupts.
        unsafe { NVIC::unmask(self) }
    }
}

type Handler = unsafe extern "C" fn();

/// The vectors behind those of the core.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; 32] = {
    let mut handlers: [Handler; 32] = [unexpected; 32];
    handlers[Interrupt::Console as usize] = console::interrupt;
    handlers[Interrupt::Timer as usize] = time::interrupt;
    handlers[Interrupt::Ethernet as usize] = ethernet::interrupt;
    handlers
};

extern "C" fn unexpected() {
    panic!("an interrupt that nobody enabled");
}

#[exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    log::error!("hard fault at {:#010x}", frame.pc());
    host::exit(host::HARD_FAULT)
}
