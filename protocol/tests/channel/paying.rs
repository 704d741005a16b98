//! Paying: both ways, folded, refused, asked for.

use perun_protocol::channel::{CommandError, Event, PayError, PeerMisbehaved};
use perun_protocol::payment::BatchFull;
use perun_protocol::wire::{Message, PaymentRequest, Reason, RejectCode, Text};
use perun_protocol::{AssetIdx, ChannelId};

use crate::world::*;

fn received(events: &[Event]) -> Vec<(u64, u128)> {
    let received = events.iter().filter_map(|event| match event {
        Event::Received { version, payments } => {
            let total = payments.total(AssetIdx::new(0));
            Some((version.number(), total.units()))
        }
        _ => None,
    });
    received.collect()
}

fn outcomes(events: &[Event]) -> Vec<Result<u64, (u64, u64, RejectCode)>> {
    let outcomes = events.iter().filter_map(|event| match event {
        Event::Settled { through } => Some(Ok(*through)),
        Event::Refused {
            from,
            through,
            reason,
        } => Some(Err((*from, *through, reason.code))),
        _ => None,
    });
    outcomes.collect()
}

#[test]
fn one_pays() {
    let mut pair = Pair::funded([10, 10]);
    assert_eq!(pair.pay(ALICE, 3), 1);
    pair.drive();
    pair.assert_agreed([7, 13]);
    assert_eq!(pair.pay(ALICE, 7), 2);
    pair.drive();
    pair.assert_agreed([0, 20]);
    assert_eq!(outcomes(&pair.sides[ALICE].events), [Ok(1), Ok(2)]);
    assert_eq!(received(&pair.sides[BOB].events), [(1, 3), (2, 7)]);
    assert_eq!(pair.newest(ALICE).version(), version(2));
}

#[test]
fn both_pay_at_once() {
    let mut pair = Pair::funded([10, 10]);
    for _ in 0..5 {
        pair.pay(ALICE, 1);
        pair.pay(BOB, 2);
        pair.drive();
    }
    pair.assert_agreed([15, 5]);
    for side in BOTH {
        assert_eq!(outcomes(&pair.sides[side].events).last(), Some(&Ok(5)));
    }
}

#[test]
fn the_acceptor_pays_first() {
    let mut pair = Pair::funded([0, 10]);
    pair.pay(BOB, 10);
    pair.drive();
    pair.assert_agreed([10, 0]);
}

#[test]
fn payments_that_wait_go_into_one_update() {
    let mut pair = Pair::funded([100, 0]);
    for number in 1..=50 {
        assert_eq!(pair.pay(ALICE, 1), number);
    }
    pair.drive();
    pair.assert_agreed([50, 50]);
    assert_eq!(pair.newest(ALICE).version(), version(2));
    assert_eq!(outcomes(&pair.sides[ALICE].events), [Ok(1), Ok(50)]);
    assert_eq!(received(&pair.sides[BOB].events), [(1, 1), (2, 49)]);
}

#[test]
fn several_are_paid_together_or_none_is() {
    let asset = AssetIdx::new(0);
    let mut pair = Pair::funded([10, 10]);
    let now = pair.now;
    let three = [payment(1), payment(2), payment(3)];
    let paid = pair.channel_mut(ALICE).pay_together(now, &three);
    assert_eq!(paid, Ok(3));
    pair.drive();
    pair.assert_agreed([4, 16]);
    assert_eq!(pair.newest(ALICE).version(), version(1));
    // The second is more than the first leaves.
    let refused = pair
        .channel_mut(ALICE)
        .pay_together(now, &[payment(2), payment(3)]);
    let too_much = PayError::InsufficientBalance {
        asset,
        available: amount(2),
        amount: amount(3),
    };
    assert_eq!(refused, Err(too_much));
    assert_eq!(pair.channel(ALICE).queued(asset), amount(0));
    assert!(!pair.carry_out(ALICE));
    // While a proposal is under way, they wait together.
    assert_eq!(pair.pay(ALICE, 1), 4);
    let waiting = pair
        .channel_mut(ALICE)
        .pay_together(now, &[payment(1), payment(1)]);
    assert_eq!(waiting, Ok(6));
    assert_eq!(pair.channel(ALICE).queued(asset), amount(2));
    assert_eq!(pair.channel(ALICE).available(asset), Some(amount(1)));
    pair.drive();
    pair.assert_agreed([1, 19]);
    assert_eq!(pair.channel(ALICE).queued(asset), amount(0));
}

