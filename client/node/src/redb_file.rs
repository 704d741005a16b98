//! `redb` files: opened for their owner alone, and copied while they are in use.

use std::fs::OpenOptions;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{
    Database, Key, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    Value, WriteTransaction,
};

use crate::Error;
use crate::commits::guarded;

/// Opens a file or makes it. `cache` bounds the memory for its pages.
pub(crate) fn open(path: &Path, cache: usize) -> Result<Database, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path);
    let file = file.map_err(|error| Error::internal(format!("{}: {error}", path.display())))?;
    let opened = guarded(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(cache);
        Ok(builder.create_with_backend(FileBackend::new(file)?)?)
    });
    told(path, opened)
}

/// The result, or an error that names the file.
pub(crate) fn told<T>(path: &Path, result: Result<T, String>) -> Result<T, Error> {
    result.map_err(|failure| Error::internal(format!("{}: {failure}", path.display())))
}

/// Copies a database to a new file as it is at this moment, while others read and write it: `tables`
/// copies its tables from one transaction to the other.
pub(crate) fn copy(
    database: &Database,
    path: &Path,
    tables: impl FnOnce(&ReadTransaction, &WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), Error> {
    const CACHE: usize = 4 << 20;
    let copy = open(path, CACHE)?;
    let copied = guarded(|| {
        let read = database.begin_read()?;
        let write = copy.begin_write()?;
        tables(&read, &write)?;
        Ok(write.commit()?)
    });
    told(path, copied)
}

/// Copies one table.
pub(crate) fn copy_table<K: Key + 'static, V: Value + 'static>(
    read: &ReadTransaction,
    write: &WriteTransaction,
    definition: TableDefinition<'static, K, V>,
) -> Result<(), redb::Error> {
    let from = read.open_table(definition)?;
    let mut to = write.open_table(definition)?;
    for entry in from.iter()? {
        let (key, value) = entry?;
        to.insert(key.value(), value.value())?;
    }
    Ok(())
}
