//! Requests and answers as bytes.
//!
//! ```text
//! frame      length u16, body
//! Publish    1, message
//! Follow     2, side u8 (0 author's messages | 1 watchers'), stream 16, first number u64
//! Introduce  3, Ed25519 key 32
//! Ping       4
//!
//! Message    1, message
//! Stored     2, kind u8, number u64
//! Refused    3, reason u8
//! Pong       4
//! ```
//!
//! Integers are big-endian. Publish is answered by Stored or Refused, Ping by Pong, in the order of the
//! requests; messages come in between. Follow and Introduce are answered only if they are refused, so a Pong
//! tells that those before it were not.

use std::io;

use perun_watch_stream::{MAX_MESSAGE_LENGTH, Number, StreamId};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of the longest body.
pub const MAX_BODY_LENGTH: usize = 1 + MAX_MESSAGE_LENGTH;

/// Whose messages are meant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// The author's: what watchers follow.
    Author,
    /// The watchers': what the author follows.
    Watchers,
}

/// What a client asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// Keep this message, and push it.
    Publish(Vec<u8>),
    /// Push what is kept from this number on, and what comes; the number counts for the author's messages
    /// only.
    Follow(Side, StreamId, Number),
    /// Acks by the owner of this key will follow.
    Introduce([u8; 32]),
    /// Say something.
    Ping,
}

/// What a client is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// A message of a stream that it follows.
    Message(Vec<u8>),
    /// The message with this kind and number is kept, or was passed on if its kind is not kept, or every
    /// watcher has acknowledged it.
    Stored(u8, u64),
    /// Nothing was done.
    Refused(Refusal),
    /// What was asked before the ping is done, or was refused.
    Pong,
}

/// Why nothing was done.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// It is no request, or no message.
    Malformed,
    /// A signature is wrong, or of nobody whose word counts here.
    NotSigned,
    /// There is no such stream: publish its announcement first.
    UnknownStream,
    /// This relay does not serve that participant.
    NotServed,
    /// A limit is reached.
    Quota,
    /// The relay could not write it down; try again.
    Storage,
}

impl Request {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Publish(message) => [&[1], &message[..]].concat(),
            Self::Follow(side, stream, from) => {
                let side = u8::from(*side == Side::Watchers);
                [&[2, side], &stream.0[..], &from.0.to_be_bytes()].concat()
            }
            Self::Introduce(key) => [&[3], &key[..]].concat(),
            Self::Ping => vec![4],
        }
    }

    /// The request with this body.
    pub fn decode(body: &[u8]) -> Result<Self, Refusal> {
        match body {
            [1, message @ ..] if message.len() <= MAX_MESSAGE_LENGTH => {
                Ok(Self::Publish(message.to_vec()))
            }
            [2, side @ 0..=1, rest @ ..] => {
                let (stream, number) = rest.split_first_chunk().ok_or(Refusal::Malformed)?;
                let number = number.try_into().map_err(|_| Refusal::Malformed)?;
                let side = if *side == 0 {
                    Side::Author
                } else {
                    Side::Watchers
                };
                let from = Number(u64::from_be_bytes(number));
                Ok(Self::Follow(side, StreamId(*stream), from))
            }
            [3, key @ ..] => {
                let key = key.try_into().map_err(|_| Refusal::Malformed)?;
                Ok(Self::Introduce(key))
            }
            [4] => Ok(Self::Ping),
            _ => Err(Refusal::Malformed),
        }
    }
}

impl Answer {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Message(message) => [&[1], &message[..]].concat(),
            Self::Stored(kind, number) => [&[2, *kind], &number.to_be_bytes()[..]].concat(),
            Self::Refused(refusal) => vec![3, refusal.code()],
            Self::Pong => vec![4],
        }
    }

    /// The answer with this body; `None` if it is none.
    pub fn decode(body: &[u8]) -> Option<Self> {
        match body {
            [1, message @ ..] => Some(Self::Message(message.to_vec())),
            [2, kind, number @ ..] => {
                let number = number.try_into().ok()?;
                Some(Self::Stored(*kind, u64::from_be_bytes(number)))
            }
            [3, code] => Refusal::from_code(*code).map(Self::Refused),
            [4] => Some(Self::Pong),
            _ => None,
        }
    }
}

impl Refusal {
    const ALL: [Self; 6] = [
        Self::Malformed,
        Self::NotSigned,
        Self::UnknownStream,
        Self::NotServed,
        Self::Quota,
        Self::Storage,
    ];

    fn code(self) -> u8 {
        match self {
            Self::Malformed => 1,
            Self::NotSigned => 2,
            Self::UnknownStream => 3,
            Self::NotServed => 4,
            Self::Quota => 5,
            Self::Storage => 6,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.code() == code)
    }
}

/// The frame around a body, which is not longer than [`MAX_BODY_LENGTH`].
pub fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes(), body].concat()
}

/// Reads a frame's body; `None` if the connection has ended in front of one. An error if it is longer than any
/// may be.
pub async fn read_body(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match from.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MAX_BODY_LENGTH {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::{Answer, Number, Refusal, Request, Side, StreamId};

    #[test]
    fn bodies_are_read_as_they_were_written() {
        let stream = StreamId([7; 16]);
        let requests = [
            Request::Publish(vec![1, 2, 3]),
            Request::Follow(Side::Author, stream, Number(9)),
            Request::Follow(Side::Watchers, stream, Number(u64::MAX)),
            Request::Introduce([5; 32]),
            Request::Ping,
        ];
        for request in requests {
            let body = request.encode();
            assert_eq!(Request::decode(&body), Ok(request.clone()));
            if !matches!(request, Request::Publish(_)) {
                let shorter = &body[..body.len() - 1];
                assert_eq!(Request::decode(shorter), Err(Refusal::Malformed));
                let longer = [&body[..], &[0]].concat();
                assert_eq!(Request::decode(&longer), Err(Refusal::Malformed));
            }
        }
        for body in [&[][..], &[0], &[5], &[2, 2], &[1; 1_300]] {
            assert_eq!(Request::decode(body), Err(Refusal::Malformed));
        }
        let refused = Refusal::ALL.map(Answer::Refused);
        for answer in [Answer::Message(vec![1]), Answer::Stored(4, 9), Answer::Pong]
            .iter()
            .chain(&refused)
        {
            assert_eq!(Answer::decode(&answer.encode()).as_ref(), Some(answer));
        }
        for body in [&[][..], &[2, 1], &[3, 0], &[3, 7], &[4, 4]] {
            assert_eq!(Answer::decode(body), None);
        }
    }
}
