//! A replica served over HTTP, and used directly beside it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::http;
use crate::network::Node;
use crate::replica::Replica;

/// How the time of a served replica passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Clock {
    /// It follows the machine's clock, and timers run by themselves. Time moved by hand
    /// (`server.with(|replica| replica.advance(..))`) is added and stays as a lead.
    Live,
    /// It moves by hand only. Calls are still run when they come in; one that waits for time to
    /// pass is answered with "accepted", and its agent polls.
    ///
    /// Agents refuse certificates that are older than their ingress expiry (3 minutes unless set
    /// otherwise), so a test that may run longer begins with a replica whose time is ahead of the
    /// machine's clock.
    Manual,
}

/// A replica that agents can reach.
///
/// It runs on threads of its own: an async runtime that is blocked, or none at all, doesn't stop
/// it. Dropping it stops it too, but doesn't wait until it has stopped.
pub struct Server {
    node: Arc<Node>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Serves `replica` on `address`; port 0 takes any free one.
    ///
    /// Its time is moved up to the machine's clock first if it is behind, as if the subnet had
    /// stood still until now.
    ///
    /// # Errors
    /// When the address can't be listened on, or no thread can be started.
    pub async fn start(replica: Replica, address: SocketAddr, clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;

        let node = Arc::new(Node::new(replica, clock));
        let (stop, stopped) = oneshot::channel();
        let mut server = Self {
            node,
            address,
            stop: Some(stop),
            threads: Vec::new(),
        };

        let node = Arc::clone(&server.node);
        server.spawn("local-ic replica", move || {
            // A panic of the replica is a bug here. Callers learn of it by status 500.
            let driving = std::panic::AssertUnwindSafe(|| node.drive());
            if std::panic::catch_unwind(driving).is_err() {
                tracing::error!("the replica panicked and has stopped");
            }
        })?;

        let node = Arc::clone(&server.node);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        server.spawn("local-ic http", move || {
            runtime.block_on(async move {
                let listener = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "could not listen"),
                };
                tokio::select! {
                    () = http::serve(listener, node) => {}
                    // Also when the sender is dropped.
                    _ = stopped => {}
                }
            });
        })?;
        Ok(server)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where agents reach it, e.g. `http://127.0.0.1:4943`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The key that certificates are checked with, DER (133 bytes). Agents fetch it themselves
    /// (`fetch_root_key`) or are given it.
    pub fn root_key(&self) -> Vec<u8> {
        self.node.keys().root_key_der().to_vec()
    }

    /// Uses the replica directly, e.g. to install canisters, set faults or move time. Nothing else
    /// runs meanwhile, so `f` must not wait for an agent or call this again; what it leaves to run
    /// is run afterwards.
    ///
    /// # Panics
    /// If the replica or an earlier `f` panicked: its state can't be relied on then.
    pub fn with<R>(&self, f: impl FnOnce(&mut Replica) -> R) -> R {
        self.node
            .with(f)
            .expect("the replica must not have panicked before")
    }

    /// Stops serving and waits until nothing runs any more. Requests that are being answered are
    /// broken off.
    pub async fn stop(mut self) {
        self.begin_stop();
        let threads = std::mem::take(&mut self.threads);
        let waiting = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // Panics were reported where they happened.
                let _ = thread.join();
            }
        });
        let _ = waiting.await;
    }

    fn begin_stop(&mut self) {
        self.node.stop();
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_stop();
    }
}
