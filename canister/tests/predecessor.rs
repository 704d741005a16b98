//! The twelve faults of the predecessor (`perun-icp-canister`), each attacked by a test of its name.
//! What a copy of the fault does to its test is in `tests/seeded`.

mod rules;

use std::time::Duration;

use candid::Principal;
use icrc_ledger_types::icrc1::account::Account;
use perun_canister_api::{
    DepositError, DepositRequest, Event, ParamsError, WithdrawError, convert,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{ChallengeDuration, Signature, SignedStateError, UnverifiedSignedState};
use rules::{ALICE, BOB, CHALLENGE_S, FEE, Strike, WEALTH, World, concluded, user};
use serde_bytes::ByteBuf;

/// Fault 1: A participant named n times counted the same deposit n times, and was paid it n times, out of
/// other people's money.
#[test]
fn f01_nobody_is_two_participants() {
    let mut world = World::new();
    let channel = world.channel(1);
    let mut params = channel.params.encode();
    // Alice's key in both places; nonce and count come before.
    params.copy_within(34..67, 68);
    let twice = DepositRequest {
        params: ByteBuf::from(params),
        ..channel.by_approval(0, ALICE, 100)
    };
    world.approve(0, user(0), 100 + FEE);
    let error = ParamsError::DuplicateParticipant { index: 1 };
    assert_eq!(
        world.deposit(twice),
        Err(DepositError::InvalidParams(error))
    );
}

// 2. `deposit_mocked` and `withdraw_mocked` were methods of the shipped canister. See
// `interface.rs`, and `the_code_keeps_the_promised_interface` in `main.rs`.

/// Fault 3: A payout sent the full amount and let the ledger's fee come out of everybody's account: it was
/// short by one fee for each payout, and the last could not leave.
#[test]
fn f03_the_last_one_can_leave_too() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    for (part, receiver) in [(ALICE, user(10)), (BOB, user(11))] {
        let receipt = world.withdraw(channel.withdrawing(0, part, receiver));
        assert_eq!(receipt.map(|receipt| receipt.paid), Ok(100 - FEE));
        assert_eq!(world.balance(0, Account::from(receiver)), 100 - FEE);
    }
    assert_eq!(world.funds(&channel, 0), 0);
}

/// Fault 4: The state was locked for writing while a ledger was asked: nearly every method trapped until
/// the ledger answered.
#[test]
fn f04_nobody_waits_for_somebody_elses_ledger_call() {
    let mut world = World::new();
    let slow = concluded(&mut world);
    let other = world.funded(2, [50, 50]);
    let mut waiting = world.begin_withdraw(slow.withdrawing(0, ALICE, user(10)));
    assert!(waiting.step().is_none(), "the ledger is asked");
    // Questions, deposits, claims and payouts of another channel.
    assert_eq!(world.holdings(&other).unwrap().amounts, [[50, 50]]);
    world.deposit_approved(&other, 0, ALICE, 5);
    world
        .dispute(other.disputing(1, &[40, 60], &[50, 50]))
        .unwrap();
    world
        .conclude(other.concluding(2, &[30, 70], &[50, 50]))
        .unwrap();
    world.withdraw(other.withdrawing(0, BOB, user(11))).unwrap();
    // The same channel can be read, and says that it is busy.
    assert_eq!(world.holdings(&slow).unwrap().in_flight, [100]);
    let busy = world.withdraw(slow.withdrawing(0, BOB, user(12)));
    assert_eq!(busy, Err(WithdrawError::Busy));
    waiting.finish().unwrap();
    world.withdraw(slow.withdrawing(0, BOB, user(12))).unwrap();
}

/// Fault 5: Everything was on the heap, so an upgrade erased all channels and what was deposited.
#[test]
fn f05_an_upgrade_forgets_nothing() {
    let mut world = World::new();
    let paid_out = concluded(&mut world);
    let disputed = world.funded(2, [60, 40]);
    let claim = disputed.disputing(3, &[10, 90], &[60, 40]);
    let registered = world.dispute(claim).unwrap();
    // A payout whose answer never came.
    world.strike(Strike::LoseReply);
    let lost = world.withdraw(paid_out.withdrawing(0, ALICE, user(10)));
    assert!(
        matches!(lost, Err(WithdrawError::Pending { .. })),
        "{lost:?}"
    );
    let (certified, size) = (world.certified(), world.size());

    world.upgrade(None);

    assert_eq!((world.certified(), world.size()), (certified, size));
    assert_eq!(world.registered(&disputed), Some(registered));
    assert_eq!(world.holdings(&disputed).unwrap().amounts, [[60, 40]]);
    assert_eq!(world.holdings(&paid_out).unwrap().in_flight, [100]);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.info().journal, 0, "the timer goes on with the payout");
    assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
}

