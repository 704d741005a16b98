//! Deposits by both doors, what they cost, and what is refused.

mod world;

use perun_client::{CallError, DepositError, Door, FundError, LedgerRefusal, Unsuitable};
use perun_protocol::Account;
use world::{ALICE, BOB, FEE, FIRST, QUICK, SECOND, WEALTH, World, account, units, user};

#[tokio::test(flavor = "multi_thread")]
async fn by_approval_the_share_arrives_and_nothing_stays_approved() {
    let world = World::new().await;
    let channel = world.channel(1);
    let receipt = world.deposit(&channel, FIRST, 242, Door::Approval).await;
    assert_eq!(
        (receipt.credited, receipt.holding),
        (units(242), units(242))
    );
    assert!(receipt.block.is_some());
    assert_eq!(world.held(&channel).await, [242, 0]);
    assert_eq!(world.funds(&channel).await, 242);
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH - 242 - 2 * FEE);
    let ledger = world.ledger_for(ALICE).await;
    let spender = Account::of(channel.params.adjudicator());
    let allowance = ledger.allowance(&account(ALICE), &spender).await.unwrap();
    assert_eq!(allowance.amount, units(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_deposit_account_the_share_arrives() {
    let world = World::new().await;
    let channel = world.channel(1);
    let receipt = world
        .deposit(&channel, SECOND, 194, Door::DepositAccount)
        .await;
    assert_eq!(
        (receipt.credited, receipt.holding),
        (units(194), units(194))
    );
    assert_eq!(world.held(&channel).await, [0, 194]);
    assert_eq!(world.funds(&channel).await, 194);
    assert_eq!(world.balance(&account(BOB)).await, WEALTH - 194 - 2 * FEE);
    let deposit_account = Account::of_deposit(&channel.params, SECOND);
    assert_eq!(world.balance(&deposit_account).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_before_is_used() {
    let world = World::new().await;
    let channel = world.channel(1);
    let ledger = world.ledger_for(ALICE).await;
    ledger.approve(&channel.approval(242 + FEE)).await.unwrap();
    world.deposit(&channel, FIRST, 242, Door::Approval).await;
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH - 242 - 2 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_that_has_changed_is_paid() {
    let world = World::new().await;
    // The adjudicator has learnt the old fee by now.
    let channel = world.funded(1, [10, 10]).await;
    world.change_fee(25);
    for (number, part, door) in [
        (ALICE, FIRST, Door::Approval),
        (BOB, SECOND, Door::DepositAccount),
    ] {
        let before = world.balance(&account(number)).await;
        let receipt = world.deposit(&channel, part, 100, door).await;
        assert_eq!(
            (receipt.credited, receipt.holding),
            (units(100), units(110))
        );
        assert_eq!(world.balance(&account(number)).await, before - 100 - 2 * 25);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_that_changes_between_order_and_deposit_is_paid() {
    let world = World::new().await;
    let channel = world.funded(1, [10, 10]).await;
    let funder = world.funder_for(ALICE).await;
    // What is approved covers the old fee only, which shows when it is pulled.
    let ledger = world.ledger_for(ALICE).await;
    ledger.approve(&channel.approval(100 + FEE)).await.unwrap();
    let (params, asset) = (&channel.params, channel.asset());
    let order = funder.prepare(params, FIRST, asset, units(100), Door::Approval);
    let mut order = order.await.unwrap();
    let through_account = funder.prepare(params, SECOND, asset, units(5), Door::DepositAccount);
    let mut through_account = through_account.await.unwrap();
    world.change_fee(25);
    let receipt = funder.carry_out(&mut order).await.unwrap();
    assert_eq!(receipt.holding, units(110));

    // A transfer's fee is part of it, so it takes another order; nothing was paid by this one.
    let before = world.balance(&account(ALICE)).await;
    let refused = funder.carry_out(&mut through_account).await.unwrap_err();
    assert!(
        matches!(refused, FundError::Transfer(CallError::Refused(_))),
        "{refused}"
    );
    assert_eq!(world.balance(&account(ALICE)).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_may_deposit_for_anybody() {
    let world = World::new().await;
    let channel = world.channel(1);
    let stranger = world.funder_for(5).await;
    for (part, door) in [(FIRST, Door::Approval), (SECOND, Door::DepositAccount)] {
        let deposit = stranger.deposit(&channel.params, part, channel.asset(), units(7), door);
        deposit.await.unwrap();
    }
    assert_eq!(world.held(&channel).await, [7, 7]);
    assert_eq!(world.balance(&account(5)).await, WEALTH - 14 - 4 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_enough_is_told_so() {
    let world = World::new().await;
    let channel = world.channel(1);
    let pauper = world.funder_for(200).await;
    let deposit = |door| pauper.deposit(&channel.params, FIRST, channel.asset(), units(100), door);
    let refused = deposit(Door::Approval).await.unwrap_err();
    assert!(
        matches!(refused, FundError::Approve(CallError::Refused(_))),
        "{refused}"
    );
    let refused = deposit(Door::DepositAccount).await.unwrap_err();
    assert!(
        matches!(refused, FundError::Transfer(CallError::Refused(_))),
        "{refused}"
    );

    // Enough for the approval, but not for the pull.
    let alice = world.funder_for(ALICE).await;
    let all = units(WEALTH);
    let refused = alice.deposit(&channel.params, FIRST, channel.asset(), all, Door::Approval);
    let refused = refused.await.unwrap_err();
    let FundError::Deposit(CallError::Refused(DepositError::Refused(refusal))) = &refused else {
        panic!("{refused}");
    };
    let balance = WEALTH - FEE;
    assert_eq!(*refusal, LedgerRefusal::InsufficientFunds { balance });
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_paid_for_a_channel_that_is_refused() {
    let world = World::new().await;
    let funder = world.funder_for(ALICE).await;
    let short = world.channel_lasting(1, 59);
    let deposit = |channel: world::TestChannel, part, amount| {
        let funder = &funder;
        async move {
            let (params, asset) = (&channel.params, channel.asset());
            let door = Door::DepositAccount;
            funder
                .deposit(params, part, asset, units(amount), door)
                .await
                .unwrap_err()
        }
    };
    let refused = deposit(short, FIRST, 100).await;
    let unsuitable = Unsuitable::ChallengeDuration {
        given_s: 59,
        min_s: 60,
        max_s: 86_400,
    };
    assert!(matches!(refused, FundError::Unsuitable(error) if error == unsuitable));

    let part = perun_protocol::PartIdx::new(2);
    let refused = deposit(world.channel(1), part, 100).await;
    assert!(
        matches!(refused, FundError::UnknownPart { .. }),
        "{refused}"
    );
    let refused = deposit(world.channel(1), FIRST, 0).await;
    assert!(matches!(refused, FundError::NothingToDeposit), "{refused}");
    let refused = deposit(world.channel(1), FIRST, u128::MAX).await;
    assert!(matches!(refused, FundError::AmountOverflow), "{refused}");
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anonymous_identity_has_no_account() {
    let world = World::new().await;
    let agent = ic_agent::Agent::builder()
        .with_url(world.server.url())
        .build()
        .unwrap();
    agent.set_root_key(world.server.root_key());
    let adjudicator = perun_client::Adjudicator::new(agent, world.adjudicator);
    let channel = world.channel(1);
    let funder = perun_client::Funder::new(adjudicator.with_patience(QUICK));
    let deposit = funder.deposit(
        &channel.params,
        FIRST,
        channel.asset(),
        units(1),
        Door::Approval,
    );
    assert!(matches!(deposit.await, Err(FundError::NoAccount { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subaccount_pays_if_it_is_asked_to() {
    let world = World::new().await;
    let channel = world.channel(1);
    let from_subaccount = [3; 32];
    let savings = Account {
        subaccount: from_subaccount,
        ..account(ALICE)
    };
    let ledger = world.ledger_for(ALICE).await;
    let transfer = perun_client::Transfer {
        from_subaccount: [0; 32],
        to: savings,
        amount: units(1_000),
        fee: units(FEE),
        memo: [0; 32],
        created_at: channel.approval(0).created_at,
    };
    let block = ledger.transfer(&transfer).await.unwrap();
    assert_eq!(
        ledger.transfer(&transfer).await.unwrap(),
        block,
        "the same block again"
    );
    let funder = world
        .funder_for(ALICE)
        .await
        .with_subaccount(from_subaccount);
    for door in [Door::Approval, Door::DepositAccount] {
        let deposit = funder.deposit(&channel.params, FIRST, channel.asset(), units(100), door);
        deposit.await.unwrap();
    }
    assert_eq!(world.balance(&savings).await, 1_000 - 200 - 4 * FEE);
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH - 1_000 - FEE);
    assert_eq!(world.held(&channel).await, [200, 0]);
    assert_ne!(user(ALICE), user(BOB));
}
