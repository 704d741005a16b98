//! The power fails at every single step of the flash, and again.

use perun_device::Approval;
use perun_protocol::Version;

use crate::world::nor::{TEARS, Tear};
use crate::world::{World, account, flash};

/// A channel in which both pay, and its end. Whatever fails in between is done again by its owner.
fn story(world: &mut World) {
    world.run(4);
    for _ in 0..40 {
        if !world.device().channels().is_empty() && world.overview().is_open {
            break;
        }
        if world.device().channels().is_empty() {
            world.peer.machine = None;
            let _ = world.propose(Approval::None);
        }
        world.run(6);
    }
    assert!(world.overview().is_open, "{:?}", world.events);
    let mut acknowledged = 0;
    for round in 1..4 {
        let _ = world.pay(10, Approval::None);
        let now = world.now();
        world.peer.pay(now, 30);
        world.run(14);
        let newest = world.peer.machine.as_ref().unwrap().newest().unwrap();
        acknowledged = newest.version().number();
        assert!(
            newest.version() >= Version::new(round),
            "{:?}",
            world.events
        );
    }
    // What the peer holds the device's signature on, the device knows.
    assert!(world.overview().version.unwrap().number() >= acknowledged);
    let theirs = world.peer.machine.as_ref().unwrap().balance()[0].units();
    assert_eq!(world.balance() + theirs, 2000, "{:?}", world.events);
    assert!(world.balance() >= 1000 + 90 - 30);
    let channel = world.channel();
    let _ = world.device().close(&channel);
    world.run(24);
    if !world.device().channels().is_empty() {
        // The order to close was lost with the power.
        let _ = world.device().close(&channel);
        world.run(24);
    }
    assert_eq!(world.versions_signed_twice(), []);
    assert!(world.device().channels().is_empty(), "{:?}", world.events);
    let ours = world.chain.paid_to(&account(0x41));
    assert_eq!(ours + theirs, 2000);
    assert!(ours >= 1060);
}

fn steps() -> u64 {
    let mut world = World::new(1);
    world.start(flash(Tear::Clean)).unwrap();
    story(&mut world);
    world.stop().steps
}

fn cut_at(tear: Tear, cuts: &[u64]) {
    let mut world = World::new(1);
    let mut flash = flash(tear);
    flash.power(Some(cuts[0]));
    // The first start may be where it fails.
    world.cuts = cuts[1..].to_vec();
    world.start_through_cuts(flash);
    story(&mut world);
    assert!(world.power_cuts > 0 || cuts[0] >= steps());
}

#[test]
fn the_power_fails_at_every_step() {
    let steps = steps();
    println!("{steps} steps, {} tears", TEARS.len());
    for tear in TEARS {
        for cut in 0..steps {
            cut_at(tear, &[cut]);
        }
    }
}

#[test]
fn the_power_fails_twice() {
    let steps = steps();
    // A prime, so that pairs fall everywhere.
    for cut in (0..steps).step_by(37) {
        for again in [0, 1, 7, 61] {
            cut_at(Tear::Partial, &[cut, again]);
        }
    }
}
