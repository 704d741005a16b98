//! What was refused: its signer is bound to it until a newer state is signed by all, and no longer.

use perun_protocol::Version;
use perun_protocol::channel::Event;
use perun_protocol::wire::{Message, Reason, RejectCode, Sync};

use crate::world::*;

/// Alice pays these amounts out of 10, one after the other, and Bob refuses each.
fn refused(payments: &[u128]) -> (Pair, Vec<perun_protocol::State>) {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    let reason = Reason::new(RejectCode::Declined, "");
    let mut proposed = vec![];
    for units in payments {
        pair.pay(ALICE, *units);
        pair.drive();
        let state = pair.channel(ALICE).pending().unwrap().clone();
        let now = pair.now;
        pair.channel_mut(BOB)
            .reject_update(now, state.version(), &reason)
            .unwrap();
        pair.drive();
        proposed.push(state);
    }
    (pair, proposed)
}

/// The version of the refused proposal that a side shows when it syncs.
fn shown(pair: &mut Pair, side: usize) -> Option<Version> {
    pair.connect();
    pair.carry_out_all(side);
    let shown = match pair.queues[1 - side].pop_front() {
        Some(Message::Sync(sync)) => sync.witness.map(|witness| witness.proposed.state.version()),
        other => panic!("{other:?}"),
    };
    pair.connect();
    pair.drive();
    shown
}

#[test]
fn what_was_refused_is_shown_until_its_version_or_a_newer_one_is_signed_by_all() {
    for (signed, is_shown) in [(0, false), (1, false), (2, true)] {
        let (mut pair, proposed) = refused(&[4, 3]);
        assert_eq!(shown(&mut pair, BOB), Some(version(2)));
        let complete = match signed {
            0 => pair.sign_both(version(7), [9, 11]),
            1 => pair.complete_in_secret(&proposed[1]),
            _ => pair.complete_in_secret(&proposed[0]),
        };
        pair.show(BOB, complete);
        pair.carry_out_all(BOB);
        let kept = is_shown.then_some(version(2));
        assert_eq!(shown(&mut pair, BOB), kept, "case {signed}");
    }
}

#[test]
fn what_was_refused_counts_against_its_signer_until_its_version_is_signed_by_all() {
    // Of two that were refused the first leaves 6 and the second 2, then the other way round.
    for (payments, first, second) in [([4, 8], [2], [2]), ([8, 4], [2], [6])] {
        let (mut pair, proposed) = refused(&payments);
        assert_eq!(pair.channel(ALICE).secured(), [amount(2)]);
        for (state, secured) in proposed.iter().zip([first, second]) {
            let signed = pair.complete_in_secret(state);
            pair.show(ALICE, signed);
            pair.carry_out_all(ALICE);
            assert_eq!(pair.newest(ALICE).version(), state.version());
            assert_eq!(pair.channel(ALICE).secured(), secured.map(amount));
        }
    }
}

#[test]
fn a_refused_version_is_not_offered_again() {
    let (mut pair, _) = refused(&[4, 3]);
    pair.take_events(BOB);
    for number in [1, 2] {
        let update = pair.update_by(ALICE, version(number), number - 1, 0, &[payment(1)]);
        pair.receive(BOB, Message::Update(Box::new(update)));
        pair.carry_out_all(BOB);
        let answer = pair.queues[ALICE].pop_front();
        assert!(
            matches!(&answer, Some(Message::UpdateRejection(no)) if no.version == version(number)),
            "{answer:?}"
        );
        assert_eq!(pair.take_events(BOB), []);
    }
    let update = pair.update_by(ALICE, version(3), 2, 0, &[payment(1)]);
    pair.receive(BOB, Message::Update(Box::new(update)));
    pair.carry_out_all(BOB);
    assert!(matches!(pair.take_events(BOB)[..], [Event::Offered { .. }]));
}

#[test]
fn what_the_peer_says_it_has_signed_is_believed_as_far_as_it_can_be_true() {
    let limit = (1 << 32) + (1 << 31);
    for (claimed, next) in [(0, 1), (1, 2), (limit, limit + 1), (limit + 1, 1)] {
        let mut pair = Pair::funded([10, 10]);
        let sync = Sync {
            signed_through: Some(version(claimed)),
            ..pair.sync_of(BOB)
        };
        pair.receive(ALICE, Message::Sync(Box::new(sync)));
        pair.pay(ALICE, 1);
        let proposed = pair.channel(ALICE).pending().unwrap().version();
        assert_eq!(proposed, version(next), "claimed {claimed}");
        pair.drive();
        pair.assert_agreed([9, 11]);
    }
}

