//! Tokens on the disk.

use std::path::{Path, PathBuf};

use candid::Principal;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::record::Record;
use super::spent::Write;
use crate::{Error, redb_file};

/// Id to record.
const TOKENS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tokens 1");
/// Id, ledger and minute to what was spent in it.
const SPENT: TableDefinition<'_, (&str, &[u8], u64), u128> = TableDefinition::new("spent 1");

/// The file.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    database: Database,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let unusable = |reason: String| Error::InvalidConfig {
            name: "tokens".into(),
            value: path.display().to_string(),
            reason,
        };
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path);
        let file = file.map_err(|error| unusable(error.to_string()))?;
        let backend = FileBackend::new(file);
        let database = backend.and_then(|backend| Database::builder().create_with_backend(backend));
        let database = database.map_err(|error| {
            unusable(match error {
                DatabaseError::DatabaseAlreadyOpen => "another process has it open".into(),
                error => format!("{error}; restore it from a backup, or remove it with all tokens"),
            })
        })?;
        let opened = Self {
            path: path.to_owned(),
            database,
        };
        // Both tables are there from now on.
        opened.write(|transaction| {
            transaction.open_table(TOKENS)?;
            transaction.open_table(SPENT)?;
            Ok(())
        })?;
        Ok(opened)
    }

    pub(super) fn records(&self) -> Result<Vec<Record>, Error> {
        let stored = self.read(|transaction| {
            let table = transaction.open_table(TOKENS)?;
            let mut stored = Vec::new();
            for row in table.iter()? {
                let (id, bytes) = row?;
                stored.push((id.value().to_owned(), bytes.value().to_owned()));
            }
            Ok(stored)
        })?;
        let records = stored.into_iter().map(|(id, bytes)| {
            Record::from_bytes(&id, &bytes)
                .ok_or_else(|| self.failed(format!("the token {id} is damaged")))
        });
        records.collect()
    }

    /// What is written of a token's spending: ledger, minute, units.
    pub(super) fn spent(&self, id: &str) -> Result<Vec<(Principal, u64, u128)>, Error> {
        self.read(|transaction| {
            let table = transaction.open_table(SPENT)?;
            let mut spent = Vec::new();
            // The empty principal is the least.
            for row in table.range((id, [].as_slice(), 0)..)? {
                let (key, units) = row?;
                let (row_id, ledger, minute) = key.value();
                if row_id != id {
                    break;
                }
                if let Ok(ledger) = Principal::try_from(ledger) {
                    spent.push((ledger, minute, units.value()));
                }
            }
            Ok(spent)
        })
    }

    pub(super) fn put(&self, record: &Record) -> Result<(), Error> {
        let bytes = record.to_bytes();
        self.write(|transaction| {
            let mut table = transaction.open_table(TOKENS)?;
            table.insert(record.id.as_str(), bytes.as_slice())?;
            Ok(())
        })
    }

    pub(super) fn remove(&self, id: &str) -> Result<(), Error> {
        let spent = self.spent(id)?;
        self.write(|transaction| {
            transaction.open_table(TOKENS)?.remove(id)?;
            let mut table = transaction.open_table(SPENT)?;
            for (ledger, minute, _) in &spent {
                table.remove((id, ledger.as_slice(), *minute))?;
            }
            Ok(())
        })
    }

    pub(super) fn write_spent(&self, id: &str, writes: &[Write]) -> Result<(), Error> {
        if writes.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut table = transaction.open_table(SPENT)?;
            for write in writes {
                let key = (id, write.ledger.as_slice(), write.minute);
                match write.units {
                    Some(units) => table.insert(key, units)?,
                    None => table.remove(key)?,
                };
            }
            Ok(())
        })
    }

    /// Copies the file as it is at this moment to a new one.
    pub(super) fn copy_to(&self, path: &Path) -> Result<(), Error> {
        redb_file::copy(&self.database, path, |read, write| {
            redb_file::copy_table(read, write, TOKENS)?;
            redb_file::copy_table(read, write, SPENT)
        })
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let transaction = self.database.begin_read().map_err(redb::Error::from);
        let result = transaction.and_then(|transaction| read(&transaction));
        result.map_err(|error| self.failed(error))
    }

    /// Durable when it returns.
    fn write(
        &self,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        let transaction = self.database.begin_write().map_err(redb::Error::from);
        let result = transaction.and_then(|transaction| {
            write(&transaction)?;
            transaction.commit().map_err(redb::Error::from)
        });
        result.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl std::fmt::Display) -> Error {
        Error::internal(format!("{}: {error}", self.path.display()))
    }
}
