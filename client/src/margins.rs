//! How far watching is behind, for whoever operates it.

use std::time::Duration;

use perun_protocol::Timestamp;

use crate::chain::Clock;

/// How far watching is behind, over all channels that are watched and not over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Margins {
    /// How many channels that is.
    pub channels: usize,
    /// How old what is known of the one that was not seen for longest may be.
    pub view_age: Option<Duration>,
    /// Of what is registered: the least time in which it can still be refuted.
    pub refutation_left: Option<Duration>,
    /// How many claims were seen registered since the start.
    pub disputes: u64,
}

impl Margins {
    /// Counts a channel that was seen at `seen_at`, and of which something is registered if there is a
    /// `timeout`.
    pub(crate) fn count(&mut self, clock: &Clock, seen_at: Timestamp, timeout: Option<Timestamp>) {
        self.channels += 1;
        self.view_age = self.view_age.max(clock.age(seen_at));
        let left = clock
            .now()
            .zip(timeout)
            .map(|(now, timeout)| Duration::from_nanos(timeout.nanos_since(now)));
        self.refutation_left = match (self.refutation_left, left) {
            (Some(least), Some(left)) => Some(least.min(left)),
            (least, left) => least.or(left),
        };
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_view_and_the_next_timeout_count() {
        let clock = Clock::default();
        let at = |s: u64| Timestamp::from_nanos(s * 1_000_000_000);
        clock.observe(at(100), Instant::now());
        let mut margins = Margins::default();
        margins.count(&clock, at(90), None);
        assert_eq!(margins.refutation_left, None);
        margins.count(&clock, at(50), Some(at(200)));
        margins.count(&clock, at(99), Some(at(130)));
        margins.count(&clock, at(70), None);
        assert_eq!(margins.channels, 4);
        assert_eq!(margins.view_age, Some(Duration::from_secs(50)));
        assert_eq!(margins.refutation_left, Some(Duration::from_secs(30)));
    }
}
