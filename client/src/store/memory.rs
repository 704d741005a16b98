//! A store in memory, for tests and for benches without a disk.
//!
//! [`MemoryStore::new`] makes everything durable at once. [`MemoryStore::held`] is for tests of
//! crashes: nothing is durable until the test says so, and what a crash would leave is there at any
//! time as a store of its own:
//!
//! ```
//! use perun_client::store::{MemoryStore, Store, Ticket, Write};
//! use perun_protocol::ChannelId;
//!
//! let store = MemoryStore::held();
//! let mut write = Write::new(ChannelId::from_bytes([1; 32]));
//! (write.opening, write.snapshot) = (Some(vec![1]), Some(vec![2]));
//! let ticket = store.write(write);
//! assert_eq!(store.durable(), Ticket::NONE);
//! assert!(store.durable_copy().load().unwrap().channels.is_empty());
//!
//! store.release();
//! assert_eq!(store.durable(), ticket);
//! assert_eq!(store.durable_copy().load().unwrap().channels.len(), 1);
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io, mem};

use perun_protocol::{ChannelId, Version};

use super::group::{ChannelGroup, Group};
use super::{
    ClientWrite, Damage, Flaw, Loaded, LoadedChannel, Observer, RecordKind, Store, StoreError,
    StoredChannel, StoredPayments, Ticket, Write,
};

/// A store in memory.
pub struct MemoryStore {
    state: Mutex<State>,
    durable: AtomicU64,
    observer: Mutex<Option<Arc<dyn Observer>>>,
    is_held: bool,
}

#[derive(Default)]
struct State {
    content: Content,
    newest: Ticket,
    /// Writes that are not durable, each as a group of one, if the store is held.
    queued: VecDeque<Group>,
    /// How many commits still succeed; `None` if all do.
    good_commits: Option<u64>,
    end: Option<StoreError>,
}

/// What is durable.
#[derive(Clone, Default)]
struct Content {
    channels: BTreeMap<ChannelId, Parts>,
    archived: BTreeMap<ChannelId, Parts>,
    payments: BTreeMap<(ChannelId, Version), Vec<u8>>,
    cursor: Option<u64>,
    entries: BTreeMap<String, Vec<u8>>,
}

/// A channel's opening and snapshot.
#[derive(Clone, Default)]
struct Parts {
    opening: Option<Vec<u8>>,
    snapshot: Option<Vec<u8>>,
}

impl MemoryStore {
    /// An empty store to which everything is durable when it is written. Its observer is told
    /// nothing but a failure that was ordered.
    pub fn new() -> Self {
        Self::with(Content::default(), false)
    }

    /// An empty store to which nothing is durable before [`MemoryStore::release`].
    pub fn held() -> Self {
        Self::with(Content::default(), true)
    }

    fn with(content: Content, is_held: bool) -> Self {
        Self {
            state: Mutex::new(State {
                content,
                ..State::default()
            }),
            durable: AtomicU64::new(0),
            observer: Mutex::new(None),
            is_held,
        }
    }

    /// What a crash at this moment would leave, opened again: a store of the same kind with what is
    /// durable. Kept for long and opened again later, it is an old copy.
    pub fn durable_copy(&self) -> Self {
        Self::with(self.lock().content.clone(), self.is_held)
    }

    /// The same, but everything is durable at once from then on.
    pub fn durable_copy_at_once(&self) -> Self {
        Self::with(self.lock().content.clone(), false)
    }

    /// Makes everything durable that was written, as one commit, and tells the observer.
    pub fn release(&self) {
        let newest = self.lock().newest;
        self.release_through(newest);
    }

    /// Makes what was written durable up to this ticket, as one commit, and tells the observer.
    pub fn release_through(&self, ticket: Ticket) {
        let mut state = self.lock();
        let is_due = |group: &Group| group.newest <= ticket;
        let count = state
            .queued
            .iter()
            .take_while(|group| is_due(group))
            .count();
        if count == 0 {
            return;
        }
        if !state.may_commit() {
            drop(state);
            return self.fail();
        }
        let mut newest = Ticket::NONE;
        let groups: Vec<_> = state.queued.drain(..count).collect();
        for group in groups {
            newest = group.newest;
            state.content.apply(group);
        }
        drop(state);
        self.durable.store(newest.number(), Ordering::Release);
        if let Some(observer) = &*self.observer() {
            observer.durable(newest);
        }
    }

    /// From now on this many commits succeed, and the one after them fails. In a store that is not
    /// held, every write is a commit.
    pub fn fail_after(&self, commits: u64) {
        self.lock().good_commits = Some(commits);
    }

    /// Fails for good, as if a flush had failed, and tells the observer.
    pub fn fail(&self) {
        let error = StoreError::io("flushing")(io::Error::other("a failure made on purpose"));
        let observer = self.observer();
        {
            let mut state = self.lock();
            if state.end.is_some() {
                return;
            }
            state.end = Some(error.clone());
            state.queued.clear();
        }
        if let Some(observer) = &*observer {
            observer.failed(&error);
        }
    }

    /// How many writes are not durable yet.
    pub fn queued(&self) -> usize {
        self.lock().queued.len()
    }

