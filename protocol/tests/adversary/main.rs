//! One honest machine against a peer that lies: long histories, told by random bytes.
//!
//! Every byte decides what happens next ([`story`]), so that a fuzzer can drive the same story. A
//! failing history is printed as the number that it was made from.

mod story;
#[path = "../channel/world/mod.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A plain generator (SplitMix64): the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// Plays histories of this many bytes, made from these numbers. `HISTORIES` multiplies how many.
fn play(first: u64, count: u64, length: usize) {
    let factor = std::env::var("HISTORIES").map_or(1, |factor| factor.parse().unwrap());
    for number in first..first + count * factor {
        let bytes = Random(number).bytes(length);
        let played = catch_unwind(AssertUnwindSafe(|| story::play(&bytes)));
        if let Err(cause) = played {
            eprintln!("the history made from {number} with {length} bytes fails");
            std::panic::resume_unwind(cause);
        }
    }
}

#[test]
fn short_histories() {
    play(0, 4_000, 60);
}

#[test]
fn long_histories() {
    play(1_000_000, 200, 2_000);
}

#[test]
#[ignore]
fn one() {
    let number: u64 = std::env::var("NUMBER").unwrap().parse().unwrap();
    let length: usize = std::env::var("LENGTH").unwrap().parse().unwrap();
    story::play(&Random(number).bytes(length));
}
