//! What holds for every value and for any bytes whatever.
//!
//! `PROPTEST_CASES=20000 cargo test -p perun-protocol --test properties` looks longer.

mod balances;
mod dispute;
mod encoding;
mod strategies;
