//! Money through ledgers that refuse, stop, change, or lose an answer: nothing is lost and nothing
//! paid twice, by the ledger's own balances.

mod world;

use std::time::Duration;

use icrc_ledger_types::icrc1::account::Account;
use local_ic::{Fault, RejectCode, Target, Until};
use perun_canister_api::{
    DepositError, DepositReceipt, DepositRequest, DepositSource, Event, LedgerRefusal,
    WithdrawError, WithdrawReceipt, convert,
};
use world::{ALICE, BOB, FEE, TestChannel, WEALTH, World, user};

const HOUR: Duration = Duration::from_secs(3_600);

/// A channel that owes 100 to each.
fn concluded(world: &mut World) -> TestChannel {
    let channel = world.funded(1, [100, 100]);
    world
        .conclude(channel.concluding(1, &[100, 100], &[100, 100]))
        .unwrap();
    channel
}

/// Alice's receiver got her 100, once; Bob's 100 are still there.
fn assert_paid_once(world: &mut World, channel: &TestChannel) {
    assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
    assert_eq!(world.funds(channel, 0), 100);
    assert_eq!(world.holdings(channel).unwrap().amounts, [[0, 100]]);
    assert_eq!(world.holdings(channel).unwrap().in_flight, [0]);
    assert_eq!(world.info().journal, 0);
    let events = world.events(channel);
    let payouts = events
        .iter()
        .filter(|record| matches!(record.event, Event::Withdrawn { .. }));
    assert_eq!(payouts.count(), 1);
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let ledger = world.ledgers[0];
    world.ic.faults().add(
        Target::call().to(ledger).method("icrc1_transfer"),
        Fault::LoseReply,
    );
    let request = channel.withdrawing(0, ALICE, user(10));
    let lost = world.withdraw(request.clone());
    let Err(WithdrawError::Pending { journal }) = lost else {
        panic!("{lost:?}");
    };
    assert_eq!(world.holdings(&channel).unwrap().in_flight, [100]);
    // Any later call finds out, also one that has nothing to pay then.
    assert_eq!(
        world.withdraw(request),
        Err(WithdrawError::NothingToWithdraw)
    );
    assert_paid_once(&mut world, &channel);
    let _ = journal;
}

#[test]
fn a_lost_answer_is_asked_for_by_the_timer() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let ledger = world.ledgers[0];
    // The answer to the first attempt and to the two after it is lost.
    let lost = Target::call().to(ledger).method("icrc1_transfer").times(3);
    world.ic.faults().add(lost, Fault::LoseReply);
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
        let ledger = world.ledgers[0];
        let lost = Target::call().to(ledger).method("icrc1_transfer").times(2);
        let message = "on purpose".to_owned();
        world
            .ic
            .faults()
            .add(lost, Fault::RejectBefore { code, message });
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
    let ledger = world.ledgers[0];
    let message = "on purpose".to_owned();
    let code = RejectCode::SysTransient;
    world.ic.faults().add(
        Target::call().to(ledger).method("icrc1_transfer"),
        Fault::RejectBefore { code, message },
    );
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
    let ledger = world.ledgers[0];
    world.ic.faults().add(
        Target::call().to(ledger).method("icrc1_transfer"),
        Fault::LoseReply,
    );
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
    let ledger = world.ledgers[0];
    let (code, message) = (RejectCode::SysUnknown, "on purpose".to_owned());
    world.ic.faults().add(
        Target::call().to(ledger).method("icrc1_transfer"),
        Fault::RejectBefore { code, message },
    );
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
        let ledger = world.ledgers[0];
        let target = Target::call().to(ledger).method("icrc1_transfer");
        let (code, message) = (RejectCode::SysUnknown, "on purpose".to_owned());
        let fault = match executed {
            true => Fault::LoseReply,
            false => Fault::RejectBefore { code, message },
        };
        world.ic.faults().add(target, fault);
        let request = channel.withdrawing(0, ALICE, user(10));
        world.withdraw(request.clone()).unwrap_err();
        // The ledger is gone for more than the day that it remembers transfers.
        world.ic.stop(ledger).unwrap();
        world.ic.run();
        world.ic.advance(25 * HOUR);
        world.ic.start(ledger).unwrap();
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
    world.approve(0, user(0), 1_000);
    let once = DepositRequest {
        source: DepositSource::Approval {
            from_subaccount: None,
            amount: 100,
            expected_holding: Some(0),
        },
        ..channel.by_approval(0, ALICE, 100)
    };
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
    let ledger = world.ledgers[0];
    let sweep = Target::call()
        .from(world.adjudicator)
        .to(ledger)
        .method("icrc1_transfer");
    world.ic.faults().add(sweep, Fault::LoseReply);
    let account = convert::account_to_candid(&channel.deposit_account(ALICE));
    world.transfer(0, user(0), account, 100 + FEE);
    world.deposit(channel.by_account(0, ALICE)).unwrap_err();
    world.ic.advance(HOUR);
    assert_eq!(world.holdings(&channel).unwrap().amounts, [[100, 0]]);
    assert_eq!(world.funds(&channel, 0), 100);
}

