//! Lights: visible from outside with QEMU's `-trace led_set_intensity`.

use perun_application::{Light, Panel};

use crate::register::Register;

// SAFETY: the two user LEDs of the board's FPGA I/O block, and the eight of its controller.
const USER_LEDS: Register = unsafe { Register::at(0x4002_8000) };
const CONTROLLER_LEDS: Register = unsafe { Register::at(0x4002_f004) };

/// Green is `USERLED0`, red `USERLED1`, blue `SCC LED0`.
pub struct Lights;

impl Panel for Lights {
    fn set(&mut self, light: Light, on: bool) {
        let (leds, bit) = match light {
            Light::Green => (USER_LEDS, 0),
            Light::Red => (USER_LEDS, 1),
            Light::Blue => (CONTROLLER_LEDS, 0),
        };
        let others = leds.read() & !(1 << bit);
        leds.write(others | u32::from(on) << bit);
    }

    fn report(&mut self) {
        #[cfg(feature = "figures")]
        crate::memory::report();
    }

    fn restart(&mut self) {
        crate::host::exit(crate::host::FLASH_FAILED);
    }
}
