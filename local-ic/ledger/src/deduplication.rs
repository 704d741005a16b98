//! Which transactions were executed lately, so that a repeated one is not executed twice.
//!
//! ```text
//!   now - window        now   now + 60 s
//!  TooOld | accepted: known?  -> Duplicate | CreatedInFuture
//! ```
//!
//! Only requests with a `created_at_time` are compared. Invariant: whatever could still be
//! accepted a second time is remembered. The clock of a request may run ahead of the block it
//! led to by the permitted drift, so an entry is kept for window and drift after its block.

use crate::{
    memory::{self, Layout, StableMap},
    refusal::Refusal,
};

/// How far `created_at_time` may lie in the future: replicas' clocks differ a little.
pub const PERMITTED_DRIFT_NS: u64 = 60_000_000_000;

/// The hash of what the caller asked for.
pub type TransactionHash = [u8; 32];

/// The transactions of the window.
pub struct Deduplication {
    by_hash: StableMap<TransactionHash, u64>,
    /// Block to its time (8 bytes, big-endian) and hash.
    by_block: StableMap<u64, [u8; 40]>,
}

impl Deduplication {
    /// Opens the window in stable memory; an empty memory knows no transaction.
    pub fn open(layout: &Layout) -> Self {
        Self {
            by_hash: StableMap::init(layout.memory(memory::DUPLICATES)),
            by_block: StableMap::init(layout.memory(memory::WINDOW)),
        }
    }

    /// Whether a request created at `created_at_ns` may be executed at `now_ns`.
    ///
    /// # Errors
    /// [`Refusal::TooOld`], [`Refusal::CreatedInFuture`], [`Refusal::Duplicate`], in this order.
    pub fn check(
        &self,
        hash: &TransactionHash,
        created_at_ns: u64,
        now_ns: u64,
        window_ns: u64,
    ) -> Result<(), Refusal> {
        if created_at_ns.saturating_add(window_ns) < now_ns {
            return Err(Refusal::TooOld { window_ns });
        }
        if created_at_ns > now_ns.saturating_add(PERMITTED_DRIFT_NS) {
            return Err(Refusal::CreatedInFuture { now_ns });
        }
        match self.by_hash.get(hash) {
            Some(duplicate_of) => Err(Refusal::Duplicate { duplicate_of }),
            None => Ok(()),
        }
    }

    /// Remembers that `hash` was executed in `block` at `now_ns`.
    pub fn remember(&mut self, hash: TransactionHash, block: u64, now_ns: u64) {
        let mut entry = [0; 40];
        entry[..8].copy_from_slice(&now_ns.to_be_bytes());
        entry[8..].copy_from_slice(&hash);
        self.by_hash.insert(hash, block);
        self.by_block.insert(block, entry);
    }

    /// Forgets at most `limit` transactions that would be too old by now.
    pub fn prune(&mut self, now_ns: u64, window_ns: u64, limit: usize) {
        let kept_ns = window_ns.saturating_add(PERMITTED_DRIFT_NS);
        for _ in 0..limit {
            let Some((block, entry)) = self.by_block.first_key_value() else {
                return;
            };
            let (time, hash) = entry.split_at(8);
            let executed_ns = u64::from_be_bytes(time.try_into().expect("split at eight"));
            if executed_ns.saturating_add(kept_ns) >= now_ns {
                return;
            }
            self.by_block.remove(&block);
            self.by_hash
                .remove(&hash.try_into().expect("32 of 40 bytes remain"));
        }
    }

    /// How many transactions are remembered.
    pub fn len(&self) -> u64 {
        self.by_block.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_block.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::StableMemory;

    const WINDOW_NS: u64 = 24 * 3600 * 1_000_000_000;
    const NOW_NS: u64 = 1_700_000_000_000_000_000;
    const HASH: TransactionHash = [7; 32];

    fn empty() -> Deduplication {
        Deduplication::open(&Layout::new(StableMemory::default()))
    }

    fn check(window: &Deduplication, created_at_ns: u64, now_ns: u64) -> Result<(), Refusal> {
        window.check(&HASH, created_at_ns, now_ns, WINDOW_NS)
    }

    #[test]
    fn both_edges_of_the_window_are_inside() {
        let window = empty();
        assert_eq!(check(&window, NOW_NS - WINDOW_NS, NOW_NS), Ok(()));
        assert_eq!(check(&window, NOW_NS + PERMITTED_DRIFT_NS, NOW_NS), Ok(()));
        assert_eq!(
            check(&window, NOW_NS - WINDOW_NS - 1, NOW_NS),
            Err(Refusal::TooOld {
                window_ns: WINDOW_NS
            })
        );
        assert_eq!(
            check(&window, NOW_NS + PERMITTED_DRIFT_NS + 1, NOW_NS),
            Err(Refusal::CreatedInFuture { now_ns: NOW_NS })
        );
    }

    #[test]
    fn times_at_the_end_of_time_do_not_wrap() {
        let window = empty();
        assert!(check(&window, u64::MAX, NOW_NS).is_err());
        assert_eq!(check(&window, u64::MAX, u64::MAX), Ok(()));
        assert!(check(&window, 0, NOW_NS).is_err());
    }

    #[test]
    fn age_is_judged_before_repetition() {
        let mut window = empty();
        window.remember(HASH, 3, NOW_NS);
        let duplicate = Err(Refusal::Duplicate { duplicate_of: 3 });
        assert_eq!(check(&window, NOW_NS, NOW_NS), duplicate);
        assert_eq!(check(&window, NOW_NS, NOW_NS + WINDOW_NS), duplicate);
        assert!(matches!(
            check(&window, NOW_NS, NOW_NS + WINDOW_NS + 1),
            Err(Refusal::TooOld { .. })
        ));
    }

    #[test]
    fn nothing_is_forgotten_while_it_could_be_repeated() {
        let mut window = empty();
        let created_at_ns = NOW_NS + PERMITTED_DRIFT_NS;
        window.remember(HASH, 3, NOW_NS);
        let last_chance_ns = created_at_ns + WINDOW_NS;
        window.prune(last_chance_ns, WINDOW_NS, 10);
        assert_eq!(
            check(&window, created_at_ns, last_chance_ns),
            Err(Refusal::Duplicate { duplicate_of: 3 })
        );
        window.prune(last_chance_ns + 1, WINDOW_NS, 10);
        assert!(window.is_empty());
        assert!(window.by_hash.is_empty());
    }

    #[test]
    fn pruning_takes_the_oldest_first_and_few_at_a_time() {
        let mut window = empty();
        for block in 0..5 {
            window.remember([block as u8; 32], block, NOW_NS + block);
        }
        window.prune(u64::MAX, WINDOW_NS, 2);
        assert_eq!(window.len(), 3);
        assert_eq!(window.by_block.first_key_value().unwrap().0, 2);
    }
}
