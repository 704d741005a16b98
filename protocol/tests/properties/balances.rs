//! Tables of amounts against the plainest model there is.

use perun_protocol::{Amount, AssetIdx, Balances, BalancesError, PartIdx};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies as make;

/// What is done to a table.
#[derive(Clone, Debug)]
enum Step {
    Add(u8, u8, u128),
    Take(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    // Places beyond the table too.
    let place = || (prop_oneof![9 => 0..4_u8, 1 => any::<u8>()], 0..5_u8);
    prop_oneof![
        3 => (place(), make::amount()).prop_map(|((asset, part), n)| Step::Add(asset, part, n)),
        1 => place().prop_map(|(asset, part)| Step::Take(asset, part)),
    ]
}

proptest! {
    #[test]
    fn a_table_exists_if_its_shape_and_sums_do(
        parts in 0..20_usize,
        amounts in prop_oneof![
            vec(0..10_u128, 0..140),
            vec(make::amount(), 0..12),
        ],
    ) {
        let table = Balances::new(parts, amounts.iter().copied().map(Amount::new).collect());
        let assets = amounts.len().checked_div(parts).unwrap_or(0);
        let fits = (2..=16).contains(&parts)
            && (1..=8).contains(&assets)
            && amounts.len() % parts == 0;
        if !fits {
            let amounts = amounts.len();
            prop_assert_eq!(table, Err(BalancesError::WrongShape { parts, amounts }));
            return Ok(());
        }
        let sums = amounts.chunks(parts).map(|row| {
            row.iter().try_fold(0_u128, |sum, amount| sum.checked_add(*amount))
        });
        let sums: Vec<Option<u128>> = sums.collect();
        match sums.iter().position(Option::is_none) {
            Some(asset) => {
                let asset = AssetIdx::new(asset as u8);
                prop_assert_eq!(table, Err(BalancesError::SumOverflow { asset }));
            }
            None => {
                let table = table.unwrap();
                prop_assert_eq!((table.assets(), table.parts()), (assets, parts));
                let units: Vec<u128> = table.iter().map(|(_, _, amount)| amount.units()).collect();
                prop_assert_eq!(&units, &amounts);
                let rows: Vec<Amount> = table.rows().flatten().copied().collect();
                prop_assert_eq!(rows, amounts.iter().copied().map(Amount::new).collect::<Vec<_>>());
                for (asset, sum) in sums.into_iter().enumerate() {
                    let total = table.total(AssetIdx::new(asset as u8));
                    prop_assert_eq!(total.map(Amount::units), sum);
                }
                prop_assert_eq!(table.is_zero(), amounts.iter().all(|amount| *amount == 0));
            }
        }
    }

    #[test]
    fn adding_and_taking_moves_what_it_says(
        steps in vec(step(), 0..40),
        assets in 1..=3_usize,
        parts in 2..=4_usize,
    ) {
        let mut table = Balances::zero(assets, parts).unwrap();
        let mut model = vec![vec![0_u128; parts]; assets];
        for step in steps {
            match step {
                Step::Add(asset, part, units) => {
                    let row = model.get_mut(usize::from(asset));
                    let fits = row.filter(|row| {
                        let sum = row.iter().sum::<u128>().checked_add(units);
                        sum.is_some() && usize::from(part) < parts
                    });
                    let expected = fits.map(|row| {
                        row[usize::from(part)] += units;
                        Amount::new(row[usize::from(part)])
                    });
                    let (asset, part) = (AssetIdx::new(asset), PartIdx::new(part));
                    let added = table.checked_add_at(asset, part, Amount::new(units));
                    prop_assert_eq!(added, expected);
                }
                Step::Take(asset, part) => {
                    let row = model.get_mut(usize::from(asset));
                    let place = row.and_then(|row| row.get_mut(usize::from(part)));
                    let expected = place.map(std::mem::take).map(Amount::new);
                    let taken = table.take_at(AssetIdx::new(asset), PartIdx::new(part));
                    prop_assert_eq!(taken, expected);
                }
            }
            prop_assert_eq!(&table, &make::table(&model));
        }
    }

    #[test]
    fn places_are_where_the_iterator_says(state in make::state(), asset: u8, part: u8) {
        let table = state.funding();
        for (asset, part, amount) in table.iter() {
            prop_assert_eq!(table.at(asset, part), Some(amount));
        }
        let (asset, part) = (AssetIdx::new(asset), PartIdx::new(part));
        let exists = asset.index() < table.assets() && part.index() < table.parts();
        prop_assert_eq!(table.at(asset, part).is_some(), exists);
        prop_assert_eq!(table.total(asset).is_some(), asset.index() < table.assets());
    }
}
