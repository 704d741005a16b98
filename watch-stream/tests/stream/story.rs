//! What happens if everybody behaves and nothing is lost.

use perun_protocol::{ChannelId, SecretKey, Version};
use perun_watch_stream::{
    ANNOUNCEMENT_LENGTH, Author, Heard, MAX_EPOCH_PACKETS, MAX_MESSAGE_LENGTH, PACKET_OVERHEAD,
    ReceiveError, Record, Refused, SUBSCRIPTION_LENGTH, SendError, StartError, Subscriber,
    TAGGED_OVERHEAD, UNSUBSCRIPTION_LENGTH,
};

use crate::world::{CHANNEL, Flash, Got, Random, Watcher, World, identity_key, participant, state};

#[test]
fn all_watchers_get_each_state() {
    let mut world = World::with_watchers(3);
    for version in 0..40 {
        let packet = world.publish(version);
        for watcher in &mut world.watchers {
            assert_eq!(watcher.receive(&packet), Ok(state(version)));
        }
    }
    for watcher in &mut world.watchers {
        let ack = watcher.side.ack().unwrap();
        let heard = world.author.receive(&ack).unwrap();
        let Heard::Acked {
            watcher: id,
            acked,
            is_ahead,
        } = heard
        else {
            panic!("{heard:?}");
        };
        assert_eq!(id, watcher.side.id());
        assert_eq!(acked.version, Version::new(39));
        assert_eq!(acked.contiguous.0, 41);
        assert!(!is_ahead);
    }
    assert_eq!(world.author.guarded_by(Version::new(39)), 3);
    assert_eq!(world.author.guarded_by(Version::new(40)), 0);
}

#[test]
fn messages_are_as_long_as_they_are_said_to_be() {
    let mut world = World::with_watchers(1);
    assert_eq!(world.author.announcement().len(), 342);
    assert_eq!(ANNOUNCEMENT_LENGTH, 342);
    assert_eq!(SUBSCRIPTION_LENGTH, 244);
    assert_eq!(UNSUBSCRIPTION_LENGTH, 140);
    assert_eq!(world.author.keyload().unwrap().len(), 253);
    let published = world.author.publish(Version::INITIAL, &[], &[1; 256]);
    let packet = published.unwrap().to_vec();
    assert_eq!(packet.len(), 436);
    assert_eq!(world.author.heartbeat(&[1; 256]).unwrap().len(), 364);
    world.watchers[0].receive(&packet).unwrap();
    assert_eq!(world.watchers[0].side.ack().unwrap().len(), 156);
    for seed in 0..9 {
        world.add_watcher(0x60 + seed);
    }
    assert_eq!(world.open_epoch().len(), 1_045);
    let eleventh = world.author.allow(identity_key(0x70));
    assert_eq!(eleventh, Err(SendError::TooManyWatchers));
}

#[test]
fn nothing_goes_out_before_its_keyload() {
    let mut world = World::with_watchers(1);
    world.restart();
    let refused = world.author.publish(Version::INITIAL, &[], &[]);
    assert_eq!(refused, Err(SendError::EpochDue));
    assert_eq!(world.author.heartbeat(&[]), Err(SendError::EpochDue));
    world.open_epoch();
    let packet = world.publish(3);
    assert_eq!(world.watchers[0].receive(&packet), Ok(state(3)));
    // A watcher more: those before must not read on under keys that it was not given.
    world.add_watcher(0x50);
    assert!(world.author.is_epoch_due());
    let refused = world.author.publish(Version::new(4), &[], &[]);
    assert_eq!(refused, Err(SendError::EpochDue));
}

#[test]
fn a_stream_without_watchers_says_nothing() {
    let mut world = World::with_watchers(0);
    let refused = world.author.open_epoch(&mut world.random);
    assert_eq!(refused, Err(SendError::NoWatchers));
    world.author.allow(identity_key(9)).unwrap();
    let refused = world.author.open_epoch(&mut world.random);
    assert_eq!(refused, Err(SendError::NoWatchers));
}

