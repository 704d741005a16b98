//! How much of something may be used in a time.

use std::time::{Duration, Instant};

/// What may be used now; it grows again as time goes by.
pub(crate) struct Budget {
    per_second: f64,
    burst: f64,
    left: f64,
    since: Instant,
}

impl Budget {
    /// So much in a second, and so much at once. Both count as above 0.
    pub(crate) fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        let burst = burst.max(1.0);
        Self {
            per_second: per_second.max(f64::MIN_POSITIVE),
            burst,
            left: burst,
            since: now,
        }
    }

    /// Uses `amount`, even if it is not left; returns how long to wait until it would have been.
    pub(crate) fn spend(&mut self, amount: f64, now: Instant) -> Duration {
        self.grow(now);
        self.left -= amount;
        let debt = (-self.left / self.per_second).max(0.0);
        Duration::try_from_secs_f64(debt).unwrap_or(Duration::MAX)
    }

    /// Uses 1, if it is left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.grow(now);
        let is_left = self.left >= 1.0;
        if is_left {
            self.left -= 1.0;
        }
        is_left
    }

    fn grow(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.burst);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Duration, Instant};

    #[test]
    fn what_is_used_up_grows_again() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut budget = Budget::new(0.5, 3.0, begin);
        let mut taken = |now| std::iter::from_fn(|| budget.take(now).then_some(())).count();
        assert_eq!(taken(begin), 3);
        assert_eq!(taken(at(1)), 0);
        assert_eq!(taken(at(2)), 1);
        assert_eq!(taken(at(1_000)), 3);
        assert_eq!(budget.spend(4.0, at(1_000)), Duration::from_secs(8));
        assert_eq!(budget.spend(0.0, at(1_006)), Duration::from_secs(2));
    }
}
