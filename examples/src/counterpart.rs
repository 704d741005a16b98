//! The host's side of the board demo: whom a device has its channels with.
//!
//! ```text
//!   people ── ncat ──> ControlPort ──┐
//!                                    ├──> Counterpart ── Client ── TCP ── device
//!   programs ────────────────────────┘        │
//!                                             └── adjudicator, ledger
//! ```
//!
//! It deals with the devices that its [`Policy`] names: proposes channels to them, accepts theirs, pays
//! and is paid. Everything that people can say at the control port is a method that programs can call.
//!
//! It is a client as any other, with nothing that would be about devices: a device's funding and watching
//! is the business of its nodes, which [`BoardSettings`] names.

mod command;
mod contact;
mod control;
mod order_error;
mod roster;
mod settings;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perun_canister_api::convert;
use perun_client::channel::{Channel, Closing};
use perun_client::client::{ChannelTerms, Config, IncomingProposal, OpenError, Proposals};
use perun_client::events::{ClientEvent, Events, EventsError, Notification};
use perun_protocol::channel::Event;
use perun_protocol::payment::Payment;
use perun_protocol::{Account, Amount, AssetId, AssetIdx, ChallengeDuration, PublicKey};

use crate::{Failure, Person};

use self::contact::Hex;
use self::roster::Roster;

pub use self::contact::{Contact, NoContact};
pub use self::control::ControlPort;
pub use self::order_error::OrderError;
pub use self::settings::BoardSettings;
pub use self::status::{ChannelStatus, Newest, Phase, Status};

/// How many channels may be under way at once.
const MAX_CHANNELS: usize = 64;
/// How many devices are remembered that nobody has named.
const MAX_STRANGERS: usize = 64;
/// For how long a request can be paid.
const REQUEST_VALID_FOR: Duration = Duration::from_secs(60);

/// With whom to have which channels.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Devices; those with an address are dialled.
    pub devices: Vec<Contact>,
    /// Whether others are as good.
    pub with_any: bool,
    /// What we deposit in a channel, and what the device does. No proposal that asks us for more is
    /// accepted.
    pub deposits: [Amount; 2],
    /// How long a registered state can be refuted, in a channel that we propose.
    pub challenge: ChallengeDuration,
}

/// The host's side of the board demo. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Counterpart {
    shared: Arc<Shared>,
}

struct Shared {
    person: Person,
    policy: Policy,
    asset: AssetId,
    devices: Mutex<Vec<PublicKey>>,
    roster: Mutex<Roster>,
}

impl Counterpart {
    /// Begins to deal with devices, in somebody's name.
    ///
    /// # Errors
    /// If the ledger has no name.
    pub fn start(person: Person, policy: Policy) -> Result<Self, Failure> {
        let ledger = convert::principal(person.ledger.id()).ok_or("the ledger has no name")?;
        let client = person.client.clone();
        for device in &policy.devices {
            if let Some(address) = &device.address {
                client.connect(device.key, address);
            }
        }
        let devices = policy.devices.iter().map(|device| device.key).collect();
        let counterpart = Self {
            shared: Arc::new(Shared {
                person,
                policy,
                asset: AssetId::Icrc(ledger),
                devices: Mutex::new(devices),
                roster: Mutex::default(),
            }),
        };
        counterpart.note_channels();
        // Both end when the client stops.
        tokio::spawn(counterpart.clone().accept(client.proposals()));
        tokio::spawn(counterpart.clone().follow(client.events()));
        Ok(counterpart)
    }

    /// Who it is.
    pub fn person(&self) -> &Person {
        &self.shared.person
    }

    /// Its off-chain identity, in hex digits.
    pub fn identity(&self) -> String {
        Hex(self.shared.person.client.identity().as_bytes()).to_string()
    }

