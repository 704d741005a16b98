//! The payment app: what is stored proves every payment, and nothing else passes for it.

use perun_protocol::payment::{Entry, History, HistoryError, PAYMENT_APP, Payment, Tally};
use perun_protocol::signature::Verifier;
use perun_protocol::{Allocation, AssetIdx, Balances, Signer, State, UnverifiedSignedState};

use crate::world::*;

/// Two assets, payments both ways with and without memos, an update that was refused.
fn pair() -> Pair {
    let mut plan = Plan::of([100, 50]).with_app(PAYMENT_APP);
    plan.funding.push([7, 9]);
    let mut pair = Pair::opened(&plan);
    for round in 1..=4 {
        let now = pair.now;
        let memo = (round % 2 == 0).then_some([round as u8; 32]);
        let of_alice = Payment {
            asset: AssetIdx::new(0),
            amount: amount(round),
            memo,
        };
        pair.channel_mut(ALICE).pay(now, &of_alice).unwrap();
        pair.channel_mut(ALICE).pay(now, &payment_in(1, 1)).unwrap();
        pair.channel_mut(BOB).pay(now, &payment_in(1, 2)).unwrap();
        pair.drive();
    }
    pair
}

fn history<S: Signer + Clone, V: Verifier>(pair: &World<S, V>, side: usize) -> History {
    let channel = pair.channel(side);
    let opening = channel.setup().initial.allocation().balances.clone();
    let entries = pair.sides[side].store.entries(pair.newest(side).version());
    History { opening, entries }
}

fn verify<S: Signer + Clone, V: Verifier>(
    pair: &World<S, V>,
    history: &History,
) -> Result<(), HistoryError> {
    history.verify(pair.channel(ALICE).params(), pair.newest(ALICE))
}

#[test]
fn what_both_have_stored_is_proved_by_the_newest_state() {
    let mut pair = pair();
    let of_alice = history(&pair, ALICE);
    assert_eq!(of_alice, history(&pair, BOB));
    assert_eq!(verify(&pair, &of_alice), Ok(()));
    let count: u64 = of_alice
        .entries
        .iter()
        .map(|entry| u64::from(entry.payments.count()))
        .sum();
    assert_eq!(count, 12);
    let tally = Tally::of(pair.newest(BOB).state()).unwrap();
    assert_eq!(tally.count, 12);
    // A final state without payments has the same tally.
    pair.close(BOB);
    pair.drive();
    assert!(pair.newest(ALICE).state().is_final());
    assert_eq!(verify(&pair, &history(&pair, ALICE)), Ok(()));
}

#[test]
fn refused_payments_are_forgotten() {
    let plan = Plan::of([10, 10]).with_app(PAYMENT_APP).asking(BOB);
    let mut pair = Pair::opened(&plan);
    pair.pay(ALICE, 3);
    pair.drive();
    pair.wait(11 * SECOND);
    pair.pay(BOB, 1);
    pair.drive();
    for side in BOTH {
        pair.sides[side].store.flush();
        let history = history(&pair, side);
        assert_eq!(history.entries.len(), 1, "side {side}");
        assert_eq!(verify(&pair, &history), Ok(()));
    }
}

#[test]
fn crashes_leave_no_gap() {
    for who in BOTH {
        for steps in 0..60 {
            let mut pair = Quick::opened(&Plan::of([100, 100]).with_app(PAYMENT_APP));
            for units in 1..4 {
                pair.pay(ALICE, units);
                pair.pay(BOB, units);
            }
            for step in 0..steps {
                let side = step / 2 % 2;
                let _ = pair.carry_out(side) || pair.deliver(side);
            }
            pair.crash(who);
            pair.connect();
            pair.drive();
            for side in BOTH {
                pair.sides[side].store.flush();
                assert_eq!(verify(&pair, &history(&pair, side)), Ok(()), "side {side}");
            }
        }
    }
}

/// Both have signed that these were the payments, and other balances than they lead to.
#[test]
fn payments_that_lead_elsewhere_are_not_what_a_state_says() {
    let pair = pair();
    let newest = pair.newest(ALICE).state();
    let params = pair.channel(ALICE).params();
    for asset in [0, 1] {
        let moved = newest
            .allocation()
            .balances
            .iter()
            .map(
                |(of, part, units)| match (of.index() == asset, part.index()) {
                    (true, ALICE) => units.checked_sub(amount(1)).unwrap(),
                    (true, _) => units.checked_add(amount(1)).unwrap(),
                    (false, _) => units,
                },
            );
        let allocation = Allocation {
            balances: Balances::new(2, moved.collect()).unwrap(),
            locked: vec![],
        };
        let state = State::from_parts(
            newest.channel(),
            version(newest.version().number() + 1),
            allocation,
            newest.funding().clone(),
            newest.app_data().to_vec(),
            false,
        );
        let state = state.unwrap();
        let signatures = BOTH.map(|side| pair.sides[side].signer.sign(&state.digest()));
        let signatures = signatures.to_vec();
        let signed = UnverifiedSignedState { state, signatures };
        let signed = signed.verify(params).unwrap();
        let wrong = HistoryError::Balance {
            asset: AssetIdx::new(asset as u8),
            part: part(ALICE),
        };
        assert_eq!(history(&pair, ALICE).verify(params, &signed), Err(wrong));
    }
}

