//! Channels that end well: money in by both doors, a state, money out.

use crate::world::{ALICE, BOB, FEE, WEALTH, World, user};
use candid::Principal;
use icrc_ledger_types::icrc1::account::Account;
use perun_canister_api::{DepositAccountRequest, Event, Phase, Rank, convert};

#[test]
fn alice_and_bob_deposit_pay_conclude_and_are_paid() {
    let mut world = World::new();
    let channel = world.funded(1, [242, 194]);
    let holdings = world.holdings(&channel).unwrap();
    assert_eq!(holdings.phase, Phase::Open);
    assert_eq!(holdings.amounts, [[242, 194]]);
    assert_eq!(world.funds(&channel, 0), 436);

    let conclusion = world.conclude(channel.concluding(7, &[200, 236], &[242, 194]));
    assert_eq!(conclusion.unwrap().remainders, [[200, 236]]);

    for (part, share, receiver) in [(ALICE, 200, user(10)), (BOB, 236, user(11))] {
        let receipt = world
            .withdraw(channel.withdrawing(0, part, receiver))
            .unwrap();
        assert_eq!((receipt.paid, receipt.fee), (share - FEE, FEE));
        assert_eq!(world.balance(0, Account::from(receiver)), share - FEE);
    }
    let holdings = world.holdings(&channel).unwrap();
    assert_eq!(holdings.phase, Phase::Concluded);
    assert_eq!(holdings.amounts, [[0, 0]]);
    assert_eq!(world.funds(&channel, 0), 0);
}

#[test]
fn the_log_tells_all_of_it() {
    let mut world = World::new();
    let channel = world.funded(1, [20, 30]);
    world
        .dispute(channel.disputing(3, &[25, 25], &[20, 30]))
        .unwrap();
    world
        .conclude(channel.concluding(4, &[15, 35], &[20, 30]))
        .unwrap();
    world
        .withdraw(channel.withdrawing(0, BOB, user(11)))
        .unwrap();
    let events = world.events(&channel);
    let kinds: Vec<_> = events.iter().map(|record| kind(&record.event)).collect();
    let expected = [
        "Deposited",
        "Deposited",
        "Registered",
        "Refuted",
        "Concluded",
        "Withdrawn",
    ];
    assert_eq!(kinds, expected);
    let indices: Vec<_> = events.iter().map(|record| record.index).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5]);
    let Event::Refuted { rank, digest, .. } = &events[3].event else {
        panic!("{:?}", events[3]);
    };
    assert_eq!(*rank, Rank::State(4));
    let last = channel.state(4, &[15, 35], &[20, 30]).finalized();
    assert_eq!(digest.as_ref().unwrap().as_slice(), last.digest());
    let Event::Withdrawn {
        paid, fee, block, ..
    } = events[5].event
    else {
        panic!("{:?}", events[5]);
    };
    assert_eq!((paid, fee), (35 - FEE, FEE));
    assert!(block.is_some());
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Deposited { .. } => "Deposited",
        Event::Registered { .. } => "Registered",
        Event::Refuted { .. } => "Refuted",
        Event::Concluded { .. } => "Concluded",
        Event::Withdrawn { .. } => "Withdrawn",
    }
}

#[test]
fn any_wallet_can_pay_into_the_deposit_account() {
    let mut world = World::new();
    let channel = world.channel(1);
    let request = DepositAccountRequest {
        channel: channel.id_bytes(),
        part: BOB as u8,
        asset: channel.asset(0),
        share: 500,
    };
    let told = world.deposit_account(request).unwrap();
    assert_eq!(
        told.account,
        convert::account_to_candid(&channel.deposit_account(BOB))
    );
    assert_eq!((told.amount, told.fee), (500 + FEE, FEE));

    world.transfer(0, user(3), told.account, told.amount);
    // Nobody needs to be anybody to sweep.
    let swept = world.deposit_as(Principal::anonymous(), channel.by_account(0, BOB));
    let receipt = swept.unwrap();
    assert_eq!((receipt.credited, receipt.holding), (500, 500));
    assert_eq!(world.balance(0, told.account), 0);
    assert_eq!(world.funds(&channel, 0), 500);
}

#[test]
fn two_assets_are_kept_apart() {
    let mut world = World::with_ledgers(2);
    let channel = world.channel_of(1, 2, 2);
    for (asset, part, amount) in [(0, ALICE, 100), (0, BOB, 50), (1, ALICE, 70), (1, BOB, 60)] {
        world.deposit_approved(&channel, asset, part, amount);
    }
    let funding = [100, 50, 70, 60];
    world
        .conclude(channel.concluding(1, &[150, 0, 0, 130], &funding))
        .unwrap();
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
    world
        .withdraw(channel.withdrawing(1, BOB, user(11)))
        .unwrap();
    assert_eq!(world.balance(0, Account::from(user(10))), 150 - FEE);
    assert_eq!(world.balance(1, Account::from(user(10))), 0);
    assert_eq!(world.balance(1, Account::from(user(11))), 130 - FEE);
    assert_eq!((world.funds(&channel, 0), world.funds(&channel, 1)), (0, 0));
}

