//! What was done to IOTA Streams, done to this; and what a relay, a watcher or a thief could try.

use ed25519_dalek::{Signer as _, SigningKey};
use perun_protocol::encoding::{Domain, digest};
use perun_protocol::{ChannelId, SecretKey, Signer as _, Version};
use perun_watch_stream::{
    Author, HEADER_LENGTH, Message, ReceiveError, Record, Refused, SIGNATURE_LENGTH, StartError,
    Subscriber,
};
use sha2::{Digest, Sha256};

use crate::world::{CHANNEL, Flash, Got, Random, World, participant, state};

/// Where a packet's ciphertext begins if it has no public part: behind header and nonce.
const CIPHERTEXT: usize = HEADER_LENGTH + 24;
/// So much of a masked payload could anybody read in Streams v2.
const LEAKED: usize = 131;

fn refused<T>(refused: Refused) -> Result<T, ReceiveError<crate::world::PowerCut>> {
    Err(ReceiveError::Refused(refused))
}

/// The secret seed, as the author's record has it.
fn seed(flash: &Flash) -> SigningKey {
    let record = flash.record(Record::State).unwrap();
    SigningKey::from_bytes(record[2..34].try_into().unwrap())
}

/// The message with the signature that `key` makes over what it says now.
fn signed_again(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let body_end = message.len() - SIGNATURE_LENGTH;
    let mut signed = b"perun-watch/1 signature\0".to_vec();
    signed.extend(&message[..HEADER_LENGTH]);
    signed.extend(Sha256::digest(&message[HEADER_LENGTH..body_end]));
    let mut bytes = message[..body_end].to_vec();
    bytes.extend(key.sign(&signed).to_bytes());
    bytes
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(a, b)| a ^ b).collect()
}

/// How many bytes are equal that would be so by chance once in 256.
fn equal_bytes(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).filter(|(a, b)| a == b).count()
}

/// Streams v2 masked the first block by what followed from public bytes. So two streams that are alike in
/// all that is public, and differ in their secret only, must not be masked alike.
#[test]
fn the_first_block_is_masked_by_the_secret() {
    let payload = [0x5a; 300];
    let mut world = World::with_watchers(1);
    let image = world.flash.image();
    let mut packets = [(world.flash.clone(), 1), (image, 2)].map(|(flash, seed)| {
        let mut author = Author::start(flash).unwrap().unwrap();
        author.open_epoch(&mut Random::new(seed)).unwrap();
        author
            .publish(Version::INITIAL, &[], &payload)
            .unwrap()
            .to_vec()
    });
    // But for `previous`, which differs with the secret, the headers are the same.
    assert_eq!(packets[0][..32], packets[1][..32]);
    let [one, other] = &packets;
    let keystream = |packet: &[u8]| xor(&packet[CIPHERTEXT + 8..][..LEAKED], &payload);
    assert!(equal_bytes(&keystream(one), &keystream(other)) < 12);
    assert!(equal_bytes(&one[CIPHERTEXT + 8..][..LEAKED], &payload) < 12);
    // Nor by the header: the same secret masks the next packet differently.
    let next = world.author.open_epoch(&mut world.random).map(|_| ());
    assert_eq!(next, Ok(()));
    packets = [0, 1].map(|_| {
        let packet = world.author.publish(Version::INITIAL, &[], &payload);
        packet.unwrap().to_vec()
    });
    let [one, other] = &packets;
    assert!(equal_bytes(&one[CIPHERTEXT..], &other[CIPHERTEXT..]) < 20);
}

