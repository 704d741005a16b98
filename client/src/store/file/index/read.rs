//! What the index knows, read back.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use perun_protocol::{ChannelId, Version};
use redb::{ReadTransaction, ReadableDatabase as _, ReadableTable as _};

use super::{
    ARCHIVED_OPENINGS, ARCHIVED_SNAPSHOTS, CURSOR, Channels, ENTRIES, Index, META, OPENINGS,
    PAYMENTS, SNAPSHOTS, guarded,
};
use crate::store::disk::{Disk, DiskFile};
use crate::store::file::journal;
use crate::store::file::pointer::Pointer;
use crate::store::record::{
    self, Kind, PLAIN, POINTER, PaymentsKey, payments_key, payments_version,
};
use crate::store::{
    Damage, Flaw, Loaded, LoadedChannel, RecordKind, StoreError, StoredChannel, StoredPayments,
};

impl Index {
    /// Everything that is loaded at the start.
    pub(in crate::store::file) fn load(&self) -> Result<Loaded, StoreError> {
        guarded(|| {
            let read = self.database.begin_read()?;
            let meta = read.open_table(META)?;
            let cursor = meta.get(CURSOR)?;
            let cursor = open_cursor(cursor.as_ref().map(|record| record.value())).transpose();
            let mut entries = BTreeMap::new();
            for entry in read.open_table(ENTRIES)?.iter()? {
                let (name, value) = entry?;
                let name = name.value();
                let opened = record::open(Kind::Entry, name.as_bytes(), value.value());
                let value = opened.map(<[u8]>::to_vec);
                let value = value.map_err(damage(RecordKind::Entry));
                entries.insert(name.to_owned(), value);
            }
            Ok(Loaded {
                channels: channels(&read, OPENINGS, SNAPSHOTS, None, usize::MAX)?,
                cursor,
                entries,
                was_torn: false,
                was_salvaged: self.is_salvaged,
            })
        })
    }

    /// Archived channels.
    pub(in crate::store::file) fn archived(
        &self,
        after: Option<&ChannelId>,
        limit: usize,
    ) -> Result<Vec<LoadedChannel>, StoreError> {
        guarded(|| {
            let read = self.database.begin_read()?;
            channels(&read, ARCHIVED_OPENINGS, ARCHIVED_SNAPSHOTS, after, limit)
        })
    }

    /// Payments of a channel.
    pub(in crate::store::file) fn payments(
        &self,
        disk: &dyn Disk,
        (channel, from): (&ChannelId, Version),
        limit: usize,
    ) -> Result<Vec<StoredPayments>, StoreError> {
        guarded(|| {
            let read = self.database.begin_read()?;
            let table = read.open_table(PAYMENTS)?;
            let first = payments_key(channel, from);
            let last = payments_key(channel, Version::new(u64::MAX));
            let mut journals = Journals { disk, open: None };
            let mut page = Vec::new();
            let mut bytes = 0;
            for entry in table.range::<&PaymentsKey>(&first..=&last)? {
                let (key, record) = entry?;
                let (key, record) = (key.value(), record.value());
                bytes += Pointer::place(record).map_or(record.len(), |p| p.length as usize);
                if bytes > limit && !page.is_empty() {
                    break;
                }
                let version = payments_version(key);
                let payments = journals.open(key, record)?;
                page.push(StoredPayments {
                    version,
                    payments: payments.map_err(damage(RecordKind::Payments(version))),
                });
            }
            Ok(page)
        })
    }
}

/// A channel's opening and snapshot, as far as they are there.
type Parts = [Option<Result<Vec<u8>, Flaw>>; 2];

