//! Strangers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use perun_watch_relay::frames::{Answer, MAX_BODY_LENGTH, Request, Side, frame};
use perun_watch_relay::{Limits, Refusal, Settings};
use perun_watch_stream::{Author, Number, StreamId};
use rand_core::{OsRng, RngCore};

use crate::world::{Memory, PATIENCE, Relay, Watcher, channel, identity, owner, settings, stage};

#[test]
fn garbage_is_refused_and_harms_nobody() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    for round in 0..40 {
        let mut stranger = TcpStream::connect(relay.address()).unwrap();
        let mut bytes = vec![0; 100 * round];
        OsRng.fill_bytes(&mut bytes);
        if round % 2 == 0 {
            // Whole frames of garbage.
            for chunk in bytes.chunks(90) {
                let _ = stranger.write_all(&frame(chunk));
            }
        } else {
            let _ = stranger.write_all(&bytes);
        }
    }
    device.publish(1);
    watchers[0].until(1);
}

#[test]
fn too_much_garbage_ends_a_connection() {
    let relay = Relay::start();
    let mut stranger = TcpStream::connect(relay.address()).unwrap();
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..100 {
        if stranger.write_all(&frame(b"\x09garbage")).is_err() {
            break;
        }
    }
    let mut answers = Vec::new();
    // Ends by an end or a reset, not by the timeout.
    let begin = Instant::now();
    let _ = stranger.read_to_end(&mut answers);
    assert!(begin.elapsed() < PATIENCE);
    let refused = frame(&Answer::Refused(Refusal::Malformed).encode());
    assert!(answers.len() <= 32 * refused.len());
    // A frame that is longer than any may be ends it at once.
    let mut stranger = TcpStream::connect(relay.address()).unwrap();
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = (MAX_BODY_LENGTH + 1) as u16;
    stranger.write_all(&length.to_be_bytes()).unwrap();
    assert!(matches!(stranger.read(&mut [0]), Ok(0) | Err(_)));
    assert!(begin.elapsed() < PATIENCE);
}

#[test]
fn only_the_author_fills_a_stream() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    let packet = device.publish(1);
    let mut stranger = relay.end();
    let mut forged = packet.clone();
    forged[31] += 1;
    assert_eq!(stranger.publish(&forged).unwrap(), Err(Refusal::NotSigned));
    let mut cut = packet.clone();
    cut.pop();
    assert_eq!(stranger.publish(&cut).unwrap(), Err(Refusal::Malformed));
    // Another author's message in this stream.
    let other = Author::create(Memory::default(), channel(), &owner(), &mut OsRng).unwrap();
    let mut announcement = other.announcement();
    let refused = stranger.publish(&packet).unwrap();
    assert_eq!(refused, Ok(()), "what the author signed, anybody may bring");
    announcement[4..20].copy_from_slice(&device.author.stream().0);
    assert_eq!(
        stranger.publish(&announcement).unwrap(),
        Err(Refusal::NotSigned)
    );
    watchers[0].until(1);
}

#[test]
fn a_strangers_ack_drops_nothing() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    device.publish(1);
    watchers[0].until(1);
    let ack = watchers[0].side.ack().unwrap();
    let mut stranger = relay.end();
    // Without the key, and with another one.
    assert_eq!(stranger.publish(&ack).unwrap(), Err(Refusal::NotSigned));
    stranger.introduce(identity(0x99)).unwrap();
    assert_eq!(stranger.publish(&ack).unwrap(), Err(Refusal::NotSigned));
    // With the right key but another content.
    stranger.introduce(watchers[0].key).unwrap();
    let mut forged = ack.to_vec();
    forged[68 + 8 + 7] ^= 0x40;
    assert_eq!(stranger.publish(&forged).unwrap(), Err(Refusal::NotSigned));
    assert_eq!(stranger.publish(&ack).unwrap(), Ok(()));
}

/// Who has recorded the stream brings everything again: no watcher is sent what all have acknowledged, not
/// even once somebody is let in who has acknowledged nothing.
#[test]
fn what_is_dropped_can_not_be_brought_back() {
    let settings = Settings {
        limits: Limits {
            repeat: Duration::ZERO,
            ..Limits::default()
        },
        ..settings()
    };
    let relay = Relay::with(settings);
    let (mut device, mut watchers) = stage(&relay, 1);
    let recorded: Vec<_> = (1..6).map(|version| device.publish(version)).collect();
    watchers[0].until(5);
    watchers[0].ack();
    device.hear(1);
    let newcomer = Watcher::follow(&relay, &mut device, 0x60);
    watchers.push(newcomer);
    for is_let_in in [false, true] {
        if is_let_in {
            device.open_epoch();
        }
        let files = relay.files(device.author.stream());
        watchers[0].rest();
        let mut stranger = relay.end();
        for packet in &recorded {
            assert_eq!(stranger.publish(packet).unwrap(), Ok(()));
        }
        assert_eq!(watchers[0].rest(), Vec::<Vec<u8>>::new());
        assert_eq!(relay.files(device.author.stream()), files);
    }
}