/// Fault 6: A transfer had no `created_at_time`, and any error gave the balance back: one lost answer, and
/// it was paid twice.
#[test]
fn f06_a_lost_answer_pays_nobody_twice() {
    for strike in [Strike::LoseReply, Strike::LoseCall] {
        let mut world = World::new();
        let channel = concluded(&mut world);
        world.strike(strike);
        let request = channel.withdrawing(0, ALICE, user(10));
        let lost = world.withdraw(request.clone());
        assert!(
            matches!(lost, Err(WithdrawError::Pending { .. })),
            "{lost:?}"
        );
        assert_eq!(world.holdings(&channel).unwrap().amounts, [[0, 100]]);
        world.advance(Duration::from_secs(1));
        // By then the first attempt is found out about, and there is nothing left to pay.
        let again = world.withdraw(request);
        assert_eq!(again, Err(WithdrawError::NothingToWithdraw), "{strike:?}");
        assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
        assert_eq!(world.funds(&channel, 0), 100);
    }
}

/// Fault 7: A deposit was found by 64 bits of a hash, and every block number anybody named was kept for
/// ever.
#[test]
fn f07_a_deposit_has_a_place_of_256_bits() {
    let mut world = World::new();
    let channel = world.channel(1);
    // Of deposits, and of funds: in every byte some differ.
    let mut places = [Vec::new(), Vec::new()];
    for nonce in 0..8 {
        let other = world.channel(nonce);
        places[0].extend([ALICE, BOB].map(|part| other.deposit_account(part).subaccount));
        places[1].push(other.funds_account().subaccount);
    }
    for places in places {
        for byte in 0..32 {
            let first = places[0][byte];
            assert!(places.iter().any(|place| place[byte] != first), "{byte}");
        }
    }
    // What is asked for in vain is not remembered.
    let before = world.size();
    let swept = world.deposit(channel.by_account(0, ALICE));
    let error = DepositError::BelowFee {
        balance: 0,
        fee: FEE,
    };
    assert_eq!(swept, Err(error));
    assert_eq!(world.size(), before);
}

/// Fault 8: One ledger was asked for deposits and another one paid, both with ids in the code.
#[test]
fn f08_an_asset_is_one_ledger() {
    let mut world = World::with_ledgers(2);
    let channel = world.channel_of(1, 2, 2);
    let ledgers = world.info().ledgers;
    let served: Vec<_> = ledgers.iter().map(|info| info.ledger).collect();
    assert_eq!(served, world.ledgers);
    let account = convert::account_to_candid(&channel.deposit_account(ALICE));
    world.transfer(1, user(0), account, 70 + FEE);
    assert_eq!(
        world.deposit(channel.by_account(1, ALICE)).unwrap().holding,
        70
    );
    world.deposit_approved(&channel, 1, BOB, 30);
    let untouched = Account::from(user(0));
    assert_eq!(world.balance(0, untouched), WEALTH);
    world
        .conclude(channel.concluding_with(&channel.signed_final(
            1,
            &[0, 0, 20, 80],
            &[0, 0, 70, 30],
        )))
        .unwrap();
    world
        .withdraw(channel.withdrawing(1, BOB, user(10)))
        .unwrap();
    assert_eq!(world.balance(1, Account::from(user(10))), 80 - FEE);
    assert_eq!(world.balance(0, Account::from(user(10))), 0);
}

/// Fault 9: Only deposits were events; for the rest, clients searched a text log.
#[test]
fn f09_everything_that_happens_is_an_event() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let first = channel.disputing(1, &[50, 50], &[60, 40]);
    world.dispute(first).unwrap();
    world
        .dispute(channel.disputing(2, &[30, 70], &[60, 40]))
        .unwrap();
    world.advance(Duration::from_secs(CHALLENGE_S.into()));
    world.conclude(channel.concluding_elapsed()).unwrap();
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
    let events = world.events(&channel);
    let kinds: Vec<_> = events
        .iter()
        .map(|record| match &record.event {
            Event::Deposited { .. } => "deposited",
            Event::Registered { .. } => "registered",
            Event::Refuted { .. } => "refuted",
            Event::Concluded { .. } => "concluded",
            Event::Withdrawn { .. } => "withdrawn",
        })
        .collect();
    let expected = [
        "deposited",
        "deposited",
        "registered",
        "refuted",
        "concluded",
        "withdrawn",
    ];
    assert_eq!(kinds, expected);
}

