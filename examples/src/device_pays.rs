//! Boards that pay: everything between a button and the ledger.
//!
//! ```text
//!  board (QEMU) ──TCP──> counterpart ──┐
//!       └────────TCP──> service ───────┴──> adjudicator, ledger (embedded Internet Computer)
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use perun_canister_api::convert;
use perun_client::agent::connect;
use perun_client::chain::Chain;
use perun_client::link::{TcpConfig, TcpTransport};
use perun_client::remote::{Config, DeviceLimits, Devices, MAX_MESSAGE, Parts, RemoteService};
use perun_client::store::FileStore;
use perun_client::{Adjudicator, Funder};
use perun_local_network::LocalNetwork;
use perun_protocol::dispute::Rank;
use perun_protocol::signature::Signer as _;
use perun_protocol::{Amount, AssetId, ChallengeDuration, Params, PublicKey, SignedState, Version};

use crate::board::{Board, Firmware, HOST};
use crate::counterpart::{BoardSettings, Contact, Counterpart, Policy, shortest_challenge};
use crate::{Failure, Papers, Person, Place, Scratch, random};

/// Whom the board pays.
const COUNTERPART: &str = "Counterpart";
/// Who deposits and watches for the board.
const SERVICE: &str = "Service";
/// Whom the board's money goes to in the end.
pub(crate) const OWNER: &str = "Owner of the board";

/// What each side deposits, in units.
const DEPOSIT: u128 = 1_000_000;
/// What a press pays, in units.
pub(crate) const PAYMENT: u128 = 100;
/// How often the power fails in the middle of everything.
const POWER_CUTS: usize = 5;

/// What happens around the boards.
pub(crate) struct World {
    network: LocalNetwork,
    place: Place,
    folder: Scratch,
    pub(crate) firmware: Firmware,
    pub(crate) service: RemoteService,
    service_address: SocketAddr,
    pub(crate) service_key: PublicKey,
    /// Who the boards are.
    boards: Vec<Contact>,
}

impl World {
    /// A service that deposits for the boards of these names, and all that it needs.
    pub(crate) async fn start(firmware: Firmware, boards: &[&str]) -> Result<Self, Failure> {
        let folder = Scratch::new("device-pays")?;
        let (network, place) = Place::local(&[COUNTERPART, SERVICE]).await?;
        let papers = Papers::demo(SERVICE)?;
        let agent = connect(&place.url, papers.identity, true).await?;
        let ledger = convert::principal(place.ledger).ok_or("the ledger has no name")?;
        let limits = TcpConfig {
            max_message: MAX_MESSAGE,
            ..TcpConfig::default()
        };
        let key = papers.key;
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let transport = TcpTransport::bind(key.clone(), loopback, limits).await?;
        let service_address = transport.local_address();
        let service_folder = folder.path().join("service");
        let store = FileStore::open(&service_folder, &key.public_key())?;
        let service_key = key.public_key();
        let node = Contact {
            key: service_key,
            address: Some(format!("{HOST}:{}", service_address.port())),
        };
        // A board tells who it is when it starts, whomever it is to deal with.
        let nobody = Contact {
            key: Papers::demo(COUNTERPART)?.key.public_key(),
            address: None,
        };
        let settings = board_settings(&place, node, &nobody, Some(1234))?;
        let mut identities = Vec::new();
        for name in boards {
            identities.push(identify(name, &firmware, folder.path(), &settings).await?);
        }
        let allowed = identities.iter().map(|board| board.key).collect();
        let funder = Funder::new(Adjudicator::new(agent, place.adjudicator));
        let service = RemoteService::start(Parts {
            config: Config {
                limits: DeviceLimits {
                    max_channels: 4,
                    max_funds: [(AssetId::Icrc(ledger), Amount::new(4 * DEPOSIT))].into(),
                },
                max_funds_total: [(AssetId::Icrc(ledger), Amount::new(8 * DEPOSIT))].into(),
                poll_interval: Duration::from_millis(500),
                ..Config::new(Devices::Only(allowed))
            },
            chain: Chain::new(funder.with_poll_interval(Duration::from_millis(200))),
            store: Arc::new(store),
            transport: Arc::new(transport),
        })
        .await?;
        Ok(Self {
            network,
            place,
            folder,
            firmware,
            service,
            service_address,
            service_key,
            boards: identities,
        })
    }

