//! Disputes: old states are refuted, windows count only time in which the canister ran.

use std::time::Duration;

use crate::world::{ALICE, BOB, CHALLENGE_S, FEE, TestChannel, World, dispute_with, user};
use icrc_ledger_types::icrc1::account::Account;
use perun_canister_api::{ConcludeError, DisputeError, Phase, Rank, Registered, WithdrawError};

const WINDOW: Duration = Duration::from_secs(CHALLENGE_S as u64);
const SECOND: Duration = Duration::from_secs(1);

/// A channel with 100 of each, for which version 0 has just been registered.
fn disputed() -> (World, TestChannel, Registered) {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let registered = world
        .dispute(channel.disputing(0, &[100, 100], &[100, 100]))
        .unwrap();
    (world, channel, registered)
}

#[test]
fn an_old_state_is_refuted() {
    let (mut world, channel, old) = disputed();
    world.advance(WINDOW / 2);
    let newest = world
        .dispute(channel.disputing(9, &[30, 170], &[100, 100]))
        .unwrap();
    assert_eq!(newest.rank, Rank::State(9));
    assert_eq!(
        newest.timeout_ns, old.timeout_ns,
        "a refutation does not prolong"
    );
    world.advance(WINDOW / 2 + SECOND);
    world
        .withdraw(channel.withdrawing(0, BOB, user(11)))
        .unwrap();
    assert_eq!(world.balance(0, Account::from(user(11))), 170 - FEE);
}

#[test]
fn nothing_is_paid_while_a_claim_can_be_refuted() {
    let (mut world, channel, registered) = disputed();
    let timeout_ns = registered.timeout_ns;
    world.advance(WINDOW - SECOND);
    let early = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
    assert_eq!(early, Err(WithdrawError::ChallengeOpen { timeout_ns }));
    let early = world.conclude(channel.concluding_elapsed());
    assert_eq!(early, Err(ConcludeError::ChallengeOpen { timeout_ns }));
    world.advance(2 * SECOND);
    assert!(world.conclude(channel.concluding_elapsed()).is_ok());
}

#[test]
fn the_time_to_refute_ends() {
    let (mut world, channel, registered) = disputed();
    world.advance(WINDOW + SECOND);
    let late = channel.disputing(9, &[30, 170], &[100, 100]);
    let at_ns = registered.timeout_ns;
    let elapsed = Err(DisputeError::ChallengeElapsed { at_ns });
    assert_eq!(world.dispute(late.clone()), elapsed);
    world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(world.dispute(late), elapsed, "concluded or not");
    let late_final = channel.concluding(10, &[0, 200], &[100, 100]);
    let refused = world.conclude(late_final);
    assert_eq!(
        refused,
        Err(ConcludeError::Refused(DisputeError::ChallengeElapsed {
            at_ns
        }))
    );
}

#[test]
fn a_claim_that_is_not_newer_is_refused() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .dispute(channel.disputing(5, &[90, 110], &[100, 100]))
        .unwrap();
    for version in [0, 4, 5] {
        let refused = world.dispute(channel.disputing(version, &[100, 100], &[100, 100]));
        assert_eq!(
            refused,
            Err(DisputeError::Outdated {
                registered: Rank::State(5),
                submitted: Rank::State(version),
            })
        );
    }
    let refused = world.dispute(channel.refund_claim(ALICE));
    let (registered, submitted) = (Rank::State(5), Rank::Refund);
    assert_eq!(
        refused,
        Err(DisputeError::Outdated {
            registered,
            submitted
        })
    );
    // Nor does an older final state override an open dispute.
    let refused = world.conclude(channel.concluding(4, &[200, 0], &[100, 100]));
    let (registered, submitted) = (Rank::State(5), Rank::State(4));
    let outdated = DisputeError::Outdated {
        registered,
        submitted,
    };
    assert_eq!(refused, Err(ConcludeError::Refused(outdated)));
}

#[test]
fn any_signed_state_refutes_a_refund_claim() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world.dispute(channel.refund_claim(BOB)).unwrap();
    world
        .dispute(channel.disputing(0, &[60, 140], &[100, 100]))
        .unwrap();
    world.advance(WINDOW + SECOND);
    let conclusion = world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(conclusion.remainders, [[60, 140]]);
}

