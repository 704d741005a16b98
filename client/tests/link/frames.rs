//! What travels over a connection, and what does not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use perun_client::link::{
    Connection, FrameKind, LinkError, Peers, SendError, TcpConfig, TcpTransport, Transport as _,
};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep, timeout};

use crate::raw::{GOODBYE, MESSAGE, PING, PONG, Raw};
use crate::{
    Heard, LONG, ear, heard, heard_message, identity, key, next, tcp, tcp_connected, tcp_with,
};

async fn raw_connected(transport: &TcpTransport, number: u8) -> (Raw, Connection) {
    let raw = Raw::dial(transport.local_address(), &key(number)).await;
    (raw.unwrap(), transport.accept().await.unwrap())
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * 7 + index / 251) as u8)
        .collect()
}

#[tokio::test]
async fn messages_arrive_whole_and_in_order() {
    let [mut one, mut other] = tcp_connected(&tcp(1).await, &tcp(2).await).await;
    let lengths = [
        0, 1, 65_517, 65_518, 65_519, 65_520, 131_037, 300_000, 1_048_576, 5,
    ];
    for length in lengths {
        let message = pattern(length);
        one.sender.send(FrameKind::Message, &message).unwrap();
        other.sender.send(FrameKind::Message, &message).unwrap();
    }
    for length in lengths {
        let expected = Some((FrameKind::Message, pattern(length)));
        assert_eq!(next(&mut other.receiver).await.unwrap(), expected);
        assert_eq!(next(&mut one.receiver).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn each_side_has_its_own_longest_message() {
    let small = TcpConfig {
        max_message: 100,
        ..TcpConfig::default()
    };
    let [mut one, mut other] = tcp_connected(&tcp(1).await, &tcp_with(2, small).await).await;
    let too_long = Err(SendError::TooLong {
        length: 101,
        limit: 100,
    });
    assert_eq!(one.sender.send(FrameKind::Message, &[1; 101]), too_long);
    one.sender.send(FrameKind::Message, &[1; 100]).unwrap();
    assert_eq!(
        next(&mut other.receiver).await.unwrap().unwrap().1,
        [1; 100]
    );
    let most = pattern(1024 * 1024);
    other.sender.send(FrameKind::Message, &most).unwrap();
    assert_eq!(next(&mut one.receiver).await.unwrap().unwrap().1, most);
    let more = pattern(1024 * 1024 + 1);
    assert!(other.sender.send(FrameKind::Message, &more).is_err());
}

#[tokio::test]
async fn a_frame_above_the_cap_ends_the_connection() {
    let small = TcpConfig {
        max_message: 100,
        ..TcpConfig::default()
    };
    let transport = tcp_with(1, small).await;
    let (mut raw, mut accepted) = raw_connected(&transport, 2).await;
    raw.send(MESSAGE, &[1; 100]).await.unwrap();
    raw.send(MESSAGE, &[1; 101]).await.unwrap();
    assert_eq!(
        next(&mut accepted.receiver).await.unwrap().unwrap().1,
        [1; 100]
    );
    match next(&mut accepted.receiver).await {
        Err(LinkError::TooLong { length, limit }) => assert_eq!((length, limit), (118, 117)),
        frame => panic!("{frame:?}"),
    }
    for length in [118, 1 << 20, u32::MAX] {
        let (mut raw, mut accepted) = raw_connected(&transport, 2).await;
        raw.write(&length.to_be_bytes()).await.unwrap();
        let ended = next(&mut accepted.receiver).await;
        assert!(matches!(ended, Err(LinkError::TooLong { .. })));
    }
}

#[tokio::test]
async fn frames_may_arrive_in_any_pieces() {
    let transport = tcp(1).await;
    let (mut raw, mut accepted) = raw_connected(&transport, 2).await;
    raw.stream.set_nodelay(true).unwrap();
    let length = raw.seal(MESSAGE, b"in two halves").len();
    // One was sealed in vain: begin anew.
    (raw, accepted) = {
        drop((raw, accepted));
        raw_connected(&transport, 2).await
    };
    raw.stream.set_nodelay(true).unwrap();
    for split in 0..=2 * length {
        let mut frames = raw.seal(MESSAGE, b"in two halves");
        frames.extend(raw.seal(MESSAGE, b"and once more"));
        raw.write(&frames[..split]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        raw.write(&frames[split..]).await.unwrap();
        for expected in [b"in two halves", b"and once more"] {
            let (_, message) = next(&mut accepted.receiver).await.unwrap().unwrap();
            assert_eq!(message, expected, "split at {split}");
        }
    }
}

#[tokio::test]
async fn what_the_peer_did_not_seal_is_not_opened() {
    let transport = tcp(1).await;
    let length = 4 + 16 + 1 + 3;
    for at in 4..length {
        let (mut raw, mut accepted) = raw_connected(&transport, 2).await;
        let mut frame = raw.seal(MESSAGE, b"pay");
        assert_eq!(frame.len(), length);
        frame[at] ^= 1 << (at % 8);
        raw.write(&frame).await.unwrap();
        let opened = next(&mut accepted.receiver).await;
        assert!(matches!(opened, Err(LinkError::NotAuthentic)), "{opened:?}");
    }
}

#[tokio::test]
async fn frames_are_neither_repeated_nor_left_out_nor_swapped() {
    let transport = tcp(1).await;
    for order in [[0, 0], [1, 1], [1, 0]] {
        let (mut raw, mut accepted) = raw_connected(&transport, 2).await;
        let frames = [raw.seal(MESSAGE, b"0"), raw.seal(MESSAGE, b"1")];
        for number in order {
            raw.write(&frames[number]).await.unwrap();
        }
        let mut opened = next(&mut accepted.receiver).await;
        if order[0] == 0 {
            assert_eq!(opened.unwrap().unwrap().1, b"0");
            opened = next(&mut accepted.receiver).await;
        }
        assert!(matches!(opened, Err(LinkError::NotAuthentic)), "{opened:?}");
    }
}

#[tokio::test]
async fn chunks_of_a_long_frame_keep_their_places() {
    let transport = tcp(1).await;
    let (mut raw, mut accepted) = raw_connected(&transport, 2).await;
    let mut frame = raw.seal(MESSAGE, &pattern(3 * 65_519));
    let (first, second) = frame[4..].split_at_mut(65_535);
    first.swap_with_slice(&mut second[..65_535]);
    raw.write(&frame).await.unwrap();
    let opened = next(&mut accepted.receiver).await;
    assert!(matches!(opened, Err(LinkError::NotAuthentic)), "{opened:?}");
}

#[tokio::test]
async fn empty_frames_and_half_frames_end_the_connection() {
    let transport = tcp(1).await;
    let (mut raw, mut accepted) = raw_connected(&transport, 2).await;
    raw.write(&[0; 4]).await.unwrap();
    let opened = next(&mut accepted.receiver).await;
    assert!(matches!(opened, Err(LinkError::Empty)), "{opened:?}");

    let (mut raw, mut accepted) = raw_connected(&transport, 2).await;
    let frame = raw.seal(MESSAGE, b"half");
    raw.write(&frame[..frame.len() - 1]).await.unwrap();
    raw.stream.shutdown().await.unwrap();
    let opened = next(&mut accepted.receiver).await;
    assert!(matches!(opened, Err(LinkError::Io(_))), "{opened:?}");

    // Whoever ends between frames ends well, even if only in one direction.
    let (mut raw, mut accepted) = raw_connected(&transport, 2).await;
    raw.send(MESSAGE, b"whole").await.unwrap();
    raw.stream.shutdown().await.unwrap();
    assert!(next(&mut accepted.receiver).await.unwrap().is_some());
    assert!(next(&mut accepted.receiver).await.unwrap().is_none());
}

#[tokio::test]
async fn frames_of_newer_software_are_skipped() {
    let (ear, mut ears) = ear();
    let transport = tcp(1).await;
    let address = transport.local_address();
    let _peers = Peers::start(Arc::new(transport), ear);
    let mut raw = Raw::dial(address, &key(2)).await.unwrap();
    for kind in [4, 5, 77, 255] {
        raw.send(kind, b"from the future").await.unwrap();
    }
    raw.send(PONG, b"").await.unwrap();
    raw.send(PING, b"with something in it").await.unwrap();
    raw.send(MESSAGE, b"from now").await.unwrap();
    assert_eq!(heard(&mut ears).await, Heard::Connected(identity(2)));
    let message = Heard::Message(identity(2), b"from now".to_vec());
    assert_eq!(heard(&mut ears).await, message);
    assert_eq!(raw.receive().await.unwrap(), (PONG, vec![]));
}

/// A peer that never reads learns it alone; others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_reads_slows_only_itself() {
    let (ear, mut ears) = ear();
    let transport = tcp_with(
        1,
        TcpConfig {
            max_queued: 1024 * 1024,
            ..TcpConfig::default()
        },
    );
    let transport = transport.await;
    let address = transport.local_address();
    let peers = Peers::start(Arc::new(transport), ear);
    let mut deaf = Raw::dial(address, &key(2)).await.unwrap();
    let mut other = Raw::dial(address, &key(3)).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(heard(&mut ears).await, Heard::Connected(_)));
    }
    let message = pattern(64 * 1024);
    let mut sent = 0;
    let begun = Instant::now();
    let queued = loop {
        match peers.send(&identity(2), &message) {
            Ok(()) => sent += 1,
            Err(SendError::Full { queued }) => break queued,
            Err(error) => panic!("{error}"),
        }
        peers.send(&identity(3), b"and you?").unwrap();
        assert_eq!(other.receive().await.unwrap().1, b"and you?");
        other.send(MESSAGE, b"I am well").await.unwrap();
        assert_eq!(heard_message(&mut ears).await, b"I am well");
    };
    assert!(queued <= 1024 * 1024 + 64 * 1024 + 100, "{queued}");
    assert!(sent > 16 && begun.elapsed() < LONG);
    assert_eq!(heard(&mut ears).await, Heard::Disconnected(identity(2)));
    assert!(!peers.is_connected(&identity(2)));
    assert!(peers.is_connected(&identity(3)));
    // Its own questions do not keep it either.
    let mut asking = Raw::dial(address, &key(2)).await.unwrap();
    let asked = async {
        let ping = |raw: &mut Raw| (0..1000).flat_map(|_| raw.seal(PING, b"")).collect();
        loop {
            let pings: Vec<u8> = ping(&mut asking);
            if asking.write(&pings).await.is_err() {
                return;
            }
        }
    };
    assert!(timeout(LONG, asked).await.is_ok());
    drop(deaf.stream.shutdown().await);
}

/// A queue that is never empty does not grow: what has gone is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_always_late_gets_everything() {
    let config = TcpConfig {
        max_queued: 4 * 1024 * 1024,
        ..TcpConfig::default()
    };
    let (one, other) = (tcp_with(1, config).await, tcp(2).await);
    let [one, mut other] = tcp_connected(&one, &other).await;
    let total = 400;
    let sending = async {
        let mut number = 0u32;
        while number < total {
            let mut message = vec![0; 200_000];
            message[..4].copy_from_slice(&number.to_be_bytes());
            match one.sender.send(FrameKind::Message, &message) {
                Ok(()) => number += 1,
                Err(SendError::Full { .. }) => sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let receiving = async {
        for number in 0..total {
            let (_, message) = next(&mut other.receiver).await.unwrap().unwrap();
            assert_eq!(message[..4], number.to_be_bytes());
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_leaves_room_for_others() {
    let (ear, mut ears) = ear();
    let transport = tcp(1).await;
    let address = transport.local_address();
    let peers = Peers::start(Arc::new(transport), Arc::clone(&ear) as _);
    let flooding = tokio::spawn(async move {
        let mut raw = Raw::dial(address, &key(2)).await.unwrap();
        loop {
            let flood: Vec<u8> = (0..500).flat_map(|_| raw.seal(MESSAGE, b"flood")).collect();
            raw.write(&flood).await.unwrap();
        }
    });
    let mut honest = Raw::dial(address, &key(3)).await.unwrap();
    for _ in 0..50 {
        let begun = Instant::now();
        honest.send(MESSAGE, b"one").await.unwrap();
        loop {
            match heard(&mut ears).await {
                Heard::Message(peer, _) if peer == identity(3) => break,
                _ => {}
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    assert!(ear.flooded.load(Ordering::Relaxed) > 1000, "no flood");
    peers.send(&identity(3), b"heard").unwrap();
    assert_eq!(honest.receive().await.unwrap().1, b"heard");
    flooding.abort();
}

#[tokio::test]
async fn a_reason_to_disconnect_is_told() {
    let (ear, mut ears) = ear();
    let transport = tcp(1).await;
    let address = transport.local_address();
    let _peers = Peers::start(Arc::new(transport), ear);
    let mut raw = Raw::dial(address, &key(2)).await.unwrap();
    raw.send(MESSAGE, b"be gone").await.unwrap();
    assert_eq!(
        timeout(LONG, raw.end()).await.unwrap(),
        [(GOODBYE, b"as you wish".to_vec())]
    );
    for _ in 0..2 {
        heard(&mut ears).await;
    }
    assert_eq!(heard(&mut ears).await, Heard::Disconnected(identity(2)));
}

#[tokio::test]
async fn every_byte_is_counted() {
    let (ear, mut ears) = ear();
    let transport = tcp(1).await;
    let address = transport.local_address();
    let peers = Peers::start(Arc::new(transport), ear);
    let mut raw = Raw::dial(address, &key(2)).await.unwrap();
    for length in [0, 10, 70_000] {
        raw.send(MESSAGE, &pattern(length)).await.unwrap();
        heard_message(&mut ears).await;
        peers.send(&identity(2), &pattern(2 * length)).unwrap();
        raw.receive().await.unwrap();
    }
    raw.send(PING, b"").await.unwrap();
    raw.receive().await.unwrap();
    let traffic = peers.traffic(&identity(2), |traffic| {
        [
            traffic.sent_bytes.load(Ordering::Relaxed),
            traffic.received_bytes.load(Ordering::Relaxed),
            traffic.sent_frames.load(Ordering::Relaxed),
            traffic.received_frames.load(Ordering::Relaxed),
        ]
    });
    let expected = [raw.received_bytes, raw.sent_bytes, 4, 4];
    assert_eq!(traffic, Some(expected));
    // A length, a tag for each chunk, and the kind.
    assert_eq!(raw.sent_bytes, 70_010 + 4 * (4 + 16 + 1) + 16);
}

/// Whoever closes his sending half ends his receiving half too, even if the peer reads nothing.
#[tokio::test]
async fn closing_ends_both_halves() {
    let transport = tcp(1).await;
    let (_deaf, mut accepted) = raw_connected(&transport, 2).await;
    while accepted
        .sender
        .send(FrameKind::Message, &[0; 1 << 20])
        .is_ok()
    {}
    // Whoever writes waits for the peer by now.
    sleep(Duration::from_millis(20)).await;
    accepted.sender.close();
    assert!(next(&mut accepted.receiver).await.unwrap().is_none());
    let sent = accepted.sender.send(FrameKind::Message, b"");
    assert_eq!(sent, Err(SendError::NotConnected));
}
