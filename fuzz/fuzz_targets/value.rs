//! Everything that is signed or hashed, in its one encoding.

#![no_main]

#[path = "../../protocol/tests/adversary/decoders.rs"]
#[allow(dead_code)]
mod decoders;
#[path = "../../protocol/tests/channel/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::value(bytes));
