//! A watcher for others: it is given signed states and nothing else, and refutes by them what is older.
//!
//! ```text
//!  owners ──watch(params, state)──> Watcher ──> records (durable)
//!     ^                               │ one task a channel
//!     └── Sightings <── looks, log ───┼──> dispute, conclude ──> Chain
//! ```
//!
//! It holds no key and no authorisation of any participant: it cannot pay out, only see to it that
//! what is paid out is by the newest state that it was given. Payouts are left to the participants.
//! For devices, which want those too, there is [`crate::remote`].
//!
//! Invariants:
//! - The newest state of a channel never becomes older, and two states of one version are never both
//!   taken.
//! - What [`Watcher::watch`] has answered for is durable.
//! - Whoever begins to listen learns at once what was seen last.

mod error;
mod glance;
mod order;
mod sightings;
mod task;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perun_canister_api::convert;
use perun_protocol::{ChannelId, Params, SignedState, Timestamp};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{AbortHandle, JoinHandle};

use self::glance::Glance;
use self::order::Order;
use crate::chain::{Chain, Cursor, FollowError, Seen};
use crate::remote::records::Records;
use crate::store::{Store, StoreError, Ticket};
use crate::suspension::notice_suspensions;

pub use self::error::{StartError, WatchError};
pub use self::sightings::{Sighting, Sightings};

/// The name under which the place in the event log is stored.
const CURSOR: &str = "cursor";
/// How many looks may be under way: at a start, every channel is looked at.
const LOOKS: usize = 16;

/// How a watcher is set up.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How often the adjudicator's event log is read.
    pub poll_interval: Duration,
    /// How many channels are watched for all owners together.
    pub max_watches: usize,
    /// How many for one owner.
    pub max_watches_per_owner: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(15),
            max_watches: 10_000,
            max_watches_per_owner: 1_000,
        }
    }
}

/// Watches channels until it is stopped or dropped.
pub struct Watcher {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    config: Config,
    chain: Chain,
    records: Records,
    watches: Mutex<HashMap<ChannelId, Entry>>,
    looks: Semaphore,
    /// What happened before this was told by the log.
    as_of: watch::Sender<Timestamp>,
    /// How many claims were seen registered.
    disputes: AtomicU64,
    runtime: tokio::runtime::Handle,
}

/// A watched channel, and what ends its task.
struct Entry {
    watched: Arc<Watched>,
    task: AbortHandle,
}

struct Watched {
    params: Params,
    order: Mutex<Order>,
    glance: Mutex<Glance>,
    seen: watch::Sender<Option<Sighting>>,
    /// Something has happened, or there is a newer state.
    news: Notify,
}

