//! The log, by defmt over RTT, and panics.

use core::panic::PanicInfo;

use cortex_m::asm::delay;
use cortex_m::peripheral::SCB;
use defmt::Display2Format;
use log::{Level, LevelFilter, Log, Metadata, Record};

defmt::timestamp!("{=u64:ms}", embassy_time::Instant::now().as_millis());

/// Hands the application's log on to defmt.
struct Defmt;

/// Starts the log.
pub fn start() {
    // Fails if there is a logger already, and there is none.
    let _ = log::set_logger(&Defmt);
    log::set_max_level(LevelFilter::Info);
}

impl Log for Defmt {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = Display2Format(record.args());
        match record.level() {
            Level::Error => defmt::error!("{}", text),
            Level::Warn => defmt::warn!("{}", text),
            Level::Info | Level::Debug | Level::Trace => defmt::info!("{}", text),
        }
    }

    fn flush(&self) {}
}

/// A board that nobody watches starts again.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    defmt::error!("{}", Display2Format(info));
    // A fifth of a second, so that a probe can fetch the line.
    delay(168_000_000 / 5);
    SCB::sys_reset()
}
