//! Two hundred real kills: processes with their stores on a disk, ended in the middle of whatever
//! they do, and started again. In the end the books agree to the unit.
//!
//! The test starts itself anew as a child ([`child`]) and talks to it over its standard output.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use candid::Principal;
use perun_client::Event as LogEvent;
use perun_client::client::Client;
use perun_client::store::FileStore;
use perun_protocol::PublicKey;
use tokio::time::sleep;

use crate::world::*;

/// How many pairs live at the same time, and how often one of each pair is killed.
const PAIRS: u8 = 4;
const KILLS: u32 = 50;
const DEPOSIT: u128 = 100_000;
/// The first of these users; the other tests have others.
const FIRST_USER: u8 = 100;
/// The file that tells both to close.
const ENOUGH: &str = "enough";
/// What a child has to say begins with this; the rest is the test framework's.
const MARK: char = '@';

/// Everything that a child is told, in the environment.
struct Orders {
    number: u8,
    peer: u8,
    is_proposer: bool,
    address: SocketAddr,
    peer_address: SocketAddr,
    folder: PathBuf,
}

const VARIABLE: &str = "PERUN_TEST_CHILD";

impl Orders {
    fn command(&self, reach: &Reach) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["kills::child", "--exact", "--ignored", "--nocapture"]);
        let told = [
            self.number.to_string(),
            self.peer.to_string(),
            self.is_proposer.to_string(),
            self.address.to_string(),
            self.peer_address.to_string(),
            self.folder.display().to_string(),
            reach.url.clone(),
            hex(&reach.root_key),
            reach.adjudicator.to_text(),
            reach.ledgers[0].to_text(),
        ];
        command.env(VARIABLE, told.join("\n"));
        command.stdout(Stdio::piped());
        command
    }

    fn read() -> Option<(Self, Reach)> {
        let told = std::env::var(VARIABLE).ok()?;
        let mut told = told.lines();
        let mut next = || told.next().unwrap();
        let orders = Self {
            number: next().parse().unwrap(),
            peer: next().parse().unwrap(),
            is_proposer: next().parse().unwrap(),
            address: next().parse().unwrap(),
            peer_address: next().parse().unwrap(),
            folder: next().into(),
        };
        let reach = Reach {
            url: next().into(),
            root_key: unhex(next()),
            adjudicator: Principal::from_text(next()).unwrap(),
            ledgers: vec![Principal::from_text(next()).unwrap()],
        };
        Some((orders, reach))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |place| u8::from_str_radix(&text[place..place + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What runs in a child: pays, one unit at a time, until it is told to close.
#[test]
#[ignore = "it is started by the other test of this file"]
fn child() {
    let Some((orders, reach)) = Orders::read() else {
        return;
    };
    story(async {
        let path = orders.folder.join(orders.number.to_string());
        let store = Arc::new(FileStore::open(&path, &off_chain(orders.number)).unwrap());
        let start = reach.user(orders.number).on(store).at(orders.address);
        let person = start.start().await;
        let peer = off_chain(orders.peer);
        person
            .client
            .connect(peer, &orders.peer_address.to_string());
        let mut proposals = person.client.proposals();
        let accepting = async {
            while let Some(proposal) = proposals.next().await {
                let _ = proposal.accept().await;
            }
        };
        tokio::select! {
            () = accepting => panic!("the client has stopped"),
            () = live(&orders, &person, &peer) => {}
        }
        person.stop().await;
        println!("{MARK}over");
    });
}

async fn live(orders: &Orders, person: &Person, peer: &PublicKey) {
    let client = &person.client;
    let channel = loop {
        match client.channels().pop() {
            Some(channel) => {
                if channel.opened().await.is_ok() {
                    break channel;
                }
            }
            None if orders.is_proposer => {
                let terms = person.terms([DEPOSIT, DEPOSIT]);
                let _ = client.propose(peer, terms).await;
            }
            None => sleep(Duration::from_millis(5)).await,
        }
    };
    while !orders.folder.join(ENOUGH).exists() {
        // Refused is what one who goes on far above a restored copy can be; none of these is one.
        channel.pay(units(1)).await.unwrap();
        println!("{MARK}paid");
    }
    if orders.is_proposer {
        // Everything that the peer still has under way comes first, by its turn.
        channel.close().await.unwrap();
    } else {
        channel.closed().await.unwrap();
    }
    tell_books(client, &channel);
}

fn tell_books(_: &Client, channel: &perun_client::channel::Channel) {
    let history = channel.history().unwrap();
    let newest = channel.newest().unwrap();
    history.verify(&channel.params(), &newest).unwrap();
    let mut counts = [0; 2];
    for entry in &history.entries {
        counts[entry.payer.index()] += entry.payments.count();
    }
    println!(
        "{MARK}books {} {} {}",
        hex(channel.id().as_bytes()),
        counts[0],
        counts[1]
    );
}

/// One who is killed and started again.
struct Victim {
    orders: Orders,
    reach: Reach,
    child: Child,
    reader: std::thread::JoinHandle<Heard>,
    heard: Heard,
    kills: u32,
}

/// What a child has said.
#[derive(Debug, Default)]
struct Heard {
    paid: u32,
    books: Option<String>,
    is_over: bool,
}

impl Victim {
    fn start(orders: Orders, reach: Reach) -> Self {
        let (child, reader) = begin(&orders, &reach);
        Self {
            orders,
            reach,
            child,
            reader,
            heard: Heard::default(),
            kills: 0,
        }
    }

    /// Kills it, whatever it is doing, and starts it again.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.kills += 1;
        let (child, reader) = begin(&self.orders, &self.reach);
        self.child = child;
        let before = std::mem::replace(&mut self.reader, reader).join().unwrap();
        assert!(!before.is_over, "it ended by itself");
        self.heard.paid += before.paid;
    }

    /// Waits until it ends by itself; what it has said.
    fn wait(mut self) -> (Heard, u32) {
        let status = self.child.wait().unwrap();
        let last = self.reader.join().unwrap();
        assert!(status.success() && last.is_over, "{status}: {last:?}");
        let heard = Heard {
            paid: self.heard.paid + last.paid,
            ..last
        };
        (heard, self.kills)
    }
}

fn begin(orders: &Orders, reach: &Reach) -> (Child, std::thread::JoinHandle<Heard>) {
    let mut child = orders.command(reach).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut heard = Heard::default();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // The framework's own words stand before the first.
            let Some((_, said)) = line.split_once(MARK) else {
                continue;
            };
            match said {
                "paid" => heard.paid += 1,
                "over" => heard.is_over = true,
                books => heard.books = Some(books.to_owned()),
            }
        }
        heard
    });
    (child, reader)
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_be_bytes(bytes) % below
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn after_two_hundred_kills_the_books_agree() {
    story(async {
        let world = World::shared().await;
        let folder = std::env::temp_dir().join(format!("perun-kills-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let pairs = (0..PAIRS).map(|pair| {
            let folder = folder.join(pair.to_string());
            std::fs::create_dir(&folder).unwrap();
            tokio::spawn(a_pair(world, FIRST_USER + 2 * pair, folder))
        });
        let pairs: Vec<_> = pairs.collect();
        for pair in pairs {
            pair.await.unwrap();
        }
        std::fs::remove_dir_all(&folder).unwrap();
    });
}

