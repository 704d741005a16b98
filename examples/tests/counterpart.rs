//! The counterpart of the board demo, told what to do over its control port, with a client as the device.

use std::net::SocketAddr;
use std::time::Duration;

use perun_client::channel::Channel;
use perun_client::client::{Config, OpenError};
use perun_client::events::{ClientEvent, Notification};
use perun_examples::counterpart::{
    Contact, ControlPort, Counterpart, Phase, Policy, shortest_challenge,
};
use perun_examples::{Papers, Person, Place, Scratch};
use perun_local_network::LocalNetwork;
use perun_protocol::channel::Event;
use perun_protocol::wire::PaymentRequest;
use perun_protocol::{Amount, AssetId, AssetIdx, ChallengeDuration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const COUNTERPART: &str = "Counterpart";
const DEVICE: &str = "Device";
const STRANGER: &str = "Stranger";
const DEPOSIT: u128 = 100_000;

/// Everything at the table.
struct World {
    network: LocalNetwork,
    place: Place,
    counterpart: Counterpart,
    device: Person,
    control: ControlPort,
    folder: Scratch,
}

/// Somebody at the control port.
struct Console(TcpStream);

impl World {
    async fn new(name: &str, with_any: bool) -> Self {
        let folder = Scratch::new(&format!("counterpart-{name}")).unwrap();
        let (network, place) = Place::local(&[COUNTERPART, DEVICE, STRANGER])
            .await
            .unwrap();
        let device = start(DEVICE, &place, &folder).await;
        let person = start(COUNTERPART, &place, &folder).await;
        let config = Config::quick(person.account);
        let contact = Contact {
            key: device.client.identity(),
            address: Some(device.address.to_string()),
        };
        let policy = Policy {
            devices: if with_any { Vec::new() } else { vec![contact] },
            with_any,
            deposits: [Amount::new(DEPOSIT); 2],
            challenge: shortest_challenge(&person, &config).await.unwrap(),
        };
        let counterpart = Counterpart::start(person, policy).unwrap();
        let control = ControlPort::open(counterpart.clone(), loopback());
        let control = control.await.unwrap();
        Self {
            network,
            place,
            counterpart,
            device,
            control,
            folder,
        }
    }

    async fn console(&self) -> Console {
        let stream = TcpStream::connect(self.control.address()).await.unwrap();
        let mut console = Console(stream);
        let banner = console.answer().await;
        assert_eq!(banner, "Participant control service\nWrite h for help\n");
        console
    }

    /// `p`, and the device accepts.
    async fn propose(&self, console: &mut Console) -> (String, Channel) {
        let mut proposals = self.device.client.proposals();
        let accepted = async { proposals.next().await.unwrap().accept().await.unwrap() };
        tokio::join!(console.say("p"), accepted)
    }

    async fn wait_for(&self, index: usize, phase: Phase) {
        let is_there = || {
            let status = self.counterpart.status();
            status.channels[index].phase == phase
        };
        let wait = async {
            while !is_there() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        waited.unwrap_or_else(|_| panic!("not {phase}:\n{}", self.counterpart.status()));
    }

    async fn stop(self) {
        self.device.client.stop().await.unwrap();
        self.counterpart.stop().await.unwrap();
        self.network.server.stop().await;
    }
}

impl Console {
    /// Says something, and hears the answer.
    async fn say(&mut self, line: &str) -> String {
        self.0
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        let answer = self.answer().await;
        answer.trim_end().to_owned()
    }

    /// Everything up to the next prompt.
    async fn answer(&mut self) -> String {
        let mut heard = Vec::new();
        while !(heard.ends_with(b"\n> ") || heard == b"> ") {
            let byte = tokio::time::timeout(Duration::from_secs(60), self.0.read_u8()).await;
            heard.push(byte.expect("there is an answer").unwrap());
        }
        heard.truncate(heard.len() - 2);
        String::from_utf8(heard).unwrap()
    }
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn start(name: &'static str, place: &Place, folder: &Scratch) -> Person {
    Person::start(name, place, folder.path(), loopback())
        .await
        .unwrap()
}

/// What the device is asked to pay.
async fn asked(device: &Person) -> PaymentRequest {
    let mut events = device.client.events();
    loop {
        if let Notification {
            event: ClientEvent::Channel(Event::Requested(request)),
            ..
        } = events.next().await.unwrap()
        {
            return request;
        }
    }
}

fn line(status: &str, index: usize) -> Vec<&str> {
    let mut lines = status
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let number = index.to_string();
    lines
        .find(|words| words.first() == Some(&&*number))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_from_the_proposal_to_the_payout() {
    let world = World::new("story", false).await;
    let mut console = world.console().await;
    assert!(console.say("s").await.ends_with("there are no channels"));

    let (answer, channel) = world.propose(&mut console).await;
    assert_eq!(answer, "channel 0 is open");
    let paid = console.say("u").await;
    assert_eq!(
        paid,
        "100 units paid through channel 0; version 1, ours 99900, theirs 100100"
    );
    let paid = console.say("update 0 50").await;
    assert_eq!(
        paid,
        "50 units paid through channel 0; version 2, ours 99850, theirs 100150"
    );

    // The counterpart asks, and the device pays.
    let (request, answer) = tokio::join!(asked(&world.device), console.say("r 0 30"));
    assert_eq!(answer, "30 units asked for in channel 0");
    assert_eq!(request.amount.units(), 30);
    channel.make(&request.payment()).await.unwrap();

    // The device asks, and a payment of just that much says that it is the answer.
    let mut events = channel.events();
    let request = channel
        .request(
            AssetIdx::new(0),
            Amount::new(7),
            "tea",
            Duration::from_secs(60),
        )
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    console.say("u 0 7").await;
    let received = loop {
        if let ClientEvent::Channel(Event::Received { payments, .. }) =
            events.next().await.unwrap().event
        {
            break payments;
        }
    };
    assert_eq!(received.iter().collect::<Vec<_>>(), [request.payment()]);

    let status = console.say("s").await;
    let row = line(&status, 0);
    assert_eq!(
        row[3..],
        ["yes", "0", "open", "4", "99873", "100127"],
        "{status}"
    );

    let before = world.counterpart.person().wealth().await.unwrap().units();
    let fee = LocalNetwork::FEE_E8S;
    let closed = console.say("c").await;
    assert_eq!(
        closed,
        format!("channel 0 is closed; {} units paid out", 99_873 - fee)
    );
    let after = world.counterpart.person().wealth().await.unwrap().units();
    assert_eq!(after, before + 99_873 - fee);
    let status = console.say("s").await;
    let row = line(&status, 0);
    assert_eq!(
        row[3..],
        ["no", "0", "closed", "5", "99873", "100127", "<final>"],
        "{status}"
    );
    assert_eq!(
        console.say("u").await,
        "not done: there is no channel that is not over; p proposes one"
    );
    assert!(console.say("u 0").await.starts_with("not done: "));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_proposes_and_the_counterpart_closes_by_force() {
    let world = World::new("force", true).await;
    let person = world.counterpart.person();
    let peer = person.client.identity();
    world
        .device
        .client
        .connect(peer, &person.address.to_string());
    let terms = || {
        let mut terms = world.device.terms(1).unwrap();
        terms.balances[0].1 = [Amount::new(50_000), Amount::new(DEPOSIT)];
        terms
    };
    let mut greedy = terms();
    greedy.balances[0].1[1] = Amount::new(DEPOSIT + 1);
    let refused = world
        .device
        .client
        .propose(&peer, greedy)
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("I would have to deposit more than I want"),
        "{refused}"
    );

    let channel = world.device.client.propose(&peer, terms()).await.unwrap();
    channel.pay(Amount::new(20_000)).await.unwrap();
    let mut console = world.console().await;
    let status = console.say("s").await;
    let row = line(&status, 0);
    assert_eq!(
        row[3..],
        ["yes", "1", "open", "1", "120000", "30000"],
        "{status}"
    );

    // Another connection is served while this one waits.
    let mut other = world.console().await;
    let ended = async {
        world.wait_for(0, Phase::Closing).await;
        assert!(other.say("s").await.contains("closing"));
        // The registration takes a moment. Then the challenge duration passes.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let advance = |replica: &mut local_ic::Replica| replica.advance(Duration::from_secs(61));
        world.network.server.with(advance);
        world.wait_for(0, Phase::Closed).await;
    };
    let (answer, ()) = tokio::join!(console.say("force-close"), ended);
    let paid_out = 120_000 - LocalNetwork::FEE_E8S;
    let closed = format!("channel 0 is closed; {paid_out} units paid out");
    assert!(
        answer == closed || answer == "under way; s shows how it goes",
        "{answer}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_channel() {
    let world = World::new("stranger", false).await;
    let stranger = start(STRANGER, &world.place, &world.folder).await;
    let person = world.counterpart.person();
    let peer = person.client.identity();
    stranger.client.connect(peer, &person.address.to_string());
    let mut terms = stranger.terms(1).unwrap();
    terms.balances[0].1 = [Amount::new(DEPOSIT); 2];
    let refused = stranger.client.propose(&peer, terms).await.unwrap_err();
    assert!(matches!(refused, OpenError::Rejected(_)), "{refused}");
    assert!(
        refused.to_string().contains("not a device that I know"),
        "{refused}"
    );
    let status = world.counterpart.status();
    assert!(status.channels.is_empty());
    assert_eq!(status.devices.len(), 1, "strangers are no devices");
    stranger.client.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_is_answered() {
    let world = World::new("babble", false).await;
    let mut console = world.console().await;
    for (line, answer) in [
        ("x", "unknown command \"x\"; h shows what there is"),
        (
            "u -1",
            "\"-1\" is no number of a device or channel; s shows them",
        ),
        ("u 0 0", "\"0\" is no number of units above 0"),
        ("s s", "\"s\" is too much; h shows what there is"),
        (
            "u",
            "not done: there is no channel that is not over; p proposes one",
        ),
        ("c 7", "not done: there is no channel 7; s shows them"),
        (
            "p 7",
            "not done: there is no device 7; there are 1, counted from 0",
        ),
        (&"u".repeat(100_000), "no command has more than 256 bytes"),
        ("", ""),
    ] {
        assert_eq!(console.say(line).await, answer);
    }
    assert!(console.say("h").await.contains("f, force-close [channel]"));
    console.0.write_all(b"\xff\xfe\0\n").await.unwrap();
    assert!(console.answer().await.starts_with("unknown command"));

    // Who says nothing, or leaves in the middle of a word, disturbs nobody; only so many fit.
    let mut silent = Vec::new();
    for _ in 0..15 {
        silent.push(world.console().await);
    }
    let mut too_many = TcpStream::connect(world.control.address()).await.unwrap();
    assert!(too_many.read_u8().await.is_err(), "it ends at once");
    silent.pop().unwrap().0.write_all(b"u 0 1").await.unwrap();
    drop(silent);
    console.0.write_all(b"q\n").await.unwrap();
    assert_eq!(console.0.read(&mut [0]).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.console().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_say_what_a_board_needs() {
    let world = World::new("settings", false).await;
    let person = world.counterpart.person();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let node = Contact {
        key: world.device.client.identity(),
        address: None,
    };
    let receiver = Papers::demo(DEVICE).unwrap().account().unwrap();
    let settings = world
        .counterpart
        .settings("10.0.2.2", vec![node], Some(receiver))
        .unwrap();
    let AssetId::Icrc(asset) = world.device.terms(1).unwrap().balances[0].0;
    let expected = format!(
        "peer = {}@10.0.2.2:{}\nnode = {}\nadjudicator = {}\nasset = {}\nreceiver = {}\n\
         balance = 100000/100000\nchallenge-secs = 60\n",
        hex(person.client.identity().as_bytes()),
        person.address.port(),
        hex(world.device.client.identity().as_bytes()),
        hex(world.network.adjudicator.as_slice()),
        hex(asset.as_slice()),
        hex(receiver.owner.as_slice()),
    );
    assert_eq!(settings.to_string(), expected);
    assert_eq!(
        settings.challenge,
        ChallengeDuration::from_secs(60).unwrap()
    );
    world.stop().await;
}
