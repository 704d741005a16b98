//! Devices that publish their states in a watch stream, which the service follows.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use perun_client::link::memory::Network;
use perun_client::remote::{Stream, StreamFiles, StreamStatus};
use perun_client::store::MemoryStore;
use perun_protocol::dispute::Rank;
use perun_protocol::remote::{RemoteMessage, Watch};
use perun_protocol::{PartIdx, Participant, SecretKey, SignedState, Signer as _, Version};
use perun_watch_relay::frames::Side;
use perun_watch_relay::{Line, RelayEnd, Server, line};
use perun_watch_stream::{Author, Heard, Number, Record, Storage, Subscriber, Transport as _};
use rand_core::OsRng;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::device::{Device, first_watch, next_watch};
use crate::node::Node;
use crate::world::*;

const STATE: [u128; 2] = [1_000, 500];
/// Of the key by which the service is let in.
const SEED: [u8; 32] = [0x51; 32];

#[derive(Default)]
struct Memory(HashMap<Record, Vec<u8>>);

impl Storage for Memory {
    type Error = Infallible;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Infallible> {
        let found = self.0.get(&record);
        Ok(found.map(|bytes| {
            into[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        }))
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.insert(record, bytes.to_vec());
        Ok(())
    }
}

/// A device that publishes, and the two ends of its relay.
struct Publisher {
    author: Author<Memory>,
    to_service: mpsc::Sender<Vec<u8>>,
    from_service: mpsc::Receiver<Vec<u8>>,
}

/// A folder for a stream's records.
fn empty_folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("perun-stream-{name}-{}", std::process::id()));
    // It is not there, unless a process with this number was killed.
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn seed_key() -> [u8; 32] {
    let key = ed25519_dalek::SigningKey::from_bytes(&SEED);
    key.verifying_key().to_bytes()
}

impl Publisher {
    /// A stream of the second participant's, which `node` follows on what is in `files`.
    fn begin(
        channel: &TestChannel,
        node: &Node,
        files: StreamFiles,
    ) -> (Self, watch::Receiver<StreamStatus>) {
        let key: &SecretKey = &channel.keys[1];
        let id = channel.params.id();
        let mut author = Author::create(Memory::default(), id, key, &mut OsRng).unwrap();
        author.allow(seed_key()).unwrap();
        let participant = Participant::Secp256k1(key.public_key());
        let announcement = author.announcement();
        let rng = &mut OsRng;
        let follows = Subscriber::follow(files, &announcement, id, participant, &SEED, rng);
        let (line, status) = follow(node, follows.unwrap());
        let publisher = Self {
            author,
            to_service: line.0,
            from_service: line.1,
        };
        (publisher, status)
    }

    async fn hear(&mut self) -> Heard {
        let heard = soon("a watcher's message", self.from_service.recv()).await;
        self.author.receive(&heard.unwrap()).unwrap()
    }

    /// Waits until the service has subscribed, and lets it in.
    async fn let_in(&mut self) {
        // What it has told a linked device it may acknowledge before.
        while !matches!(self.hear().await, Heard::Subscribed(_)) {}
        self.keyload().await;
    }

    async fn keyload(&mut self) {
        let keyload = self.author.open_epoch(&mut OsRng).unwrap().to_vec();
        self.to_service.send(keyload).await.unwrap();
    }

    async fn publish(&mut self, version: Version, message: &RemoteMessage) {
        let packet = self.author.publish(version, &[], &message.encode());
        let packet = packet.unwrap().to_vec();
        self.to_service.send(packet).await.unwrap();
    }

    async fn order(&mut self, version: Version, order: Watch) {
        let message = RemoteMessage::Watch(Box::new(order));
        self.publish(version, &message).await;
    }

    /// Waits for the next ack of this version; those of older ones are passed over.
    async fn acked(&mut self, version: u64) {
        loop {
            if let Heard::Acked { acked, .. } = self.hear().await {
                assert!(acked.version <= Version::new(version), "{acked:?}");
                if acked.version == Version::new(version) {
                    return;
                }
            }
        }
    }