/// Each request is told its own refusal.
#[test]
fn a_refused_follow_is_not_taken_for_a_refused_message() {
    let relay = Relay::start();
    let (mut device, _watchers) = stage(&relay, 1);
    let stranger = StreamId([9; 16]);
    device
        .end
        .follow(Side::Author, stranger, Number(0))
        .unwrap();
    // Asserts that it is kept.
    device.publish(1);
    assert!(device.end.next(PATIENCE).is_err());
    device.publish(2);
}

#[test]
fn streams_must_be_announced() {
    let relay = Relay::start();
    let mut stranger = relay.end();
    let stream = StreamId([9; 16]);
    stranger.follow(Side::Author, stream, Number(0)).unwrap();
    assert!(stranger.next(PATIENCE).is_err());
    let mut author = Author::create(Memory::default(), channel(), &owner(), &mut OsRng).unwrap();
    author.allow([1; 32]).unwrap();
    let mut announcement = author.announcement();
    let ours = announcement;
    announcement[100] ^= 1;
    assert!(stranger.publish(&announcement).unwrap().is_err());
    let mut unsigned = ours;
    unsigned[341] ^= 1;
    assert_eq!(
        stranger.publish(&unsigned).unwrap(),
        Err(Refusal::NotSigned)
    );
    assert_eq!(stranger.publish(&ours).unwrap(), Ok(()));
    assert_eq!(stranger.publish(&ours).unwrap(), Ok(()));
}

#[test]
fn tables_are_bounded() {
    let settings = Settings {
        limits: Limits {
            streams: 2,
            followers: 2,
            ..Limits::default()
        },
        connections_of_one: 3,
        ..settings()
    };
    let relay = Relay::with(settings);
    let mut end = relay.end();
    let announce = || Author::create(Memory::default(), channel(), &owner(), &mut OsRng).unwrap();
    let announcements = [(); 3].map(|()| announce().announcement());
    assert_eq!(end.publish(&announcements[0]).unwrap(), Ok(()));
    assert_eq!(end.publish(&announcements[1]).unwrap(), Ok(()));
    assert_eq!(end.publish(&announcements[2]).unwrap(), Err(Refusal::Quota));
    let stream = StreamId(announcements[0][4..20].try_into().unwrap());
    // Asked again it begins anew; the place is the same.
    for _ in 0..4 {
        end.follow(Side::Author, stream, Number(0)).unwrap();
        assert_eq!(end.next(PATIENCE).unwrap().unwrap(), announcements[0]);
    }
    let mut others = vec![relay.end(), relay.end()];
    others[0].follow(Side::Author, stream, Number(0)).unwrap();
    assert!(others[0].next(PATIENCE).unwrap().is_some());
    others[1].follow(Side::Author, stream, Number(0)).unwrap();
    assert!(others[1].next(PATIENCE).is_err());
    // The fourth connection from one address finds no place, until another one ends.
    assert_eq!(others[1].publish(&announcements[0]).unwrap(), Ok(()));
    let begin = Instant::now();
    assert!(relay.end().publish(&announcements[0]).is_err());
    others.pop();
    while relay.end().publish(&announcements[0]).is_err() {
        assert!(begin.elapsed() < PATIENCE);
    }
}

#[test]
fn only_known_participants_are_served() {
    let settings = Settings {
        limits: Limits {
            participants: Some(vec![owner().participant()]),
            ..Limits::default()
        },
        ..settings()
    };
    let relay = Relay::with(settings);
    let _ = stage(&relay, 1);
    let other = perun_protocol::SecretKey::from_bytes(&[0x12; 32]).unwrap();
    let author = Author::create(Memory::default(), channel(), &other, &mut OsRng).unwrap();
    let refused = relay.end().publish(&author.announcement()).unwrap();
    assert_eq!(refused, Err(Refusal::NotServed));
}

/// Who floods waits, and keeps nobody else from being served.
#[test]
fn a_flood_is_slowed_down() {
    let settings = Settings {
        bytes_per_second: 2_000,
        ..settings()
    };
    let relay = Relay::with(settings);
    let mut flood = relay.end();
    let author = Author::create(Memory::default(), channel(), &owner(), &mut OsRng).unwrap();
    let announcement = author.announcement();
    let begin = Instant::now();
    // 8,000 bytes at once, then 2,000 in a second.
    for _ in 0..16 {
        assert_eq!(flood.publish(&announcement).unwrap(), Ok(()));
    }
    assert!(begin.elapsed() < Duration::from_secs(2));
    let mut refused = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        let message = [&announcement[..], &[0; 900]].concat();
        assert!(flood.publish(&message).unwrap().is_err());
        refused += 1;
    }
    assert!(refused < 12, "{refused}");
    assert_eq!(relay.end().publish(&announcement).unwrap(), Ok(()));
}

