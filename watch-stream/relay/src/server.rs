//! Connections, and what each may cost.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use perun_watch_stream::Kind;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::budget::Budget;
use crate::followers::Follower;
use crate::frames::{Answer, Refusal, Request, frame, read_body};
use crate::relay::{Limits, Relay};
use crate::stream::Bytes;

/// Messages that wait to be sent to one connection, at least. There is room for all that is kept of the streams
/// that it may follow.
const QUEUE: usize = 4_096;
/// Answers that wait.
const ANSWERS: usize = 16;
/// Streams that one connection may follow and announce, keys that it may introduce.
const STREAMS: usize = 16;
/// What is refused of one connection until it is closed.
const REFUSALS: usize = 32;

/// How a relay is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where streams are kept.
    pub folder: PathBuf,
    /// What is kept at most.
    pub limits: Limits,
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address (IPv6: from one /64).
    pub connections_of_one: usize,
    /// Bytes that a connection may send in a second; four times as many at once.
    pub bytes_per_second: u32,
    /// After how much silence a connection is closed.
    pub idle: Duration,
}

/// A relay that runs until it is dropped.
pub struct Server {
    address: SocketAddr,
    listening: JoinHandle<()>,
}

/// How many connections there are of which [`network`].
type Places = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A place among the connections; free again when it is dropped.
struct Place {
    places: Places,
    /// A [`network`].
    of: IpAddr,
}

impl Settings {
    /// The usual limits for what is kept in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            limits: Limits::default(),
            connections: 1_024,
            connections_of_one: 32,
            bytes_per_second: 32 * 1_024,
            idle: Duration::from_secs(600),
        }
    }
}

impl Server {
    /// Takes up what is kept, and listens.
    pub async fn start(listener: TcpListener, settings: Settings) -> io::Result<Self> {
        let (folder, limits) = (settings.folder.clone(), settings.limits.clone());
        let relay = spawn_blocking(move || Relay::open(folder, limits)).await??;
        let address = listener.local_addr()?;
        let listening = tokio::spawn(listen(listener, Arc::new(relay), settings));
        Ok(Self { address, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until listening fails, which it does not.
    pub async fn run(mut self) {
        let _ = (&mut self.listening).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Place {
    fn take(places: &Places, of: IpAddr, settings: &Settings) -> Option<Self> {
        let mut counts = places.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.values().sum();
        let count = counts.get(&of).copied().unwrap_or(0);
        if all >= settings.connections || count >= settings.connections_of_one {
            return None;
        }
        counts.insert(of, count + 1);
        Some(Self {
            places: Arc::clone(places),
            of,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.of) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.of)),
        }
    }
}

fn queue_length(limits: &Limits) -> usize {
    let kept = limits.messages.saturating_add(QUEUE / STREAMS);
    let all = kept.saturating_mul(STREAMS);
    all.min(Semaphore::MAX_PERMITS)
}

/// What counts as one address: whoever has an IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(network.into())
        }
        address => address,
    }
}

/// Connections end with the task that listens.
async fn listen(listener: TcpListener, relay: Arc<Relay>, settings: Settings) {
    let places = Places::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        let Ok((connection, from)) = accepted else {
            // Out of descriptors, most likely.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Some(place) = Place::take(&places, network(from.ip()), &settings) else {
            debug!("{from} finds no place");
            continue;
        };
        let (relay, settings) = (Arc::clone(&relay), settings.clone());
        connections.spawn(async move {
            let ended = serve(connection, network(from.ip()), relay, &settings).await;
            debug!("{from} is gone: {ended:?}");
            drop(place);
        });
    }
}

async fn serve(
    connection: TcpStream,
    network: IpAddr,
    relay: Arc<Relay>,
    settings: &Settings,
) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let (reader, writer) = connection.into_split();
    let (answers, answered) = mpsc::channel(ANSWERS);
    let (pushes, pushed) = mpsc::channel(queue_length(&settings.limits));
    let overrun = Arc::new(Notify::new());
    let session = Session {
        network,
        relay,
        answers,
        pushes,
        overrun: Arc::clone(&overrun),
        keys: Vec::new(),
        follows: 0,
        announced: 0,
        refusals: 0,
    };
    // Whichever ends first ends both.
    tokio::select! {
        ended = session.read(BufReader::new(reader), settings) => ended,
        ended = write(writer, answered, pushed, settings.idle) => ended,
        () = overrun.notified() => Err(io::Error::other("it does not keep up")),
    }
}

