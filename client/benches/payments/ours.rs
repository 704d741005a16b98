//! Two clients with channels between them, whose deposits the real adjudicator holds.
//!
//! Each client has a thread of its own with a runtime of its own, as two processes would.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use candid::{CandidType, Principal};
use ic_agent::Identity as _;
use ic_agent::identity::BasicIdentity;
use local_ic::{Clock, Config as ReplicaConfig, Replica, Server, canister_wasm};
use perun_canister_api::{Account as CandidAccount, InitArgs, convert};
use perun_client::chain::Chain;
use perun_client::channel::Channel;
use perun_client::client::{ChannelTerms, Client, Config, Parts};
use perun_client::link::{TcpConfig, TcpTransport};
use perun_client::store::{FileStore, MemoryStore, Store};
use perun_client::{Adjudicator, Funder};
use perun_protocol::payment::Payment;
use perun_protocol::signature::{Libsecp256k1Key, Signer as _};
use perun_protocol::{Account, Amount, AssetId, AssetIdx, ChallengeDuration, PublicKey};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::Counted;

/// What everybody has, and what a channel gets from each side.
const WEALTH: u128 = 1 << 100;
const DEPOSIT: u128 = 1 << 80;
/// Longer than the clients' times ask for.
const CHALLENGE_S: u32 = 86_400;

/// An embedded Internet Computer with ledger and adjudicator.
pub struct Network {
    server: Server,
    ledger: Principal,
    adjudicator: Principal,
    /// Drives the server; gone after it.
    _runtime: Runtime,
}

/// Two clients and the channels between them.
pub struct Pair {
    runtime: Runtime,
    payer: Client,
    payee: Client,
    channels: Vec<Channel>,
    theirs: Vec<Channel>,
    files: Vec<Arc<FileStore>>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<std::thread::JoinHandle<()>>,
}

#[derive(CandidType)]
enum LedgerArg {
    Init(LedgerInit),
}

#[derive(CandidType)]
struct LedgerInit {
    minting_account: CandidAccount,
    initial_balances: Vec<(CandidAccount, u128)>,
    transfer_fee: u128,
    token_symbol: String,
    token_name: String,
    decimals: Option<u8>,
}

fn identity(number: u8) -> BasicIdentity {
    BasicIdentity::from_raw_key(&[200 + number; 32])
}

fn key(number: u8) -> Arc<Libsecp256k1Key> {
    Arc::new(Libsecp256k1Key::from_bytes(&[number + 1; 32]).unwrap())
}

impl Network {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut replica = Replica::new(ReplicaConfig::default());
        let nobody = Principal::management_canister();
        let ledger = replica.create_canister(nobody);
        let balances = [0, 1].map(|number| {
            let owner = identity(number).sender().unwrap();
            (CandidAccount::from(owner), WEALTH)
        });
        let init = LedgerArg::Init(LedgerInit {
            minting_account: CandidAccount::from(Principal::self_authenticating([9; 32])),
            initial_balances: balances.to_vec(),
            transfer_fee: 10_000,
            token_symbol: "ICP".into(),
            token_name: "Token".into(),
            decimals: None,
        });
        let wasm = canister_wasm("ledger").unwrap();
        let argument = candid::encode_one(init).unwrap();
        replica.install(ledger, &wasm, argument).unwrap();
        let adjudicator = replica.create_canister(nobody);
        let argument = candid::encode_one(InitArgs {
            ledgers: vec![ledger],
            min_challenge_duration_s: 60,
            max_challenge_duration_s: CHALLENGE_S,
        });
        let wasm = canister_wasm("adjudicator").unwrap();
        replica
            .install(adjudicator, &wasm, argument.unwrap())
            .unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = runtime.block_on(Server::start(replica, address, Clock::Live));
        Self {
            server: server.unwrap(),
            ledger,
            adjudicator,
            _runtime: runtime,
        }
    }

    async fn client(&self, number: u8, store: Arc<dyn Store>) -> (Client, SocketAddr) {
        let agent = ic_agent::Agent::builder()
            .with_url(self.server.url())
            .with_identity(identity(number))
            .build()
            .unwrap();
        agent.set_root_key(self.server.root_key());
        let owner = convert::principal(agent.get_principal().unwrap()).unwrap();
        let funder = Funder::new(Adjudicator::new(agent, self.adjudicator));
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let transport = TcpTransport::bind(key(number), loopback, TcpConfig::default());
        let transport = transport.await.unwrap();
        let address = transport.local_address();
        // Polled so seldom that it takes less than a hundredth of the time.
        let config = Config {
            poll_interval: Duration::from_secs(1),
            max_view_age: Duration::from_secs(3_600),
            ..Config::new(Account::of(owner))
        };
        let client = Client::start(Parts {
            config,
            key: key(number),
            chain: Chain::new(funder),
            store,
            transport: Arc::new(transport),
            leave_out: Vec::new(),
        });
        (client.await.unwrap(), address)
    }
}

