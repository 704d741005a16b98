//! The dispute rule, whatever is handed in, whenever, by whomever.

use perun_protocol::dispute::{
    DisputeError, InsufficientFunding, Rank, Registration, covered, outcome, would_register,
};
use perun_protocol::{Amount, Balances, ChallengeDuration, State, Timestamp, Version};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies as make;

/// One asset's balances and funding.
type Row = (Vec<u128>, Vec<u128>);

/// Deposits, and the states that were signed on them, version by version.
#[derive(Clone, Debug)]
struct Game {
    held: Balances,
    states: Vec<State>,
    duration: ChallengeDuration,
}

/// Somebody hands in a claim after some time: a state by its version, or a refund claim.
#[derive(Clone, Debug)]
struct Move {
    after_nanos: u64,
    version: Option<usize>,
}

/// One asset of one state: the funding is the deposits, or less, or more, and the balances split it
/// anew.
fn row(held: Vec<u128>) -> impl Strategy<Value = Row> {
    let parts = held.len();
    let less = (vec(any::<u128>(), parts), Just(held.clone())).prop_map(|(less, held)| {
        let fraction = |(held, less): (&u128, u128)| {
            let end = held.checked_add(1);
            end.map_or(less, |end| less % end)
        };
        held.iter().zip(less).map(fraction).collect::<Vec<_>>()
    });
    let more = (vec(make::amount(), parts), Just(held.clone())).prop_map(|(more, held)| {
        let mut funding = held;
        let left = u128::MAX - funding.iter().sum::<u128>();
        let mut more = more;
        make::clip(&mut more, left);
        funding
            .iter_mut()
            .zip(more)
            .for_each(|(funding, more)| *funding += more);
        funding
    });
    let funding = prop_oneof![4 => Just(held), 2 => less, 1 => more];
    (funding, vec(any::<u128>(), parts - 1)).prop_map(|(funding, cuts)| {
        let balances = make::split(funding.iter().sum(), &cuts);
        (balances, funding)
    })
}

fn held_rows() -> impl Strategy<Value = Vec<Vec<u128>>> {
    (1..=2_usize, 2..=4_usize).prop_flat_map(|(assets, parts)| {
        let row = vec(make::amount(), parts).prop_map(|mut row| {
            make::clip(&mut row, u128::MAX);
            row
        });
        vec(row, assets)
    })
}

fn game() -> impl Strategy<Value = Game> {
    let states = held_rows().prop_flat_map(|held| {
        let rows: Vec<_> = held.iter().cloned().map(row).collect();
        (Just(held), vec(rows, 1..6), any::<bool>())
    });
    (make::channel(), states, make::duration()).prop_map(|(channel, states, duration)| {
        let (held, states, last_is_final) = states;
        let last = states.len() - 1;
        let state = |(version, rows): (usize, Vec<Row>)| {
            let (balances, funding): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            let version_number = Version::new(version as u64);
            let (balances, funding) = (make::table(&balances), make::table(&funding));
            let state = State::new(channel, version_number, balances, funding).unwrap();
            // Nobody signs anything after a final state.
            if version == last && last_is_final {
                state.finalized()
            } else {
                state
            }
        };
        Game {
            held: make::table(&held),
            states: states.into_iter().enumerate().map(state).collect(),
            duration,
        }
    })
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    // Up to twice the longest window, and much less.
    let pause = prop_oneof![
        Just(0),
        0..1_000_000_000_u64,
        0..2 * ChallengeDuration::MAX.nanos(),
        Just(u64::MAX),
    ];
    let version = prop_oneof![1 => Just(None), 4 => (0..6_usize).prop_map(Some)];
    vec((pause, version), 1..12).prop_map(|moves| {
        let step = |(after_nanos, version)| Move {
            after_nanos,
            version,
        };
        moves.into_iter().map(step).collect()
    })
}

impl Game {
    fn state(&self, version: Option<usize>) -> Option<&State> {
        let last = self.states.len() - 1;
        version.map(|version| &self.states[version.min(last)])
    }

    fn register(
        &self,
        standing: Option<&Registration>,
        state: Option<&State>,
        now: Timestamp,
    ) -> Result<Registration, DisputeError> {
        would_register(standing, state, &self.held, self.duration, now)
    }

    fn newest_covered(&self) -> Option<&State> {
        let mut newest_first = self.states.iter().rev();
        newest_first.find(|state| covered(&self.held, state.funding()).is_ok())
    }

    fn registered_state(&self, registration: &Registration) -> Option<&State> {
        match registration.rank {
            Rank::Refund => None,
            Rank::State(version) => Some(&self.states[version.number() as usize]),
        }
    }
}

/// The place that is short, judged without the rule's help.
fn short(held: &Balances, state: &State) -> Option<(Amount, Amount)> {
    let held = held.iter().map(|(_, _, amount)| amount);
    let needed = state.funding().iter().map(|(_, _, amount)| amount);
    held.zip(needed).find(|(held, needed)| held < needed)
}

