//! A peer that says whatever it is told to.

use std::future::poll_fn;
use std::time::Duration;

use perun_client::link::{
    Connection, FrameKind, LinkError, MessageReceiver, SendError, TcpConfig, TcpTransport,
    Transport as _,
};
use perun_protocol::PublicKey;
use perun_protocol::wire::Message;
use tokio::time::timeout;

use crate::world::{Person, key};

pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Mallory {
    _transport: TcpTransport,
    connection: Connection,
}

/// What Mallory hears.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Message),
    Goodbye(String),
    End,
}

impl Mallory {
    /// Connects to somebody by the name of this number.
    pub(crate) async fn new(number: u8, victim: &Person) -> Self {
        Self::connect(number, victim.identity(), &victim.address.to_string()).await
    }

    pub(crate) async fn connect(number: u8, victim: PublicKey, address: &str) -> Self {
        let transport = TcpTransport::bind(key(number), ("127.0.0.1", 0), TcpConfig::default());
        let transport = transport.await.unwrap();
        let connection = transport.connect(victim, address).await.unwrap();
        Self {
            _transport: transport,
            connection,
        }
    }

    /// Whether it was sent or queued.
    pub(crate) fn say_bytes(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.connection.sender.send(FrameKind::Message, bytes)
    }

    pub(crate) fn say(&self, message: &Message) {
        self.say_bytes(&message.encode()).unwrap();
    }

    /// Says it, and waits while too much is queued.
    pub(crate) async fn say_patiently(&self, bytes: &[u8]) -> Result<(), SendError> {
        loop {
            match self.say_bytes(bytes) {
                Err(SendError::Full { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                said => return said,
            }
        }
    }

    pub(crate) async fn hear(&mut self) -> Heard {
        let heard = timeout(LONG, hear(&mut self.connection.receiver)).await;
        heard.expect("an answer, or an end")
    }

    pub(crate) async fn hear_message(&mut self) -> Message {
        match self.hear().await {
            Heard::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// The reason for which the victim has ended the connection.
    pub(crate) async fn hear_goodbye(&mut self) -> String {
        loop {
            match self.hear().await {
                Heard::Goodbye(reason) => return reason,
                Heard::Message(_) => {}
                Heard::End => panic!("without a word"),
            }
        }
    }

    /// Nothing is heard for a while.
    pub(crate) async fn hears_nothing(&mut self) {
        let nothing = Duration::from_millis(100);
        let heard = timeout(nothing, hear(&mut self.connection.receiver)).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

async fn hear(receiver: &mut Box<dyn MessageReceiver>) -> Heard {
    loop {
        let frame = poll_fn(|context| {
            let polled = receiver.poll_receive(context);
            polled.map_ok(|frame| frame.map(|(kind, contents)| (kind, contents.to_vec())))
        });
        match frame.await {
            Ok(Some((FrameKind::Message, bytes))) => {
                return Heard::Message(Message::decode(&bytes).unwrap());
            }
            Ok(Some((FrameKind::Goodbye, reason))) => {
                return Heard::Goodbye(String::from_utf8(reason).unwrap());
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(LinkError::Io(_)) => return Heard::End,
            Err(error) => panic!("{error}"),
        }
    }
}