/// Sends answers and messages.
async fn write(
    mut writer: OwnedWriteHalf,
    mut answered: Receiver<Answer>,
    mut pushed: Receiver<Bytes>,
    patience: Duration,
) -> io::Result<()> {
    loop {
        let body = tokio::select! {
            biased;
            answer = answered.recv() => match answer {
                Some(answer) => answer.encode(),
                None => return Ok(()),
            },
            message = pushed.recv() => match message {
                Some(message) => Answer::Message(message.to_vec()).encode(),
                None => return Ok(()),
            },
        };
        let frame = frame(&body);
        let written = timeout(patience, writer.write_all(&frame)).await;
        written.map_err(io::Error::other)??;
    }
}

/// One connection's requests.
struct Session {
    network: IpAddr,
    relay: Arc<Relay>,
    answers: Sender<Answer>,
    pushes: Sender<Bytes>,
    overrun: Arc<Notify>,
    keys: Vec<[u8; 32]>,
    follows: usize,
    announced: usize,
    refusals: usize,
}

impl Session {
    async fn read(
        mut self,
        mut reader: BufReader<tokio::net::tcp::OwnedReadHalf>,
        settings: &Settings,
    ) -> io::Result<()> {
        let per_second = f64::from(settings.bytes_per_second.max(1));
        let mut budget = Budget::new(per_second, 4.0 * per_second, Instant::now());
        loop {
            let body = timeout(settings.idle, read_body(&mut reader)).await;
            let Some(body) = body.map_err(io::Error::other)?? else {
                return Ok(());
            };
            sleep(budget.spend(body.len() as f64, Instant::now())).await;
            let answer = match Request::decode(&body) {
                Ok(request) => self.handle(request).await,
                Err(refusal) => Some(Answer::Refused(refusal)),
            };
            let Some(answer) = answer else {
                continue;
            };
            let is_refused = matches!(answer, Answer::Refused(_));
            let sent = self.answers.send(answer).await;
            sent.map_err(io::Error::other)?;
            self.refusals += usize::from(is_refused);
            if self.refusals >= REFUSALS {
                return Err(io::Error::other("too much was refused"));
            }
        }
    }

    async fn handle(&mut self, request: Request) -> Option<Answer> {
        match request {
            Request::Publish(message) => {
                let kind = message.get(2);
                self.announced += usize::from(kind == Some(&Kind::Announcement.tag()));
                if self.announced > STREAMS {
                    return Some(Answer::Refused(Refusal::Quota));
                }
                let (relay, keys) = (Arc::clone(&self.relay), self.keys.clone());
                let answer = spawn_blocking(move || relay.publish(&message, &keys)).await;
                Some(answer.unwrap_or(Answer::Refused(Refusal::Storage)))
            }
            Request::Follow(side, stream, from) => {
                self.follows += 1;
                if self.follows > STREAMS {
                    return Some(Answer::Refused(Refusal::Quota));
                }
                let follower = Follower {
                    side,
                    queue: self.pushes.clone(),
                    overrun: Arc::clone(&self.overrun),
                    network: self.network,
                };
                // The stream's lock is held while its files are written.
                let (relay, keys) = (Arc::clone(&self.relay), self.keys.clone());
                let followed =
                    spawn_blocking(move || relay.follow(stream, from, follower, &keys)).await;
                let followed = followed.unwrap_or(Err(Refusal::Storage));
                followed.err().map(Answer::Refused)
            }
            Request::Introduce(key) if self.keys.len() < STREAMS => {
                self.keys.push(key);
                None
            }
            Request::Ping => Some(Answer::Pong),
            Request::Introduce(_) => Some(Answer::Refused(Refusal::Quota)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IpAddr, Limits, STREAMS, network, queue_length};

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let network = |address: &str| network(address.parse::<IpAddr>().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn all_that_is_kept_fits_into_a_queue() {
        for messages in [8, 128, 5_000, usize::MAX] {
            let limits = Limits {
                messages,
                ..Limits::default()
            };
            let queue = queue_length(&limits);
            assert!(queue / STREAMS > messages || messages == usize::MAX);
            // Does not panic.
            drop(tokio::sync::mpsc::channel::<u8>(queue));
        }
    }
}
