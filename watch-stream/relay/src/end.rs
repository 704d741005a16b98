//! The other side of a relay: a transport for devices and watchers with an operating system. It blocks; who
//! has an executor speaks [`crate::frames`] by itself.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use perun_watch_stream::{Number, StreamId, Transport};

use crate::frames::{Answer, MAX_BODY_LENGTH, Refusal, Request, Side, frame};

/// Messages that were pushed while an answer was waited for, at most.
const WAITING: usize = 1_024;

/// A connection to a relay. After an error make a new one.
pub struct RelayEnd {
    connection: TcpStream,
    patience: Duration,
    received: Vec<u8>,
    waiting: VecDeque<Vec<u8>>,
    /// Pongs that are still to come: a refusal in front of one is of what was asked before the ping.
    pings: usize,
    /// What was refused of that and not told yet.
    refused: VecDeque<Refusal>,
}

impl RelayEnd {
    /// Connects. `patience` is how long an answer is waited for; messages are not waited for.
    pub fn connect(address: impl ToSocketAddrs, patience: Duration) -> io::Result<Self> {
        let connection = TcpStream::connect(address)?;
        connection.set_nodelay(true)?;
        connection.set_write_timeout(Some(patience))?;
        Ok(Self {
            connection,
            patience,
            received: Vec::new(),
            waiting: VecDeque::new(),
            pings: 0,
            refused: VecDeque::new(),
        })
    }

    /// Asks for what is kept of the stream from this number of the author on, and what comes. If it is
    /// refused, [`RelayEnd::next`] says so.
    pub fn follow(&mut self, side: Side, stream: StreamId, from: Number) -> io::Result<()> {
        self.unanswered(&Request::Follow(side, stream, from))
    }

    /// Says whose acks will be sent. If it is refused, [`RelayEnd::next`] says so.
    pub fn introduce(&mut self, signing_key: [u8; 32]) -> io::Result<()> {
        self.unanswered(&Request::Introduce(signing_key))
    }

    /// Publishes a message and waits for the relay's word that it is kept.
    pub fn publish(&mut self, message: &[u8]) -> io::Result<Result<(), Refusal>> {
        self.request(&Request::Publish(message.to_vec()))?;
        loop {
            match self.answer(self.patience)? {
                Some(Answer::Stored(..)) => return Ok(Ok(())),
                Some(Answer::Refused(refusal)) if self.pings == 0 => return Ok(Err(refusal)),
                Some(Answer::Refused(refusal)) => self.refused.push_back(refusal),
                Some(Answer::Pong) => self.pings = self.pings.saturating_sub(1),
                Some(Answer::Message(message)) => {
                    if self.waiting.len() < WAITING {
                        self.waiting.push_back(message);
                    }
                }
                None => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    /// The next message, if one comes in time. An error if what was asked for was refused; the connection
    /// is still good then.
    pub fn next(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if let Some(refusal) = self.refused.pop_front() {
            return Err(refused(refusal));
        }
        if let Some(message) = self.waiting.pop_front() {
            return Ok(Some(message));
        }
        loop {
            match self.answer(patience)? {
                Some(Answer::Message(message)) => return Ok(Some(message)),
                Some(Answer::Refused(refusal)) => return Err(refused(refusal)),
                Some(Answer::Pong) => self.pings = self.pings.saturating_sub(1),
                Some(Answer::Stored(..)) => {}
                None => return Ok(None),
            }
        }
    }

    /// A request that is answered only if it is refused.
    fn unanswered(&mut self, request: &Request) -> io::Result<()> {
        self.request(request)?;
        self.request(&Request::Ping)?;
        self.pings += 1;
        Ok(())
    }

    fn request(&mut self, request: &Request) -> io::Result<()> {
        self.connection.write_all(&frame(&request.encode()))
    }

    /// The next answer; `None` if none comes in time. What came of one is kept.
    fn answer(&mut self, patience: Duration) -> io::Result<Option<Answer>> {
        loop {
            if let Some(body) = self.take_body()? {
                let answer = Answer::decode(&body);
                return answer.map(Some).ok_or(io::ErrorKind::InvalidData.into());
            }
            let patience = patience.max(Duration::from_millis(1));
            self.connection.set_read_timeout(Some(patience))?;
            let mut chunk = [0; 2_048];
            match self.connection.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.received.extend(&chunk[..length]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Ok(None),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    fn take_body(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some((length, rest)) = self.received.split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > MAX_BODY_LENGTH {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(body) = rest.get(..length).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.received.drain(..2 + length);
        Ok(Some(body))
    }
}

impl Transport for RelayEnd {
    type Error = io::Error;

    /// Publishes; that it was refused is an error, but the connection is still good then.
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let done = self.publish(message)?;
        done.map_err(refused)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        while let Some(message) = self.next(Duration::ZERO)? {
            if let Some(into) = into.get_mut(..message.len()) {
                into.copy_from_slice(&message);
                return Ok(Some(message.len()));
            }
        }
        Ok(None)
    }
}

fn refused(refusal: Refusal) -> io::Error {
    io::Error::other(format!("refused: {refusal:?}"))
}
