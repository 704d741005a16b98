//! The calls that are kept, in a `redb` file.
//!
//! | table | key | value |
//! |---|---|---|
//! | `calls` | key | digest of the request, and when it ended with which result, if it did |
//! | `ended` | when, key | nothing: which results are the oldest |

use std::path::Path;

use redb::TableDefinition;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use super::Keep;
use crate::Error;
use crate::commits::guarded;
use crate::redb_file;

type Value = (&'static [u8; 32], Option<(i64, &'static [u8])>);

const CALLS: TableDefinition<'static, &str, Value> = TableDefinition::new("calls");
const ENDED: TableDefinition<'static, (i64, &str), ()> = TableDefinition::new("ended");

/// Memory for pages.
const CACHE: usize = 1 << 20;

/// What is known of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stored {
    pub(super) request: [u8; 32],
    /// When it ended, and with which result.
    pub(super) end: Option<(i64, Vec<u8>)>,
}

/// What is known of a call from now on; nothing if it is forgotten.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) key: String,
    pub(super) stored: Option<Stored>,
}

pub(super) struct Table {
    database: Database,
}

impl Stored {
    pub(super) fn ended_at_s(&self) -> Option<i64> {
        self.end.as_ref().map(|(at_s, _)| *at_s)
    }
}

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let database = redb_file::open(path, CACHE)?;
        let table = Self { database };
        redb_file::told(
            path,
            guarded(|| {
                let write = table.database.begin_write()?;
                write.open_table(CALLS)?;
                write.open_table(ENDED)?;
                Ok(write.commit()?)
            }),
        )?;
        Ok(table)
    }

    pub(super) fn read(&self, key: &str) -> Result<Option<Stored>, Error> {
        let read = guarded(|| {
            let calls = self.database.begin_read()?.open_table(CALLS)?;
            let stored = calls.get(key)?;
            Ok(stored.map(|stored| {
                let (request, end) = stored.value();
                Stored {
                    request: *request,
                    end: end.map(|(at_s, result)| (at_s, result.to_vec())),
                }
            }))
        });
        read.map_err(Error::internal)
    }

    pub(super) fn apply(
        &self,
        changes: Vec<Change>,
        keep: Keep,
        now_s: i64,
    ) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut calls = write.open_table(CALLS)?;
            let mut ended = write.open_table(ENDED)?;
            for Change { key, stored } in &changes {
                let key = key.as_str();
                let before = match stored {
                    None => calls.remove(key)?,
                    Some(Stored { request, end }) => {
                        let end = end
                            .as_ref()
                            .map(|(at_s, result)| (*at_s, result.as_slice()));
                        if let Some((at_s, _)) = end {
                            ended.insert((at_s, key), ())?;
                        }
                        calls.insert(key, (request, end))?
                    }
                };
                let before = before.and_then(|before| before.value().1.map(|(at_s, _)| at_s));
                let is_same = |at_s: &i64| {
                    let now = stored.as_ref().and_then(Stored::ended_at_s);
                    now == Some(*at_s)
                };
                if let Some(at_s) = before.filter(|at_s| !is_same(at_s)) {
                    ended.remove((at_s, key))?;
                }
            }
            let oldest = now_s.saturating_sub(keep.for_s);
            loop {
                let is_full = ended.len()? > keep.most;
                let first = match ended.first()? {
                    Some((first, _)) => first.value().0,
                    None => break,
                };
                if !is_full && first > oldest {
                    break;
                }
                let Some((first, _)) = ended.pop_first()? else {
                    break;
                };
                calls.remove(first.value().1)?;
            }
        }
        Ok(write.commit()?)
    }

    pub(super) fn copy_to(&self, path: &Path) -> Result<(), Error> {
        redb_file::copy(&self.database, path, |read, write| {
            redb_file::copy_table(read, write, CALLS)?;
            redb_file::copy_table(read, write, ENDED)
        })
    }
}
