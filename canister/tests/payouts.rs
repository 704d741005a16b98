//! Money through ledgers that refuse, stop, change, or lose an answer: nothing is lost and nothing
//! paid twice, by the ledger's own balances.

mod world;

use std::time::Duration;

use icrc_ledger_types::icrc1::account::Account;
use local_ic::{Fault, RejectCode, Target, Until};
use perun_canister_api::{
    DepositError, DepositReceipt, LedgerRefusal, WithdrawError, WithdrawReceipt, convert,
};
use world::payout::{assert_paid_once, concluded, rejected};
use world::{ALICE, BOB, FEE, WEALTH, World, user};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_lost_answer_is_asked_for_again() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.strike_transfers(1, Fault::LoseReply);
    let request = channel.withdrawing(0, ALICE, user(10));
    let lost = world.withdraw(request.clone());
    assert!(
        matches!(lost, Err(WithdrawError::Pending { .. })),
        "{lost:?}"
    );
    assert_eq!(world.holdings(&channel).unwrap().in_flight, [100]);
    // Any later call finds out, also one that has nothing to pay then.
    assert_eq!(
        world.withdraw(request),
        Err(WithdrawError::NothingToWithdraw)
    );
    assert_paid_once(&mut world, &channel);
}

#[test]
fn a_lost_answer_is_asked_for_by_the_timer() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    // The answer to the first attempt and to the two after it is lost.
    world.strike_transfers(3, Fault::LoseReply);
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap_err();
    world.ic.advance(HOUR);
    assert_paid_once(&mut world, &channel);
}

#[test]
fn a_call_that_never_arrives_is_paid_later() {
    for code in [RejectCode::SysUnknown, RejectCode::CanisterError] {
        let mut world = World::new();
        let channel = concluded(&mut world);
        world.strike_transfers(2, rejected(code));
        let unknown = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
        assert!(
            matches!(unknown, Err(WithdrawError::Pending { .. })),
            "{unknown:?}"
        );
        assert_eq!(world.balance(0, Account::from(user(10))), 0);
        world.ic.advance(HOUR);
        assert_paid_once(&mut world, &channel);
    }
}

#[test]
fn a_call_that_surely_did_not_arrive_is_given_back() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.strike_transfers(1, rejected(RejectCode::SysTransient));
    let request = channel.withdrawing(0, ALICE, user(10));
    let refused = world.withdraw(request.clone());
    let Err(WithdrawError::Refused(LedgerRefusal::NotDelivered { code: 2, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[100, 100]]);
    world.withdraw(request).unwrap();
    assert_paid_once(&mut world, &channel);
}

#[test]
fn a_stopped_ledger_is_waited_for() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.ic.stop(world.ledgers[0]).unwrap();
    world.ic.run();
    let pending = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
    assert!(
        matches!(pending, Err(WithdrawError::Pending { .. })),
        "{pending:?}"
    );
    world.ic.advance(2 * HOUR);
    world.ic.start(world.ledgers[0]).unwrap();
    world.ic.advance(2 * HOUR);
    assert_paid_once(&mut world, &channel);
}

#[test]
fn a_new_fee_is_learned_and_paid() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.change_fee(0, 25);
    let receipt = world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
    assert_eq!((receipt.paid, receipt.fee), (75, 25));
    assert_eq!(world.balance(0, Account::from(user(10))), 75);
    assert_eq!(world.info().ledgers[0].fee, Some(25));
    assert_eq!(world.funds(&channel, 0), 100);
}

#[test]
fn a_new_fee_is_learned_by_deposits_too() {
    let mut world = World::new();
    let channel = world.channel(1);
    let account = convert::account_to_candid(&channel.deposit_account(ALICE));
    world.transfer(0, user(0), account, 100);
    world.change_fee(0, 30);
    assert_eq!(
        world
            .deposit(channel.by_account(0, ALICE))
            .unwrap()
            .credited,
        70
    );
    world.change_fee(0, 5);
    world.deposit_approved(&channel, 0, BOB, 100);
    assert_eq!(world.funds(&channel, 0), 170);
}