/// Streams v2 accepted a copy of the last packet with the next sequence number in its header.
#[test]
fn a_relabelled_replay_is_refused() {
    let mut world = World::with_watchers(1);
    let packet = world.publish(1);
    let beat = world.author.heartbeat(b"alive").unwrap();
    let watcher = &mut world.watchers[0];
    assert_eq!(watcher.receive(&packet), Ok(state(1)));
    watcher.receive(&beat).unwrap();
    let mut relabelled = packet.clone();
    relabelled[31] += 1;
    assert_eq!(
        watcher.receive(&relabelled),
        refused(Refused::WrongSignature)
    );
    // Each other byte likewise, if the message still is one of this stream.
    for position in 20..packet.len() {
        let mut other = packet.clone();
        other[position] ^= 1;
        let got = watcher.receive(&other);
        let is_refused = matches!(
            got,
            Err(ReceiveError::Refused(
                Refused::WrongSignature | Refused::Malformed(_)
            ))
        );
        assert!(is_refused, "byte {position}: {got:?}");
    }
    let mut relabelled = beat.to_vec();
    relabelled[31] += 1;
    let got = watcher.receive(&relabelled);
    assert!(
        matches!(got, Err(ReceiveError::Refused(Refused::Unreadable { .. }))),
        "{got:?}"
    );
    // The number is still free for what the author signs under it.
    let packet = world.publish(2);
    assert_eq!(world.watchers[0].receive(&packet), Ok(state(2)));
}

/// A plain replay, also to a watcher that has forgotten everything but what it stored.
#[test]
fn a_replay_is_not_acted_on() {
    let mut world = World::with_watchers(1);
    let keyload = world.author.keyload().unwrap().to_vec();
    let packets = [1, 2, 3].map(|version| world.publish(version));
    let watcher = &mut world.watchers[0];
    for (packet, version) in packets.iter().zip(1..) {
        assert_eq!(watcher.receive(packet), Ok(state(version)));
    }
    for packet in &packets {
        let got = watcher.receive(packet);
        assert!(
            matches!(got, Err(ReceiveError::Refused(Refused::Repeated { .. }))),
            "{got:?}"
        );
    }
    let got = watcher.receive(&keyload);
    assert!(
        matches!(got, Err(ReceiveError::Refused(Refused::Repeated { .. }))),
        "{got:?}"
    );
    watcher.restart();
    assert_eq!(watcher.receive(&keyload), Ok(Got::Epoch(1)));
    for (packet, version) in packets.iter().zip(1..) {
        assert_eq!(watcher.receive(packet), Ok(Got::Superseded(version)));
    }
}

/// Restoring one backup of Streams v2 twice and sending twice gave the XOR of the payloads.
#[test]
fn a_state_restored_twice_is_no_two_time_pad() {
    let mut world = World::with_watchers(1);
    let key = [0x77; 32];
    let export = world.author.export(&key);
    let mut one = [b'a'; 320];
    let other = [b'a'; 320].map(|byte: u8| byte);
    one[160..].fill(b'b');
    let mut packets = Vec::new();
    // Even with the same bad randomness.
    for payload in [&one, &other] {
        let mut author = Author::import(Flash::default(), &export, &key).unwrap();
        author.open_epoch(&mut Random::new(9)).unwrap();
        let packet = author.publish(Version::INITIAL, &[], payload).unwrap();
        packets.push(packet.to_vec());
    }
    // Same number, same key: this is what the author must never have done, and the pad still differs.
    assert_eq!(packets[0][..HEADER_LENGTH], packets[1][..HEADER_LENGTH]);
    let pads = xor(
        &packets[0][CIPHERTEXT..][..328],
        &packets[1][CIPHERTEXT..][..328],
    );
    let payloads = [[0; 8].to_vec(), xor(&one, &other)].concat();
    assert!(equal_bytes(&pads, &payloads) < 20);
    // And whoever sees both has evidence.
    let mut text = [0; 1_280];
    let side: &mut Subscriber<Flash> = &mut world.watchers[0].side;
    for packet in &packets {
        let _ = side.receive(packet, &mut text);
    }
    assert!(side.fork().is_some());
}

