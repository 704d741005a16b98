//! Many channels that nothing happens to: how long a client takes to start with them, and what each
//! takes of the heap.
//!
//! The channels are made by machines, without the adjudicator, which knows nothing of them.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use minicbor::Encode;
use minicbor::bytes::ByteVec;
use perun_canister_api::convert;
use perun_client::agent::connect;
use perun_client::chain::{Chain, Performed};
use perun_client::client::{Client, Config, Parts};
use perun_client::identity::{SharedIdentity, generate};
use perun_client::link::memory::Network;
use perun_client::store::{FileStore, Store, Write};
use perun_client::{Adjudicator, Door, Funder};
use perun_local_network::{Endowment, LocalNetwork, Setup as NetworkSetup};
use perun_protocol::channel::{Channel, Limits, Output, Setup};
use perun_protocol::payment::PAYMENT_APP;
use perun_protocol::signature::{Libsecp256k1, Libsecp256k1Key, Signer as _};
use perun_protocol::view::{Status, View};
use perun_protocol::wire::{Acceptance, Message, Proposal, Terms};
use perun_protocol::{
    Account, Amount, AssetId, Balances, ChallengeDuration, Params, PartIdx, Participant, Principal,
    PublicKey, Timestamp,
};

use crate::HEAP;
use crate::world::Scratch;

/// What makes this program the network of another one.
pub const NETWORK: &str = "network";

const CHANNELS: usize = 10_000;
/// Clients with so many channels are compared, which have deposits at the adjudicator.
const FUNDED: [usize; 2] = [50, 250];
/// Different peers, each with as many channels.
const PEERS: usize = 100;
const LONG_NS: u64 = 3_600 * 1_000_000_000;

type Key = Arc<Libsecp256k1Key>;
type Machine = Channel<Key, Libsecp256k1>;

/// What the client stores of a channel once.
#[derive(Encode)]
#[cbor(map)]
struct StoredOpening {
    #[n(0)]
    setup: ByteVec,
    #[n(1)]
    peer: ByteVec,
    #[n(2)]
    address: Option<String>,
    #[n(3)]
    proposal: ByteVec,
}

/// Where the channels are settled: an embedded Internet Computer in a process of its own, whose memory
/// is not ours.
struct Elsewhere {
    process: Child,
    url: String,
    adjudicator: candid::Principal,
    ledger: candid::Principal,
}

