//! How long a claim can be refuted: as long as its window is open, while the canister runs.

use std::time::Duration;

use crate::rules::{CHALLENGE_S, World};

fn has_open_window(world: &World) -> bool {
    world.read(|adjudicator, _| adjudicator.has_open_window())
}

/// Otherwise the timer would tick for nothing, and the figures tell of a dispute that is none.
#[test]
fn a_window_is_closed_when_its_channel_is_concluded() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    assert!(!has_open_window(&world));
    for version in [1, 2] {
        let claim = channel.disputing(version, &[50, 150], &[100, 100]);
        world.dispute(claim).unwrap();
        assert!(has_open_window(&world));
    }
    let last = channel.concluding(3, &[50, 150], &[100, 100]);
    world.conclude(last).unwrap();
    assert!(!has_open_window(&world));
}

#[test]
fn a_window_is_closed_when_its_time_has_passed() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .dispute(channel.disputing(1, &[50, 150], &[100, 100]))
        .unwrap();
    world.advance(Duration::from_secs(u64::from(CHALLENGE_S) - 10));
    assert!(has_open_window(&world));
    world.advance(Duration::from_secs(20));
    assert!(!has_open_window(&world));
}

#[test]
fn what_stood_still_while_a_window_was_open_is_a_gap() {
    let mut world = World::new();
    let gaps_ns = |world: &World| world.read(|adjudicator, _| adjudicator.gaps_ns());
    let channel = world.funded(1, [100, 100]);
    world.stall(Duration::from_secs(1_000));
    let claim = |version| channel.disputing(version, &[50, 150], &[100, 100]);
    world.dispute(claim(1)).unwrap();
    assert_eq!(gaps_ns(&world), 0, "no window was open");
    world.stall(Duration::from_secs(1_000));
    world.dispute(claim(2)).unwrap();
    assert_eq!(gaps_ns(&world), 1_000_000_000_000);
}
