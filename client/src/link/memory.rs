//! A transport in memory, with faults: for tests of whoever stands on links, applications too.
//!
//! ```text
//!   MemoryTransport ──┐             ┌── MemoryTransport
//!   MemoryTransport ──┴── Network ──┴── MemoryTransport
//!                            │
//!         faults of each direction: by chance (Faults), and by hand (cut, refuse, partition)
//! ```
//!
//! A connection promises its messages in their order or not at all. Here it keeps the promise only
//! without faults: with them it loses, repeats and swaps messages and goes on, which is worse than
//! any real network under an authenticated stream. Whoever lives with that lives with anything.
//!
//! Chance comes from a seed. What becomes of the nth frame from one identity to another depends on
//! the seed, on the two and on n alone, and not on how tasks are scheduled. All times are tokio's, so
//! a paused clock works.
//!
//! ```
//! # use std::time::Duration;
//! # use perun_client::link::Transport as _;
//! # use perun_client::link::memory::{Faults, Network};
//! # use perun_protocol::{SecretKey, Signer as _};
//! # fn key(byte: u8) -> perun_protocol::PublicKey {
//! #     SecretKey::from_bytes(&[byte; 32]).unwrap().public_key()
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let (alice, bob) = (key(1), key(2));
//! let network = Network::new(42);
//! network.set_faults(Faults {
//!     drop: 0.1,
//!     delay: Duration::ZERO..=Duration::from_millis(20),
//!     ..Faults::NONE
//! });
//! let (from, to) = (network.attach(alice, "alice"), network.attach(bob, "bob"));
//! let (dialled, accepted) = tokio::join!(from.connect(bob, "bob"), to.accept());
//! assert_eq!(dialled.unwrap().peer, bob);
//! assert_eq!(accepted.unwrap().peer, alice);
//! # }
//! ```

mod faults;
mod wire;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use perun_protocol::PublicKey;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use self::faults::{Direction, Fate};
use self::wire::Wire;
use super::{BoxFuture, Connection, Hello, LinkError, Transport};

pub use self::faults::{FaultCounts, Faults};

/// How many connections may wait to be accepted.
const BACKLOG: usize = 64;

/// How a transport in memory is set up.
#[derive(Clone, Copy, Debug)]
pub struct MemoryConfig {
    /// The longest message that is taken, in bytes.
    pub max_message: u32,
    /// How many bytes may wait for a peer that does not take them.
    pub max_queued: usize,
    /// How long connecting may take.
    pub connect_within: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            max_message: 1024 * 1024,
            max_queued: 8 * 1024 * 1024,
            connect_within: Duration::from_secs(10),
        }
    }
}

/// A network to which any number of transports attach. Cheap to clone; clones are the same network.
#[derive(Clone)]
pub struct Network {
    state: Arc<Mutex<State>>,
}

struct State {
    seed: u64,
    faults: Faults,
    directions: HashMap<(PublicKey, PublicKey), Direction>,
    endpoints: HashMap<String, Endpoint>,
    /// Attachments so far.
    count: u64,
    refusing: HashSet<PublicKey>,
    wires: Vec<Weak<Wire>>,
    counts: FaultCounts,
}

/// Who is reached at an address.
struct Endpoint {
    number: u64,
    identity: PublicKey,
    config: MemoryConfig,
    backlog: mpsc::Sender<Connection>,
}

/// One identity's way into a [`Network`].
pub struct MemoryTransport {
    network: Network,
    number: u64,
    identity: PublicKey,
    address: String,
    config: MemoryConfig,
    accepted: tokio::sync::Mutex<mpsc::Receiver<Connection>>,
}

impl Network {
    /// A network without faults whose chance comes from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State {
            seed,
            faults: Faults::NONE,
            directions: HashMap::new(),
            endpoints: HashMap::new(),
            count: 0,
            refusing: HashSet::new(),
            wires: Vec::new(),
            counts: FaultCounts::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A transport of `identity` that is reached at `address`, in the place of whoever was before.
    pub fn attach(&self, identity: PublicKey, address: &str) -> MemoryTransport {
        self.attach_with(identity, address, MemoryConfig::default())
    }

    /// The same with other limits.
    pub fn attach_with(
        &self,
        identity: PublicKey,
        address: &str,
        config: MemoryConfig,
    ) -> MemoryTransport {
        let (backlog, accepted) = mpsc::channel(BACKLOG);
        let mut state = self.state();
        state.count += 1;
        let number = state.count;
        let endpoint = Endpoint {
            number,
            identity,
            config,
            backlog,
        };
        state.endpoints.insert(address.to_owned(), endpoint);
        MemoryTransport {
            network: self.clone(),
            number,
            identity,
            address: address.to_owned(),
            config,
            accepted: tokio::sync::Mutex::new(accepted),
        }
    }

    /// The faults of every direction from now on, in the place of all that were set before.
    pub fn set_faults(&self, faults: Faults) {
        let mut state = self.state();
        for direction in state.directions.values_mut() {
            direction.faults = None;
        }
        state.faults = faults;
    }

    /// The faults of what `from` sends to `to`.
    pub fn set_faults_from(&self, from: PublicKey, to: PublicKey, faults: Faults) {
        self.state().direction(from, to).faults = Some(faults);
    }