#[test]
fn who_is_not_allowed_is_not_let_in() {
    let mut world = World::with_watchers(1);
    let announcement = world.author.announcement();
    let mut stranger = Watcher::follow(&announcement, 0x99, &mut world.random);
    let subscription = stranger.side.subscribe(&mut world.random).unwrap();
    let refused = Err(ReceiveError::Refused(Refused::NotAllowed));
    assert_eq!(world.author.receive(&subscription), refused);
    assert!(!world.author.is_epoch_due());
}

#[test]
fn a_removed_watcher_cannot_read_on() {
    let mut world = World::with_watchers(2);
    let before = world.publish(1);
    for watcher in &mut world.watchers {
        assert_eq!(watcher.receive(&before), Ok(state(1)));
    }
    let removed = world.watchers[1].side.id();
    world.author.remove(removed).unwrap();
    let keyload = world.keyload();
    assert_eq!(world.watchers[1].receive(&keyload), Ok(Got::Removed(2)));
    assert_eq!(world.watchers[1].side.is_member(), Some(false));
    assert_eq!(world.watchers[0].receive(&keyload), Ok(Got::Epoch(2)));
    let packet = world.publish(2);
    assert_eq!(world.watchers[0].receive(&packet), Ok(state(2)));
    let held = Got::Held(4);
    assert_eq!(world.watchers[1].receive(&packet), Ok(held));
    assert_eq!(world.watchers[1].release(), None);
    // Nor do its words count any more.
    let ack = world.watchers[1].side.ack().unwrap();
    let refused = Err(ReceiveError::Refused(Refused::NotAllowed));
    assert_eq!(world.author.receive(&ack), refused);
}

#[test]
fn a_watcher_leaves_by_its_own_word() {
    let mut world = World::with_watchers(2);
    let unsubscription = world.watchers[0].side.unsubscribe().unwrap();
    let id = world.watchers[0].side.id();
    assert_eq!(
        world.author.receive(&unsubscription),
        Ok(Heard::Unsubscribed(id))
    );
    assert_eq!(world.author.watchers().len(), 1);
    assert!(world.author.is_epoch_due());
}

#[test]
fn heartbeats_have_a_count_of_their_own() {
    let mut world = World::with_watchers(1);
    let packet = world.publish(0);
    let beat = world.author.heartbeat(b"alive").unwrap();
    let watcher = &mut world.watchers[0];
    // It shows that a message is missing, and takes no number.
    assert_eq!(
        watcher.receive(&beat),
        Ok(Got::Heartbeat(b"alive".to_vec(), true))
    );
    assert_eq!(watcher.receive(&packet), Ok(state(0)));
    let beat = world.author.heartbeat(b"alive").unwrap();
    assert_eq!(
        watcher.receive(&beat),
        Ok(Got::Heartbeat(b"alive".to_vec(), false))
    );
    let again = watcher.receive(&beat);
    assert!(matches!(
        again,
        Err(ReceiveError::Refused(Refused::Repeated { .. }))
    ));
    let packet = world.publish(1);
    assert_eq!(world.watchers[0].receive(&packet), Ok(state(1)));
}

#[test]
fn an_epoch_ends_after_so_many_packets() {
    let mut world = World::with_watchers(1);
    assert_eq!(world.author.packets_left(), MAX_EPOCH_PACKETS);
    let mut last = Vec::new();
    for version in 0..MAX_EPOCH_PACKETS {
        last = world.publish(version);
    }
    assert!(world.author.is_epoch_due());
    assert_eq!(world.author.packets_left(), 0);
    let refused = world.author.publish(Version::new(9_999), &[], &[]);
    assert_eq!(refused, Err(SendError::EpochDue));
    // Whoever lost all but the last reads that.
    let newest = MAX_EPOCH_PACKETS - 1;
    assert_eq!(world.watchers[0].receive(&last), Ok(state(newest)));
    world.open_epoch();
    let packet = world.publish(newest + 1);
    assert_eq!(world.watchers[0].receive(&packet), Ok(state(newest + 1)));
}

