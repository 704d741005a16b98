//! What payment channels and canisters are known to break by, attacked class by class. What concerns
//! clients or devices is tested there.

mod rules;

use std::time::Duration;

use icrc_ledger_types::icrc1::account::Account;
use perun_canister_api::{
    Claim, ConcludeError, DepositError, DisputeError, DisputeRequest, LedgerRefusal, WithdrawError,
    convert,
};
use perun_protocol::encoding::{Canonical as _, Domain, digest};
use perun_protocol::{Signature, UnverifiedSignedState};
use rules::{ALICE, BOB, CHALLENGE_S, FEE, Strike, World, concluded, user};
use serde_bytes::ByteBuf;

const SECOND: Duration = Duration::from_secs(1);

/// Alice's receiver got her 100, once; Bob's 100 are still there.
fn assert_paid_once(world: &World, channel: &rules::TestChannel) {
    assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
    assert_eq!(world.funds(channel, 0), 100);
    let holdings = world.holdings(channel).unwrap();
    assert_eq!(
        (holdings.amounts, holdings.in_flight),
        (vec![vec![0, 100]], vec![0])
    );
    assert_eq!(world.info().journal, 0);
}

// Fake or wrong funding.

#[test]
fn money_that_is_not_there_funds_nothing() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(0), 1_000);
    world.strike(Strike::LoseCall);
    let lost = world.deposit(channel.by_approval(0, ALICE, 60));
    assert!(
        matches!(lost, Err(DepositError::Pending { .. })),
        "{lost:?}"
    );
    assert_eq!(world.holdings(&channel), None);
    world.advance(SECOND * 60);
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[60, 0]]);
    assert_eq!(world.funds(&channel, 0), 60);
}

#[test]
fn a_state_beyond_the_deposits_is_not_enforced() {
    let mut world = World::with_ledgers(2);
    let channel = world.channel_of(1, 2, 2);
    for (asset, part, amount) in [(0, ALICE, 60), (0, BOB, 40), (1, ALICE, 5)] {
        world.deposit_approved(&channel, asset, part, amount);
    }
    // The sums are there, but not in this asset, or not of this participant.
    for funding in [[60, 40, 5, 1], [60, 45, 0, 0], [40, 60, 5, 0]] {
        let refused = world.dispute(rules::dispute_with(&channel.signed(1, &funding, &funding)));
        assert!(
            matches!(refused, Err(DisputeError::InsufficientFunding { .. })),
            "{refused:?}"
        );
    }
}

// A dispute during downtime.

#[test]
fn a_standstill_gives_the_time_to_refute_back() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    world
        .dispute(channel.disputing(1, &[100, 0], &[60, 40]))
        .unwrap();
    world.advance(SECOND * 100);
    world.stall(SECOND * 2 * CHALLENGE_S);
    let early = world.conclude(channel.concluding_elapsed());
    assert!(
        matches!(early, Err(ConcludeError::ChallengeOpen { .. })),
        "{early:?}"
    );
    world
        .dispute(channel.disputing(2, &[0, 100], &[60, 40]))
        .unwrap();
}

#[test]
fn nothing_is_refuted_behind_the_window() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    world
        .dispute(channel.disputing(1, &[50, 50], &[60, 40]))
        .unwrap();
    world.advance(SECOND * CHALLENGE_S);
    let late = world.dispute(channel.disputing(2, &[0, 100], &[60, 40]));
    assert!(
        matches!(late, Err(DisputeError::ChallengeElapsed { .. })),
        "{late:?}"
    );
}

// Stalling: whoever is not answered sends it again.

#[test]
fn what_is_sent_again_gives_the_same_answer() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let last = channel.concluding(1, &[50, 50], &[60, 40]);
    let answer = world.conclude(last.clone()).unwrap();
    let events = world.info().events;
    for _ in 0..2 {
        assert_eq!(world.conclude(last.clone()), Ok(answer.clone()));
        assert_eq!(
            world.conclude(channel.concluding_elapsed()),
            Ok(answer.clone())
        );
    }
    assert_eq!(world.info().events, events);
}

// Duplicate payments.

#[test]
fn two_equal_deposits_at_one_time_are_two() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(0), 1_000);
    for holding in [60, 120] {
        let receipt = world.deposit(channel.by_approval(0, ALICE, 60)).unwrap();
        assert_eq!((receipt.credited, receipt.holding), (60, holding));
    }
    assert_eq!(world.funds(&channel, 0), 120);
}

