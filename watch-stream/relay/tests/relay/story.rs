//! What a relay is for.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use perun_protocol::Version;
use perun_watch_relay::{Limits, Refusal, RelayEnd, Settings};
use perun_watch_stream::{Author, MAX_MESSAGE_LENGTH, Transport};
use rand_core::OsRng;

use crate::world::{Memory, PATIENCE, Relay, SILENCE, Watcher, channel, owner, settings, stage};

#[test]
fn a_device_reaches_its_watchers_and_hears_their_acks() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 3);
    for version in 1..20 {
        device.publish(version);
    }
    for watcher in &mut watchers {
        watcher.until(19);
        watcher.ack();
    }
    device.hear(3);
    assert_eq!(device.author.guarded_by(Version::new(19)), 3);
}

#[test]
fn who_sleeps_gets_it_later() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 2);
    device.publish(1);
    watchers[0].until(1);
    let sleeper = watchers.pop().unwrap();
    // Its connection is gone; the device does not notice.
    let mut sleeper = Watcher {
        end: relay.end(),
        ..sleeper
    };
    device.publish(2);
    device.publish(3);
    sleeper.reconnect(&relay);
    sleeper.until(3);
    assert_eq!(sleeper.side.window().unwrap().missing().count(), 0);
    sleeper.ack();
    device.hear(1);
    assert_eq!(device.author.guarded_by(Version::new(3)), 1);
}

#[test]
fn a_relay_that_is_started_again_has_everything() {
    let mut relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 2);
    device.publish(1);
    device.publish(2);
    watchers[0].until(2);
    watchers[0].ack();
    relay.restart();
    for watcher in &mut watchers {
        watcher.reconnect(&relay);
    }
    watchers[1].until(2);
    watchers[1].ack();
    device.reconnect(&relay);
    device.hear(2);
    assert_eq!(device.author.guarded_by(Version::new(2)), 2);
    device.publish(3);
    watchers[0].until(3);
}

/// The device came and went while the watcher was away, and the other way round: they never meet.
#[test]
fn both_need_not_be_there_at_once() {
    let mut relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    let mut watcher = watchers.remove(0);
    for version in 1..5 {
        relay.restart();
        device.reconnect(&relay);
        device.publish(version);
        relay.restart();
        watcher.reconnect(&relay);
        watcher.until(version);
        watcher.ack();
        relay.restart();
        device.reconnect(&relay);
        device.hear(1);
        assert_eq!(device.author.guarded_by(Version::new(version)), 1);
    }
}

#[test]
fn heartbeats_are_passed_on_and_not_kept() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    device.publish(1);
    watchers[0].until(1);
    let beat = device.author.heartbeat(b"alive").unwrap();
    assert_eq!(device.end.publish(&beat).unwrap(), Ok(()));
    assert_eq!(watchers[0].rest(), [beat.to_vec()]);
    watchers[0].reconnect(&relay);
    assert!(!watchers[0].rest().contains(&beat.to_vec()));
}

#[test]
fn what_is_published_again_is_kept_once() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    let packet = device.publish(1);
    watchers[0].until(1);
    for _ in 0..3 {
        assert_eq!(device.end.publish(&packet).unwrap(), Ok(()));
    }
    assert_eq!(watchers[0].rest(), Vec::<Vec<u8>>::new());
    // Announcement, subscription, keyload, packet.
    assert_eq!(relay.files(device.author.stream()).len(), 4);
}

/// A device that has no ack publishes again: who has lost it on the way gets it.
#[test]
fn what_nobody_has_acknowledged_is_pushed_again() {
    let settings = Settings {
        limits: Limits {
            repeat: SILENCE,
            ..Limits::default()
        },
        ..settings()
    };
    let relay = Relay::with(settings);
    let (mut device, mut watchers) = stage(&relay, 1);
    let packet = device.publish(1);
    watchers[0].until(1);
    std::thread::sleep(SILENCE);
    assert_eq!(device.end.publish(&packet).unwrap(), Ok(()));
    assert_eq!(device.end.publish(&packet).unwrap(), Ok(()));
    let again = watchers[0].rest();
    assert_eq!(again, std::slice::from_ref(&packet));
    watchers[0].ack();
    std::thread::sleep(SILENCE);
    assert_eq!(device.end.publish(&packet).unwrap(), Ok(()));
    assert_eq!(watchers[0].rest(), Vec::<Vec<u8>>::new());
}

#[test]
fn it_is_a_transport() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    watchers[0].rest();
    let packet = device
        .author
        .publish(Version::new(1), &[], &[1; 8])
        .unwrap();
    device.end.send(packet).unwrap();
    let mut buffer = [0; MAX_MESSAGE_LENGTH];
    let length = loop {
        if let Some(length) = watchers[0].end.receive(&mut buffer).unwrap() {
            break length;
        }
    };
    assert_eq!(&buffer[..length], packet);
    assert!(device.end.send(b"garbage").is_err());
    // The connection is still good.
    let again = device.author.packet().unwrap();
    device.end.send(again).unwrap();
}

/// Both branches of a fork reach the watcher, so that it has the evidence.
#[test]
fn a_fork_is_passed_on() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    let export = device.author.export(&[1; 32]);
    // Two are evidence, more would only fill the relay.
    for kept in [Ok(()), Ok(()), Err(Refusal::Quota)] {
        let mut copy = Author::import(Memory::default(), &export, &[1; 32]).unwrap();
        let keyload = copy.open_epoch(&mut OsRng).unwrap();
        assert_eq!(device.end.publish(keyload).unwrap(), kept);
    }
    while let Some(message) = watchers[0].end.next(SILENCE).unwrap() {
        watchers[0].take(&message);
    }
    assert!(watchers[0].side.fork().is_some());
}

/// The program, as an owner starts it.
#[test]
fn the_program_serves_its_owners_streams() {
    let folder = settings().folder;
    let key = owner().participant();
    let perun_protocol::Participant::Secp256k1(key) = key;
    let key: String = key
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut program = Command::new(env!("CARGO_BIN_EXE_perun-watch-relay"))
        .args(["--listen", "127.0.0.1:0", "--participant", &key, "--folder"])
        .arg(&folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(program.stdout.take().unwrap());
    let mut said = log.lines().map(Result::unwrap);
    let listening = said.find(|line| line.contains("listening on")).unwrap();
    let address = listening.rsplit(' ').next().unwrap();
    let mut end = RelayEnd::connect(address, PATIENCE).unwrap();
    let ours = Author::create(Memory::default(), channel(), &owner(), &mut OsRng).unwrap();
    assert_eq!(end.publish(&ours.announcement()).unwrap(), Ok(()));
    let other = perun_protocol::SecretKey::from_bytes(&[0x12; 32]).unwrap();
    let other = Author::create(Memory::default(), channel(), &other, &mut OsRng).unwrap();
    let refused = end.publish(&other.announcement()).unwrap();
    assert_eq!(refused, Err(Refusal::NotServed));
    program.kill().unwrap();
    program.wait().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