#[test]
fn a_watcher_takes_a_new_key() {
    let mut world = World::with_watchers(1);
    let packet = world.publish(0);
    let watcher = &mut world.watchers[0];
    watcher.receive(&packet).unwrap();
    let before = watcher.flash.record(Record::State).unwrap();
    watcher.side.rotate(&mut world.random).unwrap();
    let ack = watcher.side.ack().unwrap();
    assert_eq!(ack.len(), 188);
    world.author.receive(&ack).unwrap();
    // Sealed to the new key; from then on the old one is gone, and acks are short again.
    world.open_epoch();
    assert_eq!(world.watchers[0].side.ack().unwrap().len(), 156);
    let record = |world: &World| world.watchers[0].flash.record(Record::State).unwrap();
    let secret = |record: Vec<u8>| record[2 + 342 + 32..][..32].to_vec();
    assert_ne!(secret(record(&world)), secret(before));
    world.restart();
    world.watchers[0].restart();
    world.open_epoch();
    let packet = world.publish(1);
    assert_eq!(world.watchers[0].receive(&packet), Ok(state(1)));
}

#[test]
fn an_old_version_is_not_published() {
    let mut world = World::with_watchers(1);
    world.publish(5);
    let newest = Version::new(5);
    let refused = world.author.publish(Version::new(4), &[], &[]);
    assert_eq!(refused, Err(SendError::OldVersion { newest }));
    let again = world.publish(5);
    assert_eq!(world.watchers[0].receive(&again), Ok(state(5)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut world = World::with_watchers(1);
    let most = [7; MAX_MESSAGE_LENGTH - PACKET_OVERHEAD + 1];
    let length = MAX_MESSAGE_LENGTH + 1;
    let refused = world.author.publish(Version::INITIAL, &[], &most);
    assert_eq!(refused, Err(SendError::TooLong { length }));
    let refused = world.author.publish(Version::INITIAL, &[1], &most[1..]);
    assert_eq!(refused, Err(SendError::TooLong { length }));
    let beat = [7; MAX_MESSAGE_LENGTH - TAGGED_OVERHEAD + 1];
    let refused = world.author.heartbeat(&beat);
    assert_eq!(refused, Err(SendError::TooLong { length }));
    let published = world.author.publish(Version::INITIAL, &[1], &most[2..]);
    let packet = published.unwrap().to_vec();
    let got = Got::State(0, most[2..].to_vec());
    assert_eq!(world.watchers[0].receive(&packet), Ok(got));
    let beat = world.author.heartbeat(&beat[1..]).unwrap();
    assert!(world.watchers[0].receive(&beat).is_ok());
}

#[test]
fn a_stream_is_of_one_participant_and_channel() {
    let world = World::with_watchers(0);
    let mut random = Random::new(1);
    let announcement = world.author.announcement();
    let mut follow = |channel: [u8; 32], participant| {
        let channel = ChannelId::from_bytes(channel);
        let flash = Flash::default();
        Subscriber::follow(
            flash,
            &announcement,
            channel,
            participant,
            &[1; 32],
            &mut random,
        )
        .err()
    };
    let other = SecretKey::from_bytes(&[0x12; 32]).unwrap().participant();
    let refused = Some(StartError::Refused(Refused::OtherParticipant));
    assert_eq!(follow(CHANNEL, participant()), None);
    assert_eq!(follow([1; 32], participant()), refused);
    assert_eq!(follow(CHANNEL, other), refused);
}

#[test]
fn empty_storage_holds_no_stream() {
    assert!(Author::start(Flash::default()).unwrap().is_none());
    assert!(Subscriber::start(Flash::default()).unwrap().is_none());
}
