//! Deposits whose answers are lost, late or not known yet: each is made once.

mod world;

use std::time::Duration;

use local_ic::{Clock, Fault, RejectCode, Until};
use perun_client::{CallError, DepositError, Door, FundError, Patience};
use perun_protocol::Account;
use world::{ALICE, BOB, FEE, FIRST, Proxy, SECOND, WEALTH, World, account, units};

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_whose_answer_is_lost_is_not_made_again() {
    let world = World::new().await;
    let proxy = Proxy::before(&world).await;
    proxy.lose_answers("deposit", 2);
    let channel = world.channel(1);
    let funder = world.funder_at(proxy.url(), ALICE).await;
    let deposit = funder.deposit(
        &channel.params,
        FIRST,
        channel.asset(),
        units(242),
        Door::Approval,
    );
    let receipt = deposit.await.unwrap();
    assert_eq!(proxy.lost(), 2);
    assert_eq!(
        (receipt.credited, receipt.holding),
        (units(242), units(242))
    );
    assert!(receipt.block.is_some(), "the log tells the block");
    assert_eq!(world.held(&channel).await, [242, 0]);
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH - 242 - 2 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_was_lost_on_its_way_is_made() {
    let world = World::new().await;
    let proxy = Proxy::before(&world).await;
    proxy.lose_calls("deposit", 1);
    proxy.lose_answers("icrc2_approve", 1);
    let channel = world.channel(1);
    let funder = world.funder_at(proxy.url(), ALICE).await;
    let deposit = funder.deposit(
        &channel.params,
        FIRST,
        channel.asset(),
        units(242),
        Door::Approval,
    );
    deposit.await.unwrap();
    assert_eq!(proxy.lost(), 2);
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH - 242 - 2 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_whose_answer_is_lost_pays_once() {
    let world = World::new().await;
    let proxy = Proxy::before(&world).await;
    proxy.lose_answers("icrc1_transfer", 1);
    proxy.lose_answers("deposit", 1);
    let channel = world.channel(1);
    let funder = world.funder_at(proxy.url(), BOB).await;
    let door = Door::DepositAccount;
    let deposit = funder.deposit(&channel.params, SECOND, channel.asset(), units(194), door);
    let receipt = deposit.await.unwrap();
    assert_eq!(proxy.lost(), 2);
    assert_eq!(
        (receipt.credited, receipt.holding),
        (units(194), units(194))
    );
    assert_eq!(world.balance(&account(BOB)).await, WEALTH - 194 - 2 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_comes_late_finds_the_other_there() {
    let world = World::new().await;
    let channel = world.channel(1);
    // The first request is held up so long that the agent gives up on it; the second overtakes it.
    let target = local_ic::Target::ingress()
        .to(world.adjudicator)
        .method("deposit");
    let rule = world.fault(target, Fault::DelayCall(Until::Released));
    let receipt = world.deposit(&channel, FIRST, 242, Door::Approval).await;
    assert_eq!(receipt.holding, units(242));
    assert_eq!(world.fired(rule), 1);

    // Even with enough approved for both, only one is pulled.
    let ledger = world.ledger_for(ALICE).await;
    ledger.approve(&channel.approval(242 + FEE)).await.unwrap();
    world.release(rule);
    world.advance(Duration::from_secs(5));
    assert_eq!(world.held(&channel).await, [242, 0]);
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH - 242 - 3 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_adjudicator_does_not_know_yet_is_asked_again() {
    let world = World::new().await;
    let rule = world.fault(world.ledger_calls("icrc2_transfer_from"), Fault::LoseReply);
    let channel = world.channel(1);
    let receipt = world.deposit(&channel, FIRST, 242, Door::Approval).await;
    assert_eq!(world.fired(rule), 1);
    assert_eq!(
        (receipt.credited, receipt.holding),
        (units(242), units(242))
    );
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH - 242 - 2 * FEE);
    assert_eq!(world.funds(&channel).await, 242);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_is_not_known_yet_is_asked_again() {
    let world = World::new().await;
    let rule = world.fault(world.ledger_calls("icrc1_transfer"), Fault::LoseReply);
    let channel = world.channel(1);
    let receipt = world
        .deposit(&channel, SECOND, 194, Door::DepositAccount)
        .await;
    assert_eq!(world.fired(rule), 1);
    assert_eq!(
        (receipt.credited, receipt.holding),
        (units(194), units(194))
    );
    assert_eq!(world.funds(&channel).await, 194);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_patience_an_unknown_outcome_is_said_to_be_one() {
    let world = World::new().await;
    world.fault(world.ledger_calls("icrc2_transfer_from"), Fault::LoseReply);
    let channel = world.channel(1);
    let ledger = world.ledger_for(ALICE).await;
    ledger.approve(&channel.approval(242 + FEE)).await.unwrap();
    let hasty = world
        .adjudicator_for(ALICE)
        .await
        .with_patience(Patience::NONE);
    let deposit = || {
        let params = &channel.params;
        hasty.deposit_approved(
            params,
            FIRST,
            channel.asset(),
            [0; 32],
            units(242),
            units(0),
        )
    };
    let pending = deposit().await.unwrap_err();
    assert!(
        matches!(pending, CallError::Unresolved(DepositError::Pending { .. })),
        "{pending}"
    );
    assert!(pending.is_in_doubt());

    // The same call again finds out, and so does every later one.
    for _ in 0..2 {
        let receipt = deposit().await.unwrap();
        assert_eq!(
            (receipt.credited, receipt.holding),
            (units(242), units(242))
        );
    }
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH - 242 - 2 * FEE);

    // Another amount on the same holding is another deposit, which never happened.
    let (params, asset) = (&channel.params, channel.asset());
    let other = hasty.deposit_approved(params, FIRST, asset, [0; 32], units(1), units(0));
    let expected = DepositError::UnexpectedHolding { holding: 242 };
    assert!(matches!(other.await, Err(CallError::Refused(refusal)) if refusal == expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_carried_out_again_after_an_unknown_outcome() {
    let world = World::new().await;
    let channel = world.channel(1);
    for (number, part, door, method) in [
        (ALICE, FIRST, Door::Approval, "icrc2_transfer_from"),
        (BOB, SECOND, Door::DepositAccount, "icrc1_transfer"),
    ] {
        let hasty = world.adjudicator_for(number).await;
        let funder = perun_client::Funder::new(hasty.with_patience(Patience::NONE));
        let order = funder.prepare(&channel.params, part, channel.asset(), units(50), door);
        let mut order = order.await.unwrap();
        world.fault(world.ledger_calls(method), Fault::LoseReply);
        let unknown = funder.carry_out(&mut order).await.unwrap_err();
        let FundError::Deposit(CallError::Unresolved(DepositError::Pending { .. })) = unknown
        else {
            panic!("{unknown}");
        };
        let receipt = funder.carry_out(&mut order).await.unwrap();
        assert_eq!((receipt.credited, receipt.holding), (units(50), units(50)));
        assert_eq!(world.balance(&account(number)).await, WEALTH - 50 - 2 * FEE);
    }
    let ledger = world.ledger_for(ALICE).await;
    let spender = Account::of(channel.params.adjudicator());
    let left = ledger.allowance(&account(ALICE), &spender).await.unwrap();
    assert_eq!(left.amount, units(0), "no approval stays behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_adjudicator_is_busy_the_funder_waits() {
    let world = World::new().await;
    let channel = world.channel(1);
    let target = world.ledger_calls("icrc2_transfer_from");
    let rule = world.fault(
        target,
        Fault::DelayCall(Until::Elapsed(Duration::from_secs(2))),
    );
    let alice = world.deposit(&channel, FIRST, 242, Door::Approval);
    let bob = async {
        while world.fired(rule) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Alice's pull is under way, so this one meets `Busy` until it is through.
        let hasty = world
            .adjudicator_for(BOB)
            .await
            .with_patience(Patience::NONE);
        let busy = hasty.sweep(&channel.params, SECOND, channel.asset()).await;
        assert!(
            matches!(busy, Err(CallError::Refused(DepositError::Busy))),
            "{busy:?}"
        );
        world
            .deposit(&channel, SECOND, 194, Door::DepositAccount)
            .await
    };
    tokio::join!(alice, bob);
    assert_eq!(world.held(&channel).await, [242, 194]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_does_not_answer_is_asked_again() {
    let world = World::new().await;
    let reject = || Fault::RejectBefore {
        code: RejectCode::SysTransient,
        message: "no room".into(),
    };
    // The balance of the deposit account, and the sweep itself.
    let unavailable = world.fault(world.ledger_calls("icrc1_balance_of"), reject());
    let refused = world.fault(world.ledger_calls("icrc1_transfer"), reject());
    let channel = world.channel(1);
    let receipt = world
        .deposit(&channel, SECOND, 194, Door::DepositAccount)
        .await;
    assert_eq!(receipt.holding, units(194));
    assert_eq!((world.fired(unavailable), world.fired(refused)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_carried_out_once_however_often() {
    let world = World::new().await;
    let channel = world.channel(1);
    for (number, part, door) in [
        (ALICE, FIRST, Door::Approval),
        (BOB, SECOND, Door::DepositAccount),
    ] {
        let funder = world.funder_for(number).await;
        let order = funder.prepare(&channel.params, part, channel.asset(), units(50), door);
        let mut order = order.await.unwrap();
        let first = funder.carry_out(&mut order).await.unwrap();
        let second = funder.carry_out(&mut order).await.unwrap();
        assert_eq!(first, second);
        assert_eq!(world.balance(&account(number)).await, WEALTH - 50 - 2 * FEE);
    }
    assert_eq!(world.held(&channel).await, [50, 50]);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_deposits_at_one_time_are_two() {
    // Both orders are made up at the same time of the subnet.
    let world = World::with_clock(Clock::Manual).await;
    let channel = world.channel(1);
    let funder = world.funder_for(BOB).await;
    let prepare = || {
        let (params, asset) = (&channel.params, channel.asset());
        funder.prepare(params, SECOND, asset, units(50), Door::DepositAccount)
    };
    let (mut one, mut other) = (prepare().await.unwrap(), prepare().await.unwrap());
    funder.carry_out(&mut one).await.unwrap();
    funder.carry_out(&mut other).await.unwrap();
    assert_eq!(world.held(&channel).await, [0, 100]);
}
