//! Acks that are not true any more, or never were.

use perun_protocol::Version;
use perun_watch_stream::{Heard, ReceiveError, Refused, SendError};

use crate::world::{Cut, Got, PowerCut, Watcher, World, identity_key, state};

#[test]
fn who_lost_a_state_says_so_and_gets_it_again() {
    let mut world = World::with_watchers(1);
    let packets = [1, 2].map(|version| world.publish(version));
    let watcher = &mut world.watchers[0];
    for (packet, version) in packets.iter().zip(1..) {
        assert_eq!(watcher.receive(packet), Ok(state(version)));
    }
    watcher.side.forget(Some(Version::new(1))).unwrap();
    let ack = watcher.side.ack().unwrap();
    world.author.receive(&ack).unwrap();
    assert_eq!(world.author.guarded_by(Version::new(2)), 0);
    assert_eq!(world.author.guarded_by(Version::new(1)), 1);
    // Its key was used; the author publishes the same state anew.
    let watcher = &mut world.watchers[0];
    let got = watcher.receive(&packets[1]);
    assert!(
        matches!(got, Err(ReceiveError::Refused(Refused::Repeated { .. }))),
        "{got:?}"
    );
    let again = world.publish(2);
    let watcher = &mut world.watchers[0];
    assert_eq!(watcher.receive(&again), Ok(state(2)));
    assert_eq!(watcher.side.stored_version(), Some(Version::new(2)));
    // A new subscription makes the author open an epoch, if there is nothing new to publish.
    watcher.side.forget(None).unwrap();
    assert_eq!(watcher.side.ack(), Err(SendError::NothingStored));
    let subscription = watcher.side.subscribe(&mut world.random).unwrap();
    world.author.receive(&subscription).unwrap();
    world.open_epoch();
    let again = world.publish(2);
    assert_eq!(world.watchers[0].receive(&again), Ok(state(2)));
}

#[test]
fn what_is_forgotten_stays_so_over_a_restart() {
    let mut world = World::with_watchers(1);
    let keyload = world.author.keyload().unwrap().to_vec();
    let packet = world.publish(5);
    let watcher = &mut world.watchers[0];
    watcher.receive(&packet).unwrap();
    watcher.flash.cut_at(Cut::Before(0));
    assert_eq!(watcher.side.forget(None), Err(PowerCut));
    assert_eq!(watcher.side.stored_version(), Some(Version::new(5)));
    watcher.flash.power_on();
    watcher.side.forget(Some(Version::new(9))).unwrap();
    assert_eq!(watcher.side.stored_version(), Some(Version::new(5)));
    watcher.side.forget(None).unwrap();
    watcher.restart();
    assert_eq!(watcher.side.stored_version(), None);
    // After a start also what was read already can be read.
    assert_eq!(watcher.receive(&keyload), Ok(Got::Epoch(1)));
    assert_eq!(watcher.receive(&packet), Ok(state(5)));
}

#[test]
fn who_claims_what_was_not_published_counts_as_none() {
    let mut world = World::with_watchers(2);
    world.publish(1);
    let claim = |world: &mut World, watcher: usize, version| {
        let side = &mut world.watchers[watcher].side;
        side.stored(Version::new(version)).unwrap();
        let ack = side.ack().unwrap();
        world.author.receive(&ack).unwrap();
        ack
    };
    claim(&mut world, 0, 1);
    assert_eq!(world.author.guarded_by(Version::new(1)), 1);
    let early = claim(&mut world, 1, 2);
    claim(&mut world, 0, u64::MAX);
    assert_eq!(world.author.guarded_by(Version::new(1)), 0);
    // It does not come true later, either.
    world.publish(2);
    assert_eq!(world.author.guarded_by(Version::new(1)), 0);
    let refused = world.author.receive(&early);
    assert!(
        matches!(
            refused,
            Err(ReceiveError::Refused(Refused::Repeated { .. }))
        ),
        "{refused:?}"
    );
    claim(&mut world, 1, 2);
    assert_eq!(world.author.guarded_by(Version::new(2)), 1);
}

#[test]
fn an_ack_from_before_the_start_does_not_count() {
    let mut world = World::with_watchers(1);
    let packet = world.publish(1);
    world.watchers[0].receive(&packet).unwrap();
    let old = world.watchers[0].side.ack().unwrap();
    world.author.receive(&old).unwrap();
    assert_eq!(world.author.guarded_by(Version::new(1)), 1);
    world.restart();
    let keyload = world.keyload();
    let packet = world.publish(1);
    // Whoever kept it sends it again.
    world.author.receive(&old).unwrap();
    assert_eq!(world.author.guarded_by(Version::new(1)), 0);
    world.watchers[0].receive(&keyload).unwrap();
    assert_eq!(world.watchers[0].receive(&packet), Ok(Got::Superseded(1)));
    let ack = world.watchers[0].side.ack().unwrap();
    world.author.receive(&ack).unwrap();
    assert_eq!(world.author.guarded_by(Version::new(1)), 1);
}

#[test]
fn who_subscribes_anew_guards_nothing_yet() {
    let mut world = World::with_watchers(1);
    let packet = world.publish(1);
    let watcher = &mut world.watchers[0];
    watcher.receive(&packet).unwrap();
    let ack = watcher.side.ack().unwrap();
    world.author.receive(&ack).unwrap();
    assert_eq!(world.author.guarded_by(Version::new(1)), 1);
    let subscription = watcher.side.subscribe(&mut world.random).unwrap();
    world.author.receive(&subscription).unwrap();
    assert_eq!(world.author.guarded_by(Version::new(1)), 0);
    assert_eq!(world.author.watchers()[0].acked(), None);
}

/// Without its storage a watcher starts to count anew.
#[test]
fn who_lost_everything_is_heard_once_it_is_allowed_again() {
    let mut world = World::with_watchers(1);
    let announcement = world.author.announcement();
    let mut anew = Watcher::follow(&announcement, 0x41, &mut world.random);
    let subscription = anew.side.subscribe(&mut world.random).unwrap();
    let refused = world.author.receive(&subscription);
    assert!(
        matches!(
            refused,
            Err(ReceiveError::Refused(Refused::Repeated { .. }))
        ),
        "{refused:?}"
    );
    let id = anew.side.id();
    world.author.remove(id).unwrap();
    world.author.allow(identity_key(0x41)).unwrap();
    assert_eq!(
        world.author.receive(&subscription),
        Ok(Heard::Subscribed(id))
    );
}