/// Fault 10: What a query said of a channel was one node's word: it could hide a dispute.
#[test]
fn f10_one_node_cannot_hide_a_dispute() {
    let mut world = World::new();
    let disputed = world.funded(1, [60, 40]);
    let quiet = world.funded(2, [60, 40]);
    let proven = |world: &World| {
        let of = |id| world.read(|adjudicator, _| adjudicator.registration_witness(id));
        let witnesses = [of(disputed.id()), of(quiet.id())];
        for witness in &witnesses {
            assert_eq!(witness.digest(), world.certified());
        }
        let [one, other] = [(&witnesses[0], &disputed), (&witnesses[1], &quiet)]
            .map(|(witness, channel)| rules::is_registered_by(witness, channel));
        (one, other)
    };
    assert_eq!(proven(&world), (false, false));
    let claim = disputed.disputing(1, &[50, 50], &[60, 40]);
    world.dispute(claim).unwrap();
    assert_eq!(proven(&world), (true, false));
    let before = world.certified();
    world
        .dispute(disputed.disputing(2, &[40, 60], &[60, 40]))
        .unwrap();
    assert_ne!(world.certified(), before, "a refutation is certified too");
    world
        .conclude(disputed.concluding(3, &[40, 60], &[60, 40]))
        .unwrap();
    assert_eq!(proven(&world), (false, false));
}

/// Fault 11: `now + challenge_duration` wrapped: the longest challenge was over at once.
#[test]
fn f11_a_long_challenge_is_not_a_short_one() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(0), 100 + FEE);
    // What 18 446 744 074 s are, in nanoseconds and 64 bits: 0.29 s. The field has 32 bits here.
    for given_s in [86_401, ChallengeDuration::MAX.secs(), u32::MAX] {
        let duration = CHALLENGE_S.to_be_bytes();
        let mut params = channel.params.encode();
        let place = params.windows(4).position(|bytes| bytes == duration);
        let place = place.unwrap();
        params[place..place + 4].copy_from_slice(&given_s.to_be_bytes());
        let request = DepositRequest {
            params: ByteBuf::from(params),
            ..channel.by_approval(0, ALICE, 100)
        };
        let refused = world.deposit(request).unwrap_err();
        match refused {
            DepositError::InvalidParams(ParamsError::ChallengeDuration { max_s, .. }) => {
                assert_eq!(max_s, 86_400);
            }
            DepositError::MalformedParams { .. } => assert_eq!(given_s, u32::MAX),
            other => panic!("{other:?}"),
        }
    }
    // And the longest that there can be, at the end of time.
    let late = perun_protocol::Timestamp::from_nanos(u64::MAX - 1);
    let window = ChallengeDuration::MAX.nanos();
    assert!(late.saturating_add_nanos(window) > late);
}

/// Fault 12: The signature library accepted more than one signature for the same words, so a state could be
/// good for one reader and bad for another.
#[test]
fn f12_a_signature_has_one_form() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let signed = channel.signed(1, &[50, 50], &[60, 40]);
    let good = signed.signatures()[ALICE];
    // r and n - s are a signature of the same words, for whoever does not look.
    let mut high = *good.as_bytes();
    let negated = rules::negated(&high[32..]);
    high[32..].copy_from_slice(&negated);
    let mut other = UnverifiedSignedState::from(signed);
    other.signatures[ALICE] = Signature::from_bytes(high);
    let part = perun_protocol::PartIdx::new(0);
    assert_eq!(
        other.clone().verify(&channel.params),
        Err(SignedStateError::WrongSignature { part })
    );
    let claim = perun_canister_api::Claim::State(ByteBuf::from(other.encode()));
    let refused = world.dispute(perun_canister_api::DisputeRequest { claim });
    let error = perun_canister_api::DisputeError::WrongSignature { part: 0 };
    assert_eq!(refused, Err(error));
    // The same for a payout.
    world
        .conclude(channel.concluding(2, &[50, 50], &[60, 40]))
        .unwrap();
    let mut request = channel.withdrawing(0, ALICE, user(10));
    let negated = rules::negated(&request.signature[32..]);
    request.signature[32..].copy_from_slice(&negated);
    assert_eq!(world.withdraw(request), Err(WithdrawError::WrongSignature));
}

/// And the first of all rules: whoever calls is nobody in particular. An anonymous caller has no
/// account to pull from.
#[test]
fn f00_nobody_pays_for_the_anonymous() {
    let world = World::new();
    let channel = world.channel(1);
    let request = channel.by_approval(0, ALICE, 100);
    let refused = world
        .begin_deposit(Principal::anonymous(), request)
        .finish();
    assert_eq!(refused, Err(DepositError::AnonymousCaller));
}
