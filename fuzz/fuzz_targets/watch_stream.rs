//! Messages of strangers, and of who has stolen a key, to both sides of a watch stream.

#![no_main]

#[path = "../../watch-stream/tests/stream/stranger.rs"]
mod stranger;
#[path = "../../watch-stream/tests/world/mod.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stranger::tells(bytes));
