//! Buttons: BOOT pays, and each byte on the USB console is a press, for all that the board has no
//! buttons for.

use embassy_time::{Duration, Instant, Ticker};
use esp_hal::Blocking;
use esp_hal::gpio::{Input, InputConfig, Pull};
use esp_hal::peripherals::GPIO9;
use esp_hal::usb::usb_serial_jtag::{UsbSerialJtag, UsbSerialJtagRx};
use perun_application::{Debounce, Press, Presses};

/// Presses that wait for the application.
pub static PRESSES: Presses = Presses::new();

/// All that somebody can press.
pub struct Buttons {
    boot: Input<'static>,
    debounce: Debounce,
    keys: UsbSerialJtagRx<'static, Blocking>,
}

impl Buttons {
    /// The board's.
    pub fn new(boot: GPIO9<'static>, console: UsbSerialJtag<'static, Blocking>) -> Self {
        let boot = Input::new(boot, InputConfig::default().with_pull(Pull::Up));
        let debounce = Debounce::new(boot.is_low());
        // The log goes out by the other half, on paths of its own.
        let (keys, _) = console.split();
        Self {
            boot,
            debounce,
            keys,
        }
    }
}

/// Looks at the buttons for ever.
#[embassy_executor::task]
pub async fn watch(mut buttons: Buttons) {
    let mut sample = Ticker::every(Duration::from_millis(5));
    let mut keys = [0; 16];
    loop {
        sample.next().await;
        if buttons
            .debounce
            .sample(Instant::now(), buttons.boot.is_low())
        {
            hand_over(Press::Pay);
        }
        let count = buttons.keys.drain_rx_fifo(&mut keys);
        for press in keys[..count].iter().copied().filter_map(Press::from_key) {
            hand_over(press);
        }
    }
}

fn hand_over(press: Press) {
    if PRESSES.try_send(press).is_err() {
        log::warn!("{press:?}: lost, too many at once");
    }
}
