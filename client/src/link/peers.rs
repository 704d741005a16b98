//! Peers: one link each, made anew whenever it breaks.
//!
//! ```text
//! want(peer, address) ──> dial, with pauses that grow ──┐
//!                                                       ├─> the newest connection of a peer is its link
//! accept ──> known, or allowed by policy? ──────────────┘        │
//!                                             one task: receives, tells the handler, in order
//!                                             one more: asks whether the peer is still there
//! ```
//!
//! When both sides dial at once, both keep the connection that the side with the smaller identity has
//! dialled; otherwise each would end the other's.
//!
//! Invariant: after `connected` of a connection nothing of an older one of the same peer is told.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perun_protocol::PublicKey;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    Connection, Frame, FrameKind, Hello, LinkError, MessageReceiver, MessageSender, SendError,
    Traffic, Transport,
};

/// Two connections in opposite directions that begin within this time were dialled at once.
const AT_ONCE: Duration = Duration::from_secs(5);
/// The longest reason that a goodbye carries, in bytes.
const MAX_REASON: usize = 256;
/// Why everybody is told goodbye at the end.
const STOPPING: &str = "the client stops";

/// What becomes of what peers say.
pub trait Handler: Send + Sync + 'static {
    /// A peer is connected, by a new connection that takes the place of an older one.
    fn connected(&self, peer: &PublicKey, hello: &Hello);

    /// A peer's message, in order. Called in the task that receives: while it runs, the peer waits.
    fn message(&self, peer: &PublicKey, message: &[u8]) -> Verdict;

    /// A peer is no longer connected.
    fn disconnected(&self, peer: &PublicKey);

    /// Whether there are dealings with a peer, so that there is always room for it.
    fn knows(&self, _: &PublicKey) -> bool {
        false
    }
}

/// Whether to go on with a peer after a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Yes.
    Continue,
    /// The connection ends, for this reason, which the peer is told.
    Disconnect(String),
}

/// How links are kept.
#[derive(Clone, Copy, Debug)]
pub struct PeersConfig {
    /// The pause before the second attempt to connect; each further one doubles it.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// A connection that lived so long was a good one: the next pause is the first again.
    pub good_after: Duration,
    /// So often a peer that is silent, or that was told nothing, is asked whether it is there.
    pub ping_every: Duration,
    /// So long a silence ends the connection.
    pub dead_after: Duration,
    /// How many peers that nobody wants may be connected.
    pub max_strangers: usize,
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            good_after: Duration::from_secs(10),
            ping_every: Duration::from_secs(10),
            dead_after: Duration::from_secs(35),
            max_strangers: 256,
        }
    }
}

/// The links to all peers.
pub struct Peers {
    inner: Arc<Inner>,
    accepting: JoinHandle<()>,
}

struct Inner {
    transport: Arc<dyn Transport>,
    handler: Arc<dyn Handler>,
    config: PeersConfig,
    /// Locked before the state of a peer, and never while that is.
    peers: Mutex<HashMap<PublicKey, Arc<Peer>>>,
    /// Read with `peers` locked, so that nothing begins behind the back of a shutdown.
    is_stopping: AtomicBool,
    /// A connection has ended.
    ended: Notify,
}

/// One peer.
struct Peer {
    identity: PublicKey,
    state: Mutex<State>,
    /// Locked while the handler is told something, and never while another lock of the links is: the
    /// handler may use them.
    told: Mutex<Told>,
    /// The link has broken, or the address has changed.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Where it is to be reached; `None` if nobody wants it.
    address: Option<String>,
    dialling: Option<AbortHandle>,
    link: Option<Link>,
    /// Connections so far.
    count: u64,
    /// Connections whose task has not ended.
    running: usize,
}

/// What the handler has been told of a peer.
#[derive(Default)]
struct Told {
    /// The newest connection that it was told of. It hears nothing more of older ones.
    newest: u64,
    /// Whether that one has not ended yet.
    is_connected: bool,
}

struct Link {
    number: u64,
    we_dialled: bool,
    since: Instant,
    hello: Hello,
    sender: Arc<dyn MessageSender>,
    task: AbortHandle,
}

impl Peers {
    /// Begins to take connections, and to tell `handler` of everything.
    pub fn start(transport: Arc<dyn Transport>, handler: Arc<dyn Handler>) -> Self {
        Self::start_with(transport, handler, PeersConfig::default())
    }

    /// The same with other times and limits.
    pub fn start_with(
        transport: Arc<dyn Transport>,
        handler: Arc<dyn Handler>,
        config: PeersConfig,
    ) -> Self {
        let inner = Arc::new(Inner {
            transport,
            handler,
            config,
            peers: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            ended: Notify::new(),
        });
        let accepting = tokio::spawn(accept(Arc::clone(&inner)));
        Self { inner, accepting }
    }