proptest! {
    #[test]
    fn the_rank_never_falls_and_the_timeout_stays(game in game(), moves in moves()) {
        let mut now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let mut standing: Option<Registration> = None;
        for Move { after_nanos, version } in moves {
            now = now.saturating_add_nanos(after_nanos);
            let state = game.state(version);
            let submitted = Rank::of(state);
            let decision = game.register(standing.as_ref(), state, now);
            match (&decision, standing) {
                (Ok(new), None) => {
                    let window = if state.is_some_and(State::is_final) {
                        0
                    } else {
                        game.duration.nanos()
                    };
                    prop_assert_eq!(new.timeout, now.saturating_add_nanos(window));
                    prop_assert_eq!(new.rank, submitted);
                }
                (Ok(new), Some(old)) => {
                    prop_assert!(now < old.timeout);
                    prop_assert!(new.rank > old.rank);
                    prop_assert_eq!(new.rank, submitted);
                    let is_final = state.is_some_and(State::is_final);
                    prop_assert_eq!(new.timeout, if is_final { now } else { old.timeout });
                }
                (Err(DisputeError::ChallengeElapsed { at }), Some(old)) => {
                    prop_assert_eq!(*at, old.timeout);
                    prop_assert!(old.timeout <= now);
                }
                (Err(DisputeError::Outdated { registered, submitted: handed_in }), Some(old)) => {
                    prop_assert_eq!((*registered, *handed_in), (old.rank, submitted));
                    prop_assert!(submitted <= old.rank);
                }
                (Err(DisputeError::InsufficientFunding(error)), _) => {
                    let state = state.expect("a refund claim needs no funding");
                    prop_assert!(state.version() != Version::INITIAL);
                    let InsufficientFunding { asset, part, held, needed } = *error;
                    prop_assert_eq!(short(&game.held, state), Some((held, needed)));
                    prop_assert_eq!(game.held.at(asset, part), Some(held));
                    prop_assert_eq!(state.funding().at(asset, part), Some(needed));
                }
                (Err(error), _) => prop_assert!(false, "{error} of nothing"),
            }
            if let Ok(new) = decision {
                standing = Some(new);
            }
        }
    }

    /// Whatever is handed in first: who answers in time with the newest state that the deposits
    /// cover loses nothing of what it gives.
    #[test]
    fn nobody_gets_less_than_the_newest_covered_state_gives(game in game(), moves in moves()) {
        let mut now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let newest = game.newest_covered();
        let mut standing: Option<Registration> = None;
        for Move { after_nanos, version } in moves {
            now = now.saturating_add_nanos(after_nanos % game.duration.nanos());
            let foul = game.register(standing.as_ref(), game.state(version), now);
            standing = foul.ok().or(standing);
            // The watcher answers at once.
            if newest.is_some() && standing.is_some_and(|standing| now < standing.timeout) {
                let answer = game.register(standing.as_ref(), newest, now);
                standing = answer.ok().or(standing);
            }
        }
        if standing.is_none() {
            standing = Some(game.register(None, newest, now).unwrap());
        }
        let state = game.registered_state(&standing.unwrap());
        let paid = outcome(state, &game.held);
        match newest {
            Some(newest) => {
                for (asset, part, balance) in newest.allocation().balances.iter() {
                    let surplus = game.held.at(asset, part).unwrap()
                        .checked_sub(newest.funding().at(asset, part).unwrap()).unwrap();
                    prop_assert_eq!(paid.at(asset, part), balance.checked_add(surplus));
                }
            }
            None => prop_assert_eq!(&paid, &game.held),
        }
        for (asset, row) in game.held.rows().enumerate() {
            let asset = perun_protocol::AssetIdx::new(asset as u8);
            prop_assert_eq!(paid.total(asset), Amount::checked_sum(row.iter().copied()));
        }
    }

    #[test]
    fn every_outcome_adds_up(game in game()) {
        for state in game.states.iter().map(Some).chain([None]) {
            let paid = outcome(state, &game.held);
            prop_assert!(paid.same_shape(&game.held));
            for (paid, held) in paid.rows().zip(game.held.rows()) {
                let sum = |row: &[Amount]| Amount::checked_sum(row.iter().copied());
                prop_assert_eq!(sum(paid), sum(held));
            }
            let is_covered = state.is_some_and(|state| short(&game.held, state).is_none());
            if !is_covered {
                prop_assert_eq!(&paid, &game.held);
            }
        }
    }

    /// Even what no adjudicator would let stand.
    #[test]
    fn the_rule_answers_whatever_it_is_asked(
        state in make::state(),
        other in make::state(),
        standing in prop::option::of((make::version(), any::<u64>())),
        duration in make::duration(),
        now in any::<u64>(),
    ) {
        let held = other.funding();
        let standing = standing.map(|(version, nanos)| Registration {
            rank: Rank::State(version),
            timeout: Timestamp::from_nanos(nanos),
        });
        let now = Timestamp::from_nanos(now);
        let decision = would_register(standing.as_ref(), Some(&state), held, duration, now);
        if !state.allocation().locked.is_empty() {
            prop_assert!(decision.is_err());
        }
        if let (Ok(new), Some(old)) = (decision, standing) {
            prop_assert!(new.rank > old.rank && new.timeout <= old.timeout && now < old.timeout);
        }
        let paid = outcome(Some(&state), held);
        prop_assert!(paid.same_shape(held));
        if !state.funding().same_shape(held) {
            prop_assert_eq!(&paid, held);
        }
    }
}
