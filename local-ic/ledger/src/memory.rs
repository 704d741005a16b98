//! Where everything lies in stable memory.
//!
//! All state is written there as it changes, so an upgrade has nothing to save: the new module
//! opens the same structures. A number below is never given to something else.

use ic_stable_structures::{
    BTreeMap, BTreeSet, DefaultMemoryImpl,
    memory_manager::{MemoryId, MemoryManager, VirtualMemory},
};

/// The canister's stable memory, or a vector in native tests.
pub type StableMemory = DefaultMemoryImpl;
/// The part of it that belongs to one structure.
pub type Memory = VirtualMemory<StableMemory>;
/// A sorted map in stable memory.
pub type StableMap<K, V> = BTreeMap<K, V, Memory>;
/// A sorted set in stable memory.
pub type StableSet<K> = BTreeSet<K, Memory>;

/// Symbol, fee and the like.
pub const SETTINGS: MemoryId = MemoryId::new(0);
/// The sum of all balances.
pub const SUPPLY: MemoryId = MemoryId::new(1);
/// Account identifier to balance.
pub const BALANCES: MemoryId = MemoryId::new(2);
/// Account identifier to account.
pub const DIRECTORY: MemoryId = MemoryId::new(3);
/// Owner and spender to allowance.
pub const ALLOWANCES: MemoryId = MemoryId::new(4);
/// Expiry, owner and spender, to find expired allowances.
pub const EXPIRIES: MemoryId = MemoryId::new(5);
/// Transaction hash to block, to find duplicates.
pub const DUPLICATES: MemoryId = MemoryId::new(6);
/// Block to transaction hash, to forget what left the window.
pub const WINDOW: MemoryId = MemoryId::new(7);
/// Where each block begins.
pub const BLOCK_INDEX: MemoryId = MemoryId::new(8);
/// The blocks.
pub const BLOCK_DATA: MemoryId = MemoryId::new(9);

/// Memory is handed out in pieces of one MiB. The default of 8 MiB would make an empty ledger
/// 80 MiB large; the 32,768 pieces of one MiB still hold more than a test will ever write.
const PIECE_PAGES: u16 = 16;

/// Divides the stable memory among the structures.
pub struct Layout(MemoryManager<StableMemory>);

impl Layout {
    /// Takes over a stable memory, empty or left behind by an earlier version.
    pub fn new(memory: StableMemory) -> Self {
        Self(MemoryManager::init_with_bucket_size(memory, PIECE_PAGES))
    }

    /// The part with this number.
    pub fn memory(&self, id: MemoryId) -> Memory {
        self.0.get(id)
    }
}
