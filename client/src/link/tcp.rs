//! The transport over TCP.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use perun_link::{Credentials, Opener, Sealer, Session, empty};
use perun_protocol::PublicKey;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::timeout;

use super::noise::{credentials, shake_hands};
use super::{
    BoxFuture, Connection, Frame, FrameKind, LinkError, MessageReceiver, MessageSender, SendError,
    Traffic, Transport,
};
use crate::driver::Key;

/// So many bytes are read from a socket at once, at least.
const READ: usize = 16 * 1024;

/// How the transport over TCP is set up.
#[derive(Clone, Copy, Debug)]
pub struct TcpConfig {
    /// The longest message that is taken, in bytes.
    pub max_message: u32,
    /// How many bytes may wait for a peer that does not take them.
    pub max_queued: usize,
    /// How long connecting and shaking hands may take.
    pub handshake_within: Duration,
    /// How many handshakes of others may be under way. One more ends the oldest, so that whoever
    /// begins them and falls silent holds up nobody.
    pub max_handshakes: usize,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            max_message: 1024 * 1024,
            max_queued: 8 * 1024 * 1024,
            handshake_within: Duration::from_secs(10),
            max_handshakes: 64,
        }
    }
}

/// Connections over TCP, secured by Noise.
pub struct TcpTransport {
    endpoint: Arc<Endpoint>,
    address: SocketAddr,
    accepted: tokio::sync::Mutex<mpsc::Receiver<Connection>>,
    listening: JoinHandle<()>,
}

/// What each connection needs to begin.
struct Endpoint {
    credentials: Credentials,
    config: TcpConfig,
}

impl TcpTransport {
    /// Listens at `address` in the name of `key`; port 0 takes any free one.
    ///
    /// # Errors
    /// [`LinkError::Io`] if the address cannot be had.
    pub async fn bind(
        key: Key,
        address: impl ToSocketAddrs,
        config: TcpConfig,
    ) -> Result<Self, LinkError> {
        let endpoint = Arc::new(Endpoint {
            credentials: credentials(&*key, config.max_message)?,
            config,
        });
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(config.max_handshakes.max(1));
        let listening = tokio::spawn(listen(listener, Arc::clone(&endpoint), sender));
        Ok(Self {
            endpoint,
            address,
            accepted: tokio::sync::Mutex::new(accepted),
            listening,
        })
    }

    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }
}

