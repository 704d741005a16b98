//! Runs the tasks, and sleeps while none has anything to do.
//!
//! `embassy-executor` brings an executor for this core, but it sleeps by `wfe`, which QEMU takes for
//! no instruction at all: an idle board would keep a processor of the host busy.

use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

use crate::time;

/// A task has been woken since they were last polled.
static PENDING: AtomicBool = AtomicBool::new(false);

#[unsafe(export_name = "__pender")]
fn pender(_: *mut ()) {
    PENDING.store(true, Ordering::Release);
}

/// Runs for ever what `spawn` spawns.
pub fn run(spawn: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init_with(|| raw::Executor::new(ptr::null_mut()));
    spawn(executor.spawner());
    loop {
        // SAFETY: only here, so never from within itself.
        unsafe { executor.poll() };
        critical_section::with(|_| {
            // An interrupt that comes now ends the sleep, and is handled behind this section.
            if !PENDING.swap(false, Ordering::Acquire) {
                time::sleep();
            }
        });
    }
}
