//! Upgrades, traps, lost timers and ledgers that are not there, between any two messages: nothing is lost and
//! nothing paid twice.

mod world;

use std::time::Duration;

use local_ic::{Fault, RejectCode, Target, Until};
use perun_canister_api::{
    DepositAccountError, DepositAccountRequest, DepositError, WithdrawError, WithdrawReceipt,
    convert,
};
use world::payout::{assert_paid_once, concluded, rejected};
use world::{ALICE, FEE, TestChannel, World, user};

const HOUR: Duration = Duration::from_secs(3_600);

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
    world.strike_transfers(
        1,
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
        // The answer is lost, so that the payout is in flight over the upgrade.
        world.strike_transfers(1, Fault::LoseReply);
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
            world.strike_transfers(3, Fault::LoseReply);
            channel
        },
        |world, channel| {
            world.try_withdraw(channel.withdrawing(0, ALICE, user(10)));
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
            world.try_deposit(channel.by_account(0, ALICE));
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
            let once = channel.by_approval_once(0, ALICE, 100);
            world.try_deposit(once);
        },
        |world, channel| {
            assert_eq!(world.holdings(channel).unwrap().amounts, [[100, 0]]);
            assert_eq!(world.funds(channel, 0), 100);
        },
    );
}

#[test]
fn a_lost_retry_timer_is_found_missing() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    world.strike_transfers(1, Fault::LoseReply);
    let timer = Target::call().method("<ic-cdk internal> timer_executor");
    let rule = world
        .ic
        .faults()
        .add(timer, rejected(RejectCode::CanisterError));
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

#[test]
fn a_fee_that_no_ledger_has_told_is_named() {
    // Ledgers that exist and have no code yet.
    let mut world = World::without_ledger_code();
    let channel = world.channel(1);
    let request = DepositAccountRequest {
        channel: channel.id_bytes(),
        part: 0,
        asset: channel.asset(0),
        share: 1,
    };
    let told = world.deposit_account(request);
    assert_eq!(told, Err(DepositAccountError::FeeUnknown));
    let refused = world.deposit(channel.by_approval(0, ALICE, 100));
    assert!(
        matches!(refused, Err(DepositError::LedgerUnavailable { .. })),
        "{refused:?}"
    );
    assert_eq!(world.info().ledgers[0].fee, None);
    // The first deposit after the ledger is there learns it.
    world.install_ledgers();
    world.deposit_approved(&channel, 0, ALICE, 100);
    assert_eq!(world.info().ledgers[0].fee, Some(FEE));
}
