//! Deadlines: at the instant itself it is time, a nanosecond before it is not.

use perun_protocol::channel::{AdjudicatorCall, CommandError, Event};
use perun_protocol::dispute::Rank;
use perun_protocol::wire::{Message, RejectCode};
use perun_protocol::{SignedState, Timestamp};

use crate::world::*;

/// Until when everybody deposits.
const FUND_BY: Timestamp = START.saturating_add_nanos(10 * MINUTE);
/// From when on no deposit can arrive any more.
const GRACE_OVER: Timestamp = FUND_BY.saturating_add_nanos(6 * MINUTE);

/// A nanosecond before.
fn just_before(instant: Timestamp) -> Timestamp {
    Timestamp::from_nanos(instant.nanos() - 1)
}

/// A side's clock strikes, and nothing is heard of anybody.
fn strike(pair: &mut Pair, side: usize, at: Timestamp) {
    pair.now = at;
    pair.channel_mut(side).handle_timeout(at);
    pair.carry_out_all(side);
}

/// A side sees the adjudicator, and carries out nothing there.
fn look(pair: &mut Pair, side: usize, at: Timestamp) {
    pair.now = at;
    pair.look(side);
    pair.carry_out_all(side);
}

/// What a side has wanted of the adjudicator since this was asked last.
fn wanted(pair: &mut Pair, side: usize) -> Option<AdjudicatorCall> {
    pair.carry_out_all(side);
    pair.sides[side].call.take()
}

/// Both have signed version 0, each waits for the other's deposit, and there is no link.
fn unfunded() -> Pair {
    let mut plan = Plan::of([10, 5]);
    plan.funds_last = [true, true];
    let mut pair = Pair::agreed(&plan);
    pair.connect();
    pair.drive();
    pair.cut();
    assert_eq!(wanted(&mut pair, ALICE), None);
    pair
}

#[test]
fn an_unfunded_channel_is_looked_at_when_the_time_is_over_and_when_no_deposit_can_arrive() {
    let mut pair = unfunded();
    for due in [FUND_BY, GRACE_OVER] {
        assert_eq!(pair.channel(ALICE).poll_timeout(), Some(due));
        strike(&mut pair, ALICE, just_before(due));
        assert_eq!(wanted(&mut pair, ALICE), None);
        look(&mut pair, ALICE, just_before(due));
        assert_eq!(wanted(&mut pair, ALICE), None);
        assert!(!pair.channel(ALICE).is_closed());
        strike(&mut pair, ALICE, due);
        assert_eq!(wanted(&mut pair, ALICE), Some(AdjudicatorCall::Observe));
        look(&mut pair, ALICE, due);
        assert_eq!(wanted(&mut pair, ALICE), None);
        assert_eq!(pair.channel(ALICE).is_closed(), due == GRACE_OVER);
    }
}

#[test]
fn an_unfunded_channel_that_is_forced_is_looked_at_only_when_no_deposit_can_arrive() {
    let mut pair = unfunded();
    pair.force_close(ALICE);
    assert_eq!(wanted(&mut pair, ALICE), None);
    for early in [FUND_BY, just_before(GRACE_OVER)] {
        assert_eq!(pair.channel(ALICE).poll_timeout(), Some(GRACE_OVER));
        strike(&mut pair, ALICE, early);
        look(&mut pair, ALICE, early);
        assert_eq!(wanted(&mut pair, ALICE), None);
        assert!(!pair.channel(ALICE).is_closed());
    }
    strike(&mut pair, ALICE, GRACE_OVER);
    assert_eq!(wanted(&mut pair, ALICE), Some(AdjudicatorCall::Observe));
    look(&mut pair, ALICE, GRACE_OVER);
    assert!(pair.channel(ALICE).is_closed());
}

#[test]
fn a_forced_channel_with_a_deposit_waits_for_no_instant() {
    let mut pair = unfunded();
    pair.adjudicator.deposit(0, part(BOB), amount(5));
    let now = pair.now;
    look(&mut pair, ALICE, now);
    pair.force_close(ALICE);
    let claim = wanted(&mut pair, ALICE);
    assert!(matches!(claim, Some(AdjudicatorCall::Dispute(_))));
    assert_eq!(pair.channel(ALICE).poll_timeout(), None);
}

