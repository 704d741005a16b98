//! The one thread that writes: it takes everything that is queued, makes it durable by one flush of
//! the journal, and lets the index follow when it is time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use perun_protocol::{PublicKey, Version};

use super::FileOptions;
use super::change::{Change, Changes};
use super::copy::UNFINISHED;
use super::index::{self, Index, Pass, Present, panic_message};
use super::journal::{self, Journal, Replayed};
use super::queue::{Queue, Request, Work};
use crate::store::StoreError;
use crate::store::disk::{Disk, LOCK};
use crate::store::record::{PaymentsKey, payments_key};

/// The number of the first journal.
const FIRST_JOURNAL: u64 = 1;
/// The sequence of the first frame of all.
const FIRST_FRAME: u64 = 1;

/// Journal and index, and what the one knows and the other does not.
#[derive(Debug)]
pub(super) struct Committer {
    disk: Arc<dyn Disk>,
    index: Arc<Index>,
    journal: Journal,
    behind: Behind,
    /// Kept journals that nothing points to any more, to be removed when nobody reads.
    unused: Vec<u64>,
    options: FileOptions,
}

/// What is in the present pass of the journal and not, or not wholly, in the index.
#[derive(Debug, Default)]
struct Behind {
    changes: Changes,
    payments: Present,
    /// Bytes of these payments.
    payments_length: u64,
}

