//! Who is pushed what is published in a stream, and how many may be of whom.
//!
//! Following costs nothing, so strangers would take all places if they could:
//!
//! - a connection has one place on a side; whoever asks again begins anew,
//! - an address has a few; when all are taken, one that has more than a newcomer's gives one up,
//! - each side has its own, so that strangers who play watchers do not keep the author out,
//! - a recipient of the newest keyload, as which a connection has introduced itself, needs none of them. Two
//!   connections of one are served, since the older may be dead without our knowing; of more the oldest is let
//!   go.

use std::collections::HashMap;
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
            None => self.find_place(&newcomer)?,
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

    fn find_place(&mut self, newcomer: &Follower) -> Result<(), Refusal> {
        let mut places: HashMap<IpAddr, usize> = HashMap::new();
        for (follower, recipient) in &self.all {
            if recipient.is_none() && follower.side == newcomer.side {
                *places.entry(follower.network).or_default() += 1;
            }
        }
        let its = places.get(&newcomer.network).copied().unwrap_or(0);
        if its >= self.max_of_network {
            return Err(Refusal::Quota);
        }
        if places.values().sum::<usize>() < self.max_of_side {
            return Ok(());
        }
        let most = places.into_iter().max_by_key(|(_, count)| *count);
        // Not for one that would then have fewer than the newcomer's: they would take turns.
        let (crowded, _) = most
            .filter(|(_, count)| *count > its + 1)
            .ok_or(Refusal::Quota)?;
        self.let_oldest_go(|follower, recipient| {
            recipient.is_none() && follower.side == newcomer.side && follower.network == crowded
        });
        Ok(())
    }

    fn make_room(&mut self, side: Side, recipient: WatcherId) {
        let is_its = |follower: &Follower, its: Option<WatcherId>| {
            follower.side == side && its == Some(recipient)
        };
        let count = self.all.iter().filter(|(it, its)| is_its(it, *its)).count();
        if count >= OF_ONE_RECIPIENT {
            self.let_oldest_go(is_its);
        }
    }

    fn let_oldest_go(&mut self, which: impl Fn(&Follower, Option<WatcherId>) -> bool) {
        let oldest = self.all.iter().position(|(it, its)| which(it, *its));
        if let Some(oldest) = oldest {
            let (oldest, _) = self.all.remove(oldest);
            oldest.overrun.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;

    fn follower(side: Side, network: u8) -> (Follower, Receiver<Bytes>) {
        let (queue, pushed) = channel(4);
        let follower = Follower {
            side,
            queue,
            overrun: Arc::default(),
            network: [192, 0, 2, network].into(),
        };
        (follower, pushed)
    }

    #[test]
    fn strangers_share_the_places() {
        let mut followers = Followers::new(4, 3);
        let mut connections = Vec::new();
        let mut add = |side, network| {
            let (follower, pushed) = follower(side, network);
            connections.push(pushed);
            followers.add(follower, None, Vec::new())
        };
        let strangers = [1, 1, 1, 1, 2].map(|network| add(Side::Watchers, network));
        let full = Err(Refusal::Quota);
        assert_eq!(strangers, [Ok(()), Ok(()), Ok(()), full, Ok(())]);
        // The others' side is another one.
        assert_eq!(add(Side::Author, 1), Ok(()));
        // For each the first address gives one up, until all have as many.
        assert_eq!(
            [3, 4].map(|network| add(Side::Watchers, network)),
            [Ok(()); 2]
        );
        assert_eq!(
            [1, 2, 3, 5].map(|network| add(Side::Watchers, network)),
            [full; 4]
        );
        let is_left = |pushed: Receiver<Bytes>| !pushed.is_closed();
        let is_left: Vec<bool> = connections.into_iter().map(is_left).collect();
        let (yes, no) = (true, false);
        let expected = [no, no, yes, no, yes, yes, yes, yes, no, no, no, no];
        assert_eq!(is_left, expected);
    }
}
