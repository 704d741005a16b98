//! The turn: who may propose, and how it passes.

use perun_protocol::Signer;
use perun_protocol::channel::PeerMisbehaved;
use perun_protocol::wire::{Message, Reason, RejectCode, TurnPass, TurnRequest};

use crate::world::liar::successor;
use crate::world::*;

/// How far ahead a turn can be that an honest peer tells.
const MAX_AHEAD: u64 = 1 << 32;

#[test]
fn the_turn_is_asked_for_and_passed() {
    let mut pair = Pair::funded([10, 10]);
    assert_eq!(pair.channel(ALICE).turn(), (0, true));
    assert_eq!(pair.channel(BOB).turn(), (0, false));
    pair.pay(BOB, 1);
    pair.drive();
    assert_eq!(pair.channel(ALICE).turn(), (1, false));
    assert_eq!(pair.channel(BOB).turn(), (1, true));
    pair.pay(ALICE, 1);
    pair.drive();
    assert_eq!(pair.channel(ALICE).turn(), (2, true));
    pair.assert_agreed([10, 10]);
}

#[test]
fn under_load_it_passes_with_the_updates() {
    let mut pair = Pair::funded([1_000, 1_000]);
    for _ in 0..100 {
        pair.pay(ALICE, 1);
        pair.pay(BOB, 1);
        for side in BOTH {
            pair.carry_out_all(side);
            pair.deliver(side);
        }
    }
    pair.drive();
    pair.assert_agreed([1_000, 1_000]);
    // Each update carries the turn with it; nobody waits for the other for long.
    let turn = pair.channel(ALICE).turn().0;
    assert!(turn > 15, "turn {turn}");
}

#[test]
fn a_lost_pass_is_repeated() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(BOB, 1);
    pair.carry_out_all(BOB);
    assert!(pair.deliver(ALICE));
    pair.carry_out_all(ALICE);
    assert_eq!(pair.queues[BOB].len(), 1);
    pair.queues[BOB].clear();
    pair.wait(3 * SECOND);
    pair.assert_agreed([11, 9]);
}

#[test]
fn a_lost_request_is_repeated() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(BOB, 1);
    pair.carry_out_all(BOB);
    pair.queues[ALICE].clear();
    pair.wait(3 * SECOND);
    pair.assert_agreed([11, 9]);
}

#[test]
fn a_turn_passed_out_of_turn_changes_nothing() {
    let mut pair = Pair::funded([10, 10]);
    let channel = pair.channel(ALICE).id();
    for turn in [0, 1, 2, 100, u64::MAX] {
        pair.receive(ALICE, Message::TurnPass(TurnPass { channel, turn }));
        pair.receive(
            ALICE,
            Message::TurnRequest(TurnRequest {
                channel,
                turn: turn + u64::from(turn == 0),
            }),
        );
    }
    pair.drive();
    assert_eq!(pair.channel(ALICE).turn(), (0, true));
    pair.pay(ALICE, 1);
    pair.drive();
    pair.assert_agreed([9, 11]);
}

#[test]
fn a_turn_claimed_in_a_sync_does_not_free_what_is_under_way() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.pay(ALICE, 1);
    pair.drive();
    // Bob holds Alice's proposal and says that it is his turn.
    let mut sync = pair.sync_of(BOB);
    sync.turn = 1;
    pair.receive(ALICE, Message::Sync(Box::new(sync.clone())));
    pair.carry_out_all(ALICE);
    // An update by him in that turn does not push hers aside.
    let update = pair.update_by(BOB, version(2), 1, 1, &[payment(1)]);
    pair.receive(ALICE, Message::Update(Box::new(update)));
    pair.carry_out_all(ALICE);
    assert!(pair.newest(ALICE).version() < version(2) || pair.channel(ALICE).pending().is_none());
    sync.turn = 1 << 40;
    pair.receive(ALICE, Message::Sync(Box::new(sync)));
    assert!(matches!(
        pair.sides[ALICE].misbehaved[..],
        [.., PeerMisbehaved::TurnTooFar { .. }]
    ));
}

