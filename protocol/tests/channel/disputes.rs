//! Disputes: what stands at the adjudicator is refuted by what is newer, whoever registered it.

use perun_protocol::channel::Event;
use perun_protocol::dispute::Rank;
use perun_protocol::view::{Status, View};
use perun_protocol::wire::{Message, RejectCode};
use perun_protocol::{SignedState, State};

use crate::world::*;

/// Alice has paid three times; version 1 and 3 are returned.
fn three_payments() -> (Pair, SignedState) {
    let mut pair = Pair::funded([10, 10]);
    let mut old = None;
    for _ in 0..3 {
        pair.pay(ALICE, 2);
        pair.drive();
        old = old.or_else(|| Some(pair.newest(ALICE).clone()));
    }
    pair.assert_agreed([4, 16]);
    (pair, old.unwrap())
}

#[test]
fn an_old_state_is_refuted_by_either_side() {
    for watcher in BOTH {
        let (mut pair, old) = three_payments();
        pair.sides[1 - watcher].is_watching = false;
        let now = pair.now;
        pair.adjudicator.dispute(now, &old);
        pair.drive();
        assert_eq!(pair.adjudicator.registered(), Some(Rank::State(version(3))));
        let events = pair.take_events(watcher);
        let timeout = now.saturating_add_nanos(HOUR);
        for registered in [1, 3].map(|number| Rank::State(version(number))) {
            let newest = version(3);
            let disputed = Event::Disputed {
                registered,
                newest,
                timeout,
            };
            assert!(events.contains(&disputed), "{events:?}");
        }
        pair.sides[1 - watcher].is_watching = true;
        pair.wait(HOUR);
        pair.assert_paid_out([4, 16]);
    }
}

#[test]
fn nothing_is_paid_in_a_dispute() {
    let (mut pair, old) = three_payments();
    let now = pair.now;
    pair.adjudicator.dispute(now, &old);
    pair.sides[ALICE].is_watching = false;
    pair.drive();
    // Alice has not seen it and proposes; Bob has.
    pair.pay(ALICE, 1);
    pair.drive();
    let events = pair.take_events(ALICE);
    assert!(
        events.iter().any(|event| matches!(event,
            Event::Refused { from: 4, through: 4, reason } if reason.code == RejectCode::Disputed)),
        "{events:?}"
    );
    pair.sides[ALICE].is_watching = true;
    pair.wait(HOUR);
    pair.assert_paid_out([4, 16]);
}

/// Alice has proposed a payment of 5 out of 10 that Bob does not answer.
fn pending() -> (Pair, State) {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 5);
    pair.carry_out_all(ALICE);
    let proposed = pair.channel(ALICE).pending().unwrap().clone();
    pair.queues[BOB].clear();
    assert_eq!(pair.channel(ALICE).secured(), [amount(5)]);
    (pair, proposed)
}

#[test]
fn the_peer_completes_a_proposal_under_way_and_registers_it() {
    let (mut pair, proposed) = pending();
    let signed = pair.complete_in_secret(&proposed);
    let now = pair.now;
    pair.sides[BOB].is_watching = false;
    pair.adjudicator.dispute(now, &signed);
    pair.drive();
    let events = pair.take_events(ALICE);
    assert!(
        events.contains(&Event::Settled { through: 1 }),
        "{events:?}"
    );
    assert_eq!(pair.newest(ALICE), &signed);
    pair.wait(2 * HOUR);
    assert!(pair.channel(ALICE).is_closed());
    assert_eq!(pair.adjudicator.paid(0, ALICE), 5);
}

#[test]
fn a_proposal_under_way_is_refused_when_a_dispute_ends_without_it() {
    let (mut pair, _) = pending();
    pair.cut();
    pair.force_close(ALICE);
    pair.wait(2 * HOUR);
    pair.assert_paid_out([10, 10]);
    let events = pair.take_events(ALICE);
    assert!(
        events.iter().any(|event| matches!(
            event,
            Event::Refused {
                from: 1,
                through: 1,
                ..
            }
        )),
        "{events:?}"
    );
}

#[test]
fn a_proposal_under_way_refutes_when_it_is_accepted_after_all() {
    let (mut pair, proposed) = pending();
    let initial = pair.newest(ALICE).clone();
    let now = pair.now;
    pair.adjudicator.dispute(now, &initial);
    pair.sides[BOB].is_watching = false;
    pair.drive();
    let acceptance = pair.acceptance_by(BOB, &proposed);
    pair.receive(ALICE, Message::UpdateAcceptance(acceptance));
    pair.drive();
    assert_eq!(pair.adjudicator.registered(), Some(Rank::State(version(1))));
}

