//! Changes move from the journal to the index.

use std::collections::BTreeMap;

use perun_protocol::{ChannelId, Version};
use redb::{ReadableDatabase as _, ReadableTable as _, Table, WriteTransaction};

use super::{
    ARCHIVED_OPENINGS, ARCHIVED_SNAPSHOTS, CURSOR, Channels, ENTRIES, Index, JOURNAL, KEPT, META,
    OPENINGS, PAYMENTS, SNAPSHOTS, guarded,
};
use crate::store::StoreError;
use crate::store::file::change::{Changes, ChannelChange, PaymentsChange, Place};
use crate::store::file::journal::{Journal, JournalState};
use crate::store::file::pointer::Pointer;
use crate::store::record::{HEAD_LENGTH, Kind, PLAIN, PaymentsKey, Sealed, payments_key};

/// The payments that lie in the present pass of the journal and were not forgotten.
pub(in crate::store::file) type Present = BTreeMap<PaymentsKey, Place>;

/// What becomes of the journal's present pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::store::file) enum Pass {
    /// It goes on.
    GoesOn,
    /// It ends; its payments move to the index, too.
    Ends,
    /// It ends, and its file is kept, since its payments stay there.
    IsKept,
}

impl Index {
    /// Carries out changes, durably, and remembers where the journal stands. Gives the numbers of
    /// kept journals that nothing points to any more.
    pub(in crate::store::file) fn apply(
        &self,
        changes: &Changes,
        (journal, present): (&Journal, &Present),
        pass: Pass,
        state: &JournalState,
    ) -> Result<Vec<u64>, StoreError> {
        guarded(|| {
            let write = self.begin()?;
            apply_channels(&write, changes)?;
            apply_client(&write, changes, state)?;
            let unused = apply_payments(&write, changes, (journal, present), pass)?;
            write.commit()?;
            Ok(unused)
        })
    }

    /// The numbers of the journals that are kept.
    pub(in crate::store::file) fn kept(&self) -> Result<Vec<u64>, StoreError> {
        guarded(|| {
            let read = self.database.begin_read()?;
            let table = read.open_table(KEPT)?;
            let mut kept = Vec::new();
            for entry in table.iter()? {
                kept.push(entry?.0.value());
            }
            Ok(kept)
        })
    }
}

/// Gives the numbers of kept journals that nothing points to any more.
fn apply_payments(
    write: &WriteTransaction,
    changes: &Changes,
    (journal, present): (&Journal, &Present),
    pass: Pass,
) -> Result<Vec<u64>, StoreError> {
    let mut payments = Payments {
        table: write.open_table(PAYMENTS)?,
        kept: write.open_table(KEPT)?,
        journal,
        unused: Vec::new(),
    };
    for change in &changes.payments {
        match change {
            // They are about to be moved as a whole.
            PaymentsChange::Put(..) if pass == Pass::Ends => {}
            PaymentsChange::Put(key, place) => payments.point(key, *place)?,
            PaymentsChange::Forget(key) => payments.forget(key)?,
            PaymentsChange::Erase(channel) => payments.erase(channel)?,
        }
    }
    match pass {
        Pass::GoesOn => {}
        Pass::Ends => payments.take_over(present)?,
        Pass::IsKept => payments.keep_journal(present)?,
    }
    Ok(payments.unused)
}

fn apply_channels(write: &WriteTransaction, changes: &Changes) -> Result<(), StoreError> {
    let mut openings = write.open_table(OPENINGS)?;
    let mut snapshots = write.open_table(SNAPSHOTS)?;
    // In the table's order, so that each of its pages is changed once.
    let mut channels: Vec<_> = changes.channels.iter().collect();
    channels.sort_unstable_by_key(|(channel, _)| **channel);
    for (channel, change) in channels {
        let ChannelChange {
            is_erased,
            opening,
            snapshot,
            is_archived,
        } = change;
        let key = channel.as_bytes();
        if *is_erased {
            openings.remove(key)?;
            snapshots.remove(key)?;
            write.open_table(ARCHIVED_OPENINGS)?.remove(key)?;
            write.open_table(ARCHIVED_SNAPSHOTS)?.remove(key)?;
        }
        if let Some(opening) = opening {
            openings.insert(key, &opening.record()[..])?;
        }
        if let Some(snapshot) = snapshot {
            snapshots.insert(key, &snapshot.record()[..])?;
        }
        if *is_archived {
            archive(write, &mut openings, ARCHIVED_OPENINGS, key)?;
            archive(write, &mut snapshots, ARCHIVED_SNAPSHOTS, key)?;
        }
    }
    Ok(())
}