/// Someone who follows and never reads: the relay lets it go, and others are served.
#[test]
fn who_does_not_read_is_let_go() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    let mut deaf = TcpStream::connect(relay.address()).unwrap();
    let follow = Request::Follow(Side::Author, device.author.stream(), Number(0));
    deaf.write_all(&frame(&follow.encode())).unwrap();
    for version in 1..60 {
        device.publish(version);
    }
    watchers[0].until(59);
}

/// Strangers take all the places that they can: the device and its watchers still find one.
#[test]
fn strangers_can_not_lock_a_stream() {
    let settings = Settings {
        limits: Limits {
            followers: 3,
            followers_of_one: 2,
            ..Limits::default()
        },
        ..settings()
    };
    let relay = Relay::with(settings);
    let (mut device, mut watchers) = stage(&relay, 1);
    let stream = device.author.stream();
    let mut strangers: Vec<_> = (0..6).map(|_| relay.end()).collect();
    let refused = strangers.iter_mut().map(|stranger| {
        stranger.follow(Side::Author, stream, Number(0)).unwrap();
        usize::from(stranger.next(PATIENCE).is_err())
    });
    // The watcher has come as a stranger, too.
    assert_eq!(refused.sum::<usize>(), 5);
    device.reconnect(&relay);
    // As often as it likes, and however many of its connections are dead without the relay's knowing.
    let mut dead = Vec::new();
    for version in 1..6 {
        device.publish(version);
        let old = std::mem::replace(&mut watchers[0].end, relay.end());
        dead.push(old);
        watchers[0].reconnect(&relay);
        watchers[0].until(version);
        watchers[0].ack();
        device.hear(1);
    }
}

/// Garbage that could be subscriptions or heartbeats costs whoever receives it: only so much comes through, and
/// what can be verified is not concerned.
#[test]
fn what_can_not_be_verified_is_limited() {
    let settings = Settings {
        limits: Limits {
            subscriptions_per_minute: 0,
            heartbeats_per_second: 1,
            ..Limits::default()
        },
        ..settings()
    };
    let relay = Relay::with(settings);
    let (mut device, mut watchers) = stage(&relay, 1);
    let subscription = watchers[0].side.subscribe(&mut OsRng).unwrap().to_vec();
    let heartbeat = device.author.heartbeat(b"alive").unwrap().to_vec();
    for (message, at_once) in [(subscription, 15), (heartbeat, 4)] {
        let mut stranger = relay.end();
        let taken = (0..30).filter(|round| {
            let mut message = message.clone();
            *message.last_mut().unwrap() ^= round;
            message[70] ^= round;
            stranger.publish(&message).unwrap() != Err(Refusal::Quota)
        });
        let taken = taken.count();
        // The heartbeats' limit grows while they are sent.
        assert!((at_once..at_once + 3).contains(&taken), "{taken}");
    }
    device.publish(1);
    watchers[0].until(1);
    watchers[0].ack();
}

/// What was being written when the power was cut is no message.
#[test]
fn a_draft_is_not_taken_up() {
    let mut relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    device.publish(1);
    let packet = device.publish(2);
    let files = relay.files(device.author.stream());
    let is_it = |file: &&std::path::PathBuf| std::fs::read(file).unwrap() == packet;
    let file = files.iter().find(is_it).unwrap();
    std::fs::rename(file, file.with_file_name("draft")).unwrap();
    relay.restart();
    watchers[0].reconnect(&relay);
    assert!(!watchers[0].rest().contains(&packet));
}

/// Files that somebody has damaged are not taken for messages, and the rest is.
#[test]
fn damaged_files_are_passed_over() {
    let mut relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    device.publish(1);
    device.publish(2);
    watchers[0].until(2);
    let files = relay.files(device.author.stream());
    let is_packet = |number: &str| {
        let name = format!("author-{number:0>20}");
        files.iter().find(|file| {
            file.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&name)
        })
    };
    let damaged = is_packet("2").unwrap();
    let mut bytes = std::fs::read(damaged).unwrap();
    bytes[100] ^= 1;
    std::fs::write(damaged, bytes).unwrap();
    std::fs::write(damaged.with_file_name("author-x"), [0; 5_000]).unwrap();
    std::fs::write(damaged.with_file_name("nonsense"), [0; 5]).unwrap();
    relay.restart();
    watchers[0].reconnect(&relay);
    let messages = watchers[0].rest();
    assert_eq!(messages.len(), 2, "the announcement, and the second packet");
}
