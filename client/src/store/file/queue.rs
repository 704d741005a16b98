//! The queue between everybody who writes and the one thread that commits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    TryLockError,
};
use std::time::{Duration, Instant};
use std::{fmt, mem};

use super::FileOptions;
use crate::store::group::Group;
use crate::store::{ClientWrite, Observer, StoreError, Ticket, Urgency, Write};

/// What is queued, and how far it is durable.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Told when the committer has something to do.
    work: Condvar,
    durable: AtomicU64,
    /// Bytes taken by the committer and not durable yet.
    committing: AtomicUsize,
    observer: Mutex<Option<Arc<dyn Observer>>>,
    /// Bytes of the journal's present pass that are durable.
    journal_length: AtomicU64,
    /// Held for writing while the journal is about to be written over, or one is removed.
    reading: RwLock<()>,
    later: Duration,
    limit: usize,
}

#[derive(Default)]
struct State {
    group: Group,
    newest: Ticket,
    /// When the group is to be committed at the latest; `None` if it is empty.
    due: Option<Due>,
    requests: Vec<(Request, Answer)>,
    /// The committer waits.
    is_idle: bool,
    /// Too much was queued.
    overrun: Option<StoreError>,
    /// Why nothing becomes durable any more.
    end: Option<StoreError>,
}

#[derive(Clone, Copy)]
enum Due {
    Now,
    At(Instant),
}

/// Where the answer to a request goes.
pub(super) type Answer = SyncSender<Result<(), StoreError>>;

/// What the committer is asked to do besides committing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Request {
    /// The index is to follow everything that was written.
    Follow,
    /// Everything is to be made durable, and then nothing more.
    Close,
}

/// What the committer does next: commit the group if there is something in it, then what it is
/// asked.
pub(super) struct Work {
    pub(super) group: Group,
    pub(super) requests: Vec<(Request, Answer)>,
}

