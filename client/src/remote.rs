//! A service for devices: channels watched and funded for those who cannot reach the Internet
//! Computer themselves.
//!
//! ```text
//!  devices ──Watch, ForceClose──> requests ──checked──> Watch ──> records (durable) ──> WatchAck
//!     ^                                                   │
//!     │ DisputeNotice, WatchAck                           ├─ looks, calls ──> Chain
//!     └───────────────────────────────────────────────────┘                    ^
//!  devices ──Fund──> requests ──checked, limited──> Loan ──> records ──> deposits
//! ```
//!
//! A device hands in what the adjudicator enforces: the newest state that all signed, and
//! authorisations that say where its payouts go. From then on the service refutes older states,
//! concludes and withdraws, over restarts too, until nothing of the device's is left. It holds no
//! key of any participant, so it can do nothing else. The messages are those of
//! [`perun_protocol::remote`].
//!
//! Invariants:
//! - Only a participant itself gives orders for its channels; whoever a link's peer is has proved it.
//! - What an ack names is durable. The newest state never becomes older.
//! - No money moves for a loan that is not durable, nor beyond its device's limits.
//! - A view is of certified answers only, and never looks younger than it is.
//! - Nothing waits inside of a message's handling, and whatever a device can make grow is bounded.
//! - Locks are taken in this order: a link's, the watches, the loans, one watch's state. So nothing is
//!   sent under any of the last three.
//!
//! Or it publishes its states in a watch stream, which the service follows ([`RemoteService::follow`]).
//!
//! It runs on links of its own ([`RemoteService::start`]), or within somebody else's
//! ([`RemoteService::start_within`]), e.g. next to a [`Client`](crate::client::Client).

mod calls;
mod config;
mod funding;
mod gates;
mod links;
mod loans;
mod margins;
mod order;
pub(crate) mod records;
mod requests;
mod streams;
mod wanted;
mod watch;
mod watches;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use perun_protocol::remote::{RemoteCode, RemoteMessage};
use perun_protocol::{PublicKey, Timestamp};
use tokio::sync::Notify;
use tokio::sync::watch::Sender;
use tokio::time::sleep;

use self::gates::Gates;
use self::links::Inbound;
use self::loans::{Loan, Loans, Stage};
use self::order::{Order, Place};
use self::records::Records;
use self::requests::Refused;
use self::streams::Streams;
use self::watch::Watch;
use self::watches::Watches;
use crate::CallError;
use crate::chain::{Chain, Cursor, FollowError, Seen};
use crate::link::{Peers, Transport};
use crate::store::{Store, StoreError};
use crate::suspension::notice_suspensions;

pub use self::config::{Config, DeviceLimits, Devices};
pub use self::links::Outlet;
pub use self::streams::{Stream, StreamFiles, StreamStatus};

/// The longest message that a device has to send, in bytes: a transport need not take longer ones.
pub const MAX_MESSAGE: u32 = 16 * 1024;

/// The name under which the place in the event log is stored.
const CURSOR: &str = "cursor";

/// What a service is made of.
pub struct Parts {
    /// How it is set up.
    pub config: Config,
    /// The adjudicator, and whose account pays.
    pub chain: Chain,
    /// Where it keeps what it must not forget; for this service alone.
    pub store: Arc<dyn Store>,
    /// How devices reach it. It should take no messages longer than [`MAX_MESSAGE`].
    pub transport: Arc<dyn Transport>,
}

/// Watches and funds channels for devices, until it is stopped or dropped. What is durable then is
/// all that a new start needs.
pub struct RemoteService {
    shared: Arc<Shared>,
    /// Its own links, if they are its own.
    peers: Option<Arc<Peers>>,
}

/// Why a service does not start. Nothing was changed.
#[non_exhaustive]
#[derive(Debug)]
pub enum StartError {
    /// Deposits for anybody are asked for: fresh keys would empty the account.
    FundsForAnybody,
    /// The adjudicator does not tell its time.
    Adjudicator(CallError<Infallible>),
    /// The store cannot be read.
    Store(StoreError),
    /// A record is damaged or of an unknown format. Nothing is done for the others either, before
    /// somebody has deleted it: without it, nobody here would refute an old state.
    Record {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What all parts of a service share.
struct Shared {
    config: Config,
    chain: Chain,
    records: Records,
    outlet: OnceLock<Arc<dyn Outlet>>,
    streams: Streams,
    watches: Mutex<Watches>,
    loans: Mutex<Loans>,
    /// There may be loans to be reviewed.
    reviews: Notify,
    gates: Gates,
    /// How many claims were seen registered.
    disputes: AtomicU64,
    is_stopping: Sender<bool>,
    runtime: tokio::runtime::Handle,
}

impl RemoteService {
    /// Starts a service on links of its own: reads what is stored, looks at every channel, and does
    /// what is to be done.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts {
            config,
            chain,
            store,
            transport,
        } = parts;
        let (shared, cursor) = Shared::load(config, chain, store).await?;
        let handler = Arc::new(Inbound(Arc::downgrade(&shared)));
        let peers = Arc::new(Peers::start(transport, handler));
        shared.run(cursor, Arc::clone(&peers) as Arc<dyn Outlet>);
        let peers = Some(peers);
        Ok(Self { shared, peers })
    }

