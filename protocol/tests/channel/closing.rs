//! Closing: by a final state if both want, by a dispute if not.

use perun_protocol::channel::{CommandError, Event, PayError};
use perun_protocol::dispute::Rank;
use perun_protocol::view::{Status, View};
use perun_protocol::wire::{Reason, RejectCode};
use perun_protocol::{AssetIdx, Balances, Timestamp};

use crate::world::*;

#[test]
fn either_side_closes() {
    for side_that_closes in BOTH {
        let mut pair = Pair::funded([10, 10]);
        pair.pay(ALICE, 3);
        pair.drive();
        pair.close(side_that_closes);
        assert_eq!(pair.try_pay(side_that_closes, 1), Err(PayError::Closing));
        pair.drive();
        pair.assert_paid_out([7, 13]);
        for side in BOTH {
            let events = pair.take_events(side);
            let closing = Event::Closing {
                version: version(2),
            };
            // Who proposed it may see its end before the acceptance.
            let accepted = side_that_closes != side;
            assert!(!accepted || events.contains(&closing), "{events:?}");
            assert_eq!(pair.newest(side).version(), version(2));
            let kept = vec![amount(0)];
            assert_eq!(events.last(), Some(&Event::Closed { kept }));
        }
        for side in BOTH {
            assert_eq!(pair.try_pay(side, 1), Err(PayError::Closing));
            assert_eq!(pair.channel(side).poll_timeout(), None);
        }
    }
}

#[test]
fn both_close_at_once() {
    let mut pair = Pair::funded([10, 10]);
    pair.close(ALICE);
    pair.close(BOB);
    pair.drive();
    pair.assert_paid_out([10, 10]);
    assert!(pair.adjudicator.refused.len() <= 1);
}

#[test]
fn what_is_queued_goes_into_the_last_update() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(BOB, 1);
    pair.pay(BOB, 2);
    pair.close(BOB);
    pair.drive();
    pair.assert_paid_out([13, 7]);
    assert_eq!(pair.newest(ALICE).version(), version(1));
}

#[test]
fn more_than_the_last_update_takes_is_paid_before() {
    let mut pair = Pair::funded([10_000, 0]);
    pair.cut();
    for _ in 0..3_000 {
        pair.pay(ALICE, 1);
    }
    pair.close(ALICE);
    pair.connect();
    pair.drive();
    pair.assert_paid_out([7_000, 3_000]);
}

#[test]
fn the_others_queued_payments_are_refused() {
    let mut pair = Pair::funded([10, 10]);
    pair.close(ALICE);
    pair.pay(BOB, 4);
    pair.drive();
    pair.assert_paid_out([10, 10]);
    let events = pair.take_events(BOB);
    assert!(
        events.iter().any(|event| matches!(event,
            Event::Refused { from: 1, through: 1, reason } if reason.code == RejectCode::Disputed)),
        "{events:?}"
    );
}

#[test]
fn a_refusal_leads_to_a_dispute() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.close(ALICE);
    pair.drive();
    let (now, offered) = (pair.now, version(1));
    let reason = Reason::new(RejectCode::Declined, "stay");
    pair.channel_mut(BOB)
        .reject_update(now, offered, &reason)
        .unwrap();
    pair.drive();
    let events = pair.take_events(ALICE);
    let reason = Some(reason);
    assert!(
        events.contains(&Event::CloseRefused { reason }),
        "{events:?}"
    );
    assert_eq!(pair.adjudicator.registered(), Some(Rank::State(version(0))));
    pair.wait(2 * HOUR);
    pair.assert_paid_out([10, 10]);
}

#[test]
fn no_answer_leads_to_a_dispute() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.sides[BOB].limits.decide_ns = None;
    pair.pay(ALICE, 3);
    pair.drive();
    let now = pair.now;
    pair.channel_mut(BOB)
        .accept_update(now, version(1))
        .unwrap();
    pair.drive();
    pair.cut();
    pair.close(ALICE);
    pair.wait(29 * SECOND);
    assert_eq!(pair.adjudicator.registered(), None);
    pair.wait(SECOND);
    assert_eq!(pair.adjudicator.registered(), Some(Rank::State(version(1))));
    pair.wait(2 * HOUR);
    pair.assert_paid_out([7, 13]);
}

#[test]
fn a_turn_withheld_leads_to_a_dispute() {
    let mut pair = Pair::funded([10, 10]);
    pair.close(BOB);
    for _ in 0..31 {
        pair.carry_out_all(BOB);
        pair.queues[ALICE].clear();
        pair.now = pair.now.saturating_add_nanos(SECOND);
        let now = pair.now;
        pair.channel_mut(BOB).handle_timeout(now);
    }
    let events = {
        pair.carry_out_all(BOB);
        pair.take_events(BOB)
    };
    assert!(events.contains(&Event::Unanswered));
    assert!(events.contains(&Event::CloseRefused { reason: None }));
    pair.wait(2 * HOUR);
    pair.assert_paid_out([10, 10]);
}

#[test]
fn a_final_state_completed_in_secret_is_found_at_the_adjudicator() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 5);
    pair.close(ALICE);
    pair.carry_out_all(ALICE);
    pair.drive();
    // The final state's acceptance is withheld from the one who proposed it.
    let mut pair = Pair::funded([10, 10]);
    pair.close(ALICE);
    pair.carry_out_all(ALICE);
    let proposed = pair.channel(ALICE).pending().unwrap().clone();
    let signed = pair.complete_in_secret(&proposed);
    pair.cut();
    let now = pair.now;
    pair.adjudicator.dispute(now, &signed);
    pair.adjudicator.conclude(now);
    pair.drive();
    pair.assert_paid_out([10, 10]);
}

