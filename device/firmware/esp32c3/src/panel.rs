//! Lights and the watchdog.

use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::peripherals::{GPIO4, GPIO5, GPIO6, TIMG1};
use esp_hal::time::Duration;
use esp_hal::timer::timg::{MwdtStage, Wdt};
use perun_application::{Light, Panel};

/// LEDs at three pins, on when the pin is high.
pub struct Lights {
    green: Output<'static>,
    red: Output<'static>,
    blue: Output<'static>,
}

impl Lights {
    /// All off.
    pub fn new(green: GPIO4<'static>, red: GPIO5<'static>, blue: GPIO6<'static>) -> Self {
        let off = OutputConfig::default();
        Self {
            green: Output::new(green, Level::Low, off),
            red: Output::new(red, Level::Low, off),
            blue: Output::new(blue, Level::Low, off),
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
        esp_hal::system::software_reset();
    }
}

/// The lights, and a watchdog that resets the board unless the application shows that it is alive.
pub struct Watched {
    lights: Lights,
    watchdog: Wdt<TIMG1<'static>>,
}

impl Watched {
    /// Longer than the flash takes to erase, in which nothing else runs.
    const PATIENCE: Duration = Duration::from_secs(16);

    /// Lets the watchdog loose.
    pub fn new(lights: Lights, mut watchdog: Wdt<TIMG1<'static>>) -> Self {
        watchdog.set_timeout(MwdtStage::Stage0, Self::PATIENCE);
        watchdog.enable();
        Self { lights, watchdog }
    }
}

impl Panel for Watched {
    fn set(&mut self, light: Light, on: bool) {
        self.lights.set(light, on);
    }

    fn alive(&mut self) {
        self.watchdog.feed();
    }

    fn restart(&mut self) {
        esp_hal::system::software_reset();
    }
}