#[test]
fn an_upgrade_of_the_ledger_in_mid_payout_changes_nothing() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let request = channel.withdrawing(0, ALICE, user(10));
    let id = world.submit("withdraw", request);
    assert!(world.ic.step(), "the adjudicator has sent the transfer");
    world.change_fee(0, FEE);
    world.ic.run();
    let receipt: Result<WithdrawReceipt, WithdrawError> = world.answer(&id);
    assert_eq!(receipt.unwrap().paid, 100 - FEE);
    assert_paid_once(&mut world, &channel);
}

/// The answer to a call of the old code would be handled by the new code with a pointer into the
/// old code's memory, so a running adjudicator refuses to be upgraded.
#[test]
fn a_running_adjudicator_is_not_upgraded() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let ledger = world.ledgers[0];
    world.ic.faults().add(
        Target::call().to(ledger).method("icrc1_transfer"),
        Fault::DelayReply(Until::Elapsed(Duration::from_secs(100))),
    );
    world.submit("withdraw", channel.withdrawing(0, ALICE, user(10)));
    world.ic.run();
    let is_refused = |world: &mut World| {
        let refused = world.upgrade_adjudicator_as_it_is(None).unwrap_err();
        assert!(
            refused
                .message
                .contains("stop the canister before upgrading it"),
            "{refused:?}"
        );
    };
    is_refused(&mut world);
    assert!(
        world.ic.stop(world.adjudicator).is_err(),
        "the answer is not there yet"
    );
    is_refused(&mut world);
    world.ic.advance(Duration::from_secs(101));
    world.upgrade_adjudicator_as_it_is(None).unwrap();
    world.ic.start(world.adjudicator).unwrap();
    assert_paid_once(&mut world, &channel);
}

#[test]
fn an_upgrade_of_the_adjudicator_between_any_two_messages_loses_nothing() {
    let mut steps = 0;
    loop {
        let mut world = World::new();
        let channel = concluded(&mut world);
        let ledger = world.ledgers[0];
        // The answer is lost, so that the payout is in flight over the upgrade.
        let transfer = Target::call().to(ledger).method("icrc1_transfer");
        world.ic.faults().add(transfer, Fault::LoseReply);
        world.submit("withdraw", channel.withdrawing(0, ALICE, user(10)));
        let ran = (0..steps).filter(|_| world.ic.step()).count();
        world.upgrade_adjudicator(None).unwrap();
        if ran == 0 {
            // The message itself found a canister that was stopping.
            let _ = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
        }
        world.ic.advance(HOUR);
        assert_paid_once(&mut world, &channel);
        if ran < steps {
            break;
        }
        steps += 1;
    }
    assert!(steps > 3, "withdrawing takes several messages, not {steps}");
}

/// Lets every callback of a flow trap, one after the other, at its beginning and in its middle.
fn with_a_trap_after_every_await(
    prepare: impl Fn(&mut World) -> TestChannel,
    flow: impl Fn(&mut World, &TestChannel),
    check: impl Fn(&mut World, &TestChannel),
) {
    for instructions in [0, 20_000] {
        let mut nth = 1;
        loop {
            let mut world = World::new();
            let channel = prepare(&mut world);
            let rule = world.ic.faults().add(
                Target::callback()
                    .from(world.adjudicator)
                    .to(world.ledgers[0])
                    .nth(nth),
                Fault::Trap {
                    after_instructions: instructions,
                },
            );
            flow(&mut world, &channel);
            world.ic.advance(HOUR);
            // The guard was freed by the trap: the same again goes through.
            flow(&mut world, &channel);
            check(&mut world, &channel);
            if world.ic.faults().fired(rule) == 0 {
                break;
            }
            nth += 1;
        }
        assert!(nth > 1, "no callback ever trapped");
    }
}

