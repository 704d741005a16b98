//! What time it is at the adjudicator, estimated from what watchers say.

use perun_protocol::Timestamp;

/// An answer that took longer says too little about the time.
const LONGEST_TRIP_NS: u64 = 10_000_000_000;

/// The adjudicator's clock as the device knows it: an upper bound, so that what was seen looks older
/// than it is rather than younger. It never goes back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChainTime {
    /// The adjudicator's time when the device started; `None` before the first answer.
    start_ns: Option<u64>,
    latest: Timestamp,
}

impl ChainTime {
    /// A watcher has said that it was `told`, in answer to what was asked at `asked_ns` of uptime.
    pub(crate) fn observe(&mut self, told: Timestamp, asked_ns: u64, uptime_ns: u64) {
        let is_slow = uptime_ns.saturating_sub(asked_ns) > LONGEST_TRIP_NS;
        if is_slow && self.start_ns.is_some() {
            return;
        }
        // It was said after the question, so it can be later by the whole trip.
        self.start_ns = Some(told.nanos().saturating_sub(asked_ns));
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_upper_bound_that_never_goes_back() {
        let mut time = ChainTime::default();
        assert_eq!(time.now(5), None);
        time.observe(Timestamp::from_nanos(1_000), 10, 30);
        let at = |ns| Some(Timestamp::from_nanos(ns));
        // Said at 10 at the earliest, so at 30 it may be 20 later than said.
        assert_eq!(time.now(30), at(1_020));
        assert_eq!(time.uptime_at(Timestamp::from_nanos(1_050)), Some(60));
        // A better answer says that it is less late; what was said once stands.
        time.observe(Timestamp::from_nanos(1_005), 30, 31);
        assert_eq!(time.now(31), at(1_020));
        assert_eq!(time.now(60), at(1_035));
    }

    #[test]
    fn a_slow_answer_counts_only_if_there_is_no_other() {
        let mut time = ChainTime::default();
        time.observe(Timestamp::from_nanos(5), 0, 2 * LONGEST_TRIP_NS);
        assert_eq!(time.uptime_at(Timestamp::from_nanos(6)), Some(1));
        time.observe(Timestamp::from_nanos(900), 0, 2 * LONGEST_TRIP_NS);
        assert_eq!(time.uptime_at(Timestamp::from_nanos(6)), Some(1));
    }
}