impl Transport for TcpTransport {
    fn connect<'a>(
        &'a self,
        peer: PublicKey,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Connection, LinkError>> {
        Box::pin(async move {
            let connecting = async {
                let stream = TcpStream::connect(address).await?;
                self.endpoint.shake_hands(stream, Some(peer)).await
            };
            let connected = timeout(self.endpoint.config.handshake_within, connecting).await;
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
        self.endpoint.credentials.identity()
    }

    fn close(&self) {
        self.listening.abort();
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Takes connections; each shakes hands beside the others, and no stranger holds up another. Those
/// that are not done end with it.
async fn listen(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    accepted: mpsc::Sender<Connection>,
) {
    let mut handshakes = JoinSet::new();
    let mut oldest_first = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, or a connection that broke at once.
                tracing::debug!("no connection is taken: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while handshakes.try_join_next().is_some() {}
        oldest_first.retain(|handshake: &AbortHandle| !handshake.is_finished());
        if oldest_first.len() >= endpoint.config.max_handshakes
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        let (endpoint, accepted) = (Arc::clone(&endpoint), accepted.clone());
        oldest_first.push_back(handshakes.spawn(async move {
            let shaking = endpoint.shake_hands(stream, None);
            match timeout(endpoint.config.handshake_within, shaking).await {
                Ok(Ok(connection)) => {
                    let _ = accepted.send(connection).await;
                }
                Ok(Err(error)) => tracing::debug!("no handshake with a stranger: {error}"),
                Err(_) => tracing::debug!("no handshake with a stranger in time"),
            }
        }));
    }
}

impl Endpoint {
    async fn shake_hands(
        &self,
        mut stream: TcpStream,
        wanted: Option<PublicKey>,
    ) -> Result<Connection, LinkError> {
        stream.set_nodelay(true)?;
        let (session, hello) = shake_hands(&self.credentials, &mut stream, wanted).await?;
        let taken = usize::try_from(hello.max_message).unwrap_or(usize::MAX);
        let wire = Arc::new(Wire {
            stream,
            session,
            traffic: Traffic::default(),
            outgoing: Mutex::new(Outgoing {
                sealer: Sealer::new(taken),
                queue: Vec::new(),
                written: 0,
                is_closed: false,
            }),
            max_queued: self.config.max_queued,
            queued: Notify::new(),
        });
        let writing = tokio::spawn(write_queued(Arc::clone(&wire)));
        let receiver = Receiver {
            wire: Arc::clone(&wire),
            opener: Opener::new(self.config.max_message as usize, READ),
            writing,
        };
        Ok(Connection {
            peer: hello.identity,
            hello,
            sender: wire,
            receiver: Box::new(receiver),
        })
    }
}

/// A connection's socket and keys, and what waits to be written.
struct Wire {
    stream: TcpStream,
    session: Session,
    traffic: Traffic,
    outgoing: Mutex<Outgoing>,
    max_queued: usize,
    /// Something waits to be written, or the connection is to end.
    queued: Notify,
}

struct Outgoing {
    sealer: Sealer,
    /// Sealed frames, of which the first `written` bytes are gone.
    queue: Vec<u8>,
    written: usize,
    is_closed: bool,
}

impl Outgoing {
    /// Gives back the place of what is gone, once it is most of the queue: a peer that is always a
    /// little late must not make it grow for ever.
    fn forget_written(&mut self) {
        if self.written > self.queue.len() / 2 {
            self.queue.drain(..self.written);
            self.written = 0;
        }
    }
}

impl MessageSender for Wire {
    fn send(&self, kind: FrameKind, message: &[u8]) -> Result<(), SendError> {
        let mut outgoing = self.outgoing();
        if outgoing.is_closed {
            return Err(SendError::NotConnected);
        }
        let queued = outgoing.queue.len() - outgoing.written;
        if queued > self.max_queued {
            return Err(SendError::Full { queued });
        }
        let was_empty = queued == 0;
        let Outgoing { sealer, queue, .. } = &mut *outgoing;
        let before = queue.len();
        sealer.seal(&self.session, kind, message, queue)?;
        self.traffic.count_sent(queue.len() - before);
        // Whoever comes behind something that waits, waits behind it.
        if was_empty && (!self.write(&mut outgoing) || outgoing.is_closed) {
            self.queued.notify_one();
        }
        Ok(())
    }

    fn close(&self) {
        self.outgoing().is_closed = true;
        self.queued.notify_one();
    }

    fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

impl Wire {
    fn outgoing(&self) -> std::sync::MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes as much as the socket takes; whether that is everything, or nothing more can be
    /// written.
    fn write(&self, outgoing: &mut Outgoing) -> bool {
        while outgoing.written < outgoing.queue.len() {
            match self.stream.try_write(&outgoing.queue[outgoing.written..]) {
                Ok(count) => outgoing.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    outgoing.forget_written();
                    return false;
                }
                // The receiving half sees it too, and ends the connection.
                Err(_) => {
                    outgoing.is_closed = true;
                    break;
                }
            }
        }
        empty(&mut outgoing.queue);
        outgoing.written = 0;
        true
    }
}

/// Writes what waits whenever the socket takes more, until the connection is closed.
async fn write_queued(wire: Arc<Wire>) {
    let mut is_done = true;
    loop {
        tokio::select! {
            () = wire.queued.notified() => {}
            writable = wire.stream.writable(), if !is_done => if writable.is_err() {
                return;
            },
        }
        let mut outgoing = wire.outgoing();
        is_done = wire.write(&mut outgoing);
        if outgoing.is_closed {
            // Tells the peer that this is the end, and wakes our own receiving half.
            let _ = socket2::SockRef::from(&wire.stream).shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

struct Receiver {
    wire: Arc<Wire>,
    opener: Opener,
    writing: JoinHandle<()>,
}

impl MessageReceiver for Receiver {
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<'_>>, LinkError>> {
        let Self { wire, opener, .. } = self;
        loop {
            if let Some(length) = opener.whole()? {
                wire.traffic.count_received_frame();
                return Poll::Ready(Ok(Some(opener.open(&wire.session, length)?)));
            }
            match wire.stream.try_read(opener.space()) {
                Ok(0) if opener.is_in_frame() => {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
                }
                Ok(0) => return Poll::Ready(Ok(None)),
                Ok(count) => {
                    wire.traffic.count_received_bytes(count);
                    opener.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::task::ready!(wire.stream.poll_read_ready(context))?;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.wire.outgoing().is_closed = true;
        self.writing.abort();
        let _ = socket2::SockRef::from(&self.wire.stream).shutdown(std::net::Shutdown::Both);
    }
}

impl std::fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpTransport")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