    /// Stops. Channels go on when it is started again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn stop(&self) -> Result<(), Failure> {
        Ok(self.shared.person.client.stop().await?)
    }

    /// What a board must be told to deal with us, whom it reaches at `host`.
    ///
    /// # Errors
    /// If the adjudicator has no name.
    pub fn settings(
        &self,
        host: &str,
        nodes: Vec<Contact>,
        receiver: Option<Account>,
    ) -> Result<BoardSettings, Failure> {
        let Shared {
            person,
            policy,
            asset: AssetId::Icrc(asset),
            ..
        } = &*self.shared;
        let adjudicator = person.client.chain().adjudicator().id();
        let [ours, theirs] = policy.deposits;
        Ok(BoardSettings {
            peer: Contact {
                key: person.client.identity(),
                address: Some(format!("{host}:{}", person.address.port())),
            },
            nodes,
            adjudicator: convert::principal(adjudicator).ok_or("the adjudicator has no name")?,
            asset: *asset,
            receiver,
            balance: [theirs, ours],
            challenge: policy.challenge,
        })
    }

    /// Proposes a channel to a device, and waits until it is open; its number. Without a number the last
    /// device that is connected is meant.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn propose(&self, device: Option<usize>) -> Result<usize, OrderError> {
        let device = self.device(device)?;
        let Policy {
            deposits: [ours, theirs],
            challenge,
            ..
        } = self.shared.policy;
        let terms = ChannelTerms::new(self.shared.asset, ours, theirs, challenge);
        let opened = self.shared.person.client.propose(&device, terms).await;
        if let Err(OpenError::NotFunded { channel }) = &opened {
            self.roster().note(channel);
        }
        let channel = opened.map_err(OrderError::Open)?;
        Ok(self.roster().note(&channel))
    }

    /// Pays a device, and waits until it has agreed. If that is what it has asked for last, the payment
    /// says so.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn pay(
        &self,
        channel: Option<usize>,
        amount: Amount,
    ) -> Result<ChannelStatus, OrderError> {
        let (index, channel) = self.channel(channel)?;
        let asset = AssetIdx::new(0);
        let asked = self.roster().take_asked(index, |asked| {
            (asked.asset, asked.amount) == (asset, amount)
        });
        let payment = match &asked {
            Some(asked) => asked.payment(),
            None => Payment {
                asset,
                amount,
                memo: None,
            },
        };
        channel.make(&payment).await.map_err(OrderError::Pay)?;
        Ok(ChannelStatus::of(index, &channel))
    }

    /// Asks a device to pay.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn request(&self, channel: Option<usize>, amount: Amount) -> Result<usize, OrderError> {
        let (index, channel) = self.channel(channel)?;
        let requested = channel.request(AssetIdx::new(0), amount, "", REQUEST_VALID_FOR);
        requested.map_err(OrderError::Request)?;
        Ok(index)
    }

    /// Closes a channel together with the device, and waits until we are paid out.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn close(&self, channel: Option<usize>) -> Result<(usize, Closing), OrderError> {
        let (index, channel) = self.channel(channel)?;
        let closing = channel.close().await.map_err(OrderError::Close)?;
        Ok((index, closing))
    }

    /// Closes a channel without the device, and waits until we are paid out, which takes the challenge
    /// duration.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn force_close(
        &self,
        channel: Option<usize>,
    ) -> Result<(usize, Closing), OrderError> {
        let (index, channel) = self.channel(channel)?;
        let closing = channel.force_close().await.map_err(OrderError::Close)?;
        Ok((index, closing))
    }

    /// How everything stands.
    pub fn status(&self) -> Status {
        self.note_channels();
        let client = &self.shared.person.client;
        let devices = lock(&self.shared.devices).clone();
        let devices = devices.into_iter();
        Status {
            devices: devices
                .map(|device| (device, client.is_connected(&device)))
                .collect(),
            channels: self.roster().status(),
        }
    }

    /// The channel with this number; without one, the last that is not over.
    ///
    /// # Errors
    /// [`OrderError::NoChannel`] and [`OrderError::UnknownChannel`].
    pub fn channel(&self, index: Option<usize>) -> Result<(usize, Channel), OrderError> {
        self.note_channels();
        match index {
            None => self.roster().last().ok_or(OrderError::NoChannel),
            Some(index) => {
                let channel = self.roster().channel(index);
                let channel = channel.ok_or(OrderError::UnknownChannel { index })?;
                Ok((index, channel))
            }
        }
    }

    fn device(&self, index: Option<usize>) -> Result<PublicKey, OrderError> {
        let devices = lock(&self.shared.devices).clone();
        let client = &self.shared.person.client;
        match index {
            Some(index) => {
                let count = devices.len();
                let device = devices.get(index).copied();
                device.ok_or(OrderError::UnknownDevice { index, count })
            }
            None => {
                let mut newest_first = devices.iter().rev();
                let connected = newest_first.find(|device| client.is_connected(device));
                let device = connected.or(devices.last()).copied();
                device.ok_or(OrderError::NoDevice)
            }
        }
    }

    /// Gives every channel a number, those too that are being opened.
    fn note_channels(&self) {
        let channels = self.shared.person.client.channels();
        let mut roster = self.roster();
        for channel in &channels {
            roster.note(channel);
        }
    }

    async fn accept(self, mut proposals: Proposals) {
        while let Some(proposal) = proposals.next().await {
            if let Err(reason) = self.check(&proposal) {
                let peer = proposal.peer();
                tracing::info!(
                    "A proposal of {} is rejected: {reason}",
                    Hex(peer.as_bytes())
                );
                proposal.reject(reason);
                continue;
            }
            let counterpart = self.clone();
            tokio::spawn(async move {
                match proposal.accept().await {
                    Ok(channel) => {
                        let index = counterpart.roster().note(&channel);
                        tracing::info!("Channel {index}, which the device has proposed, is open");
                    }
                    Err(error) => tracing::info!("A channel was not opened: {error}"),
                }
            });
        }
    }

    /// Whether to accept.
    fn check(&self, proposal: &IncomingProposal) -> Result<(), &'static str> {
        let Policy {
            with_any, deposits, ..
        } = &self.shared.policy;
        if !with_any && !lock(&self.shared.devices).contains(&proposal.peer()) {
            return Err("not a device that I know");
        }
        if proposal.terms().assets != [self.shared.asset] {
            return Err("not the token that I pay with");
        }
        if proposal
            .our_deposit()
            .iter()
            .any(|ours| *ours > deposits[0])
        {
            return Err("I would have to deposit more than I want");
        }
        self.note_channels();
        if self.roster().live() >= MAX_CHANNELS {
            return Err("I have too many channels");
        }
        Ok(())
    }

    /// Tells what happens, and remembers what has to be.
    async fn follow(self, mut events: Events) {
        loop {
            match events.next().await {
                Ok(notification) => self.notice(notification),
                Err(EventsError::Missed { .. }) => {}
                Err(EventsError::Stopped) => return,
            }
        }
    }

    fn notice(&self, notification: Notification) {
        let index = notification
            .channel
            .and_then(|id| self.shared.person.client.channel(&id))
            .map(|channel| self.roster().note(&channel));
        let of = index.map_or_else(String::new, |index| format!("Channel {index}: "));
        match notification.event {
            ClientEvent::Connected { peer } => {
                self.meet(peer);
                tracing::info!("{} is connected", Hex(peer.as_bytes()));
            }
            ClientEvent::Disconnected { peer } => {
                tracing::info!("{} is no longer connected", Hex(peer.as_bytes()));
            }
            ClientEvent::Channel(Event::Requested(request)) => {
                tracing::info!("{of}the device asks for {} units", request.amount.units());
                self.roster().ask(request);
            }
            ClientEvent::Channel(Event::Received { version, payments }) => {
                let (version, count) = (version.number(), payments.count());
                tracing::info!("{of}{count} payments received, version {version}");
            }
            ClientEvent::Channel(Event::Disputed {
                registered,
                timeout,
                ..
            }) => {
                let now = self.shared.person.client.chain().clock().now();
                let left_ns = now.map_or(0, |now| timeout.nanos_since(now));
                let left = Duration::from_nanos(left_ns).as_secs();
                tracing::info!("{of}disputed with {registered:?}, for {left} s more");
            }
            ClientEvent::Channel(Event::Closed { .. }) => tracing::info!("{of}closed"),
            ClientEvent::CallFailed { error } => tracing::warn!("{of}{error}"),
            ClientEvent::NotFollowed { error } => tracing::warn!("{error}"),
            ClientEvent::StoreFailed { error } => tracing::error!("{error}"),
            ClientEvent::Misbehaved { peer, how } => {
                let peer = Hex(peer.as_bytes());
                let how = how.map_or_else(String::new, |how| format!(": {how}"));
                tracing::warn!("{of}{peer} broke the protocol{how}");
            }
            _ => {}
        }
    }

    /// A peer is there. Where any will do, it is a device from now on.
    fn meet(&self, peer: PublicKey) {
        let Policy {
            with_any, devices, ..
        } = &self.shared.policy;
        let mut known = lock(&self.shared.devices);
        let has_room = known.len() < devices.len() + MAX_STRANGERS;
        if *with_any && has_room && !known.contains(&peer) {
            known.push(peer);
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        lock(&self.shared.roster)
    }
}

/// The shortest challenge duration that the adjudicator accepts and that is safe with the times of
/// `config`.
///
/// # Errors
/// What the adjudicator says.
pub async fn shortest_challenge(
    person: &Person,
    config: &Config,
) -> Result<ChallengeDuration, Failure> {
    let info = person.client.chain().adjudicator().info().await?;
    let safe = config.least_challenge_duration().as_secs_f64().ceil() as u32;
    let shortest = ChallengeDuration::from_secs(safe.max(info.min_challenge_duration_s));
    Ok(shortest.ok_or("no challenge duration is safe")?)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
