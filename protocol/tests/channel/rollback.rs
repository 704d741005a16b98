//! Old copies: a side that was restored from one, beside an honest peer, and beside one that lies.

use perun_protocol::UnverifiedSignedState;
use perun_protocol::channel::{Event, PeerMisbehaved};
use perun_protocol::wire::{Message, Reason, RejectCode, Sync};

use crate::world::*;

const LEAP: u64 = 1 << 32;

fn rolled_back(events: &[Event]) -> Vec<(u64, u64)> {
    let found = events.iter().filter_map(|event| match event {
        Event::RolledBack { knew, shown } => Some((knew.number(), shown.number())),
        _ => None,
    });
    found.collect()
}

/// Both pay above everything that was ever signed.
fn goes_on_above(pair: &mut Pair, shown: u64) {
    let [alice, bob] = pair.balances_of(BOB, 0);
    pair.assert_agreed([alice, bob]);
    pair.pay(ALICE, 1);
    pair.pay(BOB, 2);
    pair.drive();
    pair.assert_agreed([alice + 1, bob - 1]);
    assert!(pair.newest(ALICE).version().number() > shown + LEAP);
}

#[test]
fn the_peer_shows_what_was_forgotten() {
    for who in BOTH {
        let mut pair = Pair::funded([10, 10]);
        pair.pay(ALICE, 1);
        pair.drive();
        let copy = pair.copy_of(who);
        for side in BOTH {
            pair.pay(side, 3);
            pair.drive();
        }
        pair.pay(ALICE, 2);
        pair.drive();
        pair.take_events(who);
        pair.roll_back(who, copy);
        pair.connect();
        pair.drive();
        assert_eq!(rolled_back(&pair.take_events(who)), [(1, 4)]);
        assert_eq!(rolled_back(&pair.take_events(1 - who)), []);
        goes_on_above(&mut pair, 4);
        // It is not found a second time.
        pair.crash(who);
        pair.connect();
        pair.drive();
        assert_eq!(rolled_back(&pair.take_events(who)), []);
        goes_on_above(&mut pair, 4);
    }
}

/// A watcher has what it was given before the copy was restored.
#[test]
fn a_watcher_shows_what_was_forgotten() {
    let mut pair = Pair::funded([10, 10]);
    let copy = pair.copy_of(ALICE);
    for _ in 0..2 {
        pair.pay(ALICE, 3);
        pair.drive();
    }
    let newest = UnverifiedSignedState::from(pair.newest(ALICE).clone());
    pair.roll_back(ALICE, copy);
    pair.take_events(ALICE);
    let now = pair.now;
    let mut wrongly_signed = newest.clone();
    wrongly_signed.signatures.swap(0, 1);
    let refused = pair.channel_mut(ALICE).handle_shown(now, wrongly_signed);
    assert_eq!(refused, Err(PeerMisbehaved::WrongState));
    assert_eq!(pair.newest(ALICE).version(), version(0));
    for _ in 0..2 {
        let shown = pair.channel_mut(ALICE).handle_shown(now, newest.clone());
        assert_eq!(shown, Ok(()));
        pair.carry_out_all(ALICE);
        assert_eq!(pair.newest(ALICE).version(), version(2));
    }
    assert_eq!(rolled_back(&pair.take_events(ALICE)), [(0, 2)]);
    pair.connect();
    pair.drive();
    goes_on_above(&mut pair, 2);
}

#[test]
fn payments_that_another_state_displaces_are_no_longer_stored() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    pair.carry_out_all(ALICE);
    assert!(pair.copy_of(ALICE).payments(version(1)).is_some());
    let other = pair.sign_both(version(5), [12, 8]);
    pair.show(ALICE, other);
    pair.carry_out_all(ALICE);
    assert_eq!(pair.newest(ALICE).version(), version(5));
    assert!(pair.copy_of(ALICE).payments(version(1)).is_none());
}

