//! Time: on a live server it passes by itself, on a manual one by hand, and moving it never makes
//! agents distrust the server.

use std::time::Duration;

use local_ic::Clock;

use crate::{World, number};

const DAY: Duration = Duration::from_secs(86_400);

async fn time_ns(world: &World) -> u64 {
    let agent = world.anonymous().await;
    number(&agent.query(&world.canister, "clock").call().await.unwrap())
}

#[tokio::test]
async fn a_live_timer_runs_by_itself() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    let soon = Duration::from_millis(50).as_nanos() as u64;
    agent
        .update(&world.canister, "alarm")
        .with_arg(soon.to_le_bytes())
        .await
        .unwrap();
    // Real time is what this test is about, so it can only look again and again.
    while number(&agent.query(&world.canister, "read").call().await.unwrap()) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.counter(), 100);
}

#[tokio::test]
async fn a_manual_timer_runs_when_time_is_moved() {
    let world = World::new(Clock::Manual).await;
    let agent = world.anonymous().await;
    let day = DAY.as_nanos() as u64;
    agent
        .update(&world.canister, "alarm")
        .with_arg(day.to_le_bytes())
        .await
        .unwrap();

    let before = time_ns(&world).await;
    assert_eq!(time_ns(&world).await, before);
    world
        .server
        .with(|replica| replica.advance(DAY - Duration::from_secs(1)));
    assert_eq!(world.counter(), 0);
    world
        .server
        .with(|replica| replica.advance(Duration::from_secs(1)));
    assert_eq!(world.counter(), 100);
    assert_eq!(time_ns(&world).await, before + day);
}

#[tokio::test]
async fn agents_go_on_after_time_was_moved_by_a_year() {
    for clock in [Clock::Live, Clock::Manual] {
        let world = World::new(clock).await;
        let agent = world.anonymous().await;
        agent.update(&world.canister, "inc").await.unwrap();
        world.server.with(|replica| replica.advance(365 * DAY));
        // Certificates and node signatures lie in the future now, requests expire by the
        // machine's clock as before.
        agent.update(&world.canister, "inc").await.unwrap();
        let read = agent.query(&world.canister, "read").call().await.unwrap();
        assert_eq!(number(&read), 2);
        agent
            .read_state_canister_controllers(world.canister)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn time_moved_by_hand_stays_as_a_lead_of_a_live_clock() {
    let world = World::new(Clock::Live).await;
    let before = time_ns(&world).await;
    world.server.with(|replica| replica.advance(DAY));
    let day = DAY.as_nanos() as u64;
    let after = time_ns(&world).await;
    assert!(after > before + day);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(time_ns(&world).await >= after + 5_000_000);
}

#[tokio::test]
async fn a_served_replica_is_not_behind_the_machine_s_clock() {
    let world = World::new(Clock::Manual).await;
    let machine = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos() as u64;
    let replica = world.server.with(|replica| replica.time_ns());
    let minute = 60_000_000_000;
    assert!(
        replica <= machine && replica + minute > machine,
        "{replica} {machine}"
    );
}
