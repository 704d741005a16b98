//! What was spent within the last 24 hours, and what of that the disk knows.
//!
//! ```text
//!  one ledger:  minute │ … 1042  1043  1077 │   sum of `spent` <= limit
//!               spent  │     5     0     3  │   written >= spent, before money moves
//!               written│     5     0    10  │   ahead, so that not each payment waits for a flush
//! ```
//!
//! Minutes are forgotten whole, when all of them is longer ago than 24 hours. No I/O here: `writes`
//! says what has to be written, and `written` learns that it was.

use std::collections::BTreeMap;

use candid::Principal;
use perun_protocol::Amount;

use crate::Error;

/// Minutes in 24 hours.
const DAY: u64 = 24 * 60;

/// It is written ahead by this part of the limit: so much of it can be lost to a crash, for a day.
const AHEAD: u128 = 256;

/// Money that was counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    ledger: Principal,
    minute: u64,
    units: u128,
}

/// What to write for a minute of a ledger; `None` to remove it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Write {
    pub(super) ledger: Principal,
    pub(super) minute: u64,
    pub(super) units: Option<u128>,
}

/// A token's spending.
#[derive(Debug)]
pub(super) struct Windows(BTreeMap<Principal, Window>);

#[derive(Debug)]
struct Window {
    limit: u128,
    minutes: BTreeMap<u64, Minute>,
    /// Gone from here, and still on the disk, if it ever was there.
    forgotten: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    spent: u128,
    written: u128,
}

impl Windows {
    /// With these limits, and what was written before.
    pub(super) fn new(
        limits: &[(Principal, Amount)],
        written: impl IntoIterator<Item = (Principal, u64, u128)>,
    ) -> Self {
        let window = |limit: Amount| Window {
            limit: limit.units(),
            minutes: BTreeMap::new(),
            forgotten: Vec::new(),
        };
        let limits = limits.iter();
        let mut windows: BTreeMap<_, _> = limits
            .map(|(ledger, limit)| (*ledger, window(*limit)))
            .collect();
        for (ledger, minute, units) in written {
            if let Some(window) = windows.get_mut(&ledger) {
                let minute = window.minutes.entry(minute).or_default();
                (minute.spent, minute.written) = (units, units);
            }
        }
        Self(windows)
    }

    /// Counts all of these, or refuses and counts none.
    pub(super) fn take(
        &mut self,
        amounts: &[(Principal, Amount)],
        now_s: u64,
    ) -> Result<Vec<Entry>, Error> {
        let now = now_s / 60;
        let mut entries = Vec::with_capacity(amounts.len());
        for (ledger, amount) in amounts.iter().filter(|(_, amount)| !amount.is_zero()) {
            let units = amount.units();
            let left = match self.0.get_mut(ledger) {
                Some(window) => window.left(now),
                None => 0,
            };
            if units > left {
                self.give_back(&entries);
                return Err(Error::PermissionDenied {
                    message: format!(
                        "the token's limit within 24 hours leaves {left} units of ledger {ledger}, and \
                         this would spend {units}"
                    ),
                });
            }
            if let Some(window) = self.0.get_mut(ledger) {
                window.minutes.entry(now).or_default().spent += units;
            }
            entries.push(Entry {
                ledger: *ledger,
                minute: now,
                units,
            });
        }
        Ok(entries)
    }

    /// Takes back what [`take`](Self::take) has counted.
    pub(super) fn give_back(&mut self, entries: &[Entry]) {
        for entry in entries {
            let window = self.0.get_mut(&entry.ledger);
            // A minute that was forgotten counts no more anyway.
            if let Some(minute) = window.and_then(|window| window.minutes.get_mut(&entry.minute)) {
                minute.spent = minute.spent.saturating_sub(entry.units);
            }
        }
    }

    /// What has to be written before money moves; empty if the disk knows enough.
    pub(super) fn writes(&self) -> Vec<Write> {
        if self.0.values().all(Window::is_written) {
            return Vec::new();
        }
        let windows = self.0.iter();
        windows
            .flat_map(|(ledger, window)| window.writes(*ledger))
            .collect()
    }

