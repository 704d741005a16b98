//! Who is pushed what is published in a stream, and how many may be of whom.
//!
//! Following costs nothing, so strangers would take all places if they could:
//!
//! - a connection has one place on a side; whoever asks again begins anew,
//! - an address has a few,
//! - each side has its own, so that strangers who play watchers do not keep the author out,
//! - a recipient of the newest keyload, as which a connection has introduced itself, needs none of them. Two
//!   connections of one are served, since the older may be dead without our knowing; of more the oldest is let
//!   go.

use std::net::IpAddr;
use std::sync::Arc;

use perun_watch_stream::WatcherId;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use crate::frames::{Refusal, Side};
use crate::stream::Bytes;

/// Connections that are served for one recipient.
const OF_ONE_RECIPIENT: usize = 2;

/// A connection that is sent what a side publishes.
pub(crate) struct Follower {
    pub(crate) side: Side,
    pub(crate) queue: Sender<Bytes>,
    /// Told when the queue is full: whoever does not keep up is let go, and comes again to ask from where it
    /// was.
    pub(crate) overrun: Arc<Notify>,
    /// Where it comes from, as places are counted.
    pub(crate) network: IpAddr,
}

/// The followers of one stream.
pub(crate) struct Followers {
    /// In the order in which they came; `Some` are those who were recipients then.
    all: Vec<(Follower, Option<WatcherId>)>,
    max_of_side: usize,
    max_of_network: usize,
}

impl Follower {
    /// False once it is gone.
    pub(crate) fn push(&self, bytes: Bytes) -> bool {
        let pushed = self.queue.try_send(bytes);
        if pushed.is_err() {
            self.overrun.notify_one();
        }
        pushed.is_ok()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.side == other.side && self.queue.same_channel(&other.queue)
    }
}

impl Followers {
    /// Nobody, and at most so many of one side and of one network.
    pub(crate) fn new(max_of_side: usize, max_of_network: usize) -> Self {
        Self {
            all: Vec::new(),
            max_of_side,
            max_of_network,
        }
    }

    /// Takes one in, which has introduced itself as this recipient if as any. Gives it `kept` first.
    pub(crate) fn add(
        &mut self,
        newcomer: Follower,
        recipient: Option<WatcherId>,
        kept: Vec<Bytes>,
    ) -> Result<(), Refusal> {
        self.all
            .retain(|(follower, _)| !follower.queue.is_closed() && !follower.is_same(&newcomer));
        match recipient {
            Some(recipient) => self.make_room(newcomer.side, recipient),
            None => self.check_places(&newcomer)?,
        }
        if !kept.into_iter().all(|bytes| newcomer.push(bytes)) {
            return Err(Refusal::Quota);
        }
        self.all.push((newcomer, recipient));
        Ok(())
    }

    /// Pushes to all of a side; who does not keep up is no follower any more.
    pub(crate) fn push(&mut self, side: Side, bytes: &Bytes) {
        self.all
            .retain(|(follower, _)| follower.side != side || follower.push(Arc::clone(bytes)));
    }

    fn check_places(&self, newcomer: &Follower) -> Result<(), Refusal> {
        let strangers = self.all.iter().filter_map(|(follower, recipient)| {
            (recipient.is_none() && follower.side == newcomer.side).then_some(follower.network)
        });
        let of_network = strangers.clone().filter(|it| *it == newcomer.network);
        if of_network.count() >= self.max_of_network || strangers.count() >= self.max_of_side {
            return Err(Refusal::Quota);
        }
        Ok(())
    }

    fn make_room(&mut self, side: Side, recipient: WatcherId) {
        let is_its = |(follower, its): &(Follower, Option<WatcherId>)| {
            follower.side == side && *its == Some(recipient)
        };
        if self.all.iter().filter(|it| is_its(it)).count() >= OF_ONE_RECIPIENT
            && let Some(oldest) = self.all.iter().position(is_its)
        {
            let (oldest, _) = self.all.remove(oldest);
            oldest.overrun.notify_one();
        }
    }
}
