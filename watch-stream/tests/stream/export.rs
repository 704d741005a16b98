//! Moving to another device.

use perun_protocol::Version;
use perun_watch_stream::{Author, Heard, IMPORT_JUMP, StartError, Subscriber};

use crate::world::{Cut, Flash, Got, PowerCut, World, state};

const KEY: [u8; 32] = [0x77; 32];

#[test]
fn an_author_moves_and_its_watchers_follow() {
    let mut world = World::with_watchers(2);
    let packet = world.publish(1);
    world.watchers[0].receive(&packet).unwrap();
    let export = world.author.export(&KEY);
    let announcement = world.author.announcement();
    world.flash = Flash::default();
    world.author = Author::import(world.flash.clone(), &export, &KEY).unwrap();
    assert_eq!(world.author.announcement(), announcement);
    assert!(world.author.is_epoch_due());
    // The delayed last packet of the old device is still the newest, until the new one publishes.
    let keyload = world.keyload();
    assert_eq!(world.watchers[1].receive(&keyload), Ok(Got::Epoch(65_538)));
    assert_eq!(world.watchers[1].receive(&packet), Ok(state(1)));
    world.watchers[0].receive(&keyload).unwrap();
    let packet = world.publish(2);
    for watcher in &mut world.watchers {
        assert_eq!(watcher.receive(&packet), Ok(state(2)));
        assert_eq!(watcher.side.fork(), None);
        let newest = watcher.side.window().unwrap().newest().0;
        assert!(newest > IMPORT_JUMP);
        let ack = watcher.side.ack().unwrap();
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
    assert_eq!(world.author.guarded_by(Version::new(2)), 2);
}

/// An export may be old: what the device signed since must not be signed again.
#[test]
fn an_old_export_repeats_no_number() {
    let mut world = World::with_watchers(1);
    let export = world.author.export(&KEY);
    for version in 0..200 {
        let packet = world.publish(version);
        world.watchers[0].receive(&packet).unwrap();
    }
    world.author = Author::import(world.flash.clone(), &export, &KEY).unwrap();
    world.open_epoch();
    let packet = world.publish(200);
    assert_eq!(world.watchers[0].receive(&packet), Ok(state(200)));
    assert_eq!(world.watchers[0].side.fork(), None);
    // Not even if the same export is imported again on the same device.
    world.author = Author::import(world.flash.clone(), &export, &KEY).unwrap();
    world.open_epoch();
    let packet = world.publish(201);
    assert_eq!(world.watchers[0].receive(&packet), Ok(state(201)));
    assert_eq!(world.watchers[0].side.fork(), None);
}

#[test]
fn two_imports_of_one_export_are_a_fork() {
    let mut world = World::with_watchers(1);
    let export = world.author.export(&KEY);
    for version in [5, 6] {
        world.flash = Flash::default();
        world.author = Author::import(world.flash.clone(), &export, &KEY).unwrap();
        world.open_epoch();
        let packet = world.publish(version);
        assert_eq!(world.watchers[0].receive(&packet), Ok(state(version)));
    }
    assert!(world.watchers[0].side.fork().is_some());
}

#[test]
fn a_watcher_moves() {
    let mut world = World::with_watchers(1);
    let keyload = world.author.keyload().unwrap().to_vec();
    let packets = [1, 2].map(|version| world.publish(version));
    let watcher = &mut world.watchers[0];
    watcher.receive(&packets[0]).unwrap();
    let first_ack = watcher.side.ack().unwrap();
    let export = watcher.side.export(&KEY);
    watcher.flash = Flash::default();
    watcher.side = Subscriber::import(watcher.flash.clone(), &export, &KEY).unwrap();
    assert_eq!(watcher.receive(&keyload), Ok(Got::Epoch(1)));
    assert_eq!(watcher.receive(&packets[0]), Ok(Got::Superseded(1)));
    assert_eq!(watcher.receive(&packets[1]), Ok(state(2)));
    let ack = watcher.side.ack().unwrap();
    world.author.receive(&first_ack).unwrap();
    assert!(world.author.receive(&ack).is_ok());
}

#[test]
fn only_a_whole_export_and_its_key_will_do() {
    let world = World::with_watchers(1);
    let export = world.author.export(&KEY);
    let wrong = |bytes: &[u8], key: &[u8; 32]| {
        let flash = Flash::default();
        let refused = Author::import(flash.clone(), bytes, key).err();
        assert_eq!(refused, Some(StartError::WrongExport));
        assert_eq!(flash.writes(), 0);
    };
    wrong(&export, &[0x78; 32]);
    wrong(&[], &KEY);
    for position in 0..export.len() {
        let mut other = export.to_vec();
        other[position] ^= 1;
        wrong(&other, &KEY);
        wrong(&export[..position], &KEY);
    }
    wrong(&[&export[..], &[0]].concat(), &KEY);
    wrong(&[1; 2_000], &KEY);
    // A watcher's is no author's.
    wrong(&world.watchers[0].side.export(&KEY), &KEY);
    let refused = Subscriber::import(Flash::default(), &export, &KEY).err();
    assert_eq!(refused, Some(StartError::WrongExport));
}

#[test]
fn an_import_that_is_cut_is_made_again() {
    let mut world = World::with_watchers(1);
    let export = world.author.export(&KEY);
    for cut in [Cut::Before(0), Cut::After(0), Cut::Before(1), Cut::After(1)] {
        world.flash = Flash::default();
        world.flash.cut_at(cut);
        let refused = Author::import(world.flash.clone(), &export, &KEY).err();
        assert_eq!(refused, Some(StartError::Storage(PowerCut)));
        world.flash.power_on();
        match Author::start(world.flash.clone()).unwrap() {
            Some(author) => world.author = author,
            None => {
                world.author = Author::import(world.flash.clone(), &export, &KEY).unwrap();
            }
        }
        let keyload = world.keyload();
        let message = perun_watch_stream::Message::parse(&keyload).unwrap();
        assert!(message.header().number.0 >= IMPORT_JUMP);
    }
}
