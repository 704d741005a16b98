//! What watchers are for: nothing is accepted before one of them has stored it.

use perun_device::{Approval, Event};
use perun_protocol::Version;
use perun_protocol::channel;
use perun_protocol::wire::RejectCode;

use crate::world::{World, account};

#[test]
fn a_payment_counts_only_when_a_watcher_has_stored_it() {
    let mut world = World::open(1);
    world.watchers[0].is_silent = true;
    let now = world.now();
    world.peer.pay(now, 30);
    world.run(6);
    // It is signed, which nobody knows yet.
    assert_eq!(world.balance(), 1030);
    assert_eq!(world.received(), 0);
    assert_eq!(
        world
            .peer
            .machine
            .as_ref()
            .unwrap()
            .newest()
            .unwrap()
            .version(),
        Version::INITIAL
    );
    world.watchers[0].is_silent = false;
    world.run(10);
    assert_eq!(world.received(), 30);
    assert_eq!(world.overview().guarded, Some(Version::new(1)));
    assert_eq!(
        world
            .peer
            .machine
            .as_ref()
            .unwrap()
            .newest()
            .unwrap()
            .version(),
        Version::new(1)
    );
}

#[test]
fn one_of_two_watchers_is_enough() {
    let mut world = World::open(2);
    world.watchers[0].is_silent = true;
    let now = world.now();
    world.peer.pay(now, 30);
    world.run(4);
    assert_eq!(world.received(), 30);
}

#[test]
fn when_all_watchers_lag_a_payment_is_refused_and_the_peer_told_why() {
    let mut world = World::open(2);
    let since = world.now();
    for watcher in &mut world.watchers {
        watcher.blind_since = Some(since);
    }
    world.run(60);
    let now = world.now();
    world.peer.pay(now, 30);
    world.run(60);
    assert_eq!(world.balance(), 1000);
    assert!(
        world.peer.rejected.contains(&RejectCode::WatchersLag),
        "{:?}",
        world.peer.rejected
    );
    for watcher in &mut world.watchers {
        watcher.blind_since = None;
    }
    world.run(10);
    let now = world.now();
    world.peer.pay(now, 40);
    world.run(10);
    assert_eq!(world.received(), 40);
}

#[test]
fn without_any_watcher_in_reach_nothing_is_signed() {
    let mut world = World::open(2);
    world.cut_off_watchers();
    let now = world.now();
    world.peer.pay(now, 30);
    world.pay(10, Approval::None).unwrap();
    world.run(8);
    assert_eq!(world.overview().version, Some(Version::INITIAL));
    world.watchers_reachable = true;
    world.run(16);
    // Whichever came first, or was refused in the meantime.
    assert!(world.overview().version > Some(Version::INITIAL));
    assert!(world.balance() < 1000 || world.received() == 30);
}

#[test]
fn a_watcher_refutes_what_the_peer_registers_while_the_device_is_off() {
    let mut world = World::open(1);
    let old = world
        .peer
        .machine
        .as_ref()
        .unwrap()
        .newest()
        .unwrap()
        .clone();
    let now = world.now();
    world.peer.pay(now, 400);
    world.run(6);
    let flash = world.stop();
    let params = world.peer.machine.as_ref().unwrap().params().clone();
    // The peer, which has less since, registers what it had at first, and does nothing more.
    world.peer.machine = None;
    let now = world.now();
    world.chain.dispute(&params, &old, now);
    world.run(300);
    assert_eq!(world.chain.paid_to(&account(0x41)), 1400);
    world.start(flash).unwrap();
    world.run(10);
    let closed = |event: &&channel::Event| matches!(event, channel::Event::Closed { .. });
    assert!(world.told().iter().any(closed), "{:?}", world.events);
    assert!(world.device().channels().is_empty());
}

#[test]
fn a_dispute_is_noticed_and_ends_the_channel() {
    let mut world = World::open(1);
    let now = world.now();
    world.peer.pay(now, 400);
    world.run(6);
    world
        .peer
        .machine
        .as_mut()
        .unwrap()
        .force_close(now)
        .unwrap();
    world.run(8);
    let noticed = |event: &Event| matches!(event, Event::DisputeNoticed { .. });
    assert!(world.events.iter().any(noticed));
    let disputed = |event: &&channel::Event| matches!(event, channel::Event::Disputed { .. });
    assert!(world.told().iter().any(disputed));
    world.run(300);
    assert_eq!(world.chain.paid_to(&account(0x41)), 1400);
    assert!(world.device().channels().is_empty());
}

#[test]
fn a_device_closes_without_its_peer() {
    let mut world = World::open(2);
    world.pay(100, Approval::None).unwrap();
    world.run(6);
    world.peer_reachable = false;
    world.peer.unlinked();
    let channel = world.channel();
    world.device().force_close(&channel).unwrap();
    world.run(300);
    assert_eq!(world.chain.paid_to(&account(0x41)), 900);
    assert!(world.device().channels().is_empty(), "{:?}", world.events);
}

#[test]
fn a_close_that_the_peer_does_not_answer_becomes_a_dispute() {
    let mut world = World::open(1);
    world.peer_reachable = false;
    world.peer.unlinked();
    let channel = world.channel();
    world.device().close(&channel).unwrap();
    world.run(400);
    assert_eq!(world.chain.paid_to(&account(0x41)), 1000);
}

#[test]
fn a_watcher_that_has_forgotten_is_told_again() {
    let mut world = World::open(1);
    let now = world.now();
    world.peer.pay(now, 5);
    world.run(6);
    world.watchers[0].forget();
    world.run(20);
    let channel = world.channel();
    assert_eq!(world.watchers[0].stored(&channel), Some(Version::new(1)));
}
