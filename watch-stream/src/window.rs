//! Which numbers were seen, and which are missing.
//!
//! ```text
//!        floor        missing            newest
//! ─────────┤■■■■■■■■□■■■■□□■■■■■■■■■■■■■■■■┤
//!  not     ╰────── 128 numbers at most ────╯
//!  asked for
//! ```
//!
//! This is for reports only: what to ask a relay for, and how far an ack reaches. Whether a message is
//! acted on is never decided here, so that no loss can keep the newest one from being.

use crate::header::Number;

/// How far back missing numbers are told.
pub const WINDOW: u64 = 128;

/// The numbers seen of an author.
///
/// Invariant: `floor <= newest`; bit `i` of `seen` stands for `newest - i`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Window {
    floor: u64,
    newest: u64,
    seen: u128,
    lost: u64,
}

impl Window {
    /// A window that begins at `number`, which was seen.
    pub const fn starting_at(number: Number) -> Self {
        Self {
            floor: number.0.saturating_sub(1),
            newest: number.0,
            seen: 1,
            lost: 0,
        }
    }

    /// `number` was seen.
    pub fn see(&mut self, number: Number) {
        if number.0 > self.newest {
            self.advance(number.0);
        }
        let back = self.newest - number.0;
        if back < WINDOW {
            self.seen |= 1 << back;
        }
    }

    /// `number` was seen, and numbers before it may never have been used: none of them is missing.
    pub fn restart_at(&mut self, number: Number) {
        if number.0 > self.newest {
            let lost = self.lost;
            *self = Self::starting_at(number);
            self.lost = lost;
        } else {
            self.see(number);
        }
    }

    /// The newest number seen.
    pub const fn newest(&self) -> Number {
        Number(self.newest)
    }

    /// The number up to which nothing is missing that is still asked for.
    pub fn contiguous(&self) -> Number {
        let first_missing = self.missing().next();
        first_missing.map_or(Number(self.newest), |missing| Number(missing.0 - 1))
    }

    /// The missing numbers, lowest first.
    pub fn missing(&self) -> impl Iterator<Item = Number> + '_ {
        let from = self.floor.saturating_add(1);
        (from..self.newest)
            .filter(|number| self.seen & (1 << (self.newest - number)) == 0)
            .map(Number)
    }

    /// How many numbers were given up because they fell behind the window.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    fn advance(&mut self, newest: u64) {
        let floor = self.floor.max(newest.saturating_sub(WINDOW));
        let before = self.newest;
        let given_up = (self.floor + 1..=floor.min(before))
            .filter(|number| self.seen & (1 << (before - number)) == 0)
            .count() as u64;
        self.lost += given_up + floor.saturating_sub(before);
        let shift = u32::try_from(newest - before).unwrap_or(u32::MAX);
        self.seen = self.seen.checked_shl(shift).unwrap_or(0);
        self.newest = newest;
        self.floor = floor;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::{WINDOW, Window};
    use crate::header::Number;

    fn missing(window: &Window) -> Vec<u64> {
        window.missing().map(|number| number.0).collect()
    }

    #[test]
    fn gaps_are_missing_until_they_are_filled() {
        let mut window = Window::starting_at(Number(5));
        assert_eq!(window.contiguous(), Number(5));
        window.see(Number(9));
        assert_eq!(missing(&window), [6, 7, 8]);
        assert_eq!(window.contiguous(), Number(5));
        window.see(Number(7));
        window.see(Number(6));
        assert_eq!(missing(&window), [8]);
        assert_eq!(window.contiguous(), Number(7));
        window.see(Number(8));
        window.see(Number(3));
        assert_eq!(window.contiguous(), Number(9));
    }

    #[test]
    fn a_restart_closes_the_gap_before_it() {
        let mut window = Window::starting_at(Number(5));
        window.see(Number(7));
        window.restart_at(Number(1 << 40));
        assert_eq!(missing(&window), []);
        window.restart_at(Number(6));
        assert_eq!(window.contiguous(), Number(1 << 40));
    }

    #[test]
    fn what_falls_behind_is_given_up() {
        let mut window = Window::starting_at(Number(0));
        window.see(Number(2));
        window.see(Number(2 + WINDOW));
        assert_eq!(window.lost(), 1);
        assert_eq!(window.missing().count() as u64, WINDOW - 1);
        window.see(Number(u64::MAX));
        assert_eq!(window.missing().count() as u64, WINDOW - 1);
        window.see(Number(0));
    }

    /// Against a set, over jumps of all sizes.
    #[test]
    fn it_agrees_with_a_set() {
        let mut random = 1_u64;
        let mut window = Window::starting_at(Number(1_000));
        let mut seen = BTreeSet::from([1_000]);
        for _ in 0..5_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let newest = *seen.last().unwrap();
            let jump = (random >> 33) % if random >> 60 == 0 { 300 } else { 12 };
            let number = (newest + jump).saturating_sub(6);
            seen.insert(number);
            window.see(Number(number));
            let newest = *seen.last().unwrap();
            let floor = newest.saturating_sub(WINDOW).max(999);
            let expected = (floor + 1..newest).filter(|number| !seen.contains(number));
            assert_eq!(missing(&window), expected.collect::<Vec<_>>());
        }
        let first = 1_000..=*seen.last().unwrap();
        let never = first.filter(|number| !seen.contains(number)).count() as u64;
        // What arrived after it was given up stays counted.
        assert!(window.lost() + window.missing().count() as u64 >= never);
    }
}