/// Moves a record as it is: its checksum is bound to what it is of, not to a table.
fn archive(
    write: &WriteTransaction,
    from: &mut Table<'_, &'static [u8; 32], &'static [u8]>,
    to: Channels,
    key: &[u8; 32],
) -> Result<(), StoreError> {
    if let Some(record) = from.remove(key)? {
        write.open_table(to)?.insert(key, record.value())?;
    }
    Ok(())
}

fn apply_client(
    write: &WriteTransaction,
    changes: &Changes,
    state: &JournalState,
) -> Result<(), StoreError> {
    let mut meta = write.open_table(META)?;
    if let Some(cursor) = &changes.cursor {
        meta.insert(CURSOR, &cursor.record()[..])?;
    }
    let journal = Sealed::new(Kind::Journal, &[], state.encode());
    meta.insert(JOURNAL, &journal.record()[..])?;
    let mut entries = write.open_table(ENTRIES)?;
    for (name, value) in &changes.entries {
        match value {
            Some(value) => entries.insert(&name[..], &value.record()[..])?,
            None => entries.remove(&name[..])?,
        };
    }
    Ok(())
}

/// The table of payments, while it is changed.
struct Payments<'a, 'txn> {
    table: Table<'txn, &'static PaymentsKey, &'static [u8]>,
    kept: Table<'txn, u64, u64>,
    /// The present journal.
    journal: &'a Journal,
    /// Kept journals that nothing points to any more.
    unused: Vec<u64>,
}

impl Payments<'_, '_> {
    /// Payments lie in the present journal.
    fn point(&mut self, key: &PaymentsKey, place: Place) -> Result<(), StoreError> {
        let pointer = Pointer {
            journal: self.journal.number(),
            place,
        };
        let record = pointer.record(key);
        let old = self.table.insert(key, &record[..])?;
        let old = old.and_then(|old| Pointer::journal(old.value()));
        self.unpoint(old)
    }

    fn forget(&mut self, key: &PaymentsKey) -> Result<(), StoreError> {
        let old = self.table.remove(key)?;
        let old = old.and_then(|old| Pointer::journal(old.value()));
        self.unpoint(old)
    }

    fn erase(&mut self, channel: &ChannelId) -> Result<(), StoreError> {
        let first = payments_key(channel, Version::INITIAL);
        let last = payments_key(channel, Version::new(u64::MAX));
        let mut journals = Vec::new();
        for entry in self
            .table
            .extract_from_if::<&PaymentsKey, _>(&first..=&last, |_, _| true)?
        {
            journals.push(Pointer::journal(entry?.1.value()));
        }
        journals.into_iter().try_for_each(|old| self.unpoint(old))
    }

    /// Copies payments out of the present journal, whose file is about to be written over.
    fn take_over(&mut self, present: &Present) -> Result<(), StoreError> {
        for (key, place) in present {
            let old = self.table.get(key)?;
            let old = old.and_then(|old| Pointer::journal(old.value()));
            self.unpoint(old)?;
            let length = HEAD_LENGTH + place.length as usize;
            let mut record = self.table.insert_reserve(key, length)?;
            let record = record.as_mut();
            record[0] = PLAIN;
            record[1..HEAD_LENGTH].copy_from_slice(&place.checksum);
            let contents = &mut record[HEAD_LENGTH..];
            self.journal.read_at(place.offset, contents)?;
        }
        Ok(())
    }

    /// The present journal's file is kept for its payments.
    fn keep_journal(&mut self, present: &Present) -> Result<(), StoreError> {
        let count = present.len() as u64;
        self.kept.insert(self.journal.number(), count)?;
        Ok(())
    }

    /// A record that pointed into this journal is gone.
    fn unpoint(&mut self, journal: Option<u64>) -> Result<(), StoreError> {
        // Of the present one, what is left is counted when it is kept.
        let Some(journal) = journal.filter(|journal| *journal != self.journal.number()) else {
            return Ok(());
        };
        let count = self.kept.get(journal)?.map_or(0, |count| count.value());
        if count > 1 {
            self.kept.insert(journal, count - 1)?;
        } else {
            self.kept.remove(journal)?;
            self.unused.push(journal);
        }
        Ok(())
    }
}