    /// Keeps a link to a peer at this address from now on.
    pub fn want(&self, identity: PublicKey, address: &str) {
        let mut peers = lock(&self.inner.peers);
        if self.inner.is_stopping() {
            return;
        }
        let peer = peer(&mut peers, identity);
        let mut state = peer.state();
        drop(peers);
        state.address = Some(address.to_owned());
        if state.dialling.is_none() {
            let dialling = tokio::spawn(dial(Arc::clone(&self.inner), Arc::clone(&peer)));
            state.dialling = Some(dialling.abort_handle());
        }
        drop(state);
        peer.changed.notify_one();
    }

    /// Does not connect to a peer any more. A link that is there stays until it breaks.
    pub fn unwant(&self, identity: &PublicKey) {
        if let Some(peer) = self.inner.known(identity) {
            let mut state = peer.state();
            state.address = None;
            if let Some(dialling) = state.dialling.take() {
                dialling.abort();
            }
            drop(state);
            self.inner.forget_if_gone(identity);
        }
    }

    /// Where a peer is to be reached, if it is wanted.
    pub fn address(&self, identity: &PublicKey) -> Option<String> {
        self.inner.known(identity)?.state().address.clone()
    }

    /// Whether a peer is connected.
    pub fn is_connected(&self, identity: &PublicKey) -> bool {
        self.hello(identity).is_some()
    }

    /// What a connected peer takes.
    pub fn hello(&self, identity: &PublicKey) -> Option<Hello> {
        let peer = self.inner.known(identity)?;
        let state = peer.state();
        state.link.as_ref().map(|link| link.hello)
    }

    /// Sends a message, or queues it while the peer is slow; never waits. A peer that does not take
    /// what is queued loses its connection.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, identity: &PublicKey, message: &[u8]) -> Result<(), SendError> {
        let peer = self.inner.known(identity);
        let (sender, task) = {
            let state = peer.as_ref().map(|peer| peer.state());
            let link = state.as_ref().and_then(|state| state.link.as_ref());
            let link = link.ok_or(SendError::NotConnected)?;
            (Arc::clone(&link.sender), link.task.clone())
        };
        let sent = sender.send(FrameKind::Message, message);
        if let Err(SendError::Full { .. }) = sent {
            task.abort();
        }
        sent
    }

    /// What a link has carried: reads its counters.
    pub fn traffic<R>(&self, identity: &PublicKey, read: impl Fn(&Traffic) -> R) -> Option<R> {
        let peer = self.inner.known(identity)?;
        let state = peer.state();
        state.link.as_ref().map(|link| read(link.sender.traffic()))
    }

    /// Says goodbye to everybody and takes no connections any more. When it returns, the handler has
    /// heard the last.
    pub async fn shutdown(&self) {
        // What is accepted from now on is turned away, until the transport has no more.
        self.inner.is_stopping.store(true, Ordering::Relaxed);
        self.inner.transport.close();
        let peers: Vec<_> = lock(&self.inner.peers).drain().collect();
        for (_, peer) in &peers {
            let (dialling, link) = {
                let mut state = peer.state();
                (state.dialling.take(), state.link.take())
            };
            if let Some(dialling) = dialling {
                dialling.abort();
            }
            if let Some(link) = link {
                say_goodbye(&*link.sender, STOPPING);
                link.task.abort();
            }
        }
        for (_, peer) in &peers {
            loop {
                let mut ended = pin!(self.inner.ended.notified());
                ended.as_mut().enable();
                if peer.state().running == 0 {
                    break;
                }
                ended.await;
            }
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.inner.is_stopping.store(true, Ordering::Relaxed);
        self.accepting.abort();
        self.inner.transport.close();
        for peer in lock(&self.inner.peers).values() {
            let state = peer.state();
            let link = state.link.as_ref().map(|link| &link.task);
            for task in state.dialling.iter().chain(link) {
                task.abort();
            }
        }
    }
}

