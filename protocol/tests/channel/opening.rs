//! Opening: both sign version 0, both deposit, and what happens if somebody does not.

use perun_protocol::channel::{CommandError, Event, PayError, PeerMisbehaved, Setup};
use perun_protocol::wire::{
    Message, ProposalRejection, Reason, RejectCode, Text, UpdateAcceptance, UpdateRejection,
};
use perun_protocol::{Balances, ChannelId, Params, SecretKey, Signer as _, State, Version};

use crate::world::*;

fn opens(pair: &mut Pair) {
    for side in BOTH {
        assert!(pair.channel(side).is_open(), "side {side}");
        let events = pair.take_events(side);
        let opened = events.iter().filter(|event| **event == Event::Opened);
        // After a restart it is told once more.
        assert!(opened.count() >= 1, "side {side}: {events:?}");
    }
    pair.assert_agreed([10, 5]);
    pair.pay(ALICE, 1);
    pair.pay(BOB, 3);
    pair.drive();
    pair.assert_agreed([12, 3]);
}

#[test]
fn both_sign_both_deposit_both_pay() {
    opens(&mut Pair::funded([10, 5]));
}

#[test]
fn only_one_has_something_to_deposit() {
    let mut pair = Pair::funded([10, 0]);
    pair.pay(ALICE, 10);
    pair.drive();
    pair.assert_agreed([0, 10]);
}

#[test]
fn nobody_has_anything_and_it_opens_all_the_same() {
    let pair = Pair::funded([0, 0]);
    pair.assert_agreed([0, 0]);
}

#[test]
fn the_link_breaks_after_every_message() {
    for delivered in 0..12 {
        let mut pair = Pair::agreed(&Plan::of([10, 5]));
        pair.connect();
        // Messages alternate as they come; then everything under way is lost.
        let mut left = delivered;
        while left > 0 {
            for side in BOTH {
                pair.carry_out_all(side);
            }
            let Some(side) = BOTH.into_iter().find(|side| !pair.queues[*side].is_empty()) else {
                break;
            };
            pair.deliver(side);
            left -= 1;
        }
        for side in BOTH {
            pair.carry_out_all(side);
        }
        pair.connect();
        pair.wait(5 * SECOND);
        opens(&mut pair);
    }
}

#[test]
fn the_proposers_signature_is_lost_and_no_timer_is_needed() {
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    pair.connect();
    pair.carry_out_all(BOB);
    assert!(pair.deliver(ALICE) && pair.deliver(ALICE));
    pair.carry_out_all(ALICE);
    pair.connect();
    pair.drive();
    opens(&mut pair);
}