#[test]
fn two_withdrawals_at_once_pay_once() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let request = channel.withdrawing(0, ALICE, user(10));
    let mut one = world.begin_withdraw(request.clone());
    assert!(one.step().is_none());
    assert_eq!(world.withdraw(request), Err(WithdrawError::Busy));
    one.finish().unwrap();
    assert_paid_once(&world, &channel);
}

// What was checked before an await is checked behind it.

#[test]
fn two_deposits_for_one_place_wait_for_each_other() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(0), 1_000);
    let request = channel.by_approval_once(0, ALICE, 60);
    let mut one = world.begin_deposit(user(0), request.clone());
    let mut other = world.begin_deposit(user(0), request);
    assert!(one.step().is_none(), "the allowance is asked for");
    assert!(other.step().is_none());
    assert!(one.step().is_none(), "the money is pulled");
    assert_eq!(other.finish(), Err(DepositError::Busy));
    one.finish().unwrap();
    assert_eq!(world.funds(&channel, 0), 60);
}

#[test]
fn no_money_is_pulled_into_a_dispute_that_began_meanwhile() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    world.approve(0, user(0), 1_000);
    let mut deposit = world.begin_deposit(user(0), channel.by_approval(0, ALICE, 50));
    assert!(deposit.step().is_none(), "the allowance is asked for");
    world
        .dispute(channel.disputing(1, &[50, 50], &[60, 40]))
        .unwrap();
    assert_eq!(deposit.finish(), Err(DepositError::AlreadyRegistered));
    assert_eq!(world.funds(&channel, 0), 100);
}

// A trap behind an await.

#[test]
fn a_trap_behind_any_await_locks_nothing() {
    for steps in 1..4 {
        let mut world = World::new();
        let channel = concluded(&mut world);
        let request = channel.withdrawing(0, ALICE, user(10));
        let mut trapped = world.begin_withdraw(request.clone());
        let ran = (0..steps).filter(|_| trapped.step().is_none()).count();
        drop(trapped);
        let again = world.withdraw(request);
        assert_ne!(again, Err(WithdrawError::Busy), "after {ran} steps");
        assert_paid_once(&world, &channel);
        if ran < steps {
            return;
        }
    }
    panic!("a withdrawal has fewer steps");
}

// Double, lost and stuck payouts.

#[test]
fn a_refusal_gives_the_money_back() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let request = channel.withdrawing(0, ALICE, user(10));
    world.strike(Strike::Refuse);
    let refused = world.withdraw(request.clone());
    assert!(
        matches!(
            refused,
            Err(WithdrawError::Refused(LedgerRefusal::NotDelivered { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[100, 100]]);
    world.withdraw(request).unwrap();
    assert_paid_once(&world, &channel);
}

#[test]
fn a_refusal_after_a_lost_answer_is_none() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let request = channel.withdrawing(0, ALICE, user(10));
    world.strike(Strike::LoseReply);
    world.withdraw(request.clone()).unwrap_err();
    // The ledger checks the fee first, and does not see that it made the transfer.
    world.change_fee(0, FEE + 5);
    let again = world.withdraw(request);
    assert_eq!(again, Err(WithdrawError::NothingToWithdraw));
    assert_paid_once(&world, &channel);
}

#[test]
fn what_never_happened_is_given_back_by_the_balance() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let request = channel.withdrawing(0, ALICE, user(10));
    world.strike(Strike::LoseCall);
    world.withdraw(request.clone()).unwrap_err();
    world.change_fee(0, FEE + 5);
    world.advance(SECOND * 60);
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[100, 100]]);
    assert_eq!(world.info().journal, 0);
    world.change_fee(0, FEE);
    world.withdraw(request).unwrap();
    assert_paid_once(&world, &channel);
}

// Reserve, dust, fees.

#[test]
fn a_share_below_the_fee_is_kept_until_it_is_not() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.change_fee(0, 100);
    let request = channel.withdrawing(0, ALICE, user(10));
    let kept = world.withdraw(request.clone());
    let error = WithdrawError::BelowFee {
        remainder: 100,
        fee: 100,
    };
    assert_eq!(kept, Err(error));
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[100, 100]]);
    world.change_fee(0, FEE);
    world.withdraw(request).unwrap();
    assert_paid_once(&world, &channel);
}