    pub(crate) fn node(&self) -> Contact {
        Contact {
            key: self.service_key,
            address: Some(format!("{HOST}:{}", self.service_address.port())),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write_settings(&self, name: &str, settings: &str) -> Result<PathBuf, Failure> {
        let file = self.file(name);
        std::fs::write(&file, settings)?;
        Ok(file)
    }

    pub(crate) async fn counterpart(&self) -> Result<Counterpart, Failure> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let folder = self.folder.path();
        let person = Person::start(COUNTERPART, &self.place, folder, loopback).await?;
        let quick = perun_client::client::Config::quick(person.account);
        let challenge = shortest_challenge(&person, &quick).await?;
        Counterpart::start(
            person,
            Policy {
                devices: Vec::new(),
                with_any: true,
                deposits: [Amount::new(DEPOSIT); 2],
                challenge,
            },
        )
    }

    /// Settings of a board that deals with another one.
    fn settings(&self, peer: &Contact, listen: Option<u16>) -> Result<String, Failure> {
        board_settings(&self.place, self.node(), peer, listen)
    }

    /// Moves the time.
    async fn pass(&self, duration: Duration) -> Result<(), Failure> {
        // In steps, so that everybody's clock follows.
        self.network
            .server
            .with(|replica| replica.advance(duration));
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }
}

fn board_settings(
    place: &Place,
    node: Contact,
    peer: &Contact,
    listen: Option<u16>,
) -> Result<String, Failure> {
    let principal = |id| convert::principal(id).ok_or("a canister has no name");
    let shortest = LocalNetwork::CHALLENGE_DURATIONS_S.0;
    let settings = BoardSettings {
        peer: peer.clone(),
        nodes: vec![node],
        adjudicator: principal(place.adjudicator)?,
        asset: principal(place.ledger)?,
        receiver: Some(Papers::demo(OWNER)?.account()?),
        balance: [Amount::new(DEPOSIT); 2],
        challenge: ChallengeDuration::from_secs(shortest).ok_or("no challenge duration")?,
    };
    let listen = listen.map_or_else(String::new, |port| format!("listen = {port}\n"));
    Ok(format!("{settings}pay = {PAYMENT}\nquick = yes\n{listen}"))
}

/// Starts a board for the first time, and asks who it is.
async fn identify(
    name: &str,
    firmware: &Firmware,
    folder: &Path,
    settings: &str,
) -> Result<Contact, Failure> {
    let file = folder.join(name);
    std::fs::write(&file, settings)?;
    let flash = folder.join(format!("{name}.bin"));
    let mut board = Board::start("board", firmware, &file, &flash, None)?;
    let identity = board.identity().await?;
    board.cut_power().await?;
    Ok(identity.parse()?)
}

/// A board opens a channel that the service funds, pays and is paid, loses power again and again, and
/// is paid out what it has although its peer registers an old state while it is off.
///
/// # Errors
/// If anything does not add up.
pub async fn one_board_and_its_counterpart() -> Result<(), Failure> {
    let world = World::start(Firmware::build().await?, &["board"]).await?;
    let counterpart = world.counterpart().await?;
    let receiver = Papers::demo(OWNER)?.account()?;
    let settings = counterpart.settings(HOST, vec![world.node()], Some(receiver))?;
    let settings = format!("{settings}pay = {PAYMENT}\nquick = yes\n");
    let settings = world.write_settings("settings.txt", &settings)?;
    let flash = world.file("board.bin");
    let start = || Board::start("board", &world.firmware, &settings, &flash, None);

    let mut board = start()?;
    let identity = board.identity().await?;
    tracing::info!("The board is {identity}");
    let connected = format!("connected with {:?}", world.service_key);
    board
        .wait_for("connected with the service", |line| {
            line.contains(&connected).then_some(())
        })
        .await?;
    propose(&mut board).await?;
    wait_until("the channel is open for the counterpart", async || {
        Ok(counterpart
            .channel(None)
            .is_ok_and(|(_, channel)| channel.is_open()))
    })
    .await?;
    tracing::info!("The channel is open, funded by the service");

    for _ in 0..20 {
        board.press(b'p').await?;
        board
            .wait_for("a payment is accepted", |line| {
                line.contains("Pay: accepted").then_some(())
            })
            .await?;
    }
    for _ in 0..20 {
        counterpart.pay(None, Amount::new(PAYMENT)).await?;
    }
    let even = board.until("both have paid 20 times", |channel| {
        channel.balance == DEPOSIT
    });
    let even = even.await?;
    tracing::info!("20 payments each way, version {}", even.version);
    let (params, old) = newest(&counterpart)?;

    // From here on the board gains: each cut is in the middle of payments in both directions.
    let mut received = 0;
    for cut in 1..=POWER_CUTS {
        let pause = 20 + u64::from(random()?[0]) * 3;
        let paying = async {
            for _ in 0..8 {
                counterpart.pay(None, Amount::new(5 * PAYMENT)).await?;
            }
            Ok::<_, Failure>(8)
        };
        let failing = async {
            for _ in 0..4 {
                let _ = board.press(b'p').await;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            board.cut_power().await?;
            start()
        };
        let (paid, started) = tokio::join!(paying, failing);
        received += paid?;
        board = started?;
        let status = board.until("it goes on after a power cut", |channel| channel.is_open);
        let status = status.await?;
        tracing::info!(
            "Power cut {cut} after {pause} ms: the board goes on at version {}",
            status.version
        );
    }
    let last = settle(&mut board, &counterpart).await?;
    let paid_by_board = DEPOSIT + received * 5 * PAYMENT - last.balance;
    tracing::info!(
        "The board was paid {received} times meanwhile and has paid {} times: {} units",
        paid_by_board / PAYMENT,
        last.balance
    );
    if !paid_by_board.is_multiple_of(PAYMENT) || paid_by_board / PAYMENT > 4 * POWER_CUTS as u128 {
        return Err(format!("the board has {} units", last.balance).into());
    }

    tracing::info!(
        "The board is off; the counterpart registers version {}",
        old.version()
    );
    board.cut_power().await?;
    let chain = counterpart.person().client.chain().clone();
    let before = counterpart.person().wealth().await?;
    counterpart.stop().await?;
    chain.dispute(&params, &old).await?;
    wait_until("the service refutes", async || {
        let registered = chain.adjudicator().registered(&params).await?;
        Ok(registered
            .is_some_and(|registered| registered.rank == Rank::State(Version::new(last.version))))
    })
    .await?;
    tracing::info!("The service has refuted it by version {}", last.version);
    let duration = u64::from(params.challenge_duration().secs());
    world.pass(Duration::from_secs(duration + 1)).await?;

    let fee = LocalNetwork::FEE_E8S;
    let ledger = counterpart.person().ledger.clone();
    let paid_out = Amount::new(last.balance - fee);
    wait_until("the board's owner is paid", async || {
        Ok(ledger.balance(&receiver).await? == paid_out)
    })
    .await?;
    let counterpart = world.counterpart().await?;
    let theirs = Amount::new(before.units() + 2 * DEPOSIT - last.balance - fee);
    wait_until("the counterpart is paid", async || {
        Ok(counterpart.person().wealth().await? == theirs)
    })
    .await?;
    let mut board = start()?;
    wait_until("the board knows that it is over", async || {
        Ok(board.channel().await?.is_none())
    })
    .await?;
    tracing::info!(
        "Both are paid out: {} and {} units",
        last.balance,
        2 * DEPOSIT - last.balance
    );
    board.cut_power().await?;
    counterpart.stop().await?;
    Ok(world.service.stop().await?)
}

/// Two boards pay each other; one listens, the other dials.
///
/// # Errors
/// If anything does not add up.
pub async fn two_boards() -> Result<(), Failure> {
    let world = World::start(Firmware::build().await?, &["alice", "bob"]).await?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let alice = Contact {
        address: Some(format!("{HOST}:{port}")),
        ..world.boards[0].clone()
    };
    let bob = world.boards[1].clone();
    let of_alice = world.write_settings("alice", &world.settings(&bob, Some(1234))?)?;
    let of_bob = world.write_settings("bob", &world.settings(&alice, None)?)?;
    let flashes = [world.file("alice.bin"), world.file("bob.bin")];
    let mut alice = Board::start("Alice", &world.firmware, &of_alice, &flashes[0], Some(port))?;
    let mut bob = Board::start("Bob", &world.firmware, &of_bob, &flashes[1], None)?;
    let synced = |line: &str| line.contains("connected with PublicKey").then_some(());
    for _ in 0..2 {
        bob.wait_for("Bob is connected with both", synced).await?;
    }
    propose(&mut bob).await?;
    alice
        .until("it is open for Alice", |channel| channel.is_open)
        .await?;
    for _ in 0..5 {
        bob.press(b'p').await?;
        alice.press(b'p').await?;
        bob.press(b'p').await?;
        let accepted = |line: &str| line.contains("Pay: accepted").then_some(());
        bob.wait_for("Bob pays", accepted).await?;
        bob.wait_for("Bob pays", accepted).await?;
        alice.wait_for("Alice pays", accepted).await?;
    }
    let gained = DEPOSIT + 5 * PAYMENT;
    let all = |channel: &crate::board::Channel| channel.balance == gained;
    let status = alice.until("Alice has everything", all).await?;
    tracing::info!(
        "Two boards have paid each other, up to version {}",
        status.version
    );
    bob.press(b'c').await?;
    let over = |line: &str| line.contains("over, and paid out").then_some(());
    bob.wait_for("the channel is closed", over).await?;
    alice.wait_for("the channel is closed", over).await?;
    tracing::info!("The channel is closed, and both are paid out");
    alice.cut_power().await?;
    bob.cut_power().await?;
    Ok(world.service.stop().await?)
}

/// A press on the button that proposes a channel, and what comes of it.
pub(crate) async fn propose(board: &mut Board) -> Result<(), Failure> {
    wait_until("the board may propose", async || {
        board.press(b'o').await?;
        board
            .wait_for("an answer to the button", |line| match line {
                _ if line.contains("Propose: accepted") => Some(true),
                // Nobody has told it the time yet.
                _ if line.contains("Propose: refused") => Some(false),
                _ => None,
            })
            .await
    })
    .await?;
    let open = |line: &str| line.ends_with(": open").then_some(());
    board.wait_for("the channel is open", open).await
}

/// Params and newest state of the counterpart's only channel.
fn newest(counterpart: &Counterpart) -> Result<(Params, SignedState), Failure> {
    let (_, channel) = counterpart.channel(None)?;
    let newest = channel.newest().ok_or("there is no state yet")?;
    Ok((channel.params(), newest))
}

/// Waits until both sides stand still at the same version, and no money is missing; how the board
/// stands then.
async fn settle(
    board: &mut Board,
    counterpart: &Counterpart,
) -> Result<crate::board::Channel, Failure> {
    let mut before = None;
    for _ in 0..100 {
        let ours = board.channel().await?.ok_or("the board has no channel")?;
        let (_, theirs) = newest(counterpart)?;
        let version = theirs.version().number();
        if before == Some(version) && ours.version == version {
            let mut row = theirs.state().allocation().balances.iter();
            let all = row.try_fold(0u128, |all, (_, _, units)| all.checked_add(units.units()));
            return match all {
                Some(all) if all == 2 * DEPOSIT => Ok(ours),
                _ => Err(format!("{all:?} units are in the channel").into()),
            };
        }
        before = Some(version);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err("the two sides never agree".into())
}

/// Asks again and again, for two minutes at most.
async fn wait_until(
    what: &str,
    mut is_so: impl AsyncFnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let asking = async {
        while !is_so().await? {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok::<_, Failure>(())
    };
    let asked = tokio::time::timeout(Duration::from_secs(120), asking).await;
    asked.map_err(|_| format!("it took too long until {what}"))?
}
