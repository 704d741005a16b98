//! A device that publishes its states in a watch stream, which the node follows over a relay.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use perun_client::remote::StreamFiles;
use perun_node::backup;
use perun_node::contacts::show_identity;
use perun_node::devices::{Devices, StreamFigures};
use perun_node::server::Serving;
use perun_protocol::remote::{RemoteMessage, SignedReceiver, Watch};
use perun_protocol::{Account, PartIdx, Principal, Signer as _, Version, WithdrawalAuth};
use perun_watch_relay::frames::Side;
use perun_watch_relay::{RelayEnd, Server};
use perun_watch_stream::{Author, Number};
use rand_core::OsRng;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use crate::channel::Outside;
use crate::figures::{serve, shows};
use crate::watching::{fund, register};
use crate::world::{Scratch, World, settings, soon};

const PATIENCE: Duration = Duration::from_secs(40);

/// A relay, and what devices keep.
struct Outdoors {
    scratch: Scratch,
    relay: Server,
}

impl Outdoors {
    async fn new() -> Self {
        let scratch = Scratch::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = scratch.path().join("relay");
        let relay = Server::start(listener, perun_watch_relay::Settings::new(folder)).await;
        Self {
            scratch,
            relay: relay.unwrap(),
        }
    }

    /// The stream of the channel's participant.
    fn author(&self, channel: &Outside, idx: usize) -> Author<StreamFiles> {
        let files = StreamFiles::open(&self.scratch.path().join(format!("author-{idx}")));
        let id = channel.params.id();
        Author::create(files.unwrap(), id, channel.key(idx), &mut OsRng).unwrap()
    }

    /// A node that comes later finds the streams at once.
    async fn announce(&self, authors: &[&Author<StreamFiles>]) {
        let announcements: Vec<_> = authors.iter().map(|author| author.announcement()).collect();
        let relay = self.relay.address();
        let announcing = spawn_blocking(move || {
            let mut end = RelayEnd::connect(relay, PATIENCE).unwrap();
            for announcement in announcements {
                end.publish(&announcement).unwrap().unwrap();
            }
        });
        soon(announcing).await.unwrap();
    }

