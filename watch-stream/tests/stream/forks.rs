//! Two copies of one author.

use perun_protocol::Version;
use perun_watch_stream::{Author, Fork, Heard, REMEMBERED};

use crate::world::{Flash, Got, Random, World, payload, state};

/// Another device that starts from an image of the author's flash.
fn cloned(world: &World) -> Author<Flash> {
    Author::start(world.flash.image()).unwrap().unwrap()
}

fn publish(author: &mut Author<Flash>, version: u64) -> Vec<u8> {
    let published = author.publish(Version::new(version), &[], &payload(version));
    published.unwrap().to_vec()
}

#[test]
fn a_clone_is_seen_and_the_higher_version_acted_on() {
    let mut world = World::with_watchers(1);
    let mut clone = cloned(&world);
    world.restart();
    let keyload = world.keyload();
    let packet = world.publish(3);
    let clones_keyload = clone.open_epoch(&mut Random::new(55)).unwrap().to_vec();
    let clones_packet = publish(&mut clone, 9);
    let key = world.author.about().keys().signing;
    let watcher = &mut world.watchers[0];
    assert_eq!(watcher.receive(&keyload), Ok(Got::Epoch(2)));
    assert_eq!(watcher.receive(&packet), Ok(state(3)));
    assert_eq!(watcher.side.fork(), None);
    assert_eq!(watcher.receive(&clones_keyload), Ok(Got::Epoch(2)));
    let fork = *watcher.side.fork().unwrap();
    assert_eq!(watcher.receive(&clones_packet), Ok(state(9)));

    // Anybody can verify the evidence, nobody can make it up, and it survives a restart.
    assert_eq!(fork.first().header().number, fork.second().header().number);
    let bytes = fork.encode();
    assert_eq!(Fork::decode(&bytes, &key), Some(fork));
    assert_eq!(Fork::decode(&bytes, &[1; 32]), None);
    for position in 0..Fork::LENGTH {
        let mut other = bytes;
        other[position] ^= 1;
        assert_eq!(Fork::decode(&other, &key), None, "byte {position}");
    }
    let mut no_fork = bytes;
    no_fork.copy_within(..Fork::LENGTH / 2, Fork::LENGTH / 2);
    assert_eq!(Fork::decode(&no_fork, &key), None);
    watcher.restart();
    assert_eq!(watcher.side.fork(), Some(&fork));
    assert_eq!(watcher.receive(&keyload), Ok(Got::Epoch(2)));
    assert_eq!(watcher.receive(&packet), Ok(Got::Superseded(3)));
}

#[test]
fn a_packet_of_the_other_branch_is_held_until_its_keyload_comes() {
    let mut world = World::with_watchers(1);
    let mut clone = cloned(&world);
    world.restart();
    let keyload = world.keyload();
    let packet = world.publish(3);
    let clones_keyload = clone.open_epoch(&mut Random::new(55)).unwrap().to_vec();
    let clones_packet = publish(&mut clone, 9);
    let watcher = &mut world.watchers[0];
    watcher.receive(&keyload).unwrap();
    assert_eq!(watcher.receive(&packet), Ok(state(3)));
    assert_eq!(watcher.receive(&clones_packet), Ok(Got::Forked(34)));
    assert!(watcher.side.fork().is_some());
    assert_eq!(watcher.receive(&clones_keyload), Ok(Got::Epoch(2)));
    assert_eq!(watcher.release(), Some(state(9)));
}

#[test]
fn a_broken_link_is_a_fork() {
    let mut world = World::with_watchers(1);
    let mut clone = cloned(&world);
    world.restart();
    world.open_epoch();
    let clones_keyload = clone.open_epoch(&mut Random::new(55)).unwrap().to_vec();
    // The clone's keyload is lost; its first packet still follows another message than the one seen.
    drop(clones_keyload);
    let clones_packet = publish(&mut clone, 9);
    let key = world.author.about().keys().signing;
    let watcher = &mut world.watchers[0];
    assert_eq!(watcher.receive(&clones_packet), Ok(Got::Forked(34)));
    let fork = watcher.side.fork().unwrap();
    let numbers = [fork.first(), fork.second()].map(|signed| signed.header().number.0);
    assert_eq!(numbers, [33, 34]);
    assert_eq!(Fork::decode(&fork.encode(), &key), Some(*fork));
}

#[test]
fn an_honest_author_makes_no_fork() {
    let mut world = World::with_watchers(2);
    let mut messages = Vec::new();
    for round in 0..6 {
        for version in 0..7 {
            messages.push(world.publish(10 * round + version));
        }
        match round % 3 {
            0 => world.restart(),
            1 => world.author.jump().unwrap(),
            _ => {}
        }
        messages.push(world.keyload());
    }
    let [one, other] = &mut world.watchers[..] else {
        unreachable!()
    };
    messages.iter().for_each(|it| drop(one.receive(it)));
    messages.iter().rev().for_each(|it| drop(other.receive(it)));
    assert_eq!(one.side.fork(), None);
    assert_eq!(other.side.fork(), None);
}

/// A relay must not be able to make a watcher forget.
#[test]
fn replays_push_nothing_out_of_memory() {
    let mut world = World::with_watchers(1);
    let old: Vec<_> = (0..2 * REMEMBERED as u64)
        .map(|it| world.publish(it))
        .collect();
    let mut clone = cloned(&world);
    world.restart();
    let keyload = world.keyload();
    let clones_keyload = clone.open_epoch(&mut Random::new(55)).unwrap().to_vec();
    let watcher = &mut world.watchers[0];
    watcher.receive(&keyload).unwrap();
    old.iter().for_each(|it| drop(watcher.receive(it)));
    assert_eq!(watcher.side.fork(), None);
    watcher.receive(&clones_keyload).unwrap();
    assert!(watcher.side.fork().is_some());
}

/// The flash was written back to what it was: the device can't know, but a watcher's ack tells it.
#[test]
fn a_rolled_back_author_learns_it_from_an_ack() {
    let mut world = World::with_watchers(1);
    let old = world.flash.image();
    for version in 0..100 {
        let packet = world.publish(version);
        world.watchers[0].receive(&packet).unwrap();
    }
    world.flash = old;
    world.restart();
    let ack = world.watchers[0].side.ack().unwrap();
    let heard = world.author.receive(&ack).unwrap();
    assert!(
        matches!(heard, Heard::Acked { is_ahead: true, .. }),
        "{heard:?}"
    );
    world.author.jump().unwrap();
    world.open_epoch();
    let packet = world.publish(100);
    assert_eq!(world.watchers[0].receive(&packet), Ok(state(100)));
    assert_eq!(world.watchers[0].side.fork(), None);
    let ack = world.watchers[0].side.ack().unwrap();
    let heard = world.author.receive(&ack).unwrap();
    assert!(
        matches!(
            heard,
            Heard::Acked {
                is_ahead: false,
                ..
            }
        ),
        "{heard:?}"
    );
}
