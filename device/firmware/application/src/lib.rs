//! What every board runs around the device's half of a channel.
//!
//! ```text
//!            presses                 lights
//!               │                      ▲
//!             ┌─▼──────── front ───────┴─┐
//!             │                          │
//!  socket ──link──┐                      │
//!  socket ──link──┼──> Shared ──> Device (sans-IO: flash, policy, channels)
//!  socket ──link──┘                      │
//!             └──────── timeouts ────────┘
//! ```
//!
//! A board brings up its hardware, reads [`Settings`], makes a network stack and calls [`run`], which
//! never returns. Everything here runs in one task, so that the device needs no lock; a call into it
//! ends before anything else happens.
//!
//! Errors don't halt a board. One on a link closes that link, and it is dialled again after a pause
//! that grows; a press that the device refuses toggles the red light.

#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod board;
mod debounce;
mod figures;
mod front;
mod link;
mod owner;
mod pause;
mod press;
mod run;
pub mod settings;
mod shared;

pub use board::{Board, Light, Panel};
pub use debounce::Debounce;
pub use front::give_up;
pub use link::{Buffers, LINKS};
pub use perun_device::Random;
pub use press::{Press, Presses};
pub use run::run;
pub use settings::Settings;
