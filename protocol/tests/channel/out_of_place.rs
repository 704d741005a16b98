//! Messages that are lost, repeated or outdated: what they are answered with, and that they change
//! nothing.

use std::slice::from_ref;

use perun_protocol::channel::{Event, PeerMisbehaved};
use perun_protocol::wire::{Message, RejectCode, Sync, TurnPass, TurnRequest, UpdateRejection};

use crate::world::*;

/// How far ahead of the newest version an honest peer proposes, at most.
const MAX_AHEAD: u64 = 1 << 33;

/// What a side has sent since this was asked last.
fn sent(pair: &mut Pair, side: usize) -> Vec<Message> {
    pair.carry_out_all(side);
    std::mem::take(&mut pair.queues[1 - side]).into()
}

/// What a side answers to this message.
fn answer(pair: &mut Pair, side: usize, message: Message) -> Vec<Message> {
    assert_eq!(sent(pair, side), []);
    pair.receive(side, message);
    sent(pair, side)
}

fn is_question(answer: &[Message]) -> bool {
    matches!(answer, [Message::Sync(sync)] if sync.wants_answer)
}

fn turn_pass(pair: &Pair, turn: u64) -> Message {
    let channel = pair.channel(ALICE).id();
    Message::TurnPass(TurnPass { channel, turn })
}

fn turn_request(pair: &Pair, turn: u64) -> Message {
    let channel = pair.channel(ALICE).id();
    Message::TurnRequest(TurnRequest { channel, turn })
}

#[test]
fn an_update_with_another_base_or_turn_is_answered_by_a_question_and_burns_nothing() {
    let mut pair = Pair::funded([10, 10]);
    // Alice has turn 0, and the newest version is 0.
    for (by, number, skipped, turn) in [
        (ALICE, 1, 0, 1),
        (ALICE, 1, 0, 2),
        (ALICE, 1, 0, u64::MAX),
        (BOB, 1, 0, 0),
        (BOB, 1, 0, 1),
        (ALICE, 2, 0, 0),
        (ALICE, 1, 1, 0),
        (ALICE, 2, 2, 0),
        (ALICE, 2, u64::MAX, 0),
        (ALICE, 2, 0, 1),
    ] {
        let update = pair.update_by(by, version(number), skipped, turn, &[payment(1)]);
        let answer = answer(&mut pair, 1 - by, Message::Update(Box::new(update)));
        let case = (by, number, skipped, turn);
        assert!(is_question(&answer), "{case:?}: {answer:?}");
        assert_eq!(pair.newest(1 - by).version(), version(0), "{case:?}");
    }
    pair.assert_nobody_misbehaved();
    let update = pair.update_by(ALICE, version(1), 0, 0, &[payment(1)]);
    pair.receive(BOB, Message::Update(Box::new(update)));
    assert_eq!(pair.newest(BOB).version(), version(1));
}

#[test]
fn an_update_is_as_far_ahead_as_an_honest_peer_can_be() {
    for is_too_far in [false, true] {
        let mut pair = Pair::funded([10, 10]);
        let ahead = MAX_AHEAD + u64::from(is_too_far);
        let update = pair.update_by(ALICE, version(ahead), ahead - 1, 0, &[payment(1)]);
        let answer = answer(&mut pair, BOB, Message::Update(Box::new(update)));
        let misbehaved = PeerMisbehaved::VersionTooFar {
            current: version(0),
            proposed: version(ahead),
        };
        let newest = pair.newest(BOB).version();
        if is_too_far {
            assert_eq!(pair.sides[BOB].misbehaved, [misbehaved]);
            assert!(matches!(&answer[..],
                [Message::UpdateRejection(no)] if no.code == RejectCode::Misbehaved));
            assert_eq!(newest, version(0));
        } else {
            pair.assert_nobody_misbehaved();
            assert_eq!(newest, version(ahead));
        }
    }
}

#[test]
fn nothing_is_signed_up_to_what_was_signed_and_forgotten() {
    let mut pair = Pair::funded([10, 10]);
    // Bob is shown his signature on a version that he does not know, and leaps.
    let forgotten = pair.sign_both(version(5), [1, 19]).state().clone();
    let sync = Sync {
        witness: Some(pair.witness(forgotten, BOB)),
        ..pair.sync_of(ALICE)
    };
    pair.receive(BOB, Message::Sync(Box::new(sync)));
    sent(&mut pair, BOB);
    let leapt = pair.channel(BOB).highest_signed().unwrap().number();
    assert!(leapt > 5);
    for number in [1, 5, leapt] {
        let update = pair.update_by(ALICE, version(number), number - 1, 0, &[payment(1)]);
        let answer = answer(&mut pair, BOB, Message::Update(Box::new(update)));
        assert!(is_question(&answer), "{number}: {answer:?}");
        assert_eq!(pair.newest(BOB).version(), version(0));
    }
    let update = pair.update_by(ALICE, version(leapt + 1), leapt, 0, &[payment(1)]);
    pair.receive(BOB, Message::Update(Box::new(update)));
    assert_eq!(pair.newest(BOB).version(), version(leapt + 1));
}

