//! Faults of the canister that Go clients of Perun speak to, by their numbers in our survey (C1…C30).
//! Where `predecessor.rs` attacks the same fault, it stands there; `tests/seeded/README.md` has the
//! whole table.

mod rules;

use std::time::Duration;

use candid::Principal;
use icrc_ledger_types::icrc1::account::Account;
use perun_canister_api::{
    Claim, ConcludeError, DepositError, DepositRequest, DisputeError, DisputeRequest, ParamsError,
    Rank, WithdrawError, convert,
};
use perun_protocol::UnverifiedSignedState;
use perun_protocol::encoding::Canonical as _;
use rules::{ALICE, BOB, CHALLENGE_S, FEE, WEALTH, World, concluded, user};
use serde_bytes::ByteBuf;

const SECOND: Duration = Duration::from_secs(1);

/// Amounts were signed as their shortest bytes, one after the other: who signed `[257, 1]` had signed
/// `[1, 257]` too.
#[test]
fn c02_a_signature_is_on_these_amounts_only() {
    let mut world = World::new();
    let channel = world.funded(1, [257, 1]);
    let signed = channel.signed(1, &[257, 1], &[257, 1]);
    let swapped = channel.state(1, &[1, 257], &[257, 1]);
    assert_ne!(signed.state().digest(), swapped.digest());
    let moved = UnverifiedSignedState {
        state: swapped,
        signatures: signed.signatures().to_vec(),
    };
    let claim = Claim::State(ByteBuf::from(moved.encode()));
    let refused = world.dispute(DisputeRequest { claim });
    assert_eq!(refused, Err(DisputeError::WrongSignature { part: 0 }));
}

/// Zero was nothing for the client and one byte for the canister: no state in which somebody had
/// nothing could be enforced.
#[test]
fn c03_a_balance_of_zero_can_be_enforced() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    world
        .dispute(channel.disputing(1, &[0, 100], &[60, 40]))
        .unwrap();
    world.advance(SECOND * CHALLENGE_S);
    world
        .withdraw(channel.withdrawing(0, BOB, user(10)))
        .unwrap();
    assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
}

/// A withdrawal carried a time, which nobody had signed and the canister believed.
#[test]
fn c04_only_the_adjudicators_clock_ends_a_challenge() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let claim = channel.disputing(1, &[50, 50], &[60, 40]);
    let timeout_ns = world.dispute(claim).unwrap().timeout_ns;
    world.advance(SECOND * CHALLENGE_S - Duration::from_nanos(1));
    let early = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
    assert_eq!(early, Err(WithdrawError::ChallengeOpen { timeout_ns }));
    let early = world.conclude(channel.concluding_elapsed());
    assert_eq!(early, Err(ConcludeError::ChallengeOpen { timeout_ns }));
    assert_eq!(world.funds(&channel, 0), 100);
    world.advance(Duration::from_nanos(1));
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
}

/// What was deposited above the state's sum vanished at the registration.
#[test]
fn c05_more_than_agreed_is_not_lost() {
    let mut world = World::new();
    let channel = world.funded(1, [75, 40]);
    world
        .conclude(channel.concluding(1, &[10, 90], &[60, 40]))
        .unwrap();
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[25, 90]]);
}

/// Seconds times 10⁹ wrapped: a window was shorter than it said.
#[test]
fn c06_a_challenge_lasts_as_long_as_it_says() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let registered = world
        .dispute(channel.disputing(1, &[50, 50], &[60, 40]))
        .unwrap();
    let window_ns = u64::from(CHALLENGE_S) * 1_000_000_000;
    assert_eq!(registered.timeout_ns, world.now_ns() + window_ns);
}

/// Withdrawing nothing succeeded, as often as one liked, each time at the cost of a fee for
/// everybody.
#[test]
fn c07_nothing_is_not_paid_out() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let request = channel.withdrawing(0, ALICE, user(10));
    world.withdraw(request.clone()).unwrap();
    let (size, calls) = (world.size(), world.ledger_calls());
    for _ in 0..3 {
        let nothing = world.withdraw(request.clone());
        assert_eq!(nothing, Err(WithdrawError::NothingToWithdraw));
    }
    assert_eq!((world.size(), world.ledger_calls()), (size, calls));
    assert_eq!(world.funds(&channel, 0), 100);
}

