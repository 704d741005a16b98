//! Clients: people with a store, a link, and an account on the ledger.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use candid::Principal;
use ic_agent::Agent;
use perun_canister_api::convert;
use perun_client::chain::Chain;
use perun_client::channel::{Channel, Closing};
use perun_client::client::{ChannelTerms, Client, Config, IncomingProposal, Parts, StartError};
use perun_client::events::{ClientEvent, Events, EventsError};
use perun_client::link::{TcpConfig, TcpTransport, Transport};
use perun_client::store::{MemoryStore, Store};
use perun_client::{Adjudicator, Funder, Patience};
use perun_protocol::signature::{Libsecp256k1Key, Signer as _};
use perun_protocol::{AssetId, ChallengeDuration, PublicKey};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use super::{CHALLENGE_S, Proxy, QUICK, World, account, identity, units};

/// The longest that a test may take.
const STORY: Duration = Duration::from_secs(150);
/// The longest that one thing is waited for.
const WAIT: Duration = Duration::from_secs(30);
/// A little more than a window.
pub const WINDOW: Duration = Duration::from_secs(CHALLENGE_S.0 as u64 + 2);

/// Runs a test to its end, which must come in time.
pub fn story(story: impl Future<Output = ()>) {
    let runtime = runtime(2);
    let ended = runtime.block_on(async { timeout(STORY, story).await });
    // What is left over must not keep the test from ending.
    runtime.shutdown_background();
    ended.expect("the story ends in time");
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

/// Waits for something that must come soon.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let came = timeout(WAIT, future).await;
    came.unwrap_or_else(|_| panic!("{what}: not within {WAIT:?}"))
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    soon(what, async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Waits for an event.
pub async fn hear<T>(
    events: &mut Events,
    what: &str,
    mut find: impl FnMut(&ClientEvent) -> Option<T>,
) -> T {
    soon(what, async {
        loop {
            match events.next().await {
                Ok(notification) => {
                    if let Some(found) = find(&notification.event) {
                        return found;
                    }
                }
                Err(EventsError::Missed { count }) => panic!("{what}: {count} events missed"),
                Err(EventsError::Stopped) => panic!("{what}: the client has stopped"),
            }
        }
    })
    .await
}

/// Waits for an event of a channel's machine.
macro_rules! heard {
    ($events:expr, $pattern:pat $(if $guard:expr)? => $value:expr) => {
        $crate::world::hear(&mut $events, stringify!($pattern), |event| match event {
            perun_client::events::ClientEvent::Channel($pattern) $(if $guard)? => Some($value),
            _ => None,
        })
        .await
    };
    ($events:expr, $pattern:pat $(if $guard:expr)?) => {
        heard!($events, $pattern $(if $guard)? => ())
    };
}
pub(crate) use heard;

/// What somebody needs to know to reach a world. Can be told to another process.
#[derive(Clone)]
pub struct Reach {
    pub url: String,
    pub root_key: Vec<u8>,
    pub adjudicator: Principal,
    pub ledgers: Vec<Principal>,
}

/// Somebody who is about to start a client.
#[derive(Clone)]
pub struct Start {
    reach: Reach,
    number: u8,
    config: Config,
    store: Arc<dyn Store>,
    address: SocketAddr,
    patience: Patience,
    wrap: Option<Wrap>,
}

/// Puts something between a client and its transport.
type Wrap = Arc<dyn Fn(Arc<dyn Transport>) -> Arc<dyn Transport> + Send + Sync>;

/// Somebody with a client.
pub struct Person {
    pub client: Client,
    pub number: u8,
    pub address: SocketAddr,
    pub ledger: AssetId,
    pub ledgers: Vec<AssetId>,
}

/// Somebody with a client that can be killed: nothing of it goes on, and nobody is told.
pub struct Mortal {
    pub person: Person,
    runtime: Option<Runtime>,
}

pub fn key(number: u8) -> Arc<Libsecp256k1Key> {
    Arc::new(Libsecp256k1Key::from_bytes(&[50 + number; 32]).unwrap())
}

/// The identity off chain of a user.
pub fn off_chain(number: u8) -> PublicKey {
    key(number).public_key()
}

impl World {
    /// A world that tests share. Nobody moves its time, and everybody in it is somebody else.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<World> = OnceCell::const_new();
        SHARED.get_or_init(World::new).await
    }

    pub fn reach(&self) -> Reach {
        Reach {
            url: self.server.url(),
            root_key: self.server.root_key(),
            adjudicator: self.adjudicator,
            ledgers: self.ledgers.clone(),
        }
    }

    /// Somebody whom nobody else is, with the ledger's tokens.
    pub fn somebody(&self) -> Start {
        static COUNT: AtomicU8 = AtomicU8::new(20);
        self.user(COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// The user `number`.
    pub fn user(&self, number: u8) -> Start {
        self.reach().user(number)
    }

    /// Two people who are clients.
    pub async fn pair(&self) -> (Person, Person) {
        let (one, other) = (self.somebody(), self.somebody());
        tokio::join!(one.start(), other.start())
    }

    /// A client of the user `number`, with a store in memory.
    pub async fn client(&self, number: u8) -> Person {
        self.user(number).start().await
    }

    /// What somebody has on the ledger.
    pub async fn wealth(&self, person: &Person) -> u128 {
        self.balance(&account(person.number)).await
    }
}

impl Reach {
    pub fn user(&self, number: u8) -> Start {
        Start {
            reach: self.clone(),
            number,
            config: quick(number),
            store: Arc::new(MemoryStore::new()),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            patience: QUICK,
            wrap: None,
        }
    }

    pub fn agent(&self, number: u8) -> Agent {
        let agent = Agent::builder()
            .with_url(&self.url)
            .with_identity(identity(number))
            .with_max_polling_time(Duration::from_secs(1))
            .build()
            .unwrap();
        agent.set_root_key(self.root_key.clone());
        agent
    }

    pub fn adjudicator(&self, number: u8) -> Adjudicator {
        Adjudicator::new(self.agent(number), self.adjudicator).with_patience(QUICK)
    }
}

impl Start {
    pub fn number(&self) -> u8 {
        self.number
    }

    pub fn on(self, store: Arc<dyn Store>) -> Self {
        Self { store, ..self }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Listens there, e.g. where an earlier client did.
    pub fn at(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// Reaches the world through a proxy.
    pub fn through(mut self, proxy: &Proxy) -> Self {
        self.reach.url = proxy.url().to_owned();
        self
    }

    /// Calls are made once and then reported, instead of being repeated for a while.
    pub fn hasty(self) -> Self {
        let patience = Patience::NONE;
        Self { patience, ..self }
    }

    /// Puts something between the client and its transport.
    pub fn wrapped(
        self,
        wrap: impl Fn(Arc<dyn Transport>) -> Arc<dyn Transport> + Send + Sync + 'static,
    ) -> Self {
        let wrap: Option<Wrap> = Some(Arc::new(wrap));
        Self { wrap, ..self }
    }

    pub async fn start(self) -> Person {
        self.try_start().await.unwrap()
    }

    pub async fn try_start(self) -> Result<Person, StartError> {
        let number = self.number;
        let adjudicator = Adjudicator::new(self.reach.agent(number), self.reach.adjudicator);
        let adjudicator = adjudicator.with_patience(self.patience);
        let funder = Funder::new(adjudicator).with_poll_interval(Duration::from_millis(20));
        let binding = async {
            loop {
                let config = TcpConfig::default();
                match TcpTransport::bind(key(number), self.address, config).await {
                    Ok(transport) => return transport,
                    // Whoever listened there before may not be quite gone.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let transport = soon("an address", binding).await;
        let address = transport.local_address();
        let mut transport: Arc<dyn Transport> = Arc::new(transport);
        if let Some(wrap) = &self.wrap {
            transport = wrap(transport);
        }
        let client = Client::start(Parts {
            config: self.config,
            key: key(number),
            chain: Chain::new(funder),
            store: self.store,
            transport,
            leave_out: Vec::new(),
        });
        let asset = |ledger: &Principal| AssetId::Icrc(convert::principal(*ledger).unwrap());
        let ledgers: Vec<_> = self.reach.ledgers.iter().map(asset).collect();
        Ok(Person {
            client: client.await?,
            number,
            address,
            ledger: ledgers[0],
            ledgers,
        })
    }

    /// Starts a client that can be killed: it has a runtime of its own.
    pub async fn start_mortal(self) -> Mortal {
        let runtime = runtime(1);
        let person = runtime.spawn(self.start()).await.unwrap();
        Mortal {
            person,
            runtime: Some(runtime),
        }
    }
}

/// Somebody who survives crashes: what was durable in his store is all that is left.
pub struct Survivor {
    start: Start,
    store: Arc<MemoryStore>,
    mortal: Option<Mortal>,
}

impl Mortal {
    /// Kills the client, like a power cut, and returns when nothing of it moves any more.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        let dying = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(WAIT));
        soon("a death", dying).await.unwrap();
    }
}

impl Survivor {
    pub async fn new(start: Start) -> Self {
        Self::on(start, MemoryStore::new()).await
    }

    pub async fn on(start: Start, store: MemoryStore) -> Self {
        let store = Arc::new(store);
        let mortal = start.clone().on(store.clone()).start_mortal().await;
        Self {
            start: start.at(mortal.address),
            store,
            mortal: Some(mortal),
        }
    }

    pub async fn kill(&mut self) {
        if let Some(mortal) = self.mortal.take() {
            mortal.kill().await;
        }
    }

    /// Starts again where it listened before, with what is durable.
    pub async fn restart(&mut self) {
        let copy = self.store.durable_copy();
        self.restart_on(copy).await;
    }

    /// Starts again with another store, e.g. an old copy.
    pub async fn restart_on(&mut self, store: MemoryStore) {
        self.kill().await;
        let address = self.start.address;
        *self = Self::on(self.start.clone(), store).await;
        assert_eq!(self.start.address, address);
    }

    /// What is durable, to be kept for long.
    pub fn copy(&self) -> MemoryStore {
        self.store.durable_copy()
    }

    pub fn store(&self) -> &MemoryStore {
        &self.store
    }
}

impl std::ops::Deref for Survivor {
    type Target = Person;

    fn deref(&self) -> &Person {
        &self.mortal.as_ref().expect("it lives").person
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::ops::Deref for Mortal {
    type Target = Person;

    fn deref(&self) -> &Person {
        &self.person
    }
}

/// Times for tests.
pub fn quick(number: u8) -> Config {
    Config {
        poll_interval: Duration::from_millis(100),
        max_view_age: Duration::from_secs(10),
        retry_after: Duration::from_millis(500),
        ..Config::quick(account(number))
    }
}

impl Person {
    pub fn identity(&self) -> PublicKey {
        self.client.identity()
    }

    pub fn terms(&self, amounts: [u128; 2]) -> ChannelTerms {
        let duration = ChallengeDuration::from_secs(CHALLENGE_S.0).unwrap();
        ChannelTerms::new(self.ledger, units(amounts[0]), units(amounts[1]), duration)
    }

    pub fn connect(&self, peer: &Person) {
        let address = peer.address.to_string();
        self.client.connect(peer.identity(), &address);
    }

    /// Opens a channel with somebody who accepts it.
    pub async fn open_with(&self, peer: &Person, amounts: [u128; 2]) -> (Channel, Channel) {
        self.open(peer, self.terms(amounts)).await
    }

    /// Opens a channel with somebody who accepts it.
    pub async fn open(&self, peer: &Person, terms: ChannelTerms) -> (Channel, Channel) {
        self.connect(peer);
        let mut proposals = peer.client.proposals();
        let identity = peer.identity();
        let proposing = self.client.propose(&identity, terms);
        let accepting = async { proposals.next().await.unwrap().accept().await };
        let opened = async { tokio::join!(proposing, accepting) };
        let (ours, theirs) = soon("an open channel", opened).await;
        (ours.unwrap(), theirs.unwrap())
    }

    /// The next proposal of a peer.
    pub async fn proposed(&self) -> IncomingProposal {
        let mut proposals = self.client.proposals();
        soon("a proposal", proposals.next()).await.unwrap()
    }

    /// The only channel.
    pub fn only_channel(&self) -> Channel {
        let mut channels = self.client.channels();
        assert_eq!(channels.len(), 1);
        channels.remove(0)
    }

    pub async fn stop(&self) {
        soon("the end of a client", self.client.stop())
            .await
            .unwrap();
    }
}

/// Closes a channel together and returns what both were paid out.
pub async fn close(ours: &Channel, theirs: &Channel) -> [u128; 2] {
    let closing = async { tokio::join!(ours.close(), theirs.closed()) };
    let (ours, theirs) = soon("a closed channel", closing).await;
    [ours, theirs].map(|closing| paid(&closing.unwrap()))
}

/// What was paid out of the only asset.
pub fn paid(closing: &Closing) -> u128 {
    match &closing.paid_out[..] {
        [] => 0,
        [paid] => paid.receipt.paid.units(),
        more => panic!("{more:?}"),
    }
}

pub async fn pay(channel: &Channel, amount: u128) {
    soon("a payment", channel.pay(units(amount))).await.unwrap();
}

/// What both have in the newest state, as one of them sees it: the proposer first.
pub fn shares(channel: &Channel) -> [u128; 2] {
    let newest = channel.newest().unwrap();
    let mut rows = newest.state().allocation().balances.rows();
    let row = rows.next().unwrap();
    [row[0].units(), row[1].units()]
}
