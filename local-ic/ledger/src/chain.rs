//! The block log and its certified tip.
//!
//! ```text
//! block 0 <--phash-- block 1 <--phash-- block 2 = tip --> { last_block_index, last_block_hash }
//!                                                              root hash -> certified data
//! ```
//!
//! Invariant: a block is never changed or removed, and the certified tip follows at once.

use std::ops::Range;

use candid::Nat;
use ic_certification::{HashTree, hash_tree};
use ic_stable_structures::{Log, StableLog};

use crate::{
    amount::Amount,
    block::{Block, BlockHash, Transaction},
    memory::{self, Layout, Memory},
};

/// All blocks, oldest first.
pub struct Chain {
    log: StableLog<Block, Memory, Memory>,
    /// The hash of the last block, kept so that appending does not hash its predecessor again.
    tip_hash: Option<BlockHash>,
}

impl Chain {
    /// Opens the log in stable memory; an empty memory is an empty log.
    pub fn open(layout: &Layout) -> Self {
        let log: StableLog<Block, _, _> = Log::init(
            layout.memory(memory::BLOCK_INDEX),
            layout.memory(memory::BLOCK_DATA),
        );
        let tip_hash = log.last().map(|block| block.hash());
        Self { log, tip_hash }
    }

    /// How many blocks there are; also the index of the next one.
    pub fn length(&self) -> u64 {
        self.log.len()
    }

    /// Appends a block and returns its index.
    pub fn append(
        &mut self,
        transaction: Transaction,
        fee: Option<Amount>,
        timestamp_ns: u64,
    ) -> u64 {
        let block = Block {
            parent_hash: self.tip_hash,
            timestamp_ns,
            transaction,
            fee,
        };
        let index = self
            .log
            .append(&block)
            .expect("without stable memory the trap undoes the whole transaction");
        self.tip_hash = Some(block.hash());
        index
    }

    /// The blocks with these indices, as far as they exist.
    pub fn blocks(&self, range: Range<u64>) -> impl Iterator<Item = (u64, Block)> + '_ {
        let end = range.end.min(self.length());
        (range.start..end).filter_map(|index| Some((index, self.log.get(index)?)))
    }

    /// What ICRC-3 wants certified: index (LEB128) and hash of the last block.
    /// An empty tree as long as there is none.
    pub fn tip_tree(&self) -> HashTree {
        let (Some(hash), Some(index)) = (self.tip_hash, self.length().checked_sub(1)) else {
            return hash_tree::empty();
        };
        let mut leb128 = Vec::new();
        Nat::from(index)
            .encode(&mut leb128)
            .expect("a vector takes every byte");
        hash_tree::fork(
            hash_tree::label("last_block_hash", hash_tree::leaf(hash.to_vec())),
            hash_tree::label("last_block_index", hash_tree::leaf(leb128)),
        )
    }
}

#[cfg(test)]
mod tests {
    use candid::Principal;
    use ic_certification::LookupResult;
    use icrc_ledger_types::icrc1::account::Account;

    use super::*;
    use crate::{block::Operation, memory::StableMemory};

    fn mint(amount: u128) -> Transaction {
        Transaction {
            operation: Operation::Mint {
                to: Account::from(Principal::management_canister()),
                amount: Amount::new(amount),
            },
            memo: None,
            created_at_ns: None,
        }
    }

    fn leaf(chain: &Chain, label: &str) -> Vec<u8> {
        match chain.tip_tree().lookup_path([label]) {
            LookupResult::Found(bytes) => bytes.to_vec(),
            other => panic!("{label}: {other:?}"),
        }
    }

    #[test]
    fn each_block_contains_the_hash_of_the_one_before() {
        let mut chain = Chain::open(&Layout::new(StableMemory::default()));
        for amount in 0..3 {
            assert_eq!(chain.append(mint(amount), None, 9), amount as u64);
        }
        let blocks: Vec<Block> = chain.blocks(0..u64::MAX).map(|(_, block)| block).collect();
        assert_eq!(blocks[0].parent_hash, None);
        assert_eq!(blocks[1].parent_hash, Some(blocks[0].hash()));
        assert_eq!(blocks[2].parent_hash, Some(blocks[1].hash()));
        assert_eq!(leaf(&chain, "last_block_hash"), blocks[2].hash());
        assert_eq!(leaf(&chain, "last_block_index"), [2]);
    }

    #[test]
    fn ranges_are_cut_to_what_exists() {
        let mut chain = Chain::open(&Layout::new(StableMemory::default()));
        for amount in 0..3 {
            chain.append(mint(amount), None, 9);
        }
        let indices = |range| chain.blocks(range).map(|(i, _)| i).collect::<Vec<_>>();
        assert_eq!(indices(1..2), [1]);
        assert_eq!(indices(2..9), [2]);
        assert!(indices(3..9).is_empty());
        #[allow(clippy::reversed_empty_ranges, reason = "a stranger may ask for it")]
        let reversed = 5..1;
        assert!(indices(reversed).is_empty());
    }

    #[test]
    fn the_tip_index_is_leb128() {
        let mut chain = Chain::open(&Layout::new(StableMemory::default()));
        for amount in 0..=300 {
            chain.append(mint(amount), None, 9);
        }
        assert_eq!(leaf(&chain, "last_block_index"), [0xac, 0x02]);
    }

    #[test]
    fn the_tip_survives_reopening() {
        let memory = StableMemory::default();
        let mut chain = Chain::open(&Layout::new(memory.clone()));
        let empty = chain.tip_tree().digest();
        chain.append(mint(1), None, 9);
        let before = chain.tip_tree().digest();
        assert_ne!(before, empty);
        assert_eq!(
            Chain::open(&Layout::new(memory)).tip_tree().digest(),
            before
        );
    }
}
