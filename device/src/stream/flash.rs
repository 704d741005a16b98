//! A stream's two records, in a store of their own.

use alloc::vec::Vec;

use embedded_storage::nor_flash::NorFlash;
use perun_watch_stream::{Record, Storage};

use crate::store::{Key, Store, StoreError};

/// The records of one stream, in a range of flash that nothing else uses. About 1 KiB is live, so pages of
/// 4 KiB do.
#[derive(Debug)]
pub struct StreamStore<F>(Store<F>);

impl<F> StreamStore<F> {
    /// In this store, whose other records are left alone.
    pub const fn new(store: Store<F>) -> Self {
        Self(store)
    }

    /// The store, to look at its wear.
    pub const fn store(&self) -> &Store<F> {
        &self.0
    }

    /// Gives the store back.
    pub fn into_store(self) -> Store<F> {
        self.0
    }
}

impl<F: NorFlash> Storage for StreamStore<F> {
    type Error = StoreError<F::Error>;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Self::Error> {
        let mut contents = Vec::new();
        if !self.0.read(key(record), &mut contents)? {
            return Ok(None);
        }
        // Longer than any that was stored: not ours.
        let place = into.get_mut(..contents.len());
        let place = place.ok_or(StoreError::Damaged {
            key: Some(key(record)),
        })?;
        place.copy_from_slice(&contents);
        contents.fill(0);
        Ok(Some(contents.len()))
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.write(key(record), bytes)
    }
}

const fn key(record: Record) -> Key {
    match record {
        Record::Reservation => Key::new(5, 0),
        Record::State => Key::new(6, 0),
    }
}
