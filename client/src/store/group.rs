//! Writes that are queued and will share one commit.

use std::collections::{BTreeMap, HashMap};

use perun_protocol::{ChannelId, Version};

use super::{ClientWrite, Ending, Ticket, Write};

/// What queued up since the last commit. Of a channel's snapshots only the newest is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) channels: HashMap<ChannelId, ChannelGroup>,
    pub(super) cursor: Option<u64>,
    pub(super) entries: BTreeMap<String, Option<Vec<u8>>>,
    /// The last write that is part of it.
    pub(super) newest: Ticket,
    /// What it holds.
    pub(super) bytes: usize,
}

/// What queued up of one channel, in the order in which it is to be carried out.
#[derive(Clone, Debug, Default)]
pub(super) struct ChannelGroup {
    /// Everything stored before is deleted first.
    pub(super) is_erased: bool,
    pub(super) opening: Option<Vec<u8>>,
    pub(super) snapshot: Option<Vec<u8>>,
    /// Payments to store, or (`None`) to forget.
    pub(super) payments: Vec<(Version, Option<Vec<u8>>)>,
    pub(super) is_archived: bool,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.cursor.is_none() && self.entries.is_empty()
    }

    /// Adds a write. Gives back the snapshot that it supersedes, so that the caller can free it
    /// after he has let go of the queue.
    pub(super) fn add(&mut self, write: Write, ticket: Ticket) -> Option<Vec<u8>> {
        let Write {
            channel,
            opening,
            snapshot,
            payments,
            forget,
            ending,
            urgency: _,
        } = write;
        self.newest = ticket;
        let queued = self.channels.entry(channel).or_default();
        let mut superseded = None;
        if opening.is_some() {
            self.bytes += length(&opening);
            self.bytes -= length(&queued.opening);
            queued.opening = opening;
        }
        if snapshot.is_some() {
            self.bytes += length(&snapshot);
            self.bytes -= length(&queued.snapshot);
            superseded = std::mem::replace(&mut queued.snapshot, snapshot);
        }
        if let Some((version, bytes)) = payments {
            self.bytes += bytes.len();
            queued.payments.push((version, Some(bytes)));
        }
        if let Some(version) = forget {
            queued.payments.push((version, None));
        }
        match ending {
            None => {}
            Some(Ending::Archive) => queued.is_archived = true,
            Some(Ending::Erase) => {
                self.bytes -= queued.bytes();
                *queued = ChannelGroup {
                    is_erased: true,
                    ..ChannelGroup::default()
                };
            }
        }
        superseded
    }

    /// Adds a write that is of no channel.
    pub(super) fn add_client(&mut self, write: ClientWrite, ticket: Ticket) {
        let ClientWrite {
            cursor,
            entries,
            urgency: _,
        } = write;
        self.newest = ticket;
        self.cursor = cursor.or(self.cursor);
        for (name, value) in entries {
            self.bytes += length(&value);
            if let Some(superseded) = self.entries.insert(name, value) {
                self.bytes -= length(&superseded);
            }
        }
    }
}

impl ChannelGroup {
    fn bytes(&self) -> usize {
        let payments = self.payments.iter().map(|(_, bytes)| length(bytes));
        length(&self.opening) + length(&self.snapshot) + payments.sum::<usize>()
    }
}

fn length(bytes: &Option<Vec<u8>>) -> usize {
    bytes.as_ref().map_or(0, Vec::len)
}