#[test]
fn forced_by_either_side() {
    for side in BOTH {
        let mut pair = Pair::funded([10, 10]);
        pair.pay(ALICE, 3);
        pair.drive();
        pair.force_close(side);
        pair.drive();
        let now = pair.now;
        let by = now.saturating_add_nanos(SECOND);
        assert_eq!(
            pair.channel_mut(side).close(now, by),
            Err(CommandError::Closing)
        );
        for side in BOTH {
            let events = pair.take_events(side);
            let disputed = Event::Disputed {
                registered: Rank::State(version(1)),
                newest: version(1),
                timeout: now.saturating_add_nanos(HOUR),
            };
            assert_eq!(
                events.iter().filter(|event| **event == disputed).count(),
                1,
                "{events:?}"
            );
        }
        pair.wait(HOUR - 1);
        assert!(!pair.adjudicator.is_concluded());
        pair.wait(1);
        pair.assert_paid_out([7, 13]);
    }
}

#[test]
fn both_force_at_once() {
    let mut pair = Pair::funded([10, 10]);
    pair.force_close(ALICE);
    pair.force_close(BOB);
    pair.wait(HOUR);
    pair.assert_paid_out([10, 10]);
}

#[test]
fn the_deadline_to_close_lies_ahead() {
    let mut pair = Pair::funded([10, 10]);
    let now = pair.now;
    assert_eq!(
        pair.channel_mut(ALICE).close(now, now),
        Err(CommandError::TooLate { deadline: now })
    );
    assert!(pair.channel(ALICE).is_open());
    let end = Timestamp::from_nanos(u64::MAX);
    pair.channel_mut(ALICE).close(now, end).unwrap();
    pair.drive();
    pair.assert_paid_out([10, 10]);
}

#[test]
fn a_share_below_the_fee_is_kept_and_named() {
    let mut pair = Pair::funded([10, 10]);
    pair.adjudicator.fee = amount(2);
    pair.pay(ALICE, 8);
    pair.drive();
    pair.close(BOB);
    pair.drive();
    pair.wait(SECOND);
    assert_eq!(pair.adjudicator.paid(0, BOB), 18);
    let events = pair.take_events(ALICE);
    let kept = vec![amount(2)];
    assert_eq!(events.last(), Some(&Event::Closed { kept }));
}

#[test]
fn a_payout_whose_outcome_is_unknown_is_waited_for() {
    for arrives in [true, false] {
        let mut pair = Pair::funded([10, 10]);
        pair.adjudicator.loses_answers = true;
        pair.sides[BOB].is_watching = false;
        pair.close(ALICE);
        pair.drive();
        assert!(!pair.channel(ALICE).is_closed());
        pair.adjudicator.loses_answers = false;
        if arrives {
            pair.adjudicator.land(part(ALICE));
        } else {
            pair.adjudicator.bounce(part(ALICE));
        }
        pair.drive();
        pair.sides[BOB].is_watching = true;
        pair.drive();
        pair.assert_paid_out([10, 10]);
    }
}

#[test]
fn closing_waits_for_a_fresh_view() {
    let mut pair = Pair::funded([10, 10]);
    pair.sides[ALICE].is_watching = false;
    pair.wait(2 * MINUTE);
    pair.close(ALICE);
    pair.wait(SECOND);
    assert_eq!(pair.channel(ALICE).pending(), None);
    pair.sides[ALICE].is_watching = true;
    pair.drive();
    pair.assert_paid_out([10, 10]);
}

#[test]
fn an_offer_is_refused_when_a_dispute_begins() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.pay(ALICE, 4);
    pair.drive();
    pair.force_close(BOB);
    pair.drive();
    let events = pair.take_events(ALICE);
    assert!(
        events.iter().any(|event| matches!(event,
            Event::Refused { from: 1, through: 1, reason } if reason.code == RejectCode::Disputed)),
        "{events:?}"
    );
    let now = pair.now;
    assert_eq!(
        pair.channel_mut(BOB).accept_update(now, version(1)),
        Err(CommandError::NotOffered {
            version: version(1)
        })
    );
    pair.wait(HOUR);
    pair.assert_paid_out([10, 10]);
    assert_eq!(
        pair.channel(ALICE).available(AssetIdx::new(0)),
        Some(amount(10))
    );
}

#[test]
fn an_acceptance_that_comes_after_the_end_proves_what_was_paid() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 3);
    pair.carry_out_all(ALICE);
    assert!(pair.deliver(BOB));
    pair.carry_out_all(BOB);
    let acceptance = pair.queues[ALICE].pop_front().unwrap();
    // The channel is over before it arrives, and nothing is left to be withdrawn.
    let status = Status::Concluded {
        remainders: Balances::new(2, vec![amount(0); 2]).unwrap(),
        in_flight: vec![amount(0)],
    };
    let now = pair.now;
    let view = View { at: now, status };
    pair.channel_mut(ALICE).handle_view(now, view);
    pair.carry_out_all(ALICE);
    assert!(pair.channel(ALICE).is_closed());
    assert_eq!(pair.newest(ALICE).version(), version(0));
    pair.receive(ALICE, acceptance);
    pair.carry_out_all(ALICE);
    assert_eq!(pair.newest(ALICE).version(), version(1));
    assert!(pair.channel(ALICE).pending().is_none());
}
