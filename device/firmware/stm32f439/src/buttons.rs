//! Buttons, as on the demo board of perun-rs.
//!
//! | pin | pressed | means |
//! |---|---|---|
//! | PC13, the blue USER button | high | pay |
//! | PA0 | low | close |
//! | PE0 | low | force close |
//! | PE2 | low | propose a channel |
//!
//! They are sampled: PA0 and PE0 would share an interrupt.

use embassy_stm32::Peri;
use embassy_stm32::gpio::{Input, Level, Pull};
use embassy_stm32::peripherals::{PA0, PC13, PE0, PE2};
use embassy_time::{Duration, Instant, Ticker};
use perun_application::{Debounce, Press, Presses};

/// Presses that wait for the application.
pub static PRESSES: Presses = Presses::new();

/// A pin that somebody can press.
pub struct Button {
    pin: Input<'static>,
    pressed: Level,
    press: Press,
    debounce: Debounce,
}

impl Button {
    /// The board's.
    pub fn all(
        user: Peri<'static, PC13>,
        close: Peri<'static, PA0>,
        force_close: Peri<'static, PE0>,
        propose: Peri<'static, PE2>,
    ) -> [Self; 4] {
        // The USER button has its resistor on the board; the others pull their pin to ground.
        [
            Self::new(Input::new(user, Pull::None), Level::High, Press::Pay),
            Self::new(Input::new(close, Pull::Up), Level::Low, Press::Close),
            Self::new(
                Input::new(force_close, Pull::Up),
                Level::Low,
                Press::ForceClose,
            ),
            Self::new(Input::new(propose, Pull::Up), Level::Low, Press::Propose),
        ]
    }

    fn new(pin: Input<'static>, pressed: Level, press: Press) -> Self {
        let debounce = Debounce::new(pin.get_level() == pressed);
        Self {
            pin,
            pressed,
            press,
            debounce,
        }
    }
}

/// Looks at the buttons for ever.
#[embassy_executor::task]
pub async fn watch(mut buttons: [Button; 4]) {
    let mut sample = Ticker::every(Duration::from_millis(5));
    loop {
        sample.next().await;
        for button in &mut buttons {
            let down = button.pin.get_level() == button.pressed;
            if button.debounce.sample(Instant::now(), down)
                && PRESSES.try_send(button.press).is_err()
            {
                log::warn!("{:?}: lost, too many at once", button.press);
            }
        }
    }
}
