//! The device, as the futures of the application share it.

use core::cell::RefCell;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embedded_storage::nor_flash::NorFlash;
use perun_device::Random;

use crate::figures::timed;
use crate::link::LINKS;
use crate::owner::Owner;

/// Raised for one future whenever the device may have changed.
pub(crate) type Changed = Signal<NoopRawMutex, ()>;

/// The device, and who must look at it again after it was called.
///
/// Invariant: no borrow lives across an await.
pub(crate) struct Shared<F, R> {
    owner: RefCell<Owner<F, R>>,
    /// One for each link.
    pub(crate) links: [Changed; LINKS],
    pub(crate) timeouts: Changed,
}

impl<F: NorFlash, R: Random> Shared<F, R> {
    pub(crate) fn new(owner: Owner<F, R>) -> Self {
        Self {
            owner: RefCell::new(owner),
            links: [const { Changed::new() }; LINKS],
            timeouts: Changed::new(),
        }
    }

    /// Calls the device with something that happened, which may change what it wants of any link
    /// and when; then logs what came of it. `what` names the call in the figures.
    pub(crate) fn call<T>(&self, what: &str, act: impl FnOnce(&mut Owner<F, R>) -> T) -> T {
        let mut owner = self.owner.borrow_mut();
        let outcome = timed(what, || act(&mut owner));
        while let Some(event) = owner.next_event() {
            log::info!("{event}");
        }
        drop(owner);
        for changed in &self.links {
            changed.signal(());
        }
        self.timeouts.signal(());
        outcome
    }

    /// Looks at the device, or takes from it what it holds ready: nobody else needs to look again.
    pub(crate) fn look<T>(&self, act: impl FnOnce(&mut Owner<F, R>) -> T) -> T {
        act(&mut self.owner.borrow_mut())
    }
}
