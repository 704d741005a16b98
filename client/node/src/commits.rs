//! Commits: what is queued for a file while its disk is busy becomes durable together.
//!
//! ```text
//!  push ──> queue ──everything queued──> apply, in a thread of its own ──> progress
//!                     at once if somebody waits, else a little later         │
//!  wait <────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A flush costs the same for one item as for hundreds. Invariants: items are applied in the order in
//! which they were pushed; after a failure nothing more is, until the file is opened again; whoever
//! waits is answered, also when the thread has ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::Error;

/// The queue of a file, and the thread that empties it.
pub(crate) struct Commits<T> {
    shared: Arc<Shared<T>>,
    most: usize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How a [`Commits`] behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// For how long an item that nobody waits for is left to share a commit with others.
    pub(crate) later: Duration,
    /// How many items may be queued.
    pub(crate) most: usize,
}

/// The place of an item among all that were pushed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Number(u64);

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    wake: Condvar,
    progress: watch::Sender<Progress>,
}

struct Queue<T> {
    items: Vec<T>,
    /// When the oldest of them was pushed.
    since: Instant,
    pushed: u64,
    /// Somebody waits for the items up to here.
    awaited: u64,
    is_closed: bool,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    committed: u64,
    failure: Option<Arc<str>>,
    /// The thread has ended: nothing more is committed.
    is_over: bool,
}

/// Says that the thread has ended, however it does.
struct Ending<'a>(&'a watch::Sender<Progress>);

impl<T: Send + 'static> Commits<T> {
    /// Starts the thread. `apply` makes items durable, all or none.
    pub(crate) fn start(
        name: &str,
        pace: Pace,
        apply: impl FnMut(Vec<T>) -> Result<(), redb::Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                items: Vec::new(),
                since: Instant::now(),
                pushed: 0,
                awaited: 0,
                is_closed: false,
            }),
            wake: Condvar::new(),
            progress: watch::Sender::new(Progress::default()),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            let name = name.to_owned();
            std::thread::Builder::new()
                .name(format!("perun-{name}"))
                .spawn(move || shared.run(&name, pace.later, apply))
                .map_err(Error::internal)?
        };
        Ok(Self {
            shared,
            most: pace.most,
            thread: Mutex::new(Some(thread)),
        })
    }
}

impl<T> Commits<T> {
    /// Queues an item. Never waits for the disk.
    ///
    /// # Errors
    /// [`Error::Stopped`] once it is closed, [`Error::ResourceExhausted`] if the disk does not keep up.
    pub(crate) fn push(&self, item: T) -> Result<Number, Error> {
        let mut queue = self.shared.lock();
        if queue.is_closed {
            return Err(Error::Stopped);
        }
        if queue.items.len() >= self.most {
            return Err(Error::ResourceExhausted {
                message: format!("{} writes wait for the disk already", self.most),
            });
        }
        if queue.items.is_empty() {
            queue.since = Instant::now();
            self.shared.wake.notify_one();
        }
        queue.items.push(item);
        queue.pushed += 1;
        Ok(Number(queue.pushed))
    }

    /// The newest item.
    pub(crate) fn newest(&self) -> Number {
        Number(self.shared.lock().pushed)
    }

    /// Whether an item is durable.
    pub(crate) fn is_durable(&self, number: Number) -> bool {
        self.shared.progress.borrow().committed >= number.0
    }

    /// Waits until an item is durable.
    ///
    /// # Errors
    /// [`Error::Internal`] if it could not be written, [`Error::Stopped`] if it never will be.
    pub(crate) async fn wait(&self, number: Number) -> Result<(), Error> {
        let mut progress = self.shared.progress.subscribe();
        {
            let mut queue = self.shared.lock();
            queue.awaited = queue.awaited.max(number.0);
            self.shared.wake.notify_one();
        }
        let is_known = |progress: &Progress| {
            progress.committed >= number.0 || progress.failure.is_some() || progress.is_over
        };
        let progress = progress.wait_for(is_known).await;
        let progress = progress.expect("the sender is kept as long as this is");
        match &progress.failure {
            _ if progress.committed >= number.0 => Ok(()),
            Some(failure) => Err(Error::internal(failure)),
            None => Err(Error::Stopped),
        }
    }

    /// Waits until everything pushed so far is durable.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        self.wait(self.newest()).await
    }

    /// Waits, in this thread, until everything pushed so far is durable or was given up, and ends.
    pub(crate) fn close(&self) {
        self.shared.lock().is_closed = true;
        self.shared.wake.notify_one();
        let thread = self.thread.lock();
        let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Its panics are caught, and told as a failure.
            let _ = thread.join();
        }
    }
}

impl<T> Drop for Commits<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|progress| progress.is_over = true);
    }
}

