//! Looks at the adjudicator: when one is asked for, and what it tells.

use perun_protocol::channel::{AdjudicatorCall, Event};
use perun_protocol::view::{Status, View};
use perun_protocol::{AssetIdx, Balances, Timestamp, WithdrawalAuth};

use crate::world::*;

fn wanted(pair: &mut Pair, side: usize) -> Option<AdjudicatorCall> {
    pair.carry_out_all(side);
    pair.sides[side].call.take()
}

#[test]
fn a_look_is_asked_for_only_if_something_waits_and_the_last_is_too_old() {
    for is_old in [false, true] {
        for is_linked in [false, true] {
            for waits in [false, true] {
                let mut pair = Pair::funded([10, 10]);
                if !is_linked {
                    pair.cut();
                }
                let age = if is_old { 2 * MINUTE } else { 0 };
                pair.now = pair.now.saturating_add_nanos(age);
                if waits {
                    pair.pay(ALICE, 1);
                }
                let now = pair.now;
                pair.channel_mut(ALICE).handle_timeout(now);
                let look = (is_old && is_linked && waits).then_some(AdjudicatorCall::Observe);
                let case = (is_old, is_linked, waits);
                assert_eq!(wanted(&mut pair, ALICE), look, "{case:?}");
            }
        }
    }
}

#[test]
fn an_offer_waits_for_a_look_if_the_last_is_too_old() {
    for is_old in [false, true] {
        let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
        pair.sides[BOB].is_watching = false;
        if is_old {
            pair.channel_mut(BOB).handle_lost_time();
        }
        pair.pay(ALICE, 1);
        pair.drive();
        let look = is_old.then_some(AdjudicatorCall::Observe);
        assert_eq!(wanted(&mut pair, BOB), look);
    }
}

#[test]
fn quiet_up_to_what_is_known_already_changes_nothing() {
    let mut plan = Plan::of([10, 5]);
    plan.funds_last = [true, true];
    let mut pair = Pair::agreed(&plan);
    pair.connect();
    pair.drive();
    let seen_at = pair.channel(ALICE).view().unwrap().at;
    // The time to deposit is over, which is for the clock to say.
    let now = pair.now.saturating_add_nanos(HOUR);
    for as_of in [
        Timestamp::default(),
        Timestamp::from_nanos(seen_at.nanos() - 1),
        seen_at,
    ] {
        pair.channel_mut(ALICE).handle_quiet(now, as_of);
        assert!(!pair.carry_out(ALICE), "as of {as_of}");
        assert_eq!(pair.channel(ALICE).view().unwrap().at, seen_at);
    }
    let next = seen_at.saturating_add_nanos(1);
    pair.channel_mut(ALICE).handle_quiet(now, next);
    assert_eq!(pair.channel(ALICE).view().unwrap().at, next);
    assert_eq!(wanted(&mut pair, ALICE), Some(AdjudicatorCall::Observe));
}

#[test]
fn a_look_from_before_the_last_counts_only_if_it_shows_more() {
    let mut pair = Pair::funded([10, 10]);
    let now = pair.now;
    let known = pair.channel(ALICE).view().unwrap().clone();
    let before = Timestamp::from_nanos(known.at.nanos() - 1);
    // It began before the deposits arrived.
    let holdings = Balances::new(2, vec![amount(0); 2]).unwrap();
    let view = View {
        at: before,
        status: Status::Open { holdings },
    };
    pair.channel_mut(ALICE).handle_view(now, view);
    assert_eq!(pair.channel(ALICE).view(), Some(&known));
    // A registration does not go away, whenever it was seen.
    let newest = pair.newest(ALICE).clone();
    pair.adjudicator.dispute(now, &newest);
    let mut view = pair.adjudicator.view(now);
    view.at = before;
    pair.channel_mut(ALICE).handle_view(now, view.clone());
    assert_eq!(pair.channel(ALICE).view(), Some(&view));
    // Nor does it come back to what it was before.
    pair.channel_mut(ALICE).handle_view(now, known);
    assert_eq!(pair.channel(ALICE).view(), Some(&view));
}

#[test]
fn a_registration_is_told_once_however_often_it_is_seen() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    pair.drive();
    pair.take_events(BOB);
    let registered = pair.newest(ALICE).clone();
    let now = pair.now;
    pair.adjudicator.dispute(now, &registered);
    let mut told = 0;
    for _ in 0..3 {
        pair.now = pair.now.saturating_add_nanos(MINUTE);
        pair.look(BOB);
        pair.carry_out_all(BOB);
        let events = pair.take_events(BOB);
        told += events
            .iter()
            .filter(|event| matches!(event, Event::Disputed { .. }))
            .count();
    }
    assert_eq!(told, 1);
}

#[test]
fn authorisations_take_everything_of_ours_to_our_receiver() {
    let mut plan = Plan::of([10, 10]);
    plan.funding.push([10, 10]);
    let pair = Pair::opened(&plan);
    for side in BOTH {
        let channel = pair.channel(side);
        let auths = channel.withdrawal_auths();
        let given: Vec<_> = auths.iter().map(|signed| *signed.auth()).collect();
        let expected: Vec<_> = (channel.params().assets().iter())
            .map(|asset| WithdrawalAuth {
                channel: channel.id(),
                asset: *asset,
                part: part(side),
                receiver: receiver(side),
            })
            .collect();
        assert_eq!(given, expected);
    }
}

#[test]
fn withdrawn_is_whatever_is_left_of_ours_and_not_too_small() {
    // For two assets: what is left of Alice's, whether it is kept, and whether she withdraws it.
    for (left, kept, withdraws) in [
        ([3, 4], [false, false], [true, true]),
        ([3, 4], [true, false], [false, true]),
        ([3, 4], [false, true], [true, false]),
        ([0, 4], [false, false], [false, true]),
        ([3, 0], [false, false], [true, false]),
        ([0, 4], [false, true], [false, false]),
        ([3, 4], [true, true], [false, false]),
        ([0, 0], [false, false], [false, false]),
    ] {
        let mut plan = Plan::of([10, 10]);
        plan.funding.push([10, 10]);
        let mut pair = Pair::opened(&plan);
        for (asset, _) in kept.iter().enumerate().filter(|(_, kept)| **kept) {
            let asset = AssetIdx::new(asset as u8);
            pair.channel_mut(ALICE).handle_kept(asset);
        }
        let shares = [left[0], 7, left[1], 7].map(amount).to_vec();
        let remainders = Balances::new(2, shares).unwrap();
        let in_flight = vec![amount(0); 2];
        let status = Status::Concluded {
            remainders,
            in_flight,
        };
        let now = pair.now;
        let view = View { at: now, status };
        pair.channel_mut(ALICE).handle_view(now, view);
        let assets = pair.channel(ALICE).params().assets().to_vec();
        let found = match wanted(&mut pair, ALICE) {
            None => [false; 2],
            Some(AdjudicatorCall::Withdraw(auths)) => [0, 1].map(|index: usize| {
                let mut auths = auths.iter();
                auths.any(|auth| auth.auth().asset == assets[index])
            }),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, withdraws, "{left:?} {kept:?}");
        let is_over = withdraws == [false; 2];
        assert_eq!(pair.channel(ALICE).is_closed(), is_over);
    }
}
