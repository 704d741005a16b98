//! A payment device as QEMU's mps2-an386, for tests and demos without hardware.
//!
//! ```text
//!  host: stdin ──UART 0──> presses ┐                       ┌─ FPGA I/O ──> lights, -trace
//!        TCP <──LAN9118──> network ┼── perun-application ──┤
//!        files <─semihosting─ flash┘                       └─ semihosting ──> stdout: log
//! ```

#![no_std]
#![no_main]

extern crate alloc;

mod console;
mod ethernet;
mod executor;
mod flash;
mod host;
mod interrupts;
mod memory;
mod panel;
mod register;
mod time;

use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_net::{Runner, StackResources};
use perun_application::{Board, Buffers, LINKS, Random as _, Settings};
use static_cell::{ConstStaticCell, StaticCell};

use crate::ethernet::Ethernet;
use crate::flash::FileFlash;
use crate::host::HostRandom;
use crate::panel::Lights;

type Parts = Board<FileFlash, HostRandom, Lights>;

#[entry]
fn main() -> ! {
    memory::start();
    time::start();
    host::start_log();
    executor::run(start)
}

/// Brings up the hardware and spawns the tasks.
fn start(spawner: Spawner) {
    static BUFFERS: ConstStaticCell<[Buffers; LINKS]> =
        ConstStaticCell::new([Buffers::EMPTY; LINKS]);
    static ETHERNET: ConstStaticCell<Ethernet> = ConstStaticCell::new(Ethernet::NEW);
    static RESOURCES: StaticCell<StackResources<{ Board::SOCKETS }>> = StaticCell::new();

    let settings = settings();
    let flash = flash();
    let mut random = HostRandom;
    let mut seed = [0; 8];
    random.fill(&mut seed);

    let ethernet = ETHERNET.take();
    ethernet.start();
    let resources = RESOURCES.init_with(StackResources::new);
    let (stack, runner) = embassy_net::new(
        ethernet,
        settings.network(),
        resources,
        u64::from_le_bytes(seed),
    );
    spawner.spawn(network(runner).expect("spawned once"));

    console::start();
    let board = Board {
        stack,
        flash,
        random,
        panel: Lights,
        presses: &console::PRESSES,
        buffers: BUFFERS.take(),
    };
    spawner.spawn(application(board, settings).expect("spawned once"));
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, &'static mut Ethernet>) {
    runner.run().await
}

#[embassy_executor::task]
async fn application(board: Parts, settings: Settings) {
    if let Err(error) = perun_application::run(board, settings).await {
        host::refuse(error);
    }
}

/// What the file of the argument `settings=…` says.
fn settings() -> Settings {
    let Some(file) = host::argument("settings") else {
        host::refuse("the argument settings=FILE is missing");
    };
    let text = match host::read(&file) {
        Ok(text) => text,
        Err(error) => host::refuse(format_args!("{file}: {error}")),
    };
    match Settings::parse(&text) {
        Ok(settings) => settings,
        Err(error) => host::refuse(format_args!("{file}: {error}")),
    }
}

/// What the file of the argument `flash=…` holds.
fn flash() -> FileFlash {
    let Some(file) = host::argument("flash") else {
        host::refuse("the argument flash=FILE is missing");
    };
    match FileFlash::open(&file) {
        Ok(flash) => flash,
        Err(error) => host::refuse(format_args!("{file}: {error}")),
    }
}