async fn a_pair(world: &'static World, first: u8, folder: PathBuf) {
    let numbers = [first, first + 1];
    let addresses = [free_address(), free_address()];
    let mut victims = [0, 1].map(|index| {
        let orders = Orders {
            number: numbers[index],
            peer: numbers[1 - index],
            is_proposer: index == 0,
            address: addresses[index],
            peer_address: addresses[1 - index],
            folder: folder.clone(),
        };
        Victim::start(orders, world.reach())
    });
    for _ in 0..KILLS {
        sleep(Duration::from_millis(random(500))).await;
        victims[random(2) as usize].kill();
    }
    // Enough, once they have paid each other after the last kill.
    sleep(Duration::from_secs(2)).await;
    std::fs::write(folder.join(ENOUGH), []).unwrap();
    let ended = tokio::task::spawn_blocking(|| victims.map(Victim::wait));
    let ended = soon("the end of both", ended).await.unwrap();
    check(world, numbers, &ended, &folder).await;
}

async fn check(world: &World, numbers: [u8; 2], ended: &[(Heard, u32); 2], folder: &Path) {
    let what = folder.display();
    let books = ended
        .each_ref()
        .map(|(heard, _)| heard.books.clone().unwrap());
    assert_eq!(books[0], books[1], "{what}");
    let mut words = books[0].split(' ').skip(1);
    let id = unhex(words.next().unwrap()).try_into().unwrap();
    let made: Vec<u32> = words.map(|word| word.parse().unwrap()).collect();
    for (index, (heard, kills)) in ended.iter().enumerate() {
        // Whatever was acknowledged was made; each kill interrupts one payment at most.
        let (paid, made) = (heard.paid, made[index]);
        assert!(
            (paid..=paid + kills).contains(&made),
            "{what}: {made} of {paid}, {kills} kills"
        );
        assert!(paid > 0, "{what}: nothing was paid");
    }
    let adjudicator = world.adjudicator_for(9).await;
    let id = perun_protocol::ChannelId::from_bytes(id);
    let (mut registered, mut concluded) = (Vec::new(), Vec::new());
    let mut paid_out = [0; 2];
    for record in adjudicator.channel_events(id, 0).await.unwrap() {
        match record.event {
            LogEvent::Registered(_) | LogEvent::Refuted(_) => registered.push(record.at),
            LogEvent::Concluded { .. } => concluded.push(record.at),
            LogEvent::Withdrawn { part, paid, .. } => paid_out[part.index()] += paid.units(),
            LogEvent::Deposited { .. } => {}
        }
    }
    assert_eq!(
        registered, concluded,
        "{what}: nobody was forced into a dispute"
    );
    let [one, other] = [made[0], made[1]].map(u128::from);
    let expected = [DEPOSIT + other - one - FEE, DEPOSIT + one - other - FEE];
    assert_eq!(paid_out, expected, "{what}");
    for (index, number) in numbers.into_iter().enumerate() {
        let wealth = world.balance(&account(number)).await;
        let fees = WEALTH - DEPOSIT + paid_out[index] - wealth;
        // One to approve and one to deposit; an approval that is made again costs its fee again.
        let kills = u128::from(ended[index].1);
        assert!(
            fees.is_multiple_of(FEE) && (2 * FEE..=(2 + kills) * FEE).contains(&fees),
            "{what}: {fees}"
        );
    }
}
