//! One link a peer: both dial, links break, addresses change, strangers come.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use perun_client::link::memory::{Faults, MemoryTransport, Network};
use perun_client::link::{
    BoxFuture, Connection, FrameKind, LinkError, Peers, PeersConfig, SendError, Transport,
};
use perun_protocol::PublicKey;
use tokio::time::{Instant, sleep, timeout};

use crate::raw::{GOODBYE, MESSAGE, PING, Raw};
use crate::{
    Ears, Heard, LONG, ear, heard, heard_message, identity, key, memory, next, ordered, tcp,
};

/// Somebody with links over a network in memory.
struct Someone {
    peers: Peers,
    ears: Ears,
}

fn someone(network: &Network, number: u8) -> Someone {
    someone_with(memory(network, number), PeersConfig::default())
}

fn someone_with(transport: impl Transport, config: PeersConfig) -> Someone {
    let (ear, ears) = ear();
    Someone {
        peers: Peers::start_with(Arc::new(transport), ear, config),
        ears,
    }
}

impl Someone {
    /// What was heard so far.
    fn all_heard(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.ears.try_recv().ok()).collect()
    }
}

/// A transport that remembers when it dialled whom, and when that ended.
struct Watched<T> {
    inner: T,
    dials: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl<T: Transport> Transport for Watched<T> {
    fn connect<'a>(
        &'a self,
        peer: PublicKey,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Connection, LinkError>> {
        let dial = (Instant::now(), address.to_owned());
        self.dials.lock().unwrap().push(dial);
        self.inner.connect(peer, address)
    }

    fn accept(&self) -> BoxFuture<'_, Result<Connection, LinkError>> {
        self.inner.accept()
    }

    fn identity(&self) -> PublicKey {
        self.inner.identity()
    }

    fn close(&self) {
        self.inner.close();
    }
}

type Dials = Arc<Mutex<Vec<(Instant, String)>>>;

fn watched(inner: MemoryTransport) -> (Watched<MemoryTransport>, Dials) {
    let dials = Dials::default();
    let watched = Watched {
        inner,
        dials: Arc::clone(&dials),
    };
    (watched, dials)
}

/// Pauses between dials.
fn pauses(dials: &Dials) -> Vec<Duration> {
    let dials = dials.lock().unwrap();
    dials.windows(2).map(|two| two[1].0 - two[0].0).collect()
}

