//! How long the cycles last: readings of the balance, and what follows from them.
//!
//! ```text
//!  balance  \        /\
//!            \______/  \____      falls are burnt; where it rose somebody paid in,
//!   readings |  |  |  |  |  |     and what was burnt meanwhile is not known
//! ```

use perun_canister_api::Runway;
use perun_protocol::Timestamp;

use crate::Adjudicator;

/// How often the balance is read.
pub const READING_INTERVAL_S: u64 = 6 * 3_600;
/// So many readings are kept: a week.
const READINGS: u64 = 29;
const DAY_S: u128 = 86_400;

/// What the subnet says.
#[derive(Clone, Copy, Debug)]
pub struct SubnetSays {
    /// The canister's balance.
    pub balance_cycles: u128,
    /// What it burns for its memory.
    pub idle_burn_per_day_cycles: u128,
    /// It is frozen when the balance would not last that long at that rate.
    pub freezing_threshold_s: u128,
}

impl Adjudicator {
    /// Remembers what the balance was.
    pub fn note_balance(&mut self, at: Timestamp, balance_cycles: u128) {
        self.store.add_balance(at, balance_cycles, READINGS);
    }

    /// How long the cycles last.
    pub fn runway(&self, says: SubnetSays) -> Runway {
        let idle = says.idle_burn_per_day_cycles;
        let frozen_below_cycles = idle.saturating_mul(says.freezing_threshold_s) / DAY_S;
        let (burnt, over_ns) = burnt(&self.store.balances());
        let over_s = over_ns / 1_000_000_000;
        let measured = (over_s > 0).then(|| burnt.saturating_mul(DAY_S) / u128::from(over_s));
        let burn = measured.unwrap_or(0).max(idle);
        let left = says.balance_cycles.saturating_sub(frozen_below_cycles);
        let days_left = left.checked_div(burn);
        Runway {
            balance_cycles: says.balance_cycles,
            frozen_below_cycles,
            idle_burn_per_day_cycles: idle,
            measured_burn_per_day_cycles: measured,
            measured_over_s: over_s,
            days_left: days_left.map(|days| u64::try_from(days).unwrap_or(u64::MAX)),
        }
    }
}

/// What was burnt for sure, and the nanoseconds in which it was.
fn burnt(readings: &[(u64, u128)]) -> (u128, u64) {
    let pairs = readings.windows(2).filter_map(|pair| {
        let ((from_ns, before), (to_ns, after)) = (pair[0], pair[1]);
        let fall = before.checked_sub(after)?;
        Some((fall, to_ns - from_ns))
    });
    pairs.fold((0, 0), |(cycles, ns), (fall, length_ns)| {
        (cycles + fall, ns + length_ns)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candid::Principal;
    use ic_stable_structures::DefaultMemoryImpl;
    use perun_canister_api::InitArgs;

    const DAY_NS: u64 = 86_400_000_000_000;
    const SAYS: SubnetSays = SubnetSays {
        balance_cycles: 1_000,
        idle_burn_per_day_cycles: 10,
        freezing_threshold_s: 30 * DAY_S,
    };

    fn with(readings: &[(u64, u128)]) -> Runway {
        let me = Principal::from_slice(&[2]);
        let args = InitArgs {
            ledgers: vec![Principal::from_slice(&[1])],
            min_challenge_duration_s: 60,
            max_challenge_duration_s: 600,
        };
        let memory = DefaultMemoryImpl::default();
        let mut adjudicator = Adjudicator::install(memory, me, args).unwrap();
        for &(day, balance) in readings {
            adjudicator.note_balance(Timestamp::from_nanos(day * DAY_NS), balance);
        }
        adjudicator.runway(SAYS)
    }

    #[test]
    fn without_readings_the_idle_burn_counts() {
        let runway = with(&[(1, 1_000)]);
        assert_eq!(runway.frozen_below_cycles, 300);
        assert_eq!(runway.measured_burn_per_day_cycles, None);
        assert_eq!(runway.days_left, Some(70));
    }

    #[test]
    fn the_greater_burn_counts() {
        let runway = with(&[(1, 1_100), (2, 1_050), (3, 1_000)]);
        assert_eq!(runway.measured_burn_per_day_cycles, Some(50));
        assert_eq!(runway.measured_over_s, 2 * 86_400);
        assert_eq!(runway.days_left, Some(14));
        let runway = with(&[(1, 1_001), (2, 1_000)]);
        assert_eq!(runway.days_left, Some(70));
    }

    #[test]
    fn what_was_burnt_while_somebody_paid_in_is_not_guessed() {
        let runway = with(&[(1, 1_000), (2, 980), (3, 5_000), (4, 4_980)]);
        assert_eq!(runway.measured_burn_per_day_cycles, Some(20));
        assert_eq!(runway.measured_over_s, 2 * 86_400);
    }

    #[test]
    fn only_the_last_readings_count() {
        // It burned much on the first day, long ago.
        let mut readings = vec![(0, 1_000_000)];
        readings.extend((1..=40).map(|day| (day, 10_000 - u128::from(day) * 20)));
        let runway = with(&readings);
        assert_eq!(runway.measured_burn_per_day_cycles, Some(20));
        assert_eq!(runway.measured_over_s, (READINGS - 1) * 86_400);
    }

    #[test]
    fn a_canister_that_burns_nothing_lasts() {
        let says = SubnetSays {
            idle_burn_per_day_cycles: 0,
            ..SAYS
        };
        let me = Principal::from_slice(&[2]);
        let args = InitArgs {
            ledgers: vec![Principal::from_slice(&[1])],
            min_challenge_duration_s: 60,
            max_challenge_duration_s: 600,
        };
        let adjudicator = Adjudicator::install(DefaultMemoryImpl::default(), me, args);
        assert_eq!(adjudicator.unwrap().runway(says).days_left, None);
    }
}
