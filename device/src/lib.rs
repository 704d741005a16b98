//! The device's half of a payment channel: what runs where there is no operating system.
//!
//! ```text
//!            owner: buttons, lights            Device
//!                      │               ┌─────────┴──────────┐
//!  Policy ── commands ─┤            Driver …   (one a channel: the machine of perun_protocol)
//!                      │          ╱    │    ╲
//!                 flash: Store   links: bytes in and out   watchers: they look, deposit, refute
//! ```
//!
//! A [`Device`] owns a key that never leaves it, and pays and is paid through channels. What it
//! cannot do, watching the chain and depositing, it has nodes do, its *watchers*, which can neither
//! redirect its money nor close a channel at a state that they were not given. It does no I/O but on
//! its flash: whoever drives it carries the bytes of its links, tells it when time has come, and
//! brings randomness and a clock:
//!
//! ```text
//! a stream is there              dialled, answered
//! then, whatever happens         receive, hung_up, commands, handle_timeout at poll_timeout
//! after each of these            poll_event, transmit of each link, is_over of each link
//! ```
//!
//! Invariants:
//! - Nothing is signed that the owner's [`Policy`] does not allow.
//! - What a signature needs to survive a power cut is in the flash before the signature leaves, so no
//!   version is ever signed twice.
//! - A payment is accepted, and reported received, only after a watcher has stored the state that it
//!   leads to, and as many of those who follow its [`stream`] as the settings ask for, and only if a
//!   watcher has seen the channel funded and undisputed recently.
//! - After a start nothing is signed in a channel before a watcher and the peer have shown how far
//!   it is: the flash may be an old copy.
//! - Nothing that a stranger, a peer or a watcher sends makes it panic, or take more memory than its
//!   [`Capacity`] allows.
//!
//! Memory, with one channel of one asset and the default [`Capacity`] (measured by `tests/heap`, on 64
//! bits; a microcontroller's pointers take half): 4 KiB of heap once started, 11 KiB with an open
//! channel and three links, 28 KiB at most, whatever others send. Each further channel takes what the
//! documentation of [`perun_protocol::channel`] says. The stack is what the signatures take; the
//! figures of the firmware have it.
//!
//! Wear: an update, paid or received, is one record of about 500 bytes, and one more every five seconds
//! at most after the last one ([`Times::store_later_ns`]). [`store`] says how many that are until a flash
//! is worn out.
//!
//! - [`store`]: records in flash that survive every power cut.
//!
//! With two watchers, one of them cannot make a device forget a channel, move its clock far, or pass an
//! old copy of the flash off as the newest. What is not defended against: whoever can read the flash has
//! the key (boards have read-out protection for that); a watcher that says that a channel is open and
//! funded although it is not; a known peer that wears the flash out by a million small payments.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod device;
mod driver;
mod error;
mod event;
mod link;
#[cfg(feature = "defmt")]
mod logging;
mod platform;
mod policy;
mod records;
mod settings;
mod spending;
pub mod store;
pub mod stream;
mod time;
mod watching;

pub use device::{ChannelTerms, Device, Overview, Parts};
pub use error::{CommandError, StartError};
pub use event::Event;
pub use link::{LinkError, LinkId};
pub use platform::{Clock, Random};
pub use policy::{Approval, AssetPolicy, Policy, PolicyError};
pub use settings::{Capacity, Settings, Times};
