//! Whether a peer is still there.

use std::sync::Arc;
use std::time::Duration;

use perun_client::link::memory::Network;
use perun_client::link::{Peers, PeersConfig};
use tokio::time::{Instant, sleep, timeout};

use crate::raw::{MESSAGE, PING, Raw};
use crate::{Heard, ear, heard, identity, key, memory, tcp};

#[tokio::test(start_paused = true)]
async fn a_dead_peer_is_found() {
    let network = Network::new(1);
    let (one, mut ears) = ear();
    let one = Peers::start(Arc::new(memory(&network, 1)), one);
    let (other, mut others) = ear();
    let _other = Peers::start(Arc::new(memory(&network, 2)), other);
    one.want(identity(2), "2");
    assert_eq!(heard(&mut ears).await, Heard::Connected(identity(2)));
    assert_eq!(heard(&mut others).await, Heard::Connected(identity(1)));
    // An hour without a message is none without a sign of life.
    let quiet = timeout(Duration::from_secs(3600), ears.recv()).await;
    assert!(quiet.is_err());
    network.partition(identity(1), identity(2));
    let begun = Instant::now();
    let config = PeersConfig::default();
    let bounds = config.dead_after - config.ping_every..=config.dead_after + 2 * config.ping_every;
    for (ears, peer) in [(&mut ears, identity(2)), (&mut others, identity(1))] {
        let told = timeout(Duration::from_secs(100), ears.recv()).await;
        assert_eq!(told.unwrap(), Some(Heard::Disconnected(peer)));
        let after = begun.elapsed();
        assert!(bounds.contains(&after), "{after:?}");
    }
    network.heal(identity(1), identity(2));
    let told = timeout(Duration::from_secs(100), ears.recv()).await;
    assert_eq!(told.unwrap(), Some(Heard::Connected(identity(2))));
}

const IMPATIENT: PeersConfig = PeersConfig {
    first_pause: Duration::from_millis(250),
    longest_pause: Duration::from_secs(30),
    good_after: Duration::from_secs(10),
    ping_every: Duration::from_millis(100),
    dead_after: Duration::from_millis(500),
    max_strangers: 10,
};

#[tokio::test]
async fn a_frame_that_takes_long_is_a_sign_of_life() {
    let (ear, mut ears) = ear();
    let transport = tcp(1).await;
    let address = transport.local_address();
    let _peers = Peers::start_with(Arc::new(transport), ear, IMPATIENT);
    let mut raw = Raw::dial(address, &key(2)).await.unwrap();
    assert_eq!(heard(&mut ears).await, Heard::Connected(identity(2)));
    let frame = raw.seal(MESSAGE, b"slow");
    for byte in frame {
        raw.write(&[byte]).await.unwrap();
        sleep(Duration::from_millis(60)).await;
    }
    let message = Heard::Message(identity(2), b"slow".to_vec());
    assert_eq!(heard(&mut ears).await, message);
    // And then nothing any more.
    let begun = Instant::now();
    assert_eq!(heard(&mut ears).await, Heard::Disconnected(identity(2)));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

/// The peer has much to say, so that its question would come late: it learns unasked that it is heard.
#[tokio::test]
async fn whoever_only_listens_says_something() {
    let (ear, _ears) = ear();
    let transport = tcp(1).await;
    let address = transport.local_address();
    let _peers = Peers::start_with(Arc::new(transport), ear, IMPATIENT);
    let mut raw = Raw::dial(address, &key(2)).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        raw.send(MESSAGE, b"and another thing").await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    // They have come already: only now the peer falls silent, and would be asked for that.
    for _ in 0..3 {
        let frame = timeout(Duration::from_millis(50), raw.receive()).await;
        assert_eq!(frame.unwrap().unwrap(), (PING, vec![]));
    }
}