#[test]
fn three_participants_share() {
    let mut world = World::new();
    let channel = world.channel_of(1, 3, 1);
    for (part, amount) in [100, 200, 300].into_iter().enumerate() {
        world.deposit_approved(&channel, 0, part, amount);
    }
    let funding = [100, 200, 300];
    world
        .conclude(channel.concluding(9, &[300, 200, 100], &funding))
        .unwrap();
    for (part, share) in [300, 200, 100].into_iter().enumerate() {
        let receiver = user(10 + part as u8);
        world
            .withdraw(channel.withdrawing(0, part, receiver))
            .unwrap();
        assert_eq!(world.balance(0, Account::from(receiver)), share - FEE);
    }
}

#[test]
fn sixteen_participants_and_eight_assets_fit() {
    let mut world = World::with_ledgers(8);
    let channel = world.channel_of(1, 16, 8);
    let amounts: Vec<u128> = (0..128).map(|place| 50 + place).collect();
    for asset in 0..8 {
        for part in 0..16 {
            world.deposit_approved(&channel, asset, part, amounts[asset * 16 + part]);
        }
    }
    let conclusion = world
        .conclude(channel.concluding(1, &amounts, &amounts))
        .unwrap();
    assert_eq!(conclusion.remainders.concat(), amounts);
}

#[test]
fn what_exceeds_the_funding_goes_back_to_whom_it_came_for() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world.deposit_approved(&channel, 0, BOB, 33);
    let conclusion = world.conclude(channel.concluding(5, &[150, 50], &[100, 100]));
    assert_eq!(conclusion.unwrap().remainders, [[150, 50 + 33]]);
}

#[test]
fn an_underfunded_version_0_gives_deposits_back() {
    let mut world = World::with_ledgers(2);
    let channel = world.channel_of(1, 2, 2);
    world.deposit_approved(&channel, 0, ALICE, 100);
    world.deposit_approved(&channel, 1, BOB, 7);
    // Version 0 would give half of Alice's money to Bob, had he paid in all that he should.
    let version_0 = channel.disputing(0, &[50, 50, 10, 10], &[100, 0, 10, 10]);
    world.dispute(version_0).unwrap();
    world.advance(std::time::Duration::from_secs(601));
    let conclusion = world.conclude(channel.concluding_elapsed()).unwrap();
    assert_eq!(conclusion.remainders, [[100, 0], [0, 7]]);
}

#[test]
fn a_participant_alone_gets_the_deposit_back() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.deposit_approved(&channel, 0, ALICE, 100);
    // Bob vanished before he signed anything.
    let registered = world.dispute(channel.refund_claim(ALICE)).unwrap();
    assert_eq!(registered.rank, Rank::Refund);
    world.advance(std::time::Duration::from_secs(601));
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
    assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
}

#[test]
fn money_that_comes_late_is_its_participants_surplus() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .dispute(channel.disputing(1, &[120, 80], &[100, 100]))
        .unwrap();
    let account = convert::account_to_candid(&channel.deposit_account(BOB));
    world.transfer(0, user(3), account, 40 + FEE);
    world.deposit(channel.by_account(0, BOB)).unwrap();
    let holdings = world.holdings(&channel).unwrap();
    assert_eq!(holdings.amounts, [[100, 140]]);
    world.advance(std::time::Duration::from_secs(601));
    world
        .withdraw(channel.withdrawing(0, BOB, user(11)))
        .unwrap();
    assert_eq!(world.balance(0, Account::from(user(11))), 80 + 40 - FEE);

    // Even after the last payout nothing is lost.
    world.transfer(0, user(3), account, 50 + FEE);
    world.deposit(channel.by_account(0, BOB)).unwrap();
    world
        .withdraw(channel.withdrawing(0, BOB, user(11)))
        .unwrap();
    assert_eq!(
        world.balance(0, Account::from(user(11))),
        120 - FEE + 50 - FEE
    );
}

#[test]
fn whoever_moves_money_bears_the_fee() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 50]);
    // Two approvals and two pulls.
    assert_eq!(
        world.balance(0, Account::from(user(0))),
        WEALTH - 150 - 4 * FEE
    );
    assert_eq!(world.funds(&channel, 0), 150);
}

#[test]
fn an_authorisation_is_good_for_ever() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    // Signed before anything was concluded, as a device does once.
    let authorised = channel.withdrawing(0, ALICE, user(10));
    world
        .conclude(channel.concluding(1, &[100, 100], &[100, 100]))
        .unwrap();
    world.withdraw(authorised.clone()).unwrap();
    let account = convert::account_to_candid(&channel.deposit_account(ALICE));
    world.transfer(0, user(3), account, 60 + FEE);
    world.deposit(channel.by_account(0, ALICE)).unwrap();
    world.withdraw(authorised).unwrap();
    assert_eq!(
        world.balance(0, Account::from(user(10))),
        100 + 60 - 2 * FEE
    );
}
