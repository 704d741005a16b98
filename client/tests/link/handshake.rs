//! Who is who, and who is not.

use std::time::Duration;

use perun_client::link::{FrameKind, LinkError, TcpConfig, Transport as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::raw::{self, Raw};
use crate::{LONG, identity, key, next, tcp, tcp_connected, tcp_with};

/// Whether the other side ends the connection (and sends at most its half of a handshake first).
async fn is_ended(mut stream: TcpStream) -> bool {
    let mut bytes = Vec::new();
    timeout(LONG, stream.read_to_end(&mut bytes)).await.is_ok()
}

#[tokio::test]
async fn both_learn_who_the_other_is_and_what_it_takes() {
    let config = TcpConfig {
        max_message: 777,
        ..TcpConfig::default()
    };
    let (one, other) = (tcp(1).await, tcp_with(2, config).await);
    let [dialled, accepted] = tcp_connected(&one, &other).await;
    assert_eq!((dialled.peer, accepted.peer), (identity(2), identity(1)));
    assert_eq!(dialled.hello.identity, identity(2));
    assert_eq!(dialled.hello.max_message, 777);
    assert_eq!(accepted.hello.max_message, 1024 * 1024);
}

#[tokio::test]
async fn a_peer_made_by_hand_is_understood() {
    let transport = tcp(1).await;
    let raw = Raw::dial(transport.local_address(), &key(2)).await;
    let accepted = transport.accept().await.unwrap();
    assert_eq!(accepted.peer, identity(2));
    drop(raw);
}

#[tokio::test]
async fn whoever_answers_must_be_the_one_who_is_wanted() {
    let (one, other) = (tcp(1).await, tcp(2).await);
    let address = other.local_address().to_string();
    match one.connect(identity(3), &address).await {
        Err(LinkError::WrongPeer { wanted, found }) => {
            assert_eq!((*wanted, *found), (identity(3), identity(2)));
        }
        connected => panic!("{connected:?}"),
    }
    let ours = one.local_address().to_string();
    let connected = one.connect(identity(1), &ours).await;
    assert!(matches!(connected, Err(LinkError::Ourselves)));
    let refused = one.connect(identity(2), "127.0.0.1:1").await;
    assert!(matches!(refused, Err(LinkError::Io(_))));
}

/// Somebody has seen the hello of an honest peer and says it in a handshake of his own.
#[tokio::test]
async fn a_hello_for_another_static_key_proves_nothing() {
    let transport = tcp(1).await;
    let address = transport.local_address();
    let replayed = raw::hello(1, &key(2), &[9; 32], raw::MAX_MESSAGE);
    let thief = Raw::dial_with(address, |_| replayed).await.unwrap();
    assert!(is_ended(thief.stream).await);
    // Signed by himself, in the name of another.
    let forged = Raw::dial_with(address, |static_key| {
        let mut hello = raw::hello(1, &key(3), static_key, raw::MAX_MESSAGE);
        let name = *identity(3).as_bytes();
        let at = hello.windows(33).position(|bytes| bytes == name).unwrap();
        hello[at..at + 33].copy_from_slice(identity(2).as_bytes());
        hello
    });
    assert!(is_ended(forged.await.unwrap().stream).await);
    // The same, honestly.
    let honest = Raw::dial(address, &key(2)).await.unwrap();
    assert_eq!(transport.accept().await.unwrap().peer, identity(2));
    drop(honest);
}

/// Somebody on the way has recorded a session and plays it once more.
#[tokio::test]
async fn a_recorded_session_opens_nothing() {
    let (one, other) = (tcp(1).await, tcp(2).await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let on_the_way = listener.local_addr().unwrap().to_string();
    let address = other.local_address();
    let recording = tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let (mut near, mut near_out) = near.into_split();
        let far = TcpStream::connect(address).await.unwrap();
        let (mut far, mut far_out) = far.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut far, &mut near_out).await });
        let mut recorded = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = near.read(&mut bytes).await {
            recorded.extend(&bytes[..count]);
            far_out.write_all(&bytes[..count]).await.unwrap();
        }
        recorded
    });
    let dialling = one.connect(identity(2), &on_the_way);
    let (dialled, accepted) = tokio::join!(dialling, other.accept());
    let (dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
    dialled.sender.send(FrameKind::Message, b"pay").unwrap();
    assert!(next(&mut accepted.receiver).await.unwrap().is_some());
    drop(dialled);
    let recorded = timeout(LONG, recording).await.unwrap().unwrap();
    assert!(recorded.len() > 200);
    let mut again = TcpStream::connect(address).await.unwrap();
    again.write_all(&recorded).await.unwrap();
    assert!(is_ended(again).await);
    let accepted = timeout(Duration::from_millis(50), other.accept()).await;
    assert!(accepted.is_err(), "nobody has proved anything");
}

