//! Buttons: each byte on UART 0 is a press. The machine has buttons of its own, but nobody outside
//! can press them.

use perun_application::{Press, Presses};

use crate::interrupts::Interrupt;
use crate::register::Register;

/// Presses that wait for the application.
pub static PRESSES: Presses = Presses::new();

// SAFETY: the CMSDK UART 0.
const DATA: Register = unsafe { Register::at(0x4000_4000) };
const STATE: Register = unsafe { Register::at(0x4000_4004) };
const CONTROL: Register = unsafe { Register::at(0x4000_4008) };
const CLEAR: Register = unsafe { Register::at(0x4000_400c) };
const DIVIDER: Register = unsafe { Register::at(0x4000_4010) };

const RECEIVED: u32 = 0b10;
const RECEIVE_AND_INTERRUPT: u32 = 0b1010;

/// Listens to the console.
pub fn start() {
    // The least that the UART works with: the speed means nothing here.
    DIVIDER.write(16);
    CONTROL.write(RECEIVE_AND_INTERRUPT);
    Interrupt::Console.enable();
}

/// A byte has come.
pub extern "C" fn interrupt() {
    CLEAR.write(RECEIVED);
    while STATE.read() & RECEIVED != 0 {
        let key = DATA.read() as u8;
        match Press::from_key(key) {
            Some(press) => {
                if PRESSES.try_send(press).is_err() {
                    log::warn!("{press:?}: lost, too many at once");
                }
            }
            None if key.is_ascii_whitespace() => {}
            None => log::warn!("no button for {:?}", char::from(key)),
        }
    }
}