#[test]
fn a_refused_proposal_is_completed_and_registered() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.pay(ALICE, 5);
    pair.drive();
    let proposed = pair.channel(ALICE).pending().unwrap().clone();
    pair.wait(11 * SECOND);
    assert_eq!(pair.channel(ALICE).pending(), None);
    assert_eq!(pair.channel(ALICE).secured(), [amount(5)]);
    let signed = pair.complete_in_secret(&proposed);
    let now = pair.now;
    pair.adjudicator.dispute(now, &signed);
    pair.wait(2 * HOUR);
    pair.assert_paid_out([5, 15]);
}

#[test]
fn a_newer_state_supersedes_a_refused_proposal() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.pay(ALICE, 5);
    pair.drive();
    let proposed = pair.channel(ALICE).pending().unwrap().clone();
    pair.wait(11 * SECOND);
    pair.pay(BOB, 1);
    pair.drive();
    pair.assert_agreed([11, 9]);
    assert_eq!(pair.channel(ALICE).secured(), [amount(11)]);
    let signed = pair.complete_in_secret(&proposed);
    let now = pair.now;
    pair.adjudicator.dispute(now, &signed);
    pair.wait(2 * HOUR);
    pair.assert_paid_out([11, 9]);
}

#[test]
fn a_state_that_a_side_never_saw_is_taken_over() {
    let (mut pair, _) = three_payments();
    let newer = pair.sign_both(version(9), [8, 12]);
    let now = pair.now;
    pair.adjudicator.dispute(now, &newer);
    pair.drive();
    for side in BOTH {
        let events = pair.take_events(side);
        let rolled_back = Event::RolledBack {
            knew: version(3),
            shown: version(9),
        };
        assert!(events.contains(&rolled_back), "{events:?}");
    }
    pair.wait(HOUR);
    pair.assert_paid_out([8, 12]);
}

#[test]
fn the_window_moves_when_the_adjudicator_stood_still() {
    let (mut pair, _) = three_payments();
    pair.force_close(BOB);
    pair.wait(HOUR / 2);
    pair.adjudicator.gap(HOUR);
    pair.wait(HOUR);
    assert!(!pair.adjudicator.is_concluded());
    pair.wait(HOUR / 2);
    pair.assert_paid_out([4, 16]);
}

#[test]
fn the_window_moves_at_the_last_moment() {
    let (mut pair, _) = three_payments();
    pair.force_close(BOB);
    pair.drive();
    for side in BOTH {
        pair.sides[side].is_watching = false;
    }
    pair.adjudicator.gap(MINUTE);
    pair.wait(HOUR);
    // Both ask to be paid, which does nothing yet, and see why.
    for side in BOTH {
        pair.sides[side].is_watching = true;
    }
    pair.drive();
    assert!(!pair.adjudicator.is_concluded());
    pair.wait(MINUTE);
    pair.assert_paid_out([4, 16]);
}

#[test]
fn who_gets_nothing_concludes_for_the_other() {
    let mut pair = Pair::funded([10, 0]);
    pair.pay(ALICE, 10);
    pair.drive();
    pair.sides[BOB].is_watching = false;
    pair.force_close(ALICE);
    pair.wait(HOUR);
    assert!(pair.adjudicator.is_concluded());
    assert!(pair.channel(ALICE).is_closed());
    pair.sides[BOB].is_watching = true;
    pair.drive();
    pair.assert_paid_out([0, 10]);
}

#[test]
fn an_old_view_never_takes_the_place_of_what_is_known() {
    let (mut pair, old) = three_payments();
    pair.sides[ALICE].is_watching = false;
    let open = pair.adjudicator.view(pair.now);
    pair.wait(10 * SECOND);
    let now = pair.now;
    pair.adjudicator.dispute(now, &old);
    let seen = pair.now;
    // The follower has learnt meanwhile that nothing had happened up to a moment before; the time
    // vouched for by the look is an earlier one.
    pair.channel_mut(ALICE).handle_quiet(seen, seen);
    let registered = View {
        at: START,
        ..pair.adjudicator.view(now)
    };
    pair.channel_mut(ALICE).handle_view(now, registered);
    let at = pair.now.saturating_add_nanos(SECOND);
    pair.channel_mut(ALICE)
        .handle_view(now, View { at, ..open });
    assert!(matches!(
        pair.channel(ALICE).view().unwrap().status,
        Status::Registered { .. }
    ));
    pair.carry_out_all(ALICE);
    assert!(pair.sides[ALICE].call.is_some(), "she refutes");
}

#[test]
fn everything_of_an_unfunded_channel_comes_back_whatever_was_registered() {
    let mut plan = Plan::of([10, 5]);
    plan.funds_last[BOB] = true;
    let mut pair = Pair::agreed(&plan);
    pair.sides[BOB].is_watching = false;
    pair.connect();
    pair.drive();
    let initial = pair.newest(ALICE).clone();
    let now = pair.now;
    pair.adjudicator.dispute(now, &initial);
    pair.wait(2 * HOUR);
    assert_eq!(pair.adjudicator.paid(0, ALICE), 10);
    pair.sides[BOB].is_watching = true;
    pair.drive();
    pair.assert_paid_out([10, 0]);
}
