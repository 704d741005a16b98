//! A store is copied while it goes on.
//!
//! ```text
//! folder/  index.redb   as one reader of it sees it: a snapshot       1. copied, record by record
//!          journal-M    never changes                                 2. copied
//!          journal-N    up to where it is durable                     3. copied, and named last
//! ```
//!
//! Nobody who writes is stopped: as long as the copy is made, the journal's present pass just gets
//! longer, and no journal is removed. A copy that was cut short is known by the name that its last
//! journal has until then, and is not opened.

use std::io;
use std::path::Path;

use super::{FileStore, Open, journal};
use crate::store::StoreError;
use crate::store::disk::{Disk, DiskFile, Folder, LOCK};

/// What the present journal's copy is called until it is whole.
pub(super) const UNFINISHED: &str = "unfinished-journal";
/// What is copied at a time.
const CHUNK: usize = 1 << 20;

impl FileStore {
    /// Copies the store into a folder, which is made, or must be empty, while everybody goes on. All
    /// that was durable when this was called is in the copy, and it is what the store was at some
    /// moment since. Blocks for as long as it takes.
    ///
    /// # Errors
    /// [`StoreError`] of either store; what is in the folder then is none.
    pub fn copy_to(&self, folder: &Path) -> Result<(), StoreError> {
        self.copy_onto(&Folder::open(folder)?)
    }

    /// The same onto any disk.
    ///
    /// # Errors
    /// As [`FileStore::copy_to`].
    pub fn copy_onto(&self, copy: &dyn Disk) -> Result<(), StoreError> {
        let names = copy
            .names()
            .map_err(StoreError::io("listing the folder of a copy"))?;
        if names.iter().any(|name| name != LOCK) {
            let error = io::Error::from(io::ErrorKind::DirectoryNotEmpty);
            return Err(StoreError::io("making a copy")(error));
        }
        let Open { disk, index } = self.opened()?;
        copy.create(UNFINISHED)
            .and_then(|_| copy.sync())
            .map_err(StoreError::io("making a copy"))?;
        // From here on no pass ends, so that index and journals belong together.
        let _reading = self.queue.reading();
        let needed = index.copy_to(copy)?;
        // After the index: frames that it knows are there.
        let length = self.queue.journal_length();
        let copying = (&*disk, copy);
        for number in needed.kept {
            let name = journal::name(number);
            copy_file(copying, &name, &name, u64::MAX)?;
        }
        let present = journal::name(needed.present);
        copy_file(copying, &present, UNFINISHED, length)?;
        copy.sync()
            .and_then(|()| copy.rename(UNFINISHED, &present))
            .and_then(|()| copy.sync())
            .map_err(StoreError::io("putting a copied journal in place"))
    }
}

/// Copies at most so many bytes of a file, durably.
fn copy_file(
    (from, to): (&dyn Disk, &dyn Disk),
    name: &str,
    new_name: &str,
    most: u64,
) -> Result<(), StoreError> {
    let found = from
        .open(name)
        .map_err(StoreError::io("opening a journal to copy it"))?;
    let found = found.ok_or_else(|| StoreError::Damaged {
        reason: format!("{name} is missing"),
    })?;
    let copied = to
        .create(new_name)
        .and_then(|new| copy_bytes(&*found, &*new, most));
    copied.map_err(StoreError::io("copying a journal"))
}

fn copy_bytes(from: &dyn DiskFile, to: &dyn DiskFile, most: u64) -> io::Result<()> {
    let length = from.len()?.min(most);
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        let left = usize::try_from(length - at).unwrap_or(CHUNK);
        let chunk = &mut chunk[..left.min(CHUNK)];
        from.read_at(at, chunk)?;
        to.write_at(at, chunk)?;
        at += chunk.len() as u64;
    }
    to.sync_data()
}