#[test]
fn only_a_look_after_the_time_to_deposit_shows_that_a_deposit_is_missing() {
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    pair.adjudicator.refuses_deposits_of = Some(part(BOB));
    pair.connect();
    pair.drive();
    pair.cut();
    look(&mut pair, ALICE, just_before(FUND_BY));
    strike(&mut pair, ALICE, FUND_BY);
    assert_eq!(wanted(&mut pair, ALICE), Some(AdjudicatorCall::Observe));
    assert_eq!(pair.take_events(ALICE), []);
    look(&mut pair, ALICE, FUND_BY);
    assert_eq!(pair.take_events(ALICE), [Event::FundingTimedOut]);
    let claim = wanted(&mut pair, ALICE);
    assert!(matches!(claim, Some(AdjudicatorCall::Dispute(_))));
}

#[test]
fn funding_is_overdue_from_the_deadline_on_unless_the_channel_was_ever_open() {
    let overdue = |pair: &Pair| {
        let channel = pair.channel(ALICE);
        assert!(!channel.is_funding_overdue(just_before(FUND_BY)));
        channel.is_funding_overdue(FUND_BY)
    };
    assert!(!overdue(&Pair::agreed(&Plan::of([10, 5]))), "not signed");
    let mut pair = unfunded();
    assert!(overdue(&pair));
    pair.force_close(ALICE);
    assert!(overdue(&pair));
    pair.wait(30 * MINUTE);
    assert!(pair.channel(ALICE).is_closed() && !overdue(&pair));
    let mut pair = Pair::funded([10, 5]);
    assert!(!overdue(&pair), "open");
    pair.copy_of(ALICE);
    pair.crash(ALICE);
    assert!(!pair.channel(ALICE).is_open() && !overdue(&pair));
    pair.force_close(ALICE);
    assert!(!overdue(&pair), "on its way out");
}

#[test]
fn version_0_can_be_signed_until_it_expires() {
    let expires_at = START.saturating_add_nanos(MINUTE);
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    for side in BOTH {
        assert_eq!(pair.channel(side).poll_timeout(), Some(expires_at));
        strike(&mut pair, side, just_before(expires_at));
        assert!(!pair.channel(side).is_closed());
        strike(&mut pair, side, expires_at);
        assert!(pair.channel(side).is_closed());
    }
}

#[test]
fn payments_are_proposed_until_the_view_is_too_old() {
    for is_fresh in [true, false] {
        let mut pair = Pair::funded([10, 0]);
        let age = LIMITS.max_view_age_ns + u64::from(!is_fresh);
        pair.now = pair.now.saturating_add_nanos(age);
        pair.pay(ALICE, 1);
        assert_eq!(pair.channel(ALICE).pending().is_some(), is_fresh);
        let look = (!is_fresh).then_some(AdjudicatorCall::Observe);
        assert_eq!(wanted(&mut pair, ALICE), look);
    }
}

#[test]
fn after_lost_time_nothing_is_proposed_before_the_next_look() {
    let mut pair = Pair::funded([10, 0]);
    pair.channel_mut(ALICE).handle_lost_time();
    pair.pay(ALICE, 1);
    assert_eq!(pair.channel(ALICE).pending(), None);
    assert_eq!(wanted(&mut pair, ALICE), Some(AdjudicatorCall::Observe));
    let now = pair.now;
    look(&mut pair, ALICE, now);
    assert!(pair.channel(ALICE).pending().is_some());
}

#[test]
fn an_offer_can_be_answered_until_its_deadline() {
    let mut pair = Pair::opened(&Plan::of([10, 0]).asking(BOB));
    let deadline = pair.now.saturating_add_nanos(10 * SECOND);
    pair.pay(ALICE, 4);
    pair.drive();
    assert_eq!(pair.channel(BOB).poll_timeout(), Some(deadline));
    strike(&mut pair, BOB, just_before(deadline));
    let mut late = pair.channel(BOB).clone();
    let now = pair.now;
    pair.channel_mut(BOB)
        .accept_update(now, version(1))
        .unwrap();
    late.handle_timeout(deadline);
    assert_eq!(
        late.accept_update(deadline, version(1)),
        Err(CommandError::NotOffered {
            version: version(1)
        })
    );
}

