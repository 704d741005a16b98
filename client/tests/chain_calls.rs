//! Calls that are made again: disputes, conclusions, payouts.

mod world;

use std::time::Duration;

use local_ic::{Fault, RejectCode, Target};
use perun_client::chain::{Chain, Kept, Moot, PerformError, Performed, Retry};
use perun_client::{Door, Funder, Patience};
use perun_protocol::dispute::Rank;
use perun_protocol::{SignedWithdrawalAuth, Version};
use world::{
    ALICE, BOB, CHALLENGE_S, FEE, FIRST, Proxy, SECOND, TestChannel, World, account, table, tables,
    units,
};

const CHALLENGE: Duration = Duration::from_secs(CHALLENGE_S.0 as u64 + 2);

fn newer(version: u64) -> Performed {
    Performed::Moot(Moot::Newer(Rank::State(Version::new(version))))
}

async fn chain_behind(proxy: &Proxy, world: &World) -> Chain {
    Chain::new(world.funder_at(proxy.url(), BOB).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_is_done_or_moot() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let proxy = Proxy::before(&world).await;
    let chain = chain_behind(&proxy, &world).await;
    let params = &channel.params;
    let signed = |version| channel.signed(version, [15, 35], [20, 30]);
    proxy.lose_answers("dispute", 1);
    for _ in 0..2 {
        let performed = chain.dispute(params, &signed(2)).await.unwrap();
        assert_eq!(performed, Performed::Done);
    }
    assert_eq!(proxy.lost(), 1);
    let performed = chain.dispute(params, &signed(1)).await.unwrap();
    assert_eq!(performed, newer(2));

    let registered = chain.adjudicator().registered(params).await;
    let timeout = registered.unwrap().unwrap().timeout;
    world.advance(CHALLENGE);
    let performed = chain.dispute(params, &signed(3)).await.unwrap();
    let over = Performed::Moot(Moot::ChallengeElapsed { at: timeout });
    assert_eq!(performed, over);
    // What stands is not moot, not even after the end.
    chain.conclude(params).await.unwrap();
    let performed = chain.dispute(params, &signed(2)).await.unwrap();
    assert_eq!(performed, Performed::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_about_deposits_that_may_still_come_is_made_again() {
    let world = World::new().await;
    let channel = world.channel(1);
    let chain = world.chain_for(ALICE).await;
    let params = &channel.params;
    let signed = channel.signed(1, [15, 35], [20, 30]);
    let unknown = chain.dispute(params, &signed).await.unwrap_err();
    assert_eq!(unknown.retry(), Retry::Slowly, "{unknown}");
    world.deposit(&channel, FIRST, 20, Door::Approval).await;
    let uncovered = chain.dispute(params, &signed).await.unwrap_err();
    assert_eq!(uncovered.retry(), Retry::Slowly, "{uncovered}");
    world.deposit(&channel, SECOND, 30, Door::Approval).await;
    let performed = chain.dispute(params, &signed).await.unwrap();
    assert_eq!(performed, Performed::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conclusion_waits_for_the_timeout() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let proxy = Proxy::before(&world).await;
    let chain = chain_behind(&proxy, &world).await;
    let params = &channel.params;
    let early = chain.conclude(params).await.unwrap_err();
    assert_eq!(early.retry(), Retry::Slowly, "{early}");
    let signed = channel.signed(1, [15, 35], [20, 30]);
    let registered = chain.adjudicator().dispute(params, &signed).await;
    let timeout = registered.unwrap().timeout;
    let early = chain.conclude(params).await.unwrap_err();
    assert_eq!(early.retry(), Retry::NotBefore(timeout), "{early}");
    let auth = [channel.authorise(FIRST, account(10))];
    let early = chain.withdraw(&auth).await.unwrap_err();
    assert_eq!(early.retry(), Retry::NotBefore(timeout), "{early}");
    world.advance(CHALLENGE);
    proxy.lose_answers("conclude", 1);
    for _ in 0..2 {
        let performed = chain.conclude(params).await.unwrap();
        assert_eq!(performed, Performed::Done);
    }
    assert_eq!(proxy.lost(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_state_concludes_once_and_another_is_moot() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let proxy = Proxy::before(&world).await;
    let chain = chain_behind(&proxy, &world).await;
    let params = &channel.params;
    let signed = channel.signed(5, [15, 35], [20, 30]);
    chain.dispute(params, &signed).await.unwrap();
    let old = channel.last(4, [10, 40], [20, 30]);
    let performed = chain.conclude_final(params, &old).await.unwrap();
    assert_eq!(performed, newer(5));
    proxy.lose_answers("conclude", 1);
    let last = channel.last(6, [25, 25], [20, 30]);
    for _ in 0..2 {
        let performed = chain.conclude_final(params, &last).await.unwrap();
        assert_eq!(performed, Performed::Done);
    }
    assert_eq!(proxy.lost(), 1);
    let late = channel.last(7, [30, 20], [20, 30]);
    let performed = chain.conclude_final(params, &late).await.unwrap();
    assert!(
        matches!(performed, Performed::Moot(Moot::ChallengeElapsed { .. })),
        "{performed:?}"
    );
    let not_final = chain.conclude_final(params, &signed).await.unwrap_err();
    assert_eq!(not_final.retry(), Retry::Never, "{not_final}");
}

/// Both assets of a concluded channel, of which the first participant has `shares`.
async fn concluded(world: &World, shares: [u128; 2]) -> (TestChannel, [SignedWithdrawalAuth; 2]) {
    let channel = world.channel_about_all(1);
    let chain = world.chain_for(ALICE).await;
    let funding = tables(&[[100, 0], [100, 0]]);
    let funded = chain.fund(&channel.params, FIRST, &funding, Door::Approval);
    funded.await.unwrap();
    let shares = shares.map(|share| [share, 100 - share]);
    let last = channel.state_of(1, tables(&shares), funding);
    let last = channel.sign(last.finalized());
    chain.conclude_final(&channel.params, &last).await.unwrap();
    let auths = [0, 1].map(|index| {
        let asset = channel.params.assets()[index];
        channel.authorise_of(asset, FIRST, account(10 + index as u8))
    });
    (channel, auths)
}

async fn received(world: &World) -> [u128; 2] {
    let mut received = [0; 2];
    for (index, received) in received.iter_mut().enumerate() {
        let ledger = world.nth_ledger_for(index, 9).await;
        let balance = ledger.balance(&account(10 + index as u8)).await;
        *received = balance.unwrap().units();
    }
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_withdrawn_once() {
    let world = World::with_two_ledgers().await;
    let (_, auths) = concluded(&world, [60, 70]).await;
    let proxy = Proxy::before(&world).await;
    let chain = chain_behind(&proxy, &world).await;
    proxy.lose_answers("withdraw", 2);
    for _ in 0..2 {
        let performed = chain.withdraw(&auths).await.unwrap();
        assert_eq!(performed, Performed::Done);
        assert_eq!(received(&world).await, [60 - FEE, 70 - FEE]);
    }
    assert_eq!(proxy.lost(), 2);
    assert_eq!(chain.withdraw(&[]).await.unwrap(), Performed::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_above_the_fee_is_kept_and_named() {
    let world = World::with_two_ledgers().await;
    let (channel, auths) = concluded(&world, [FEE, 70]).await;
    let chain = world.chain_for(BOB).await;
    let kept = Kept {
        asset: channel.asset(),
        part: FIRST,
        amount: units(FEE),
        fee: units(FEE),
    };
    for _ in 0..2 {
        let performed = chain.withdraw(&auths).await.unwrap();
        assert_eq!(performed, Performed::Kept(vec![kept]));
        assert_eq!(received(&world).await, [0, 70 - FEE]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_fails_holds_up_its_own_asset_only() {
    let world = World::with_two_ledgers().await;
    let (channel, auths) = concluded(&world, [60, 70]).await;
    let first_ledger = Target::call().to(world.ledgers[0]).method("icrc1_transfer");
    let busy = Fault::RejectBefore {
        code: RejectCode::SysTransient,
        message: "no room".into(),
    };
    let rule = world.fault(first_ledger.always(), busy);
    let patience = Patience {
        total: Duration::from_secs(1),
        ..world::QUICK
    };
    let adjudicator = world.adjudicator_for(BOB).await.with_patience(patience);
    let chain = Chain::new(Funder::new(adjudicator));
    let error = chain.withdraw(&auths).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Soon, "{error}");
    let PerformError::Withdraw(failed) = error else {
        panic!("{error}");
    };
    let assets: Vec<_> = failed.iter().map(|payout| payout.asset).collect();
    assert_eq!(assets, [channel.asset()]);
    assert_eq!(received(&world).await, [0, 70 - FEE]);
    assert!(world.fired(rule) > 0);
    world.server.with(|replica| replica.faults().clear());
    let performed = chain.withdraw(&auths).await.unwrap();
    assert_eq!(performed, Performed::Done);
    assert_eq!(received(&world).await, [60 - FEE, 70 - FEE]);
    let table = table([0, 40]);
    let view = chain.look(&channel.params).await.unwrap();
    let perun_protocol::view::Status::Concluded { remainders, .. } = view.status else {
        panic!("{view:?}");
    };
    assert_eq!(remainders.rows().next(), table.rows().next());
}