/// Anybody could write events by `register_event`. Here only what happened is an event.
#[test]
fn c10_what_is_refused_is_no_event() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let claim = channel.disputing(2, &[50, 50], &[60, 40]);
    world.dispute(claim).unwrap();
    let (size, certified) = (world.size(), world.certified());
    let outdated = channel.disputing(1, &[50, 50], &[60, 40]);
    world.dispute(outdated).unwrap_err();
    let mut unsigned = channel.refund_claim(ALICE);
    if let Claim::Refund { signature, .. } = &mut unsigned.claim {
        signature[5] ^= 1;
    }
    world.dispute(unsigned).unwrap_err();
    world.conclude(channel.concluding_elapsed()).unwrap_err();
    let request = channel.withdrawing(0, ALICE, user(10));
    world.withdraw(request).unwrap_err();
    assert_eq!((world.size(), world.certified()), (size, certified));
}

/// Depositing nothing was an event, and a place in memory, for nothing.
#[test]
fn c11_a_deposit_of_nothing_leaves_nothing() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(0), FEE);
    let before = world.size();
    let refused = world.deposit(channel.by_approval(0, ALICE, 0));
    assert_eq!(refused, Err(DepositError::NothingToDeposit));
    let refused = world.deposit(channel.by_account(0, ALICE));
    let error = DepositError::BelowFee {
        balance: 0,
        fee: FEE,
    };
    assert_eq!(refused, Err(error));
    assert_eq!(world.size(), before);
    assert_eq!(world.holdings(&channel), None);
}

/// A channel without participants needed no signature: anybody could register states of it.
#[test]
fn c12_a_channel_is_between_two_at_least() {
    let mut world = World::new();
    let channel = world.channel(1);
    let whole = channel.params.encode();
    world.approve(0, user(0), 100 + FEE);
    for count in [0, 1] {
        let mut params = whole.clone();
        params[32] = count;
        params.drain(33..33 + 34 * (2 - usize::from(count)));
        let request = DepositRequest {
            params: ByteBuf::from(params),
            ..channel.by_approval(0, ALICE, 100)
        };
        let error = ParamsError::ParticipantCount {
            count: count.into(),
        };
        let refused = world.deposit(request);
        assert!(
            matches!(&refused, Err(DepositError::InvalidParams(found)) if *found == error)
                || matches!(refused, Err(DepositError::MalformedParams { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(world.size()[1..], [0, 0, 0]);
}

/// Every nonsense made the canister call the ledger, at its own cost.
#[test]
fn c15_nonsense_asks_no_ledger() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let unknown = world.channel(2);
    let calls = world.ledger_calls();
    let mut nobody = channel.by_account(0, ALICE);
    nobody.part = 2;
    world.deposit(nobody).unwrap_err();
    let mut no_params = channel.by_account(0, ALICE);
    no_params.params.truncate(50);
    world.deposit(no_params).unwrap_err();
    let early = channel.withdrawing(0, ALICE, user(10));
    assert_eq!(world.withdraw(early), Err(WithdrawError::NotRegistered));
    let nowhere = unknown.withdrawing(0, ALICE, user(10));
    assert_eq!(world.withdraw(nowhere), Err(WithdrawError::UnknownChannel));
    world
        .conclude(channel.concluding(1, &[60, 40], &[60, 40]))
        .unwrap();
    let mut redirected = channel.withdrawing(0, ALICE, user(10));
    redirected.receiver = Account::from(user(66));
    let refused = world.withdraw(redirected);
    assert_eq!(refused, Err(WithdrawError::WrongSignature));
    assert_eq!(world.ledger_calls(), calls);
}

/// Without a state that all had signed, a deposit was locked for ever.
#[test]
fn c18_who_was_left_alone_gets_the_deposit_back() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.deposit_approved(&channel, 0, ALICE, 60);
    let registered = world.dispute(channel.refund_claim(ALICE)).unwrap();
    assert_eq!(registered.rank, Rank::Refund);
    world.advance(SECOND * CHALLENGE_S);
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
    assert_eq!(world.balance(0, Account::from(user(10))), 60 - FEE);

    // It is no way out of what was agreed, though.
    let agreed = world.funded(2, [60, 40]);
    world.dispute(agreed.refund_claim(ALICE)).unwrap();
    world
        .dispute(agreed.disputing(1, &[0, 100], &[60, 40]))
        .unwrap();
    let again = world.dispute(agreed.refund_claim(ALICE));
    assert!(
        matches!(again, Err(DisputeError::Outdated { .. })),
        "{again:?}"
    );
}

/// A deposit after the registration was mixed with the payouts: lost by the next registration, or
/// somebody's unearned.
#[test]
fn c20_late_money_changes_no_dispute() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.deposit_approved(&channel, 0, ALICE, 60);
    world.deposit_approved(&channel, 0, BOB, 10);
    world
        .dispute(channel.disputing(0, &[60, 40], &[60, 40]))
        .unwrap();
    let account = convert::account_to_candid(&channel.deposit_account(BOB));
    world.transfer(0, user(1), account, 30 + FEE);
    world.deposit(channel.by_account(0, BOB)).unwrap();
    // With the late money the state would be covered; but who registered first has seen what there
    // was.
    let uncovered = world.dispute(channel.disputing(1, &[0, 100], &[60, 40]));
    let error = DisputeError::InsufficientFunding {
        asset: 0,
        part: 1,
        held: 10,
        needed: 40,
    };
    assert_eq!(uncovered, Err(error));
    world.advance(SECOND * CHALLENGE_S);
    world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[60, 40]]);
}

