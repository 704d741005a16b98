//! Somebody who dies before the n-th thing that leaves him: a durable write, or a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use perun_client::link::{
    BoxFuture, Connection, FrameKind, LinkError, MessageSender, SendError, Traffic, Transport,
};
use perun_client::store::{
    ClientWrite, Damage, Loaded, MemoryStore, Observer, Store, StoreError, StoredChannel,
    StoredPayments, Ticket, Urgency, Write,
};
use perun_protocol::{ChannelId, PublicKey, Version};
use tokio::sync::Notify;

/// When somebody dies.
pub struct Death {
    left: AtomicU64,
    is_dead: AtomicBool,
    told: Notify,
}

impl Death {
    /// After so many things have left.
    pub fn after(count: u64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU64::new(count),
            is_dead: AtomicBool::new(false),
            told: Notify::new(),
        })
    }

    pub fn never() -> Arc<Self> {
        Self::after(u64::MAX)
    }

    /// Whether the next thing still leaves.
    fn lives(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        if left.is_ok() {
            return true;
        }
        self.is_dead.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
        false
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// Waits until somebody has died.
    pub async fn came(&self) {
        loop {
            let told = self.told.notified();
            if self.is_dead() {
                return;
            }
            told.await;
        }
    }
}

/// A store of somebody who dies.
pub struct FragileStore {
    inner: MemoryStore,
    death: Arc<Death>,
    /// What nobody waits for is lost, unless something that somebody waits for follows it.
    is_lazy: bool,
}

impl FragileStore {
    pub fn new(inner: MemoryStore, death: Arc<Death>, is_lazy: bool) -> Self {
        Self {
            inner,
            death,
            is_lazy,
        }
    }

    /// What death leaves.
    pub fn legacy(&self) -> MemoryStore {
        self.inner.durable_copy()
    }

    fn settle(&self, urgency: Urgency, ticket: Ticket, lives: bool) -> Ticket {
        if lives && (urgency == Urgency::Now || !self.is_lazy) {
            self.inner.release();
        }
        ticket
    }
}

impl Store for FragileStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }

    fn write(&self, write: Write) -> Ticket {
        let (lives, urgency) = (self.death.lives(), write.urgency);
        self.settle(urgency, self.inner.write(write), lives)
    }

    fn write_client(&self, write: ClientWrite) -> Ticket {
        let (lives, urgency) = (!self.death.is_dead(), write.urgency);
        self.settle(urgency, self.inner.write_client(write), lives)
    }

    fn durable(&self) -> Ticket {
        self.inner.durable()
    }

    fn set_observer(&self, _: Arc<dyn Observer>) {
        // Whatever is waited for is durable when the write returns, or never.
    }

    fn backlog(&self) -> usize {
        self.inner.backlog()
    }

    fn payments(
        &self,
        channel: &ChannelId,
        from: Version,
        limit: usize,
    ) -> Result<Vec<StoredPayments>, StoreError> {
        self.inner.payments(channel, from, limit)
    }

    fn archived(
        &self,
        after: Option<&ChannelId>,
        limit: usize,
    ) -> Result<Vec<(ChannelId, Result<StoredChannel, Damage>)>, StoreError> {
        self.inner.archived(after, limit)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

/// A transport of somebody who dies.
pub struct FragileTransport {
    pub inner: Arc<dyn Transport>,
    pub death: Arc<Death>,
}

impl FragileTransport {
    fn wrap(&self, connection: Connection) -> Connection {
        let Connection { sender, .. } = connection;
        let death = Arc::clone(&self.death);
        Connection {
            sender: Arc::new(FragileSender { sender, death }),
            ..connection
        }
    }
}

impl Transport for FragileTransport {
    fn connect<'a>(
        &'a self,
        peer: PublicKey,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Connection, LinkError>> {
        Box::pin(async move {
            let connection = self.inner.connect(peer, address).await?;
            Ok(self.wrap(connection))
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Connection, LinkError>> {
        Box::pin(async move { Ok(self.wrap(self.inner.accept().await?)) })
    }

    fn identity(&self) -> PublicKey {
        self.inner.identity()
    }

    fn close(&self) {
        self.inner.close();
    }
}

struct FragileSender {
    sender: Arc<dyn MessageSender>,
    death: Arc<Death>,
}

impl MessageSender for FragileSender {
    fn send(&self, kind: FrameKind, message: &[u8]) -> Result<(), SendError> {
        let lives = match kind {
            FrameKind::Message => self.death.lives(),
            _ => !self.death.is_dead(),
        };
        if !lives {
            return Err(SendError::NotConnected);
        }
        self.sender.send(kind, message)
    }

    fn close(&self) {
        self.sender.close();
    }

    fn traffic(&self) -> &Traffic {
        self.sender.traffic()
    }
}
