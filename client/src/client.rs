//! A client: one identity with its peers, channels, store and adjudicator.
//!
//! ```text
//!             Client ── proposals, channels, events
//!               │
//!     ┌─────────┼───────────┬──────────────┬───────────┐
//!   Peers    Drivers      Store         Follower     Timers
//!   (link)   (a machine   (durable      (the log,    (one for all)
//!             a channel)   first)        one cursor)
//! ```
//!
//! Watching, refuting, answering, concluding and withdrawing begin by themselves when a channel
//! begins or a client is started, and go on until everything is paid out: there is no call that one
//! could forget.

mod config;
mod dispatch;
mod ended;
mod history;
mod opening;
mod start;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use perun_protocol::wire::{Message, ProposalId, RequestId};
use perun_protocol::{ChannelId, Principal, PublicKey, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit, broadcast};
use tokio::task::JoinHandle;

use self::opening::Openings;
use self::start::StoredOpening;
use crate::chain::Chain;
use crate::channel::Channel;
use crate::driver::{Driver, Key, Machine, Timers};
use crate::events::{ClientEvent, Events, Notification};
use crate::link::Peers;
use crate::store::{Store, Ticket};

pub use self::config::Config;
pub use self::ended::Ended;
pub use self::history::ReadHistoryError;
pub use self::opening::{ChannelTerms, IncomingProposal, OpenError, Proposals};
pub use self::start::{ChannelDamage, Parts, StartError};

/// How many channels are looked at for the first time at once.
const FIRST_LOOKS: usize = 64;

/// One identity with its peers and channels. Cheap to clone; clones are the same client.
///
/// It runs until [`Client::stop`], or until the runtime ends. What is durable then is all that a new
/// start needs.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What all parts of a client share.
pub(crate) struct Shared {
    config: Config,
    identity: PublicKey,
    key: Key,
    chain: Chain,
    store: Arc<dyn Store>,
    peers: OnceLock<Peers>,
    timers: Timers,
    drivers: RwLock<Drivers>,
    openings: Mutex<Openings>,
    /// `None` once the client has stopped.
    events: RwLock<Option<broadcast::Sender<Notification>>>,
    /// Channels that may be looked at for the first time at once: at a start that is all of them, and
    /// neither the replica nor this machine's memory should bear them together.
    first_looks: Semaphore,
    /// Drivers whose outputs wait for the store.
    awaiting: Mutex<Vec<Arc<Driver>>>,
    requests: AtomicU64,
    runtime: tokio::runtime::Handle,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// The channels that are not over.
#[derive(Default)]
struct Drivers {
    by_id: HashMap<ChannelId, Arc<Driver>>,
    by_proposal: HashMap<ProposalId, ChannelId>,
    by_peer: HashMap<PublicKey, Vec<ChannelId>>,
}

impl Client {
    /// Our off-chain identity, by which peers know us.
    pub fn identity(&self) -> PublicKey {
        self.shared.identity
    }

    /// Keeps a link to a peer at this address (`host:port`) from now on, in place of another
    /// address, and makes it anew whenever it breaks.
    pub fn connect(&self, peer: PublicKey, address: &str) {
        self.shared.peers().want(peer, address);
    }

    /// Whether a peer is connected at present.
    pub fn is_connected(&self, peer: &PublicKey) -> bool {
        self.shared.is_connected(peer)
    }

    /// The channels that are not over, in no particular order.
    pub fn channels(&self) -> Vec<Channel> {
        let drivers = self.shared.all_drivers();
        drivers.into_iter().map(Channel::new).collect()
    }

    /// The channel with this id, if it is not over.
    pub fn channel(&self, id: &ChannelId) -> Option<Channel> {
        self.shared.driver(id).map(Channel::new)
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        self.shared.events(None)
    }

    /// The chain as this client sees it.
    pub fn chain(&self) -> &Chain {
        &self.shared.chain
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// The links to peers.
    pub fn peers(&self) -> &Peers {
        self.shared.peers()
    }
}

impl Shared {
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(super) fn identity(&self) -> PublicKey {
        self.identity
    }

    fn key(&self) -> Key {
        Arc::clone(&self.key)
    }

    fn adjudicator(&self) -> Principal {
        let id = self.chain.adjudicator().id();
        let id = perun_canister_api::convert::principal(id);
        id.expect("a client was started with an adjudicator that has a name")
    }

    fn peers(&self) -> &Peers {
        self.peers.get().expect("links are made at the start")
    }

    /// The latest that it can be at the adjudicator.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.chain.clock().now();
        now.expect("a client starts by asking the adjudicator for its time")
    }

    pub(crate) fn is_durable(&self, ticket: Ticket) -> bool {
        ticket <= self.store.durable()
    }

    /// The driver's outputs go on when the store is more durable.
    pub(crate) fn await_durable(&self, driver: &Arc<Driver>) {
        lock(&self.awaiting).push(Arc::clone(driver));
    }

