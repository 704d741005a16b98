//! Starting and stopping a client.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use perun_protocol::channel::{RestoreError, Setup, pending_version};
use perun_protocol::signature::Signer as _;
use perun_protocol::wire::ProposalId;
use perun_protocol::{ChannelId, PublicKey};
use tokio::sync::{Semaphore, broadcast};

use super::dispatch::Inbound;
use super::{Client, Config, Drivers, FIRST_LOOKS, Openings, Shared, lock};
use crate::CallError;
use crate::chain::{Chain, Cursor, FollowError, Seen};
use crate::driver::{Driver, Key, Machine, Timers};
use crate::events::ClientEvent;
use crate::link::{Peers, Transport};
use crate::store::{
    ClientWrite, Damage, Observer, Store, StoreError, StoredChannel, Ticket, Urgency,
};
use crate::suspension::notice_suspensions;

/// The name under which the place in the event log is stored.
const CURSOR: &str = "cursor";

/// What a client is made of.
pub struct Parts {
    /// How it is set up.
    pub config: Config,
    /// What signs: its key is the identity off chain, and the participant in every channel.
    pub key: Key,
    /// The adjudicator, and whose account pays.
    pub chain: Chain,
    /// Where it keeps what it must not forget; of this identity only.
    pub store: Arc<dyn Store>,
    /// How it reaches peers, and they it.
    pub transport: Arc<dyn Transport>,
    /// Channels whose stored records are damaged ([`StartError::Channel`]) and which are given up:
    /// nobody refutes an old state of them.
    pub leave_out: Vec<ChannelId>,
}

/// Why a client does not start. Nothing was changed.
#[non_exhaustive]
#[derive(Debug)]
pub enum StartError {
    /// The adjudicator does not tell its time.
    Adjudicator(CallError<std::convert::Infallible>),
    /// The adjudicator's id can be no adjudicator's in a channel.
    AdjudicatorId,
    /// The store cannot be read.
    Store(StoreError),
    /// A channel cannot be restored from what is stored of it. Nothing is done with the others
    /// either, before somebody has decided ([`Parts::leave_out`]): without it, nobody would refute an
    /// old state of it.
    Channel {
        /// The channel.
        id: ChannelId,
        /// What is wrong.
        error: ChannelDamage,
    },
    /// The place in the event log cannot be read.
    Cursor(Damage),
}

/// What is wrong with a stored channel.
#[derive(Debug)]
pub enum ChannelDamage {
    /// A record is damaged.
    Record(Damage),
    /// Its payments cannot be read.
    Store(StoreError),
    /// What never changes about it is missing or of an unknown format.
    Opening,
    /// Its snapshot does not restore.
    Snapshot(RestoreError),
}

/// What is stored of a channel once.
#[derive(Decode, Encode)]
#[cbor(map)]
pub(super) struct StoredOpening {
    #[n(0)]
    pub(super) setup: ByteVec,
    #[cbor(n(1), with = "key")]
    pub(super) peer: PublicKey,
    /// Where the peer was last known to be.
    #[n(2)]
    pub(super) address: Option<String>,
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(super) proposal: ProposalId,
}

/// A public key as a byte string.
mod key {
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};
    use perun_protocol::PublicKey;

    pub(super) fn encode<C, W: Write>(
        key: &PublicKey,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        encoder.bytes(key.as_bytes())?.ok()
    }

    pub(super) fn decode<C>(
        decoder: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<PublicKey, DecodeError> {
        let bytes = decoder.bytes()?.try_into().ok();
        let key = bytes.and_then(PublicKey::from_bytes);
        key.ok_or_else(|| DecodeError::message("no compressed key"))
    }
}

impl StoredOpening {
    pub(super) fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("a vector takes every byte")
    }
}

impl Client {
    /// Starts a client: restores its channels, looks at them, and connects to their peers. It signs
    /// nothing for a channel until the peer has shown how far it is.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts {
            config,
            key,
            chain,
            store,
            transport,
            leave_out,
        } = parts;
        let adjudicator = chain.adjudicator().id();
        perun_canister_api::convert::principal(adjudicator).ok_or(StartError::AdjudicatorId)?;
        let now = chain.time().await.map_err(StartError::Adjudicator)?;
        let first_request = now.nanos();
        let loaded = store.load().map_err(StartError::Store)?;
        let cursor = match loaded.entries.get(CURSOR) {
            None => Cursor::START,
            Some(Ok(bytes)) => Cursor::decode(bytes),
            Some(Err(damage)) => return Err(StartError::Cursor(*damage)),
        };
        let events = broadcast::Sender::new(config.events_kept.max(1));
        let shared = Arc::new(Shared {
            identity: key.public_key(),
            config,
            key,
            chain,
            store,
            peers: OnceLock::new(),
            timers: Timers::default(),
            drivers: RwLock::new(Drivers::default()),
            openings: Mutex::new(Openings::default()),
            events: RwLock::new(Some(events)),
            first_looks: Semaphore::new(FIRST_LOOKS),
            awaiting: Mutex::default(),
            // Not those of an earlier start.
            requests: AtomicU64::new(first_request),
            runtime: tokio::runtime::Handle::current(),
            tasks: Mutex::default(),
        });
        let mut restored = Vec::new();
        for (id, stored) in loaded.channels {
            if leave_out.contains(&id) {
                continue;
            }
            let channel = shared.restore(id, stored);
            restored.push(channel.map_err(|error| StartError::Channel { id, error })?);
        }
        // Before a peer can ask for one: it must not be told that it is unknown.
        for (driver, opening) in &restored {
            shared.register(driver, opening.proposal);
        }
        shared.run(cursor, transport);
        for (driver, opening) in restored {
            // The machine wants to see the adjudicator first.
            driver.touch();
            driver.input(|machine, now| machine.handle_timeout(now));
            if let Some(address) = opening.address {
                shared.peers().want(opening.peer, &address);
            }
        }
        Ok(Self { shared })
    }

    /// Stops: says goodbye to peers, waits until everything written is durable, and closes the
    /// store. Whoever waits for something learns that the client has stopped.
    ///
    /// # Errors
    /// [`StoreError`] if not everything could be made durable.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.peers().shutdown().await;
        for task in lock(&shared.tasks).drain(..) {
            task.abort();
        }
        for driver in shared.all_drivers() {
            driver.stop();
        }
        // Channels and proposals know the client that they are of: without this it, and with it the
        // store, would be kept for as long as the process runs.
        *shared.write_drivers() = Drivers::default();
        *shared.openings() = Openings::default();
        shared.end_events();
        let store = Arc::clone(&shared.store);
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        closed.unwrap_or(Ok(()))
    }
}