#[test]
fn only_the_newest_acceptance_is_repeated() {
    let mut pair = Pair::funded([10, 10]);
    let mut updates = vec![];
    for number in [1, 2] {
        let update = pair.update_by(ALICE, version(number), 0, 0, &[payment(1)]);
        updates.push(Message::Update(Box::new(update)));
        pair.receive(BOB, updates[updates.len() - 1].clone());
    }
    let accepted = sent(&mut pair, BOB).pop();
    assert!(matches!(accepted, Some(Message::UpdateAcceptance(_))));
    let again = answer(&mut pair, BOB, updates.pop().unwrap());
    assert_eq!(again, accepted.into_iter().collect::<Vec<_>>());
    assert_eq!(answer(&mut pair, BOB, updates.pop().unwrap()), []);
    assert_eq!(pair.balances_of(BOB, 0), [8, 12]);
}

#[test]
fn an_offer_that_comes_twice_is_one_offer() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.take_events(BOB);
    let update = pair.update_by(ALICE, version(1), 0, 0, &[payment(1)]);
    for _ in 0..2 {
        let update = Message::Update(Box::new(update.clone()));
        assert_eq!(answer(&mut pair, BOB, update), []);
    }
    assert!(matches!(pair.take_events(BOB)[..], [Event::Offered { .. }]));
}

#[test]
fn an_answer_to_another_version_than_the_one_under_way_changes_nothing() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    pair.drive();
    pair.take_events(ALICE);
    pair.pay(ALICE, 1);
    sent(&mut pair, ALICE);
    let pending = pair.channel(ALICE).pending().unwrap().clone();
    for number in [0, 1, 3, u64::MAX] {
        let other = pair.sign_both(version(number), [0, 20]).state().clone();
        let acceptance = Message::UpdateAcceptance(pair.acceptance_by(BOB, &other));
        let rejection = Message::UpdateRejection(UpdateRejection {
            channel: pending.channel(),
            version: version(number),
            code: RejectCode::Declined,
            text: Default::default(),
        });
        for message in [acceptance, rejection] {
            assert_eq!(answer(&mut pair, ALICE, message), []);
            assert_eq!(pair.channel(ALICE).pending(), Some(&pending));
        }
    }
    assert_eq!(pair.take_events(ALICE), []);
    pair.assert_nobody_misbehaved();
}

#[test]
fn a_proposal_under_way_is_completed_by_the_peers_signature_on_it_only() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    sent(&mut pair, ALICE);
    let pending = pair.channel(ALICE).pending().unwrap().clone();
    let good = pair.acceptance_by(BOB, &pending);
    let mut by_herself = pair.acceptance_by(ALICE, &pending);
    let (part_of_alice, part_of_bob) = (by_herself.part, good.part);
    pair.receive(ALICE, Message::UpdateAcceptance(by_herself.clone()));
    by_herself.part = part_of_bob;
    pair.receive(ALICE, Message::UpdateAcceptance(by_herself));
    assert_eq!(
        pair.sides[ALICE].misbehaved,
        [
            PeerMisbehaved::WrongPart {
                part: part_of_alice
            },
            PeerMisbehaved::WrongSignature {
                part: part_of_bob,
                version: version(1)
            }
        ]
    );
    assert_eq!(pair.channel(ALICE).pending(), Some(&pending));
    pair.receive(ALICE, Message::UpdateAcceptance(good));
    assert_eq!(pair.newest(ALICE).version(), version(1));
}

#[test]
fn the_signature_on_version_0_is_repeated_by_who_signed_it_last_or_is_not_synced() {
    let mut pair = Pair::funded([10, 10]);
    let initial = pair.newest(ALICE).state().clone();
    let by = |pair: &Pair, side| Message::UpdateAcceptance(pair.acceptance_by(side, &initial));
    let (alices, bobs) = (by(&pair, ALICE), by(&pair, BOB));
    assert_eq!(answer(&mut pair, ALICE, bobs.clone()), from_ref(&alices));
    assert_eq!(answer(&mut pair, BOB, alices.clone()), []);
    pair.connect();
    for side in BOTH {
        sent(&mut pair, side);
    }
    assert_eq!(answer(&mut pair, BOB, alices.clone()), from_ref(&bobs));
    pair.connect();
    pair.drive();
    pair.pay(ALICE, 1);
    pair.drive();
    assert_eq!(answer(&mut pair, ALICE, bobs), []);
    assert_eq!(answer(&mut pair, BOB, alices), []);
}