/// However the two meet, they stay with one connection, over which both hear each other.
#[tokio::test(start_paused = true)]
async fn who_dial_at_once_keep_one_connection() {
    for seed in 0..100 {
        let network = Network::new(seed);
        network.set_faults(Faults {
            delay: Duration::ZERO..=Duration::from_millis(seed % 5 * 20),
            ..Faults::NONE
        });
        let (mut one, mut other) = (someone(&network, 1), someone(&network, 2));
        one.peers.want(identity(2), "2");
        other.peers.want(identity(1), "1");
        sleep(Duration::from_secs(4)).await;
        let (first, second) = (one.all_heard(), other.all_heard());
        for (heard, peer) in [(&first, identity(2)), (&second, identity(1))] {
            assert!(heard.len() <= 5, "seed {seed}: {heard:?}");
            assert_eq!(heard.last(), Some(&Heard::Connected(peer)), "seed {seed}");
        }
        one.peers.send(&identity(2), b"there").unwrap();
        other.peers.send(&identity(1), b"back").unwrap();
        sleep(Duration::from_secs(600)).await;
        let there = Heard::Message(identity(1), b"there".to_vec());
        assert_eq!(other.all_heard(), [there], "seed {seed}: nothing flaps");
        let back = Heard::Message(identity(2), b"back".to_vec());
        assert_eq!(one.all_heard(), [back], "seed {seed}: nothing flaps");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dial_at_once_over_tcp_keep_one_connection_too() {
    for _ in 0..10 {
        let (first, second) = (tcp(1).await, tcp(2).await);
        let addresses = [first.local_address(), second.local_address()];
        let (mut one, mut other) = (
            someone_with(first, PeersConfig::default()),
            someone_with(second, PeersConfig::default()),
        );
        one.peers.want(identity(2), &addresses[1].to_string());
        other.peers.want(identity(1), &addresses[0].to_string());
        sleep(Duration::from_millis(400)).await;
        assert_eq!(one.all_heard().last(), Some(&Heard::Connected(identity(2))));
        assert_eq!(
            other.all_heard().last(),
            Some(&Heard::Connected(identity(1)))
        );
        sleep(Duration::from_millis(600)).await;
        assert_eq!((one.all_heard(), other.all_heard()), (vec![], vec![]));
        one.peers.send(&identity(2), b"there").unwrap();
        assert_eq!(heard_message(&mut other.ears).await, b"there");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_while_nobody_answers() {
    let network = Network::new(1);
    let (transport, dials) = watched(memory(&network, 1));
    let mut one = someone_with(transport, PeersConfig::default());
    one.peers.want(identity(2), "2");
    sleep(Duration::from_secs(300)).await;
    let pauses = pauses(&dials);
    let config = PeersConfig::default();
    let mut expected = config.first_pause;
    for pause in &pauses {
        // A timer is late by up to a millisecond.
        let bounds = expected / 2..=expected + Duration::from_millis(2);
        assert!(bounds.contains(pause), "{pauses:?}");
        expected = (expected * 2).min(config.longest_pause);
    }
    assert!((13..40).contains(&pauses.len()), "{pauses:?}");
    // And then somebody does; the next pause is one of the longest.
    let mut other = someone(&network, 2);
    sleep(config.longest_pause).await;
    assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(2)));
    assert_eq!(heard(&mut other.ears).await, Heard::Connected(identity(1)));
}

#[tokio::test(start_paused = true)]
async fn after_a_good_connection_pauses_are_short_again() {
    let network = Network::new(1);
    let (transport, dials) = watched(memory(&network, 1));
    let mut one = someone_with(transport, PeersConfig::default());
    one.peers.want(identity(2), "2");
    sleep(Duration::from_secs(120)).await;
    let _other = someone(&network, 2);
    assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(2)));
    sleep(Duration::from_secs(60)).await;
    for _ in 0..3 {
        let cut_at = Instant::now();
        assert_eq!(network.cut(&identity(1), &identity(2)), 1);
        assert_eq!(heard(&mut one.ears).await, Heard::Disconnected(identity(2)));
        assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(2)));
        assert!(cut_at.elapsed() <= Duration::from_millis(10));
        sleep(Duration::from_secs(60)).await;
    }
    // One that breaks at once is tried with pauses that grow.
    let before = dials.lock().unwrap().len();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        network.cut_all();
        sleep(Duration::from_millis(1)).await;
    }
    let count = dials.lock().unwrap().len() - before;
    assert!((5..15).contains(&count), "{count}");
}

#[tokio::test(start_paused = true)]
async fn a_new_address_is_tried_at_once() {
    let network = Network::new(1);
    let (transport, dials) = watched(memory(&network, 1));
    let mut one = someone_with(transport, PeersConfig::default());
    let _other = someone(&network, 2);
    one.peers.want(identity(2), "nowhere");
    sleep(Duration::from_secs(200)).await;
    one.peers.want(identity(2), "nowhere");
    let wanted_at = Instant::now();
    one.peers.want(identity(2), "2");
    assert_eq!(one.peers.address(&identity(2)).as_deref(), Some("2"));
    assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(2)));
    assert!(wanted_at.elapsed() < Duration::from_millis(10));
    // Also in the middle of an attempt that hangs.
    network.partition(identity(1), identity(3));
    let _third = network.attach(identity(3), "3");
    one.peers.want(identity(3), "3");
    sleep(Duration::from_secs(1)).await;
    network.heal(identity(1), identity(3));
    let wanted_at = Instant::now();
    let _elsewhere = someone_with(
        network.attach(identity(3), "elsewhere"),
        PeersConfig::default(),
    );
    one.peers.want(identity(3), "elsewhere");
    assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(3)));
    assert!(wanted_at.elapsed() < Duration::from_millis(10));
    // Whoever is not wanted any more is not dialled.
    one.peers.unwant(&identity(2));
    network.cut_all();
    sleep(Duration::from_secs(1)).await;
    let before = dials.lock().unwrap().len();
    sleep(Duration::from_secs(200)).await;
    assert_eq!(dials.lock().unwrap().len(), before);
    assert!(!one.peers.is_connected(&identity(2)));
}

