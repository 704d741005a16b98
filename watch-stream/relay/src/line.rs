//! A watcher's line to a relay, which comes back whenever it breaks.
//!
//! A connection counts as broken also when nothing comes for longer than [`Pace::silence`], since the other
//! side may have gone without a word; that something comes, pings see to.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::time::Duration;

use perun_watch_stream::{Number, StreamId};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, interval, sleep, timeout};
use tracing::{debug, info, warn};

use crate::frames::{Answer, Request, Side, frame, read_body};

/// Messages that wait in either direction.
const QUEUE: usize = 64;

/// The two ends that are left to the watcher. The line is given up when either is dropped.
#[derive(Debug)]
pub struct Line {
    /// What the relay brings: the author's messages, in any order, and again after a break.
    pub incoming: Receiver<Vec<u8>>,
    /// What the author is to get. A message may be lost in a break.
    pub outgoing: Sender<Vec<u8>>,
}

/// How long a line waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// For a connection to be made.
    pub connecting: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// For anything to come; longer than `ping`, and then the connection is given up.
    pub silence: Duration,
    /// After the first failure; twice as long after each,
    pub first_pause: Duration,
    /// up to this. A connection that lasted so long was no failure.
    pub longest_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connecting: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            silence: Duration::from_secs(75),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// Follows a stream at the relay with this address (`host:port`), for the watcher with this Ed25519 key.
/// Within a Tokio runtime.
pub fn follow(address: String, stream: StreamId, signing_key: [u8; 32]) -> Line {
    follow_at(Pace::default(), address, stream, signing_key)
}

/// Like [`follow`], at another pace.
pub fn follow_at(pace: Pace, address: String, stream: StreamId, signing_key: [u8; 32]) -> Line {
    let (to_watcher, incoming) = mpsc::channel(QUEUE);
    let (outgoing, from_watcher) = mpsc::channel(QUEUE);
    let keeper = Keeper {
        pace,
        address,
        stream,
        signing_key,
    };
    tokio::spawn(keeper.keep(to_watcher, from_watcher));
    Line { incoming, outgoing }
}

struct Keeper {
    pace: Pace,
    address: String,
    stream: StreamId,
    signing_key: [u8; 32],
}

impl Keeper {
    async fn keep(self, to_watcher: Sender<Vec<u8>>, mut from_watcher: Receiver<Vec<u8>>) {
        let Pace {
            first_pause,
            longest_pause,
            ..
        } = self.pace;
        let mut pause = first_pause;
        while !to_watcher.is_closed() {
            let begin = Instant::now();
            match self.run(&to_watcher, &mut from_watcher).await {
                Ok(()) => return,
                Err(error) => warn!("the relay {} is lost: {error}", self.address),
            }
            if begin.elapsed() >= longest_pause {
                pause = first_pause;
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(longest_pause);
        }
    }

    /// One connection. `Ok` when the watcher has gone.
    async fn run(
        &self,
        to_watcher: &Sender<Vec<u8>>,
        from_watcher: &mut Receiver<Vec<u8>>,
    ) -> io::Result<()> {
        let connecting = TcpStream::connect(&self.address);
        let connection = timeout(self.pace.connecting, connecting).await??;
        connection.set_nodelay(true)?;
        info!("following a stream at {}", self.address);
        let (reader, mut writer) = connection.into_split();
        let greeting = [
            Request::Introduce(self.signing_key),
            // All that is kept: by what was seen a relay could make us skip the rest.
            Request::Follow(Side::Author, self.stream, Number(0)),
        ];
        for request in greeting {
            writer.write_all(&frame(&request.encode())).await?;
        }
        tokio::select! {
            done = read(reader, to_watcher, self.pace.silence) => done,
            done = write(&mut writer, from_watcher, self.pace.ping) => done,
            () = to_watcher.closed() => Ok(()),
        }
    }
}

async fn read(
    reader: OwnedReadHalf,
    to_watcher: &Sender<Vec<u8>>,
    silence: Duration,
) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    let mut is_followed = false;
    while let Some(body) = timeout(silence, read_body(&mut reader)).await?? {
        match Answer::decode(&body).ok_or(io::ErrorKind::InvalidData)? {
            Answer::Message(message) => {
                if to_watcher.send(message).await.is_err() {
                    return Ok(());
                }
            }
            // The stream may be announced later, and a place may become free.
            Answer::Refused(refusal) if !is_followed => {
                return Err(io::Error::other(format!("it refuses: {refusal:?}")));
            }
            Answer::Refused(refusal) => debug!("the relay refuses a message: {refusal:?}"),
            Answer::Pong => is_followed = true,
            Answer::Stored(..) => {}
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Pings at once, so that what is refused before the first pong is the greeting, and then from time to time.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    from_watcher: &mut Receiver<Vec<u8>>,
    ping: Duration,
) -> io::Result<()> {
    let mut pings = interval(ping);
    loop {
        let request = tokio::select! {
            biased;
            _ = pings.tick() => Request::Ping,
            message = from_watcher.recv() => match message {
                Some(message) => Request::Publish(message),
                None => return Ok(()),
            },
        };
        writer.write_all(&frame(&request.encode())).await?;
    }
}

/// Between half of it and all: those who have lost the same relay do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1_024;
    pause / 2 + pause / 2 * random as u32 / 1_024
}
