//! Calls that are made once, however often they are asked for.
//!
//! ```text
//!  begin ── no such key ─────> First ──┬─ done(result) ──> kept: begin says Done
//!    │                                 ├─ failed ────────> forgotten: begin says First
//!    ├── under way ──────────> an error └ dropped, crash ┐
//!    └── begun, no end known ─> Interrupted <────────────┘
//! ```
//!
//! A caller names a call by a key of its own and repeats it with the same key when it has lost the
//! answer. That a call has begun is durable before it does anything; its end becomes durable a little
//! later. So after a crash a call is found interrupted, and whoever makes it finds out first whether
//! it had its effect: payments and channels carry what they were made for.
//!
//! Invariant: between two `First` for a key, the call had certainly no effect, or its result is older
//! than a day, or so many calls ended since that it is not among the newest that are kept.

mod table;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::table::{Change, Stored, Table};
use crate::commits::{Commits, Number, Pace};
use crate::{Error, clock};

/// The longest key.
const MAX_KEY_LENGTH: usize = 128;

/// The calls of a session that were made with a key.
pub struct Calls {
    inner: Arc<Inner>,
}

/// What is to be done about a call.
#[derive(Debug)]
pub enum Begin {
    /// Make it. It is durable that it has begun.
    First(Ticket),
    /// It was made, and this was answered.
    Done(Vec<u8>),
    /// It had begun, and its end is not known: find out whether it had its effect, then make it or
    /// not, and tell the ticket.
    Interrupted(Ticket),
}

/// A call under way. Dropping it leaves the call interrupted.
pub struct Ticket {
    inner: Arc<Inner>,
    key: String,
    request: [u8; 32],
    /// Whether its end is known, so that dropping it says nothing.
    is_settled: bool,
}

/// How many results are kept, for how long.
#[derive(Clone, Copy, Debug)]
struct Keep {
    most: u64,
    for_s: i64,
}

struct Inner {
    table: Arc<Table>,
    commits: Commits<Change>,
    keep: Keep,
    now_s: fn() -> i64,
    /// What the table does not say yet.
    newer: Mutex<HashMap<String, Newer>>,
}

/// What is known of a key beyond the table.
enum Newer {
    /// Somebody has its ticket.
    Running([u8; 32]),
    /// So it will be once this change is durable.
    Queued(Option<Stored>, Number),
}

impl Calls {
    const KEEP: Keep = Keep {
        most: 100_000,
        for_s: 24 * 3600,
    };
    const PACE: Pace = Pace {
        later: Duration::from_millis(50),
        most: 100_000,
    };

    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be read or belongs to another process.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, Self::KEEP, clock::seconds)
    }

    fn open_with(path: &Path, keep: Keep, now_s: fn() -> i64) -> Result<Self, Error> {
        let table = Arc::new(Table::open(path)?);
        let commits = {
            let table = Arc::clone(&table);
            let apply = move |changes| table.apply(changes, keep, now_s());
            Commits::start("calls", Self::PACE, apply)?
        };
        Ok(Self {
            inner: Arc::new(Inner {
                table,
                commits,
                keep,
                now_s,
                newer: Mutex::default(),
            }),
        })
    }

    /// Begins the call that `key` names. `request` is a digest of everything that is asked for.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the key is none, or names a call with another request;
    /// [`Error::FailedPrecondition`] while somebody else is making it.
    pub async fn begin(&self, key: &str, request: [u8; 32]) -> Result<Begin, Error> {
        check_key(key)?;
        let inner = &self.inner;
        let (ticket, number) = {
            let mut newer = inner.newer();
            let known = match newer.get(key) {
                Some(Newer::Running(running)) => {
                    check_request(key, &request, running)?;
                    return Err(Error::FailedPrecondition {
                        message: "a call with this idempotency key is under way".to_owned(),
                    });
                }
                Some(Newer::Queued(stored, _)) => stored.clone(),
                None => inner.table.read(key)?,
            };
            // One whose end is unknown does not age.
            let is_kept = |stored: &Stored| match stored.ended_at_s() {
                Some(at_s) => at_s.saturating_add(inner.keep.for_s) > (inner.now_s)(),
                None => true,
            };
            let known = known.filter(is_kept);
            if let Some(stored) = &known {
                check_request(key, &request, &stored.request)?;
            }
            let is_first = known.is_none();
            if let Some((_, result)) = known.and_then(|stored| stored.end) {
                return Ok(Begin::Done(result));
            }
            let number = if is_first {
                let begun = Stored { request, end: None };
                Some(inner.push(key, Some(begun))?)
            } else {
                None
            };
            newer.insert(key.to_owned(), Newer::Running(request));
            // From here on its drop says that the call is interrupted.
            let ticket = Ticket {
                inner: Arc::clone(inner),
                key: key.to_owned(),
                request,
                is_settled: false,
            };
            (ticket, number)
        };
        match number {
            None => Ok(Begin::Interrupted(ticket)),
            Some(number) => {
                inner.commits.wait(number).await?;
                Ok(Begin::First(ticket))
            }
        }
    }

    /// Waits until everything told so far is durable.
    ///
    /// # Errors
    /// [`Error::Internal`] if the disk fails.
    pub async fn flush(&self) -> Result<(), Error> {
        self.inner.commits.flush().await
    }

    /// Copies the file as it is at this moment to a new one.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), Error> {
        self.inner.table.copy_to(path)
    }

    /// Waits until everything is durable, and ends. Waits for the disk.
    pub fn close(&self) {
        self.inner.commits.close();
    }
}