#[test]
fn a_sweep_credits_what_arrives() {
    let mut world = World::new();
    let channel = world.channel(1);
    let account = convert::account_to_candid(&channel.deposit_account(BOB));
    world.transfer(0, user(0), account, 60 + FEE);
    let receipt = world.deposit(channel.by_account(0, BOB)).unwrap();
    assert_eq!((receipt.credited, receipt.holding), (60, 60));
    assert_eq!(world.funds(&channel, 0), 60);
}

// Messages without authority.

#[test]
fn a_claim_needs_everybody() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let good = UnverifiedSignedState::from(channel.signed(1, &[100, 0], &[60, 40]));
    for part in [ALICE, BOB] {
        let mut forged = good.clone();
        forged.signatures[part] = forged.signatures[1 - part];
        let claim = Claim::State(ByteBuf::from(forged.encode()));
        let refused = world.dispute(DisputeRequest { claim });
        let part = part as u8;
        assert_eq!(refused, Err(DisputeError::WrongSignature { part }));
    }
    let mut fewer = good;
    fewer.signatures.pop();
    let claim = Claim::State(ByteBuf::from(fewer.encode()));
    let error = DisputeError::SignatureCount {
        expected: 2,
        found: 1,
    };
    assert_eq!(world.dispute(DisputeRequest { claim }), Err(error));
}

// Replay, and words that can be read in two ways.

#[test]
fn no_signature_is_good_for_other_words() {
    let domains = [
        Domain::Params,
        Domain::State,
        Domain::Withdrawal,
        Domain::Refund,
        Domain::FundsAccount,
        Domain::DepositAccount,
    ];
    for (position, one) in domains.iter().enumerate() {
        for other in &domains[..position] {
            assert_ne!(digest(*one, b"words"), digest(*other, b"words"));
        }
    }
    // A refund claim is signed for one channel.
    let mut world = World::new();
    let (one, other) = (world.funded(1, [60, 40]), world.funded(2, [60, 40]));
    let mut replayed = one.refund_claim(ALICE);
    if let Claim::Refund { channel, .. } = &mut replayed.claim {
        *channel = other.id_bytes();
    }
    let refused = world.dispute(replayed);
    assert_eq!(refused, Err(DisputeError::WrongSignature { part: 0 }));
}

#[test]
fn bytes_have_one_reading() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let good = channel.signed(1, &[100, 0], &[60, 40]).encode();
    let mut longer = good.clone();
    longer.push(0);
    let shorter = good[..good.len() - 1].to_vec();
    let mut other_flag = good;
    other_flag[40] = 2;
    for bytes in [longer, shorter, other_flag] {
        let claim = Claim::State(ByteBuf::from(bytes));
        let refused = world.dispute(DisputeRequest { claim });
        assert!(
            matches!(refused, Err(DisputeError::Malformed { .. })),
            "{refused:?}"
        );
    }
}

// Theft of a payout.

#[test]
fn nobody_redirects_a_payout() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let good = channel.withdrawing(0, ALICE, user(10));
    let mut thief = good.clone();
    thief.receiver = Account::from(user(66));
    let mut subaccount = good.clone();
    subaccount.receiver.subaccount = Some([1; 32]);
    let mut of_bob = good.clone();
    of_bob.part = BOB as u8;
    let mut zeros = good.clone();
    zeros.signature = ByteBuf::from(Signature::from_bytes([0; 64]).as_bytes().as_slice());
    for stolen in [thief, subaccount, of_bob, zeros] {
        assert_eq!(world.withdraw(stolen), Err(WithdrawError::WrongSignature));
    }
    // Whoever holds the authorisation may hand it in; it pays whom it names, once.
    world.withdraw(good.clone()).unwrap();
    assert_eq!(world.withdraw(good), Err(WithdrawError::NothingToWithdraw));
    assert_paid_once(&world, &channel);
}

// A watcher, or a peer, that floods.

#[test]
fn refuting_oneself_fills_little() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    world
        .dispute(channel.disputing(1, &[60, 40], &[60, 40]))
        .unwrap();
    let before = world.size();
    for version in 2..202 {
        world
            .dispute(channel.disputing(version, &[60, 40], &[60, 40]))
            .unwrap();
    }
    let [pages, channels, events, _] = world.size();
    assert_eq!((channels, events), (before[1], before[2] + 200));
    assert_eq!(pages, before[0], "200 events need no further 2 MiB");
}