#[test]
fn nothing_else_passes() {
    let pair = pair();
    let good = history(&pair, ALICE);
    let bad = |change: &dyn Fn(&mut History)| {
        let mut history = good.clone();
        change(&mut history);
        verify(&pair, &history)
    };
    assert!(good.entries.len() > 3);
    let count = |found| HistoryError::Count {
        expected: 12,
        found,
    };
    // A payment too few, an update too few, one too many.
    let first = good.entries[0].payments.count();
    let shorter = bad(&|history| history.entries[0].payments = batch(&[]));
    assert_eq!(shorter, Err(count(u64::from(12 - first))));
    let missing = bad(&|history| {
        history.entries.remove(0);
    });
    assert_eq!(missing, Err(count(u64::from(12 - first))));
    let longer = bad(&|history| {
        let next = version(history.entries[0].version.number());
        let entry = Entry {
            version: next,
            ..history.entries[1].clone()
        };
        history.entries.insert(1, entry);
    });
    assert!(matches!(longer, Err(HistoryError::Order { .. })));
    // Another amount, memo, payer, order, opening.
    let other_amount = bad(&|history| {
        let payments: Vec<_> = history.entries[0].payments.iter().collect();
        let changed = payments.iter().map(|payment| Payment {
            amount: amount(payment.amount.units() + 1),
            ..*payment
        });
        history.entries[0].payments = batch(&changed.collect::<Vec<_>>());
    });
    assert_eq!(other_amount, Err(HistoryError::Hash));
    let other_memo = bad(&|history| {
        let payments: Vec<_> = history.entries[0].payments.iter().collect();
        let changed = payments.iter().map(|payment| Payment {
            memo: Some([0xFF; 32]),
            ..*payment
        });
        history.entries[0].payments = batch(&changed.collect::<Vec<_>>());
    });
    assert_eq!(other_memo, Err(HistoryError::Hash));
    let other_payer = bad(&|history| {
        let payer = history.entries[0].payer;
        history.entries[0].payer = part(1 - payer.index());
    });
    assert_eq!(other_payer, Err(HistoryError::Hash));
    let other_order = bad(&|history| {
        let [first, second, ..] = &mut history.entries[..] else {
            panic!();
        };
        std::mem::swap(&mut first.payer, &mut second.payer);
        std::mem::swap(&mut first.payments, &mut second.payments);
    });
    assert_eq!(other_order, Err(HistoryError::Hash));
    let other_opening = bad(&|history| {
        let amounts = [99, 51, 7, 9].map(amount).to_vec();
        history.opening = Balances::new(2, amounts).unwrap();
    });
    assert_eq!(other_opening, Err(HistoryError::Hash));
    // Versions out of order, or beyond the state; shapes of other channels.
    let reversed = bad(&|history| history.entries.reverse());
    assert!(matches!(reversed, Err(HistoryError::Order { .. })));
    let beyond = bad(&|history| history.entries.last_mut().unwrap().version = version(999));
    assert_eq!(
        beyond,
        Err(HistoryError::Order {
            version: version(999)
        })
    );
    let third = bad(&|history| history.entries[0].payer = part(2));
    assert_eq!(third, Err(HistoryError::WrongShape));
    let asset = bad(&|history| history.entries[0].payments = batch(&[payment_in(2, 1)]));
    assert_eq!(asset, Err(HistoryError::WrongShape));
    let narrow = bad(&|history| history.opening = Balances::zero(1, 2).unwrap());
    assert_eq!(narrow, Err(HistoryError::WrongShape));
    // How payments are divided among updates is part of it; so are the versions' order.
    let joined = bad(&|history| {
        let last = history.entries.pop().unwrap();
        let before = history.entries.last_mut().unwrap();
        before.payments = batch(
            &before
                .payments
                .iter()
                .chain(&last.payments)
                .collect::<Vec<_>>(),
        );
    });
    assert_eq!(joined, Err(HistoryError::Hash));
    // Another channel, and one without the app.
    let without = Pair::funded([100, 50]);
    assert_eq!(
        good.verify(without.channel(ALICE).params(), pair.newest(ALICE)),
        Err(HistoryError::NoPaymentApp)
    );
    let other = Pair::opened(&Plan::of([100, 50]).with_app(PAYMENT_APP));
    assert_eq!(
        good.verify(pair.channel(ALICE).params(), other.newest(ALICE)),
        Err(HistoryError::WrongChannel {
            expected: pair.channel(ALICE).id(),
            found: other.channel(ALICE).id(),
        })
    );
}