/// An underfunded first state paid whatever was there to whomever.
#[test]
fn c21_an_underfunded_first_state_gives_to_each_its_own() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.deposit_approved(&channel, 0, ALICE, 60);
    world
        .dispute(channel.disputing(0, &[10, 90], &[60, 40]))
        .unwrap();
    world.advance(SECOND * CHALLENGE_S);
    world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[60, 0]]);
}

/// Every refutation began the window anew: a dispute could be drawn out for ever.
#[test]
fn c23_a_refutation_does_not_prolong_a_dispute() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let first = channel.disputing(1, &[50, 50], &[60, 40]);
    let timeout_ns = world.dispute(first).unwrap().timeout_ns;
    for version in 2..6 {
        world.advance(SECOND * 100);
        let newer = channel.disputing(version, &[50, 50], &[60, 40]);
        assert_eq!(world.dispute(newer).unwrap().timeout_ns, timeout_ns);
    }
}

/// Nothing that was signed said for which canister: it was good at any other.
#[test]
fn c24_what_is_signed_for_one_adjudicator_is_nothing_to_another() {
    let mut here = World::new();
    let elsewhere = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 77, 1, 1]);
    let mut there = World::with_ids(elsewhere, here.ledgers.clone());
    // The same keys, nonce, ledger: the same channel but for the adjudicator.
    let [one, other] = [&mut here, &mut there].map(|world| world.funded(1, [60, 40]));
    assert_ne!(one.id(), other.id());
    let replayed = there.dispute(one.disputing(1, &[0, 100], &[60, 40]));
    assert_eq!(replayed, Err(DisputeError::UnknownChannel));
    there
        .conclude(other.concluding(1, &[60, 40], &[60, 40]))
        .unwrap();
    let mut payout = one.withdrawing(0, ALICE, user(10));
    payout.channel = other.id_bytes();
    assert_eq!(there.withdraw(payout), Err(WithdrawError::WrongSignature));
    // A deposit for the channel there finds no place here.
    let stray = here.deposit(other.by_account(0, ALICE));
    let error = ParamsError::WrongAdjudicator;
    assert_eq!(stray, Err(DepositError::InvalidParams(error)));
}

/// An amount above 64 bits panicked when it was paid, and stayed locked.
#[test]
fn c25_large_amounts_leave_again() {
    const LARGE: u128 = 1 << 100;
    let mut world = World::new();
    let rich = convert::account(&Account::from(user(0))).unwrap();
    world.ledger(0, |ledger| ledger.give(None, &rich, LARGE));
    let channel = world.funded(1, [LARGE, 40]);
    world
        .conclude(channel.concluding(1, &[LARGE, 40], &[LARGE, 40]))
        .unwrap();
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
    assert_eq!(world.balance(0, Account::from(user(10))), LARGE - FEE);
    // And what no 128 bits can hold is refused, not wrapped.
    let full = world.channel(2);
    let tokens = u128::MAX - WEALTH - LARGE;
    world.ledger(0, |ledger| ledger.give(None, &rich, tokens));
    world.deposit_approved(&full, 0, ALICE, tokens);
    world.approve(0, user(1), u128::MAX);
    let overflow = full.by_approval(0, BOB, u128::MAX);
    let refused = world.begin_deposit(user(1), overflow).finish();
    assert_eq!(refused, Err(DepositError::AmountOverflow));
}

/// A final state of an older version overrode a dispute about a newer one.
#[test]
fn c30_an_older_final_state_ends_nothing() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    world
        .dispute(channel.disputing(5, &[0, 100], &[60, 40]))
        .unwrap();
    let older = world.conclude(channel.concluding(3, &[100, 0], &[60, 40]));
    let error = DisputeError::Outdated {
        registered: Rank::State(5),
        submitted: Rank::State(3),
    };
    assert_eq!(older, Err(ConcludeError::Refused(error)));
    world.advance(SECOND * CHALLENGE_S);
    world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[0, 100]]);
}