    /// Starts a service within links of somebody else, who hands on what comes in
    /// ([`RemoteService::handle`], [`RemoteService::handle_connected`]).
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_within(
        config: Config,
        chain: Chain,
        store: Arc<dyn Store>,
        outlet: Arc<dyn Outlet>,
    ) -> Result<Self, StartError> {
        let (shared, cursor) = Shared::load(config, chain, store).await?;
        shared.run(cursor, outlet);
        let peers = None;
        Ok(Self { shared, peers })
    }

    /// A message of a peer that has proved who it is. Answers are sent when they are known; nothing
    /// is waited for.
    pub fn handle(&self, peer: &PublicKey, message: RemoteMessage) {
        self.shared.handle(peer, message);
    }

    /// A peer is connected: it is told of disputes about its channels.
    pub fn handle_connected(&self, peer: &PublicKey) {
        self.shared.handle_connected(peer);
    }

    /// Whether there are dealings with a peer, so that there should always be room for it.
    pub fn knows(&self, peer: &PublicKey) -> bool {
        self.shared.knows(peer)
    }

    /// How many channels are watched that are not over.
    pub fn watched(&self) -> usize {
        let watches = self.shared.all_watches();
        watches.iter().filter(|watch| !watch.is_over()).count()
    }

    /// The devices for which channels are watched that are not over.
    pub fn devices(&self) -> BTreeSet<PublicKey> {
        let watches = self.shared.all_watches();
        let watches = watches.iter().filter(|watch| !watch.is_over());
        watches.map(|watch| watch.device).collect()
    }

    /// Waits until nothing can be stored any more, if that ever happens. Disputes go on, and questions
    /// are answered from what is durable, but nothing new is taken: start another service on the same
    /// records once the disk is well.
    pub async fn failed(&self) {
        self.shared.records.failed().await;
    }

    /// Stops: says goodbye to devices, waits until everything written is durable, and closes the
    /// store.
    ///
    /// # Errors
    /// [`StoreError`] if not everything could be made durable.
    pub async fn stop(&self) -> Result<(), StoreError> {
        if let Some(peers) = &self.peers {
            peers.shutdown().await;
        }
        self.shared.end();
        let shared = Arc::clone(&self.shared);
        let closed = tokio::task::spawn_blocking(move || shared.records.close()).await;
        closed.unwrap_or(Ok(()))
    }
}

impl Drop for RemoteService {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    async fn load(
        config: Config,
        chain: Chain,
        store: Arc<dyn Store>,
    ) -> Result<(Arc<Self>, Cursor), StartError> {
        if config.devices == Devices::Anybody && !config.limits.max_funds.is_empty() {
            return Err(StartError::FundsForAnybody);
        }
        chain.time().await.map_err(StartError::Adjudicator)?;
        let loaded = store.load().map_err(StartError::Store)?;
        let mut cursor = Cursor::START;
        let (mut orders, mut loans) = (Vec::new(), Loans::default());
        for (name, bytes) in loaded.entries {
            let damaged = |reason: &str| StartError::Record {
                name: name.clone(),
                reason: reason.to_owned(),
            };
            let bytes = bytes.map_err(|damage| damaged(&damage.to_string()))?;
            let unknown = "the format is not known";
            if name == CURSOR {
                cursor = Cursor::decode(&bytes);
            } else if name.starts_with(Place::WATCH) {
                let (order, over) = Order::decode(&bytes).ok_or_else(|| damaged(unknown))?;
                orders.push((order, over));
            } else if name.starts_with(Place::LOAN) {
                let loan = Loan::decode(&bytes).ok_or_else(|| damaged(unknown))?;
                loans.insert(loan);
            }
        }
        let shared = Arc::new(Self {
            config,
            chain,
            records: Records::new(store),
            outlet: OnceLock::new(),
            streams: Streams::default(),
            watches: Mutex::default(),
            loans: Mutex::new(loans),
            reviews: Notify::new(),
            gates: Gates::default(),
            disputes: AtomicU64::new(0),
            is_stopping: Sender::new(false),
            runtime: tokio::runtime::Handle::current(),
        });
        // Watches know the service: nothing fails from here on, or it would keep its store for ever.
        for (order, over) in orders {
            let durable = Some(order.newest.version());
            let watch = Watch::new(Arc::clone(&shared), order, over, durable);
            lock(&shared.watches).insert(watch);
        }
        Ok((shared, cursor))
    }