#[test]
fn a_copy_from_before_the_opening_ended() {
    let mut pair = Pair::agreed(&Plan::of([10, 10]));
    pair.connect();
    pair.carry_out_all(BOB);
    let copy = pair.copy_of(BOB);
    pair.drive();
    pair.pay(ALICE, 1);
    pair.drive();
    pair.roll_back(BOB, copy);
    pair.connect();
    pair.drive();
    assert_eq!(rolled_back(&pair.take_events(BOB)), [(0, 1)]);
    goes_on_above(&mut pair, 1);
}

#[test]
fn a_refused_proposal_was_forgotten() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    let copy = pair.copy_of(ALICE);
    pair.pay(ALICE, 4);
    pair.drive();
    let (now, reason) = (pair.now, Reason::new(RejectCode::Declined, ""));
    pair.channel_mut(BOB)
        .reject_update(now, version(1), &reason)
        .unwrap();
    pair.drive();
    pair.roll_back(ALICE, copy);
    pair.connect();
    pair.drive();
    assert_eq!(rolled_back(&pair.take_events(ALICE)), [(0, 1)]);
    pair.pay(ALICE, 1);
    pair.drive();
    let offered = pair.channel(ALICE).pending().unwrap().version();
    assert_eq!(offered, version(LEAP + 2));
    pair.channel_mut(BOB).accept_update(now, offered).unwrap();
    pair.drive();
    pair.assert_agreed([9, 11]);
}

#[test]
fn a_proposal_that_waits_for_an_answer_was_forgotten() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    let copy = pair.copy_of(ALICE);
    pair.pay(ALICE, 4);
    pair.drive();
    pair.roll_back(ALICE, copy);
    pair.connect();
    pair.drive();
    assert_eq!(rolled_back(&pair.take_events(ALICE)), [(0, 1)]);
    let now = pair.now;
    assert!(
        pair.channel_mut(BOB)
            .accept_update(now, version(1))
            .is_err()
    );
    pair.pay(ALICE, 1);
    pair.drive();
    let offered = pair.channel(ALICE).pending().unwrap().version();
    assert_eq!(offered, version(LEAP + 2));
    pair.channel_mut(BOB).accept_update(now, offered).unwrap();
    pair.drive();
    pair.assert_agreed([9, 11]);
}

#[test]
fn more_is_queued_than_the_state_shown_leaves() {
    let mut pair = Pair::funded([10, 10]);
    let copy = pair.copy_of(ALICE);
    pair.pay(ALICE, 9);
    pair.drive();
    pair.roll_back(ALICE, copy);
    pair.drive();
    assert_eq!(pair.pay(ALICE, 5), 1);
    assert_eq!(pair.pay(ALICE, 1), 2);
    pair.connect();
    pair.drive();
    let events = pair.take_events(ALICE);
    assert!(
        events.iter().any(|event| matches!(event,
            Event::Refused { from: 1, through: 2, reason } if reason.code == RejectCode::WrongBase)),
        "{events:?}"
    );
    pair.assert_agreed([1, 19]);
}

#[test]
fn the_old_copy_had_a_proposal_under_way() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 4);
    assert!(pair.carry_out(ALICE));
    let copy = pair.copy_of(ALICE);
    pair.drive();
    pair.pay(BOB, 1);
    pair.drive();
    pair.roll_back(ALICE, copy);
    pair.connect();
    pair.drive();
    assert_eq!(rolled_back(&pair.take_events(ALICE)), [(0, 2)]);
    pair.assert_agreed([7, 13]);
    goes_on_above(&mut pair, 2);
}

