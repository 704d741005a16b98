//! Links over TCP and in memory, with peers that keep to the protocol and peers that do not.

mod frames;
mod handshake;
mod heartbeat;
mod memory;
mod peers;
mod raw;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use perun_client::link::memory::{MemoryTransport, Network};
use perun_client::link::{
    Connection, FrameKind, Handler, Hello, LinkError, MessageReceiver, TcpConfig, TcpTransport,
    Transport as _, Verdict,
};
use perun_protocol::PublicKey;
use perun_protocol::signature::{Libsecp256k1Key, Signer as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(20);

fn key(number: u8) -> Arc<Libsecp256k1Key> {
    Arc::new(Libsecp256k1Key::from_bytes(&[10 + number; 32]).unwrap())
}

fn identity(number: u8) -> PublicKey {
    key(number).public_key()
}

/// The two of these numbers, of whom the first has the smaller identity.
fn ordered(one: u8, other: u8) -> [u8; 2] {
    match identity(one) < identity(other) {
        true => [one, other],
        false => [other, one],
    }
}

async fn tcp(number: u8) -> TcpTransport {
    tcp_with(number, TcpConfig::default()).await
}

async fn tcp_with(number: u8, config: TcpConfig) -> TcpTransport {
    let bound = TcpTransport::bind(key(number), ("127.0.0.1", 0), config).await;
    bound.unwrap()
}

fn memory(network: &Network, number: u8) -> MemoryTransport {
    network.attach(identity(number), &format!("{number}"))
}

/// Both ends of a connection that `one` dials.
async fn tcp_connected(one: &TcpTransport, other: &TcpTransport) -> [Connection; 2] {
    let address = other.local_address().to_string();
    let dialling = one.connect(other.identity(), &address);
    let (dialled, accepted) = tokio::join!(dialling, other.accept());
    [dialled.unwrap(), accepted.unwrap()]
}

/// The next frame.
async fn next(
    receiver: &mut Box<dyn MessageReceiver>,
) -> Result<Option<(FrameKind, Vec<u8>)>, LinkError> {
    let frame = poll_fn(|context| {
        let polled = receiver.poll_receive(context);
        polled.map_ok(|frame| frame.map(|(kind, message)| (kind, message.to_vec())))
    });
    timeout(LONG, frame).await.expect("a frame, or an end")
}

/// What a handler was told.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Heard {
    Connected(PublicKey),
    Message(PublicKey, Vec<u8>),
    Disconnected(PublicKey),
}

/// Tells a channel everything but a flood, which is counted, and goes on.
struct Ear {
    ears: mpsc::UnboundedSender<Heard>,
    flooded: AtomicU64,
}

type Ears = mpsc::UnboundedReceiver<Heard>;

fn ear() -> (Arc<Ear>, Ears) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let ear = Ear {
        ears: sender,
        flooded: AtomicU64::new(0),
    };
    (Arc::new(ear), receiver)
}

impl Handler for Ear {
    fn connected(&self, peer: &PublicKey, _: &Hello) {
        let _ = self.ears.send(Heard::Connected(*peer));
    }

    fn message(&self, peer: &PublicKey, message: &[u8]) -> Verdict {
        if message == b"flood" {
            self.flooded.fetch_add(1, Ordering::Relaxed);
            return Verdict::Continue;
        }
        let _ = self.ears.send(Heard::Message(*peer, message.to_vec()));
        match message {
            b"be gone" => Verdict::Disconnect("as you wish".into()),
            _ => Verdict::Continue,
        }
    }

    fn disconnected(&self, peer: &PublicKey) {
        let _ = self.ears.send(Heard::Disconnected(*peer));
    }
}

async fn heard(ears: &mut Ears) -> Heard {
    let heard = timeout(LONG, ears.recv()).await;
    heard.expect("something is heard").expect("the ear lives")
}

/// Waits until a message is heard, and says which.
async fn heard_message(ears: &mut Ears) -> Vec<u8> {
    loop {
        if let Heard::Message(_, message) = heard(ears).await {
            return message;
        }
    }
}
