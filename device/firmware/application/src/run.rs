//! Puts the futures of the application together.

use core::array;

use embassy_futures::join::{join_array, join4};
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_net::Stack;
use embassy_time::{Duration, Instant, Timer};
use embedded_storage::nor_flash::NorFlash;
use perun_device::{Random, StartError};

use crate::link::{LINKS, Line, Way};
use crate::owner::{Hex, Owner};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::{Board, Panel, front, link};

/// Runs the application for ever; returns only if the device can't start.
pub async fn run<F: NorFlash, R: Random, P: Panel>(
    board: Board<F, R, P>,
    settings: Settings,
) -> Result<(), StartError<F::Error>> {
    let Board {
        stack,
        flash,
        random,
        panel,
        presses,
        buffers,
    } = board;
    let ways = array::from_fn::<_, LINKS, _>(|index| Way::of(index, &settings));
    let owner = Owner::start(flash, random, &settings)?;
    log::info!("identity {}", Hex(&owner.device.identity()));

    let shared = Shared::new(owner);
    let mut lines = ways.into_iter().zip(buffers).zip(&shared.links);
    let links = array::from_fn::<_, LINKS, _>(|_| {
        let line = lines.next();
        let shared = &shared;
        async move {
            if let Some(((Some(way), buffers), changed)) = line {
                let line = Line {
                    stack,
                    buffers,
                    changed,
                };
                link::keep(shared, line, way).await;
            }
        }
    });
    let links = join_array(links);
    join4(
        address(stack),
        links,
        timeouts(&shared),
        front::run(&shared, presses, panel),
    )
    .await;
    Ok(())
}

/// Logs under which address the board can be reached, whenever it changes.
async fn address(stack: Stack<'static>) -> ! {
    loop {
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            log::info!("address {}", config.address);
        }
        stack.wait_config_down().await;
        log::warn!("no address any more");
    }
}

/// Tells the device when the time has come that it waits for.
async fn timeouts<F: NorFlash, R: Random>(shared: &Shared<F, R>) -> ! {
    loop {
        let Some(due_ns) = shared.look(|owner| owner.device.poll_timeout()) else {
            shared.timeouts.wait().await;
            continue;
        };
        // Ticks are coarser than nanoseconds: the next one is surely not too early.
        let due = Instant::try_from_nanos(due_ns)
            .unwrap_or(Instant::MAX)
            .saturating_add(Duration::from_ticks(1));
        if let Either::First(()) = select(Timer::at(due), shared.timeouts.wait()).await {
            shared.call("handle_timeout", |owner| owner.device.handle_timeout());
            // Even if more is due at once, links get their turn.
            yield_now().await;
        }
    }
}
