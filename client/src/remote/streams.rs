//! Devices that publish their states in a watch stream, besides or instead of a link.
//!
//! ```text
//! relay ──packets──> Subscriber ──Watch──> requests (as from a link) ──> records
//!   <────── acks ──── Subscriber <──version that is durable── WatchAck <───┘
//! ```
//!
//! Whose stream it is the participant itself has signed, so what it says is the participant's order like
//! anything on a link. Only orders to watch are taken from a stream: a relay may bring old messages, and
//! one that moves money should not wait there.

mod files;
mod follower;

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Mutex;

use perun_protocol::remote::{RemoteCode, RemoteMessage, Watch};
use perun_protocol::{ChannelId, Participant, PublicKey, Version};
use perun_watch_stream::{Storage, Subscriber};
use tokio::sync::{mpsc, watch};

pub use self::files::StreamFiles;
use self::follower::Follower;
use super::{RemoteService, lock};

/// A stream to be followed, and how its messages travel.
pub struct Stream<S> {
    /// Who follows it: made with [`Subscriber::follow`] at first, with [`Subscriber::start`] later.
    pub subscriber: Subscriber<S>,
    /// Messages of the device, in any order. The stream is no longer followed once this ends.
    pub incoming: mpsc::Receiver<Vec<u8>>,
    /// Messages to the device.
    pub outgoing: mpsc::Sender<Vec<u8>>,
}

/// How it goes with a stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StreamStatus {
    /// Whether the newest keyload is for us: `None` before the first, `Some(false)` if the device has not let
    /// us in yet, or has taken us out.
    pub is_member: Option<bool>,
    /// The version that acks name.
    pub stored: Option<Version>,
    /// The device has signed what an honest one can't: its state was copied, or its key is stolen. The
    /// evidence is in the storage.
    pub has_forked: bool,
    /// Why the stream is no longer followed; `None` while it is.
    pub ended: Option<String>,
}

/// Who wants to be told what the service tells a device about a channel.
#[derive(Default)]
pub(super) struct Streams(Mutex<Table>);

#[derive(Default)]
struct Table {
    senders: HashMap<Followed, (u64, watch::Sender<Option<Told>>)>,
    /// How many there were, to tell one that follows a stream from the next one.
    count: u64,
}

/// A device, and the channel that its stream is about.
type Followed = (PublicKey, ChannelId);

/// What the service told.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// This version is durable.
    Stored(Version),
    /// It holds a newer state than what was handed in.
    Outdated,
    /// It knows nothing of the channel, and was given too little to begin.
    Unknown,
}

impl RemoteService {
    /// Follows a device's stream until the service stops or no messages come any more: what is published
    /// there is watched as if it had come on a link. A stream of the same participant about the same
    /// channel that was followed before gets no more answers.
    pub fn follow<S>(&self, stream: Stream<S>) -> watch::Receiver<StreamStatus>
    where
        S: Storage + Send + 'static,
        S::Error: Display + Send,
    {
        let (status, seen) = watch::channel(StreamStatus::default());
        let about = stream.subscriber.about();
        let Participant::Secp256k1(device) = about.participant();
        let channel = about.channel();
        let (number, news) = self.shared.streams.add((device, channel));
        let follower = Follower::new(&self.shared, stream.subscriber, stream.outgoing, status);
        self.shared
            .spawn(follower.follow(number, stream.incoming, news));
        seen
    }
}

impl Streams {
    fn add(&self, followed: Followed) -> (u64, watch::Receiver<Option<Told>>) {
        let (told, news) = watch::channel(None);
        let mut table = lock(&self.0);
        table.count += 1;
        let number = table.count;
        table.senders.insert(followed, (number, told));
        (number, news)
    }

    fn remove(&self, followed: Followed, number: u64) {
        let mut table = lock(&self.0);
        if table
            .senders
            .get(&followed)
            .is_some_and(|it| it.0 == number)
        {
            table.senders.remove(&followed);
        }
    }

    /// Notes what a device is told, if it is about a channel whose stream is followed.
    pub(super) fn note(&self, device: &PublicKey, message: &RemoteMessage) {
        let told = match message {
            RemoteMessage::WatchAck(ack) => ack.version.map(Told::Stored),
            RemoteMessage::RemoteRejection(rejection) if rejection.about == Watch::KIND => {
                match rejection.code {
                    RemoteCode::Outdated => Some(Told::Outdated),
                    RemoteCode::UnknownChannel => Some(Told::Unknown),
                    // It is handed in again.
                    _ => None,
                }
            }
            _ => None,
        };
        let (Some(told), Some(channel)) = (told, message.channel()) else {
            return;
        };
        if let Some((_, sender)) = lock(&self.0).senders.get(&(*device, channel)) {
            sender.send_replace(Some(told));
        }
    }
}
