//! Restarts: a crash between any two outputs, a link that breaks at any message, and nothing is
//! lost but the payments that were not proposed yet.

use perun_protocol::channel::{CommandError, Event, PayError};
use perun_protocol::wire::{Reason, RejectCode};

use crate::world::*;

/// One step of whichever side can do something, outputs one by one; `false` if nobody can.
fn step(pair: &mut Quick, turn: usize) -> bool {
    for side in [turn % 2, 1 - turn % 2] {
        if pair.carry_out(side) || pair.call(side) || pair.deliver(side) {
            return true;
        }
    }
    false
}

/// Everybody has the same newest state, nothing is under way, and payments still work.
fn goes_on(pair: &mut Quick) {
    pair.connect();
    pair.drive();
    pair.wait(5 * SECOND);
    let before = pair.balances_of(ALICE, 0);
    pair.assert_agreed(before);
    pair.pay(ALICE, 1);
    pair.pay(BOB, 1);
    pair.drive();
    pair.assert_agreed(before);
}

#[test]
fn a_crash_between_any_two_steps_of_crossing_payments() {
    for who in BOTH {
        for is_later_lost in [true, false] {
            for first in BOTH {
                for steps in 0.. {
                    let mut pair = Quick::funded([10, 10]);
                    for side in BOTH {
                        pair.sides[side].store.flush();
                    }
                    pair.pay(ALICE, 2);
                    pair.pay(BOB, 3);
                    pair.pay(ALICE, 1);
                    let is_over = (0..steps).any(|turn| !step(&mut pair, first + turn / 3));
                    if !is_later_lost {
                        pair.sides[who].store.flush();
                    }
                    pair.crash(who);
                    goes_on(&mut pair);
                    // What the other one wanted is done, and of the one that crashed what had left.
                    let paid = pair.balances_of(ALICE, 0)[ALICE];
                    let possible: &[u128] = if who == ALICE {
                        &[13, 11, 10]
                    } else {
                        &[7, 10]
                    };
                    assert!(possible.contains(&paid), "{paid} after {steps} steps");
                    if is_over {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn the_link_breaks_between_any_two_steps_of_crossing_payments() {
    for first in BOTH {
        for steps in 0.. {
            let mut pair = Quick::funded([10, 10]);
            pair.pay(ALICE, 2);
            pair.pay(BOB, 3);
            pair.pay(ALICE, 1);
            let is_over = (0..steps).any(|turn| !step(&mut pair, first + turn / 3));
            for side in BOTH {
                pair.carry_out_all(side);
            }
            goes_on(&mut pair);
            pair.assert_agreed([10, 10]);
            for (side, count) in [(ALICE, 3), (BOB, 2)] {
                let events = pair.take_events(side);
                let settled = events.iter().filter_map(|event| match event {
                    Event::Settled { through } => Some(*through),
                    _ => None,
                });
                assert_eq!(settled.max(), Some(count));
            }
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn both_crash_between_any_two_steps() {
    for is_later_lost in [true, false] {
        for steps in 0.. {
            let mut pair = Quick::funded([10, 10]);
            pair.pay(ALICE, 2);
            pair.pay(BOB, 3);
            let is_over = (0..steps).any(|turn| !step(&mut pair, turn / 2));
            for side in BOTH {
                if !is_later_lost {
                    pair.sides[side].store.flush();
                }
                pair.crash(side);
            }
            goes_on(&mut pair);
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn a_crash_between_any_two_steps_of_closing() {
    for who in BOTH {
        for closer in BOTH {
            for steps in 0.. {
                let mut pair = Quick::funded([10, 10]);
                pair.pay(ALICE, 2);
                pair.drive();
                pair.close(closer);
                let is_over = (0..steps).any(|turn| !step(&mut pair, turn / 2));
                pair.crash(who);
                pair.connect();
                pair.wait(5 * SECOND);
                if who == closer && !pair.channel(who).is_closed() {
                    // Its wish to close may be gone with it.
                    let by = pair.now.saturating_add_nanos(MINUTE);
                    let now = pair.now;
                    let _ = pair.channel_mut(who).close(now, by);
                }
                pair.wait(2 * HOUR);
                pair.assert_paid_out([8, 12]);
                if is_over {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_crash_between_any_two_steps_of_a_refusal() {
    for who in BOTH {
        for is_later_lost in [true, false] {
            for steps in 0.. {
                let mut pair = Quick::opened(&Plan::of([10, 10]).asking(BOB));
                for side in BOTH {
                    pair.sides[side].store.flush();
                }
                pair.pay(ALICE, 2);
                pair.drive();
                pair.sides[BOB].limits.decide_ns = None;
                pair.now = pair.now.saturating_add_nanos(11 * SECOND);
                let now = pair.now;
                pair.channel_mut(BOB).handle_timeout(now);
                pair.pay(ALICE, 1);
                let is_over = (0..steps).any(|turn| !step(&mut pair, turn / 2));
                if !is_later_lost {
                    pair.sides[who].store.flush();
                }
                pair.crash(who);
                if who != BOB {
                    // From now on nobody is asked.
                    pair.sides[BOB].store.flush();
                    pair.crash(BOB);
                }
                goes_on(&mut pair);
                if is_over {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_restarted_side_signs_nothing_before_the_peer_has_spoken() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    pair.drive();
    pair.sides[ALICE].store.flush();
    pair.crash(ALICE);
    pair.look(ALICE);
    pair.pay(ALICE, 2);
    pair.carry_out_all(ALICE);
    assert_eq!(pair.channel(ALICE).pending(), None);
    pair.connect();
    pair.carry_out_all(ALICE);
    assert_eq!(pair.channel(ALICE).pending(), None);
    pair.drive();
    pair.assert_agreed([7, 13]);
}

#[test]
fn a_restarted_side_does_not_dispute_by_itself_but_by_order() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    pair.drive();
    pair.crash(ALICE);
    pair.drive();
    pair.close(ALICE);
    pair.wait(MINUTE);
    assert_eq!(pair.adjudicator.registered(), None);
    let events = pair.take_events(ALICE);
    assert!(events.contains(&Event::CloseRefused { reason: None }));
    pair.force_close(ALICE);
    pair.wait(HOUR);
    pair.assert_paid_out([9, 11]);
}

#[test]
fn an_order_to_force_survives() {
    let mut pair = Pair::funded([10, 10]);
    pair.force_close(ALICE);
    assert!(pair.carry_out(ALICE), "it is stored");
    pair.crash(ALICE);
    pair.wait(2 * HOUR);
    pair.assert_paid_out([10, 10]);
}

#[test]
fn a_closed_channel_stays_closed() {
    let mut pair = Pair::funded([10, 10]);
    pair.close(ALICE);
    pair.drive();
    pair.assert_paid_out([10, 10]);
    for side in BOTH {
        pair.crash(side);
    }
    pair.connect();
    pair.drive();
    pair.assert_paid_out([10, 10]);
}

#[test]
fn a_restart_in_a_dispute_refutes_and_withdraws() {
    let mut pair = Pair::funded([10, 10]);
    let initial = pair.newest(ALICE).clone();
    pair.pay(ALICE, 4);
    pair.drive();
    for side in BOTH {
        pair.sides[side].is_watching = false;
    }
    let now = pair.now;
    pair.adjudicator.dispute(now, &initial);
    pair.crash(BOB);
    pair.sides[BOB].is_watching = true;
    pair.drive();
    pair.crash(BOB);
    pair.sides[ALICE].is_watching = true;
    pair.wait(HOUR);
    pair.assert_paid_out([6, 14]);
}

#[test]
fn a_final_proposal_that_is_refused_after_a_restart_still_ends_the_channel() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.close(ALICE);
    pair.drive();
    let proposed = pair.channel(ALICE).pending().unwrap().clone();
    assert!(proposed.is_final());
    pair.crash(ALICE);
    pair.connect();
    pair.drive();
    let (now, reason) = (pair.now, Reason::new(RejectCode::Declined, ""));
    pair.channel_mut(BOB)
        .reject_update(now, proposed.version(), &reason)
        .unwrap();
    pair.drive();
    // Bob could complete it and conclude at once, whatever he paid later: so there is no later.
    assert!(!pair.channel(ALICE).is_open());
    assert_eq!(pair.try_pay(BOB, 5), Err(PayError::Closing));
    let signed = pair.complete_in_secret(&proposed);
    pair.adjudicator.dispute(now, &signed);
    pair.wait(HOUR);
    pair.assert_paid_out([10, 10]);
}

#[test]
fn a_crash_never_leaves_a_refused_final_proposal_looking_like_any_other() {
    for steps in 0..20 {
        let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
        pair.close(ALICE);
        pair.drive();
        let (now, reason) = (pair.now, Reason::new(RejectCode::Declined, ""));
        pair.channel_mut(BOB)
            .reject_update(now, version(1), &reason)
            .unwrap();
        pair.carry_out_all(BOB);
        assert!(pair.deliver(ALICE));
        let is_over = (0..steps).any(|_| !pair.carry_out(ALICE));
        let stored = pair.copy_of(ALICE);
        pair.roll_back(ALICE, stored);
        let is_under_way = pair.channel(ALICE).pending().is_some();
        pair.look(ALICE);
        assert_eq!(pair.channel(ALICE).is_open(), is_under_way, "step {steps}");
        if is_over {
            assert!(!is_under_way);
            return;
        }
    }
    panic!("the outputs do not end");
}

#[test]
fn a_channel_that_is_to_end_does_not_open_again() {
    for (is_forced, is_final) in [(false, false), (true, false), (false, true)] {
        let mut pair = Pair::funded([10, 10]);
        for side in BOTH {
            pair.sides[side].is_watching = false;
        }
        if is_forced {
            pair.force_close(ALICE);
        }
        if is_final {
            pair.close(ALICE);
        }
        pair.drive();
        let stored = pair.copy_of(ALICE);
        pair.roll_back(ALICE, stored);
        pair.take_events(ALICE);
        // The adjudicator knows nothing of it yet.
        pair.look(ALICE);
        pair.carry_out_all(ALICE);
        let ends = is_forced || is_final;
        let opened: &[Event] = if ends { &[] } else { &[Event::Opened] };
        assert_eq!(pair.take_events(ALICE), opened);
        let (now, by) = (pair.now, pair.now.saturating_add_nanos(SECOND));
        let closed = pair.channel_mut(ALICE).close(now, by);
        let refused = ends.then_some(CommandError::Closing);
        assert_eq!(closed.err(), refused);
        if !ends {
            continue;
        }
        for side in BOTH {
            pair.sides[side].is_watching = true;
        }
        pair.wait(2 * HOUR);
        pair.assert_paid_out([10, 10]);
    }
}

#[test]
fn a_restored_channel_is_current_once_the_peer_has_shown_how_far_it_is() {
    let mut pair = Pair::funded([10, 10]);
    assert!(pair.channel(ALICE).is_current());
    pair.crash(ALICE);
    pair.look(ALICE);
    assert!(!pair.channel(ALICE).is_current());
    pair.connect();
    pair.drive();
    assert!(pair.channel(ALICE).is_current());
}

#[test]
fn payments_proposed_before_a_restart_are_numbered_first() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.pay(ALICE, 3);
    pair.drive();
    pair.crash(ALICE);
    pair.take_events(ALICE);
    pair.connect();
    pair.drive();
    assert_eq!(pair.pay(ALICE, 2), 2);
    for through in [1, 2] {
        let now = pair.now;
        pair.channel_mut(BOB)
            .accept_update(now, version(through))
            .unwrap();
        pair.drive();
        let events = pair.take_events(ALICE);
        let settled = Event::Settled { through };
        assert!(events.contains(&settled), "{events:?}");
    }
    pair.assert_agreed([5, 15]);
}
