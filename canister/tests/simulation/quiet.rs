//! A moment at which no message is under way, to come back to again and again.
//!
//! Stable memory is 24 MiB of pieces of 2 MiB that are hardly used; only what is used is kept and put
//! back.

use std::iter::once;
use std::ops::Range;

use ic_stable_structures::DefaultMemoryImpl;

use super::books::Books;
use super::ledger::Ledger;

/// What the memory manager writes about itself.
const HEAD: usize = 64 << 10;
/// The pieces that it hands out.
const PIECE: usize = 2 << 20;
/// The beginning of each, which small tables do not leave.
const USED: usize = 48 << 10;

pub struct Quiet {
    pub now_ns: u64,
    pub books: Books,
    pub ledgers: Vec<Ledger>,
    pub next_number: u64,
    memory: Vec<u8>,
    length: usize,
}

impl Quiet {
    pub fn new(
        now_ns: u64,
        books: Books,
        ledgers: Vec<Ledger>,
        next_number: u64,
        memory: &DefaultMemoryImpl,
    ) -> Self {
        let bytes = memory.borrow();
        let used = used(bytes.len()).flat_map(|range| &bytes[range]);
        Self {
            now_ns,
            books,
            ledgers,
            next_number,
            memory: used.copied().collect(),
            length: bytes.len(),
        }
    }

    /// Puts back into `memory` what was there.
    pub fn restore(&self, memory: &DefaultMemoryImpl) {
        let mut bytes = memory.borrow_mut();
        assert_eq!(bytes.len(), self.length, "small tables do not grow");
        let mut at = 0;
        for range in used(self.length) {
            let length = range.len();
            bytes[range].copy_from_slice(&self.memory[at..at + length]);
            at += length;
        }
    }

    /// Asserts that nothing was written where nothing is put back.
    pub fn assert_complete(&self, memory: &DefaultMemoryImpl) {
        let bytes = memory.borrow();
        let mut end = 0;
        for range in used(self.length) {
            let unused = &bytes[end..range.start];
            assert!(unused.iter().all(|&byte| byte == 0), "tables have grown");
            end = range.end;
        }
    }
}

fn used(length: usize) -> impl Iterator<Item = Range<usize>> {
    let pieces = (HEAD..length).step_by(PIECE);
    once(0..HEAD).chain(pieces.map(|start| start..start + USED))
}
