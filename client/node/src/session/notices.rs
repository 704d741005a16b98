//! Notifications for one subscriber at a time.

use std::collections::VecDeque;

use tokio::sync::mpsc;

/// How many notifications a subscriber may leave unread. Who is slower is cut off, and is told again
/// what still waits for an answer when it subscribes anew.
const UNREAD: usize = 256;
/// How many are kept for a subscriber to come: what happened before can be seen in the history.
const CACHED: usize = 16;

/// Notifications: told to the subscriber, or kept until there is one.
///
/// A subscriber that is gone does not keep the next one out.
pub(super) struct Notices<T> {
    cached: VecDeque<T>,
    subscriber: Option<mpsc::Sender<T>>,
}

impl<T> Default for Notices<T> {
    fn default() -> Self {
        Self {
            cached: VecDeque::new(),
            subscriber: None,
        }
    }
}

impl<T> Notices<T> {
    /// Tells the subscriber. Without one, or one that does not read, it is for others to tell it again.
    pub(super) fn tell(&mut self, notice: T) {
        let _ = self.try_tell(notice);
    }

    /// Tells the subscriber, or keeps it until there is one. The oldest that were kept are forgotten
    /// where there are too many.
    pub(super) fn tell_or_keep(&mut self, notice: T) {
        if let Err(notice) = self.try_tell(notice) {
            if self.cached.len() == CACHED {
                self.cached.pop_front();
            }
            self.cached.push_back(notice);
        }
    }

    fn try_tell(&mut self, notice: T) -> Result<(), T> {
        let Some(subscriber) = &self.subscriber else {
            return Err(notice);
        };
        subscriber.try_send(notice).map_err(|error| {
            self.subscriber = None;
            error.into_inner()
        })
    }

    /// Subscribes; `waiting` is told first, then what was kept. `None` if somebody else has.
    pub(super) fn subscribe(
        &mut self,
        waiting: impl IntoIterator<Item = T>,
    ) -> Option<mpsc::Receiver<T>> {
        if self.is_subscribed() {
            return None;
        }
        let (sender, receiver) = mpsc::channel(UNREAD + CACHED);
        for notice in waiting.into_iter().chain(self.cached.drain(..)) {
            // More wait than a subscriber may leave unread: the rest is told when it subscribes anew.
            if sender.try_send(notice).is_err() {
                break;
            }
        }
        self.subscriber = Some(sender);
        Some(receiver)
    }

    /// Ends the subscription; `false` if there is none.
    pub(super) fn unsubscribe(&mut self) -> bool {
        let was_subscribed = self.is_subscribed();
        self.subscriber = None;
        was_subscribed
    }

    fn is_subscribed(&self) -> bool {
        let subscriber = self.subscriber.as_ref();
        subscriber.is_some_and(|subscriber| !subscriber.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(receiver: &mut mpsc::Receiver<u32>) -> Vec<u32> {
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    #[test]
    fn what_was_kept_is_told_after_what_waits() {
        let mut notices = Notices::default();
        notices.tell(1);
        notices.tell_or_keep(2);
        let mut receiver = notices.subscribe([7]).unwrap();
        notices.tell(3);
        assert_eq!(read(&mut receiver), [7, 2, 3]);
    }

    #[test]
    fn there_is_one_subscriber_at_a_time_and_a_dead_one_counts_for_none() {
        let mut notices = Notices::<u32>::default();
        let first = notices.subscribe([]).unwrap();
        assert!(notices.subscribe([]).is_none());
        drop(first);
        assert!(!notices.unsubscribe());
        let second = notices.subscribe([]);
        assert!(second.is_some());
        assert!(notices.unsubscribe());
        assert!(notices.subscribe([]).is_some());
    }

    #[test]
    fn what_a_dead_subscriber_did_not_hear_is_kept() {
        let mut notices = Notices::default();
        drop(notices.subscribe([]));
        notices.tell_or_keep(5);
        assert_eq!(read(&mut notices.subscribe([]).unwrap()), [5]);
    }

    #[test]
    fn nobody_can_make_it_grow() {
        let mut notices = Notices::default();
        for notice in 0..2_000 {
            notices.tell_or_keep(notice);
        }
        let mut receiver = notices.subscribe([]).unwrap();
        for notice in 2_000..4_000 {
            notices.tell(notice);
        }
        let read = read(&mut receiver);
        assert!(read.len() <= UNREAD + CACHED, "{}", read.len());
        assert!(!notices.is_subscribed());
    }
}
