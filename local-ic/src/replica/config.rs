//! How a replica behaves.

use std::time::Duration;

/// How a replica behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where all randomness comes from, `raw_rand` too.
    pub seed: u64,
    /// The time it begins at, in ns since 1970.
    pub time_ns: u64,
    /// The longest step in which [`Replica::advance`](crate::Replica::advance) moves time: the length of a round.
    pub step: Duration,
    /// What a canister gets that is created without an amount, in cycles.
    pub initial_cycles: u128,
    /// The most heap a canister may have, in bytes.
    pub max_heap_bytes: usize,
    /// The most instructions of an update, a callback or a timer.
    pub update_instructions: u64,
    /// The most instructions of a query; a composite query's calls share them.
    pub query_instructions: u64,
    /// The most instructions of an install or upgrade, with all its hooks.
    pub install_instructions: u64,
    /// The most instructions of `inspect_message`.
    pub inspect_instructions: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            // 2026-01-01T00:00:00Z.
            time_ns: 1_767_225_600_000_000_000,
            step: Duration::from_secs(1),
            initial_cycles: 1_000_000_000_000_000,
            max_heap_bytes: 4 << 30,
            update_instructions: 40_000_000_000,
            query_instructions: 5_000_000_000,
            install_instructions: 300_000_000_000,
            inspect_instructions: 200_000_000,
        }
    }
}