#[test]
fn a_proposal_under_way_is_given_up_when_the_peer_signs_nothing_of_its_version_any_more() {
    // Version 3 is under way, 1 and 2 were refused.
    for signed_through in [2, 3, 4] {
        let (mut pair, proposed) = refused(&[4, 3]);
        pair.take_events(ALICE);
        pair.pay(ALICE, 1);
        pair.carry_out_all(ALICE);
        let update = match pair.queues[BOB].pop_front() {
            Some(Message::Update(update)) => update,
            other => panic!("{other:?}"),
        };
        assert_eq!(update.version, version(3));
        let sync = Sync {
            signed_through: Some(version(signed_through)),
            witness: Some(pair.witness(proposed[1].clone(), ALICE)),
            ..pair.sync_of(BOB)
        };
        pair.receive(ALICE, Message::Sync(Box::new(sync)));
        pair.carry_out_all(ALICE);
        let is_under_way = pair.channel(ALICE).pending().is_some();
        assert_eq!(is_under_way, signed_through < 3, "through {signed_through}");
        let events = pair.take_events(ALICE);
        let is_refused = events.iter().any(|event| {
            matches!(event,
            Event::Refused { from: 3, through: 3, reason } if reason.code == RejectCode::WrongBase)
        });
        assert_eq!(is_refused, !is_under_way, "{events:?}");
    }
}

/// What a side answers to this message, first of all.
fn answer(pair: &mut Pair, side: usize, message: Message) -> Option<Message> {
    pair.carry_out_all(side);
    pair.queues[1 - side].clear();
    pair.receive(side, message);
    pair.carry_out_all(side);
    pair.queues[1 - side].pop_front()
}

#[test]
fn an_offer_is_refused_when_its_turn_is_over_though_its_signer_stands_by_it() {
    for turn in [0, 1] {
        let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
        let update = pair.update_by(ALICE, version(1), 0, 0, &[payment(3)]);
        pair.receive(BOB, Message::Update(Box::new(update.clone())));
        let sync = Sync {
            turn,
            pending: Some(update),
            ..pair.sync_of(ALICE)
        };
        let answer = answer(&mut pair, BOB, Message::Sync(Box::new(sync)));
        let is_refused = matches!(&answer, Some(Message::UpdateRejection(no))
            if no.version == version(1) && no.code == RejectCode::WrongBase);
        assert_eq!(is_refused, turn == 1, "{answer:?}");
        let now = pair.now;
        let accepted = pair.channel_mut(BOB).accept_update(now, version(1));
        assert_eq!(accepted.is_ok(), turn == 0);
    }
}

#[test]
fn an_offer_is_refused_when_a_version_not_below_it_turns_out_to_be_signed() {
    let leapt = 9 + (1 << 32);
    for (number, is_kept) in [(1, false), (leapt, false), (leapt + 1, true)] {
        let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
        let update = pair.update_by(ALICE, version(number), number - 1, 0, &[payment(3)]);
        pair.receive(BOB, Message::Update(Box::new(update.clone())));
        let forgotten = pair.sign_both(version(9), [1, 19]).state().clone();
        let sync = Sync {
            witness: Some(pair.witness(forgotten, BOB)),
            pending: Some(update),
            ..pair.sync_of(ALICE)
        };
        pair.receive(BOB, Message::Sync(Box::new(sync)));
        assert_eq!(pair.channel(BOB).highest_signed(), Some(version(leapt)));
        let now = pair.now;
        let accepted = pair.channel_mut(BOB).accept_update(now, version(number));
        assert_eq!(accepted.is_ok(), is_kept, "version {number}");
    }
}

#[test]
fn a_proposal_under_way_is_given_up_when_the_peer_shows_that_it_has_refused_it() {
    // Version 3 is under way, 1 and 2 were refused.
    for is_refused in [false, true] {
        let (mut pair, proposed) = refused(&[4, 3]);
        pair.pay(ALICE, 1);
        let under_way = pair.channel(ALICE).pending().unwrap().clone();
        let shown = if is_refused { &under_way } else { &proposed[1] };
        pair.take_events(ALICE);
        let sync = Sync {
            witness: Some(pair.witness(shown.clone(), ALICE)),
            ..pair.sync_of(BOB)
        };
        pair.receive(ALICE, Message::Sync(Box::new(sync)));
        pair.carry_out_all(ALICE);
        assert_eq!(pair.channel(ALICE).pending().is_none(), is_refused);
        // Whoever knows what it is shown was not restored from an old copy.
        let events = pair.take_events(ALICE);
        let is_rollback = |event: &Event| matches!(event, Event::RolledBack { .. });
        assert!(!events.iter().any(is_rollback), "{events:?}");
        assert_eq!(pair.channel(ALICE).highest_signed(), Some(version(3)));
    }
}