#[test]
fn a_payee_that_decides_by_itself_waits_for_a_view_half_as_long_as_a_peer_is_silent() {
    let mut pair = Pair::funded([10, 0]);
    pair.channel_mut(BOB).handle_lost_time();
    pair.sides[BOB].is_watching = false;
    let deadline = pair.now.saturating_add_nanos(LIMITS.silence_ns / 2);
    pair.pay(ALICE, 4);
    pair.drive();
    strike(&mut pair, BOB, just_before(deadline));
    assert!(pair.queues[ALICE].is_empty());
    strike(&mut pair, BOB, deadline);
    pair.drive();
    let events = pair.take_events(ALICE);
    assert!(
        events.iter().any(|event| matches!(event,
            Event::Refused { reason, .. } if reason.code == RejectCode::ViewStale)),
        "{events:?}"
    );
}

#[test]
fn what_is_not_answered_is_sent_again_and_complained_about() {
    let mut pair = Pair::funded([10, 0]);
    let sent = pair.now;
    pair.take_events(ALICE);
    pair.pay(ALICE, 4);
    pair.carry_out_all(ALICE);
    let mut retry = sent;
    for _ in 0..LIMITS.silence_ns / LIMITS.retry_ns {
        retry = retry.saturating_add_nanos(LIMITS.retry_ns);
        pair.queues[BOB].clear();
        assert_eq!(pair.channel(ALICE).poll_timeout(), Some(retry));
        strike(&mut pair, ALICE, just_before(retry));
        assert!(pair.queues[BOB].is_empty());
        assert_eq!(pair.take_events(ALICE), []);
        strike(&mut pair, ALICE, retry);
        assert_eq!(pair.queues[BOB].len(), 1);
    }
    assert_eq!(retry, sent.saturating_add_nanos(LIMITS.silence_ns));
    assert_eq!(pair.take_events(ALICE), [Event::Unanswered]);
}

#[test]
fn an_answer_ends_the_wait_for_it_and_for_nothing_else() {
    let mut pair = Pair::funded([10, 0]);
    pair.pay(ALICE, 4);
    pair.drive();
    assert_eq!(pair.channel(ALICE).poll_timeout(), None);
    // Of a second payment and of a sync none is answered. The adjudicator shows the payment settled.
    pair.pay(ALICE, 1);
    pair.carry_out_all(ALICE);
    let proposed = pair.channel(ALICE).pending().unwrap().clone();
    pair.cut();
    pair.is_linked = true;
    let now = pair.now;
    pair.channel_mut(ALICE).handle_connected(now, MAX_BATCH);
    pair.carry_out_all(ALICE);
    pair.queues[BOB].clear();
    let signed = pair.complete_in_secret(&proposed);
    pair.adjudicator.dispute(now, &signed);
    pair.take_events(ALICE);
    look(&mut pair, ALICE, now);
    assert_eq!(pair.take_events(ALICE)[0], Event::Settled { through: 2 });
    let retry = now.saturating_add_nanos(LIMITS.retry_ns);
    assert_eq!(pair.channel(ALICE).poll_timeout(), Some(retry));
    strike(&mut pair, ALICE, retry);
    assert!(matches!(
        pair.queues[BOB].make_contiguous(),
        [Message::Sync(_)]
    ));
}

#[test]
fn a_final_state_is_waited_for_until_the_owners_deadline() {
    let mut pair = Pair::funded([10, 0]);
    pair.cut();
    let now = pair.now;
    let by = now.saturating_add_nanos(1);
    for late in [just_before(now), now] {
        let refused = pair.channel_mut(ALICE).close(now, late);
        assert_eq!(refused, Err(CommandError::TooLate { deadline: late }));
    }
    pair.channel_mut(ALICE).close(now, by).unwrap();
    pair.take_events(ALICE);
    assert_eq!(pair.channel(ALICE).poll_timeout(), Some(by));
    strike(&mut pair, ALICE, now);
    assert_eq!(pair.take_events(ALICE), []);
    strike(&mut pair, ALICE, by);
    let refused = Event::CloseRefused { reason: None };
    assert_eq!(pair.take_events(ALICE), [refused]);
    let claim = wanted(&mut pair, ALICE);
    assert!(matches!(claim, Some(AdjudicatorCall::Dispute(_))));
}

