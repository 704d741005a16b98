//! Waiting until everybody has deposited.

mod world;

use std::time::Duration;

use perun_client::{Door, Phase, WaitError};
use perun_protocol::dispute::InsufficientFunding;
use perun_protocol::{Amount, AssetIdx, Balances};
use world::{ALICE, BOB, FIRST, Proxy, SECOND, World, table, units};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn alice_waits_for_bob() {
    let world = World::new().await;
    let channel = world.channel(1);
    world.deposit(&channel, FIRST, 242, Door::Approval).await;
    let funder = world.funder_for(ALICE).await;
    let funding = table([242, 194]);
    let waiting = funder.wait_funded(&channel.params, &funding, LONG);
    let bob = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world
            .deposit(&channel, SECOND, 100, Door::DepositAccount)
            .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.deposit(&channel, SECOND, 100, Door::Approval).await;
    };
    let (waited, ()) = tokio::join!(waiting, bob);
    assert_eq!(
        waited.unwrap(),
        table([242, 200]),
        "more than needed is enough"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_missing_is_named_when_time_is_over() {
    let world = World::new().await;
    let channel = world.channel(1);
    let funder = world.funder_for(ALICE).await;
    let funding = table([242, 194]);
    let short = |part, held, needed| InsufficientFunding {
        asset: AssetIdx::new(0),
        part,
        held: units(held),
        needed: units(needed),
    };
    for (expected, deposit) in [
        (short(FIRST, 0, 242), (FIRST, 242)),
        (short(SECOND, 0, 194), (SECOND, 193)),
        (short(SECOND, 193, 194), (SECOND, 1)),
    ] {
        let timeout = Duration::from_millis(300);
        let error = funder
            .wait_funded(&channel.params, &funding, timeout)
            .await
            .unwrap_err();
        let WaitError::TimedOut {
            missing,
            last: None,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(missing, Some(expected));
        world
            .deposit(&channel, deposit.0, deposit.1, Door::Approval)
            .await;
    }
    // Looked at once even without any time to wait.
    let waited = funder.wait_funded(&channel.params, &funding, LONG).await;
    assert_eq!(waited.unwrap(), funding);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_in_dispute_is_not_waited_for() {
    let world = World::new().await;
    let channel = world.funded(1, [20, 30]).await;
    let adjudicator = world.adjudicator_for(BOB).await;
    let signed = channel.signed(1, [25, 25], [20, 30]);
    adjudicator.dispute(&channel.params, &signed).await.unwrap();
    let funder = world.funder_for(ALICE).await;
    let error = funder
        .wait_funded(&channel.params, &table([20, 30]), LONG)
        .await;
    let registered = Phase::Registered;
    assert!(matches!(error, Err(WaitError::NotOpen { phase }) if phase == registered));
    let last = channel.last(2, [25, 25], [20, 30]);
    adjudicator
        .conclude_final(&channel.params, &last)
        .await
        .unwrap();
    let error = funder
        .wait_funded(&channel.params, &table([20, 20]), LONG)
        .await;
    let concluded = Phase::Concluded;
    assert!(matches!(error, Err(WaitError::NotOpen { phase }) if phase == concluded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_funding_of_another_shape_is_refused() {
    let world = World::new().await;
    let channel = world.channel(1);
    let funder = world.funder_for(ALICE).await;
    for (parts, amounts) in [(3, 3), (2, 4)] {
        let funding = Balances::new(parts, vec![Amount::ZERO; amounts]).unwrap();
        let error = funder.wait_funded(&channel.params, &funding, LONG).await;
        assert!(matches!(error, Err(WaitError::WrongShape)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_outlasts_a_lost_connection() {
    let world = World::new().await;
    let proxy = Proxy::before(&world).await;
    let channel = world.funded(1, [20, 30]).await;
    proxy.lose_calls("query_holdings", 5);
    let funder = world.funder_at(proxy.url(), ALICE).await;
    let waited = funder
        .wait_funded(&channel.params, &table([20, 30]), LONG)
        .await;
    assert_eq!(waited.unwrap(), table([20, 30]));
    assert_eq!(proxy.lost(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stays_lost_is_told_with_the_last_error() {
    let world = World::new().await;
    let proxy = Proxy::before(&world).await;
    let channel = world.funded(1, [20, 30]).await;
    proxy.lose_calls("query_holdings", usize::MAX);
    let adjudicator = world.adjudicator_at(proxy.url(), ALICE).await;
    let funder = perun_client::Funder::new(adjudicator.with_patience(perun_client::Patience::NONE))
        .with_poll_interval(Duration::from_millis(50));
    let timeout = Duration::from_millis(500);
    let error = funder
        .wait_funded(&channel.params, &table([20, 30]), timeout)
        .await;
    assert!(
        matches!(
            error,
            Err(WaitError::TimedOut {
                missing: None,
                last: Some(_)
            })
        ),
        "{error:?}"
    );
}
