//! What time it is at the adjudicator, estimated from what watchers say.

use alloc::vec::Vec;

use perun_protocol::Timestamp;

/// An answer that took longer says too little about the time.
const LONGEST_TRIP_NS: u64 = 10_000_000_000;
/// What is further from the estimate than this is not believed at once.
const TOLERANCE_NS: u64 = 2 * LONGEST_TRIP_NS;

/// A watcher's word about the time counts for so long against another's, in nanoseconds of uptime.
const WORD_NS: u64 = 24 * 3600 * 1_000_000_000;

/// The adjudicator's clock as the device knows it: an upper bound, so that what was seen looks older
/// than it is rather than younger. It goes back only if watchers agree that it was wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChainTime {
    /// The adjudicator's time when the device started; `None` before the first answer.
    start_ns: Option<u64>,
    /// What each watcher has said last.
    words: Vec<Word>,
    latest: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    watcher: usize,
    start_ns: u64,
    uptime_ns: u64,
}

/// What a watcher's word has done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Observed {
    /// Nothing much.
    Fine,
    /// It was thought to be much later.
    PutBack,
}

impl ChainTime {
    /// A watcher has said that it was `told`, in answer to what was asked at `asked_ns` of uptime. It
    /// is believed unless another watcher has said something else within a day.
    pub(crate) fn observe(
        &mut self,
        told: Timestamp,
        asked_ns: u64,
        uptime_ns: u64,
        watcher: usize,
    ) -> Observed {
        let is_slow = uptime_ns.saturating_sub(asked_ns) > LONGEST_TRIP_NS;
        if is_slow && self.start_ns.is_some() {
            return Observed::Fine;
        }
        // It was said after the question, so it can be later by the whole trip.
        let start_ns = told.nanos().saturating_sub(asked_ns);
        self.words.retain(|word| {
            word.watcher != watcher && uptime_ns.saturating_sub(word.uptime_ns) < WORD_NS
        });
        let agree = |word: &Word| start_ns.abs_diff(word.start_ns) <= TOLERANCE_NS;
        let is_believed = self.words.is_empty() || self.words.iter().any(agree);
        self.words.push(Word {
            watcher,
            start_ns,
            uptime_ns,
        });
        if !is_believed {
            return Observed::Fine;
        }
        let before_ns = self.start_ns.replace(start_ns);
        match before_ns {
            Some(before_ns) if before_ns > start_ns.saturating_add(TOLERANCE_NS) => {
                self.latest = Timestamp::default();
                Observed::PutBack
            }
            _ => Observed::Fine,
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

    const ONLY: usize = 0;

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
        let at = Timestamp::from_nanos;
        let far = u64::MAX / 2;
        let mut time = ChainTime::default();
        time.observe(at(1_000), 0, 0, 0);
        for step in 1..100 {
            // At once, or bit by bit.
            time.observe(at(far), 0, 0, 1);
            time.observe(at(1_000 + step * TOLERANCE_NS), 0, 0, 1);
        }
        assert!(time.now(5) <= Some(at(1_005 + TOLERANCE_NS)));
        // Two of them can, and can put it right.
        time.observe(at(far), 0, 0, 1);
        assert_eq!(time.observe(at(far), 0, 0, 0), Observed::Fine);
        assert!(time.now(5) >= Some(at(far)));
        assert_eq!(time.observe(at(1_000), 0, 0, 0), Observed::Fine);
        assert_eq!(time.observe(at(1_000), 0, 0, 1), Observed::PutBack);
        assert_eq!(time.now(5), Some(at(1_005)));
    }
}
