//! The store on a disk: a folder with an index, a journal and, for big payments, old journals.
//!
//! ```text
//! folder/  lock         held while the store is open
//!          index.redb   what was, once it has moved out of the journal
//!          journal-N    every commit since then: one write, one flush
//!          journal-M    M < N: kept, because the index points to payments in it
//! ```
//!
//! A commit into a B-tree file writes pages here and there; one into the journal appends bytes to
//! what is already there. A flush is all that either waits for, and the latter's is a fraction of the
//! former's. The index follows when a pass over the journal is full, at a start, and when somebody
//! reads.
//!
//! All writing is done by one thread of the store's own (`committer`).

mod backend;
mod change;
mod committer;
mod copy;
mod frame;
mod index;
mod journal;
mod pointer;
mod queue;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use perun_protocol::{ChannelId, PublicKey, Version};

use self::committer::Committer;
use self::index::Index;
use self::queue::{Queue, Request};
use super::disk::{Disk, Folder};
use super::{
    ClientWrite, Loaded, LoadedChannel, Observer, Store, StoreError, StoredPayments, Ticket, Write,
};

/// A store on a disk.
#[derive(Debug)]
pub struct FileStore {
    queue: Arc<Queue>,
    /// Gone once the store is closed, so that it can be opened again.
    open: Mutex<Option<Open>>,
    committer: Mutex<Option<JoinHandle<()>>>,
    flushes: Arc<AtomicU64>,
    was_torn: bool,
}

/// What reading needs.
#[derive(Clone, Debug)]
struct Open {
    disk: Arc<dyn Disk>,
    index: Arc<Index>,
}

/// How a [`FileStore`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct FileOptions {
    /// How long a write that nobody waits for is left to share the flush of another.
    pub later: Duration,
    /// Bytes that may be queued. With more the store fails, rather than let a disk that hangs take
    /// all memory. Below 4 GiB.
    pub queue_limit: usize,
    /// Bytes after which a pass over the journal ends. Its file is made that long at the beginning.
    pub journal_length: u64,
    /// Bytes after which a pass ends that is payments for the most part, so that its file is kept.
    pub kept_journal_length: u64,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            later: Duration::from_millis(50),
            queue_limit: 1 << 30,
            journal_length: 8 << 20,
            kept_journal_length: 64 << 20,
        }
    }
}

impl FileStore {
    /// Opens the store in this folder for its owner, or makes one. The folder's parent must exist.
    pub fn open(path: &Path, identity: &PublicKey) -> Result<Self, StoreError> {
        let folder = Arc::new(Folder::open(path)?);
        Self::open_on(folder, identity, FileOptions::default())
    }

    /// Opens the store on this disk for its owner, or makes one.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        identity: &PublicKey,
        options: FileOptions,
    ) -> Result<Self, StoreError> {
        let flushes = Arc::new(AtomicU64::new(0));
        let opened = Committer::open(&disk, identity, options, &flushes)?;
        let (committer, was_torn) = opened;
        let queue = Arc::new(Queue::new(&options));
        let index = committer.index().clone();
        let thread = {
            let queue = queue.clone();
            std::thread::Builder::new()
                .name("perun-store".to_owned())
                .spawn(move || committer.run(&queue))
                .map_err(StoreError::io("starting its thread"))?
        };
        Ok(Self {
            queue,
            open: Mutex::new(Some(Open { disk, index })),
            committer: Mutex::new(Some(thread)),
            flushes,
            was_torn,
        })
    }

    /// How many flushes the disk was asked for since the store was opened: one a commit, some at the
    /// beginning, and some whenever the index follows.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// What reading needs, after the index has followed everything written so far.
    fn followed(&self) -> Result<Open, StoreError> {
        self.queue.ask(Request::Follow)?;
        self.opened()
    }

    fn opened(&self) -> Result<Open, StoreError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or(StoreError::Closed)
    }
}

impl Store for FileStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        Ok(Loaded {
            was_torn: self.was_torn,
            ..self.followed()?.index.load()?
        })
    }

    fn write(&self, write: Write) -> Ticket {
        self.queue.write(write)
    }

    fn write_client(&self, write: ClientWrite) -> Ticket {
        self.queue.write_client(write)
    }

    fn durable(&self) -> Ticket {
        self.queue.durable()
    }

    fn set_observer(&self, observer: Arc<dyn Observer>) {
        self.queue.set_observer(observer);
    }

    fn backlog(&self) -> usize {
        self.queue.backlog()
    }

    fn payments(
        &self,
        channel: &ChannelId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<StoredPayments>, StoreError> {
        let Open { disk, index } = self.followed()?;
        // The journal is not written over while somebody reads in it.
        let _reading = self.queue.reading();
        index.payments(&*disk, (channel, from), limit)
    }

    fn archived(
        &self,
        after: Option<&ChannelId>,
        limit: usize,
    ) -> Result<Vec<LoadedChannel>, StoreError> {
        self.followed()?.index.archived(after, limit)
    }

    fn close(&self) -> Result<(), StoreError> {
        let open = self.open.lock();
        drop(open.unwrap_or_else(PoisonError::into_inner).take());
        let closed = self.queue.ask(Request::Close);
        let thread = self.committer.lock();
        let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Its panics are caught, and told as the failure of the store.
            let _ = thread.join();
        }
        closed
    }
}

impl Drop for FileStore {
    /// Closes it, if that was not done.
    fn drop(&mut self) {
        let _ = self.close();
    }
}
