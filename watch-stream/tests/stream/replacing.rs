//! A stream made, or followed, over another one, with the power cut in between.

use std::collections::HashSet;

use perun_protocol::{ChannelId, Version};
use perun_watch_stream::{Author, Heard, Message, Record, Subscriber};

use crate::world::{CHANNEL, Cut, Flash, World, identity_key, owner, participant, payload};

const CUTS: [Cut; 4] = [Cut::Before(0), Cut::After(0), Cut::Before(1), Cut::After(1)];

/// What a key has signed: stream, number and, of keyloads, the epoch.
#[derive(Default)]
struct Signed {
    numbers: HashSet<(Vec<u8>, u64)>,
    epochs: HashSet<(Vec<u8>, u32)>,
}

impl Signed {
    fn see(&mut self, bytes: &[u8]) {
        let message = Message::parse(bytes).unwrap();
        let header = message.header();
        let stream = bytes[4..20].to_vec();
        let number = (stream.clone(), header.number.0);
        assert!(self.numbers.insert(number.clone()), "{number:?}");
        // A keyload.
        if bytes[2] == 4 {
            let epoch = (stream, header.epoch.0);
            assert!(self.epochs.insert(epoch.clone()), "{epoch:?}");
        }
    }
}

/// A new stream over one that has signed, which is readable as `reservation` or not any more.
fn make_over(cut: Option<Cut>, reservation: Option<&[u8]>) {
    let mut world = World::with_watchers(1);
    let mut signed = Signed::default();
    signed.see(world.author.keyload().unwrap());
    (1..9).for_each(|version| signed.see(&world.publish(version)));
    let before = world.author.stream();
    if let Some(reservation) = reservation {
        world.flash.put(Record::Reservation, reservation.to_vec());
    }
    if let Some(cut) = cut {
        world.flash.cut_at(cut);
    }
    let channel = ChannelId::from_bytes(CHANNEL);
    let made = Author::create(world.flash.clone(), channel, &owner(), &mut world.random);
    assert_eq!(made.is_err(), cut.is_some());
    world.flash.power_on();
    let Ok(Some(author)) = Author::start(world.flash.clone()) else {
        // What can't be read is never taken up.
        assert!(reservation.is_some());
        return;
    };
    world.author = author;
    if world.author.stream() != before {
        world.add_watcher(0x51);
    }
    signed.see(&world.keyload());
    (9..50).for_each(|version| signed.see(&world.publish(version)));
}

#[test]
fn an_author_made_over_another_repeats_nothing() {
    for cut in CUTS.map(Some).into_iter().chain([None]) {
        make_over(cut, None);
        make_over(cut, Some(b"damaged"));
    }
}

#[test]
fn a_watcher_that_follows_anew_goes_on_with_its_numbers() {
    for cut in CUTS.map(Some).into_iter().chain([None]) {
        let mut world = World::with_watchers(1);
        let mut signed = Signed::default();
        let announcement = world.author.announcement();
        let packet = world.publish(3);
        let watcher = &mut world.watchers[0];
        watcher.receive(&packet).unwrap();
        for _ in 0..9 {
            signed.see(&watcher.side.ack().unwrap());
        }
        if let Some(cut) = cut {
            watcher.flash.cut_at(cut);
        }
        let channel = ChannelId::from_bytes(CHANNEL);
        let followed = Subscriber::follow(
            watcher.flash.clone(),
            &announcement,
            channel,
            participant(),
            &[0x41; 32],
            &mut world.random,
        );
        assert_eq!(followed.is_err(), cut.is_some());
        watcher.flash.power_on();
        watcher.restart();
        let subscription = watcher.side.subscribe(&mut world.random).unwrap();
        signed.see(&subscription);
        let id = watcher.side.id();
        assert_eq!(
            world.author.watchers()[0].signing_key(),
            &identity_key(0x41)
        );
        // So its author still listens.
        assert_eq!(
            world.author.receive(&subscription),
            Ok(Heard::Subscribed(id))
        );
        world.open_epoch();
        let packet = world.author.publish(Version::new(4), &[], &payload(4));
        let packet = packet.unwrap().to_vec();
        world.watchers[0].receive(&packet).unwrap();
        signed.see(&world.watchers[0].side.ack().unwrap());
    }
}

#[test]
fn what_was_never_there_is_whole_or_not_there() {
    for cut in CUTS {
        let flash = Flash::default();
        flash.cut_at(cut);
        let mut random = crate::world::Random::new(3);
        let channel = ChannelId::from_bytes(CHANNEL);
        let made = Author::create(flash.clone(), channel, &owner(), &mut random);
        assert!(made.is_err());
        flash.power_on();
        assert!(Author::start(flash).is_ok());
    }
}