#[test]
fn more_than_one_update_takes_is_divided() {
    let mut pair = Pair::funded([10_000, 0]);
    pair.cut();
    // Without a link more can wait than one update takes.
    for _ in 0..5_000 {
        pair.pay(ALICE, 1);
    }
    pair.connect();
    pair.drive();
    pair.assert_agreed([5_000, 5_000]);
    let per_update = MAX_BATCH as u64 / 2;
    assert_eq!(
        outcomes(&pair.sides[ALICE].events),
        [Ok(per_update), Ok(2 * per_update), Ok(5_000)]
    );
}

#[test]
fn the_queue_is_bounded() {
    let mut pair = Pair::funded([10_000, 0]);
    pair.sides[BOB].is_watching = false;
    pair.pay(ALICE, 1);
    pair.carry_out_all(ALICE);
    let mut queued = 0;
    let error = loop {
        match pair.try_pay(ALICE, 1) {
            Ok(_) => queued += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(queued, MAX_BATCH as u32 / 2);
    assert_eq!(error, PayError::QueueFull { queued });
    pair.drive();
    pair.assert_agreed([9_999 - u128::from(queued), 1 + u128::from(queued)]);
}

#[test]
fn a_payment_that_fits_no_update_never_waits() {
    let mut pair = Pair::funded([10, 0]);
    let now = pair.now;
    // A record of one byte for the asset and one for the amount.
    for limit in [0, 1, 2, 3] {
        pair.channel_mut(ALICE).handle_connected(now, limit);
        let queued = pair.channel(ALICE).queued(AssetIdx::new(0));
        let taken = match pair.try_pay(ALICE, 1) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error, PayError::Invalid(BatchFull::Length { limit }));
                assert_eq!(pair.channel(ALICE).queued(AssetIdx::new(0)), queued);
                false
            }
        };
        assert_eq!(taken, limit >= 2, "limit {limit}");
        pair.channel_mut(ALICE).cancel_queued();
    }
}

#[test]
fn what_cannot_be_paid_is_refused_at_once() {
    let mut pair = Pair::funded([10, 10]);
    assert_eq!(
        pair.try_pay(ALICE, 0),
        Err(PayError::Invalid(BatchFull::Nothing))
    );
    let short = |available, units| {
        Err(PayError::InsufficientBalance {
            asset: AssetIdx::new(0),
            available: amount(available),
            amount: amount(units),
        })
    };
    assert_eq!(pair.try_pay(ALICE, 11), short(10, 11));
    assert_eq!(pair.try_pay(ALICE, u128::MAX), short(10, u128::MAX));
    let now = pair.now;
    for asset in [1, 7, 8, 255] {
        let payment = payment_in(asset, 1);
        let asset = AssetIdx::new(asset);
        assert_eq!(
            pair.channel_mut(ALICE).pay(now, &payment),
            Err(PayError::Invalid(BatchFull::UnknownAsset { asset }))
        );
    }
    // What is under way and what waits is taken off.
    pair.pay(ALICE, 6);
    pair.pay(ALICE, 3);
    assert_eq!(pair.try_pay(ALICE, 2), short(1, 2));
    assert_eq!(
        pair.channel(ALICE).available(AssetIdx::new(0)),
        Some(amount(1))
    );
    pair.drive();
    pair.assert_agreed([1, 19]);
}

#[test]
fn what_is_received_can_be_paid_back() {
    let mut pair = Pair::funded([10, 0]);
    for _ in 0..10 {
        pair.pay(ALICE, 10);
        pair.drive();
        pair.pay(BOB, 10);
        pair.drive();
    }
    pair.assert_agreed([10, 0]);
}

#[test]
fn cancelled_payments_are_not_made() {
    let mut pair = Pair::funded([10, 0]);
    pair.pay(ALICE, 1);
    pair.pay(ALICE, 2);
    pair.pay(ALICE, 3);
    pair.channel_mut(ALICE).cancel_queued();
    pair.pay(ALICE, 4);
    pair.drive();
    pair.assert_agreed([5, 5]);
    assert_eq!(
        outcomes(&pair.sides[ALICE].events),
        [Err((2, 3, RejectCode::Declined)), Ok(1), Ok(4)]
    );
}