/// The channels of two tables, which should have the same ones.
fn channels(
    read: &ReadTransaction,
    openings: Channels,
    snapshots: Channels,
    after: Option<&ChannelId>,
    limit: usize,
) -> Result<Vec<LoadedChannel>, StoreError> {
    let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.as_bytes()));
    let range = (start, Bound::<&[u8; 32]>::Unbounded);
    let mut found: BTreeMap<ChannelId, Parts> = BTreeMap::new();
    for (part, table, kind) in [(0, openings, Kind::Opening), (1, snapshots, Kind::Snapshot)] {
        let table = read.open_table(table)?;
        for entry in table.range::<&[u8; 32]>(range)?.take(limit) {
            let (key, record) = entry?;
            let channel = ChannelId::from_bytes(*key.value());
            let opened = record::open(kind, key.value(), record.value());
            found.entry(channel).or_default()[part] = Some(opened.map(<[u8]>::to_vec));
        }
    }
    let channels = found.into_iter().take(limit);
    Ok(channels
        .map(|(channel, parts)| (channel, stored_channel(parts)))
        .collect())
}

fn stored_channel([opening, snapshot]: Parts) -> Result<StoredChannel, Damage> {
    let whole = |part: Option<Result<Vec<u8>, Flaw>>, record| {
        part.unwrap_or(Err(Flaw::Missing)).map_err(damage(record))
    };
    Ok(StoredChannel {
        opening: whole(opening, RecordKind::Opening)?,
        snapshot: whole(snapshot, RecordKind::Snapshot)?,
    })
}

fn open_cursor(record: Option<&[u8]>) -> Result<Option<u64>, Damage> {
    let contents = record.ok_or(Flaw::Missing);
    let contents = contents.and_then(|record| record::open(Kind::Cursor, &[], record));
    let number = contents.and_then(|contents| match contents {
        [] => Ok(None),
        _ => contents.try_into().map(Some).map_err(|_| Flaw::Short {
            length: contents.len(),
        }),
    });
    number
        .map(|number| number.map(u64::from_be_bytes))
        .map_err(damage(RecordKind::Cursor))
}

fn damage(record: RecordKind) -> impl Fn(Flaw) -> Damage {
    move |flaw| Damage { record, flaw }
}

/// The journals that a page of payments lies in; the last one stays open.
struct Journals<'a> {
    disk: &'a dyn Disk,
    open: Option<(u64, Arc<dyn DiskFile>)>,
}

impl Journals<'_> {
    /// The payments that a record holds or points to. The outer error is the disk's.
    fn open(
        &mut self,
        key: &PaymentsKey,
        record: &[u8],
    ) -> Result<Result<Vec<u8>, Flaw>, StoreError> {
        let pointer = record::split(record).and_then(|(format, checksum, contents)| match format {
            PLAIN => Ok(None),
            POINTER => Pointer::open(key, checksum, contents).map(Some),
            found => Err(Flaw::Format { found }),
        });
        match pointer {
            Ok(Some(pointer)) => self.follow(key, &pointer),
            Ok(None) => Ok(record::open(Kind::Payments, key, record).map(<[u8]>::to_vec)),
            Err(flaw) => Ok(Err(flaw)),
        }
    }

    fn follow(
        &mut self,
        key: &PaymentsKey,
        pointer: &Pointer,
    ) -> Result<Result<Vec<u8>, Flaw>, StoreError> {
        let Some(file) = self.file(pointer.journal)? else {
            return Ok(Err(Flaw::Missing));
        };
        let place = &pointer.place;
        let length = file.len().map_err(StoreError::io("measuring a journal"))?;
        if length < place.offset.saturating_add(place.length.into()) {
            return Ok(Err(Flaw::Missing));
        }
        let mut bytes = vec![0; place.length as usize];
        file.read_at(place.offset, &mut bytes)
            .map_err(StoreError::io("reading a journal"))?;
        let checked = record::check(Kind::Payments, key, place.checksum, &bytes);
        Ok(checked.map(|()| bytes))
    }

    fn file(&mut self, number: u64) -> Result<Option<Arc<dyn DiskFile>>, StoreError> {
        if let Some((_, file)) = self.open.as_ref().filter(|(open, _)| *open == number) {
            return Ok(Some(file.clone()));
        }
        let file = self
            .disk
            .open(&journal::name(number))
            .map_err(StoreError::io("opening a journal"))?;
        self.open = file.clone().map(|file| (number, file));
        Ok(file)
    }
}
