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
//!
//! What a stream's ack says is durable: it is sent when the service tells the device so. A message that came
//! again is acknowledged again, since the ack before may be lost.

mod files;

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perun_protocol::remote::{RemoteCode, RemoteMessage, Watch};
use perun_protocol::{ChannelId, PartIdx, Participant, PublicKey, Version};
use perun_watch_stream::{
    MAX_MESSAGE_LENGTH, ReceiveError, Received, Refused, SendError, Storage, Subscriber,
};
use rand_core::OsRng;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

pub use self::files::StreamFiles;
use super::{RemoteService, Shared, lock};

/// One that followed the stream before waits so long for a keyload before it asks again to be let in.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits for a keyload after having asked; twice as long each time,
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

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
    /// Whether the newest keyload is for us: `None` before the first, `Some(false)` if the device has taken
    /// us out.
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
pub(super) struct Streams(Mutex<HashMap<Followed, watch::Sender<Option<Told>>>>);

/// A device, and the channel that its stream is about.
type Followed = (PublicKey, ChannelId);

/// What the service told.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// This version is durable.
    Stored(Version),
    /// It holds a newer state than what was handed in.
    Outdated,
}

/// What came of a message.
enum Came {
    /// A state that is newer than all before.
    Order(Vec<u8>),
    /// A keyload: what overtook it can be read now.
    Keyload,
    /// What was seen already.
    Again,
    /// Nothing to be done.
    Nothing,
}

struct Follower<S> {
    service: Arc<Shared>,
    device: PublicKey,
    channel: ChannelId,
    /// `None` only while it is at work.
    subscriber: Option<Subscriber<S>>,
    outgoing: mpsc::Sender<Vec<u8>>,
    status: watch::Sender<StreamStatus>,
    /// Who the device is in the channel, as it says.
    part: Option<PartIdx>,
    /// What was acknowledged last, and need not be again unless it is asked for.
    acked: Option<Version>,
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
        let (told, news) = watch::channel(None);
        lock(&self.shared.streams.0).insert((device, channel), told);
        let follower = Follower {
            service: Arc::clone(&self.shared),
            device,
            channel,
            subscriber: Some(stream.subscriber),
            outgoing: stream.outgoing,
            status,
            part: None,
            acked: None,
        };
        self.shared.spawn(follower.follow(stream.incoming, news));
        seen
    }
}

impl Streams {
    /// Notes what a device is told, if it is about a channel whose stream is followed.
    pub(super) fn note(&self, device: &PublicKey, message: &RemoteMessage) {
        let told = match message {
            RemoteMessage::WatchAck(ack) => ack.version.map(Told::Stored),
            RemoteMessage::RemoteRejection(rejection) => {
                (rejection.code == RemoteCode::Outdated).then_some(Told::Outdated)
            }
            _ => None,
        };
        let (Some(told), Some(channel)) = (told, message.channel()) else {
            return;
        };
        if let Some(sender) = lock(&self.0).get(&(*device, channel)) {
            sender.send_replace(Some(told));
        }
    }
}