/// A peer connects again and again, and says over each connection which it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_connection_wins_and_nothing_older_is_told() {
    let transport = tcp(1).await;
    let address = transport.local_address();
    let mut one = someone_with(transport, PeersConfig::default());
    let mut talking = Vec::new();
    for number in 0..30u8 {
        let mut raw = Raw::dial(address, &key(2)).await.unwrap();
        // Taken before the next one begins.
        raw.send(PING, b"").await.unwrap();
        raw.receive().await.unwrap();
        talking.push(tokio::spawn(async move {
            while raw.send(MESSAGE, &[number]).await.is_ok() {
                sleep(Duration::from_millis(1)).await;
            }
        }));
        sleep(Duration::from_millis(u64::from(number % 3) * 5)).await;
    }
    let mut said_by = Vec::new();
    let mut is_connected = false;
    loop {
        match heard(&mut one.ears).await {
            Heard::Connected(_) => {
                assert!(!is_connected, "the older one has ended before");
                is_connected = true;
                said_by.push(None);
            }
            Heard::Disconnected(_) => {
                assert!(is_connected);
                is_connected = false;
            }
            Heard::Message(_, message) => {
                assert!(is_connected);
                let number = message[0];
                let last = said_by.last_mut().unwrap();
                assert_eq!(*last.get_or_insert(number), number, "of one connection");
                if number == 29 {
                    break;
                }
            }
        }
    }
    let numbers: Vec<u8> = said_by.into_iter().flatten().collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    for (number, talking) in talking.into_iter().enumerate() {
        if number < 29 {
            assert!(timeout(LONG, talking).await.is_ok(), "older ones end");
        } else {
            talking.abort();
        }
    }
}

