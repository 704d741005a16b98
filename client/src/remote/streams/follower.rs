//! Follows one stream: what it publishes goes to the service, what the service has stored is acknowledged.
//!
//! What an ack says is durable: it is sent when the service tells the device so. A message that came again is
//! acknowledged again, since the ack before may be lost, but not more than once a second: anybody can send a
//! message again.
//!
//! A state is handed to the service until it is durable there, since the stream hands it out once only. If the
//! service has lost what was acknowledged, the acknowledgement is taken back, and the device is asked to be let
//! in again, which makes it publish everything.

use std::fmt::Display;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use perun_protocol::remote::{RemoteMessage, Watch};
use perun_protocol::{ChannelId, PartIdx, Participant, PublicKey, Version};
use perun_watch_stream::{
    MAX_MESSAGE_LENGTH, ReceiveError, Received, Refused, SendError, Storage, Subscriber,
};
use rand_core::OsRng;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{StreamStatus, Told};
use crate::remote::{Shared, lock};

/// One that followed the stream before waits so long for a keyload before it asks again to be let in.
const PATIENCE: Duration = Duration::from_secs(5);
/// A state that is not durable yet is handed in again after this.
const HAND_IN_AGAIN: Duration = Duration::from_secs(5);
/// An ack is repeated after this at the earliest.
const ACK_PAUSE: Duration = Duration::from_secs(1);
/// How long it waits for a keyload after having asked; twice as long each time,
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Why the subscriber is there: whoever borrows it gives it back before anything else happens.
const ONE_THING_AT_A_TIME: &str = "one thing is done at a time";

/// What came of a message.
enum Came {
    /// A state that is newer than all before.
    Order(Version, Vec<u8>),
    /// A keyload: what overtook it can be read now.
    Keyload,
    /// What was seen already.
    Again,
    /// Nothing to be done.
    Nothing,
}

/// Who follows a stream.
pub(super) struct Follower<S> {
    service: Arc<Shared>,
    device: PublicKey,
    channel: ChannelId,
    /// `None` only while it is at work.
    subscriber: Option<Subscriber<S>>,
    outgoing: mpsc::Sender<Vec<u8>>,
    status: watch::Sender<StreamStatus>,
    /// Who the device is in the channel, as it says.
    part: Option<PartIdx>,
    /// The newest state that is not known to be durable, and when it was handed in.
    pending: Option<(Version, Vec<u8>, Instant)>,
    /// What was acknowledged last, and need not be again unless it is asked for; and when.
    acked: Option<(Version, Instant)>,
    /// When it is acknowledged again, since a message came again.
    ack_at: Option<Instant>,
    /// When the device is asked (again) to let us in; `None` once it has: then nothing but its owner takes us
    /// out.
    subscribe_at: Option<Instant>,
    pause: Duration,
}

