//! A watcher's line to a relay, which comes back whenever it breaks.

use std::io;
use std::time::Duration;

use perun_watch_stream::{Kind, Message, Number, StreamId};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::frames::{Answer, Refusal, Request, Side, frame, read_body};

/// Messages that wait in either direction.
const QUEUE: usize = 64;
/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause after a failure; twice as long each time,
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The two ends that are left to the watcher. The line is given up when either is dropped.
#[derive(Debug)]
pub struct Line {
    /// What the relay brings: the author's messages, in any order, and again after a break.
    pub incoming: Receiver<Vec<u8>>,
    /// What the author is to get. A message may be lost in a break.
    pub outgoing: Sender<Vec<u8>>,
}

/// Follows a stream at the relay with this address (`host:port`), for the watcher with this Ed25519 key.
/// Within a Tokio runtime.
pub fn follow(address: String, stream: StreamId, signing_key: [u8; 32]) -> Line {
    let (to_watcher, incoming) = mpsc::channel(QUEUE);
    let (outgoing, from_watcher) = mpsc::channel(QUEUE);
    let keeper = Keeper {
        address,
        stream,
        signing_key,
        newest: Number(0),
    };
    tokio::spawn(keeper.keep(to_watcher, from_watcher));
    Line { incoming, outgoing }
}

struct Keeper {
    address: String,
    stream: StreamId,
    signing_key: [u8; 32],
    /// The highest number that the relay brought. It may be garbage, so it only saves messages on a line
    /// that breaks: what is missing the author sends again.
    newest: Number,
}

impl Keeper {
    async fn keep(mut self, to_watcher: Sender<Vec<u8>>, mut from_watcher: Receiver<Vec<u8>>) {
        let mut pause = FIRST_PAUSE;
        while !to_watcher.is_closed() {
            let before = self.newest;
            match self.run(&to_watcher, &mut from_watcher).await {
                Ok(()) => return,
                Err(error) => warn!("the relay {} is lost: {error}", self.address),
            }
            if self.newest > before {
                pause = FIRST_PAUSE;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection. `Ok` when the watcher has gone.
    async fn run(
        &mut self,
        to_watcher: &Sender<Vec<u8>>,
        from_watcher: &mut Receiver<Vec<u8>>,
    ) -> io::Result<()> {
        let connecting = TcpStream::connect(&self.address);
        let connection = timeout(PATIENCE, connecting).await??;
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
        let newest = &mut self.newest;
        tokio::select! {
            done = read(reader, to_watcher, newest) => done,
            done = write(&mut writer, from_watcher) => done,
            () = to_watcher.closed() => Ok(()),
        }
    }
}

async fn read(
    reader: OwnedReadHalf,
    to_watcher: &Sender<Vec<u8>>,
    newest: &mut Number,
) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    while let Some(body) = read_body(&mut reader).await? {
        match Answer::decode(&body).ok_or(io::ErrorKind::InvalidData)? {
            Answer::Message(message) => {
                if let Ok(parsed) = Message::parse(&message)
                    && parsed.header().kind != Kind::Tagged
                {
                    *newest = parsed.header().number.max(*newest);
                }
                if to_watcher.send(message).await.is_err() {
                    return Ok(());
                }
            }
            // It may be announced later.
            Answer::Refused(Refusal::UnknownStream) => {
                return Err(io::Error::other("it does not know the stream yet"));
            }
            Answer::Refused(refusal) => debug!("the relay refuses: {refusal:?}"),
            Answer::Stored(..) => {}
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

async fn write(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    from_watcher: &mut Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(message) = from_watcher.recv().await {
        let request = Request::Publish(message);
        writer.write_all(&frame(&request.encode())).await?;
    }
    Ok(())
}
