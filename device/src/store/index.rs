//! The index in memory: where the newest record of each key lies.

use alloc::vec::Vec;

use super::record::Place;
use super::{Key, MAX_KEYS};

/// Places of records, all in one page.
#[derive(Debug)]
pub(super) struct Index {
    entries: Vec<(Key, Place)>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    pub(super) fn find(&self, key: Key) -> Option<Place> {
        self.entries().find(|(k, _)| *k == key).map(|(_, at)| at)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (Key, Place)> + '_ {
        self.entries.iter().copied()
    }

    /// Whether one more key, or another record of this one, can be held.
    pub(super) fn has_room_for(&self, key: Key) -> bool {
        self.entries.len() < MAX_KEYS || self.find(key).is_some()
    }

    pub(super) fn set(&mut self, key: Key, place: Place) {
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some((_, known)) => *known = place,
            None => self.entries.push((key, place)),
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.entries.retain(|(k, _)| *k != key);
    }
}
