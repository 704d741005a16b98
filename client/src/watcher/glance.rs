//! What was seen of a channel last, for margins alone: what is to be done follows from looks.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use perun_protocol::Timestamp;
use perun_protocol::view::{Status, View};

use super::{Watched, Watcher};
use crate::Margins;

/// What was seen of a channel last.
#[derive(Debug)]
pub(super) struct Glance {
    /// When; at first, when it began to be watched.
    at: Timestamp,
    /// Until when what is registered can be refuted.
    timeout: Option<Timestamp>,
    /// How often something has happened,
    touches: u64,
    /// and how often before the look.
    seen_touches: u64,
}

impl Glance {
    /// Nothing was seen yet.
    pub(super) fn none(since: Timestamp) -> Self {
        Self {
            at: since,
            timeout: None,
            touches: 1,
            seen_touches: 0,
        }
    }

    /// Something may have happened: that nothing else has says nothing of this channel.
    pub(super) fn touch(&mut self) {
        self.touches += 1;
    }

    /// What a look begins with, to be given back by [`Glance::see`].
    pub(super) fn touches(&self) -> u64 {
        self.touches
    }

    /// A look has seen this.
    pub(super) fn see(&mut self, view: &View, touches: u64) {
        self.at = view.at;
        self.seen_touches = touches;
        self.timeout = match view.status {
            Status::Registered { timeout, .. } => Some(timeout),
            Status::Open { .. } | Status::Concluded { .. } => None,
        };
    }

    /// As of when it is known, if nothing else has happened until `as_of`.
    fn known_at(&self, as_of: Timestamp) -> Timestamp {
        match self.touches == self.seen_touches {
            true => self.at.max(as_of),
            false => self.at,
        }
    }
}

impl Watcher {
    /// How far watching is behind.
    pub fn margins(&self) -> Margins {
        let shared = &self.shared;
        let watched: Vec<_> = {
            let watches = shared.lock();
            watches
                .values()
                .map(|entry| entry.watched.clone())
                .collect()
        };
        let mut margins = Margins {
            disputes: shared.disputes.load(Ordering::Relaxed),
            ..Margins::default()
        };
        let as_of = *shared.as_of.borrow();
        for watched in watched {
            let glance = watched.glance();
            margins.count(shared.chain.clock(), glance.known_at(as_of), glance.timeout);
        }
        margins
    }
}

impl Watched {
    pub(super) fn glance(&self) -> MutexGuard<'_, Glance> {
        self.glance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use perun_protocol::dispute::Rank;
    use perun_protocol::{Amount, Balances, Version};

    use super::*;

    fn at(s: u64) -> Timestamp {
        Timestamp::from_nanos(s)
    }

    fn view(seen_at: u64, timeout: Option<u64>) -> View {
        let holdings = Balances::new(2, vec![Amount::new(5); 2]).unwrap();
        let status = match timeout {
            None => Status::Open { holdings },
            Some(timeout) => Status::Registered {
                rank: Rank::State(Version::INITIAL),
                signed: None,
                timeout: at(timeout),
                holdings,
            },
        };
        View {
            at: at(seen_at),
            status,
        }
    }

    #[test]
    fn only_of_what_was_not_touched_is_silence_news() {
        let mut glance = Glance::none(at(10));
        // Before the first look nothing is known, whatever the log says.
        assert_eq!(glance.known_at(at(20)), at(10));
        let touches = glance.touches();
        glance.see(&view(30, None), touches);
        assert_eq!(glance.known_at(at(20)), at(30));
        assert_eq!(glance.known_at(at(40)), at(40));
        // What happens while it is looked at may not have been seen.
        let touches = glance.touches();
        glance.touch();
        glance.see(&view(50, Some(90)), touches);
        assert_eq!(glance.known_at(at(60)), at(50));
        assert_eq!(glance.timeout, Some(at(90)));
        let touches = glance.touches();
        glance.see(&view(60, None), touches);
        assert_eq!((glance.known_at(at(70)), glance.timeout), (at(70), None));
    }
}
