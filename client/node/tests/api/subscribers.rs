//! Many who listen, and those who send garbage.

use std::time::Duration;

use perun_node::api::v1;
use perun_node::api::v1::event::Kind;
use perun_node::api::v1::sessions_client::SessionsClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::errors::channel;
use crate::world::{Incoming, World, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_listeners_hear_of_a_payment() {
    let world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let mut streams = Vec::new();
    // A hundred each over ten connections.
    for _ in 0..10 {
        let connection = world.channel().await;
        for _ in 0..100 {
            let mut sessions = SessionsClient::with_interceptor(connection.clone(), world.bearer());
            let listening = sessions.events(v1::EventsRequest {
                session_id: bob.session.clone(),
            });
            streams.push(listening.await.unwrap().into_inner());
        }
    }
    alice.send(&channel, "bob", "0.5").await.unwrap();
    for stream in &mut streams {
        loop {
            let event = soon(stream.message()).await.unwrap().unwrap();
            if event.kind() == Kind::Received {
                assert_eq!(event.channel, channel);
                assert_eq!(event.text, "has paid 0.5 ICP");
                break;
            }
        }
    }
    // They end with the session.
    bob.close_session(true).await.unwrap();
    for stream in &mut streams {
        while soon(stream.message()).await.unwrap().is_some() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_disturbs_nobody() {
    let world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    let address = world.serving().address();
    // Plaintext, half handshakes and nothing at all.
    let mut held = Vec::new();
    for garbage in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff],
        &[0; 4096],
        b"",
    ] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(garbage).await.unwrap();
            held.push(stream);
        }
    }
    let channel = soon(channel(&mut alice, &mut bob)).await;
    alice.send(&channel, "bob", "0.5").await.unwrap();
    let mut buffer = [0; 64];
    let answered = tokio::time::timeout(Duration::from_secs(1), held[0].read(&mut buffer)).await;
    assert!(
        answered.is_ok(),
        "plaintext is answered by an alert or by the end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_are_refused_as_such() {
    let world = World::with(&["alice"], Incoming::Accept).await;
    let mut alice = world.open("alice").await;
    let long = "x".repeat(2 * 1024 * 1024);
    let refused = alice.api.get_peer_id(perun_node::api::pb::GetPeerIdReq {
        session_id: alice.session.clone(),
        alias: long,
    });
    let refused = refused.await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused:?}");
    for alias in ["\0", "\u{202e}", "a\nb", &"ü".repeat(1000)] {
        let answer = alice.api.get_peer_id(perun_node::api::pb::GetPeerIdReq {
            session_id: alice.session.clone(),
            alias: alias.to_owned(),
        });
        let answer = answer.await.unwrap().into_inner();
        crate::outcome!(answer, get_peer_id_resp).unwrap_err();
    }
    assert_eq!(alice.channels().await.unwrap(), []);
}
