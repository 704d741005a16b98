//! Lights and the watchdog.

use embassy_stm32::Peri;
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::peripherals::{IWDG, PB0, PB7, PB14};
use embassy_stm32::wdg::IndependentWatchdog;
use perun_application::{Light, Panel};

/// The user LEDs of the board.
pub struct Lights {
    green: Output<'static>,
    red: Output<'static>,
    blue: Output<'static>,
}

impl Lights {
    /// All off.
    pub fn new(
        green: Peri<'static, PB0>,
        red: Peri<'static, PB14>,
        blue: Peri<'static, PB7>,
    ) -> Self {
        Self {
            green: Output::new(green, Level::Low, Speed::Low),
            red: Output::new(red, Level::Low, Speed::Low),
            blue: Output::new(blue, Level::Low, Speed::Low),
        }
    }
}

impl Panel for Lights {
    fn set(&mut self, light: Light, on: bool) {
        let led = match light {
            Light::Green => &mut self.green,
            Light::Red => &mut self.red,
            Light::Blue => &mut self.blue,
        };
        led.set_level(on.into());
    }

    fn restart(&mut self) {
        cortex_m::peripheral::SCB::sys_reset();
    }
}

/// The lights, and a watchdog that resets the board unless the application shows that it is alive.
pub struct Watched {
    lights: Lights,
    watchdog: IndependentWatchdog<'static, IWDG>,
}

impl Watched {
    /// Longer than all sectors of the flash take to erase, in which nothing else runs.
    const PATIENCE_US: u32 = 16_000_000;

    /// Lets the watchdog loose.
    pub fn new(lights: Lights, watchdog: Peri<'static, IWDG>) -> Self {
        let mut watchdog = IndependentWatchdog::new(watchdog, Self::PATIENCE_US);
        watchdog.unleash();
        Self { lights, watchdog }
    }
}

impl Panel for Watched {
    fn set(&mut self, light: Light, on: bool) {
        self.lights.set(light, on);
    }

    fn alive(&mut self) {
        self.watchdog.pet();
    }

    fn restart(&mut self) {
        cortex_m::peripheral::SCB::sys_reset();
    }
}
