//! Puts the futures of the application together.

use alloc::boxed::Box;
use core::array;
use core::pin::Pin;

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
use crate::{Board, Buffers, Panel, front, link};

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
    let shared = start(flash, random, &settings)?;
    let links = links(&shared, stack, buffers, &settings);
    drop(settings);
    join4(
        address(stack),
        join_array(links),
        timeouts(&shared),
        front::run(&shared, presses, panel),
    )
    .await;
    Ok(())
}

// What follows builds large things, once. They lie on the heap, and are built outside of `run`, so that
// `run` needs little of the stack: it is at the bottom of whatever happens later.

#[inline(never)]
fn start<F: NorFlash, R: Random>(
    flash: F,
    random: R,
    settings: &Settings,
) -> Result<Box<Shared<F, R>>, StartError<F::Error>> {
    let owner = Owner::start(flash, random, settings)?;
    log::info!("identity {}", Hex(&owner.device.identity()));
    Ok(Box::new(Shared::new(owner)))
}

#[inline(never)]
fn links<'a, F: NorFlash, R: Random>(
    shared: &'a Shared<F, R>,
    stack: Stack<'static>,
    buffers: &'a mut [Buffers; LINKS],
    settings: &Settings,
) -> [Pin<Box<impl Future<Output = ()> + use<'a, F, R>>>; LINKS] {
    let mut lines = buffers.iter_mut().zip(&shared.links);
    array::from_fn(|index| {
        let way = Way::of(index, settings);
        let line = lines.next();
        Box::pin(async move {
            if let (Some(way), Some((buffers, changed))) = (way, line) {
                let line = Line {
                    stack,
                    buffers,
                    changed,
                };
                link::keep(shared, line, way).await;
            }
        })
    })
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