#[test]
fn a_cancelled_payment_is_not_refused_once_more() {
    let mut pair = Pair::funded([10, 0]);
    for units in [1, 2, 3] {
        pair.pay(ALICE, units);
    }
    assert!(pair.channel_mut(ALICE).cancel(2));
    pair.channel_mut(ALICE).cancel_queued();
    pair.drive();
    let declined = |number| Err((number, number, RejectCode::Declined));
    assert_eq!(
        outcomes(&pair.sides[ALICE].events),
        [declined(2), declined(3), Ok(1)]
    );
}

#[test]
fn a_cancelled_payment_takes_no_other_along() {
    let mut pair = Pair::funded([100, 0]);
    pair.pay(ALICE, 1);
    for units in [2, 4, 8, 16] {
        pair.pay(ALICE, units);
    }
    let channel = pair.channel_mut(ALICE);
    // The first is proposed already, and there is no sixth.
    for number in [0, 1, 6, u64::MAX] {
        assert!(!channel.cancel(number), "{number}");
    }
    for number in [3, 5] {
        assert!(channel.cancel(number));
        assert!(!channel.cancel(number), "{number} for the second time");
    }
    assert_eq!(channel.available(AssetIdx::new(0)), Some(amount(89)));
    pair.pay(ALICE, 32);
    pair.drive();
    pair.assert_agreed([57, 43]);
    pair.pay(ALICE, 1);
    pair.drive();
    assert_eq!(
        outcomes(&pair.sides[ALICE].events),
        [
            Err((3, 3, RejectCode::Declined)),
            Err((5, 5, RejectCode::Declined)),
            Ok(1),
            Ok(6),
            Ok(7)
        ]
    );
}

#[test]
fn numbers_stay_when_everything_is_cancelled_one_by_one() {
    let mut pair = Pair::funded([100, 0]);
    for units in [1, 2, 4, 8] {
        pair.pay(ALICE, units);
    }
    for number in [4, 2, 3] {
        assert!(pair.channel_mut(ALICE).cancel(number));
    }
    assert_eq!(pair.try_pay(ALICE, 16), Ok(5));
    pair.drive();
    pair.assert_agreed([83, 17]);
    assert_eq!(outcomes(&pair.sides[ALICE].events)[3..], [Ok(1), Ok(5)]);
}

#[test]
fn the_owner_is_asked_and_agrees() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.pay(ALICE, 4);
    pair.drive();
    let events = pair.take_events(BOB);
    let Some(Event::Offered {
        version,
        payments,
        is_final: false,
        deadline,
    }) = events.last()
    else {
        panic!("{events:?}");
    };
    assert_eq!(payments, &batch(&[payment(4)]));
    assert_eq!(*deadline, pair.now.saturating_add_nanos(10 * SECOND));
    let now = pair.now;
    let wrong = version.next().unwrap();
    assert_eq!(
        pair.channel_mut(BOB).accept_update(now, wrong),
        Err(CommandError::NotOffered { version: wrong })
    );
    pair.channel_mut(BOB).accept_update(now, *version).unwrap();
    pair.drive();
    pair.assert_agreed([6, 14]);
    // Alice is not asked.
    pair.pay(BOB, 1);
    pair.drive();
    pair.assert_agreed([7, 13]);
}

#[test]
fn the_owner_refuses_and_life_goes_on() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    let reason = Reason::new(RejectCode::Declined, "no, thanks");
    let now = pair.now;
    pair.pay(ALICE, 4);
    pair.pay(ALICE, 1);
    pair.drive();
    pair.channel_mut(BOB)
        .reject_update(now, version(1), &reason)
        .unwrap();
    pair.drive();
    // The one that waited is offered now; the first one can still be completed.
    assert_eq!(pair.channel(ALICE).pending().unwrap().version(), version(2));
    assert_eq!(pair.channel(ALICE).secured(), [amount(6)]);
    pair.channel_mut(BOB)
        .accept_update(now, version(2))
        .unwrap();
    pair.drive();
    pair.assert_agreed([9, 11]);
    assert_eq!(pair.channel(ALICE).secured(), [amount(9)]);
    // Bob pays, and Alice's next one is refused too.
    pair.pay(BOB, 1);
    pair.drive();
    pair.pay(ALICE, 1);
    pair.drive();
    pair.channel_mut(BOB)
        .reject_update(now, version(4), &reason)
        .unwrap();
    pair.drive();
    pair.assert_agreed([10, 10]);
    assert_eq!(
        outcomes(&pair.take_events(ALICE)),
        [
            Err((1, 1, RejectCode::Declined)),
            Ok(2),
            Err((3, 3, RejectCode::Declined))
        ]
    );
}

