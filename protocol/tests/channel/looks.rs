//! Looks at the adjudicator: when one is asked for, and what it tells.

use perun_protocol::Timestamp;
use perun_protocol::channel::AdjudicatorCall;

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