impl<S> Follower<S>
where
    S: Storage + Send + 'static,
    S::Error: Display + Send,
{
    pub(super) fn new(
        service: &Arc<Shared>,
        subscriber: Subscriber<S>,
        outgoing: mpsc::Sender<Vec<u8>>,
        status: watch::Sender<StreamStatus>,
    ) -> Self {
        let about = subscriber.about();
        let Participant::Secp256k1(device) = about.participant();
        Self {
            service: Arc::clone(service),
            device,
            channel: about.channel(),
            subscriber: Some(subscriber),
            outgoing,
            status,
            part: None,
            pending: None,
            acked: None,
            ack_at: None,
            subscribe_at: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Until the service stops or no messages come any more; as the follower with this number.
    pub(super) async fn follow(
        mut self,
        number: u64,
        incoming: mpsc::Receiver<Vec<u8>>,
        news: watch::Receiver<Option<Told>>,
    ) {
        let ended = match self.go_on(incoming, news).await {
            Ok(()) => "no messages come any more".to_owned(),
            Err(error) => error,
        };
        let followed = (self.device, self.channel);
        self.service.streams.remove(followed, number);
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
        self.compare().await?;
        let patience = match self.subscriber().stored_version() {
            Some(_) => PATIENCE,
            None => Duration::ZERO,
        };
        self.subscribe_at = Some(Instant::now() + patience);
        loop {
            self.tell_status();
            let hand_in_at = self.pending.as_ref().map(|(_, _, at)| *at + HAND_IN_AGAIN);
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
                () = at(self.subscribe_at) => self.subscribe().await?,
                () = at(hand_in_at) => self.hand_in(),
                () = at(self.ack_at) => self.ack().await?,
            }
        }
    }

    /// Takes back what was acknowledged of states that the service does not have any more.
    async fn compare(&mut self) -> Result<(), String> {
        let watches: Vec<_> = {
            let watches = lock(&self.service.watches);
            watches.of_device(&self.device).cloned().collect()
        };
        let mut watches = watches.iter();
        let watch = watches.find(|watch| watch.place.channel == self.channel);
        let held = watch.map(|watch| watch.newest().version());
        self.part = watch.map(|watch| watch.place.part).or(self.part);
        self.forget(held).await
    }

    /// The service holds this version of what was acknowledged, or nothing.
    async fn forget(&mut self, held: Option<Version>) -> Result<(), String> {
        if self.subscriber().stored_version() <= held {
            return Ok(());
        }
        let forgotten = self.work(move |subscriber| subscriber.forget(held));
        forgotten.await.map_err(text)?;
        tracing::warn!(
            "what was acknowledged of channel {:.8} is lost: its device is asked for it",
            self.channel
        );
        self.acked = None;
        self.subscribe_at = Some(Instant::now());
        Ok(())
    }

    async fn subscribe(&mut self) -> Result<(), String> {
        let asked = self
            .work(|subscriber| subscriber.subscribe(&mut OsRng))
            .await;
        self.send(asked.map_err(text)?.to_vec()).await;
        self.subscribe_at = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// A message of the relay's, which may be anything.
    async fn receive(&mut self, message: Vec<u8>) -> Result<(), String> {
        let came = self
            .work(move |subscriber| read(subscriber, &message))
            .await;
        match came? {
            Came::Keyload => {
                self.subscribe_at = None;
                let held = self.work(release).await;
                self.handle(held?).await
            }
            came => self.handle(came).await,
        }
    }

    async fn handle(&mut self, came: Came) -> Result<(), String> {
        match came {
            Came::Order(version, order) => {
                self.pending = Some((version, order, Instant::now()));
                self.hand_in();
            }
            Came::Again if self.pending.is_some() => self.hand_in(),
            Came::Again => {
                let last = self.acked.map(|(_, at)| at + ACK_PAUSE);
                self.ack_at = Some(last.unwrap_or_else(Instant::now));
            }
            Came::Keyload | Came::Nothing => {}
        }
        Ok(())
    }

    /// Hands what the newest packet carries to the service.
    fn hand_in(&mut self) {
        let Some((_, payload, at)) = &mut self.pending else {
            return;
        };
        *at = Instant::now();
        match RemoteMessage::decode(payload) {
            Ok(RemoteMessage::Watch(order)) if order.channel == self.channel => {
                self.part = Some(order.part);
                return self
                    .service
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
        self.pending = None;
    }

    /// What the service told the device.
    async fn answer(&mut self, told: Option<Told>) -> Result<(), String> {
        if let Some(Told::Stored(version)) = told {
            self.pending.take_if(|(pending, _, _)| *pending <= version);
        }
        match (told, self.part) {
            (Some(Told::Stored(version)), _)
                if self.acked.is_some_and(|(acked, _)| acked == version) =>
            {
                Ok(())
            }
            (Some(Told::Stored(version)), _) => {
                // Acks that were made at the same time may come in any order, so the watch itself is asked.
                self.compare().await?;
                let stored = self.work(move |subscriber| subscriber.stored(version));
                stored.await.map_err(text)?;
                self.ack().await
            }
            (Some(Told::Unknown), _) => {
                self.pending = None;
                self.forget(None).await
            }
            (Some(Told::Outdated), Some(part)) => {
                // The answer says how far it is.
                self.acked = None;
                self.pending = None;
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
        self.ack_at = None;
        let acking = |subscriber: &mut Subscriber<S>| {
            let ack = subscriber.ack()?;
            Ok((ack, subscriber.stored_version()))
        };
        match self.work(acking).await {
            Ok((ack, version)) => {
                self.acked = version.map(|version| (version, Instant::now()));
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

    fn tell_status(&self) {
        let subscriber = self.subscriber();
        let status = StreamStatus {
            is_member: subscriber.is_member(),
            stored: subscriber.stored_version(),
            has_forked: subscriber.fork().is_some(),
            ended: None,
        };
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

    fn subscriber(&self) -> &Subscriber<S> {
        self.subscriber.as_ref().expect(ONE_THING_AT_A_TIME)
    }

    /// Has the subscriber do something that may wait for the disk.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Subscriber<S>) -> T + Send + 'static,
    ) -> T {
        let mut subscriber = self.subscriber.take().expect(ONE_THING_AT_A_TIME);
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&mut subscriber);
            (subscriber, done)
        });
        let (subscriber, done) = working.await.expect("a subscriber does not panic");
        self.subscriber = Some(subscriber);
        done
    }
}

/// Waits for this instant, for ever if there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
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
        Ok(Some(Received::State {
            version, payload, ..
        })) => Ok(Came::Order(version, payload.to_vec())),
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