impl Ticket {
    /// The call was made, and this was answered. Becomes durable a little later.
    ///
    /// # Errors
    /// [`Error::ResourceExhausted`] if the disk does not keep up, [`Error::Stopped`] after the end; the
    /// call is interrupted then.
    pub fn done(self, result: &[u8]) -> Result<(), Error> {
        self.done_for(Duration::ZERO, result)
    }

    /// As [`Ticket::done`], and remembered for so much longer.
    ///
    /// # Errors
    /// As [`Ticket::done`].
    pub fn done_for(self, time: Duration, result: &[u8]) -> Result<(), Error> {
        // What ends later is kept longer.
        let time_s = i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 2);
        let at_s = (self.inner.now_s)().saturating_add(time_s);
        let end = Some((at_s, result.to_vec()));
        let request = self.request;
        self.settle(Some(Stored { request, end }))
    }

    /// The call had certainly no effect: it can be made again.
    pub fn failed(self) {
        // If this is not taken, the call is interrupted, which is no harm.
        let _ = self.settle(None);
    }

    fn settle(mut self, stored: Option<Stored>) -> Result<(), Error> {
        let mut newer = self.inner.newer();
        let number = self.inner.push(&self.key, stored.clone())?;
        newer.insert(self.key.clone(), Newer::Queued(stored, number));
        drop(newer);
        self.is_settled = true;
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut newer = self.inner.newer();
        if !self.is_settled
            && let Some(Newer::Running(request)) = newer.get(&self.key)
        {
            let begun = Stored {
                request: *request,
                end: None,
            };
            // The change that says so was queued by the beginning, so it is durable before this one
            // is asked for; its number is the newest there can be.
            newer.insert(
                self.key.clone(),
                Newer::Queued(Some(begun), self.inner.newest()),
            );
        }
        // What is durable is read from the table.
        let commits = &self.inner.commits;
        newer.retain(|_, newer| match newer {
            Newer::Running(_) => true,
            Newer::Queued(_, number) => !commits.is_durable(*number),
        });
    }
}

impl Inner {
    fn newer(&self) -> MutexGuard<'_, HashMap<String, Newer>> {
        self.newer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest(&self) -> Number {
        self.commits.newest()
    }

    fn push(&self, key: &str, stored: Option<Stored>) -> Result<Number, Error> {
        let change = Change {
            key: key.to_owned(),
            stored,
        };
        self.commits.push(change)
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    let is_good = |letter: char| letter == ' ' || letter.is_ascii_graphic();
    if (1..=MAX_KEY_LENGTH).contains(&key.len()) && key.chars().all(is_good) {
        return Ok(());
    }
    let shown = key.chars().take(MAX_KEY_LENGTH).collect::<String>();
    let rule = "a key has 1 to 128 printable ASCII characters";
    Err(Error::invalid("idempotency-key", shown, rule))
}

fn check_request(key: &str, request: &[u8; 32], known: &[u8; 32]) -> Result<(), Error> {
    if request == known {
        return Ok(());
    }
    let rule = "another call was made with this key: take a new key for a new call";
    Err(Error::invalid("idempotency-key", key, rule))
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