    /// Nothing is said for a while.
    async fn silence(&mut self) {
        let heard = timeout(Duration::from_millis(700), self.from_service.recv()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

type Ends = (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>);

fn follow(
    node: &Node,
    subscriber: Subscriber<StreamFiles>,
) -> (Ends, watch::Receiver<StreamStatus>) {
    let (to_service, incoming) = mpsc::channel(8);
    let (outgoing, from_service) = mpsc::channel(8);
    let stream = Stream {
        subscriber,
        incoming,
        outgoing,
    };
    let status = node.service.follow(stream);
    ((to_service, from_service), status)
}

async fn stands(world: &World, channel: &TestChannel, signed: &SignedState) {
    let adjudicator = world.adjudicator_for(9).await;
    let rank = Rank::State(signed.version());
    soon("a refutation", async {
        loop {
            let registered = adjudicator.registered(&channel.params).await.unwrap();
            if registered.is_some_and(|registered| registered.rank == rank) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[test]
fn what_a_device_published_refutes_an_old_state() {
    story(async {
        let world = World::new().await;
        let network = Network::new(1);
        let channel = world.funded(1, STATE).await;
        let [old, middle, newest] = [0, 3, 7].map(|version| channel.signed(version, STATE, STATE));
        let node = Node::start(&world, &network, 2).await;
        let folder = empty_folder("stream");
        let files = StreamFiles::open(&folder).unwrap();
        let (mut device, status) = Publisher::begin(&channel, &node, files);
        device.let_in().await;
        let order = first_watch(&channel, SECOND, &middle, account(177));
        device.order(middle.version(), order).await;
        device.acked(3).await;
        let order = next_watch(&channel, SECOND, Some(&newest));
        device.order(newest.version(), order).await;
        device.acked(7).await;
        assert_eq!(device.author.guarded_by(newest.version()), 1);
        until("the status", || status.borrow().is_member == Some(true)).await;
        // From here on the device is silent.
        let adjudicator = world.adjudicator_for(9).await;
        let registered = adjudicator.dispute(&channel.params, &old);
        soon("a registration", registered).await.unwrap();
        stands(&world, &channel, &newest).await;
    });
}

/// What a device does at its relay: publishes orders, and waits until each is acknowledged.
fn publish_at(
    mut author: Author<Memory>,
    relay: SocketAddr,
    orders: Vec<(Version, RemoteMessage)>,
) -> Author<Memory> {
    let mut end = RelayEnd::connect(relay, Duration::from_secs(20)).unwrap();
    end.send(&author.announcement()).unwrap();
    let stream = author.stream();
    end.follow(Side::Watchers, stream, Number(0)).unwrap();
    while author.recipient_count() == 0 {
        let message = end.next(Duration::from_secs(20)).unwrap();
        let _ = author.receive(&message.expect("somebody subscribes"));
    }
    end.send(author.open_epoch(&mut OsRng).unwrap()).unwrap();
    for (version, message) in orders {
        let packet = author.publish(version, &[], &message.encode());
        end.send(packet.unwrap()).unwrap();
        while author.guarded_by(version) == 0 {
            let message = end.next(Duration::from_secs(60)).unwrap();
            // Subscriptions and acks from before come again.
            let _ = author.receive(&message.expect("somebody acknowledges"));
        }
    }
    author
}

#[test]
fn a_relay_that_restarts_only_delays() {
    story(async {
        let world = World::new().await;
        let network = Network::new(6);
        let channel = world.funded(1, STATE).await;
        let [old, middle, newest] = [0, 3, 7].map(|version| channel.signed(version, STATE, STATE));
        let node = Node::start(&world, &network, 2).await;
        let settings = perun_watch_relay::Settings::new(empty_folder("relay"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Server::start(listener, settings.clone()).await.unwrap();
        let address = relay.address();

        let key = &channel.keys[1];
        let id = channel.params.id();
        let mut author = Author::create(Memory::default(), id, key, &mut OsRng).unwrap();
        author.allow(seed_key()).unwrap();
        let participant = Participant::Secp256k1(key.public_key());
        let files = StreamFiles::open(&empty_folder("over-relay")).unwrap();
        let announcement = author.announcement();
        let rng = &mut OsRng;
        let follows = Subscriber::follow(files, &announcement, id, participant, &SEED, rng);
        // The watcher comes first: the relay knows nothing of the stream yet.
        let Line { incoming, outgoing } =
            line::follow(address.to_string(), author.stream(), seed_key());
        let status = node.service.follow(Stream {
            subscriber: follows.unwrap(),
            incoming,
            outgoing,
        });
        let message = |watch| RemoteMessage::Watch(Box::new(watch));
        let first = message(first_watch(&channel, SECOND, &middle, account(177)));
        let orders = vec![(middle.version(), first)];
        let publishing = spawn_blocking(move || publish_at(author, address, orders));
        let author = soon("an ack", publishing).await.unwrap();

        drop(relay);
        sleep(Duration::from_millis(300)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let _relay = Server::start(listener, settings).await.unwrap();
        let next = message(next_watch(&channel, SECOND, Some(&newest)));
        let orders = vec![(newest.version(), next)];
        let publishing = spawn_blocking(move || publish_at(author, address, orders));
        soon("an ack", publishing).await.unwrap();
        assert_eq!(status.borrow().ended, None);

        let adjudicator = world.adjudicator_for(9).await;
        let registered = adjudicator.dispute(&channel.params, &old);
        soon("a registration", registered).await.unwrap();
        stands(&world, &channel, &newest).await;
    });
}

#[test]
fn a_stream_is_followed_over_a_restart_and_lost_acks_are_sent_again() {
    story(async {
        let world = World::new().await;
        let network = Network::new(2);
        let channel = world.funded(1, STATE).await;
        let [first, second] = [3, 4].map(|version| channel.signed(version, STATE, STATE));
        let node = Node::start(&world, &network, 2).await;
        let folder = empty_folder("followed");
        let files = StreamFiles::open(&folder).unwrap();
        let (mut device, _) = Publisher::begin(&channel, &node, files);
        device.let_in().await;
        let order = first_watch(&channel, SECOND, &first, account(177));
        device.order(first.version(), order).await;
        device.acked(3).await;
        // The ack is lost; the relay brings the packet again.
        let packet = device.author.packet().unwrap().to_vec();
        device.to_service.send(packet).await.unwrap();
        device.acked(3).await;

        let store = node.store.clone();
        let node = node.restart_on(&world, store).await;
        let files = StreamFiles::open(&folder).unwrap();
        let subscriber = Subscriber::start(files).unwrap().unwrap();
        let (line, status) = follow(&node, subscriber);
        (device.to_service, device.from_service) = line;
        assert_eq!(status.borrow().is_member, None);
        device.keyload().await;
        let order = next_watch(&channel, SECOND, Some(&second));
        device.order(second.version(), order).await;
        device.acked(4).await;
        until("the status", || {
            status.borrow().stored == Some(second.version())
        })
        .await;
    });
}

#[test]
fn a_service_that_lost_its_records_takes_its_word_back_and_asks_for_all() {
    story(async {
        let world = World::new().await;
        let network = Network::new(7);
        let channel = world.funded(1, STATE).await;
        let signed = channel.signed(3, STATE, STATE);
        let node = Node::start(&world, &network, 2).await;
        let folder = empty_folder("lost");
        let files = StreamFiles::open(&folder).unwrap();
        let (mut device, _) = Publisher::begin(&channel, &node, files);
        device.let_in().await;
        let order = first_watch(&channel, SECOND, &signed, account(177));
        device.order(signed.version(), order.clone()).await;
        device.acked(3).await;

        // Its records are deleted, those of the stream are not.
        let node = node.restart_on(&world, Arc::new(MemoryStore::new())).await;
        let files = StreamFiles::open(&folder).unwrap();
        let subscriber = Subscriber::start(files).unwrap().unwrap();
        let (line, status) = follow(&node, subscriber);
        (device.to_service, device.from_service) = line;
        device.let_in().await;
        assert_eq!(status.borrow().stored, None);
        device.order(signed.version(), order).await;
        device.acked(3).await;
        assert_eq!(node.service.watched(), 1);
    });
}

#[test]
fn one_who_already_holds_a_newer_state_says_so() {
    story(async {
        let world = World::new().await;
        let network = Network::new(3);
        let channel = world.funded(1, STATE).await;
        let [old, newest] = [3, 7].map(|version| channel.signed(version, STATE, STATE));
        let node = Node::start(&world, &network, 2).await;
        let mut linked = Device::connect(&network, &channel.keys[1], &node).await;
        let order = first_watch(&channel, SECOND, &newest, account(177));
        linked.say(&RemoteMessage::Watch(Box::new(order)));
        linked.acked(7).await;
        let files = StreamFiles::open(&empty_folder("newer")).unwrap();
        let (mut device, _) = Publisher::begin(&channel, &node, files);
        device.let_in().await;
        let order = first_watch(&channel, SECOND, &old, account(177));
        device.order(old.version(), order).await;
        // What the device learns by that: this copy of it is an old one.
        device.acked(7).await;
    });
}

#[test]
fn what_does_not_belong_into_a_stream_has_no_effect() {
    story(async {
        let world = World::new().await;
        let network = Network::new(4);
        let channel = world.funded(1, STATE).await;
        let other = world.channel(3);
        let node = Node::start(&world, &network, 2).await;
        let files = StreamFiles::open(&empty_folder("foreign")).unwrap();
        let (mut device, status) = Publisher::begin(&channel, &node, files);
        device.let_in().await;
        // Another channel of the same device's, money, another participant's order, garbage.
        let initial = other.signed(0, STATE, STATE);
        let order = first_watch(&other, SECOND, &initial, account(177));
        device.order(Version::new(1), order).await;
        let fund_by = world.time().saturating_add_nanos(60_000_000_000);
        let initial = channel.signed(0, STATE, STATE);
        let fund = crate::device::fund(&channel, SECOND, &initial, fund_by);
        device.publish(Version::new(2), &fund).await;
        let state = channel.signed(3, STATE, STATE);
        let order = first_watch(&channel, PartIdx::new(0), &state, account(177));
        device.order(Version::new(3), order).await;
        let packet = device.author.publish(Version::new(4), &[], &[0xff; 40]);
        let packet = packet.unwrap().to_vec();
        device.to_service.send(packet).await.unwrap();
        for garbage in [vec![], vec![7; 68], vec![0; 5_000]] {
            device.to_service.send(garbage).await.unwrap();
        }
        device.silence().await;
        assert_eq!(node.service.watched(), 0);
        // And it goes on.
        let state = channel.signed(5, STATE, STATE);
        let order = first_watch(&channel, SECOND, &state, account(177));
        device.order(state.version(), order).await;
        device.acked(5).await;
        assert_eq!(status.borrow().ended, None);
    });
}

#[test]
fn a_stream_whose_storage_fails_is_given_up_and_says_so() {
    story(async {
        let world = World::new().await;
        let network = Network::new(5);
        let channel = world.funded(1, STATE).await;
        let node = Node::start(&world, &network, 2).await;
        let folder = empty_folder("gone");
        let files = StreamFiles::open(&folder).unwrap();
        let (mut device, status) = Publisher::begin(&channel, &node, files);
        device.let_in().await;
        std::fs::remove_dir_all(&folder).unwrap();
        let state = channel.signed(5, STATE, STATE);
        let order = first_watch(&channel, SECOND, &state, account(177));
        device.order(state.version(), order).await;
        until("the end", || status.borrow().ended.is_some()).await;
        // The service itself has stored it, and guards it.
        assert_eq!(node.service.watched(), 1);
    });
}