    /// Cuts every connection between the two; what was on its way is lost. How many there were.
    pub fn cut(&self, one: &PublicKey, other: &PublicKey) -> usize {
        self.cut_where(|wire| wire.is_between(one, other))
    }

    /// Cuts every connection.
    pub fn cut_all(&self) -> usize {
        self.cut_where(|_| true)
    }

    fn cut_where(&self, is_meant: impl Fn(&Wire) -> bool) -> usize {
        let wires: Vec<_> = {
            let mut state = self.state();
            state.wires.retain(|wire| wire.strong_count() > 0);
            state.wires.iter().filter_map(Weak::upgrade).collect()
        };
        // Without the lock: cutting wakes, and whoever wakes may send.
        let cut = wires.iter().filter(|wire| is_meant(wire) && wire.cut());
        let count = cut.count();
        self.state().counts.cut += count as u64;
        count
    }

    /// Whether `identity` refuses connections. Those that are there stay.
    pub fn set_refusing(&self, identity: PublicKey, refuses: bool) {
        let refusing = &mut self.state().refusing;
        if refuses {
            refusing.insert(identity);
        } else {
            refusing.remove(&identity);
        }
    }

    /// From now on nothing comes through between the two, and nobody tells them: connections stay and
    /// swallow what is sent, new ones are awaited in vain.
    pub fn partition(&self, one: PublicKey, other: PublicKey) {
        self.set_partition(one, other, true);
    }

    /// Ends a partition. What it swallowed stays lost.
    pub fn heal(&self, one: PublicKey, other: PublicKey) {
        self.set_partition(one, other, false);
    }

    fn set_partition(&self, one: PublicKey, other: PublicKey, is_partitioned: bool) {
        let mut state = self.state();
        state.direction(one, other).is_partitioned = is_partitioned;
        state.direction(other, one).is_partitioned = is_partitioned;
    }

    /// What faults have done so far.
    pub fn fault_counts(&self) -> FaultCounts {
        self.state().counts
    }

    /// What becomes of the next frame from one to another.
    fn fate(&self, from: PublicKey, to: PublicKey) -> Fate {
        let mut state = self.state();
        let everywhere = state.faults.clone();
        let fate = state.direction(from, to).fate(&everywhere);
        state.counts.add(&fate);
        fate
    }

    /// How long it takes to connect, there and back; `None` for ever.
    fn connecting_time(&self, from: PublicKey, to: PublicKey) -> Option<Duration> {
        let mut state = self.state();
        let everywhere = state.faults.clone();
        let there = state.direction(from, to).connecting_time(&everywhere)?;
        let back = state.direction(to, from).connecting_time(&everywhere)?;
        Some(there + back)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn direction(&mut self, from: PublicKey, to: PublicKey) -> &mut Direction {
        let seed = self.seed;
        let direction = self.directions.entry((from, to));
        direction.or_insert_with(|| Direction::new(seed, &from, &to))
    }
}

impl MemoryTransport {
    fn dial(&self, peer: PublicKey, address: &str) -> Result<Connection, LinkError> {
        let mut state = self.network.state();
        let endpoint = state.endpoints.get(address);
        let endpoint = endpoint.filter(|endpoint| !state.refusing.contains(&endpoint.identity));
        let Some(endpoint) = endpoint else {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        };
        let found = endpoint.identity;
        if found == self.identity {
            return Err(LinkError::Ourselves);
        }
        if found != peer {
            return Err(LinkError::WrongPeer {
                wanted: Box::new(peer),
                found: Box::new(found),
            });
        }
        let [ours, theirs] = [self.config, endpoint.config];
        let network = self.network.clone();
        let wire = Wire::new(network, [(self.identity, ours), (found, theirs)]);
        let hello = |identity, config: MemoryConfig| Hello {
            identity,
            max_message: config.max_message,
        };
        let accepted = wire.connection(1, hello(self.identity, ours));
        let queued = endpoint.backlog.try_send(accepted);
        if let Err(unwanted) = queued {
            drop(state);
            // It ends the wire when it is dropped.
            drop(unwanted);
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
        }
        state.wires.retain(|wire| wire.strong_count() > 0);
        state.wires.push(Arc::downgrade(&wire));
        Ok(wire.connection(0, hello(found, theirs)))
    }

    fn leave(&self) {
        let endpoint = {
            let mut state = self.network.state();
            let is_ours = state
                .endpoints
                .get(&self.address)
                .is_some_and(|endpoint| endpoint.number == self.number);
            is_ours
                .then(|| state.endpoints.remove(&self.address))
                .flatten()
        };
        drop(endpoint);
    }
}

impl Transport for MemoryTransport {
    fn connect<'a>(
        &'a self,
        peer: PublicKey,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Connection, LinkError>> {
        Box::pin(async move {
            let connecting = async {
                match self.network.connecting_time(self.identity, peer) {
                    Some(time) => sleep(time).await,
                    None => std::future::pending().await,
                }
                self.dial(peer, address)
            };
            let connected = timeout(self.config.connect_within, connecting).await;
            connected.unwrap_or(Err(LinkError::TimedOut))
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Connection, LinkError>> {
        Box::pin(async {
            let connection = self.accepted.lock().await.recv().await;
            connection.ok_or(LinkError::Closed)
        })
    }

    fn identity(&self) -> PublicKey {
        self.identity
    }

    fn close(&self) {
        self.leave();
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.leave();
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("seed", &self.state().seed)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryTransport")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