    /// Drives those whose outputs waited for the store.
    fn release_awaiting(&self) {
        // In a statement of its own, or the list would stay locked all the while: a driver that is
        // locked may be about to put itself on it.
        let awaiting = std::mem::take(&mut *lock(&self.awaiting));
        for driver in awaiting {
            driver.release();
        }
    }

    /// Sends to a peer, if it is connected. Whatever is lost is said again when it is.
    pub(crate) fn send(&self, peer: &PublicKey, message: &Message) {
        if let Some(peers) = self.peers.get() {
            let _ = peers.send(peer, &message.encode());
        }
    }

    fn is_connected(&self, peer: &PublicKey) -> bool {
        self.peers().is_connected(peer)
    }

    pub(crate) fn tell(&self, channel: impl Into<Option<ChannelId>>, event: ClientEvent) {
        let events = self.events.read();
        if let Some(events) = &*events.unwrap_or_else(PoisonError::into_inner) {
            // Nobody may be listening.
            let _ = events.send(Notification {
                channel: channel.into(),
                event,
            });
        }
    }

    pub(crate) fn events(&self, channel: Option<ChannelId>) -> Events {
        let events = self.events.read();
        let receiver = match &*events.unwrap_or_else(PoisonError::into_inner) {
            Some(events) => events.subscribe(),
            // Its sender is gone at once.
            None => broadcast::channel(1).1,
        };
        Events::new(receiver, channel)
    }

    /// Whoever listens learns that the client has stopped.
    fn end_events(&self) {
        let events = self.events.write();
        *events.unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn next_request(&self) -> RequestId {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs something beside everything else, from any thread.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(future);
    }

    /// Waits until a channel may be looked at for the first time.
    pub(crate) async fn first_look(&self) -> SemaphorePermit<'_> {
        let turn = self.first_looks.acquire().await;
        turn.expect("it is never closed")
    }

    fn openings(&self) -> MutexGuard<'_, Openings> {
        lock(&self.openings)
    }

    fn driver(&self, id: &ChannelId) -> Option<Arc<Driver>> {
        self.read_drivers().by_id.get(id).cloned()
    }

    fn driver_of_proposal(&self, id: &ProposalId) -> Option<Arc<Driver>> {
        let drivers = self.read_drivers();
        let channel = drivers.by_proposal.get(id)?;
        drivers.by_id.get(channel).cloned()
    }

    fn drivers_of(&self, peer: &PublicKey) -> Vec<Arc<Driver>> {
        let drivers = self.read_drivers();
        let ids = drivers.by_peer.get(peer).into_iter().flatten();
        ids.filter_map(|id| drivers.by_id.get(id).cloned())
            .collect()
    }

    fn all_drivers(&self) -> Vec<Arc<Driver>> {
        self.read_drivers().by_id.values().cloned().collect()
    }

    fn read_drivers(&self) -> std::sync::RwLockReadGuard<'_, Drivers> {
        self.drivers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_drivers(&self) -> std::sync::RwLockWriteGuard<'_, Drivers> {
        self.drivers.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel begins: from here on it is driven until it is over.
    fn begin(
        self: &Arc<Self>,
        peer: &PublicKey,
        machine: Machine,
        proposal: ProposalId,
    ) -> Arc<Driver> {
        let opening = StoredOpening {
            setup: machine.setup().encode().into(),
            peer: *peer,
            address: self.peers().address(peer),
            proposal,
        };
        let driver = Driver::new(Arc::clone(self), *peer, machine, Some(opening.encode()));
        self.register(&driver, proposal);
        match self.peers().hello(peer) {
            Some(hello) => driver.connect(&hello),
            None => driver.input(|_, _| ()),
        }
        // The link may have broken meanwhile.
        if !self.is_connected(peer) {
            driver.input(|machine, _| machine.handle_disconnected());
        }
        driver
    }

    fn register(&self, driver: &Arc<Driver>, proposal: ProposalId) {
        let mut drivers = self.write_drivers();
        drivers.by_id.insert(driver.id(), Arc::clone(driver));
        drivers.by_proposal.insert(proposal, driver.id());
        let of_peer = drivers.by_peer.entry(*driver.peer()).or_default();
        of_peer.push(driver.id());
    }

    /// A channel is over.
    pub(crate) fn retire(&self, id: ChannelId) {
        let mut drivers = self.write_drivers();
        let Some(driver) = drivers.by_id.remove(&id) else {
            return;
        };
        drivers.by_proposal.retain(|_, channel| *channel != id);
        if let Some(of_peer) = drivers.by_peer.get_mut(driver.peer()) {
            of_peer.retain(|channel| *channel != id);
            if of_peer.is_empty() {
                drivers.by_peer.remove(driver.peer());
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("identity", &self.shared.identity)
            .finish_non_exhaustive()
    }
}