#[test]
fn both_are_restored_from_old_copies() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    pair.drive();
    let alices = pair.copy_of(ALICE);
    pair.pay(BOB, 1);
    pair.drive();
    let bobs = pair.copy_of(BOB);
    pair.pay(ALICE, 5);
    pair.drive();
    pair.roll_back(ALICE, alices);
    pair.roll_back(BOB, bobs);
    pair.connect();
    pair.drive();
    // Nobody is left who knows the third payment; they agree on what the newer copy has.
    pair.assert_agreed([10, 10]);
    assert_eq!(rolled_back(&pair.take_events(ALICE)), [(1, 2)]);
    goes_on_above(&mut pair, 2);
}

#[test]
fn an_old_copy_without_the_peer_disputes_by_order_only_and_the_watcher_of_the_peer_refutes() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    pair.drive();
    let copy = pair.copy_of(ALICE);
    pair.pay(BOB, 5);
    pair.drive();
    pair.roll_back(ALICE, copy);
    pair.drive();
    pair.close(ALICE);
    pair.wait(MINUTE);
    assert_eq!(pair.adjudicator.registered(), None);
    pair.force_close(ALICE);
    pair.wait(2 * HOUR);
    pair.assert_paid_out([14, 6]);
}

#[test]
fn a_lying_peer_shows_only_what_suits_it() {
    let mut pair = Pair::funded([10, 10]);
    pair.pay(ALICE, 1);
    pair.drive();
    let copy = pair.copy_of(ALICE);
    let old = pair.newest(BOB).clone();
    pair.pay(BOB, 5);
    pair.drive();
    let newest = pair.newest(BOB).clone();
    pair.roll_back(ALICE, copy);
    let now = pair.now;
    pair.is_linked = true;
    pair.channel_mut(ALICE).handle_connected(now, MAX_BATCH);
    pair.show(ALICE, old);
    pair.carry_out_all(ALICE);
    assert_eq!(rolled_back(&pair.take_events(ALICE)), []);
    // What it shows later counts too.
    let sync = Sync {
        newest: newest.into(),
        ..pair.sync_of(BOB)
    };
    pair.receive(ALICE, Message::Sync(Box::new(sync)));
    pair.carry_out_all(ALICE);
    assert_eq!(rolled_back(&pair.take_events(ALICE)), [(1, 2)]);
    assert_eq!(pair.balances_of(ALICE, 0), [14, 6]);
}

#[test]
fn a_signature_that_is_not_ours_proves_nothing() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(ALICE));
    let other = pair.sign_both(version(7), [1, 19]).state().clone();
    let mut forged = pair.witness(other, BOB);
    for swap in [false, true] {
        if swap {
            forged.proposed.signatures = vec![];
        }
        let mut sync = pair.sync_of(BOB);
        sync.witness = Some(forged.clone());
        pair.receive(ALICE, Message::Sync(Box::new(sync)));
        let mut sync = pair.sync_of(BOB);
        sync.offered = Some(forged.clone());
        pair.receive(ALICE, Message::Sync(Box::new(sync)));
    }
    pair.drive();
    assert_eq!(rolled_back(&pair.take_events(ALICE)), []);
    assert_eq!(pair.channel(ALICE).highest_signed(), Some(version(0)));
    assert_eq!(pair.sides[ALICE].misbehaved.len(), 2, "no signature at all");
}

#[test]
fn an_offer_is_refused_when_a_rollback_shows_before_the_owner_agrees() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(ALICE));
    let forgotten = pair.sign_both(version(9), [1, 19]).state().clone();
    pair.pay(BOB, 3);
    pair.drive();
    let now = pair.now;
    let mut sync = pair.sync_of(BOB);
    sync.witness = Some(pair.witness(forgotten, ALICE));
    sync.pending = None;
    pair.receive(ALICE, Message::Sync(Box::new(sync)));
    pair.drive();
    assert!(
        pair.channel_mut(ALICE)
            .accept_update(now, version(1))
            .is_err()
    );
    pair.drive();
    assert_eq!(rolled_back(&pair.take_events(ALICE)), [(0, 9)]);
}

