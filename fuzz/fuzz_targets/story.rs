//! An honest machine beside a peer that lies, byte by byte.

#![no_main]

#[path = "../../protocol/tests/adversary/story.rs"]
mod story;
#[path = "../../protocol/tests/channel/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| story::play(bytes));