#[tokio::test]
async fn another_version_and_half_a_hello_are_refused() {
    let transport = tcp(1).await;
    let address = transport.local_address();
    let newer = Raw::dial_with(address, |static_key| {
        raw::hello(2, &key(2), static_key, raw::MAX_MESSAGE)
    });
    assert!(is_ended(newer.await.unwrap().stream).await);
    let whole = raw::hello(1, &key(2), &[0; 32], raw::MAX_MESSAGE);
    for length in [0, 1, 5, 40, whole.len() - 1] {
        let half = Raw::dial_with(address, |static_key| {
            raw::hello(1, &key(2), static_key, raw::MAX_MESSAGE)[..length].to_vec()
        });
        assert!(is_ended(half.await.unwrap().stream).await);
    }
    let accepted = timeout(Duration::from_millis(50), transport.accept()).await;
    assert!(accepted.is_err(), "nobody has proved anything");
}

#[tokio::test]
async fn garbage_is_no_handshake() {
    let transport = tcp(1).await;
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0xff; 4096],
        &[0; 64],
        &[0, 32, 1, 2, 3],
        &[0, 0],
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(transport.local_address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(is_ended(stream).await);
    }
    let _connected = tcp_connected(&tcp(2).await, &transport).await;
}

/// Twice as many as may be under way say nothing, or half of something.
#[tokio::test]
async fn the_silent_hold_up_nobody() {
    let config = TcpConfig {
        max_handshakes: 8,
        handshake_within: Duration::from_secs(60),
        ..TcpConfig::default()
    };
    let transport = tcp_with(1, config).await;
    let mut silent = Vec::new();
    for number in 0..16u8 {
        let mut stream = TcpStream::connect(transport.local_address()).await.unwrap();
        stream
            .write_all(&[0, 32, 7, 7][..usize::from(number % 4)])
            .await
            .unwrap();
        silent.push(stream);
        let begun = Instant::now();
        let _connected = tcp_connected(&tcp(2).await, &transport).await;
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    // The oldest have lost their place.
    assert!(is_ended(silent.remove(0)).await);
}

#[tokio::test]
async fn a_handshake_takes_its_time_and_no_more() {
    let config = TcpConfig {
        handshake_within: Duration::from_millis(200),
        ..TcpConfig::default()
    };
    let transport = tcp_with(1, config).await;
    let stream = TcpStream::connect(transport.local_address()).await.unwrap();
    let begun = Instant::now();
    assert!(is_ended(stream).await);
    assert!(begun.elapsed() < Duration::from_secs(5));
    // Whoever is dialled and says nothing, too.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connected = transport.connect(identity(2), &address).await;
    assert!(matches!(connected, Err(LinkError::TimedOut)));
    // One byte at a time is not progress.
    let mut slow = TcpStream::connect(transport.local_address()).await.unwrap();
    let begun = Instant::now();
    while slow.write_all(&[0]).await.is_ok() && begun.elapsed() < LONG {
        sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_closed_transport_takes_nobody() {
    let (one, other) = (tcp(1).await, tcp(2).await);
    let address = other.local_address();
    let half = TcpStream::connect(address).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    other.close();
    let accepted = timeout(LONG, other.accept()).await.unwrap();
    assert!(matches!(accepted, Err(LinkError::Closed)));
    assert!(is_ended(half).await, "handshakes end with it");
    let connected = one.connect(identity(2), &address.to_string()).await;
    assert!(connected.is_err());
}