/// Alice has paid. Version 0, or else 1, is registered and she has seen it; the timeout is returned.
fn registered(is_outdated: bool) -> (Pair, Timestamp) {
    let mut pair = Pair::funded([10, 5]);
    let initial = pair.newest(ALICE).clone();
    pair.pay(ALICE, 4);
    pair.drive();
    pair.cut();
    pair.take_events(ALICE);
    let signed: SignedState = match is_outdated {
        true => initial,
        false => pair.newest(ALICE).clone(),
    };
    let now = pair.now;
    pair.adjudicator.dispute(now, &signed);
    look(&mut pair, ALICE, now);
    (pair, now.saturating_add_nanos(HOUR))
}

#[test]
fn what_is_outdated_is_refuted_until_the_timeout() {
    let (mut pair, timeout) = registered(true);
    for at in [pair.now, just_before(timeout)] {
        look(&mut pair, ALICE, at);
        let newest = Box::new(pair.newest(ALICE).clone());
        let claim = AdjudicatorCall::Dispute(newest);
        assert_eq!(wanted(&mut pair, ALICE), Some(claim));
    }
    look(&mut pair, ALICE, timeout);
    let payout = wanted(&mut pair, ALICE);
    assert!(matches!(payout, Some(AdjudicatorCall::Withdraw(_))));
}

#[test]
fn what_is_newest_is_paid_out_from_the_timeout_on() {
    let (mut pair, timeout) = registered(false);
    assert_eq!(wanted(&mut pair, ALICE), None);
    strike(&mut pair, ALICE, just_before(timeout));
    look(&mut pair, ALICE, just_before(timeout));
    assert_eq!(wanted(&mut pair, ALICE), None);
    assert_eq!(pair.channel(ALICE).poll_timeout(), Some(timeout));
    strike(&mut pair, ALICE, timeout);
    let payout = wanted(&mut pair, ALICE);
    assert!(matches!(payout, Some(AdjudicatorCall::Withdraw(_))));
}

#[test]
fn a_refutation_that_does_not_get_through_is_told_once_when_half_of_the_time_is_over() {
    let (mut pair, timeout) = registered(true);
    let half_time = pair.now.saturating_add_nanos(HOUR / 2);
    pair.take_events(ALICE);
    assert_eq!(pair.channel(ALICE).poll_timeout(), Some(half_time));
    strike(&mut pair, ALICE, just_before(half_time));
    assert_eq!(pair.take_events(ALICE), []);
    strike(&mut pair, ALICE, half_time);
    let late = Event::RefutationLate {
        registered: Rank::State(version(0)),
        newest: version(1),
        timeout,
    };
    assert_eq!(pair.take_events(ALICE), [late]);
    assert_eq!(pair.channel(ALICE).poll_timeout(), Some(timeout));
    for at in [half_time, just_before(timeout), timeout, timeout] {
        strike(&mut pair, ALICE, at);
        assert_eq!(pair.take_events(ALICE), [], "at {at}");
    }
}

#[test]
fn a_refutation_is_told_to_be_late_again_when_the_window_has_moved() {
    let (mut pair, timeout) = registered(true);
    strike(&mut pair, ALICE, just_before(timeout));
    pair.adjudicator.gap(HOUR);
    let now = pair.now;
    look(&mut pair, ALICE, now);
    pair.take_events(ALICE);
    strike(&mut pair, ALICE, timeout);
    let late = Event::RefutationLate {
        registered: Rank::State(version(0)),
        newest: version(1),
        timeout: timeout.saturating_add_nanos(HOUR),
    };
    assert_eq!(pair.take_events(ALICE), [late]);
}

#[test]
fn nothing_is_late_when_what_is_registered_is_the_newest() {
    let (mut pair, timeout) = registered(false);
    pair.take_events(ALICE);
    for (at, next) in [
        (pair.now.saturating_add_nanos(HOUR / 2), Some(timeout)),
        (timeout, None),
    ] {
        strike(&mut pair, ALICE, at);
        assert_eq!(pair.take_events(ALICE), []);
        assert_eq!(pair.channel(ALICE).poll_timeout(), next);
    }
}
