//! Looking at channels in every phase, and the adjudicator's clock.

mod world;

use std::time::Duration;

use local_ic::{Clock, Fault, Target, Until};
use perun_client::Door;
use perun_protocol::Version;
use perun_protocol::dispute::Rank;
use perun_protocol::view::Status;
use world::{
    ALICE, BOB, CHALLENGE_S, FEE, FIRST, SECOND, TestChannel, World, account, table, tables, units,
};

const CHALLENGE: Duration = Duration::from_secs(CHALLENGE_S.0 as u64 + 2);

async fn status(world: &World, channel: &TestChannel) -> Status {
    let chain = world.chain_for(9).await;
    let before = world.time();
    let view = chain.look(&channel.params).await.unwrap();
    assert!(view.at >= before && view.at <= world.time());
    view.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_seen_in_every_phase() {
    let world = World::new().await;
    let channel = world.channel(1);
    let open = |amounts| Status::Open {
        holdings: table(amounts),
    };
    assert_eq!(status(&world, &channel).await, open([0, 0]));
    world.deposit(&channel, FIRST, 20, Door::Approval).await;
    assert_eq!(status(&world, &channel).await, open([20, 0]));
    world.deposit(&channel, SECOND, 30, Door::Approval).await;
    assert_eq!(status(&world, &channel).await, open([20, 30]));

    let adjudicator = world.adjudicator_for(BOB).await;
    for version in [1, 2] {
        let signed = channel.signed(version, [15, 35], [20, 30]);
        let registered = adjudicator.dispute(&channel.params, &signed).await.unwrap();
        let expected = Status::Registered {
            rank: Rank::State(Version::new(version)),
            signed: Some(signed),
            timeout: registered.timeout,
            holdings: table([20, 30]),
        };
        assert_eq!(status(&world, &channel).await, expected);
    }

    let concluded = |amounts| Status::Concluded {
        remainders: table(amounts),
        in_flight: vec![units(0)],
    };
    world.advance(CHALLENGE);
    let seen = status(&world, &channel).await;
    assert!(
        matches!(seen, Status::Registered { .. }),
        "until somebody concludes: {seen:?}"
    );
    adjudicator.conclude(&channel.params).await.unwrap();
    assert_eq!(status(&world, &channel).await, concluded([15, 35]));
    let auth = channel.authorise(SECOND, account(11));
    adjudicator.withdraw(&auth).await.unwrap();
    assert_eq!(status(&world, &channel).await, concluded([15, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_claim_has_no_state() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let adjudicator = world.adjudicator_for(BOB).await;
    let claim = channel.refund_claim(SECOND);
    let registered = adjudicator.claim_refund(&channel.params, &claim).await;
    let expected = Status::Registered {
        rank: Rank::Refund,
        signed: None,
        timeout: registered.unwrap().timeout,
        holdings: table([20, 30]),
    };
    assert_eq!(status(&world, &channel).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_on_its_way_is_seen() {
    let world = World::with_two_ledgers().await;
    let channel = world.channel_about_all(1);
    let chain = world.chain_for(ALICE).await;
    let funding = tables(&[[20, 0], [0, 30]]);
    for part in [FIRST, SECOND] {
        let funded = chain.fund(&channel.params, part, &funding, Door::Approval);
        funded.await.unwrap();
    }
    let open = Status::Open {
        holdings: funding.clone(),
    };
    assert_eq!(status(&world, &channel).await, open);
    let last = channel.state_of(1, tables(&[[20, 0], [13, 17]]), funding);
    let last = channel.sign(last.finalized());
    chain.conclude_final(&channel.params, &last).await.unwrap();

    let second_ledger = Target::call().to(world.ledgers[1]).method("icrc1_transfer");
    let rule = world.fault(second_ledger, Fault::DelayCall(Until::Released));
    let adjudicator = world.adjudicator_for(BOB).await;
    let auth = channel.authorise_of(channel.params.assets()[1], SECOND, account(11));
    let payout = tokio::spawn(async move { adjudicator.withdraw(&auth).await });
    while world.fired(rule) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let in_flight = Status::Concluded {
        remainders: tables(&[[20, 0], [13, 0]]),
        in_flight: vec![units(0), units(17)],
    };
    assert_eq!(status(&world, &channel).await, in_flight);
    world.release(rule);
    assert_eq!(payout.await.unwrap().unwrap().paid, units(17 - FEE));
    let arrived = Status::Concluded {
        remainders: tables(&[[20, 0], [13, 0]]),
        in_flight: vec![units(0), units(0)],
    };
    assert_eq!(status(&world, &channel).await, arrived);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_concludes_during_the_look_is_concluded() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let chain = world.chain_for(ALICE).await;
    let signed = channel.signed(1, [15, 35], [20, 30]);
    chain.dispute(&channel.params, &signed).await.unwrap();
    world.advance(CHALLENGE);
    // Holdings are told as those of a registered channel; what is registered is asked for later.
    let target = Target::ingress()
        .to(world.adjudicator)
        .method("query_state");
    let rule = world.fault(target, Fault::DelayCall(Until::Released));
    let look = tokio::spawn({
        let (chain, params) = (chain.clone(), channel.params.clone());
        async move { chain.look(&params).await }
    });
    while world.fired(rule) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    chain.conclude(&channel.params).await.unwrap();
    world.release(rule);
    let concluded = Status::Concluded {
        remainders: table([15, 35]),
        in_flight: vec![units(0)],
    };
    assert_eq!(look.await.unwrap().unwrap().status, concluded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_not_younger_than_what_was_seen() {
    let world = World::new().await;
    let channel = world.channel(1);
    let chain = world.chain_for(ALICE).await;
    let target = Target::ingress()
        .to(world.adjudicator)
        .method("query_holdings");
    let rule = world.fault(target.always(), Fault::DelayCall(Until::Released));
    let look = tokio::spawn({
        let (chain, params) = (chain.clone(), channel.params.clone());
        async move { chain.look(&params).await }
    });
    while world.fired(rule) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = world.time();
    world.server.with(|replica| replica.faults().clear());
    world.advance(Duration::from_secs(30));
    let view = look.await.unwrap().unwrap();
    assert!(view.at <= asked, "{} is not before {asked}", view.at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_corrects_the_clock() {
    let world = World::new().await;
    let channel = world.channel(1);
    let chain = world.chain_for(ALICE).await;
    assert_eq!(chain.clock().now(), None);
    let view = chain.look(&channel.params).await.unwrap();
    let now = chain.clock().now().unwrap();
    assert!(now >= world.time(), "the latest that it can be");
    assert!(chain.clock().age(view.at).unwrap() < Duration::from_secs(20));
    // Time moves on there, and this machine's clocks know nothing of it.
    world.advance(Duration::from_secs(3_600));
    assert!(chain.clock().now().unwrap() < world.time());
    chain.look(&channel.params).await.unwrap();
    assert!(chain.clock().now().unwrap() >= world.time());
    assert!(chain.clock().age(view.at).unwrap() >= Duration::from_secs(3_600));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stands_still_there_does_not_go_back_here() {
    let world = World::with_clock(Clock::Manual).await;
    let chain = world.chain_for(ALICE).await;
    let time = chain.time().await.unwrap();
    assert_eq!(time, world.time());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = chain.clock().now().unwrap();
    assert!(before.nanos_since(time) >= 300_000_000);
    assert_eq!(chain.time().await.unwrap(), time);
    assert!(chain.clock().now().unwrap() >= before);
}