    fn add(&self, add: impl FnOnce(&mut Group, Ticket)) -> Ticket {
        let mut state = self.lock();
        let ticket = state.newest.next();
        state.newest = ticket;
        if state.end.is_some() {
            return ticket;
        }
        let mut group = Group::default();
        add(&mut group, ticket);
        // A write of nothing has its turn, too.
        group.newest = ticket;
        if self.is_held {
            state.queued.push_back(group);
        } else if state.may_commit() {
            state.content.apply(group);
            self.durable.store(ticket.number(), Ordering::Release);
        } else {
            drop(state);
            self.fail();
        }
        ticket
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observer(&self) -> MutexGuard<'_, Option<Arc<dyn Observer>>> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is durable.
    fn read<T>(&self, read: impl FnOnce(&Content) -> T) -> Result<T, StoreError> {
        let state = self.lock();
        match &state.end {
            Some(end) => Err(end.clone()),
            None => Ok(read(&state.content)),
        }
    }

    /// Reads everything that was written, without making it durable.
    fn read_all<T>(&self, read: impl FnOnce(&Content) -> T) -> Result<T, StoreError> {
        let state = self.lock();
        if state.queued.is_empty() {
            drop(state);
            return self.read(read);
        }
        let mut content = state.content.clone();
        for group in &state.queued {
            content.apply(group.clone());
        }
        Ok(read(&content))
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.read(|content| Loaded {
            channels: content
                .channels
                .iter()
                .map(|(channel, parts)| (*channel, parts.whole()))
                .collect(),
            cursor: content.cursor.map(Ok),
            entries: content
                .entries
                .iter()
                .map(|(name, value)| (name.clone(), Ok(value.clone())))
                .collect(),
            was_torn: false,
            was_salvaged: false,
        })
    }

    fn write(&self, write: Write) -> Ticket {
        self.add(|group, ticket| drop(group.add(write, ticket)))
    }

    fn write_client(&self, write: ClientWrite) -> Ticket {
        self.add(|group, ticket| group.add_client(write, ticket))
    }

    fn durable(&self) -> Ticket {
        Ticket(self.durable.load(Ordering::Acquire))
    }

    fn set_observer(&self, observer: Arc<dyn Observer>) {
        let mut slot = self.observer();
        let durable = self.durable();
        if durable > Ticket::NONE {
            observer.durable(durable);
        }
        let end = self.lock().end.clone();
        if let Some(error) = end.filter(|end| !matches!(end, StoreError::Closed)) {
            observer.failed(&error);
        }
        *slot = Some(observer);
    }

    fn backlog(&self) -> usize {
        self.lock().queued.iter().map(|group| group.bytes).sum()
    }

    fn payments(
        &self,
        channel: &ChannelId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<StoredPayments>, StoreError> {
        self.read_all(|content| {
            let last = Version::new(u64::MAX);
            let mut bytes = 0;
            let mut page = Vec::new();
            for ((_, version), payments) in
                content.payments.range((*channel, from)..=(*channel, last))
            {
                bytes += payments.len();
                if bytes > limit && !page.is_empty() {
                    break;
                }
                page.push(StoredPayments {
                    version: *version,
                    payments: Ok(payments.clone()),
                });
            }
            page
        })
    }

    fn archived(
        &self,
        after: Option<&ChannelId>,
        limit: usize,
    ) -> Result<Vec<LoadedChannel>, StoreError> {
        self.read_all(|content| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let archived = content.archived.range((start, Bound::Unbounded));
            archived
                .take(limit)
                .map(|(channel, parts)| (*channel, parts.whole()))
                .collect()
        })
    }

    fn close(&self) -> Result<(), StoreError> {
        if self.is_held {
            self.release();
        }
        let mut state = self.lock();
        match state.end.get_or_insert(StoreError::Closed) {
            StoreError::Closed => Ok(()),
            failure => Err(failure.clone()),
        }
    }
}

impl State {
    /// Whether the next commit succeeds; it is counted.
    fn may_commit(&mut self) -> bool {
        match &mut self.good_commits {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

impl Content {
    fn apply(&mut self, group: Group) {
        for (channel, changes) in group.channels {
            self.apply_channel(channel, changes);
        }
        self.cursor = group.cursor.or(self.cursor);
        for (name, value) in group.entries {
            match value {
                Some(value) => self.entries.insert(name, value),
                None => self.entries.remove(&name),
            };
        }
    }

    fn apply_channel(&mut self, channel: ChannelId, changes: ChannelGroup) {
        if changes.is_erased {
            self.channels.remove(&channel);
            self.archived.remove(&channel);
            self.payments.retain(|(of, _), _| *of != channel);
        }
        if changes.opening.is_some() || changes.snapshot.is_some() {
            let parts = self.channels.entry(channel).or_default();
            parts.opening = changes.opening.or_else(|| mem::take(&mut parts.opening));
            parts.snapshot = changes.snapshot.or_else(|| mem::take(&mut parts.snapshot));
        }
        for (version, payments) in changes.payments {
            match payments {
                Some(payments) => self.payments.insert((channel, version), payments),
                None => self.payments.remove(&(channel, version)),
            };
        }
        if changes.is_archived
            && let Some(parts) = self.channels.remove(&channel)
        {
            self.archived.insert(channel, parts);
        }
    }
}

impl Parts {
    fn whole(&self) -> Result<StoredChannel, Damage> {
        let part = |part: &Option<Vec<u8>>, record| {
            let flaw = Flaw::Missing;
            part.clone().ok_or(Damage { record, flaw })
        };
        Ok(StoredChannel {
            opening: part(&self.opening, RecordKind::Opening)?,
            snapshot: part(&self.snapshot, RecordKind::Snapshot)?,
        })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("durable", &self.durable())
            .field("is_held", &self.is_held)
            .finish_non_exhaustive()
    }
}
