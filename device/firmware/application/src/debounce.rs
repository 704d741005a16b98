//! Buttons bounce: one press makes and breaks contact many times within milliseconds.

use embassy_time::{Duration, Instant};

/// Makes presses out of what a pin reads, which a board samples every few milliseconds.
///
/// A press counts at its first contact, and whatever the pin does within [`Debounce::QUIET`] of a
/// change means nothing.
#[derive(Debug)]
pub struct Debounce {
    down: bool,
    deaf_until: Instant,
}

impl Debounce {
    /// How long a change is let settle.
    pub const QUIET: Duration = Duration::from_millis(100);

    /// A button that is `down` or not when the board starts; that is no press.
    pub const fn new(down: bool) -> Self {
        Self {
            down,
            deaf_until: Instant::MIN,
        }
    }

    /// Whether a press begins now, when the pin reads `down`.
    pub fn sample(&mut self, now: Instant, down: bool) -> bool {
        if now < self.deaf_until || down == self.down {
            return false;
        }
        self.down = down;
        self.deaf_until = now + Self::QUIET;
        down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples at these milliseconds; gives those at which a press begins.
    fn presses(samples: &[(u64, bool)]) -> alloc::vec::Vec<u64> {
        let mut button = Debounce::new(false);
        let mut begins = |&(ms, down)| button.sample(Instant::from_millis(ms), down).then_some(ms);
        samples.iter().filter_map(&mut begins).collect()
    }

    #[test]
    fn a_press_that_bounces_is_one() {
        let bounces = [(10, true), (12, false), (15, true), (90, false), (95, true)];
        assert_eq!(presses(&bounces), [10]);
    }

    #[test]
    fn a_release_that_bounces_is_none() {
        let bounces = [
            (10, true),
            (500, false),
            (503, true),
            (507, false),
            (700, false),
        ];
        assert_eq!(presses(&bounces), [10]);
    }

    #[test]
    fn two_presses_are_two() {
        let two = [(10, true), (150, false), (260, true), (400, false)];
        assert_eq!(presses(&two), [10, 260]);
    }

    #[test]
    fn a_button_held_at_the_start_is_no_press() {
        let mut button = Debounce::new(true);
        assert!(!button.sample(Instant::from_millis(5), true));
        assert!(!button.sample(Instant::from_millis(200), false));
        assert!(button.sample(Instant::from_millis(400), true));
    }
}
