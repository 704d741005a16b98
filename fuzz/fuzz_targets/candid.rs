//! Requests of strangers to the adjudicator: nothing panics, what is refused changes nothing, and the
//! books balance.

#![no_main]

#[path = "../../canister/tests/rules/mod.rs"]
mod rules;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rules::stranger::play(bytes));