impl Inner {
    fn known(&self, identity: &PublicKey) -> Option<Arc<Peer>> {
        lock(&self.peers).get(identity).cloned()
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// A stranger's place, if there is one.
    fn has_room(&self, peers: &HashMap<PublicKey, Arc<Peer>>, identity: &PublicKey) -> bool {
        if peers.contains_key(identity) || self.handler.knows(identity) {
            return true;
        }
        let strangers = peers.values().filter(|peer| peer.state().address.is_none());
        strangers.count() < self.config.max_strangers
    }

    /// Forgets somebody whom nobody wants and who has gone. Only when his last task has ended: the
    /// next one who is called so knows nothing of what it may still want to tell.
    fn forget_if_gone(&self, identity: &PublicKey) {
        let mut peers = lock(&self.peers);
        if let Entry::Occupied(entry) = peers.entry(*identity) {
            let state = entry.get().state();
            let is_gone = state.address.is_none() && state.running == 0;
            drop(state);
            if is_gone {
                entry.remove();
            }
        }
    }

    /// Makes a new connection its peer's link, unless it gives way to one dialled at once by the
    /// other side.
    fn adopt(self: &Arc<Self>, connection: Connection, we_dialled: bool) {
        let Connection {
            peer: identity,
            hello,
            sender,
            receiver,
        } = connection;
        let mut peers = lock(&self.peers);
        if self.is_stopping() {
            return say_goodbye(&*sender, STOPPING);
        }
        if !we_dialled && !self.has_room(&peers, &identity) {
            return say_goodbye(&*sender, "too many connections");
        }
        let peer = peer(&mut peers, identity);
        let mut state = peer.state();
        drop(peers);
        if let Some(link) = &state.link {
            let were_at_once = link.we_dialled != we_dialled && link.since.elapsed() < AT_ONCE;
            if were_at_once && self.is_ours_to_keep(&peer, link.we_dialled) {
                drop(state);
                return say_goodbye(&*sender, "another connection was dialled at once");
            }
        }
        state.count += 1;
        state.running += 1;
        let number = state.count;
        let receiving = Receiving {
            inner: Arc::clone(self),
            peer: Arc::clone(&peer),
            number,
            sender: Arc::clone(&sender),
        };
        let task = tokio::spawn(receiving.run(receiver, hello));
        let older = state.link.replace(Link {
            number,
            we_dialled,
            since: Instant::now(),
            hello,
            sender,
            task: task.abort_handle(),
        });
        drop(state);
        if let Some(older) = older {
            say_goodbye(&*older.sender, "a newer connection has taken its place");
            older.task.abort();
        }
    }

    /// Of two connections that were dialled at once, whether to keep the one that we have dialled,
    /// or that the peer has.
    fn is_ours_to_keep(&self, peer: &Peer, we_dialled: bool) -> bool {
        let our_identity = self.transport.identity();
        (our_identity < peer.identity) == we_dialled
    }
}

/// The peer of this name, known or not.
fn peer(peers: &mut HashMap<PublicKey, Arc<Peer>>, identity: PublicKey) -> Arc<Peer> {
    let peer = peers.entry(identity).or_insert_with(|| {
        Arc::new(Peer {
            identity,
            state: Mutex::default(),
            told: Mutex::default(),
            changed: Notify::new(),
        })
    });
    Arc::clone(peer)
}

impl Peer {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Returns when the peer is not to be reached at this address any more.
    async fn moved_from(&self, address: &str) {
        while self.state().address.as_deref() == Some(address) {
            self.changed.notified().await;
        }
    }
}

async fn accept(inner: Arc<Inner>) {
    while let Ok(connection) = inner.transport.accept().await {
        inner.adopt(connection, false);
    }
}

/// Dials a peer whenever it is wanted and there is no link.
async fn dial(inner: Arc<Inner>, peer: Arc<Peer>) {
    let config = inner.config;
    let mut pause = config.first_pause;
    loop {
        let (address, since) = {
            let state = peer.state();
            let since = state.link.as_ref().map(|link| link.since);
            (state.address.clone(), since)
        };
        let (Some(address), None) = (address, since) else {
            peer.changed.notified().await;
            if since.is_some_and(|since| since.elapsed() >= config.good_after) {
                pause = config.first_pause;
            }
            continue;
        };
        let attempt = async {
            match inner.transport.connect(peer.identity, &address).await {
                Ok(connection) => inner.adopt(connection, true),
                Err(error) => {
                    tracing::debug!("{:?} is not reached at {address}: {error}", peer.identity);
                }
            }
            // After a connection that breaks at once there is a pause, too.
            sleep(jittered(pause)).await;
        };
        tokio::select! {
            () = attempt => pause = pause.saturating_mul(2).min(config.longest_pause),
            // Of the new address nothing bad is known.
            () = peer.moved_from(&address) => pause = config.first_pause,
        }
    }
}

/// Between half of `pause` and all of it, so that not everybody comes at once after a failure.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness everybody may come at once.
    let _ = getrandom::fill(&mut random);
    pause / 2 + pause / 512 * u32::from(random[0])
}

fn say_goodbye(sender: &dyn MessageSender, reason: &str) {
    let reason = reason.as_bytes();
    let _ = sender.send(FrameKind::Goodbye, &reason[..reason.len().min(MAX_REASON)]);
    sender.close();
}

