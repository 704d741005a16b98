//! A payment device as ESP32-C3, over Wi-Fi.
//!
//! ```text
//!  GPIO9 (BOOT), USB console ──> buttons ┐                       ┌─ GPIO4 GPIO5 GPIO6 ──> lights
//!  Wi-Fi ──> network                     ┼── perun-application ──┼─ watchdog
//!  partition `perun` ──> flash           ┘                       └─ USB console ──> log
//! ```

#![no_std]
#![no_main]

extern crate alloc;

mod buttons;
mod flash;
mod panel;
mod random;
mod wifi;

use core::panic::PanicInfo;

use embassy_executor::Spawner;
use embassy_net::{Runner, StackResources};
use esp_hal::clock::CpuClock;
use esp_hal::ram;
use esp_hal::timer::timg::TimerGroup;
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;
use esp_radio::wifi::Interface;
use log::LevelFilter;
use perun_application::{Board, Buffers, LINKS, Settings, give_up};
use static_cell::{ConstStaticCell, StaticCell};

use crate::buttons::{Buttons, PRESSES};
use crate::flash::Partition;
use crate::panel::{Lights, Watched};
use crate::random::HardwareRandom;

esp_bootloader_esp_idf::esp_app_desc!();

type Parts = Board<Partition, HardwareRandom, Watched>;

/// Read when the firmware is built.
const SETTINGS: &str = include_str!("../settings.txt");

#[esp_rtos::main]
async fn main(spawner: Spawner) {
    static BUFFERS: ConstStaticCell<[Buffers; LINKS]> =
        ConstStaticCell::new([Buffers::EMPTY; LINKS]);
    static RESOURCES: StaticCell<StackResources<{ Board::SOCKETS }>> = StaticCell::new();

    esp_println::logger::init_logger(LevelFilter::Info);
    let p = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    // What the bootloader leaves behind, and as much again: the radio takes up to 57 KiB.
    esp_alloc::heap_allocator!(#[ram(reclaimed)] size: 64 * 1024);
    esp_alloc::heap_allocator!(size: 48 * 1024);
    let timers = TimerGroup::new(p.TIMG0);
    esp_rtos::start(timers.timer0, p.FROM_CPU_INTR0);

    let lights = Lights::new(p.GPIO4, p.GPIO5, p.GPIO6);
    let settings = match Settings::parse(SETTINGS) {
        Ok(settings) => settings,
        Err(error) => give_up(lights, error).await,
    };
    let mut random = HardwareRandom::new(p.RNG, p.ADC1);
    let network_wanted = match wifi::start(p.WIFI) {
        Ok(wanted) => wanted,
        Err(error) => give_up(lights, error).await,
    };
    let (stack, runner) = embassy_net::new(
        Interface::station(),
        settings.network(),
        RESOURCES.init_with(StackResources::new),
        random.seed(),
    );
    spawner.spawn(network(runner).expect("spawned once"));
    spawner.spawn(wifi::keep(network_wanted).expect("spawned once"));

    let buttons = Buttons::new(p.GPIO9, UsbSerialJtag::new(p.USB_DEVICE));
    spawner.spawn(buttons::watch(buttons).expect("spawned once"));

    let board = Board {
        stack,
        flash: Partition::new(p.FLASH),
        random,
        panel: Watched::new(lights, TimerGroup::new(p.TIMG1).wdt),
        presses: &PRESSES,
        buffers: BUFFERS.take(),
    };
    spawner.spawn(application(board, settings).expect("spawned once"));
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Interface>) {
    runner.run().await
}

#[embassy_executor::task]
async fn application(board: Parts, settings: Settings) {
    if let Err(error) = perun_application::run(board, settings).await {
        // The watchdog, which nobody feeds any more, starts the board again.
        log::error!("{error}");
    }
}

/// A board that nobody watches starts again.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    log::error!("{info}");
    esp_hal::system::software_reset()
}