    /// Begins everything that goes on by itself.
    fn run(self: &Arc<Self>, cursor: Cursor, outlet: Arc<dyn Outlet>) {
        assert!(self.outlet.set(outlet).is_ok(), "a service is started once");
        let loans: Vec<_> = lock(&self.loans).all().cloned().collect();
        for loan in loans {
            if loan.stage == Stage::Paying {
                self.spawn(Arc::clone(self).lend(loan.place(), false));
            }
        }
        for watch in self.all_watches() {
            watch.touch();
        }
        self.spawn(Arc::clone(self).review_all());
        let shared = Arc::clone(self);
        self.spawn(async move { notice_suspensions(|| shared.handle_lost_time()).await });
        let shared = Arc::clone(self);
        let follower = self.chain.follower(cursor);
        let interval = self.config.poll_interval;
        self.spawn(Arc::clone(&shared).notice_old_views());
        self.spawn(async move {
            follower
                .follow(interval, |seen| shared.handle_seen(seen))
                .await;
        });
    }

    /// What the event log tells: who was touched is looked at, everybody else is as it was.
    fn handle_seen(self: &Arc<Self>, seen: Result<Seen, FollowError>) {
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => return tracing::warn!("the log cannot be followed: {error}"),
        };
        for watch in self.all_watches() {
            if seen.touched.contains(&watch.place.channel) {
                watch.handle_deed();
            } else {
                watch.handle_quiet(seen.as_of);
            }
        }
        for place in lock(&self.loans).handle_seen(&seen) {
            self.records.delete(place.name(Place::LOAN));
        }
        self.reviews.notify_one();
        self.records.put_later(CURSOR.into(), seen.cursor.encode());
    }

    /// Looks by itself where the log has told nothing for long.
    async fn notice_old_views(self: Arc<Self>) {
        loop {
            sleep(self.config.poll_interval).await;
            for watch in self.all_watches() {
                watch.look_if_old(self.config.poll_interval);
            }
        }
    }

    fn handle_lost_time(&self) {
        for watch in self.all_watches() {
            watch.handle_lost_time();
        }
    }

    fn handle_connected(&self, peer: &PublicKey) {
        let watches: Vec<_> = lock(&self.watches).of_device(peer).cloned().collect();
        for watch in watches {
            watch.handle_connected();
        }
    }

    fn knows(&self, peer: &PublicKey) -> bool {
        let is_watched_for = lock(&self.watches).of_device(peer).next().is_some();
        is_watched_for || lock(&self.loans).has(peer)
    }

    /// The watch at a place, if it is the sender's: a stranger learns of one of others as much as of
    /// none.
    fn watch_of(&self, peer: &PublicKey, place: Place) -> Option<Arc<Watch>> {
        let watches = lock(&self.watches);
        let watch = watches.of(place).filter(|watch| watch.device == *peer);
        watch.cloned()
    }

    /// A watch by an order for which there was none.
    fn add_watch(self: &Arc<Self>, order: Order) -> Result<Arc<Watch>, Refused> {
        let watch = Watch::new(Arc::clone(self), order, None, None);
        let mut watches = lock(&self.watches);
        let gone = watches.make_room(&watch.device, &self.config);
        for place in gone.map_err(|_| (RemoteCode::LimitReached, ""))? {
            self.records.delete(place.name(Place::WATCH));
        }
        watches.insert(Arc::clone(&watch));
        Ok(watch)
    }

    /// A channel that never came to be is not watched any more, unless somebody still counts on it.
    fn forget(&self, watch: &Watch) {
        let place = watch.place;
        let mut watches = lock(&self.watches);
        if lock(&self.loans).of(place).is_some() || !watch.end_if_forgotten() {
            return;
        }
        watches.remove(place);
        self.records.delete(place.name(Place::WATCH));
    }

    fn all_watches(&self) -> Vec<Arc<Watch>> {
        lock(&self.watches).all().cloned().collect()
    }

    /// The latest that it can be at the adjudicator.
    fn now(&self) -> Timestamp {
        let now = self.chain.clock().now();
        now.expect("a service starts by asking the adjudicator for its time")
    }

    fn send(&self, device: &PublicKey, message: &RemoteMessage) {
        self.streams.note(device, message);
        if let Some(outlet) = self.outlet.get() {
            outlet.send(device, &message.encode());
        }
    }

    /// Runs something beside everything else, until the service stops: what it has begun by then is
    /// found by the next start.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut is_stopping = self.is_stopping.subscribe();
        self.runtime.spawn(async move {
            tokio::select! {
                () = task => {}
                _ = is_stopping.wait_for(|is_stopping| *is_stopping) => {}
            }
        });
    }

    fn end(&self) {
        self.is_stopping.send_replace(true);
        // Watches know the service that they are of: without this it, and with it the store, would
        // be kept for as long as the process runs.
        *lock(&self.watches) = Watches::default();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for RemoteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteService").finish_non_exhaustive()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FundsForAnybody => {
                f.write_str("nothing can be deposited for anybody: devices must be named")
            }
            Self::Adjudicator(error) => write!(f, "the adjudicator does not answer: {error}"),
            Self::Store(error) => error.fmt(f),
            Self::Record { name, reason } => write!(f, "record {name}: {reason}"),
        }
    }
}

impl std::error::Error for StartError {}