    /// These were written.
    pub(super) fn written(&mut self, writes: &[Write]) {
        for write in writes {
            let Some(window) = self.0.get_mut(&write.ledger) else {
                continue;
            };
            match write.units {
                Some(units) => window.minutes.entry(write.minute).or_default().written = units,
                None => window.forgotten.retain(|minute| *minute != write.minute),
            }
        }
    }

    /// Of each ledger with a limit.
    pub(super) fn spent(&mut self, now_s: u64) -> Vec<(Principal, Amount)> {
        let windows = self.0.iter_mut();
        windows
            .map(|(ledger, window)| (*ledger, Amount::new(window.spent(now_s / 60))))
            .collect()
    }
}

impl Window {
    fn spent(&mut self, now: u64) -> u128 {
        let forgotten = |minute: u64| minute.saturating_add(1 + DAY) <= now;
        while let Some(first) = self.minutes.first_entry()
            && forgotten(*first.key())
        {
            self.forgotten.push(first.remove_entry().0);
        }
        let spent = self.minutes.values().map(|minute| minute.spent);
        // No more than the limit, unless somebody has changed the file.
        spent.fold(0, u128::saturating_add)
    }

    fn left(&mut self, now: u64) -> u128 {
        self.limit.saturating_sub(self.spent(now))
    }

    fn is_written(&self) -> bool {
        let mut minutes = self.minutes.values();
        minutes.all(|minute| minute.written >= minute.spent)
    }

    fn writes(&self, ledger: Principal) -> impl Iterator<Item = Write> {
        let spent = self.minutes.values().map(|minute| minute.spent);
        let left = self
            .limit
            .saturating_sub(spent.fold(0, u128::saturating_add));
        let ahead = left.min(self.limit / AHEAD);
        let last = self.minutes.last_key_value().map(|(minute, _)| *minute);
        let minutes = self.minutes.iter().map(move |(minute, state)| {
            // More will be spent in the last one.
            let ahead = if Some(*minute) == last { ahead } else { 0 };
            (*minute, state.written, state.spent.saturating_add(ahead))
        });
        let changed = minutes.filter(|(_, written, units)| written != units);
        let changed = changed.map(move |(minute, _, units)| Write {
            ledger,
            minute,
            units: Some(units),
        });
        let forgotten = self.forgotten.iter().map(move |minute| Write {
            ledger,
            minute: *minute,
            units: None,
        });
        changed.chain(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u128 = 1000;
    const DAY_S: u64 = 24 * 3600;

    fn ledger(number: u8) -> Principal {
        Principal::from_slice(&[number])
    }

    fn windows() -> Windows {
        Windows::new(&[(ledger(1), Amount::new(LIMIT))], [])
    }

    fn take(windows: &mut Windows, units: u128, now_s: u64) -> Result<Vec<Entry>, Error> {
        windows.take(&[(ledger(1), Amount::new(units))], now_s)
    }

    fn spent(windows: &mut Windows, now_s: u64) -> u128 {
        windows.spent(now_s)[0].1.units()
    }

    #[test]
    fn the_limit_holds_for_any_24_hours() {
        let mut windows = windows();
        take(&mut windows, 600, 0).unwrap();
        take(&mut windows, 400, 12 * 3600).unwrap();
        let refused = take(&mut windows, 1, DAY_S - 1).unwrap_err().to_string();
        assert!(refused.contains("leaves 0 units"), "{refused}");
        // The first has gone, to the minute, and the second has not.
        assert!(take(&mut windows, 1, DAY_S + 59).is_err());
        take(&mut windows, 600, DAY_S + 60).unwrap();
        assert!(take(&mut windows, 1, DAY_S + 12 * 3600).is_err());
        take(&mut windows, 400, DAY_S + 12 * 3600 + 60).unwrap();
    }

    #[test]
    fn all_of_a_spending_is_counted_or_nothing() {
        let limits = [(ledger(1), Amount::new(10)), (ledger(2), Amount::new(5))];
        let mut windows = Windows::new(&limits, []);
        let amounts = |one, two| [(ledger(1), Amount::new(one)), (ledger(2), Amount::new(two))];
        assert!(windows.take(&amounts(10, 6), 0).is_err());
        windows.take(&amounts(10, 5), 0).unwrap();
        // The same ledger twice, and one without a limit.
        let mut windows = Windows::new(&limits, []);
        assert!(
            windows
                .take(&[amounts(6, 0)[0], amounts(6, 0)[0]], 0)
                .is_err()
        );
        assert!(windows.take(&[(ledger(3), Amount::new(1))], 0).is_err());
        windows.take(&[(ledger(3), Amount::ZERO)], 0).unwrap();
        assert_eq!(spent(&mut windows, 0), 0);
        assert!(
            windows
                .take(&[(ledger(1), Amount::new(u128::MAX))], 0)
                .is_err()
        );
    }

    #[test]
    fn what_is_refunded_can_be_spent_again() {
        let mut windows = windows();
        let first = take(&mut windows, 700, 0).unwrap();
        assert!(take(&mut windows, 400, 0).is_err());
        windows.give_back(&first);
        take(&mut windows, 1000, 3600).unwrap();
    }

    #[test]
    fn most_spendings_wait_for_no_disk() {
        let mut windows = Windows::new(&[(ledger(1), Amount::new(1_000_000))], []);
        let mut flushes = 0;
        for payment in 0..100_000 {
            take(&mut windows, 1, payment / 100).unwrap();
            let writes = windows.writes();
            flushes += u32::from(!writes.is_empty());
            windows.written(&writes);
        }
        // One for each of 17 minutes, and one for each 3906 units.
        assert!(flushes < 50, "{flushes}");
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Spend(u128),
        Refund(usize),
        Wait(u64),
        Crash,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..400_u128).prop_map(Step::Spend),
            1 => any::<usize>().prop_map(Step::Refund),
            4 => (0..10 * 3600_u64).prop_map(Step::Wait),
            1 => Just(Step::Crash),
        ]
    }

