//! A watcher's line: what breaks it, and that it comes back.

use std::net::SocketAddr;
use std::time::Duration;

use perun_watch_relay::frames::{Answer, Request, Side, frame, read_body};
use perun_watch_relay::line::{Pace, follow_at};
use perun_watch_relay::{Line, Refusal};
use perun_watch_stream::{Author, Message, Number, StreamId, Subscriber};
use rand_core::OsRng;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::world::{Memory, PATIENCE, channel, identity, owner};

const STREAM: StreamId = StreamId([7; 16]);

fn pace() -> Pace {
    Pace {
        ping: Duration::from_millis(50),
        silence: Duration::from_millis(500),
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_secs(1),
        ..Pace::default()
    }
}

fn line(relay: SocketAddr) -> Line {
    follow_at(pace(), relay.to_string(), STREAM, identity(1))
}

/// A relay whose every word the test says.
struct Stage(TcpListener);

impl Stage {
    async fn new() -> (Self, Line) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = line(listener.local_addr().unwrap());
        (Self(listener), line)
    }

    /// The line comes, greets and pings.
    async fn greeted(&self) -> TcpStream {
        let accepted = timeout(PATIENCE, self.0.accept()).await;
        let (mut connection, _) = accepted.expect("it comes").unwrap();
        let greeting = [
            Request::Introduce(identity(1)),
            Request::Follow(Side::Author, STREAM, Number(0)),
            Request::Ping,
        ];
        for request in greeting {
            assert_eq!(asked(&mut connection).await, Some(request));
        }
        connection
    }
}

async fn asked(connection: &mut TcpStream) -> Option<Request> {
    let body = timeout(PATIENCE, read_body(connection)).await;
    let body = body.expect("something comes").ok()??;
    Some(Request::decode(&body).unwrap())
}

async fn say(connection: &mut TcpStream, answer: Answer) {
    let frame = frame(&answer.encode());
    connection.write_all(&frame).await.unwrap();
}

/// The relay has gone without a word.
#[tokio::test]
async fn a_relay_that_says_nothing_is_lost() {
    let (stage, _line) = Stage::new().await;
    let mut silent = stage.greeted().await;
    say(&mut silent, Answer::Pong).await;
    let _second = stage.greeted().await;
    // The first was not ended by us.
    while asked(&mut silent).await.is_some() {}
}

/// A stream may be silent for as long as it likes.
#[tokio::test]
async fn a_relay_that_answers_is_not_lost() {
    let (stage, mut line) = Stage::new().await;
    let mut relay = stage.greeted().await;
    let begin = Instant::now();
    while begin.elapsed() < 3 * pace().silence {
        say(&mut relay, Answer::Pong).await;
        assert_eq!(asked(&mut relay).await, Some(Request::Ping));
    }
    say(&mut relay, Answer::Message(vec![9])).await;
    assert_eq!(line.incoming.recv().await, Some(vec![9]));
}

/// A place may become free: the line does not sit on a connection that brings nothing.
#[tokio::test]
async fn a_follow_that_is_refused_is_asked_again() {
    let (stage, line) = Stage::new().await;
    let mut relay = stage.greeted().await;
    say(&mut relay, Answer::Refused(Refusal::Quota)).await;
    say(&mut relay, Answer::Pong).await;
    let mut relay = stage.greeted().await;
    say(&mut relay, Answer::Pong).await;
    // That a message is refused later is no reason to go.
    line.outgoing.send(vec![1, 2]).await.unwrap();
    let begin = Instant::now();
    let mut pings = 0;
    while pings < 12 {
        match asked(&mut relay).await {
            Some(Request::Ping) => {
                pings += 1;
                say(&mut relay, Answer::Pong).await;
            }
            Some(Request::Publish(message)) => {
                assert_eq!(message, [1, 2]);
                say(&mut relay, Answer::Refused(Refusal::Quota)).await;
            }
            other => panic!("{other:?} after {:?}", begin.elapsed()),
        }
    }
}

/// No number that a relay brings hides anything: the line asks for all that is kept.
#[tokio::test]
async fn a_number_that_is_garbage_hides_nothing() {
    let mut author = Author::create(Memory::default(), channel(), &owner(), &mut OsRng).unwrap();
    author.allow(identity(1)).unwrap();
    let (announcement, participant) = (author.announcement(), owner().participant());
    let memory = Memory::default();
    let rng = &mut OsRng;
    let watcher = Subscriber::follow(memory, &announcement, channel(), participant, &[1; 32], rng);
    let subscription = watcher.unwrap().subscribe(&mut OsRng).unwrap();
    author.receive(&subscription).unwrap();
    let mut keyload = author.open_epoch(&mut OsRng).unwrap().to_vec();
    keyload[24..32].fill(0xff);
    let number = Message::parse(&keyload).unwrap().header().number;
    assert_eq!(number, Number(u64::MAX));
    let (stage, mut line) = Stage::new().await;
    let mut relay = stage.greeted().await;
    say(&mut relay, Answer::Pong).await;
    say(&mut relay, Answer::Message(keyload.clone())).await;
    assert_eq!(line.incoming.recv().await, Some(keyload));
    drop(relay);
    // Asks from 0.
    stage.greeted().await;
}

/// The pauses get longer, and short again after a connection that has lasted.
#[tokio::test]
async fn a_relay_that_is_lost_after_a_long_time_is_soon_asked_again() {
    let (stage, _line) = Stage::new().await;
    for _ in 0..7 {
        drop(stage.greeted().await);
    }
    // Now it would wait for 500 ms at least.
    let mut relay = stage.greeted().await;
    let begin = Instant::now();
    while begin.elapsed() <= pace().longest_pause {
        say(&mut relay, Answer::Pong).await;
        assert_eq!(asked(&mut relay).await, Some(Request::Ping));
    }
    drop(relay);
    let begin = Instant::now();
    stage.greeted().await;
    assert!(begin.elapsed() < Duration::from_millis(400));
}

/// Whoever gives its ends up ends it.
#[tokio::test]
async fn a_line_ends_with_its_watcher() {
    let (stage, line) = Stage::new().await;
    let mut relay = stage.greeted().await;
    drop(line);
    while asked(&mut relay).await.is_some() {}
    let again = timeout(Duration::from_millis(300), stage.0.accept()).await;
    assert!(again.is_err());
}