    /// How settings name a stream.
    fn name(&self, author: &Author<StreamFiles>) -> String {
        let stream = hex(&author.stream().0);
        format!("{}/{stream}", self.relay.address())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn devices(world: &World) -> &Devices {
    let node = world.serving().node();
    node.devices().unwrap()
}

/// What the first participant orders: from `params` on in the first one.
fn order(channel: &Outside, version: u64, is_first: bool) -> (Version, RemoteMessage) {
    let part = PartIdx::new(0);
    let assets = channel.params.assets().iter().filter(|_| is_first);
    let auths = assets.map(|asset| {
        let auth = WithdrawalAuth {
            channel: channel.params.id(),
            asset: *asset,
            part,
            receiver: Account::of(Principal::from_slice(&[177; 10]).unwrap()),
        };
        let signature = auth.sign(channel.key(0));
        SignedReceiver::of(&auth.verify(&channel.params, signature).unwrap())
    });
    let order = Watch {
        channel: channel.params.id(),
        part,
        params: is_first.then(|| channel.params.clone()),
        auths: auths.collect(),
        newest: Some(channel.signed(version).into()),
        knows: None,
    };
    let order = RemoteMessage::Watch(Box::new(order));
    (Version::new(version), order)
}

/// Lets the node in if it is not yet, and publishes orders until each is acknowledged.
async fn publish(
    mut author: Author<StreamFiles>,
    relay: SocketAddr,
    orders: Vec<(Version, RemoteMessage)>,
) -> Author<StreamFiles> {
    let publishing = spawn_blocking(move || {
        let mut end = RelayEnd::connect(relay, PATIENCE).unwrap();
        let stream = author.stream();
        end.follow(Side::Watchers, stream, Number(0)).unwrap();
        let mut hear = |author: &mut Author<StreamFiles>| {
            let message = end.next(PATIENCE).unwrap();
            // What was said before comes again.
            let _ = author.receive(&message.expect("the node says something"));
        };
        while author.recipient_count() == 0 {
            hear(&mut author);
        }
        let mut sending = RelayEnd::connect(relay, PATIENCE).unwrap();
        let keyload = author.open_epoch(&mut OsRng).unwrap();
        sending.publish(keyload).unwrap().unwrap();
        for (version, message) in orders {
            let packet = author.publish(version, &[], &message.encode()).unwrap();
            sending.publish(packet).unwrap().unwrap();
            while author.guarded_by(version) == 0 {
                hear(&mut author);
            }
        }
        author
    });
    soon(publishing).await.unwrap()
}

async fn stands(world: &World, channel: &Outside, version: u64) {
    let adjudicator = world.serving().node().adjudicator();
    soon(async {
        loop {
            let standing = adjudicator.registered(&channel.params).await.unwrap();
            let standing = standing.and_then(|standing| standing.signed_state);
            if standing == Some(channel.signed(version)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_published_refutes_also_after_a_restore() {
    let mut world = World::new(&["alice", "bob"]).await;
    let outdoors = Outdoors::new().await;
    let channel = Outside::new(&world, ["alice", "bob"]);
    let mut author = outdoors.author(&channel, 0);
    let name = outdoors.name(&author);
    let served = show_identity(&channel.key(0).public_key());
    let more = [
        ["--devices", "127.0.0.1:0"],
        ["--device-keys", &served],
        ["--device-streams", &name],
    ];
    let more = more.as_flattened();
    world.settings = settings(&world.settings.data, &world.network, more);
    outdoors.announce(&[&author]).await;
    world.restart().await;
    let [alice, bob] = [world.open("alice").await, world.open("bob").await];
    let funded = tokio::join!(
        fund(&world, &channel, &alice.session, 0),
        fund(&world, &channel, &bob.session, 1),
    );
    assert_eq!(funded, (None, None));

    let key = devices(&world).stream_key();
    author.allow(key).unwrap();
    let relay = outdoors.relay.address();
    let orders = vec![order(&channel, 1, true), order(&channel, 2, false)];
    let author = publish(author, relay, orders).await;
    shows(
        serve(&world).await,
        &[
            "perun_device_streams 1",
            "perun_device_stream_members 1",
            "perun_device_stream_forks 0",
            r#"perun_served_channels{owner="devices"} 1"#,
        ],
    )
    .await;

    let backup = outdoors.scratch.path().join("backup.tar");
    let file = fs::File::create(&backup).unwrap();
    backup::write_backup(world.serving().node(), file).unwrap();
    // The node says more than it had reserved numbers for when the backup was made.
    let orders = (3..40).map(|version| order(&channel, version, false));
    let author = publish(author, relay, orders.collect()).await;
    world.serving.take().unwrap().stop().await;
    let restored = outdoors.scratch.path().join("restored");
    backup::restore(&backup, &restored).unwrap();
    world.settings = settings(&restored, &world.network, more);
    world.serving = Some(Serving::start(world.settings.clone()).await.unwrap());
    assert_eq!(devices(&world).stream_key(), key);
    publish(author, relay, vec![order(&channel, 40, false)]).await;

    // From here on the device is silent.
    world.token = fs::read_to_string(restored.join(perun_node::server::TOKEN_FILE)).unwrap();
    world.token = world.token.trim().to_owned();
    let bob = world.open("bob").await;
    assert_eq!(register(&world, &channel, &bob.session, 0).await, None);
    stands(&world, &channel, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_refused_or_damaged_keeps_no_other_from_being_followed() {
    let mut world = World::new(&["alice", "bob"]).await;
    let outdoors = Outdoors::new().await;
    let channel = Outside::new(&world, ["alice", "bob"]);
    let relay = outdoors.relay.address();
    let [mut author, mut stranger] = [0, 1].map(|idx| outdoors.author(&channel, idx));
    let served = show_identity(&channel.key(0).public_key());
    let names = format!("{},{}", outdoors.name(&stranger), outdoors.name(&author));
    let more = [
        ["--devices", "127.0.0.1:0"],
        ["--device-keys", &served],
        ["--device-streams", &names],
    ];
    outdoors.announce(&[&stranger, &author]).await;
    world.settings = settings(&world.settings.data, &world.network, more.as_flattened());
    world.restart().await;
    for author in [&mut author, &mut stranger] {
        author.allow(devices(&world).stream_key()).unwrap();
    }
    let orders = vec![order(&channel, 1, true)];
    let author = publish(author, relay, orders).await;
    let member = StreamFigures {
        followed: 1,
        members: 1,
        forked: 0,
    };
    until(|| devices(&world).stream_figures() == member).await;
    let folder = world.settings.data.join("devices/streams");
    // Of the one that is not served nothing is stored.
    let folders = fs::read_dir(&folder).unwrap();
    let folders: Vec<_> = folders.map(|entry| entry.unwrap().file_name()).collect();
    let stream = hex(&author.stream().0);
    assert_eq!(folders, [&*stream]);

    let state = folder.join(&stream).join("state");
    let good = fs::read(&state).unwrap();
    fs::write(&state, "damaged").unwrap();
    world.restart().await;
    assert_eq!(devices(&world).watched(), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(devices(&world).stream_figures(), StreamFigures::default());
    assert_eq!(fs::read_to_string(&state).unwrap(), "damaged");
    fs::write(&state, good).unwrap();
    world.restart().await;
    publish(author, relay, vec![order(&channel, 2, false)]).await;
}