impl Queue {
    pub(super) fn new(options: &FileOptions) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            durable: AtomicU64::new(0),
            committing: AtomicUsize::new(0),
            observer: Mutex::new(None),
            journal_length: AtomicU64::new(0),
            reading: RwLock::new(()),
            later: options.later,
            limit: options.queue_limit.min(u32::MAX as usize),
        }
    }

    pub(super) fn write(&self, write: Write) -> Ticket {
        let urgency = write.urgency;
        let (ticket, superseded) = self.add(urgency, |group, ticket| group.add(write, ticket));
        drop(superseded);
        ticket
    }

    pub(super) fn write_client(&self, write: ClientWrite) -> Ticket {
        let urgency = write.urgency;
        let (ticket, _) = self.add(urgency, |group, ticket| {
            group.add_client(write, ticket);
            None
        });
        ticket
    }

    /// Adds something to the group. What it supersedes is given back, to be freed outside the lock.
    fn add(
        &self,
        urgency: Urgency,
        add: impl FnOnce(&mut Group, Ticket) -> Option<Vec<u8>>,
    ) -> (Ticket, Option<Vec<u8>>) {
        let mut state = self.lock();
        let ticket = state.newest.next();
        state.newest = ticket;
        if state.end.is_some() || state.overrun.is_some() {
            return (ticket, None);
        }
        let superseded = add(&mut state.group, ticket);
        let is_sooner = match (state.due, urgency) {
            (None | Some(Due::At(_)), Urgency::Now) => {
                state.due = Some(Due::Now);
                true
            }
            (None, Urgency::Later) => {
                state.due = Some(Due::At(Instant::now() + self.later));
                true
            }
            _ => false,
        };
        let queued = self.committing.load(Ordering::Relaxed) + state.group.bytes;
        if queued > self.limit {
            // The committer may hang in a flush; it gives up when it comes back.
            state.group = Group::default();
            state.overrun = Some(StoreError::Overrun {
                queued,
                limit: self.limit,
            });
        }
        let wakes = is_sooner && mem::take(&mut state.is_idle);
        drop(state);
        if wakes {
            self.work.notify_one();
        }
        (ticket, superseded)
    }

    pub(super) fn durable(&self) -> Ticket {
        Ticket(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn backlog(&self) -> usize {
        self.committing.load(Ordering::Relaxed) + self.lock().group.bytes
    }

    pub(super) fn set_observer(&self, observer: Arc<dyn Observer>) {
        // Whoever tells an observer something holds this lock, so that it hears things in order.
        let mut slot = self.observer();
        let durable = self.durable();
        if durable > Ticket::NONE {
            observer.durable(durable);
        }
        if let Some(error) = self.failure() {
            observer.failed(&error);
        }
        *slot = Some(observer);
    }

    /// Asks the committer for something and waits until it is done.
    pub(super) fn ask(&self, request: Request) -> Result<(), StoreError> {
        let (sender, receiver) = sync_channel(1);
        {
            let mut state = self.lock();
            if let Some(end) = &state.end {
                return match (request, end) {
                    (Request::Close, StoreError::Closed) => Ok(()),
                    _ => Err(end.clone()),
                };
            }
            state.requests.push((request, sender));
            state.is_idle = false;
        }
        self.work.notify_one();
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// While this is held, the journal is not written over, and none is removed.
    pub(super) fn reading(&self) -> RwLockReadGuard<'_, ()> {
        self.reading.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// While this is held, nobody reads in the journal.
    pub(super) fn no_reading(&self) -> RwLockWriteGuard<'_, ()> {
        self.reading.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless somebody reads.
    pub(super) fn try_no_reading(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match self.reading.try_write() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Bytes of the journal's present pass that are durable. Meant to be asked by who reads in it.
    pub(super) fn journal_length(&self) -> u64 {
        self.journal_length.load(Ordering::Acquire)
    }

    /// So many bytes of the journal's present pass are durable.
    pub(super) fn set_journal_length(&self, length: u64) {
        self.journal_length.store(length, Ordering::Release);
    }

    /// Waits for something to do and takes it. An error if more is queued than may be.
    pub(super) fn take(&self) -> Result<Work, StoreError> {
        let mut state = self.lock();
        loop {
            if let Some(overrun) = state.overrun.take() {
                state.end = Some(overrun.clone());
                return Err(overrun);
            }
            let wait = match state.due {
                _ if !state.requests.is_empty() => break,
                Some(Due::Now) => break,
                Some(Due::At(due)) => match due.checked_duration_since(Instant::now()) {
                    Some(wait) if !wait.is_zero() => Some(wait),
                    _ => break,
                },
                None => None,
            };
            state.is_idle = true;
            state = match wait {
                None => {
                    let woken = self.work.wait(state);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
                Some(wait) => {
                    let woken = self.work.wait_timeout(state, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.is_idle = false;
        }
        state.due = None;
        let group = mem::take(&mut state.group);
        let requests = mem::take(&mut state.requests);
        self.committing.store(group.bytes, Ordering::Relaxed);
        Ok(Work { group, requests })
    }

    /// Everything up to this ticket is durable.
    pub(super) fn advance(&self, ticket: Ticket) {
        self.committing.store(0, Ordering::Relaxed);
        self.durable.store(ticket.0, Ordering::Release);
        if let Some(observer) = &*self.observer() {
            observer.durable(ticket);
        }
    }

    /// Nothing becomes durable any more. Called once, by the committer.
    pub(super) fn end(&self, error: StoreError) {
        // Before the state, so that an observer set meanwhile does not hear it twice.
        let observer = self.observer();
        let requests = {
            let mut state = self.lock();
            state.end = Some(error.clone());
            state.due = None;
            state.group = Group::default();
            mem::take(&mut state.requests)
        };
        self.committing.store(0, Ordering::Relaxed);
        for (_, answer) in requests {
            let _ = answer.send(Err(error.clone()));
        }
        if !matches!(error, StoreError::Closed)
            && let Some(observer) = &*observer
        {
            observer.failed(&error);
        }
    }

    /// Why the store has failed, if it has.
    fn failure(&self) -> Option<StoreError> {
        let end = self.lock().end.clone();
        end.filter(|end| !matches!(end, StoreError::Closed))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observer(&self) -> MutexGuard<'_, Option<Arc<dyn Observer>>> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}
