//! The board's front: presses in, lights out.

use core::fmt;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Ticker, Timer};
use embedded_storage::nor_flash::NorFlash;
use perun_device::Random;

use crate::shared::Shared;
use crate::{Light, Panel, Press, Presses, figures};

/// The pause before a board whose flash has failed is started anew.
const RESTART: Duration = Duration::from_secs(5);

/// A light, and whether it is on: boards need not be able to tell.
struct Toggle {
    light: Light,
    on: bool,
}

impl Toggle {
    const fn new(light: Light) -> Self {
        Self { light, on: false }
    }

    fn toggle(&mut self, panel: &mut impl Panel) {
        self.on = !self.on;
        panel.set(self.light, self.on);
    }
}

/// What is left to a board that can't work: says why, again and again, and blinks red.
pub async fn give_up(mut panel: impl Panel, reason: impl fmt::Display) -> ! {
    let mut refused = Toggle::new(Light::Red);
    let mut blink = Ticker::every(Duration::from_millis(200));
    loop {
        log::error!("{reason}");
        for _ in 0..50 {
            blink.next().await;
            refused.toggle(&mut panel);
            panel.alive();
        }
    }
}

/// Carries out presses and shows how that went; shows each second that the board is alive.
pub(crate) async fn run<F: NorFlash, R: Random>(
    shared: &Shared<F, R>,
    presses: &Presses,
    mut panel: impl Panel,
) -> ! {
    figures::cryptography();
    let mut obeyed = Toggle::new(Light::Green);
    let mut refused = Toggle::new(Light::Red);
    let mut alive = Toggle::new(Light::Blue);
    let mut second = Ticker::every(Duration::from_secs(1));
    loop {
        match select(presses.receive(), second.next()).await {
            Either::First(press) => {
                if press == Press::Status {
                    panel.report();
                }
                match shared.call("press", |owner| owner.press(press)) {
                    Ok(()) => {
                        log::info!("{press:?}: accepted");
                        obeyed.toggle(&mut panel);
                    }
                    Err(refusal) => {
                        log::warn!("{press:?}: refused, {refusal}");
                        refused.toggle(&mut panel);
                    }
                }
            }
            Either::Second(()) if shared.look(|owner| owner.device.has_stopped()) => {
                // Not at once: a flash that fails at each start should not be worn out by that.
                log::error!("starting anew in {} s", RESTART.as_secs());
                Timer::after(RESTART).await;
                panel.restart();
            }
            Either::Second(()) => {
                alive.toggle(&mut panel);
                panel.alive();
            }
        }
    }
}