#[test]
fn a_trap_after_any_await_of_a_withdrawal_loses_nothing() {
    with_a_trap_after_every_await(
        |world| {
            let channel = concluded(world);
            // A new fee makes it the longest way: refused, asked for, sent again; and an answer
            // that is lost on that way makes it ask for the balance too.
            world.change_fee(0, 25);
            world.change_fee(0, FEE);
            let ledger = world.ledgers[0];
            let transfer = Target::call().to(ledger).method("icrc1_transfer");
            world.ic.faults().add(transfer.times(3), Fault::LoseReply);
            channel
        },
        |world, channel| {
            let _ = world.try_call_as::<_, Result<WithdrawReceipt, WithdrawError>>(
                user(0),
                "withdraw",
                channel.withdrawing(0, ALICE, user(10)),
            );
        },
        assert_paid_once,
    );
}

#[test]
fn a_trap_after_any_await_of_a_sweep_loses_nothing() {
    with_a_trap_after_every_await(
        |world| {
            let channel = world.channel(1);
            let account = convert::account_to_candid(&channel.deposit_account(ALICE));
            world.transfer(0, user(0), account, 100 + FEE);
            channel
        },
        |world, channel| {
            let _ = world.try_call_as::<_, Result<DepositReceipt, DepositError>>(
                user(0),
                "deposit",
                channel.by_account(0, ALICE),
            );
        },
        |world, channel| {
            assert_eq!(world.holdings(channel).unwrap().amounts, [[100, 0]]);
            assert_eq!(world.funds(channel, 0), 100);
        },
    );
}

#[test]
fn a_trap_after_any_await_of_a_pull_loses_nothing() {
    with_a_trap_after_every_await(
        |world| {
            world.approve(0, user(0), 1_000);
            world.channel(1)
        },
        |world, channel| {
            let once = DepositRequest {
                source: DepositSource::Approval {
                    from_subaccount: None,
                    amount: 100,
                    expected_holding: Some(0),
                },
                ..channel.by_approval(0, ALICE, 100)
            };
            let _ = world.try_call_as::<_, Result<DepositReceipt, DepositError>>(
                user(0),
                "deposit",
                once,
            );
        },
        |world, channel| {
            assert_eq!(world.holdings(channel).unwrap().amounts, [[100, 0]]);
            assert_eq!(world.funds(channel, 0), 100);
        },
    );
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
    let ledger = world.ledgers[0];
    world.ic.faults().add(
        Target::call().to(ledger).method("icrc1_transfer"),
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
    let ledger = world.ledgers[0];
    // As a ledger that traps for one receiver, or lacks the method.
    let (code, message) = (RejectCode::CanisterError, "trapped".to_owned());
    let rule = world.ic.faults().add(
        Target::call().to(ledger).method("icrc1_transfer").always(),
        Fault::RejectBefore { code, message },
    );
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

#[test]
fn a_lost_retry_timer_is_found_missing() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let ledger = world.ledgers[0];
    let transfer = Target::call().to(ledger).method("icrc1_transfer");
    world.ic.faults().add(transfer, Fault::LoseReply);
    let timer = Target::call().method("<ic-cdk internal> timer_executor");
    let (code, message) = (RejectCode::CanisterError, "on purpose".to_owned());
    let rule = world
        .ic
        .faults()
        .add(timer, Fault::RejectBefore { code, message });
    world
        .withdraw(channel.withdrawing(0, ALICE, user(10)))
        .unwrap_err();
    world.ic.advance(HOUR);
    assert_eq!(world.ic.faults().fired(rule), 1);
    assert_eq!(world.info().journal, 1, "nobody looks after it");
    // Any message finds the timer missing.
    let _ = world.conclude(channel.concluding_elapsed());
    world.ic.advance(HOUR);
    assert_paid_once(&mut world, &channel);
}
