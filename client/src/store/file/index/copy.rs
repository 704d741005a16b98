//! An index is copied, record by record.

use std::sync::Arc;

use redb::{
    Key, ReadTransaction, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition, Value, WriteTransaction,
};

use super::{
    ARCHIVED_OPENINGS, ARCHIVED_SNAPSHOTS, ENTRIES, Index, KEPT, META, NAME, OPENINGS, PAYMENTS,
    SNAPSHOTS, guarded, journal_state,
};
use crate::store::StoreError;
use crate::store::disk::Disk;

/// The journals that a copy of an index needs.
pub(in crate::store::file) struct Needed {
    /// The present one.
    pub(in crate::store::file) present: u64,
    /// Those that are kept.
    pub(in crate::store::file) kept: Vec<u64>,
}

impl Index {
    /// Copies the index as it is at one moment to another disk, durably, whatever happens to it
    /// meanwhile.
    pub(in crate::store::file) fn copy_to(&self, disk: &dyn Disk) -> Result<Needed, StoreError> {
        let file = disk
            .create(NAME)
            .map_err(StoreError::io("making the copy of an index"))?;
        let new = Self::open_file(file, &Arc::default())?;
        let needed = guarded(|| {
            let read = self.database.begin_read()?;
            if !copy(&read, &new)? {
                return Err(StoreError::Damaged {
                    reason: "its index has fewer records than it knows of".to_owned(),
                });
            }
            let mut kept = Vec::new();
            for entry in read.open_table(KEPT)?.iter()? {
                kept.push(entry?.0.value());
            }
            let present = journal_state(&read)?.file;
            Ok(Needed { present, kept })
        })?;
        new.close()?;
        Ok(needed)
    }
}

/// Copies everything, and tells whether it was all that there should be.
pub(super) fn copy(found: &ReadTransaction, new: &Index) -> Result<bool, StoreError> {
    let write = new.begin()?;
    let mut is_whole = true;
    for table in [META, ENTRIES] {
        is_whole &= copy_table(found, &write, table)?;
    }
    for table in [OPENINGS, SNAPSHOTS, ARCHIVED_OPENINGS, ARCHIVED_SNAPSHOTS] {
        is_whole &= copy_table(found, &write, table)?;
    }
    is_whole &= copy_table(found, &write, PAYMENTS)?;
    is_whole &= copy_table(found, &write, KEPT)?;
    write.commit()?;
    Ok(is_whole)
}

fn copy_table<K: Key, V: Value>(
    found: &ReadTransaction,
    write: &WriteTransaction,
    definition: TableDefinition<'static, K, V>,
) -> Result<bool, StoreError> {
    let from = found.open_table(definition)?;
    let mut to = write.open_table(definition)?;
    for entry in from.iter()? {
        let (key, value) = entry?;
        to.insert(key.value(), value.value())?;
    }
    Ok(from.len()? == to.len()?)
}
