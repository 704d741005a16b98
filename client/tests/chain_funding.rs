//! Funding that begins again from nothing: half done, interrupted, or with an answer lost.

mod world;

use std::time::Duration;

use local_ic::{Fault, Target, Until};
use perun_client::chain::{Chain, Moot, PerformError, Performed, Retry};
use perun_client::{Door, FundError, Transfer};
use perun_protocol::{Account, PartIdx};
use world::{
    ALICE, BOB, FEE, FIRST, Proxy, SECOND, TestChannel, WEALTH, World, account, table, tables,
    units,
};

const DOORS: [Door; 2] = [Door::Approval, Door::DepositAccount];

async fn fund(
    chain: &Chain,
    channel: &TestChannel,
    share: u128,
    door: Door,
) -> Result<Performed, PerformError> {
    let funding = table([share, 7]);
    chain.fund(&channel.params, FIRST, &funding, door).await
}

/// A deposit costs the fee twice, whatever happened on the way.
async fn assert_paid_once(world: &World, channel: &TestChannel, share: u128) {
    assert_eq!(world.held(channel).await, [share, 0]);
    let left = world.balance(&account(ALICE)).await;
    assert_eq!(left, WEALTH - share - 2 * FEE);
    let deposit_account = Account::of_deposit(&channel.params, FIRST);
    assert_eq!(world.balance(&deposit_account).await, 0);
    let ledger = world.ledger_for(ALICE).await;
    let spender = Account::of(channel.params.adjudicator());
    let approved = ledger.allowance(&account(ALICE), &spender).await.unwrap();
    assert_eq!(approved.amount, units(0), "no approval stays behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_share_is_deposited_once_however_often() {
    for door in DOORS {
        let world = World::new().await;
        let channel = world.channel(1);
        for _ in 0..2 {
            // Another process each time.
            let chain = world.chain_for(ALICE).await;
            let performed = fund(&chain, &channel, 242, door).await.unwrap();
            assert_eq!(performed, Performed::Done);
            assert_paid_once(&world, &channel, 242).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_missing_is_deposited() {
    let world = World::new().await;
    let chain = world.chain_for(ALICE).await;
    for (nonce, door) in (1..).zip(DOORS) {
        let channel = world.channel(nonce);
        // Somebody else was so kind.
        let stranger = world.funder_for(5).await;
        let gift = stranger.deposit(&channel.params, FIRST, channel.asset(), units(100), door);
        gift.await.unwrap();
        let before = world.balance(&account(ALICE)).await;
        fund(&chain, &channel, 242, door).await.unwrap();
        assert_eq!(world.held(&channel).await, [242, 0]);
        let paid = before - world.balance(&account(ALICE)).await;
        assert_eq!(paid, 142 + 2 * FEE);
    }
}

/// Pays into the first participant's deposit account from a wallet.
async fn pay_in(world: &World, channel: &TestChannel, amount: u128) {
    let transfer = Transfer {
        from_subaccount: [0; 32],
        to: Account::of_deposit(&channel.params, FIRST),
        amount: units(amount),
        fee: units(FEE),
        memo: [9; 32],
        created_at: world.time(),
    };
    let wallet = world.ledger_for(5).await;
    wallet.transfer(&transfer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_the_deposit_account_is_used() {
    let world = World::new().await;
    let chain = world.chain_for(ALICE).await;
    for (nonce, lies_there, costs) in [
        // The rest of amount and fee, and the transfer's own fee.
        (1, 50, 242 + FEE - 50 + FEE),
        (2, 242 + FEE - 1, 1 + FEE),
        (3, 242 + FEE, 0),
    ] {
        let channel = world.channel(nonce);
        pay_in(&world, &channel, lies_there).await;
        let before = world.balance(&account(ALICE)).await;
        fund(&chain, &channel, 242, Door::DepositAccount)
            .await
            .unwrap();
        assert_eq!(world.held(&channel).await, [242, 0]);
        let paid = before - world.balance(&account(ALICE)).await;
        assert_eq!(paid, costs);
    }
    let generous = world.channel(4);
    pay_in(&world, &generous, 300).await;
    fund(&chain, &generous, 242, Door::DepositAccount)
        .await
        .unwrap();
    assert_eq!(world.held(&generous).await, [300 - FEE, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_cost_nothing() {
    for door in DOORS {
        let world = World::new().await;
        let channel = world.channel(1);
        let proxy = Proxy::before(&world).await;
        let methods = match door {
            Door::Approval => ["icrc2_approve", "deposit"],
            Door::DepositAccount => ["icrc1_transfer", "deposit"],
        };
        for method in methods {
            proxy.lose_answers(method, 1);
        }
        let chain = Chain::new(world.funder_at(proxy.url(), ALICE).await);
        let performed = fund(&chain, &channel, 242, door).await.unwrap();
        assert_eq!((performed, proxy.lost()), (Performed::Done, 2));
        assert_paid_once(&world, &channel, 242).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_between_transfer_and_sweep_the_transfer_is_found() {
    let world = World::new().await;
    let channel = world.channel(1);
    let proxy = Proxy::before(&world).await;
    proxy.lose_calls("deposit", 1);
    let crashing = world.hasty_chain_at(proxy.url(), ALICE).await;
    let crashed = fund(&crashing, &channel, 242, Door::DepositAccount).await;
    assert_eq!(crashed.unwrap_err().retry(), Retry::Soon);
    let deposit_account = Account::of_deposit(&channel.params, FIRST);
    assert_eq!(world.balance(&deposit_account).await, 242 + FEE);

    let restarted = world.chain_for(ALICE).await;
    let performed = fund(&restarted, &channel, 242, Door::DepositAccount).await;
    assert_eq!(performed.unwrap(), Performed::Done);
    assert_paid_once(&world, &channel, 242).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_has_not_executed_before_the_crash_executes_once() {
    let world = World::new().await;
    let channel = world.channel(1);
    let target = Target::ingress().to(world.ledger).method("icrc1_transfer");
    let rule = world.fault(target, Fault::DelayCall(Until::Released));
    let crashing = world.hasty_chain_at(&world.server.url(), ALICE).await;
    let crashed = fund(&crashing, &channel, 242, Door::DepositAccount).await;
    assert_eq!(crashed.unwrap_err().retry(), Retry::Soon);
    assert_eq!(world.fired(rule), 1);
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH);

    let restarted = world.chain_for(ALICE).await;
    let performed = fund(&restarted, &channel, 242, Door::DepositAccount).await;
    assert_eq!(performed.unwrap(), Performed::Done);
    world.release(rule);
    world.advance(Duration::from_secs(1));
    assert_paid_once(&world, &channel, 242).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_whose_outcome_the_adjudicator_does_not_know_is_waited_for() {
    for door in DOORS {
        let world = World::new().await;
        let channel = world.channel(1);
        let method = match door {
            Door::Approval => "icrc2_transfer_from",
            Door::DepositAccount => "icrc1_transfer",
        };
        // The money is neither where it was nor held.
        let rule = world.fault(world.ledger_calls(method).times(2), Fault::LoseReply);
        let crashing = world.hasty_chain_at(&world.server.url(), ALICE).await;
        let crashed = fund(&crashing, &channel, 242, door).await;
        assert_eq!(crashed.unwrap_err().retry(), Retry::Soon);
        assert_eq!(world.held(&channel).await, [0, 0]);
        assert_eq!(world.funds(&channel).await, 242);

        let restarted = world.chain_for(ALICE).await;
        let performed = fund(&restarted, &channel, 242, door).await;
        assert_eq!(performed.unwrap(), Performed::Done);
        assert_eq!(world.fired(rule), 2);
        assert_paid_once(&world, &channel, 242).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_with_an_unknown_outcome_is_found_even_if_no_transfer_would_be_the_same() {
    let world = World::new().await;
    let channel = world.channel(1);
    let rule = world.fault(world.ledger_calls("icrc1_transfer"), Fault::LoseReply);
    let crashing = world.hasty_chain_at(&world.server.url(), ALICE).await;
    let crashed = fund(&crashing, &channel, 242, Door::DepositAccount).await;
    crashed.unwrap_err();
    assert_eq!(world.fired(rule), 1);
    assert_eq!(world.held(&channel).await, [0, 0]);
    // From now on the ledger would not take a transfer for the one before.
    world.change_fee(25);
    let restarted = world.chain_for(ALICE).await;
    let performed = fund(&restarted, &channel, 242, Door::DepositAccount).await;
    assert_eq!(performed.unwrap(), Performed::Done);
    assert_paid_once(&world, &channel, 242).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_that_has_risen_since_the_money_was_paid_in_is_made_up_for() {
    let world = World::new().await;
    let channel = world.channel(1);
    let proxy = Proxy::before(&world).await;
    proxy.lose_calls("deposit", 1);
    let crashing = world.hasty_chain_at(proxy.url(), ALICE).await;
    let crashed = fund(&crashing, &channel, 242, Door::DepositAccount).await;
    crashed.unwrap_err();
    world.change_fee(25);
    let restarted = world.chain_for(ALICE).await;
    let performed = fund(&restarted, &channel, 242, Door::DepositAccount).await;
    assert_eq!(performed.unwrap(), Performed::Done);
    assert_eq!(world.held(&channel).await, [242, 0]);
    let left = world.balance(&account(ALICE)).await;
    assert_eq!(left, WEALTH - (242 + FEE + FEE) - (25 - FEE + 25));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_enough_is_told_the_numbers_and_goes_on_later() {
    let world = World::with_two_ledgers().await;
    let channel = world.channel_about_all(1);
    // The first token is there, the second is not.
    // Nobody has given this user anything.
    let poor = 200;
    let give = |amount, index| {
        let world = &world;
        async move {
            let transfer = Transfer {
                from_subaccount: [0; 32],
                to: account(poor),
                amount: units(amount),
                fee: units(FEE),
                memo: [3; 32],
                created_at: world.time(),
            };
            let ledger = world.nth_ledger_for(index, 5).await;
            ledger.transfer(&transfer).await.unwrap();
        }
    };
    give(1_000, 0).await;
    give(30, 1).await;
    let chain = world.chain_for(poor).await;
    let funding = tables(&[[100, 0], [50, 0]]);
    let deposit = |door| chain.fund(&channel.params, FIRST, &funding, door);
    // Nothing was paid: amount and fee for the sweep, and the transfer's own fee.
    for (door, balance, needed) in [
        (Door::DepositAccount, 30, 50 + 2 * FEE),
        // The approval was paid for.
        (Door::Approval, 30 - FEE, 50 + FEE),
    ] {
        let error = deposit(door).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Slowly, "{error}");
        let PerformError::Fund {
            asset,
            error:
                FundError::InsufficientFunds {
                    balance: has,
                    needed: needs,
                },
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(asset, channel.params.assets()[1]);
        assert_eq!((has, needs), (units(balance), units(needed)));
    }
    give(1_000, 1).await;
    assert_eq!(deposit(Door::Approval).await.unwrap(), Performed::Done);
    let holdings = chain.adjudicator().holdings(&channel.params).await;
    assert_eq!(holdings.unwrap().unwrap().amounts, funding);
    let left = world.balance(&account(poor)).await;
    assert_eq!(left, 1_000 - 100 - 2 * FEE, "the first asset was paid once");
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_that_are_funded_at_once_do_not_take_each_others_approval() {
    let world = World::new().await;
    let chain = world.chain_for(ALICE).await;
    let channels = [1, 2, 3].map(|nonce| world.channel(nonce));
    let pull = world.ledger_calls("icrc2_transfer_from");
    let rule = world.fault(pull, Fault::DelayCall(Until::Released));
    let [one, two, three] = &channels;
    let release = async {
        while world.fired(rule) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The first approval waits to be used, and the others have time to replace it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.release(rule);
    };
    let (one, two, three, ()) = tokio::join!(
        fund(&chain, one, 100, Door::Approval),
        fund(&chain, two, 200, Door::Approval),
        fund(&chain, three, 300, Door::Approval),
        release,
    );
    for performed in [one, two, three] {
        assert_eq!(performed.unwrap(), Performed::Done);
    }
    let left = world.balance(&account(ALICE)).await;
    assert_eq!(left, WEALTH - 600 - 6 * FEE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_in_dispute_is_no_longer_funded() {
    let world = World::new().await;
    let channel = world.channel(1);
    world.deposit(&channel, SECOND, 30, Door::Approval).await;
    let bob = world.adjudicator_for(BOB).await;
    let claim = channel.refund_claim(SECOND);
    bob.claim_refund(&channel.params, &claim).await.unwrap();
    let chain = world.chain_for(ALICE).await;
    for door in DOORS {
        let performed = fund(&chain, &channel, 242, door).await.unwrap();
        assert_eq!(performed, Performed::Moot(Moot::NotOpen));
    }
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_channel_is_refused_for_good() {
    let world = World::new().await;
    let channel = world.channel(1);
    let chain = world.chain_for(ALICE).await;
    let door = Door::Approval;
    let nobody = PartIdx::new(2);
    let refused = [
        chain
            .fund(&channel.params, FIRST, &tables(&[[1, 1], [1, 1]]), door)
            .await,
        chain
            .fund(&channel.params, nobody, &table([1, 1]), door)
            .await,
        fund(&chain, &world.channel_lasting(1, 59), 1, door).await,
        fund(&chain, &channel, u128::MAX - 7, door).await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.retry(), Retry::Never, "{error}");
    }
    assert_eq!(world.balance(&account(ALICE)).await, WEALTH);
}