#[test]
fn an_offer_is_refused_when_its_turn_is_said_to_be_over() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(ALICE));
    pair.pay(BOB, 3);
    pair.drive();
    let pending = pair.channel(BOB).pending().unwrap().clone();
    pair.pay(ALICE, 2);
    pair.drive();
    let mut sync = pair.sync_of(BOB);
    sync.turn += 1;
    let base = pair.newest(ALICE).clone();
    sync.newest = base.into();
    pair.receive(ALICE, Message::Sync(Box::new(sync)));
    pair.carry_out_all(ALICE);
    let now = pair.now;
    assert!(
        pair.channel_mut(ALICE)
            .accept_update(now, pending.version())
            .is_err()
    );
    pair.carry_out_all(ALICE);
}

#[test]
fn a_newer_state_under_a_proposal_that_is_still_under_way() {
    let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
    pair.pay(ALICE, 8);
    pair.drive();
    let refused = pair.channel(ALICE).pending().unwrap().clone();
    let (now, reason) = (pair.now, Reason::new(RejectCode::Declined, ""));
    pair.channel_mut(BOB)
        .reject_update(now, version(1), &reason)
        .unwrap();
    pair.drive();
    pair.pay(ALICE, 7);
    pair.pay(ALICE, 3);
    pair.drive();
    assert_eq!(pair.channel(ALICE).pending().unwrap().version(), version(2));
    // Bob has signed the first one after all, and shows it.
    let signed = pair.complete_in_secret(&refused);
    pair.show(ALICE, signed.clone());
    pair.carry_out_all(ALICE);
    assert_eq!(pair.newest(ALICE), &signed);
    assert_eq!(pair.channel(ALICE).secured(), [amount(2)]);
    pair.crash(ALICE);
    assert_eq!(pair.channel(ALICE).secured(), [amount(2)]);
    pair.connect();
    pair.drive();
}

#[test]
fn a_forgotten_final_proposal_ends_the_channel() {
    for is_answered in [true, false] {
        let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
        let copy = pair.copy_of(ALICE);
        pair.close(ALICE);
        pair.drive();
        if is_answered {
            let (now, reason) = (pair.now, Reason::new(RejectCode::Declined, ""));
            pair.channel_mut(BOB)
                .reject_update(now, version(1), &reason)
                .unwrap();
        }
        pair.roll_back(ALICE, copy);
        pair.connect();
        pair.drive();
        assert_eq!(rolled_back(&pair.take_events(ALICE)), [(0, 1)]);
        assert!(!pair.channel(ALICE).is_open());
        pair.wait(HOUR);
        pair.assert_paid_out([10, 10]);
    }
}

#[test]
fn a_crash_never_leaves_a_forgotten_final_proposal_half_known() {
    for steps in 1..20 {
        let mut pair = Pair::opened(&Plan::of([10, 10]).asking(BOB));
        let copy = pair.copy_of(ALICE);
        pair.close(ALICE);
        pair.drive();
        let proposed = pair.channel(ALICE).pending().unwrap().clone();
        pair.roll_back(ALICE, copy);
        pair.drive();
        pair.is_linked = true;
        let now = pair.now;
        pair.channel_mut(ALICE).handle_connected(now, MAX_BATCH);
        pair.carry_out_all(ALICE);
        let sync = Sync {
            witness: Some(pair.witness(proposed, ALICE)),
            ..pair.sync_of(BOB)
        };
        pair.receive(ALICE, Message::Sync(Box::new(sync)));
        let is_over = (0..steps).any(|_| !pair.carry_out(ALICE));
        pair.crash(ALICE);
        // Whoever knows of the leap knows of the end, too.
        let has_leapt = pair.channel(ALICE).highest_signed() > Some(version(LEAP));
        pair.look(ALICE);
        assert_eq!(pair.channel(ALICE).is_open(), !has_leapt, "step {steps}");
        if is_over {
            assert!(has_leapt);
            return;
        }
    }
    panic!("the outputs do not end");
}