#[test]
fn after_a_refusal_the_other_side_pays_above_it() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.pay(ALICE, 4);
    pair.drive();
    pair.wait(11 * SECOND);
    assert_eq!(
        outcomes(&pair.take_events(ALICE)),
        [Err((1, 1, RejectCode::TimedOut))]
    );
    assert_eq!(pair.channel(ALICE).secured(), [amount(6)]);
    pair.pay(BOB, 2);
    pair.drive();
    pair.assert_agreed([12, 8]);
    assert_eq!(pair.newest(BOB).version(), version(2));
    assert_eq!(pair.channel(ALICE).secured(), [amount(12)]);
}

#[test]
fn a_request_is_paid() {
    let mut pair = Pair::funded([10, 0]);
    let request = PaymentRequest {
        channel: ChannelId::from_bytes([0; 32]),
        id: 77,
        asset: AssetIdx::new(0),
        amount: amount(4),
        memo: Text::new("two coffees"),
        expires_at: pair.now.saturating_add_nanos(MINUTE),
    };
    pair.channel_mut(BOB).request(request).unwrap();
    pair.drive();
    let events = pair.take_events(ALICE);
    let Some(Event::Requested(asked)) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(asked.channel, pair.channel(ALICE).id());
    let now = pair.now;
    let payment = asked.payment();
    pair.channel_mut(ALICE).pay(now, &payment).unwrap();
    pair.drive();
    pair.assert_agreed([6, 4]);
    let events = pair.take_events(BOB);
    let Some(Event::Received { payments, .. }) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(payments, &batch(&[payment]));
}

#[test]
fn a_request_is_rejected_by_the_owner_or_by_itself() {
    let mut pair = Pair::funded([10, 0]);
    let request = PaymentRequest {
        channel: pair.channel(BOB).id(),
        id: 1,
        asset: AssetIdx::new(0),
        amount: amount(4),
        memo: Text::default(),
        expires_at: pair.now.saturating_add_nanos(MINUTE),
    };
    pair.channel_mut(BOB).request(request.clone()).unwrap();
    pair.drive();
    let reason = Reason::new(RejectCode::Declined, "never");
    pair.channel_mut(ALICE).reject_request(1, reason.clone());
    pair.drive();
    let events = pair.take_events(BOB);
    assert_eq!(
        events.last(),
        Some(&Event::RequestRejected { id: 1, reason })
    );
    let expired = PaymentRequest {
        id: 2,
        expires_at: pair.now,
        ..request.clone()
    };
    pair.channel_mut(BOB).request(expired).unwrap();
    pair.drive();
    let events = pair.take_events(BOB);
    assert!(
        matches!(events.last(), Some(Event::RequestRejected { id: 2, reason })
            if reason.code == RejectCode::TimedOut),
        "{events:?}"
    );
    let nothing = PaymentRequest {
        amount: amount(0),
        ..request.clone()
    };
    assert_eq!(
        pair.channel_mut(BOB).request(nothing),
        Err(CommandError::Nothing)
    );
    let unknown = PaymentRequest {
        asset: AssetIdx::new(1),
        ..request.clone()
    };
    assert_eq!(
        pair.channel_mut(BOB).request(unknown),
        Err(CommandError::UnknownAsset {
            asset: AssetIdx::new(1)
        })
    );
    pair.cut();
    assert_eq!(
        pair.channel_mut(BOB).request(request),
        Err(CommandError::NoLink)
    );
    pair.assert_nobody_misbehaved();
}

#[test]
fn a_request_in_an_asset_that_is_not_there_is_no_honest_one() {
    let mut pair = Pair::funded([10, 0]);
    pair.take_events(ALICE);
    for asset in [1, 2, 255] {
        let request = PaymentRequest {
            channel: pair.channel(BOB).id(),
            id: 1,
            asset: AssetIdx::new(asset),
            amount: amount(4),
            memo: Text::default(),
            expires_at: pair.now.saturating_add_nanos(MINUTE),
        };
        pair.receive(ALICE, Message::PaymentRequest(request));
        let misbehaved = pair.sides[ALICE].misbehaved.pop();
        assert_eq!(misbehaved, Some(PeerMisbehaved::UnknownAsset));
    }
    assert_eq!(pair.take_events(ALICE), []);
}

