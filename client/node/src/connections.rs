//! Connections that are taken in: so many at once, and none that says nothing.
//!
//! ```text
//!  backlog ──accept, if there is a place──> Connection ──closed, or silent for too long──> its place is free
//! ```
//!
//! Whoever comes while all places are taken waits in the backlog of the operating system, and is refused
//! there when that is full. A place is given back at once when a connection ends. One that says nothing
//! ends by itself: a caller's library answers the pings of HTTP/2, so only who is gone, or never was a
//! caller, is silent.

use std::convert::Infallible;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How many connections a listener has at once. Each can carry thousands of calls.
pub(crate) const CONNECTIONS: usize = 4096;
/// How long a connection has for its first bytes, and for the whole of a TLS handshake.
pub(crate) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How often a server pings its callers, and how long they have to answer.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a connection may say nothing afterwards: it answers pings.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// The pause after a connection could not be taken in: there are too many open files.
const PAUSE: Duration = Duration::from_millis(250);

/// A listener that has only so many connections at once.
pub(crate) struct Connections {
    listener: TcpListener,
    places: Arc<Semaphore>,
    silence: Silence,
}

/// How long a connection may say nothing.
#[derive(Clone, Copy, Debug)]
struct Silence {
    first: Duration,
    later: Duration,
}

/// A connection that has a place.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    silence: Silence,
    /// Until when it may say nothing.
    silent_until: Instant,
    /// Ends when it might be that late.
    alarm: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connections {
    /// At most so many of this listener.
    pub(crate) fn of(listener: TcpListener, most: usize) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(most)),
            silence: Silence {
                first: HANDSHAKE_WITHIN,
                later: SILENT_FOR,
            },
        }
    }

    async fn next(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("it is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    return (Connection::new(stream, self.silence, place), address);
                }
                Err(error) => {
                    tracing::warn!("a connection cannot be taken in: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// All of them as they come, for `tonic`.
    pub(crate) fn stream(self) -> impl Stream<Item = Result<Connection, Infallible>> {
        futures::stream::unfold(self, async |mut connections| {
            let (connection, _) = connections.next().await;
            Some((Ok(connection), connections))
        })
    }
}

impl axum::serve::Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        self.next().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connection {
    fn new(stream: TcpStream, silence: Silence, place: OwnedSemaphorePermit) -> Self {
        // Answers are small and waited for. Without it they are only later.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            silence,
            silent_until: Instant::now() + silence.first,
            alarm: Box::pin(sleep(silence.first)),
            _place: place,
        }
    }

    /// Ends when nothing was read for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if Instant::now() >= self.silent_until {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(self.silent_until);
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            this.silent_until = Instant::now() + this.silence.later;
            return Poll::Ready(read);
        }
        this.poll_silence(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