#[test]
fn a_fee_change_after_a_lost_answer_settles_by_the_balance() {
    // Executed and lost, then the fee changes: the ledger answers `BadFee` for ever.
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.strike_transfers(1, Fault::LoseReply);
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap_err();
    world.change_fee(0, 25);
    world.ic.advance(HOUR);
    assert_paid_once(&mut world, &channel);
}

#[test]
fn a_fee_change_before_delivery_gives_the_money_back_in_the_end() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.strike_transfers(1, rejected(RejectCode::SysUnknown));
    let request = channel.withdrawing(0, ALICE, user(10));
    world.withdraw(request.clone()).unwrap_err();
    world.change_fee(0, 25);
    world.ic.advance(HOUR);
    assert_eq!(world.info().journal, 0);
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[100, 100]]);
    assert_eq!(world.withdraw(request).unwrap().paid, 75);
    assert_eq!(world.balance(0, Account::from(user(10))), 75);
}

#[test]
fn too_old_settles_by_the_balance() {
    for executed in [false, true] {
        let mut world = World::new();
        let channel = concluded(&mut world);
        world.strike_transfers(
            1,
            match executed {
                true => Fault::LoseReply,
                false => rejected(RejectCode::SysUnknown),
            },
        );
        let request = channel.withdrawing(0, ALICE, user(10));
        world.withdraw(request.clone()).unwrap_err();
        // The ledger is gone for more than the day that it remembers transfers.
        world.ic.stop(world.ledgers[0]).unwrap();
        world.ic.run();
        world.ic.advance(25 * HOUR);
        world.ic.start(world.ledgers[0]).unwrap();
        world.ic.advance(2 * HOUR);
        assert_eq!(world.info().journal, 0);
        if !executed {
            assert_eq!(world.holdings(&channel).unwrap().amounts, [[100, 100]]);
            world.withdraw(request).unwrap();
        }
        assert_paid_once(&mut world, &channel);
    }
}

#[test]
fn a_lost_deposit_is_credited_once() {
    let mut world = World::new();
    let channel = world.channel(1);
    let ledger = world.ledgers[0];
    let pull = Target::call().to(ledger).method("icrc2_transfer_from");
    world.ic.faults().add(pull, Fault::LoseReply);
    // For one deposit and no more.
    world.approve(0, user(0), 100 + FEE);
    let once = channel.by_approval_once(0, ALICE, 100);
    let pending = world.deposit(once.clone());
    assert!(
        matches!(pending, Err(DepositError::Pending { .. })),
        "{pending:?}"
    );
    let again = world.deposit(once);
    assert_eq!(again, Err(DepositError::UnexpectedHolding { holding: 100 }));
    assert_eq!(world.funds(&channel, 0), 100);
    assert_eq!(
        world.balance(0, Account::from(user(0))),
        WEALTH - 100 - 2 * FEE
    );
}

#[test]
fn a_lost_sweep_is_credited_once() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.strike_transfers(1, Fault::LoseReply);
    let account = convert::account_to_candid(&channel.deposit_account(ALICE));
    world.transfer(0, user(0), account, 100 + FEE);
    world.deposit(channel.by_account(0, ALICE)).unwrap_err();
    world.ic.advance(HOUR);
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[100, 0]]);
    assert_eq!(world.funds(&channel, 0), 100);
}

#[test]
fn two_withdrawals_at_once_pay_once() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let request = channel.withdrawing(0, ALICE, user(10));
    let ids = [0; 2].map(|_| world.submit("withdraw", request.clone()));
    world.ic.run();
    let answers = ids.map(|id| world.answer::<Result<WithdrawReceipt, WithdrawError>>(&id));
    let paid = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(paid, 1, "{answers:?}");
    assert!(answers.contains(&Err(WithdrawError::Busy)), "{answers:?}");
    assert_paid_once(&mut world, &channel);
}