impl<S> Follower<S>
where
    S: Storage + Send + 'static,
    S::Error: Display + Send,
{
    async fn follow(
        mut self,
        incoming: mpsc::Receiver<Vec<u8>>,
        news: watch::Receiver<Option<Told>>,
    ) {
        let ended = match self.go_on(incoming, news).await {
            Ok(()) => "no messages come any more".to_owned(),
            Err(error) => error,
        };
        tracing::warn!(
            "the stream of channel {:.8} is no longer followed: {ended}",
            self.channel
        );
        self.status.send_modify(|status| status.ended = Some(ended));
    }

    async fn go_on(
        &mut self,
        mut incoming: mpsc::Receiver<Vec<u8>>,
        mut news: watch::Receiver<Option<Told>>,
    ) -> Result<(), String> {
        let is_new = self.work(|subscriber| subscriber.stored_version().is_none());
        let patience = if is_new.await {
            Duration::ZERO
        } else {
            PATIENCE
        };
        let mut subscribe_at = Some(Instant::now() + patience);
        let mut pause = FIRST_PAUSE;
        loop {
            self.tell_status().await;
            let is_known = self.status.borrow().is_member.is_some();
            let due = subscribe_at.filter(|_| !is_known);
            tokio::select! {
                message = incoming.recv() => match message {
                    Some(message) => self.receive(message).await?,
                    None => return Ok(()),
                },
                changed = news.changed() => {
                    if changed.is_err() {
                        return Err("another one follows the stream now".into());
                    }
                    let told = *news.borrow_and_update();
                    self.answer(told).await?;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let asked = self.work(|subscriber| subscriber.subscribe(&mut OsRng)).await;
                    self.send(asked.map_err(text)?.to_vec()).await;
                    subscribe_at = Some(Instant::now() + pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// A message of the relay's, which may be anything.
    async fn receive(&mut self, message: Vec<u8>) -> Result<(), String> {
        let came = self
            .work(move |subscriber| read(subscriber, &message))
            .await;
        match came? {
            Came::Keyload => {
                let held = self.work(release).await;
                self.handle(held?).await
            }
            came => self.handle(came).await,
        }
    }

    async fn handle(&mut self, came: Came) -> Result<(), String> {
        match came {
            Came::Order(order) => self.order(&order),
            Came::Again => self.ack().await?,
            Came::Keyload | Came::Nothing => {}
        }
        Ok(())
    }

    /// What a packet carries.
    fn order(&mut self, payload: &[u8]) {
        match RemoteMessage::decode(payload) {
            Ok(RemoteMessage::Watch(order)) if order.channel == self.channel => {
                self.part = Some(order.part);
                self.service
                    .handle(&self.device, RemoteMessage::Watch(order));
            }
            Ok(message) => tracing::warn!(
                "message {} does not belong into the stream of channel {:.8}",
                message.kind(),
                self.channel
            ),
            Err(error) => tracing::warn!(
                "a packet of the stream of channel {:.8} is no message: {error}",
                self.channel
            ),
        }
    }

    /// What the service told the device.
    async fn answer(&mut self, told: Option<Told>) -> Result<(), String> {
        match (told, self.part) {
            (Some(Told::Stored(version)), _) if self.acked == Some(version) => Ok(()),
            (Some(Told::Stored(version)), _) => {
                let stored = self.work(move |subscriber| subscriber.stored(version));
                stored.await.map_err(text)?;
                self.ack().await
            }
            (Some(Told::Outdated), Some(part)) => {
                // The answer says how far it is.
                self.acked = None;
                let question = Watch {
                    channel: self.channel,
                    part,
                    params: None,
                    auths: Vec::new(),
                    newest: None,
                    knows: None,
                };
                let question = RemoteMessage::Watch(Box::new(question));
                self.service.handle(&self.device, question);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn ack(&mut self) -> Result<(), String> {
        let acking = |subscriber: &mut Subscriber<S>| {
            let ack = subscriber.ack()?;
            Ok((ack, subscriber.stored_version()))
        };
        match self.work(acking).await {
            Ok((ack, version)) => {
                self.acked = version;
                self.send(ack.to_vec()).await;
            }
            Err(SendError::NothingStored) => {}
            Err(error) => return Err(text(error)),
        }
        Ok(())
    }

    /// What is lost here the device asks for again.
    async fn send(&mut self, message: Vec<u8>) {
        let _ = self.outgoing.send(message).await;
    }

    async fn tell_status(&mut self) {
        let status = self.work(|subscriber| StreamStatus {
            is_member: subscriber.is_member(),
            stored: subscriber.stored_version(),
            has_forked: subscriber.fork().is_some(),
            ended: None,
        });
        let status = status.await;
        let has_forked = status.has_forked && !self.status.borrow().has_forked;
        if has_forked {
            tracing::error!(
                "the device of channel {:.8} has signed two messages that contradict each other",
                self.channel
            );
        }
        self.status.send_if_modified(|seen| {
            let is_new = *seen != status;
            *seen = status;
            is_new
        });
    }

    /// Has the subscriber do something that may wait for the disk.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Subscriber<S>) -> T + Send + 'static,
    ) -> T {
        let mut subscriber = self.subscriber.take().expect("one thing at a time");
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&mut subscriber);
            (subscriber, done)
        });
        let (subscriber, done) = working.await.expect("a subscriber does not panic");
        self.subscriber = Some(subscriber);
        done
    }
}

fn read<S: Storage>(subscriber: &mut Subscriber<S>, message: &[u8]) -> Result<Came, String>
where
    S::Error: Display,
{
    let mut masked = [0; MAX_MESSAGE_LENGTH];
    let received = subscriber.receive(message, &mut masked);
    sort(received.map(Some))
}

fn release<S: Storage>(subscriber: &mut Subscriber<S>) -> Result<Came, String>
where
    S::Error: Display,
{
    let mut masked = [0; MAX_MESSAGE_LENGTH];
    sort(subscriber.release(&mut masked))
}

fn sort<E: Display>(
    received: Result<Option<Received<'_>>, ReceiveError<E>>,
) -> Result<Came, String> {
    match received {
        Ok(Some(Received::State { payload, .. })) => Ok(Came::Order(payload.to_vec())),
        Ok(Some(Received::Superseded { .. }))
        | Err(ReceiveError::Refused(Refused::Repeated { .. })) => Ok(Came::Again),
        Ok(Some(Received::Epoch(_))) => Ok(Came::Keyload),
        Ok(_) => Ok(Came::Nothing),
        Err(ReceiveError::Refused(refused)) => {
            tracing::debug!("a message of a stream is refused: {refused}");
            Ok(Came::Nothing)
        }
        Err(ReceiveError::Storage(error)) => Err(error.to_string()),
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}
