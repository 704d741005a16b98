//! Old copies of the flash.

use perun_device::Approval;
use perun_protocol::channel;

use crate::world::World;

fn rolled_back(world: &World) -> bool {
    let told = world.told();
    told.iter()
        .any(|event| matches!(event, channel::Event::RolledBack { .. }))
}

#[test]
fn a_watcher_shows_an_old_copy_that_it_is_one() {
    let mut world = World::open(1);
    let old = world.stop();
    world.start(old.clone()).unwrap();
    world.run(12);
    let now = world.now();
    world.peer.pay(now, 70);
    world.run(6);
    world.pay(20, Approval::None).unwrap();
    world.run(6);
    let version = world.overview().version;
    world.stop();
    // Without the peer, which could hide it.
    world.peer_reachable = false;
    world.start(old).unwrap();
    world.run(8);
    assert!(rolled_back(&world), "{:?}", world.events);
    assert_eq!(world.overview().version, version);
    assert_eq!(world.balance(), 1050);
    world.peer_reachable = true;
    world.run(12);
    world.pay(5, Approval::None).unwrap();
    world.run(12);
    assert_eq!(world.balance(), 1045);
    assert!(world.overview().version.unwrap().number() > 1 << 32);
    assert_eq!(world.versions_signed_twice(), []);
}

#[test]
fn before_a_watcher_has_answered_nothing_is_said_to_the_peer() {
    let mut world = World::open(1);
    let flash = world.stop();
    world.watchers_reachable = false;
    world.start(flash).unwrap();
    world.peer.bytes = 0;
    world.run(8);
    assert_eq!(world.peer.bytes, 0);
    world.watchers_reachable = true;
    world.run(8);
    assert!(world.overview().is_synced);
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut world = World::open(2);
    for round in 0..5 {
        world.pay(10, Approval::None).unwrap();
        let now = world.now();
        world.peer.pay(now, 30);
        // Sooner or later.
        world.run(round);
        world.restart();
        world.run(16);
    }
    assert!(!rolled_back(&world));
    assert_eq!(world.versions_signed_twice(), []);
    assert_eq!(
        world.balance() + world.peer.machine.as_ref().unwrap().balance()[0].units(),
        2000
    );
}