#[test]
fn the_first_registration_freezes_the_deposits() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .dispute(channel.disputing(3, &[90, 110], &[100, 100]))
        .unwrap();
    let account = perun_canister_api::convert::account_to_candid(&channel.deposit_account(BOB));
    world.transfer(0, user(3), account, 50 + FEE);
    world.deposit(channel.by_account(0, BOB)).unwrap();
    // A top-up that came too late cannot be played for.
    let topped_up = channel.disputing(4, &[240, 10], &[100, 150]);
    assert_eq!(
        world.dispute(topped_up),
        Err(DisputeError::InsufficientFunding {
            asset: 0,
            part: 1,
            held: 100,
            needed: 150
        })
    );
    world.advance(WINDOW + SECOND);
    let conclusion = world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(conclusion.remainders, [[90, 110 + 50]]);
}

#[test]
fn a_final_state_concludes_at_once_also_by_dispute() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let last = channel.sign(&channel.state(3, &[0, 200], &[100, 100]).finalized());
    let registered = world.dispute(dispute_with(&last)).unwrap();
    assert!(registered.concluded);
    // Concluding again by the same state changes nothing.
    let conclusion = world.conclude(channel.concluding_with(&last)).unwrap();
    assert_eq!(conclusion.remainders, [[0, 200]]);
    assert_eq!(world.holdings(&channel).unwrap().phase, Phase::Concluded);
}

#[test]
fn a_gap_in_which_nothing_ran_does_not_count() {
    let (mut world, channel, registered) = disputed();
    world.advance(WINDOW / 2);
    world.stall(10 * WINDOW);
    // Mallory is first after the gap, and still too early.
    let early = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
    let Err(WithdrawError::ChallengeOpen { timeout_ns }) = early else {
        panic!("{early:?}");
    };
    let moved = Duration::from_nanos(timeout_ns - registered.timeout_ns);
    assert!(
        moved >= 10 * WINDOW && moved < 10 * WINDOW + 10 * SECOND,
        "moved by {moved:?}"
    );
    world
        .dispute(channel.disputing(1, &[30, 170], &[100, 100]))
        .unwrap();
    world.advance(WINDOW / 2 + 60 * SECOND);
    let conclusion = world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(conclusion.remainders, [[30, 170]]);
}

#[test]
fn the_end_of_a_window_is_told_with_its_gaps() {
    let (mut world, channel, registered) = disputed();
    world.advance(WINDOW / 2);
    world.stall(2 * WINDOW);
    // Whatever comes first tells the adjudicator that there was a gap.
    let early = world.conclude(channel.concluding_elapsed());
    let Err(ConcludeError::ChallengeOpen { timeout_ns }) = early else {
        panic!("{early:?}");
    };
    assert!(timeout_ns > registered.timeout_ns);
    assert_eq!(world.registered(&channel).unwrap().timeout_ns, timeout_ns);
    world.advance(WINDOW);
    let late = channel.disputing(1, &[30, 170], &[100, 100]);
    let elapsed = Err(DisputeError::ChallengeElapsed { at_ns: timeout_ns });
    assert_eq!(world.dispute(late.clone()), elapsed);
    world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(world.dispute(late), elapsed, "concluded or not");
}

#[test]
fn an_upgrade_in_mid_dispute_loses_nothing() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .dispute(channel.disputing(2, &[90, 110], &[100, 100]))
        .unwrap();
    let before = (
        world.registered(&channel),
        world.events(&channel),
        world.holdings(&channel),
    );
    world.upgrade(None);
    let after = (
        world.registered(&channel),
        world.events(&channel),
        world.holdings(&channel),
    );
    assert_eq!(before, after);
    // It still ticks: a gap after the upgrade counts too.
    world.advance(WINDOW / 2);
    world.stall(2 * WINDOW);
    let early = world.conclude(channel.concluding_elapsed());
    assert!(
        matches!(early, Err(ConcludeError::ChallengeOpen { .. })),
        "{early:?}"
    );
    world
        .dispute(channel.disputing(3, &[80, 120], &[100, 100]))
        .unwrap();
    world.advance(WINDOW);
    let conclusion = world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(conclusion.remainders, [[80, 120]]);
}

#[test]
fn time_alone_pays_nobody_without_a_claim() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world.advance(WINDOW);
    let refused = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
    assert_eq!(refused, Err(WithdrawError::NotRegistered));
    assert_eq!(
        world.conclude(channel.concluding_elapsed()),
        Err(ConcludeError::NotRegistered)
    );
}
