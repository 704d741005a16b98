//! What time it is at the adjudicator, estimated from what watchers say.

use perun_protocol::Timestamp;

/// An answer that took longer says too little about the time.
const LONGEST_TRIP_NS: u64 = 10_000_000_000;
/// What is further from the estimate than this is not believed at once.
const TOLERANCE_NS: u64 = 2 * LONGEST_TRIP_NS;

/// The adjudicator's clock as the device knows it: an upper bound, so that what was seen looks older
/// than it is rather than younger. It goes back only if watchers say that it was wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChainTime {
    /// The adjudicator's time when the device started; `None` before the first answer.
    start_ns: Option<u64>,
    /// What a watcher has said that was not believed: which one, and the time at the start.
    doubted: Option<(usize, u64)>,
    latest: Timestamp,
}

impl ChainTime {
    /// A watcher has said that it was `told`, in answer to what was asked at `asked_ns` of uptime. A
    /// time far from the estimate needs the word of a second watcher, if there is `another`.
    pub(crate) fn observe(
        &mut self,
        told: Timestamp,
        asked_ns: u64,
        uptime_ns: u64,
        (watcher, another): (usize, bool),
    ) {
        // It was said after the question, so it can be later by the whole trip.
        let start_ns = told.nanos().saturating_sub(asked_ns);
        let Some(known_ns) = self.start_ns else {
            self.start_ns = Some(start_ns);
            return;
        };
        if uptime_ns.saturating_sub(asked_ns) > LONGEST_TRIP_NS {
            return;
        }
        if start_ns.abs_diff(known_ns) <= TOLERANCE_NS {
            self.start_ns = Some(start_ns);
            return;
        }
        let is_confirmed = self.doubted.is_some_and(|(by, doubted_ns)| {
            by != watcher && start_ns.abs_diff(doubted_ns) <= TOLERANCE_NS
        });
        if is_confirmed || !another {
            *self = Self {
                start_ns: Some(start_ns),
                ..Self::default()
            };
        } else {
            self.doubted = Some((watcher, start_ns));
        }
    }

    /// The latest that it can be, `None` if nobody has said.
    pub(crate) fn now(&mut self, uptime_ns: u64) -> Option<Timestamp> {
        let now = Timestamp::from_nanos(self.start_ns?.saturating_add(uptime_ns));
        self.latest = self.latest.max(now);
        Some(self.latest)
    }

    /// When the device's own clock shows this instant, or has.
    pub(crate) fn uptime_at(&self, instant: Timestamp) -> Option<u64> {
        Some(instant.nanos().saturating_sub(self.start_ns?))
    }

    /// Whether nobody has said the time.
    pub(crate) fn is_unknown(&self) -> bool {
        self.start_ns.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONLY: (usize, bool) = (0, false);

    #[test]
    fn it_is_an_upper_bound_that_does_not_go_back() {
        let mut time = ChainTime::default();
        assert_eq!(time.now(5), None);
        time.observe(Timestamp::from_nanos(1_000), 10, 30, ONLY);
        let at = |ns| Some(Timestamp::from_nanos(ns));
        // Said at 10 at the earliest, so at 30 it may be 20 later than said.
        assert_eq!(time.now(30), at(1_020));
        assert_eq!(time.uptime_at(Timestamp::from_nanos(1_050)), Some(60));
        // A better answer says that it is less late; what was said once stands.
        time.observe(Timestamp::from_nanos(1_005), 30, 31, ONLY);
        assert_eq!(time.now(31), at(1_020));
        assert_eq!(time.now(60), at(1_035));
    }

    #[test]
    fn a_slow_answer_counts_only_if_there_is_no_other() {
        let mut time = ChainTime::default();
        time.observe(Timestamp::from_nanos(5), 0, 2 * LONGEST_TRIP_NS, ONLY);
        assert_eq!(time.uptime_at(Timestamp::from_nanos(6)), Some(1));
        time.observe(Timestamp::from_nanos(900), 0, 2 * LONGEST_TRIP_NS, ONLY);
        assert_eq!(time.uptime_at(Timestamp::from_nanos(6)), Some(1));
    }

    #[test]
    fn one_of_two_watchers_cannot_move_the_time_far() {
        let far = Timestamp::from_nanos(u64::MAX / 2);
        let mut time = ChainTime::default();
        time.observe(Timestamp::from_nanos(1_000), 0, 0, (0, true));
        for _ in 0..3 {
            time.observe(far, 0, 0, (1, true));
        }
        assert_eq!(time.now(5), Some(Timestamp::from_nanos(1_005)));
        time.observe(far, 0, 0, (0, true));
        assert!(time.now(5) > Some(far));
        // Nor can they together keep it where it was wrong.
        time.observe(Timestamp::from_nanos(1_000), 0, 0, (0, true));
        time.observe(Timestamp::from_nanos(1_000), 0, 0, (1, true));
        assert_eq!(time.now(5), Some(Timestamp::from_nanos(1_005)));
    }
}
