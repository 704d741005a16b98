//! One honest machine against a peer that lies: long histories, told by random bytes.
//!
//! Every byte decides what happens next ([`story`]), so that a fuzzer can drive the same story, as
//! it does what reads bytes ([`decoders`]); see `fuzz/`. A failing history is printed as the number
//! that it was made from, and `HISTORY=number,bytes` plays that one alone.

mod decoders;
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
    if let Ok(one) = std::env::var("HISTORY") {
        let (number, length) = one.split_once(',').expect("number,bytes");
        let bytes = Random(number.parse().unwrap()).bytes(length.parse().unwrap());
        return story::play(&bytes);
    }
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

/// Bytes that begin like something good are read further than others.
fn decode(seeds: &[Vec<u8>], read: fn(&[u8])) {
    let mut random = Random(7);
    for seed in seeds {
        read(seed);
        for _ in 0..1_000 {
            let mut bytes = seed.clone();
            for _ in 0..=random.next() % 3 {
                match random.next() % 4 {
                    _ if bytes.is_empty() => bytes.push(random.next() as u8),
                    0 => bytes.truncate(random.next() as usize % bytes.len()),
                    1 => bytes.push(random.next() as u8),
                    _ => {
                        let place = random.next() as usize % bytes.len();
                        bytes[place] = random.next() as u8;
                    }
                }
            }
            read(&bytes);
        }
    }
    for _ in 0..20_000 {
        let length = random.next() as usize % 80;
        read(&random.bytes(length));
    }
}

#[test]
fn messages() {
    let plan = world::Plan::of([50, 50]);
    let mut pair = world::Quick::opened(&plan);
    pair.pay(0, 3);
    pair.pay(1, 2);
    let mut seeds = vec![];
    pair.connect();
    while world::BOTH.iter().any(|side| {
        pair.carry_out_all(*side);
        seeds.extend(pair.queues[1 - side].iter().map(|message| message.encode()));
        pair.deliver(*side)
    }) {}
    assert!(seeds.len() > 4);
    decode(&seeds, decoders::message);
}

#[test]
fn batches() {
    let payments = [world::payment(1), world::payment_in(7, 1 << 100)];
    decode(
        &[world::batch(&payments).as_bytes().to_vec()],
        decoders::batch,
    );
}

#[test]
fn values() {
    use perun_protocol::encoding::Canonical;
    let pair = world::Quick::funded([10, 10]);
    let signed = pair.newest(0);
    let params = pair.channel(0).params();
    let kinds = [signed.encode(), signed.state().encode(), params.encode()];
    let seeds = kinds.into_iter().zip(0..);
    let seeds: Vec<_> = seeds
        .map(|(bytes, kind)| [vec![kind], bytes].concat())
        .collect();
    decode(&seeds, decoders::value);
}

#[test]
fn stores() {
    let seeds: Vec<_> = (0..7).map(|kind| vec![kind, 0, 0, 0xa9]).collect();
    decode(&seeds, decoders::stored);
}