impl Pair {
    /// Opens so many channels; the stores are files in `folder`, or memory.
    pub fn open(network: &Network, folder: Option<&Path>, count: usize) -> Self {
        let mut files = Vec::new();
        let mut stores = [0, 1].map(|number| -> Arc<dyn Store> {
            let Some(folder) = folder else {
                return Arc::new(MemoryStore::new());
            };
            std::fs::create_dir_all(folder).unwrap();
            let name = folder.join(number.to_string());
            let store = FileStore::open(&name, &key(number).public_key());
            let store = Arc::new(store.unwrap());
            files.push(Arc::clone(&store));
            store
        });
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
        };
        let payee_runtime = runtime();
        let store = Arc::clone(&stores[1]);
        let (payee, address) = payee_runtime.block_on(network.client(1, store));
        let (stop, stopped) = oneshot::channel();
        let (accepted, theirs) = std::sync::mpsc::channel();
        let accepting = payee.clone();
        let serving = std::thread::spawn(move || {
            payee_runtime.block_on(async move {
                let mut proposals = accepting.proposals();
                for _ in 0..count {
                    let proposal = proposals.next().await.unwrap();
                    accepted.send(proposal.accept().await.unwrap()).unwrap();
                }
                let _ = stopped.await;
                accepting.stop().await.unwrap();
            });
        });
        let runtime = runtime();
        let store = std::mem::replace(&mut stores[0], Arc::new(MemoryStore::new()));
        let (payer, channels) = runtime.block_on(async {
            let (payer, _) = network.client(0, store).await;
            let peer: PublicKey = payee.identity();
            payer.connect(peer, &address.to_string());
            let ledger = AssetId::Icrc(convert::principal(network.ledger).unwrap());
            let mut channels = Vec::new();
            for _ in 0..count {
                let duration = ChallengeDuration::from_secs(CHALLENGE_S).unwrap();
                let [ours, theirs] = [Amount::new(DEPOSIT), Amount::new(0)];
                let terms = ChannelTerms::new(ledger, ours, theirs, duration);
                channels.push(payer.propose(&peer, terms).await.unwrap());
            }
            (payer, channels)
        });
        Self {
            runtime,
            payer,
            payee,
            channels,
            theirs: theirs.iter().take(count).collect(),
            files,
            stop: Some(stop),
            serving: Some(serving),
        }
    }

    /// One payment after the other, each agreed to before the next.
    pub fn pay_one_by_one(&self, count: usize) -> Counted {
        self.counted(async {
            for _ in 0..count {
                self.channels[0].pay(Amount::new(10_000)).await.unwrap();
            }
        })
    }

    /// Updates of so many payments, the next of which is queued while one is under way.
    pub fn pay_in_batches(&self, rounds: usize, payments: usize) -> Counted {
        let payment = Payment {
            asset: AssetIdx::new(0),
            amount: Amount::new(10_000),
            memo: None,
        };
        let batch = vec![payment; payments];
        self.counted(async {
            let mut under_way = None;
            for _ in 0..rounds {
                let mut rest = &batch[..];
                while !rest.is_empty() {
                    let (taken, queued) = self.channels[0].queue_all(rest).unwrap();
                    rest = &rest[taken..];
                    if let Some(earlier) = under_way.replace(queued) {
                        earlier.await.unwrap();
                    }
                }
            }
            if let Some(last) = under_way {
                last.await.unwrap();
            }
        })
    }

    /// So many payments on each channel, all channels at once.
    pub fn pay_on_all(&self, rounds: usize) -> Counted {
        self.counted(async {
            let mut paying = tokio::task::JoinSet::new();
            for channel in &self.channels {
                let channel = channel.clone();
                paying.spawn(async move {
                    for _ in 0..rounds {
                        channel.pay(Amount::new(10_000)).await.unwrap();
                    }
                });
            }
            while let Some(paid) = paying.join_next().await {
                paid.unwrap();
            }
        })
    }

    /// Checks every payment that the payee has stored against the newest signed state.
    pub fn verify(&self) {
        let mut count = 0_u64;
        for channel in &self.theirs {
            let newest = channel.newest().unwrap();
            let history = channel.history().unwrap();
            history.verify(&channel.params(), &newest).unwrap();
            let entries = history.entries.iter();
            count += entries
                .map(|entry| u64::from(entry.payments.count()))
                .sum::<u64>();
        }
        println!("{count} payments are proved by the newest signed states");
    }

    fn counted(&self, paying: impl Future<Output = ()>) -> Counted {
        let before = self.used();
        self.runtime.block_on(paying);
        let after = self.used();
        Counted {
            flushes: after.flushes - before.flushes,
            bytes: after.bytes - before.bytes,
        }
    }

    fn used(&self) -> Counted {
        let read = |traffic: &perun_client::link::Traffic| {
            traffic.sent_bytes.load(Ordering::Relaxed)
                + traffic.received_bytes.load(Ordering::Relaxed)
        };
        let peer = self.payee.identity();
        Counted {
            flushes: self.files.iter().map(|file| file.flushes()).sum(),
            bytes: self.payer.peers().traffic(&peer, read).unwrap_or_default(),
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.payer.stop());
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(serving) = self.serving.take() {
            serving.join().unwrap();
        }
    }
}
