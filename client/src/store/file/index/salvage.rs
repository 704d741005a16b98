//! An index with damaged pages is made anew from its records.
//!
//! Records are taken over as they are, good or bad: what is wrong with one shows when it is read, and
//! concerns nobody else. Each table knows how many records it has; if not all are found, it is not
//! known what is missing, and the index is given up.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadTransaction, ReadableDatabase as _};

use super::copy::copy;
use super::{Backend, CACHE, Index, NAME, guarded};
use crate::store::StoreError;
use crate::store::disk::{Disk, DiskFile};

/// What the new index is called while it is made.
const NEW_NAME: &str = "index.redb.new";

/// Puts a new index in place of this damaged one; `false` if that cannot be done.
pub(super) fn salvage(
    disk: &dyn Disk,
    damaged: &dyn DiskFile,
    flushes: &Arc<AtomicU64>,
) -> Result<bool, StoreError> {
    let length = damaged
        .len()
        .map_err(StoreError::io("measuring its damaged index"))?;
    let mut bytes = vec![0; length as usize];
    damaged
        .read_at(0, &mut bytes)
        .map_err(StoreError::io("reading its damaged index"))?;
    let Ok(found) = guarded(|| open_copy(bytes)) else {
        return Ok(false);
    };
    let new = disk
        .create(NEW_NAME)
        .map_err(StoreError::io("making a new index"))?;
    let new = Index::open_file(new, flushes)?;
    let is_whole = guarded(|| copy(&found.1, &new)).unwrap_or(false);
    // To end it would be to write to it, by `redb`, which has no reason to trust it: the memory is
    // given up instead.
    std::mem::forget(found);
    new.close()?;
    if is_whole {
        disk.rename(NEW_NAME, NAME)
            .and_then(|()| disk.sync())
            .map_err(StoreError::io("putting a new index in place"))?;
    }
    Ok(is_whole)
}

/// Opens a copy of the file, unverified.
fn open_copy(bytes: Vec<u8>) -> Result<(Database, ReadTransaction), StoreError> {
    let backend = Backend {
        file: Arc::new(Copy(Mutex::new(bytes))),
        flushes: Arc::default(),
    };
    let mut builder = Database::builder();
    let database = builder.set_cache_size(CACHE).create_with_backend(backend)?;
    let read = database.begin_read()?;
    Ok((database, read))
}

/// A file's bytes in memory.
#[derive(Debug)]
struct Copy(Mutex<Vec<u8>>);

impl Copy {
    fn with<T>(&self, with: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl DiskFile for Copy {
    fn len(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.len() as u64))
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.with(|file| {
            let found = file
                .get(offset as usize..)
                .and_then(|f| f.get(..bytes.len()));
            bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|file| {
            let end = offset as usize + bytes.len();
            file.resize(file.len().max(end), 0);
            file[offset as usize..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(|file| {
            file.resize(length as usize, 0);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