impl Watcher {
    /// Starts a watcher: reads what is stored, and looks at every channel. `store` is for this watcher
    /// alone; calls to the adjudicator are made in the name of the chain's agent, who needs no money.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        config: Config,
        chain: Chain,
        store: Arc<dyn Store>,
    ) -> Result<Self, StartError> {
        let now = chain.time().await.map_err(StartError::Adjudicator)?;
        let loaded = store.load().map_err(StartError::Store)?;
        let mut cursor = Cursor::START;
        let mut orders = Vec::new();
        for (name, bytes) in loaded.entries {
            let damaged = |reason: String| StartError::Record {
                name: name.clone(),
                reason,
            };
            let bytes = bytes.map_err(|damage| damaged(damage.to_string()))?;
            if name == CURSOR {
                cursor = Cursor::decode(&bytes);
                continue;
            }
            let order = Order::decode(&bytes);
            orders.push(order.ok_or_else(|| damaged("the format is not known".to_owned()))?);
        }
        let shared = Arc::new(Shared {
            config,
            chain,
            records: Records::new(store),
            watches: Mutex::default(),
            looks: Semaphore::new(LOOKS),
            as_of: watch::Sender::new(now),
            disputes: AtomicU64::new(0),
            runtime: tokio::runtime::Handle::current(),
        });
        let follower = shared.chain.follower(cursor);
        for (params, order) in orders {
            shared.begin(&mut shared.lock(), params, order);
        }
        let following = Arc::clone(&shared);
        let noticing = Arc::clone(&shared);
        let tasks = vec![
            tokio::spawn(async move {
                let sink = |seen| following.handle_seen(seen);
                follower.follow(config.poll_interval, sink).await;
            }),
            tokio::spawn(async move {
                notice_suspensions(|| noticing.wake(|_| true)).await;
            }),
        ];
        Ok(Self { shared, tasks })
    }

    /// Watches a channel for `owner` from now on, by this state if it is the newest, and answers when
    /// that is durable. An older state changes nothing.
    ///
    /// # Errors
    /// [`WatchError`].
    pub async fn watch(
        &self,
        owner: &str,
        params: &Params,
        newest: SignedState,
    ) -> Result<Sightings, WatchError> {
        let shared = &self.shared;
        if newest.channel() != params.id() {
            return Err(WatchError::WrongChannel);
        }
        let adjudicator = convert::principal(shared.chain.adjudicator().id());
        if Some(params.adjudicator()) != adjudicator {
            return Err(WatchError::WrongAdjudicator);
        }
        let (ticket, sightings) = shared.take(owner, params, newest)?;
        let stored = shared.records.durable(ticket).await;
        stored.map_err(|_| WatchError::NotStored)?;
        Ok(sightings)
    }

    /// What is seen of a channel that is watched for `owner`.
    pub fn sightings(&self, owner: &str, channel: &ChannelId) -> Option<Sightings> {
        let watches = self.shared.lock();
        let watched = &watches.get(channel)?.watched;
        let is_theirs = watched.order().owners.contains(owner);
        is_theirs.then(|| watched.sightings())
    }

    /// Stops watching a channel for `owner`; for others it goes on. `false` if it was not watched for
    /// him. Answers when it is durable.
    ///
    /// # Errors
    /// [`WatchError::NotStored`].
    pub async fn stop_watching(
        &self,
        owner: &str,
        channel: &ChannelId,
    ) -> Result<bool, WatchError> {
        let Some(ticket) = self.shared.release(owner, channel) else {
            return Ok(false);
        };
        let stored = self.shared.records.durable(ticket).await;
        stored.map_err(|_| WatchError::NotStored)?;
        Ok(true)
    }

    /// How many channels are watched.
    pub fn watched(&self) -> usize {
        self.shared.lock().len()
    }

    /// Stops: what was given is watched again after the next start.
    ///
    /// # Errors
    /// [`StoreError`] if not everything could be made durable.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.end();
        let shared = Arc::clone(&self.shared);
        let closed = tokio::task::spawn_blocking(move || shared.records.close()).await;
        closed.unwrap_or(Ok(()))
    }

    fn end(&self) {
        for task in &self.tasks {
            task.abort();
        }
        for (_, entry) in self.shared.lock().drain() {
            entry.task.abort();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// Takes a state in, and gives the write that has to be durable.
    fn take(
        self: &Arc<Self>,
        owner: &str,
        params: &Params,
        newest: SignedState,
    ) -> Result<(Ticket, Sightings), WatchError> {
        let id = params.id();
        let mut watches = self.lock();
        let of_owner = |entry: &Entry| entry.watched.order().owners.contains(owner);
        let is_theirs = watches.get(&id).is_some_and(of_owner);
        if !is_theirs {
            let theirs = watches.values().filter(|entry| of_owner(entry)).count();
            let is_full = watches.len() >= self.config.max_watches && !watches.contains_key(&id);
            if is_full || theirs >= self.config.max_watches_per_owner {
                return Err(WatchError::LimitReached);
            }
        }
        let Some(entry) = watches.get(&id) else {
            let order = Order {
                newest,
                owners: BTreeSet::from([owner.to_owned()]),
                written: Ticket::NONE,
            };
            let watched = self.begin(&mut watches, params.clone(), order);
            let ticket = self.write(&watched, &mut watched.order());
            return Ok((ticket, watched.sightings()));
        };
        let watched = &entry.watched;
        let mut order = watched.order();
        let is_newer = order.check(&newest)?;
        let is_new_owner = order.owners.insert(owner.to_owned());
        if is_newer {
            order.newest = newest;
        }
        if is_newer || is_new_owner {
            self.write(watched, &mut order);
            watched.news.notify_one();
        }
        // Also of a state that was handed in before and is not durable yet.
        Ok((order.written, watched.sightings()))
    }

    /// Begins to watch.
    fn begin(
        self: &Arc<Self>,
        watches: &mut HashMap<ChannelId, Entry>,
        params: Params,
        order: Order,
    ) -> Arc<Watched> {
        let id = params.id();
        let watched = Arc::new(Watched {
            params,
            order: Mutex::new(order),
            glance: Mutex::new(Glance::none(self.now())),
            seen: watch::Sender::new(None),
            news: Notify::new(),
        });
        let running = Arc::clone(self).run(Arc::clone(&watched));
        let task = self.runtime.spawn(running).abort_handle();
        let entry = Entry {
            watched: Arc::clone(&watched),
            task,
        };
        watches.insert(id, entry);
        watched
    }

    fn release(&self, owner: &str, channel: &ChannelId) -> Option<Ticket> {
        let mut watches = self.lock();
        let watched = Arc::clone(&watches.get(channel)?.watched);
        let mut order = watched.order();
        if !order.owners.remove(owner) {
            return None;
        }
        if !order.owners.is_empty() {
            return Some(self.write(&watched, &mut order));
        }
        if let Some(entry) = watches.remove(channel) {
            entry.task.abort();
        }
        Some(self.records.delete(name(channel)))
    }

    /// The channel is over: nothing is left to be done, ever.
    fn finish(&self, watched: &Watched) {
        let id = watched.params.id();
        self.lock().remove(&id);
        self.records.delete(name(&id));
    }

    fn write(&self, watched: &Watched, order: &mut Order) -> Ticket {
        let record = order.encode(&watched.params);
        order.written = self.records.put(name(&watched.params.id()), record);
        order.written
    }

    /// What the event log tells: who was touched is looked at, everybody else is as it was.
    fn handle_seen(&self, seen: Result<Seen, FollowError>) {
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => return tracing::warn!("the log cannot be followed: {error}"),
        };
        self.wake(|channel| seen.touched.contains(channel));
        self.as_of
            .send_modify(|as_of| *as_of = seen.as_of.max(*as_of));
        self.records.put_later(CURSOR.into(), seen.cursor.encode());
    }

    fn wake(&self, which: impl Fn(&ChannelId) -> bool) {
        for (channel, entry) in self.lock().iter() {
            if which(channel) {
                entry.watched.glance().touch();
                entry.watched.news.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelId, Entry>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// Never before the lock of all watches is asked for.
    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(channel: &ChannelId) -> String {
    format!("watch/{channel}")
}
