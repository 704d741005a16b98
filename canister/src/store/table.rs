//! Records by key, in stable memory.
//!
//! All keys have one length and all records are bytes, so that the code of all tables is there once: a
//! B-tree takes 20 KB of the wasm for each pair of types that it is used with.

use ic_stable_structures::StableBTreeMap;

use super::Memory;
use super::keys::Key;

pub(super) struct Table(StableBTreeMap<Key, Vec<u8>, Memory>);

impl Table {
    /// Opens what lies in `memory`, or lays out an empty table if it is empty.
    pub(super) fn init(memory: Memory) -> Self {
        Self(StableBTreeMap::init(memory))
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, key: &Key) -> Option<Vec<u8>> {
        self.0.get(key)
    }

    pub(super) fn insert(&mut self, key: Key, record: Vec<u8>) {
        self.0.insert(key, record);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Vec<u8>> {
        self.0.remove(key)
    }

    /// The lowest key.
    pub(super) fn first(&self) -> Option<Key> {
        self.0.first_key_value().map(|(key, _)| key)
    }

    pub(super) fn remove_first(&mut self) {
        self.0.pop_first();
    }

    /// The records from `start` on, by key.
    pub(super) fn from(&self, start: Key) -> impl Iterator<Item = (Key, Vec<u8>)> {
        self.0
            .range(start..)
            .map(|entry| (*entry.key(), entry.value()))
    }
}
