//! Following the event log: one cursor for all channels.
//!
//! ```text
//!  log     0 … n-1 │ n …        cursor: n, and the time of event n-1
//!              └───┴──> page: begins with n-1 again. Is it still the same? Then what follows is new.
//! ```
//!
//! Invariant: what happened before `as_of` of a [`Seen`] was reported by it, or by one before it. So
//! a channel that is not among the touched ones is as it was, and one poll renews what is known of
//! all channels.
//!
//! Who begins to care for a channel says so first and looks at it then: what is reported earlier is
//! in the look, and what is reported later is no longer ignored.
//!
//! Not in the log: that a payout has left, that it came back, and that a gap in which the
//! adjudicator did not run has moved a timeout.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use perun_canister_api::EventsError;
use perun_protocol::{ChannelId, Timestamp};
use tokio::time::{Instant, sleep, timeout};

use crate::chain::Clock;
use crate::{Adjudicator, CallError, EventsPage, Patience, WrongAnswer};

/// How many events are asked for at once; the adjudicator may give fewer.
const PAGE_LENGTH: u32 = 100;
/// How many pages one poll reads, unless set otherwise. Strangers can make the log as long as they
/// like to pay for, and nobody should have to keep what it says of a million channels.
const PAGES_AT_ONCE: u32 = 10;
/// How long a poll may take before another is begun.
const LONGEST_POLL: Duration = Duration::from_secs(60);
/// The subnet as a whole is asked this often at least: only then is it known what time it is. In between
/// one node is asked, whose answer proves what it says but may be some minutes old.
const SUBNET_INTERVAL: Duration = Duration::from_secs(300);
/// A node that does not answer within this time is not waited for.
const LONGEST_QUERY: Duration = Duration::from_secs(5);
/// What one node proves is not taken if it may be older.
const STALE: Duration = Duration::from_secs(10);
/// The pause after the first poll that failed; each further one doubles it, up to the interval.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// A place in the log. To be stored once what was seen up to it has been dealt with.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Cursor {
    /// The index of the first event that was not seen.
    pub next: u64,
    /// When the event before it happened, by which another log is told from this one.
    pub last_at: Timestamp,
}

/// What a poll has seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// What happened before this instant on the adjudicator's clock has been reported.
    pub as_of: Timestamp,
    /// The channels that something happened to, of all that the adjudicator has.
    pub touched: BTreeSet<ChannelId>,
    /// Where to go on after a restart.
    pub cursor: Cursor,
    /// The log was longer than what one poll reads: there is more to be seen at once.
    pub is_behind: bool,
}

/// Why a poll has seen nothing.
#[derive(Debug)]
pub enum FollowError {
    /// The adjudicator could not be asked, or its log makes no sense.
    Read(CallError<EventsError>),
    /// The poll took too long.
    TimedOut {
        /// How long it took.
        after: Duration,
    },
    /// The log is not the one that the cursor was a place in: the adjudicator is another one, was
    /// installed anew, or lost its memory. The next poll begins with the first event.
    AnotherLog {
        /// The cursor.
        cursor: Cursor,
        /// How many events the log has.
        total: u64,
    },
}

impl Cursor {
    /// The beginning of every log.
    pub const START: Self = Self {
        next: 0,
        last_at: Timestamp::from_nanos(0),
    };

    /// The bytes to be stored.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = self.next.to_be_bytes().to_vec();
        bytes.extend(self.last_at.nanos().to_be_bytes());
        bytes
    }

    /// The cursor with these bytes. From any other bytes the log is read from its beginning, which
    /// costs time and misses nothing.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let (numbers, rest) = bytes.as_chunks::<8>();
        match (numbers, rest) {
            ([next, last_at], []) => Self {
                next: u64::from_be_bytes(*next),
                last_at: Timestamp::from_nanos(u64::from_be_bytes(*last_at)),
            },
            _ => Self::START,
        }
    }
}

/// Reads the log as it grows.
#[derive(Debug)]
pub struct EventFollower {
    adjudicator: Adjudicator,
    clock: Clock,
    cursor: Cursor,
    pages_at_once: u32,
    /// When the subnet was asked last.
    heard_subnet_at: Option<Instant>,
    /// What was read and not reported yet.
    touched: BTreeSet<ChannelId>,
}

impl EventFollower {
    pub(super) fn new(adjudicator: Adjudicator, clock: Clock, cursor: Cursor) -> Self {
        Self {
            adjudicator,
            clock,
            cursor,
            pages_at_once: PAGES_AT_ONCE,
            heard_subnet_at: None,
            touched: BTreeSet::new(),
        }
    }

    /// The same with another number of pages, of up to a hundred events each, after which a poll
    /// tells what it has seen by then. At least one is read.
    pub fn with_pages_at_once(self, pages_at_once: u32) -> Self {
        Self {
            pages_at_once,
            ..self
        }
    }