    proptest! {
        /// The disk is a map, and money that moved is a list.
        #[test]
        fn no_day_is_overspent_whatever_crashes(steps in prop::collection::vec(step(), 0..200)) {
            let mut disk = BTreeMap::new();
            let mut moved: Vec<(u64, Entry)> = Vec::new();
            let mut windows = windows();
            let mut now_s = 1_000_000;
            for step in steps {
                match step {
                    Step::Spend(units) => {
                        let Ok(entries) = take(&mut windows, units, now_s) else { continue };
                        let writes = windows.writes();
                        for write in &writes {
                            match write.units {
                                Some(units) => disk.insert(write.minute, units),
                                None => disk.remove(&write.minute),
                            };
                        }
                        windows.written(&writes);
                        moved.extend(entries.into_iter().map(|entry| (now_s, entry)));
                    }
                    Step::Refund(index) if !moved.is_empty() => {
                        let (_, entry) = moved.remove(index % moved.len());
                        windows.give_back(&[entry]);
                    }
                    Step::Refund(_) => {}
                    Step::Wait(seconds) => now_s += seconds,
                    Step::Crash => {
                        let written = disk.iter().map(|(minute, units)| (ledger(1), *minute, *units));
                        windows = Windows::new(&[(ledger(1), Amount::new(LIMIT))], written);
                    }
                }
                let within = moved.iter().filter(|(at, _)| at + DAY_S > now_s);
                let within: u128 = within.map(|(_, entry)| entry.units).sum();
                prop_assert!(within <= LIMIT);
                let counted = spent(&mut windows, now_s);
                prop_assert!(within <= counted && counted <= LIMIT);
            }
            // After two days nothing is left, on the disk neither.
            now_s += 2 * DAY_S;
            take(&mut windows, LIMIT, now_s).unwrap();
            for write in windows.writes().iter().filter(|write| write.units.is_none()) {
                disk.remove(&write.minute);
            }
            prop_assert!(disk.keys().all(|minute| *minute == now_s / 60));
        }
    }
}