impl Shared {
    fn restore(
        self: &Arc<Self>,
        id: ChannelId,
        stored: Result<StoredChannel, Damage>,
    ) -> Result<(Arc<Driver>, StoredOpening), ChannelDamage> {
        let StoredChannel { opening, snapshot } = stored.map_err(ChannelDamage::Record)?;
        let opening: StoredOpening =
            minicbor::decode(&opening).map_err(|_| ChannelDamage::Opening)?;
        let setup = Setup::decode(&opening.setup).ok_or(ChannelDamage::Opening)?;
        if setup.initial.channel() != id {
            return Err(ChannelDamage::Opening);
        }
        let pending = pending_version(&snapshot);
        let payments = match pending {
            None => None,
            Some(version) => self.stored_payments(&id, version)?,
        };
        let machine = Machine::restore(
            setup,
            self.config.limits(),
            self.key(),
            &snapshot,
            payments.as_deref(),
        );
        let machine = machine.map_err(ChannelDamage::Snapshot)?;
        let driver = Driver::new(Arc::clone(self), opening.peer, machine, None);
        Ok((driver, opening))
    }

    pub(super) fn stored_payments(
        &self,
        id: &ChannelId,
        version: perun_protocol::Version,
    ) -> Result<Option<Vec<u8>>, ChannelDamage> {
        let page = self.store.payments(id, version, 1);
        let page = page.map_err(ChannelDamage::Store)?;
        let stored = page.into_iter().find(|stored| stored.version == version);
        let bytes = stored.map(|stored| stored.payments.map_err(ChannelDamage::Record));
        bytes.transpose()
    }

    /// Begins everything that goes on beside the channels.
    fn run(self: &Arc<Self>, cursor: Cursor, transport: Arc<dyn Transport>) {
        let handler = Arc::new(Inbound(Arc::downgrade(self)));
        let peers = Peers::start(transport, handler);
        assert!(self.peers.set(peers).is_ok(), "a client is started once");
        let observer = Arc::new(StoreObserver(Arc::downgrade(self)));
        self.store.set_observer(observer);
        let shared = Arc::clone(self);
        let timers = tokio::spawn(async move { shared.timers.run(shared.chain.clock()).await });
        let shared = Arc::clone(self);
        let noticing =
            tokio::spawn(async move { notice_suspensions(|| shared.handle_lost_time()).await });
        let shared = Arc::clone(self);
        let follower = self.chain.follower(cursor);
        let interval = self.config.poll_interval;
        let following = tokio::spawn(async move {
            follower
                .follow(interval, |seen| shared.handle_seen(seen))
                .await;
        });
        lock(&self.tasks).extend([timers, noticing, following]);
    }

    /// Time was lost: no view counts any more before all channels were looked at.
    fn handle_lost_time(&self) {
        for driver in self.all_drivers() {
            driver.input(|machine, _| machine.handle_lost_time());
            driver.touch();
        }
    }

    /// What the event log tells: who was touched is looked at, everybody else is as it was.
    fn handle_seen(self: &Arc<Self>, seen: Result<Seen, FollowError>) {
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => {
                let error = Arc::new(error);
                return self.tell(None, ClientEvent::NotFollowed { error });
            }
        };
        for driver in self.all_drivers() {
            if seen.touched.contains(&driver.id()) {
                driver.touch();
            } else {
                driver.handle_quiet(seen.as_of);
            }
        }
        self.store.write_client(ClientWrite {
            entries: vec![(CURSOR.into(), Some(seen.cursor.encode()))],
            urgency: Urgency::Later,
            ..ClientWrite::default()
        });
    }
}

/// Hears of the store's progress. It does not keep the client alive.
struct StoreObserver(std::sync::Weak<Shared>);

impl Observer for StoreObserver {
    fn durable(&self, _: Ticket) {
        if let Some(shared) = self.0.upgrade() {
            shared.release_awaiting();
        }
    }

    fn failed(&self, error: &StoreError) {
        if let Some(shared) = self.0.upgrade() {
            let error = Arc::new(error.clone());
            shared.tell(None, ClientEvent::StoreFailed { error });
            for driver in shared.all_drivers() {
                driver.give_up();
            }
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adjudicator(error) => write!(f, "the adjudicator does not answer: {error}"),
            Self::AdjudicatorId => write!(f, "the adjudicator's id can be no adjudicator's"),
            Self::Store(error) => error.fmt(f),
            Self::Channel { id, error } => write!(f, "channel {id}: {error}"),
            Self::Cursor(damage) => write!(f, "the place in the event log: {damage}"),
        }
    }
}

impl fmt::Display for ChannelDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(damage) => damage.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Opening => write!(
                f,
                "what never changes about it is missing or of an unknown format"
            ),
            Self::Snapshot(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
impl std::error::Error for ChannelDamage {}