impl<T> Shared<T> {
    fn run(
        &self,
        name: &str,
        later: Duration,
        mut apply: impl FnMut(Vec<T>) -> Result<(), redb::Error>,
    ) {
        let _ending = Ending(&self.progress);
        while let Some((items, pushed)) = self.next(later) {
            let applied = guarded(|| apply(items));
            let Err(failure) = applied else {
                self.progress
                    .send_modify(|progress| progress.committed = pushed);
                continue;
            };
            tracing::error!(file = name, failure, "nothing more is written to this file");
            self.progress
                .send_modify(|progress| progress.failure = Some(failure.into()));
            // Whatever is pushed from now on is in vain.
            while self.next(later).is_some() {}
        }
    }

    /// What is to be committed next; `None` once it is closed and nothing is left.
    fn next(&self, later: Duration) -> Option<(Vec<T>, u64)> {
        let mut queue = self.lock();
        loop {
            if queue.items.is_empty() {
                if queue.is_closed {
                    return None;
                }
                queue = self
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let first = queue.pushed - queue.items.len() as u64 + 1;
            let age = queue.since.elapsed();
            if queue.is_closed || queue.awaited >= first || age >= later {
                return Some((std::mem::take(&mut queue.items), queue.pushed));
            }
            let waited = self.wake.wait_timeout(queue, later - age);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `work` gives, or what went wrong in words. `redb` panics where a page went bad.
pub(crate) fn guarded<R>(work: impl FnOnce() -> Result<R, redb::Error>) -> Result<R, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its pages are damaged".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing() -> redb::Error {
        redb::Error::Corrupted("on purpose".into())
    }

    type Applied = Arc<Mutex<Vec<Vec<u32>>>>;

    fn applied(pace: Pace) -> (Commits<u32>, Applied) {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&applied);
        let commits = Commits::start("test", pace, move |items: Vec<u32>| {
            if items.contains(&666) {
                return Err(failing());
            }
            assert!(!items.contains(&667), "a panic on purpose");
            seen.lock().unwrap().push(items);
            Ok(())
        });
        (commits.unwrap(), applied)
    }

    const PATIENT: Pace = Pace {
        later: Duration::from_secs(3600),
        most: 10,
    };

    #[tokio::test]
    async fn what_is_queued_is_committed_together_once_somebody_waits() {
        let (commits, applied) = applied(PATIENT);
        let first = commits.push(1).unwrap();
        let last = commits.push(2).unwrap();
        assert!(!commits.is_durable(first));
        commits.wait(last).await.unwrap();
        assert!(commits.is_durable(first) && commits.is_durable(last));
        commits.push(3).unwrap();
        commits.flush().await.unwrap();
        assert_eq!(*applied.lock().unwrap(), [vec![1, 2], vec![3]]);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_committed_too() {
        let later = Duration::from_millis(20);
        let (commits, _) = applied(Pace { later, most: 10 });
        let number = commits.push(1).unwrap();
        let mut progress = commits.shared.progress.subscribe();
        let committed = progress.wait_for(|progress| progress.committed > 0);
        committed.await.unwrap();
        assert!(commits.is_durable(number));
    }

    #[test]
    fn what_is_queued_is_committed_at_the_end() {
        let (commits, applied) = applied(PATIENT);
        commits.push(1).unwrap();
        drop(commits);
        assert_eq!(*applied.lock().unwrap(), [vec![1]]);
    }

    #[tokio::test]
    async fn a_failure_is_for_good_and_told() {
        for bad in [666, 667] {
            let (commits, applied) = applied(PATIENT);
            commits.push(bad).unwrap();
            assert!(commits.flush().await.is_err());
            commits.push(1).unwrap();
            assert!(commits.flush().await.is_err());
            assert!(applied.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn the_queue_is_bounded() {
        let (commits, _) = applied(Pace { most: 2, ..PATIENT });
        commits.push(1).unwrap();
        commits.push(2).unwrap();
        let refused = commits.push(3).unwrap_err();
        assert!(matches!(refused, Error::ResourceExhausted { .. }));
    }

    #[tokio::test]
    async fn nothing_is_taken_or_waited_for_after_the_end() {
        let (commits, applied) = applied(PATIENT);
        let last = commits.push(1).unwrap();
        commits.close();
        assert_eq!(commits.push(2), Err(Error::Stopped));
        // What was taken before was committed, and nothing else ever is.
        commits.wait(last).await.unwrap();
        commits.flush().await.unwrap();
        assert_eq!(commits.wait(Number(2)).await, Err(Error::Stopped));
        assert_eq!(*applied.lock().unwrap(), [vec![1]]);
    }

    #[tokio::test]
    async fn who_waits_when_the_thread_ends_is_told() {
        let (commits, _) = applied(PATIENT);
        let commits = Arc::new(commits);
        let waiting = Arc::clone(&commits);
        let waiting = tokio::spawn(async move { waiting.wait(Number(1)).await });
        // It waits for something that is not there yet.
        while commits.shared.lock().awaited == 0 {
            tokio::task::yield_now().await;
        }
        commits.close();
        assert_eq!(waiting.await.unwrap(), Err(Error::Stopped));
    }
}
