//! Bytes of strangers, of relays, and of an author that misbehaves: all are refused or dealt with, none
//! panics, and none changes what must not change.

use ed25519_dalek::{Signer, SigningKey};
use perun_protocol::Version;
use perun_protocol::signature::K256;
use perun_watch_stream::{
    Announcement, Author, Fork, HEADER_LENGTH, Header, MAX_MESSAGE_LENGTH, Message, Record,
    SIGNATURE_LENGTH, SignedHeader, Subscriber,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::world::{Flash, Got, World, state};

/// One of each kind of message, of a world that has seen them all.
struct Kinds {
    world: World,
    messages: Vec<Vec<u8>>,
}

fn kinds() -> Kinds {
    let mut world = World::with_watchers(2);
    let mut messages = vec![
        world.author.announcement().to_vec(),
        world.author.keyload().unwrap().to_vec(),
        world.publish(1),
        world.author.heartbeat(b"alive").unwrap().to_vec(),
    ];
    let packet = messages[2].clone();
    let watcher = &mut world.watchers[0];
    watcher.receive(&packet).unwrap();
    messages.push(watcher.side.subscribe(&mut world.random).unwrap().to_vec());
    messages.push(watcher.side.ack().unwrap().to_vec());
    watcher.side.rotate(&mut world.random).unwrap();
    messages.push(watcher.side.ack().unwrap().to_vec());
    messages.push(world.watchers[1].side.unsubscribe().unwrap().to_vec());
    Kinds { world, messages }
}

/// Everything that takes bytes.
fn feed(world: &mut World, bytes: &[u8]) {
    if let Ok(message) = Message::parse(bytes) {
        assert_eq!(message.bytes(), bytes);
        assert_eq!(message.header().encode(), bytes[..HEADER_LENGTH]);
        let _ = (message.public(), message.masked(), message.signed());
        let _ = Announcement::verify::<K256>(&message);
    }
    if let Some(header) = bytes.first_chunk() {
        let _ = Header::decode(header);
    }
    if let Some(signed) = bytes.first_chunk() {
        let _ = SignedHeader::decode(signed);
    }
    if let Some(fork) = bytes.first_chunk() {
        let _ = Fork::decode(fork, &[1; 32]);
    }
    let _ = world.author.receive(bytes);
    for watcher in &mut world.watchers {
        let _ = watcher.receive(bytes);
        let _ = watcher.release();
        let _ = watcher.side.receive(bytes, &mut []);
    }
    let _ = Author::import(Flash::default(), bytes, &[1; 32]);
    let _ = Subscriber::import(Flash::default(), bytes, &[1; 32]);
}

fn signed_by(key: &SigningKey, mut bytes: Vec<u8>) -> Vec<u8> {
    let body_end = bytes.len() - SIGNATURE_LENGTH;
    let mut signed = b"perun-watch/1 signature\0".to_vec();
    signed.extend(&bytes[..HEADER_LENGTH]);
    signed.extend(Sha256::digest(&bytes[HEADER_LENGTH..body_end]));
    bytes[body_end..].copy_from_slice(&key.sign(&signed).to_bytes());
    bytes
}

/// After whatever came, the honest author's next state still gets through.
fn goes_on(world: &mut World) -> Result<(), TestCaseError> {
    world.author.open_epoch(&mut world.random).unwrap();
    let keyload = world.author.keyload().unwrap().to_vec();
    let packet = world.publish(1 << 40);
    let watcher = &mut world.watchers[0];
    prop_assert!(matches!(watcher.receive(&keyload), Ok(Got::Epoch(_))));
    prop_assert_eq!(watcher.receive(&packet), Ok(state(1 << 40)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(
        list in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..MAX_MESSAGE_LENGTH + 40), 1..20),
    ) {
        let mut world = World::with_watchers(1);
        for bytes in &list {
            feed(&mut world, bytes);
        }
        prop_assert_eq!(world.author.watchers().len(), 1);
        goes_on(&mut world)?;
    }

    /// Good headers of the right stream, with whatever behind them.
    #[test]
    fn arbitrary_bodies(
        kind in 1_u8..8,
        flags in 0_u8..4,
        epoch in 0_u32..4,
        number in prop_oneof![0_u64..6, any::<u64>()],
        parts in (0_u16..300, 0_u16..300),
        body in prop::collection::vec(any::<u8>(), 700),
    ) {
        let mut world = World::with_watchers(1);
        let bytes = with_header(&world, kind, flags, epoch, number, parts, &body);
        feed(&mut world, &bytes);
        goes_on(&mut world)?;
    }

    /// The same, signed by the author's own key: it misbehaves, and nothing breaks.
    #[test]
    fn signed_garbage(
        kind in prop_oneof![Just(1_u8), Just(4), Just(5), Just(3), Just(7)],
        flags in 0_u8..4,
        epoch in 0_u32..4,
        number in prop_oneof![0_u64..6, any::<u64>()],
        parts in (0_u16..300, 0_u16..300),
        body in prop::collection::vec(any::<u8>(), 700),
    ) {
        let mut world = World::with_watchers(1);
        let record = world.flash.record(Record::State).unwrap();
        let author = SigningKey::from_bytes(record[2..34].try_into().unwrap());
        let watcher = SigningKey::from_bytes(&[0x41; 32]);
        let bytes = with_header(&world, kind, flags, epoch, number, parts, &body);
        for key in [author, watcher] {
            if bytes.len() >= HEADER_LENGTH + SIGNATURE_LENGTH {
                feed(&mut world, &signed_by(&key, bytes.clone()));
            }
        }
    }

    /// Good messages, cut, extended, or with bytes changed.
    #[test]
    fn damaged_messages(
        which in 0_usize..8,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        length in -40_isize..40,
    ) {
        let Kinds { mut world, messages } = kinds();
        let mut bytes = messages[which].clone();
        for (index, byte) in changes {
            let position = index.index(bytes.len());
            bytes[position] = byte;
        }
        bytes.resize(bytes.len().saturating_add_signed(length.min(0)).max(1), 0);
        if length > 0 {
            bytes.extend(vec![0; length as usize]);
        }
        feed(&mut world, &bytes);
        // A good unsubscription removes the second watcher; the first stays either way.
        goes_on(&mut world)?;
    }

    /// As fuzzing tells it, for a short while.
    #[test]
    fn a_strangers_story(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
        // Lengths that leave room for many steps.
        let mut bytes = bytes;
        let mut position = 1;
        while position < bytes.len() {
            bytes[position] = 0;
            let length = bytes.get(position + 1).copied().unwrap_or(0);
            position += 3 + usize::from(length);
        }
        crate::stranger::tells(&bytes);
    }

    /// Records that are not what was written are told, and never half taken up.
    #[test]
    fn damaged_records(
        which in any::<bool>(),
        index in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        cut in any::<prop::sample::Index>(),
    ) {
        let record = if which { Record::State } else { Record::Reservation };
        let world = World::with_watchers(1);
        for flash in [&world.flash, &world.watchers[0].flash] {
            let good = flash.record(record).unwrap();
            let mut other = good.clone();
            other[index.index(good.len())] ^= 1 << bit;
            for bytes in [other, good[..cut.index(good.len())].to_vec(), [&good[..], &[0]].concat()] {
                flash.put(record, bytes);
                let _ = Author::start(flash.clone());
                let _ = Subscriber::start(flash.clone());
            }
            flash.put(record, good[..good.len() - 1].to_vec());
            prop_assert!(Author::start(flash.clone()).is_err());
            prop_assert!(Subscriber::start(flash.clone()).is_err());
        }
    }
}

fn with_header(
    world: &World,
    kind: u8,
    flags: u8,
    epoch: u32,
    number: u64,
    parts: (u16, u16),
    body: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![1, 1, kind, flags];
    bytes.extend(world.author.stream().0);
    bytes.extend(epoch.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend([3; 32]);
    bytes.extend(parts.0.to_be_bytes());
    bytes.extend(parts.1.to_be_bytes());
    let signature = if matches!(kind, 2 | 6) {
        0
    } else {
        SIGNATURE_LENGTH
    };
    let length = usize::from(parts.0) + usize::from(parts.1) + signature;
    bytes.extend(&body[..length]);
    bytes
}

/// A record of one side is none of the other's.
#[test]
fn sides_do_not_take_each_others_records() {
    let world = World::with_watchers(1);
    assert!(Subscriber::start(world.flash.clone()).is_err());
    assert!(Author::start(world.watchers[0].flash.clone()).is_err());
}

/// The largest message there is, and one byte more.
#[test]
fn lengths_are_bounded() {
    let mut world = World::with_watchers(1);
    let overhead = perun_watch_stream::PACKET_OVERHEAD;
    let payload = vec![7; MAX_MESSAGE_LENGTH - overhead];
    let packet = world
        .author
        .publish(Version::INITIAL, &[], &payload)
        .unwrap()
        .to_vec();
    assert_eq!(packet.len(), MAX_MESSAGE_LENGTH);
    assert!(Message::parse(&packet).is_ok());
    let mut longer = packet.clone();
    longer.push(0);
    assert!(Message::parse(&longer).is_err());
    longer[67] = longer[67].wrapping_add(1);
    assert!(Message::parse(&longer).is_err());
    assert_eq!(
        world.watchers[0].receive(&packet),
        Ok(Got::State(0, payload))
    );
}