#[test]
fn equal_deposits_in_one_round_both_count() {
    let mut world = World::with_ledgers(1);
    let (one, other) = (world.channel(1), world.channel(2));
    world.approve(0, user(0), 1_000);
    let ids = [&one, &other].map(|channel| {
        let request = channel.by_approval(0, ALICE, 100);
        world.submit("deposit", request)
    });
    let same = world.submit("deposit", one.by_approval(0, ALICE, 100));
    world.ic.run();
    for id in ids {
        let receipt: Result<DepositReceipt, DepositError> = world.answer(&id);
        assert_eq!(receipt.unwrap().credited, 100);
    }
    // For the same place and asset one waits for the other, and is then its own deposit.
    let busy: Result<DepositReceipt, DepositError> = world.answer(&same);
    assert_eq!(busy, Err(DepositError::Busy));
    let again = world.deposit(one.by_approval(0, ALICE, 100)).unwrap();
    assert_eq!(again.holding, 200);
    assert_eq!((world.funds(&one, 0), world.funds(&other, 0)), (200, 100));
}

#[test]
fn a_slow_ledger_keeps_nobody_from_other_channels() {
    let mut world = World::new();
    let slow = concluded(&mut world);
    let other = world.funded(2, [50, 50]);
    world
        .conclude(other.concluding(1, &[50, 50], &[50, 50]))
        .unwrap();
    world.strike_transfers(
        1,
        Fault::DelayReply(Until::Elapsed(Duration::from_secs(100))),
    );
    let waiting = world.submit("withdraw", slow.withdrawing(0, ALICE, user(10)));
    world.ic.run();
    assert_eq!(
        world.withdraw(slow.withdrawing(0, BOB, user(11))),
        Err(WithdrawError::Busy)
    );
    world
        .withdraw(other.withdrawing(0, ALICE, user(12)))
        .unwrap();
    world.ic.advance(Duration::from_secs(101));
    let receipt: Result<WithdrawReceipt, WithdrawError> = world.answer(&waiting);
    receipt.unwrap();
    assert_paid_once(&mut world, &slow);
}

#[test]
fn money_given_away_to_the_funds_account_is_nobodys() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let account = convert::account_to_candid(&channel.funds_account());
    world.transfer(0, user(3), account, 77);
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
    world
        .withdraw(channel.withdrawing(0, BOB, user(11)))
        .unwrap();
    assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
    assert_eq!(world.balance(0, Account::from(user(11))), 100 - FEE);
    assert_eq!(world.funds(&channel, 0), 77);
}

#[test]
fn a_ledger_that_never_answers_a_transfer_blocks_nobody_for_long() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    // As a ledger that traps for one receiver, or lacks the method.
    let rule = world.strike_transfers(u64::MAX, rejected(RejectCode::CanisterError));
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap_err();
    world.ic.advance(Duration::from_secs(300));
    assert_eq!(world.info().journal, 0);
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[100, 100]]);
    world.ic.faults().remove(rule);
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
    assert_paid_once(&mut world, &channel);
}

#[test]
fn nothing_is_written_down_for_a_ledger_that_does_not_answer() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world.ic.stop(world.ledgers[0]).unwrap();
    world.ic.run();
    for request in [
        channel.by_approval(0, ALICE, 5),
        channel.by_account(0, ALICE),
    ] {
        let refused = world.deposit(request);
        assert!(
            matches!(refused, Err(DepositError::LedgerUnavailable { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(world.info().journal, 0);
}

#[test]
fn a_burn_teaches_no_fee() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    // The ledger's minting account: a transfer to it would burn, for no fee.
    let burnt = world.withdraw(channel.withdrawing(0, ALICE, user(255)));
    let refusal = LedgerRefusal::BadFee { expected_fee: 0 };
    assert_eq!(burnt, Err(WithdrawError::Refused(refusal)));
    assert_eq!(world.info().ledgers[0].fee, Some(FEE));
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap();
    assert_paid_once(&mut world, &channel);
}

#[test]
fn a_fee_that_fell_frees_what_it_locked() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.change_fee(0, 200);
    let request = channel.withdrawing(0, ALICE, user(10));
    let locked = world.withdraw(request.clone());
    assert_eq!(
        locked,
        Err(WithdrawError::BelowFee {
            remainder: 100,
            fee: 200
        })
    );
    world.change_fee(0, FEE);
    world.withdraw(request).unwrap();
    assert_paid_once(&mut world, &channel);
}
