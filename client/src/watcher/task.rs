//! One channel's task: look, do what is to be done, wait for news.
//!
//! | seen | and | done |
//! |---|---|---|
//! | open | | nothing |
//! | registered | older than what is held, and time is left | refute it |
//! | registered | the timeout has passed | conclude |
//! | concluded | | nothing any more, ever |

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use perun_protocol::dispute::Rank;
use perun_protocol::view::{Status, View};
use perun_protocol::{SignedState, Timestamp};
use tokio::time::{sleep, timeout};

use super::{Shared, Watched};
use crate::chain::{PerformError, Performed};

/// The pause after the first call or look that failed; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer: time may be running out.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// No call and no look may take longer: each can be made again.
const LONGEST_CALL: Duration = Duration::from_secs(60);
/// A view is old that so many polls of the log have not renewed,
const OLD_POLLS: u32 = 4;
/// and not within this part of the challenge duration: the rest is left to refute.
const OLD_PART: u32 = 8;

/// What is to be done for a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    /// Nothing, before there is news.
    Wait,
    /// Nothing, before this.
    WaitUntil(Timestamp),
    /// Hand in what is held.
    Refute(Box<SignedState>),
    /// Have payouts fixed.
    Conclude,
    /// It is over.
    End,
}

fn next_step(newest: &SignedState, view: &View, now: Timestamp) -> Step {
    match &view.status {
        Status::Open { .. } => Step::Wait,
        Status::Registered { rank, timeout, .. } => {
            // Whether it is over is for the adjudicator to say; until then it is tried.
            if Rank::State(newest.version()) > *rank && view.at < *timeout {
                Step::Refute(Box::new(newest.clone()))
            } else if now < *timeout {
                Step::WaitUntil(*timeout)
            } else {
                Step::Conclude
            }
        }
        Status::Concluded { .. } => Step::End,
    }
}

impl Shared {
    pub(super) async fn run(self: Arc<Self>, watched: Arc<Watched>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let touches = watched.glance().touches();
            let Some(view) = self.look(&watched).await else {
                self.rest(&watched, &mut pause).await;
                continue;
            };
            let newest = watched.order().newest.clone();
            watched.glance().see(&view, touches);
            if watched.tell(&view, &newest) {
                self.disputes.fetch_add(1, Ordering::Relaxed);
            }
            let is_done = match next_step(&newest, &view, self.now()) {
                Step::Wait => {
                    self.wait(&watched, view.at).await;
                    true
                }
                Step::WaitUntil(instant) => {
                    tokio::select! {
                        () = self.sleep_until(instant) => {}
                        () = self.wait(&watched, view.at) => {}
                    }
                    true
                }
                Step::Refute(newest) => {
                    tracing::info!(
                        "channel {:.8}: something older than version {} is registered",
                        watched.params.id(),
                        newest.version(),
                    );
                    self.perform(&watched, self.chain.dispute(&watched.params, &newest))
                        .await
                }
                Step::Conclude => {
                    self.perform(&watched, self.chain.conclude(&watched.params))
                        .await
                }
                Step::End => return self.finish(&watched),
            };
            if is_done {
                pause = FIRST_PAUSE;
            } else {
                self.rest(&watched, &mut pause).await;
            }
        }
    }

    async fn look(&self, watched: &Watched) -> Option<View> {
        let _gate = self.looks.acquire().await.ok()?;
        let looked = timeout(LONGEST_CALL, self.chain.look(&watched.params)).await;
        match looked {
            Ok(Ok(view)) => Some(view),
            Ok(Err(error)) => {
                tracing::debug!(
                    "channel {:.8} cannot be looked at: {error}",
                    watched.params.id()
                );
                None
            }
            Err(_) => None,
        }
    }

    /// Whether a call has done what it was to do; what else is so shows the look that follows.
    async fn perform(
        &self,
        watched: &Watched,
        call: impl Future<Output = Result<Performed, PerformError>>,
    ) -> bool {
        match timeout(LONGEST_CALL, call).await {
            Ok(Ok(performed)) => performed == Performed::Done,
            Ok(Err(error)) => {
                tracing::warn!("channel {:.8}: {error}", watched.params.id());
                false
            }
            Err(_) => false,
        }
    }

    /// Waits for news, or until what was seen at `seen_at` is old.
    async fn wait(&self, watched: &Watched, seen_at: Timestamp) {
        let duration = watched.params.challenge_duration().secs().into();
        let part = Duration::from_secs(duration) / OLD_PART;
        let longest = (self.config.poll_interval * OLD_POLLS).max(part);
        let news = watched.news.notified();
        tokio::pin!(news);
        loop {
            tokio::select! {
                () = &mut news => return,
                () = sleep(longest) => {}
            }
            // The log may be silent, or lie.
            let renewed_at = seen_at.max(*self.as_of.borrow());
            if Duration::from_nanos(self.now().nanos_since(renewed_at)) > longest {
                return;
            }
        }
    }

    /// Sleeps until it is so late at the adjudicator, whose clock may jump ahead of ours.
    async fn sleep_until(&self, instant: Timestamp) {
        let longest = self.config.poll_interval * OLD_POLLS;
        loop {
            let left = Duration::from_nanos(instant.nanos_since(self.now()));
            if left.is_zero() {
                return;
            }
            sleep(left.min(longest)).await;
        }
    }

    /// Waits after something that failed, unless there is news.
    async fn rest(&self, watched: &Watched, pause: &mut Duration) {
        tokio::select! {
            () = watched.news.notified() => {}
            () = sleep(*pause) => {}
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }

    /// The latest that it can be at the adjudicator.
    pub(super) fn now(&self) -> Timestamp {
        let now = self.chain.clock().now();
        now.expect("a watcher starts by asking the adjudicator for its time")
    }
}
