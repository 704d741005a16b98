//! How long a call is repeated, and how fast.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// No pause is shorter, so that no setting makes a loop that spins.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// How long a call is repeated, and how fast: the pauses double from the first to the longest.
///
/// It bounds the time in which new attempts begin. One attempt takes as long as the agent lets it
/// (`with_max_polling_time`, five minutes unless set otherwise).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// The pause after the first attempt.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// No attempt begins later than this after the first one began.
    pub total: Duration,
}

impl Patience {
    /// One attempt only.
    pub const NONE: Self = Self {
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        total: Duration::ZERO,
    };

    /// Begins to count.
    pub(crate) fn start(&self) -> Pauses {
        Pauses {
            next: self.first_pause.max(SHORTEST_PAUSE),
            longest: self.longest_pause.max(SHORTEST_PAUSE),
            end: Instant::now() + self.total,
            attempts: 1,
        }
    }
}

impl Default for Patience {
    /// From a quarter of a second to eight seconds, for one minute: long enough for an upgrade of
    /// the adjudicator or a busy ledger.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(8),
            total: Duration::from_secs(60),
        }
    }
}

/// The pauses between attempts.
pub(crate) struct Pauses {
    next: Duration,
    longest: Duration,
    end: Instant,
    attempts: u32,
}

impl Pauses {
    /// Waits until the next attempt may begin; `false`, at once, if there is to be none.
    pub(crate) async fn pause(&mut self) -> bool {
        if Instant::now() + self.next > self.end {
            return false;
        }
        sleep(self.next).await;
        self.next = (self.next * 2).min(self.longest);
        self.attempts += 1;
        true
    }

    /// How many attempts have begun.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest_and_end() {
        let patience = Patience {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(4),
            total: Duration::from_secs(12),
        };
        let begin = Instant::now();
        let mut pauses = patience.start();
        let mut begun = Vec::new();
        while pauses.pause().await {
            begun.push(begin.elapsed().as_secs());
        }
        assert_eq!(begun, [1, 3, 7, 11]);
        assert_eq!(pauses.attempts(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn without_patience_there_is_one_attempt() {
        let mut pauses = Patience::NONE.start();
        assert!(!pauses.pause().await);
        assert_eq!(pauses.attempts(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_of_nothing_do_not_spin() {
        let patience = Patience {
            total: Duration::from_secs(1),
            ..Patience::NONE
        };
        let mut pauses = patience.start();
        while pauses.pause().await {}
        assert!(pauses.attempts() <= 101, "{}", pauses.attempts());
    }
}