/// A connection whose task never ran, because a newer one came right behind it, leaves nothing.
#[tokio::test(start_paused = true)]
async fn connections_that_were_replaced_at_once_leave_nothing() {
    let network = Network::new(1);
    let config = PeersConfig {
        max_strangers: 1,
        ..PeersConfig::default()
    };
    let mut one = someone_with(memory(&network, 1), config);
    let stranger = memory(&network, 2);
    let mut connections = Vec::new();
    for _ in 0..10 {
        connections.push(stranger.connect(identity(1), "1").await.unwrap());
    }
    sleep(Duration::from_secs(1)).await;
    assert!(one.peers.is_connected(&identity(2)));
    let newest = connections.pop().unwrap();
    for mut older in connections {
        let (kind, _) = next(&mut older.receiver).await.unwrap().unwrap();
        assert_eq!(kind, FrameKind::Goodbye);
    }
    drop(newest);
    sleep(Duration::from_secs(1)).await;
    assert!(!one.peers.is_connected(&identity(2)));
    assert!(matches!(
        one.all_heard()[..],
        [Heard::Connected(_), Heard::Disconnected(_)]
    ));
    // His place is free for somebody else, and a shutdown does not wait for him.
    let other = memory(&network, 3);
    let _connection = other.connect(identity(1), "1").await.unwrap();
    assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(3)));
    timeout(LONG, one.peers.shutdown()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn strangers_have_so_many_places() {
    let network = Network::new(1);
    let config = PeersConfig {
        max_strangers: 2,
        ..PeersConfig::default()
    };
    let mut one = someone_with(memory(&network, 1), config);
    // Those who were wanted once and never came take nobody's place.
    for number in 50..60 {
        one.peers.want(identity(number), "nowhere");
        one.peers.unwant(&identity(number));
    }
    let mut strangers = Vec::new();
    for number in 2..4 {
        let transport = memory(&network, number);
        strangers.push(transport.connect(identity(1), "1").await.unwrap());
        assert_eq!(
            heard(&mut one.ears).await,
            Heard::Connected(identity(number))
        );
    }
    let transport = memory(&network, 4);
    let mut refused = transport.connect(identity(1), "1").await.unwrap();
    let (kind, reason) = next(&mut refused.receiver).await.unwrap().unwrap();
    assert_eq!(
        (kind, &reason[..]),
        (FrameKind::Goodbye, &b"too many connections"[..])
    );
    assert!(next(&mut refused.receiver).await.unwrap().is_none());
    // Whoever is known may come again, and whoever is wanted always.
    let transport = memory(&network, 2);
    strangers.push(transport.connect(identity(1), "1").await.unwrap());
    assert_eq!(heard(&mut one.ears).await, Heard::Disconnected(identity(2)));
    assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(2)));
    one.peers.want(identity(5), "nowhere");
    let transport = memory(&network, 5);
    let _friend = transport.connect(identity(1), "1").await.unwrap();
    assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(5)));
    // When one goes, another comes.
    strangers.clear();
    for _ in 0..2 {
        assert!(matches!(heard(&mut one.ears).await, Heard::Disconnected(_)));
    }
    let transport = memory(&network, 4);
    let _stranger = transport.connect(identity(1), "1").await.unwrap();
    assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(4)));
}

#[tokio::test]
async fn a_shutdown_says_goodbye_and_is_the_last_that_is_heard() {
    let transport = tcp(1).await;
    let address = transport.local_address();
    let mut one = someone_with(transport, PeersConfig::default());
    let raw = Raw::dial(address, &key(2)).await.unwrap();
    let talking = Raw::dial(address, &key(3)).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(heard(&mut one.ears).await, Heard::Connected(_)));
    }
    let talking = tokio::spawn(async move {
        let mut talking = talking;
        while talking.send(MESSAGE, b"and another thing").await.is_ok() {}
    });
    sleep(Duration::from_millis(20)).await;
    timeout(LONG, one.peers.shutdown()).await.unwrap();
    let told = one.all_heard();
    for number in [2, 3] {
        assert!(told.contains(&Heard::Disconnected(identity(number))));
    }
    sleep(Duration::from_millis(50)).await;
    assert_eq!(one.all_heard(), [], "that was the last");
    let goodbye = (GOODBYE, b"the client stops".to_vec());
    assert_eq!(timeout(LONG, raw.end()).await.unwrap(), [goodbye]);
    assert!(timeout(LONG, talking).await.is_ok());
    assert!(Raw::dial(address, &key(2)).await.is_err());
    assert_eq!(
        one.peers.send(&identity(2), b"late"),
        Err(SendError::NotConnected)
    );
}

