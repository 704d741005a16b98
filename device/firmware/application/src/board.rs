//! What a board hands over.

use embassy_net::Stack;

use crate::{Buffers, LINKS, Presses};

/// The parts of a board, as far as the application cares.
pub struct Board<F, R, P> {
    /// The network. Its configuration comes from [`crate::Settings::network`], and its resources
    /// need room for [`crate::Board::SOCKETS`].
    pub stack: Stack<'static>,
    /// Where the device keeps what it must not forget.
    pub flash: F,
    /// Where its secrets come from.
    pub random: R,
    /// What its owner sees.
    pub panel: P,
    /// What its owner does.
    pub presses: &'static Presses,
    /// What the sockets of the links read into and write from. In a static of the board: they are
    /// too large for a stack.
    pub buffers: &'static mut [Buffers; LINKS],
}

impl Board<(), (), ()> {
    /// How many sockets a board's network stack needs room for: one for each link, one for DHCP.
    pub const SOCKETS: usize = LINKS + 1;
}

/// A light on the board.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Light {
    /// Toggles with every press that the device obeyed.
    Green,
    /// Toggles with every press that it refused.
    Red,
    /// Toggles each second, as long as the application runs.
    Blue,
}

/// What the owner of a board sees of it.
pub trait Panel {
    /// Turns a light on or off.
    fn set(&mut self, light: Light, on: bool);

    /// Called each second. A board with a watchdog feeds it here: whatever blocks the application
    /// keeps this from being called.
    fn alive(&mut self) {}

    /// Starts the board anew: its flash has failed, and only a start tells what it holds; or its clock
    /// was wrong.
    fn restart(&mut self);

    /// Called when somebody asks for the status: a board can log what it knows of itself.
    fn report(&mut self) {}
}