/// An export of Streams v1.2 began with the private key in clear.
#[test]
fn an_export_shows_no_key() {
    let world = World::with_watchers(1);
    let exports = [[1; 32], [2; 32]].map(|key| world.author.export(&key));
    let record = world.flash.record(Record::State).unwrap();
    shows_nothing(&exports, &record);
    let watcher = &world.watchers[0];
    let exports = [[1; 32], [2; 32]].map(|key| watcher.side.export(&key));
    shows_nothing(&exports, &watcher.flash.record(Record::State).unwrap());
}

fn shows_nothing(exports: &[perun_watch_stream::Export; 2], record: &[u8]) {
    for export in exports {
        let mut windows = record.windows(4).filter(|window| *window != [0; 4]);
        let shown = windows.find(|window| export.windows(4).any(|it| it == *window));
        assert_eq!(shown, None);
    }
    let [one, other] = exports;
    assert!(equal_bytes(one, other) < one.len() / 32);
}

#[test]
fn a_watcher_cannot_speak_as_the_author() {
    let mut world = World::with_watchers(2);
    let packet = world.publish(1);
    // A watcher knows all keys of the epoch, but for the one that signs.
    let rogue = SigningKey::from_bytes(&[0x41; 32]);
    let keyload = world.keyload();
    for message in [&packet, &keyload] {
        let mut message = message.to_vec();
        message[31] += 7;
        let forged = signed_again(&rogue, &message);
        let got = world.watchers[1].receive(&forged);
        assert_eq!(got, refused(Refused::WrongSignature));
    }
    assert_eq!(world.watchers[1].receive(&packet), Ok(state(1)));
}

/// In Streams v2 the list of a keyload was not signed, and who was not on it did not look.
#[test]
fn nobody_is_removed_by_a_forged_keyload() {
    let mut world = World::with_watchers(2);
    let keyload = world.keyload();
    // Without the second watcher, as a relay could make it.
    let mut forged = keyload.clone();
    let second = HEADER_LENGTH + 1 + 88;
    forged.drain(second..second + 88);
    forged[HEADER_LENGTH] = 1;
    let length = u16::from_be_bytes([keyload[64], keyload[65]]) - 88;
    forged[64..66].copy_from_slice(&length.to_be_bytes());
    assert!(Message::parse(&forged).is_ok());
    let got = world.watchers[1].receive(&forged);
    assert_eq!(got, refused(Refused::WrongSignature));
    assert_eq!(world.watchers[1].side.is_member(), Some(true));
    assert_eq!(world.watchers[1].receive(&keyload), Ok(Got::Epoch(2)));
}

/// An author that gives its watchers different secrets could show each another state.
#[test]
fn all_watchers_are_given_the_same_secret() {
    let mut world = World::with_watchers(2);
    let author = seed(&world.flash);
    let one = world.keyload();
    // What is sealed to the second watcher is another epoch's, under the first one's confirmation.
    let image = world.flash.image();
    let mut copy = Author::start(image).unwrap().unwrap();
    let other = copy.open_epoch(&mut Random::new(5)).unwrap().to_vec();
    let sealed = HEADER_LENGTH + 1 + 88 + 8;
    let mut mixed = one.clone();
    mixed[sealed..sealed + 80].copy_from_slice(&other[sealed..sealed + 80]);
    let mixed = signed_again(&author, &mixed);
    let got = world.watchers[1].receive(&mixed);
    assert!(
        matches!(got, Err(ReceiveError::Refused(Refused::Unreadable { .. }))),
        "{got:?}"
    );
    let confirmation = one.len() - SIGNATURE_LENGTH - 1;
    let mut wrong = one.clone();
    wrong[confirmation] ^= 1;
    let wrong = signed_again(&author, &wrong);
    let got = world.watchers[0].receive(&wrong);
    assert!(
        matches!(got, Err(ReceiveError::Refused(Refused::Unconfirmed { .. }))),
        "{got:?}"
    );
    // Signed by the author, so it is evidence once the right one comes.
    assert_eq!(world.watchers[0].receive(&one), Ok(Got::Epoch(2)));
    assert!(world.watchers[0].side.fork().is_some());
}

