//! What a commit changes, record by record.

use std::collections::HashMap;

use perun_protocol::{ChannelId, Version};

use crate::store::record::{Checksum, PaymentsKey, Sealed, payments_key};

/// One change. Of payments only the place is told: their bytes stay in the journal.
#[derive(Debug)]
pub(super) enum Change {
    Opening(ChannelId, Sealed),
    Snapshot(ChannelId, Sealed),
    Payments(ChannelId, Version, Place),
    Forget(ChannelId, Version),
    Archive(ChannelId),
    Erase(ChannelId),
    Cursor(Sealed),
    Entry(String, Option<Sealed>),
}

/// Where in a journal some bytes lie, and their checksum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) checksum: Checksum,
}

/// The changes that the index does not know yet, merged.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) channels: HashMap<ChannelId, ChannelChange>,
    /// In the order in which they are to be carried out.
    pub(super) payments: Vec<PaymentsChange>,
    pub(super) cursor: Option<Sealed>,
    pub(super) entries: HashMap<String, Option<Sealed>>,
}

/// What changed of one channel.
#[derive(Debug, Default)]
pub(super) struct ChannelChange {
    /// Everything stored before is deleted first.
    pub(super) is_erased: bool,
    pub(super) opening: Option<Sealed>,
    pub(super) snapshot: Option<Sealed>,
    pub(super) is_archived: bool,
}

/// What changed of payments.
#[derive(Clone, Copy, Debug)]
pub(super) enum PaymentsChange {
    Put(PaymentsKey, Place),
    Forget(PaymentsKey),
    Erase(ChannelId),
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
            && self.payments.is_empty()
            && self.cursor.is_none()
            && self.entries.is_empty()
    }

    pub(super) fn add(&mut self, change: Change) {
        match change {
            Change::Opening(channel, opening) => {
                self.channel(channel).opening = Some(opening);
            }
            Change::Snapshot(channel, snapshot) => {
                self.channel(channel).snapshot = Some(snapshot);
            }
            Change::Payments(channel, version, place) => {
                let key = payments_key(&channel, version);
                self.payments.push(PaymentsChange::Put(key, place));
            }
            Change::Forget(channel, version) => {
                let key = payments_key(&channel, version);
                self.payments.push(PaymentsChange::Forget(key));
            }
            Change::Archive(channel) => self.channel(channel).is_archived = true,
            Change::Erase(channel) => {
                *self.channel(channel) = ChannelChange {
                    is_erased: true,
                    ..ChannelChange::default()
                };
                self.payments.push(PaymentsChange::Erase(channel));
            }
            Change::Cursor(cursor) => self.cursor = Some(cursor),
            Change::Entry(name, value) => {
                self.entries.insert(name, value);
            }
        }
    }

    fn channel(&mut self, channel: ChannelId) -> &mut ChannelChange {
        self.channels.entry(channel).or_default()
    }
}