/// Nothing that begins beside a shutdown outlives it.
#[tokio::test(start_paused = true)]
async fn nothing_outlives_a_shutdown() {
    for seed in 0..50 {
        let network = Network::new(seed);
        network.set_faults(Faults {
            delay: Duration::ZERO..=Duration::from_millis(20),
            ..Faults::NONE
        });
        let (transport, dials) = watched(memory(&network, 1));
        let mut one = someone_with(transport, PeersConfig::default());
        let mut other = someone(&network, 2);
        one.peers.want(identity(2), "2");
        other.peers.want(identity(1), "1");
        sleep(Duration::from_millis(seed)).await;
        timeout(LONG, one.peers.shutdown()).await.unwrap();
        one.peers.want(identity(2), "2");
        let dialled = dials.lock().unwrap().len();
        one.all_heard();
        sleep(Duration::from_secs(100)).await;
        assert_eq!(one.all_heard(), []);
        assert_eq!(dials.lock().unwrap().len(), dialled);
        assert!(!other.peers.is_connected(&identity(1)), "seed {seed}");
        // Both of whatever it was.
        let heard = other.all_heard();
        let count = |is: fn(&Heard) -> bool| heard.iter().filter(|heard| is(heard)).count();
        assert_eq!(
            count(|heard| matches!(heard, Heard::Connected(_))),
            count(|heard| matches!(heard, Heard::Disconnected(_)))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_accepted_during_a_shutdown_is_turned_away() {
    let network = Network::new(1);
    let mut one = someone(&network, 1);
    let stranger = memory(&network, 2);
    let mut connection = stranger.connect(identity(1), "1").await.unwrap();
    // Nobody has had time to accept it.
    one.peers.shutdown().await;
    let (kind, reason) = next(&mut connection.receiver).await.unwrap().unwrap();
    assert_eq!(
        (kind, &reason[..]),
        (FrameKind::Goodbye, &b"the client stops"[..])
    );
    assert!(next(&mut connection.receiver).await.unwrap().is_none());
    assert_eq!(one.all_heard(), []);
}

/// Whatever breaks and whenever, in the end they are connected, and every connection that was told
/// ended before the next.
#[tokio::test(start_paused = true)]
async fn after_any_breaks_they_find_each_other() {
    for seed in 0..30 {
        let network = Network::new(seed);
        network.set_faults(Faults {
            cut: 0.2,
            delay: Duration::ZERO..=Duration::from_millis(30),
            ..Faults::NONE
        });
        let (mut one, mut other) = (someone(&network, 1), someone(&network, 2));
        one.peers.want(identity(2), "2");
        other.peers.want(identity(1), "1");
        for _ in 0..300 {
            let _ = one.peers.send(&identity(2), b"there");
            let _ = other.peers.send(&identity(1), b"back");
            sleep(Duration::from_millis(100)).await;
        }
        assert!(
            network.fault_counts().cut > 5,
            "{:?}",
            network.fault_counts()
        );
        network.set_faults(Faults::NONE);
        sleep(Duration::from_secs(90)).await;
        for heard in [one.all_heard(), other.all_heard()] {
            let mut is_connected = false;
            for heard in &heard {
                match heard {
                    Heard::Connected(_) => assert!(!std::mem::replace(&mut is_connected, true)),
                    Heard::Message(..) => assert!(is_connected),
                    Heard::Disconnected(_) => {
                        assert!(std::mem::replace(&mut is_connected, false));
                    }
                }
            }
            assert!(is_connected);
        }
    }
}

/// The two of whom one has restarted find each other within seconds, whoever has the smaller name,
/// even if the other still believes in the old connection.
#[tokio::test(start_paused = true)]
async fn a_peer_that_starts_again_is_not_refused_for_long() {
    for [old, new] in [ordered(1, 2), {
        let [one, other] = ordered(1, 2);
        [other, one]
    }] {
        let network = Network::new(1);
        let mut one = someone(&network, old);
        let other = someone(&network, new);
        one.peers.want(identity(new), &format!("{new}"));
        assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(new)));
        // It is gone without a word.
        network.partition(identity(old), identity(new));
        std::mem::forget(other);
        let again = someone(&network, new);
        network.heal(identity(old), identity(new));
        again.peers.want(identity(old), &format!("{old}"));
        let begun = Instant::now();
        assert_eq!(
            heard(&mut one.ears).await,
            Heard::Disconnected(identity(new))
        );
        assert_eq!(heard(&mut one.ears).await, Heard::Connected(identity(new)));
        assert!(begun.elapsed() < Duration::from_secs(15));
        sleep(Duration::from_secs(20)).await;
        assert!(again.peers.is_connected(&identity(old)));
    }
}