#[test]
fn subscriptions_and_acks_are_taken_up_once() {
    let mut world = World::with_watchers(1);
    let packet = world.publish(4);
    let subscription = world.watchers[0].side.subscribe(&mut world.random).unwrap();
    world.watchers[0].receive(&packet).unwrap();
    let ack = world.watchers[0].side.ack().unwrap();
    assert!(world.author.receive(&ack).is_ok());
    for message in [&ack[..], &subscription[..]] {
        let got = world.author.receive(message);
        assert!(
            matches!(got, Err(ReceiveError::Refused(Refused::Repeated { .. }))),
            "{got:?}"
        );
    }
    assert!(!world.author.is_epoch_due());
    // A relay that changes what a watcher said.
    for position in 20..ack.len() {
        let mut other = ack.to_vec();
        other[position] ^= 1;
        let got = world.author.receive(&other);
        assert!(
            matches!(got, Err(ReceiveError::Refused(_))),
            "byte {position}: {got:?}"
        );
    }
    assert_eq!(world.author.guarded_by(Version::new(4)), 1);
}

/// Streams left it to its users whether an announcement is of whom it says.
#[test]
fn nobody_announces_for_another_participant() {
    let mut world = World::with_watchers(0);
    let author = seed(&world.flash);
    let announcement = world.author.announcement();
    let follow = |bytes: &[u8], random: &mut Random| {
        let channel = ChannelId::from_bytes(CHANNEL);
        let flash = Flash::default();
        Subscriber::follow(flash, bytes, channel, participant(), &[1; 32], random).err()
    };
    assert_eq!(follow(&announcement, &mut world.random), None);
    // The author's key vouches for itself, but the participant's signature is another's.
    let binding = HEADER_LENGTH + 146;
    let thief = SecretKey::from_bytes(&[0x13; 32]).unwrap();
    let mut forged = announcement.to_vec();
    let bound = &announcement[HEADER_LENGTH..binding];
    let by_thief = thief.sign(&digest(Domain::WatchStream, bound));
    forged[binding..binding + 64].copy_from_slice(by_thief.as_bytes());
    let forged = signed_again(&author, &forged);
    let wrong_signature = Some(StartError::Refused(Refused::WrongSignature));
    assert_eq!(follow(&forged, &mut world.random), wrong_signature);
    // The participant's signature, but the message is not signed by the key that it vouches for.
    let forged = signed_again(&SigningKey::from_bytes(&[3; 32]), &announcement);
    assert_eq!(follow(&forged, &mut world.random), wrong_signature);
    // Other keys in a true announcement.
    for position in HEADER_LENGTH..binding {
        let mut forged = announcement.to_vec();
        forged[position] ^= 1;
        let forged = signed_again(&author, &forged);
        assert!(
            follow(&forged, &mut world.random).is_some(),
            "byte {position}"
        );
    }
}

#[test]
fn messages_do_not_cross_streams() {
    let mut one = World::with_watchers(1);
    let mut other = World::with_watchers(0);
    let announcement = other.author.announcement();
    assert_eq!(announcement, one.author.announcement());
    // The same randomness made the same stream; now another one.
    other.random = Random::new(8);
    let channel = other.author.about().channel();
    let owner = crate::world::owner();
    other.author = Author::create(other.flash.clone(), channel, &owner, &mut other.random).unwrap();
    other.add_watcher(0x41);
    let keyload = other.keyload();
    assert_eq!(
        one.watchers[0].receive(&keyload),
        refused(Refused::OtherStream)
    );
    let mut moved = other.publish(9);
    moved[4..20].copy_from_slice(&one.author.stream().0);
    assert_eq!(
        one.watchers[0].receive(&moved),
        refused(Refused::WrongSignature)
    );
    let ack = {
        let packet = one.publish(1);
        one.watchers[0].receive(&packet).unwrap();
        one.watchers[0].side.ack().unwrap()
    };
    assert_eq!(other.author.receive(&ack), refused(Refused::OtherStream));
}