#[test]
fn a_stale_view_makes_the_payer_wait() {
    let mut pair = Pair::funded([10, 0]);
    pair.sides[ALICE].is_watching = false;
    pair.wait(2 * MINUTE);
    pair.pay(ALICE, 1);
    pair.wait(MINUTE);
    assert_eq!(pair.balances_of(BOB, 0), [10, 0]);
    assert_eq!(pair.channel(ALICE).pending(), None);
    // She asked for a look when it was needed.
    pair.sides[ALICE].is_watching = true;
    assert!(pair.sides[ALICE].call.is_some());
    pair.drive();
    pair.assert_agreed([9, 1]);
}

#[test]
fn a_look_is_asked_for_each_time_it_is_needed() {
    let mut pair = Pair::funded([10, 0]);
    for round in 1..=3 {
        pair.sides[ALICE].is_watching = false;
        pair.wait(2 * MINUTE);
        pair.pay(ALICE, 1);
        pair.drive();
        assert!(pair.sides[ALICE].call.take().is_some(), "round {round}");
        // The answer comes another way: nothing has happened.
        let now = pair.now;
        pair.channel_mut(ALICE).handle_quiet(now, now);
        pair.drive();
        pair.assert_agreed([10 - round, round]);
    }
}

#[test]
fn a_stale_view_makes_the_payee_wait_and_then_refuse() {
    for comes_back in [true, false] {
        let mut pair = Pair::funded([10, 0]);
        pair.sides[BOB].is_watching = false;
        pair.wait(2 * MINUTE);
        pair.pay(ALICE, 1);
        pair.wait(5 * SECOND);
        assert!(pair.channel(ALICE).pending().is_some());
        if comes_back {
            pair.sides[BOB].is_watching = true;
            pair.drive();
            pair.assert_agreed([9, 1]);
        } else {
            pair.wait(10 * SECOND);
            assert_eq!(
                outcomes(&pair.take_events(ALICE)),
                [Err((1, 1, RejectCode::ViewStale))]
            );
            pair.assert_agreed([10, 0]);
        }
    }
}

#[test]
fn both_blind_sides_do_not_pass_the_turn_for_ever() {
    let mut pair = Pair::funded([10, 10]);
    for side in BOTH {
        pair.sides[side].is_watching = false;
    }
    pair.wait(2 * MINUTE);
    pair.pay(ALICE, 1);
    pair.pay(BOB, 2);
    pair.wait(MINUTE);
    assert!(pair.channel(ALICE).turn().0 < 10);
    for side in BOTH {
        pair.sides[side].is_watching = true;
    }
    pair.drive();
    pair.assert_agreed([11, 9]);
}

#[test]
fn a_silent_peer_is_complained_about_once() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    pair.carry_out_all(ALICE);
    pair.take_events(ALICE);
    for _ in 0..60 {
        pair.queues[BOB].clear();
        let now = pair.now.saturating_add_nanos(SECOND);
        pair.now = now;
        pair.channel_mut(ALICE).handle_timeout(now);
        pair.carry_out_all(ALICE);
    }
    assert_eq!(pair.take_events(ALICE), [Event::Unanswered]);
    pair.drive();
    pair.now = pair.now.saturating_add_nanos(2 * SECOND);
    let now = pair.now;
    pair.channel_mut(ALICE).handle_timeout(now);
    pair.drive();
    pair.assert_agreed([9, 11]);
}

#[test]
fn the_version_counter_is_spent() {
    let mut pair = Pair::funded([10, 10]);
    let last = version(u64::MAX);
    pair.sign_both(last, [4, 16]);
    let signed = pair.sign_both(last, [4, 16]);
    for side in BOTH {
        pair.show(side, signed.clone());
    }
    pair.drive();
    pair.pay(ALICE, 1);
    pair.wait(2 * HOUR);
    pair.assert_paid_out([4, 16]);
    let events = pair.take_events(ALICE);
    assert!(matches!(
        outcomes(&events)[..],
        [Err((1, 1, RejectCode::Disputed))]
    ));
}