/// One connection's receiving half. When it is dropped, the connection is over.
struct Receiving {
    inner: Arc<Inner>,
    peer: Arc<Peer>,
    number: u64,
    sender: Arc<dyn MessageSender>,
}

impl Receiving {
    async fn run(self, receiver: Box<dyn MessageReceiver>, hello: Hello) {
        {
            let mut told = lock(&self.peer.told);
            if told.newest > self.number {
                return;
            }
            if told.is_connected {
                self.inner.handler.disconnected(&self.peer.identity);
            }
            *told = Told {
                newest: self.number,
                is_connected: true,
            };
            self.inner.handler.connected(&self.peer.identity, &hello);
        }
        tokio::select! {
            ended = self.receive(receiver) => {
                if let Err(error) = ended {
                    tracing::debug!("{:?}: {error}", self.peer.identity);
                }
            }
            () = self.watch() => {
                tracing::debug!("{:?}: no sign of life", self.peer.identity);
            }
        }
    }

    async fn receive(&self, mut receiver: Box<dyn MessageReceiver>) -> Result<(), LinkError> {
        loop {
            let is_over = poll_fn(|context| {
                let frame = std::task::ready!(receiver.poll_receive(context));
                std::task::Poll::Ready(self.handle(frame))
            });
            if is_over.await? {
                return Ok(());
            }
            // A peer that has always more to say leaves room for others.
            tokio::task::consume_budget().await;
        }
    }

    /// Deals with a frame; whether the connection is over.
    fn handle(&self, frame: Result<Option<Frame<'_>>, LinkError>) -> Result<bool, LinkError> {
        let Some((kind, contents)) = frame? else {
            return Ok(true);
        };
        match kind {
            FrameKind::Message => {
                let told = lock(&self.peer.told);
                if told.newest != self.number {
                    return Ok(true);
                }
                let verdict = self.inner.handler.message(&self.peer.identity, contents);
                drop(told);
                if let Verdict::Disconnect(reason) = verdict {
                    say_goodbye(&*self.sender, &reason);
                    return Ok(true);
                }
            }
            FrameKind::Ping => return Ok(!self.say(FrameKind::Pong)),
            FrameKind::Goodbye => {
                let reason = &contents[..contents.len().min(MAX_REASON)];
                let reason = String::from_utf8_lossy(reason).into_owned();
                return Err(LinkError::Goodbye { reason });
            }
            FrameKind::Pong | FrameKind::Unknown(_) => {}
        }
        Ok(false)
    }

    /// Watches for signs of life; returns when there are none.
    async fn watch(&self) {
        let config = self.inner.config;
        let traffic = self.sender.traffic();
        let mut ticks = interval(config.ping_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let (mut received, mut sent) = (0, 0);
        let mut heard = Instant::now();
        loop {
            ticks.tick().await;
            // Bytes, not frames: a long one may take its time.
            let now_received = traffic.received_bytes.load(Ordering::Relaxed);
            let has_heard = now_received != std::mem::replace(&mut received, now_received);
            if has_heard {
                heard = Instant::now();
            } else if heard.elapsed() >= config.dead_after {
                return;
            }
            // Whoever only listens says something, too: the other side's question may come late,
            // behind all that it has to say.
            let has_spoken = traffic.sent_frames.load(Ordering::Relaxed) != sent;
            if !(has_heard && has_spoken || self.say(FrameKind::Ping)) {
                return;
            }
            sent = traffic.sent_frames.load(Ordering::Relaxed);
        }
    }

    /// Sends a frame without contents; whether the peer takes what is sent.
    fn say(&self, kind: FrameKind) -> bool {
        !matches!(self.sender.send(kind, &[]), Err(SendError::Full { .. }))
    }
}

/// However a connection ends, even if its task never ran, those who know of it learn that.
impl Drop for Receiving {
    fn drop(&mut self) {
        let Self {
            inner,
            peer,
            number,
            sender,
        } = self;
        sender.close();
        {
            let mut state = peer.state();
            if let Some(link) = &state.link
                && link.number == *number
            {
                state.link = None;
            }
        }
        {
            let mut told = lock(&peer.told);
            if told.newest == *number && std::mem::take(&mut told.is_connected) {
                inner.handler.disconnected(&peer.identity);
            }
        }
        peer.state().running -= 1;
        peer.changed.notify_one();
        inner.forget_if_gone(&peer.identity);
        inner.ended.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = lock(&self.inner.peers).len();
        f.debug_struct("Peers")
            .field("known", &count)
            .finish_non_exhaustive()
    }
}