#[test]
fn a_pass_from_further_ahead_is_answered_by_a_question_and_an_old_one_by_nothing() {
    let mut pair = Pair::funded([10, 10]);
    // Turn 0 is Alice's.
    for (side, turn) in [(ALICE, 1), (ALICE, 2), (BOB, 2), (BOB, 3), (BOB, u64::MAX)] {
        let pass = turn_pass(&pair, turn);
        let answer = answer(&mut pair, side, pass);
        assert!(is_question(&answer), "{side} {turn}: {answer:?}");
        assert_eq!(pair.channel(side).turn(), (0, side == ALICE));
    }
    for side in BOTH {
        let pass = turn_pass(&pair, 0);
        assert_eq!(answer(&mut pair, side, pass), []);
    }
    let pass = turn_pass(&pair, 1);
    assert_eq!(answer(&mut pair, BOB, pass), []);
    assert_eq!(pair.channel(BOB).turn(), (1, true));
    for turn in [0, 1] {
        let pass = turn_pass(&pair, turn);
        assert_eq!(answer(&mut pair, BOB, pass), []);
        assert_eq!(pair.channel(BOB).turn(), (1, true));
    }
}

#[test]
fn the_turn_is_passed_to_who_asks_for_this_one_and_again_to_who_asks_for_the_last() {
    let mut pair = Pair::funded([10, 10]);
    for (side, turn) in [(ALICE, 1), (ALICE, u64::MAX), (BOB, 0), (BOB, 1)] {
        let request = turn_request(&pair, turn);
        assert_eq!(answer(&mut pair, side, request), [], "{side} {turn}");
    }
    let pass = turn_pass(&pair, 1);
    for _ in 0..2 {
        let request = turn_request(&pair, 0);
        assert_eq!(answer(&mut pair, ALICE, request), from_ref(&pass));
        assert_eq!(pair.channel(ALICE).turn(), (1, false));
    }
    for turn in [1, 2, u64::MAX] {
        let request = turn_request(&pair, turn);
        assert_eq!(answer(&mut pair, ALICE, request), [], "{turn}");
    }
}

#[test]
fn the_turn_is_passed_only_while_the_channel_is_open() {
    // Alice has not seen yet that it is funded; Bob has.
    let mut pair = Pair::agreed(&Plan::of([0, 10]));
    pair.sides[ALICE].is_watching = false;
    pair.connect();
    pair.drive();
    assert!(pair.channel(BOB).is_open() && !pair.channel(ALICE).is_open());
    pair.pay(BOB, 1);
    pair.drive();
    assert_eq!(pair.channel(ALICE).turn(), (0, true));
    pair.sides[ALICE].is_watching = true;
    pair.drive();
    pair.assert_agreed([1, 9]);
    assert_eq!(pair.channel(ALICE).turn(), (1, false));
    // Bob registers the newest state, which Alice has seen.
    let mut pair = Pair::funded([10, 10]);
    pair.force_close(BOB);
    pair.drive();
    let request = turn_request(&pair, 0);
    assert_eq!(answer(&mut pair, ALICE, request), []);
    assert_eq!(pair.channel(ALICE).turn(), (0, true));
}

#[test]
fn the_first_sync_of_a_link_asks_for_no_answer_and_each_repetition_does() {
    let mut pair = Pair::funded([10, 10]);
    pair.cut();
    pair.is_linked = true;
    let connected = pair.now;
    pair.take_events(ALICE);
    pair.channel_mut(ALICE)
        .handle_connected(connected, MAX_BATCH);
    for number in 0..=LIMITS.silence_ns / LIMITS.retry_ns {
        let now = connected.saturating_add_nanos(number * LIMITS.retry_ns);
        pair.channel_mut(ALICE).handle_timeout(now);
        let sent = sent(&mut pair, ALICE);
        assert!(matches!(&sent[..], [Message::Sync(_)]), "{sent:?}");
        assert_eq!(is_question(&sent), number > 0);
    }
    assert_eq!(pair.take_events(ALICE), [Event::Unanswered]);
}

#[test]
fn what_waits_for_an_answer_is_sent_again_after_a_sync_too() {
    // Alice has the turn and proposes, Bob asks for it.
    for side in BOTH {
        let mut pair = Pair::funded([10, 10]);
        pair.pay(side, 1);
        let first = sent(&mut pair, side);
        let pending = match &first[..] {
            [Message::Update(update)] => Some((**update).clone()),
            _ => None,
        };
        assert_eq!(pending.is_some(), side == ALICE);
        let sync = Message::Sync(Box::new(pair.sync_of(1 - side)));
        assert_eq!(answer(&mut pair, side, sync), []);
        let retry = pair.now.saturating_add_nanos(LIMITS.retry_ns);
        assert_eq!(pair.channel(side).poll_timeout(), Some(retry));
        pair.channel_mut(side).handle_timeout(retry);
        assert_eq!(sent(&mut pair, side), first);
    }
}