#[test]
fn a_turn_is_caught_up_with_unless_it_is_absurdly_far_ahead() {
    for (ahead, is_absurd) in [(1, false), (MAX_AHEAD, false), (MAX_AHEAD + 1, true)] {
        let mut pair = Pair::funded([10, 10]);
        let (turn, is_ours) = pair.channel(ALICE).turn();
        let mut sync = pair.sync_of(BOB);
        sync.turn = turn + ahead;
        pair.receive(ALICE, Message::Sync(Box::new(sync)));
        let refused = !pair.sides[ALICE].misbehaved.is_empty();
        assert_eq!(refused, is_absurd, "{ahead}");
        // Each turn is the other side's.
        let expected = match is_absurd {
            true => (turn, is_ours),
            false => (turn + ahead, is_ours ^ (ahead % 2 == 1)),
        };
        assert_eq!(pair.channel(ALICE).turn(), expected);
    }
}

#[test]
fn an_acceptance_asks_for_the_turn_if_something_waits_for_it_and_it_is_not_there_already() {
    for waits in [false, true] {
        for passes_turn in [false, true] {
            for is_final in [false, true] {
                let mut pair = Pair::funded([10, 10]);
                if waits {
                    pair.pay(BOB, 1);
                }
                let mut update = pair.update_by(ALICE, version(1), 0, 0, &[payment(1)]);
                let base = pair.newest(BOB).state();
                let payments = [payment(1)];
                let next = successor(base, false, ALICE, version(1), &payments, is_final);
                update.signature = pair.sides[ALICE].signer.sign(&next.digest());
                (update.is_final, update.passes_turn) = (is_final, passes_turn);
                pair.receive(BOB, Message::Update(Box::new(update)));
                pair.carry_out_all(BOB);
                let mut sent = pair.queues[ALICE].iter();
                let asks = sent.find_map(|message| match message {
                    Message::UpdateAcceptance(acceptance) => Some(acceptance.asks_turn),
                    _ => None,
                });
                let expected = waits && !passes_turn && !is_final;
                let case = (waits, passes_turn, is_final);
                assert_eq!(asks, Some(expected), "{case:?}");
            }
        }
    }
}

#[test]
fn who_holds_an_offer_asks_for_the_turn_when_it_has_answered() {
    for accepts in [false, true] {
        let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
        pair.pay(ALICE, 1);
        pair.drive();
        pair.pay(BOB, 2);
        pair.carry_out_all(BOB);
        assert!(pair.queues[ALICE].is_empty());
        let now = pair.now;
        if accepts {
            pair.channel_mut(BOB)
                .accept_update(now, version(1))
                .unwrap();
        } else {
            let reason = Reason::new(RejectCode::Declined, "");
            pair.channel_mut(BOB)
                .reject_update(now, version(1), &reason)
                .unwrap();
        }
        pair.carry_out_all(BOB);
        match pair.queues[ALICE].make_contiguous() {
            [Message::UpdateAcceptance(yes)] => assert!(accepts && yes.asks_turn),
            [Message::UpdateRejection(_), Message::TurnRequest(_)] => assert!(!accepts),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_turn_goes_along_with_an_update_unless_it_is_the_last() {
    for is_final in [false, true] {
        for is_asked in [false, true] {
            let mut pair = Pair::funded([10, 10]);
            let channel = pair.channel(ALICE).id();
            pair.pay(ALICE, 1);
            if is_asked {
                let request = TurnRequest { channel, turn: 0 };
                pair.receive(ALICE, Message::TurnRequest(request));
            }
            if is_final {
                pair.close(ALICE);
            } else {
                pair.pay(ALICE, 1);
            }
            let first = pair.channel(ALICE).pending().unwrap().clone();
            let acceptance = pair.acceptance_by(BOB, &first);
            pair.receive(ALICE, Message::UpdateAcceptance(acceptance));
            pair.carry_out_all(ALICE);
            let Some(Message::Update(update)) = pair.queues[BOB].pop_back() else {
                panic!("the second update");
            };
            assert_eq!(update.is_final, is_final);
            assert_eq!(update.passes_turn, is_asked && !is_final);
        }
    }
}