    /// Reads what is new, and corrects the clock.
    ///
    /// It can be dropped at any time: what it has read by then is reported by the next poll.
    ///
    /// # Errors
    /// [`FollowError`]. After any of them the next poll goes on.
    pub async fn poll(&mut self) -> Result<Seen, FollowError> {
        let mut pages = 0;
        loop {
            let page = self.read_page(pages == 0).await?;
            pages += 1;
            let is_behind = self.cursor.next < page.total;
            if !is_behind || pages >= self.pages_at_once {
                let as_of = match is_behind {
                    false => page.as_of,
                    // More may have happened at the very same instant.
                    true => self.cursor.last_at,
                };
                return Ok(Seen {
                    as_of,
                    touched: std::mem::take(&mut self.touched),
                    cursor: self.cursor,
                    is_behind,
                });
            }
        }
    }

    /// Polls for ever, with pauses of `interval`, and hands everything to `sink`, errors too. After
    /// an error it tries again sooner than that, and longer each time.
    ///
    /// It can be dropped at any time and begun again with the cursor of the last [`Seen`].
    pub async fn follow(
        mut self,
        interval: Duration,
        mut sink: impl FnMut(Result<Seen, FollowError>),
    ) -> Infallible {
        // Who waits here should know at once that nothing is seen, and not after a minute.
        self.adjudicator = self.adjudicator.with_patience(Patience::NONE);
        let interval = interval.max(FIRST_PAUSE / 10);
        let mut next_pause = FIRST_PAUSE;
        loop {
            let polled = timeout(LONGEST_POLL, self.poll()).await;
            let after = LONGEST_POLL;
            let polled = polled.unwrap_or(Err(FollowError::TimedOut { after }));
            let pause = match &polled {
                Ok(seen) => {
                    next_pause = FIRST_PAUSE;
                    (!seen.is_behind).then_some(interval)
                }
                Err(error) => {
                    tracing::debug!("the log cannot be followed: {error}");
                    let pause = next_pause.min(interval);
                    next_pause = (next_pause * 2).min(interval.max(FIRST_PAUSE));
                    Some(pause)
                }
            };
            sink(polled);
            if let Some(pause) = pause {
                sleep(pause).await;
            }
        }
    }

    /// Reads a page and moves the cursor behind it. `perhaps_last` says that it may be the log's end,
    /// which is all that one node can prove.
    async fn read_page(&mut self, perhaps_last: bool) -> Result<EventsPage, FollowError> {
        let Cursor { next, last_at } = self.cursor;
        // The last event again, if there is one.
        let start = next.saturating_sub(1);
        let proven = match perhaps_last {
            true => self.proven_page(start).await,
            false => None,
        };
        let page = match proven {
            Some(page) => page,
            None => {
                let sent = Instant::now();
                let page = self.adjudicator.events(None, start, PAGE_LENGTH).await;
                let page = page.map_err(FollowError::Read)?;
                self.clock.observe(page.as_of, sent);
                self.heard_subnet_at = Some(sent);
                page
            }
        };
        let mut events = page.events.iter();
        if next > 0 {
            match events.next() {
                _ if page.total < next => return Err(self.begin_again(page.total)),
                Some(last) if last.index == start && last.at != last_at => {
                    return Err(self.begin_again(page.total));
                }
                Some(last) if last.index == start => {}
                _ => return Err(self.out_of_order(start)),
            }
        }
        let new = events.as_slice();
        let (mut end, mut last_at) = (next, last_at);
        for event in new {
            // A gap could hide a dispute.
            if event.index != end {
                return Err(self.out_of_order(end));
            }
            (end, last_at) = (end + 1, event.at);
        }
        if end > page.total || (new.is_empty() && end < page.total) {
            return Err(self.out_of_order(end));
        }
        self.touched.extend(new.iter().map(|event| event.channel));
        self.cursor = Cursor { next: end, last_at };
        Ok(page)
    }

    /// What one node tells and proves, if there is no reason to ask the subnet: that it is later there
    /// than was thought, that there is more than one page, that the node is silent, lags behind, or lies.
    async fn proven_page(&self, start: u64) -> Option<EventsPage> {
        let heard = self.heard_subnet_at?;
        if heard.elapsed() >= SUBNET_INTERVAL {
            return None;
        }
        let proven = timeout(LONGEST_QUERY, self.adjudicator.proven_events(start));
        match proven.await.ok()? {
            Ok(page) => {
                let now = self.clock.now()?;
                let age = Duration::from_nanos(now.nanos_since(page.as_of));
                let is_fresh = page.as_of <= now && age < STALE;
                (is_fresh && page.total >= self.cursor.next).then_some(page)
            }
            Err(error) => {
                tracing::debug!("the subnet is asked instead of one node: {error}");
                None
            }
        }
    }

    fn begin_again(&mut self, total: u64) -> FollowError {
        let cursor = std::mem::take(&mut self.cursor);
        FollowError::AnotherLog { cursor, total }
    }

    fn out_of_order(&self, index: u64) -> FollowError {
        let wrong = WrongAnswer::EventOrder { index };
        FollowError::Read(CallError::nonsense(
            self.adjudicator.id(),
            "query_events",
            wrong,
        ))
    }
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::TimedOut { after } => write!(f, "no answer within {after:?}"),
            Self::AnotherLog { cursor, total } => write!(
                f,
                "this is another log: it has {total} events, and not the one before event {} that \
                 was seen at {}; everything is read again",
                cursor.next, cursor.last_at
            ),
        }
    }
}

impl std::error::Error for FollowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::TimedOut { .. } | Self::AnotherLog { .. } => None,
        }
    }
}
