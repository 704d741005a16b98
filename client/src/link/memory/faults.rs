//! Chance: what becomes of a frame.

use std::ops::RangeInclusive;
use std::time::Duration;

use perun_protocol::PublicKey;

/// What goes wrong by chance. Probabilities are between 0 and 1, of each frame on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// That a frame is lost.
    pub drop: f64,
    /// That a frame arrives once more, later.
    pub repeat: f64,
    /// That a frame is held up, so that later ones overtake it.
    pub reorder: f64,
    /// That the connection breaks instead of carrying a frame.
    pub cut: f64,
    /// How long frames take. Without `reorder` they keep their order nevertheless.
    pub delay: RangeInclusive<Duration>,
    /// How much later than others a frame arrives at most that is held up or repeated.
    pub held_up: Duration,
}

impl Faults {
    /// None, and no delay.
    pub const NONE: Self = Self {
        drop: 0.0,
        repeat: 0.0,
        reorder: 0.0,
        cut: 0.0,
        delay: Duration::ZERO..=Duration::ZERO,
        held_up: Duration::from_millis(100),
    };
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}

/// What faults have done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FaultCounts {
    /// Frames lost, also to partitions.
    pub dropped: u64,
    /// Frames repeated.
    pub repeated: u64,
    /// Frames held up.
    pub reordered: u64,
    /// Connections cut, also by hand.
    pub cut: u64,
}

/// What becomes of a frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fate {
    pub(super) is_cut: bool,
    /// When it arrives after it was sent, if it does.
    pub(super) arrives: Option<Duration>,
    /// Whether it may be overtaken.
    pub(super) is_held_up: bool,
    /// When it arrives once more.
    pub(super) arrives_again: Option<Duration>,
}

impl FaultCounts {
    pub(super) fn add(&mut self, fate: &Fate) {
        if fate.is_cut {
            // Counted when the connection is there to be cut.
            return;
        }
        self.dropped += u64::from(fate.arrives.is_none());
        self.repeated += u64::from(fate.arrives_again.is_some());
        self.reordered += u64::from(fate.is_held_up && fate.arrives.is_some());
    }
}

/// From one identity to another.
pub(super) struct Direction {
    /// In place of the network's.
    pub(super) faults: Option<Faults>,
    pub(super) is_partitioned: bool,
    frames: Random,
    connections: Random,
}

impl Direction {
    pub(super) fn new(seed: u64, from: &PublicKey, to: &PublicKey) -> Self {
        let mut frames = Random(seed);
        for byte in from.as_bytes().iter().chain(to.as_bytes()) {
            frames.0 ^= u64::from(*byte);
            frames.next();
        }
        let connections = Random(frames.next());
        Self {
            faults: None,
            is_partitioned: false,
            frames,
            connections,
        }
    }

    pub(super) fn fate(&mut self, everywhere: &Faults) -> Fate {
        let faults = self.faults.as_ref().unwrap_or(everywhere);
        let random = &mut self.frames;
        // Always as many draws, so that one fault's probability leaves the others as they were.
        let is_cut = random.happens(faults.cut);
        let is_dropped = random.happens(faults.drop);
        let is_repeated = random.happens(faults.repeat);
        let is_held_up = random.happens(faults.reorder);
        let delay = random.between(&faults.delay);
        let held_up = random.between(&(Duration::ZERO..=faults.held_up));
        let later = random.between(&(Duration::ZERO..=faults.held_up));
        if self.is_partitioned {
            return Fate {
                is_cut: false,
                arrives: None,
                is_held_up: false,
                arrives_again: None,
            };
        }
        let arrives = if is_held_up { delay + held_up } else { delay };
        Fate {
            is_cut,
            arrives: (!is_dropped).then_some(arrives),
            is_held_up,
            arrives_again: is_repeated.then_some(delay + later),
        }
    }

    pub(super) fn connecting_time(&mut self, everywhere: &Faults) -> Option<Duration> {
        let faults = self.faults.as_ref().unwrap_or(everywhere);
        let time = self.connections.between(&faults.delay);
        (!self.is_partitioned).then_some(time)
    }
}

/// SplitMix64: not for secrets.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to just below 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    fn between(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let spread = range.end().saturating_sub(*range.start());
        *range.start() + spread.mul_f64(self.fraction())
    }
}

#[cfg(test)]
mod tests {
    use perun_protocol::{SecretKey, Signer as _};

    use super::*;

    fn direction(seed: u64, from: u8, to: u8) -> Direction {
        let key = |byte| SecretKey::from_bytes(&[byte; 32]).unwrap().public_key();
        Direction::new(seed, &key(from), &key(to))
    }

    fn fates(mut direction: Direction, faults: &Faults) -> Vec<Fate> {
        (0..500).map(|_| direction.fate(faults)).collect()
    }

    const SOME: Faults = Faults {
        drop: 0.2,
        repeat: 0.2,
        reorder: 0.2,
        cut: 0.02,
        delay: Duration::from_millis(5)..=Duration::from_millis(9),
        held_up: Duration::from_millis(50),
    };

    #[test]
    fn the_same_seed_has_the_same_fates() {
        let once = fates(direction(1, 1, 2), &SOME);
        assert_eq!(once, fates(direction(1, 1, 2), &SOME));
        assert_ne!(once, fates(direction(2, 1, 2), &SOME), "another seed");
        assert_ne!(once, fates(direction(1, 2, 1), &SOME), "the way back");
    }

    #[test]
    fn faults_come_as_often_as_they_should() {
        let fates = fates(direction(1, 1, 2), &SOME);
        let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
        assert!((70..130).contains(&count(|fate| fate.arrives.is_none())));
        assert!((70..130).contains(&count(|fate| fate.arrives_again.is_some())));
        assert!((70..130).contains(&count(|fate| fate.is_held_up)));
        assert!((2..25).contains(&count(|fate| fate.is_cut)));
    }

    #[test]
    fn without_faults_everything_arrives_at_once() {
        let fates = fates(direction(1, 1, 2), &Faults::NONE);
        assert!(fates.iter().all(|fate| *fate
            == Fate {
                is_cut: false,
                arrives: Some(Duration::ZERO),
                is_held_up: false,
                arrives_again: None,
            }));
    }

    #[test]
    fn one_fault_leaves_the_others_as_they_were() {
        let more = Faults { drop: 0.9, ..SOME };
        let (some, more) = (
            fates(direction(1, 1, 2), &SOME),
            fates(direction(1, 1, 2), &more),
        );
        for (some, more) in some.iter().zip(&more) {
            assert_eq!(some.is_cut, more.is_cut);
            assert_eq!(some.arrives_again, more.arrives_again);
        }
    }
}