impl Elsewhere {
    /// With money for this identity.
    fn start(owner: &SharedIdentity) -> Self {
        let program = std::env::current_exe().unwrap();
        let process = Command::new(program)
            .args([NETWORK, &owner.sender().unwrap().to_text()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = process.unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        Self {
            url: line(),
            adjudicator: line().parse().unwrap(),
            ledger: line().parse().unwrap(),
            process,
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is that process, until its parent has gone.
pub async fn serve_network(owner: &str) {
    let endowment = Endowment {
        owner: owner.parse().unwrap(),
        tokens: 1_000_000,
    };
    let network = LocalNetwork::start(NetworkSetup {
        endowments: vec![endowment],
        ..NetworkSetup::default()
    });
    let network = network.await.unwrap();
    println!(
        "{}\n{}\n{}",
        network.server.url(),
        network.adjudicator,
        network.ledger
    );
    let waiting = || std::io::stdin().read_to_end(&mut Vec::new());
    let _ = tokio::task::spawn_blocking(waiting).await;
}

pub async fn measure() {
    let identity = generate().unwrap();
    let network = Elsewhere::start(&identity);
    // What there is once for all channels is there in both.
    let mut heaps = [0; 2];
    for (heap, count) in heaps.iter_mut().zip(FUNDED) {
        *heap = heap_with(&network, &identity, count).await;
    }
    println!(
        "heap for each idle channel: {} bytes, {} of them the machine itself",
        heaps[1].saturating_sub(heaps[0]) / (FUNDED[1] - FUNDED[0]),
        size_of::<Machine>()
    );

    let many = Stored::make(&network, &identity, CHANNELS).await;
    println!(
        "    and up to {} bytes of the store's pages, of which it keeps 4 MiB at most",
        many.pages() / CHANNELS
    );
    let before = HEAP.current_usage();
    let began = Instant::now();
    let client = many.start().await;
    let took = began.elapsed();
    assert_eq!(client.channels().len(), CHANNELS);
    println!(
        "start-up with {CHANNELS} stored channels: {:.2} s; heap for each, before they are looked \
         at: {} bytes\n",
        took.as_secs_f64(),
        HEAP.current_usage().saturating_sub(before) / CHANNELS
    );
    client.stop().await.unwrap();
}

/// The heap of a client with so many channels, all of which were looked at and are at rest.
async fn heap_with(network: &Elsewhere, identity: &SharedIdentity, count: usize) -> usize {
    let stored = Stored::make(network, identity, count).await;
    stored.deposit(count).await;
    let before = HEAP.current_usage();
    let client = stored.start().await;
    let patience = Instant::now() + Duration::from_secs(300);
    let channels = client.channels();
    while !channels.iter().all(|channel| channel.view().is_some()) {
        assert!(Instant::now() < patience, "all are looked at in time");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    drop(channels);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let heap = HEAP.current_usage().saturating_sub(before);
    client.stop().await.unwrap();
    heap
}

/// A store with channels, and what it takes to start with it.
struct Stored {
    scratch: Scratch,
    ours: Key,
    chain: Chain,
    receiver: Account,
    params: Mutex<Vec<(Params, Balances)>>,
}

impl Stored {
    async fn make(network: &Elsewhere, identity: &SharedIdentity, count: usize) -> Self {
        let agent = connect(&network.url, Arc::clone(identity), true)
            .await
            .unwrap();
        let chain = Chain::new(Funder::new(Adjudicator::new(agent, network.adjudicator)));
        let now = chain.time().await.unwrap();
        let ours = key(1);
        let asset = AssetId::Icrc(convert::principal(network.ledger).unwrap());
        let place = (convert::principal(network.adjudicator).unwrap(), asset);
        let stored = Self {
            scratch: Scratch::new(),
            ours,
            chain,
            receiver: Account::of(place.0),
            params: Mutex::default(),
        };
        let store = stored.open();
        let peers: Vec<Key> = (0..PEERS).map(|number| key(2 + number as u64)).collect();
        for number in 0..count {
            let peer = &peers[number % PEERS];
            let (write, setup) = channel(number as u64, &stored.ours, peer, place, now);
            store.write(write);
            if count <= FUNDED[1] {
                let funding = setup.initial.funding().clone();
                stored.params.lock().unwrap().push((setup.params, funding));
            }
        }
        store.close().unwrap();
        stored
    }

    /// Deposits for all of them, so that they are what they are taken for.
    async fn deposit(&self, count: usize) {
        let params = std::mem::take(&mut *self.params.lock().unwrap());
        assert_eq!(params.len(), count);
        for (params, funding) in params {
            for part in [Proposal::PROPOSER, Proposal::ACCEPTOR] {
                let funded = self
                    .chain
                    .fund(&params, part, &funding, Door::Approval)
                    .await;
                assert_eq!(funded.unwrap(), Performed::Done);
            }
        }
    }

    fn open(&self) -> FileStore {
        let folder = self.scratch.path().join("store");
        FileStore::open(&folder, &self.ours.public_key()).unwrap()
    }

    /// What the store keeps of its pages in memory once everything was read.
    fn pages(&self) -> usize {
        let before = HEAP.current_usage();
        let store = self.open();
        drop(store.load().unwrap());
        let pages = HEAP.current_usage().saturating_sub(before);
        store.close().unwrap();
        pages
    }

    async fn start(&self) -> Client {
        let links = Network::new(1);
        let started = Client::start(Parts {
            config: Config::new(self.receiver),
            key: Arc::clone(&self.ours) as Arc<_>,
            chain: self.chain.clone(),
            store: Arc::new(self.open()),
            transport: Arc::new(links.attach(self.ours.public_key(), "us")),
            leave_out: Vec::new(),
        });
        started.await.unwrap()
    }
}

fn key(number: u64) -> Key {
    let mut bytes = [1; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    Arc::new(Libsecp256k1Key::from_bytes(&bytes).unwrap())
}

/// The first write of an open channel to which both have deposited.
fn channel(
    number: u64,
    ours: &Key,
    theirs: &Key,
    (adjudicator, asset): (Principal, AssetId),
    now: Timestamp,
) -> (Write, Setup) {
    let table = |amount: u128| Balances::new(2, vec![Amount::new(amount); 2]).unwrap();
    let share = |side: u8| {
        let mut share = [side; 32];
        share[..8].copy_from_slice(&number.to_be_bytes());
        share
    };
    let deadline = now.saturating_add_nanos(LONG_NS);
    let proposal = Proposal {
        terms: Terms {
            adjudicator,
            assets: vec![asset],
            challenge_duration: ChallengeDuration::from_secs(24 * 3600).unwrap(),
            app: PAYMENT_APP,
            aux: [0; 32],
            balances: table(1_000_000),
            funding: table(1_000_000),
            fund_by: deadline,
        },
        participant: participant(&ours.public_key()),
        nonce_share: share(1),
        expires_at: deadline,
    };
    let acceptance = Acceptance {
        proposal: proposal.id(),
        part: Proposal::ACCEPTOR,
        participant: participant(&theirs.public_key()),
        nonce_share: share(2),
    };
    let (params, initial) = proposal.channel(&acceptance).unwrap();
    let setup = |part: PartIdx| Setup {
        params: params.clone(),
        part,
        initial: initial.clone(),
        expires_at: deadline,
        fund_by: deadline,
        receiver: Account::of(adjudicator),
        funds_last: false,
    };
    let limits = Limits {
        max_view_age_ns: LONG_NS,
        retry_ns: LONG_NS,
        silence_ns: LONG_NS,
        decide_ns: None,
    };
    let stored = setup(Proposal::PROPOSER);
    let opening = StoredOpening {
        setup: stored.encode().into(),
        peer: theirs.public_key().as_bytes().to_vec().into(),
        address: Some("peer.example.org:4444".into()),
        proposal: proposal.id().to_vec().into(),
    };
    let ours = Machine::propose(stored.clone(), limits, Arc::clone(ours)).unwrap();
    let accepted = setup(Proposal::ACCEPTOR);
    let theirs = Machine::accept(accepted, limits, Arc::clone(theirs), acceptance).unwrap();
    let snapshot = open([ours, theirs], now);
    let mut write = Write::new(params.id());
    write.opening = Some(minicbor::to_vec(opening).unwrap());
    write.snapshot = Some(snapshot);
    (write, stored)
}

fn participant(key: &PublicKey) -> Participant {
    Participant::Secp256k1(*key)
}

/// Opens a channel between two machines, and gives what the first one stores in the end.
fn open(mut machines: [Machine; 2], now: Timestamp) -> Vec<u8> {
    let mut newest = Vec::new();
    let mut queue = VecDeque::new();
    for machine in &mut machines {
        machine.handle_connected(now, 1024);
    }
    drain(&mut machines, &mut queue, &mut newest, now);
    let holdings = machines[0].setup().initial.funding().clone();
    for machine in &mut machines {
        let status = Status::Open {
            holdings: holdings.clone(),
        };
        machine.handle_view(now, View { at: now, status });
    }
    drain(&mut machines, &mut queue, &mut newest, now);
    assert!(machines.iter().all(Machine::is_open));
    newest
}

fn drain(
    machines: &mut [Machine; 2],
    queue: &mut VecDeque<(usize, Message)>,
    newest: &mut Vec<u8>,
    now: Timestamp,
) {
    loop {
        for side in [0, 1] {
            while let Some(output) = machines[side].poll_output() {
                match output {
                    Output::Send(message) => queue.push_back((1 - side, message)),
                    Output::Persist(record) | Output::PersistLater(record) if side == 0 => {
                        *newest = record.snapshot;
                    }
                    _ => {}
                }
            }
        }
        let Some((side, message)) = queue.pop_front() else {
            return;
        };
        machines[side].handle_message(now, message).unwrap();
    }
}