#[test]
fn both_crash_at_every_step() {
    for who in BOTH {
        for steps in 0..40 {
            let mut pair = Pair::agreed(&Plan::of([10, 5]));
            pair.connect();
            let mut left = steps;
            let is_over = loop {
                let mut is_quiet = true;
                for side in BOTH {
                    if left > 0 && pair.carry_out(side) {
                        left -= 1;
                        is_quiet = false;
                    }
                    if left > 0 && (pair.call(side) || pair.deliver(side)) {
                        left -= 1;
                        is_quiet = false;
                    }
                }
                if is_quiet {
                    break left > 0;
                }
            };
            if pair.sides[who].store.is_empty() {
                // It never signed, so it starts over, as if it had never heard of it.
                continue;
            }
            pair.crash(who);
            pair.connect();
            pair.wait(5 * SECOND);
            opens(&mut pair);
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn while_version_0_is_being_signed_other_answers_are_out_of_place() {
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    pair.carry_out_all(BOB);
    let channel = pair.channel(BOB).id();
    let initial = pair.channel(ALICE).setup().initial.clone();
    let signature = pair.sides[ALICE].signer.sign(&initial.digest());
    let of_a_later_version = UpdateAcceptance {
        channel,
        version: version(1),
        part: part(ALICE),
        signature,
        asks_turn: false,
    };
    let not_that_it_is_unknown = UpdateRejection {
        channel,
        version: version(0),
        code: RejectCode::Declined,
        text: Text::new(""),
    };
    for message in [
        Message::UpdateAcceptance(of_a_later_version),
        Message::UpdateRejection(not_that_it_is_unknown),
    ] {
        pair.sides[BOB].misbehaved.clear();
        pair.receive(BOB, message);
        pair.carry_out_all(BOB);
        assert_eq!(pair.sides[BOB].misbehaved, [PeerMisbehaved::OutOfPlace]);
        assert_eq!(pair.take_events(BOB), []);
        assert!(pair.channel(BOB).view().is_none() && !pair.channel(BOB).is_closed());
    }
}

#[test]
fn a_proposal_rejected_late_is_given_up() {
    for is_ours in [false, true] {
        let mut pair = Pair::agreed(&Plan::of([10, 5]));
        pair.connect();
        pair.carry_out_all(BOB);
        let Some(Message::Acceptance(acceptance)) = pair.queues[ALICE].pop_front() else {
            panic!("an acceptance comes first");
        };
        let mut proposal = acceptance.proposal;
        if !is_ours {
            proposal[0] ^= 1;
        }
        let rejection = ProposalRejection {
            proposal,
            code: RejectCode::Busy,
            text: Text::new("later"),
        };
        pair.receive(BOB, Message::ProposalRejection(rejection));
        pair.carry_out_all(BOB);
        let reason = Reason::new(RejectCode::Busy, "later");
        let abandoned = is_ours.then_some(Event::Abandoned { reason });
        assert_eq!(pair.take_events(BOB), Vec::from_iter(abandoned));
        assert_eq!(pair.channel(BOB).is_closed(), is_ours);
    }
}

#[test]
fn what_was_agreed_is_sent_again_while_version_0_is_being_signed() {
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    pair.connect();
    pair.carry_out_all(BOB);
    let sent = std::mem::take(&mut pair.queues[ALICE]);
    assert_eq!(sent.len(), 2);
    pair.channel_mut(BOB).send_opening_again();
    pair.carry_out_all(BOB);
    assert_eq!(pair.queues[ALICE], sent);
    pair.drive();
    opens(&mut pair);
    pair.channel_mut(BOB).send_opening_again();
    assert!(!pair.carry_out(BOB));
}

#[test]
fn version_0_is_not_signed_in_time() {
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    for side in BOTH {
        pair.carry_out_all(side);
    }
    pair.wait(2 * MINUTE);
    for side in BOTH {
        assert!(pair.channel(side).is_closed());
        let events = pair.take_events(side);
        let [Event::Abandoned { reason }] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(reason.code, RejectCode::TimedOut);
    }
    assert!(pair.adjudicator.holdings().is_zero());
}

#[test]
fn the_acceptor_gives_up_before_the_proposers_signature_comes() {
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    pair.connect();
    pair.carry_out_all(BOB);
    assert!(pair.deliver(ALICE) && pair.deliver(ALICE));
    pair.carry_out_all(ALICE);
    pair.cut();
    // Alice deposits, Bob's time to sign runs out, and his node tells Alice that it knows nothing.
    pair.wait(2 * MINUTE);
    assert!(pair.channel(BOB).is_closed());
    let unknown = UpdateRejection {
        channel: pair.channel(ALICE).id(),
        version: version(0),
        code: RejectCode::UnknownChannel,
        text: Text::default(),
    };
    pair.is_linked = true;
    let now = pair.now;
    pair.channel_mut(ALICE).handle_connected(now, MAX_BATCH);
    pair.receive(ALICE, Message::UpdateRejection(unknown));
    pair.wait(2 * HOUR);
    assert!(pair.channel(ALICE).is_closed());
    assert_eq!(pair.adjudicator.paid(0, ALICE), 10);
}

#[test]
fn the_proposer_does_not_know_the_acceptance() {
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    let unknown = UpdateRejection {
        channel: pair.channel(BOB).id(),
        version: version(0),
        code: RejectCode::UnknownChannel,
        text: Text::default(),
    };
    pair.receive(BOB, Message::UpdateRejection(unknown));
    assert!(pair.channel(BOB).is_closed());
}

#[test]
fn one_does_not_deposit_and_the_other_gets_its_deposit_back() {
    for who in BOTH {
        let mut pair = Pair::agreed(&Plan::of([10, 5]));
        pair.adjudicator.refuses_deposits_of = Some(part(who));
        pair.connect();
        pair.wait(5 * MINUTE);
        assert_eq!(pair.try_pay(1 - who, 1), Err(PayError::NotOpen));
        let (now, by) = (pair.now, pair.now.saturating_add_nanos(MINUTE));
        assert_eq!(
            pair.channel_mut(who).close(now, by),
            Err(CommandError::NotOpen)
        );
        pair.wait(10 * MINUTE);
        let events = pair.take_events(1 - who);
        assert!(events.contains(&Event::FundingTimedOut), "{events:?}");
        pair.wait(2 * HOUR);
        let mut paid = [10, 5];
        paid[who] = 0;
        pair.assert_paid_out(paid);
    }
}

#[test]
fn a_deposit_at_the_last_moment_opens_the_channel() {
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    pair.adjudicator.refuses_deposits_of = Some(part(BOB));
    pair.connect();
    pair.wait(9 * MINUTE);
    pair.adjudicator.refuses_deposits_of = None;
    // It was under way when the time was over, and nobody saw it.
    for side in BOTH {
        pair.sides[side].is_watching = false;
    }
    pair.adjudicator.deposit(0, part(BOB), amount(5));
    pair.wait(3 * MINUTE);
    for side in BOTH {
        pair.sides[side].is_watching = true;
    }
    pair.drive();
    opens(&mut pair);
}

#[test]
fn nobody_deposits() {
    let mut plan = Plan::of([10, 5]);
    plan.funds_last = [true, true];
    let mut pair = Pair::agreed(&plan);
    pair.connect();
    pair.wait(12 * MINUTE);
    for side in BOTH {
        assert!(
            !pair.channel(side).is_closed(),
            "one may still be under way"
        );
    }
    pair.wait(10 * MINUTE);
    for side in BOTH {
        assert!(pair.channel(side).is_closed());
        let events = pair.take_events(side);
        assert!(
            matches!(&events[..], [Event::Abandoned { .. }]),
            "{events:?}"
        );
    }
}

#[test]
fn forced_before_anybody_has_deposited() {
    let mut plan = Plan::of([10, 5]);
    plan.funds_last = [true, true];
    let mut pair = Pair::agreed(&plan);
    pair.connect();
    pair.drive();
    pair.force_close(ALICE);
    pair.wait(20 * MINUTE);
    for side in BOTH {
        assert!(pair.channel(side).is_closed(), "side {side}");
    }
}

#[test]
fn forced_and_then_the_other_deposits() {
    let mut plan = Plan::of([10, 5]);
    plan.funds_last = [true, true];
    let mut pair = Pair::agreed(&plan);
    pair.connect();
    pair.drive();
    pair.force_close(ALICE);
    pair.drive();
    pair.adjudicator.deposit(0, part(BOB), amount(5));
    pair.wait(3 * HOUR);
    pair.assert_paid_out([0, 5]);
}

#[test]
fn one_deposits_last() {
    for last in BOTH {
        let mut plan = Plan::of([10, 5]);
        plan.funds_last[last] = true;
        let mut pair = Pair::agreed(&plan);
        pair.sides[1 - last].is_watching = false;
        pair.connect();
        pair.drive();
        assert!(pair.adjudicator.holdings().is_zero());
        pair.sides[1 - last].is_watching = true;
        pair.drive();
        opens(&mut pair);
    }
}

#[test]
fn several_assets_are_deposited_by_different_sides() {
    let mut plan = Plan::of([10, 0]);
    plan.funding.push([0, 7]);
    plan.funds_last[BOB] = true;
    let mut pair = Pair::opened(&plan);
    let now = pair.now;
    pair.channel_mut(ALICE).pay(now, &payment_in(0, 4)).unwrap();
    pair.channel_mut(BOB).pay(now, &payment_in(1, 6)).unwrap();
    pair.drive();
    pair.assert_agreed([6, 4]);
    assert_eq!(pair.balances_of(ALICE, 1), [6, 1]);
    pair.close(ALICE);
    pair.drive();
    pair.assert_paid_out([6, 4]);
    assert_eq!(BOTH.map(|side| pair.adjudicator.paid(1, side)), [6, 1]);
}

#[test]
fn a_wrong_signature_on_version_0_is_refused() {
    let mut pair = Pair::agreed(&Plan::of([10, 5]));
    pair.connect();
    pair.carry_out_all(BOB);
    let acceptance = pair.queues[ALICE].pop_back().unwrap();
    let Message::UpdateAcceptance(mut acceptance) = acceptance else {
        panic!("{acceptance:?}");
    };
    acceptance.signature = perun_protocol::Signature::from_bytes([7; 64]);
    pair.receive(ALICE, Message::UpdateAcceptance(acceptance.clone()));
    acceptance.part = part(ALICE);
    pair.receive(ALICE, Message::UpdateAcceptance(acceptance));
    assert_eq!(pair.sides[ALICE].misbehaved.len(), 2);
    assert_eq!(pair.channel(ALICE).newest(), None);
    assert!(pair.channel(ALICE).secured().is_empty());
}

#[test]
fn a_set_up_is_read_only_if_everything_in_it_fits_together() {
    let ([good, _], _) = Plan::of([10, 5]).setups(&BOTH.map(secret_key));
    assert_eq!(Setup::decode(&good.encode()).as_ref(), Some(&good));
    let initial = |params: &Params, channel: ChannelId, number: u64, assets: usize| {
        let parts = params.participants().len();
        let balances = Balances::zero(assets, parts).unwrap();
        State::new(channel, Version::new(number), balances.clone(), balances).unwrap()
    };
    let (params, id) = (&good.params, good.params.id());
    let mut three = params.participants().to_vec();
    three.push(SecretKey::from_bytes(&[3; 32]).unwrap().participant());
    let of_three = Params::new(
        params.nonce(),
        three,
        params.assets().to_vec(),
        params.challenge_duration(),
        params.adjudicator(),
    )
    .unwrap();
    let other = ChannelId::from_bytes([7; 32]);
    let with = |initial: State| Setup {
        initial,
        ..good.clone()
    };
    let wrong = [
        (
            "three participants",
            Setup {
                initial: initial(&of_three, of_three.id(), 0, 1),
                params: of_three,
                ..good.clone()
            },
        ),
        (
            "a part that is not there",
            Setup {
                part: part(2),
                ..good.clone()
            },
        ),
        ("not version 0", with(initial(params, id, 1, 1))),
        ("another channel", with(initial(params, other, 0, 1))),
        ("another shape", with(initial(params, id, 0, 2))),
    ];
    assert!(Setup::decode(&with(initial(params, id, 0, 1)).encode()).is_some());
    for (what, setup) in wrong {
        assert_eq!(Setup::decode(&setup.encode()), None, "{what}");
    }
}
