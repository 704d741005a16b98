//! The turn: who may propose.
//!
//! Turns are numbered; turn n is that of participant n mod 2. Only who has a turn ends it, by
//! passing it, and whatever is signed in a turn is stored with its number. So of two sides that do
//! not know the same number, the one with the higher number is right, and never do both have the
//! turn: one that was restored asks the other before it uses its own.

use crate::{PartIdx, Timestamp};

/// How far ahead of ours a turn can be that an honest peer tells. It bounds what a liar can spend of
/// the numbers.
const MAX_AHEAD: u64 = 1 << 32;

/// Who may propose, as far as we know.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Turn {
    number: u64,
    ours: bool,
    /// The peer has asked for it.
    pub(super) peer_asks: bool,
    /// Since when we have been asking for it.
    pub(super) asked_at: Option<Timestamp>,
}

impl Turn {
    pub(super) fn new(number: u64, part: PartIdx) -> Self {
        Self {
            number,
            ours: number % 2 == u64::from(part.number()),
            peer_asks: false,
            asked_at: None,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    /// Ends the turn, whosever it is.
    pub(super) fn pass(&mut self) {
        // Whoever passes four billion times a second does so for a hundred years.
        self.number = self.number.saturating_add(1);
        self.ours = !self.ours;
        self.peer_asks = false;
        self.asked_at = None;
    }

    /// Takes over the peer's number if it is higher; `false` if that is absurd.
    pub(super) fn catch_up(&mut self, number: u64) -> bool {
        if number > self.number.saturating_add(MAX_AHEAD) {
            return false;
        }
        if number > self.number {
            self.ours ^= (number - self.number) % 2 == 1;
            self.number = number;
            self.peer_asks = false;
            self.asked_at = None;
        }
        true
    }
}