impl Committer {
    /// Opens a store, or makes one, and brings its index up to date. Tells whether the journal's end
    /// was cut short.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        identity: &PublicKey,
        options: FileOptions,
        flushes: &Arc<AtomicU64>,
    ) -> Result<(Self, bool), StoreError> {
        let names = disk.names().map_err(StoreError::io("listing its folder"))?;
        if names.iter().any(|name| name == UNFINISHED) {
            return Err(StoreError::NotAStore {
                reason: "it is a copy that was cut short".to_owned(),
            });
        }
        let has_journal = names.iter().any(|name| journal::number(name).is_some());
        let index = match Index::open(&**disk, flushes) {
            // The journal is made before the store is; without one there was none.
            Err(StoreError::NotAStore { .. }) if !has_journal && was_ours(&names) => {
                disk.remove(index::NAME)
                    .map_err(StoreError::io("removing an unfinished index"))?;
                Index::open(&**disk, flushes)?
            }
            index => index?,
        };
        let known = index.journal(identity)?;
        let (journal, replayed) = match &known {
            Some(state) => Journal::open(&**disk, state, flushes)?,
            None => {
                let length = options.journal_length;
                let journal =
                    Journal::create(&**disk, FIRST_JOURNAL, FIRST_FRAME, length, flushes)?;
                index.initialise(identity, &journal.state())?;
                (journal, Replayed::default())
            }
        };
        let mut committer = Self {
            disk: disk.clone(),
            index: Arc::new(index),
            journal,
            behind: Behind::default(),
            unused: Vec::new(),
            options,
        };
        let applied = known.map_or(0, |state| state.applied);
        let is_torn = replayed.is_torn;
        if is_torn || !replayed.frames.is_empty() {
            for (sequence, changes) in replayed.frames {
                for change in changes {
                    committer.behind.add(change, sequence > applied);
                }
            }
            committer.end_pass()?;
        }
        committer.remove_unused()?;
        committer.remove_leftovers(&names)?;
        Ok((committer, is_torn))
    }

    pub(super) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Works until the store is closed or fails.
    pub(super) fn run(mut self, queue: &Queue) {
        // What a panic leaves behind is dropped unused.
        let ended = catch_unwind(AssertUnwindSafe(|| self.work(queue)));
        let ended = ended.unwrap_or_else(|panic| {
            Err(StoreError::Damaged {
                reason: panic_message(&*panic),
            })
        });
        let Self { disk, index, .. } = self;
        match ended {
            Ok(answers) => {
                // A reader that is not done yet closes it when he is.
                let closed = Arc::into_inner(index).map_or(Ok(()), Index::close);
                drop(disk);
                queue.end(StoreError::Closed);
                for answer in answers {
                    let _ = answer.send(closed.clone());
                }
            }
            Err(error) => {
                // The disk is left alone from here on, as far as that is in our hands.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(index)));
                queue.end(error);
            }
        }
    }

    /// Works until the store is closed, and gives who is to be told.
    fn work(&mut self, queue: &Queue) -> Result<Vec<super::queue::Answer>, StoreError> {
        loop {
            let Work { group, requests } = queue.take()?;
            if !group.is_empty() {
                let newest = group.newest;
                let behind = &mut self.behind;
                self.journal
                    .commit(group, |change| behind.add(change, true))?;
                queue.set_journal_length(self.journal.length());
                queue.advance(newest);
            }
            let closes = requests.iter().any(|(what, _)| *what == Request::Close);
            let mut no_reading = match (closes, self.is_full()) {
                (true, _) => Some(queue.no_reading()),
                // Writers do not wait for readers: as long as somebody reads, the pass gets longer.
                (false, true) => queue.try_no_reading(),
                (false, false) => None,
            };
            if no_reading.is_some() {
                self.end_pass()?;
                queue.set_journal_length(self.journal.length());
            } else if !requests.is_empty() {
                self.follow()?;
            }
            if !self.unused.is_empty() {
                no_reading = no_reading.or_else(|| queue.try_no_reading());
                if no_reading.is_some() {
                    self.remove_unused()?;
                }
            }
            drop(no_reading);
            if closes {
                return Ok(requests.into_iter().map(|(_, answer)| answer).collect());
            }
            for (_, answer) in requests {
                // Who asked may have gone.
                let _ = answer.send(Ok(()));
            }
        }
    }

    /// Whether it is time to end the pass.
    fn is_full(&self) -> bool {
        let length = self.journal.length();
        let limit = if self.behind.is_mostly_payments(length) {
            self.options.kept_journal_length
        } else {
            self.options.journal_length
        };
        length >= limit
    }

    /// The index follows, and the pass goes on.
    fn follow(&mut self) -> Result<(), StoreError> {
        if self.behind.changes.is_empty() {
            return Ok(());
        }
        self.apply(Pass::GoesOn, None)
    }

    /// The index follows, and a new pass begins: in the same file, or in a new one if the old one is
    /// kept for its payments.
    fn end_pass(&mut self) -> Result<(), StoreError> {
        let length = self.journal.length();
        // A short one moves to the index rather than become a file of its own.
        let is_kept =
            length >= self.options.journal_length && self.behind.is_mostly_payments(length);
        if is_kept {
            let successor = self.journal.successor(&*self.disk)?;
            self.apply(Pass::IsKept, Some(&successor))?;
            self.journal = successor;
        } else {
            let next = self.journal.restarted();
            self.apply(Pass::Ends, Some(&next))?;
            self.journal = next;
        }
        self.behind = Behind::default();
        Ok(())
    }

    fn apply(&mut self, pass: Pass, next: Option<&Journal>) -> Result<(), StoreError> {
        let state = next.unwrap_or(&self.journal).state();
        let present = (&self.journal, &self.behind.payments);
        let unused = self
            .index
            .apply(&self.behind.changes, present, pass, &state)?;
        self.behind.changes = Changes::default();
        self.unused.extend(unused);
        Ok(())
    }

    fn remove_unused(&mut self) -> Result<(), StoreError> {
        for number in std::mem::take(&mut self.unused) {
            self.disk
                .remove(&journal::name(number))
                .map_err(StoreError::io("removing a journal"))?;
        }
        Ok(())
    }

    /// Removes journals that a crash has left behind.
    fn remove_leftovers(&self, names: &[String]) -> Result<(), StoreError> {
        let kept = self.index.kept()?;
        for name in names {
            let Some(number) = journal::number(name) else {
                continue;
            };
            if number != self.journal.number() && !kept.contains(&number) {
                self.disk
                    .remove(name)
                    .map_err(StoreError::io("removing a journal"))?;
            }
        }
        Ok(())
    }
}

impl Behind {
    /// Adds a change of the journal's present pass, which the index knows already or not.
    fn add(&mut self, change: Change, is_new: bool) {
        match &change {
            Change::Payments(channel, version, place) => {
                let key = payments_key(channel, *version);
                self.remove(&key);
                self.payments.insert(key, *place);
                self.payments_length += u64::from(place.length);
            }
            Change::Forget(channel, version) => {
                self.remove(&payments_key(channel, *version));
            }
            Change::Erase(channel) => {
                let first = payments_key(channel, Version::INITIAL);
                let last = payments_key(channel, Version::new(u64::MAX));
                let erased = self.payments.range(first..=last);
                let erased: Vec<_> = erased.map(|(key, _)| *key).collect();
                for key in erased {
                    self.remove(&key);
                }
            }
            _ => {}
        }
        if is_new {
            self.changes.add(change);
        }
    }

    fn remove(&mut self, key: &PaymentsKey) {
        if let Some(old) = self.payments.remove(key) {
            self.payments_length -= u64::from(old.length);
        }
    }

    fn is_mostly_payments(&self, length: u64) -> bool {
        self.payments_length > length / 2
    }
}

/// Whether a folder holds nothing but what a store begins with.
fn was_ours(names: &[String]) -> bool {
    names.iter().all(|name| name == index::NAME || name == LOCK)
}
