//! A payment device as Nucleo-144 board with an STM32F439ZI.
//!
//! ```text
//!  PC13 PA0 PE0 PE2 ──> buttons ┐                       ┌─ PB0 PB7 PB14 ──> lights
//!  RMII ──Ethernet──> network   ┼── perun-application ──┼─ watchdog
//!  bank 2, 4 × 16 KiB ──> flash ┘                       └─ RTT ──> log
//! ```

#![no_std]
#![no_main]

mod buttons;
mod clock;
mod log_out;
mod memory;
mod panel;
mod random;

use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_net::{Runner, StackResources};
use embassy_stm32::eth::{Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::flash::{Blocking, Flash};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::peripherals::{ETH, ETH_SMA, RNG};
use embassy_stm32::{bind_interrupts, eth, rng, uid};
use perun_application::{Board, Buffers, LINKS, Settings, give_up};
use static_cell::{ConstStaticCell, StaticCell};

use crate::buttons::{Button, PRESSES};
use crate::panel::{Lights, Watched};
use crate::random::HardwareRandom;

bind_interrupts!(struct Interrupts {
    ETH => eth::InterruptHandler;
    HASH_RNG => rng::InterruptHandler<RNG>;
});

type Mac = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;
type Region = embassy_stm32::flash::Bank2Region1<'static, Blocking>;
type Parts = Board<Region, HardwareRandom, Watched>;

/// Read when the firmware is built.
const SETTINGS: &str = include_str!("../settings.txt");

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static BUFFERS: ConstStaticCell<[Buffers; LINKS]> =
        ConstStaticCell::new([Buffers::EMPTY; LINKS]);
    static PACKETS: ConstStaticCell<PacketQueue<4, 4>> = ConstStaticCell::new(PacketQueue::new());
    static RESOURCES: StaticCell<StackResources<{ Board::SOCKETS }>> = StaticCell::new();

    memory::start();
    log_out::start();
    let p = embassy_stm32::init(clock::config());

    let lights = Lights::new(p.PB0, p.PB14, p.PB7);
    let settings = match Settings::parse(SETTINGS) {
        Ok(settings) => settings,
        Err(error) => give_up(lights, error).await,
    };

    // Silicon before revision 3 reads the second bank correctly only while this pin pulls low; it is
    // the USB port's, which nothing here uses.
    let _pa12 = Output::new(p.PA12, Level::Low, Speed::Low);
    let regions = Flash::new_blocking(p.FLASH).into_blocking_regions();

    let mut random = HardwareRandom::new(p.RNG, Interrupts);
    let ethernet = Ethernet::new(
        PACKETS.take(),
        p.ETH,
        Interrupts,
        p.PA1,
        p.PA7,
        p.PC4,
        p.PC5,
        p.PG13,
        p.PB13,
        p.PG11,
        mac_address(),
        p.ETH_SMA,
        p.PA2,
        p.PC1,
    );
    let (stack, runner) = embassy_net::new(
        ethernet,
        settings.network(),
        RESOURCES.init_with(StackResources::new),
        random.seed(),
    );
    spawner.spawn(network(runner).expect("spawned once"));

    let buttons = Button::all(p.PC13, p.PA0, p.PE0, p.PE2);
    spawner.spawn(buttons::watch(buttons).expect("spawned once"));

    let board = Board {
        stack,
        flash: regions.bank2_region1,
        random,
        panel: Watched::new(lights, p.IWDG),
        presses: &PRESSES,
        buffers: BUFFERS.take(),
    };
    spawner.spawn(application(board, settings).expect("spawned once"));
    core::future::pending().await
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Mac>) {
    runner.run().await
}

#[embassy_executor::task]
async fn application(board: Parts, settings: Settings) {
    if let Err(error) = perun_application::run(board, settings).await {
        // The watchdog, which nobody feeds any more, starts the board again.
        log::error!("{error}");
    }
}

/// An address of our own making ("locally administered"), the same at every start and another on
/// every board.
fn mac_address() -> [u8; 6] {
    let mut address = [0x02, 0, 0, 0, 0, 0];
    for (index, byte) in uid::uid().into_iter().enumerate() {
        address[1 + index % 5] ^= byte;
    }
    address
}
