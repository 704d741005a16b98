//! Watchers without links: each state of a channel is published in its watch stream, and counts as guarded
//! when enough of those who follow it have said that they have stored it.
//!
//! ```text
//! Device ──newest state──> Publisher ──keyloads, packets, heartbeats──> relay ──> watchers
//!   ^                          │ ^                                                  │
//!   └────── k have it ─────────┘ └───────────────────── acks <──────────────────────┘
//! ```
//!
//! A packet carries what a link's [`Watch`](perun_protocol::remote::Watch) does: whole, with the channel's
//! params and authorisations, until every watcher has said that it has stored some state, and the newest
//! state alone from then on. [`Settings::stream_guards`](crate::Settings::stream_guards) says how many of
//! them must have a state, besides the linked watcher that sees the channel for the device.
//!
//! Whoever drives it carries bytes, as for links: what [`Publisher::poll_transmit`] gives goes to the relay,
//! what the relay brings goes to [`Publisher::receive`]. A message that is lost is sent again when its ack is
//! late.

mod flash;

use alloc::vec::Vec;

use embedded_storage::nor_flash::NorFlash;
use perun_protocol::{ChannelId, Timestamp, Version};
use perun_watch_stream::{
    Author, Due, Guard, Heard, Policy, ReceiveError, Schedule, SendError, StartError, Watcher,
    WatcherId,
};

pub use self::flash::StreamStore;
use crate::store::{Store, StoreError};
use crate::{Clock, Device, Random, Settings};

/// What can't be sent, and why.
pub type PublishError<E> = SendError<StoreError<E>>;

/// Publishes one channel of a device.
pub struct Publisher<F: NorFlash> {
    author: Author<StreamStore<F>>,
    /// `None` before the first look at the device's settings.
    schedule: Option<Schedule>,
    /// The announcement has gone out since the start.
    is_announced: bool,
    /// The keyload has just gone out again, and the packet follows.
    is_packet_next: bool,
}

impl<F: NorFlash> Publisher<F> {
    /// Makes a stream for a channel of the device, in place of whatever `store` holds of one. The store is
    /// not the device's own.
    ///
    /// # Errors
    /// The store's.
    pub fn create<D: NorFlash, R: Random, C: Clock>(
        device: &mut Device<D, R, C>,
        store: Store<F>,
        channel: ChannelId,
    ) -> Result<Self, StoreError<F::Error>> {
        let (key, mut random) = device.key_and_random();
        let author = Author::create(StreamStore::new(store), channel, &*key, &mut random)?;
        Ok(Self::assemble(author))
    }

    /// Goes on with the stream that `store` holds; `None` if it holds none.
    ///
    /// # Errors
    /// The store's, or what it holds is no stream, or its numbers are used up.
    pub fn start(store: Store<F>) -> Result<Option<Self>, StartError<StoreError<F::Error>>> {
        let author = Author::start(StreamStore::new(store))?;
        Ok(author.map(Self::assemble))
    }

    fn assemble(author: Author<StreamStore<F>>) -> Self {
        Self {
            author,
            schedule: None,
            is_announced: false,
            is_packet_next: false,
        }
    }

    /// The author: its announcement, which watchers need to follow it, and what it knows of them.
    pub const fn author(&self) -> &Author<StreamStore<F>> {
        &self.author
    }

    /// Lets the owner of this Ed25519 key subscribe. True if it was not allowed before.
    ///
    /// # Errors
    /// There are too many, or the store failed.
    pub fn allow(&mut self, signing_key: [u8; 32]) -> Result<bool, PublishError<F::Error>> {
        self.author.allow(signing_key)
    }

    /// Takes a watcher out. It can't read what is published afterwards.
    ///
    /// # Errors
    /// There is no such watcher, or the store failed.
    pub fn remove(&mut self, watcher: WatcherId) -> Result<(), PublishError<F::Error>> {
        self.author.remove(watcher)
    }

    /// Takes up what the relay brings, and tells the device what enough watchers have stored.
    ///
    /// # Errors
    /// It is refused, and nothing has changed; or the store failed.
    pub fn receive<D: NorFlash, R: Random, C: Clock>(
        &mut self,
        device: &mut Device<D, R, C>,
        bytes: &[u8],
    ) -> Result<Heard, ReceiveError<StoreError<F::Error>>> {
        let heard = self.author.receive(bytes)?;
        if let Heard::Acked { acked, .. } = heard {
            let channel = self.author.about().channel();
            let guards = device.settings().stream_guards;
            device.handle_streamed(&channel, acked.version, self.stored_by(guards));
        }
        Ok(heard)
    }

    /// What goes to the relay next, if anything now. To be asked until there is nothing, after everything
    /// that happens and at [`Publisher::poll_timeout`].
    ///
    /// # Errors
    /// The store failed; or the stream's numbers are used up, and it has to be made anew.
    pub fn poll_transmit<D: NorFlash, R: Random, C: Clock>(
        &mut self,
        device: &mut Device<D, R, C>,
    ) -> Result<Option<Vec<u8>>, PublishError<F::Error>> {
        if !self.is_announced {
            self.is_announced = true;
            return Ok(Some(self.author.announcement().to_vec()));
        }
        if self.is_packet_next {
            self.is_packet_next = false;
            return Ok(self.author.packet().map(<[u8]>::to_vec));
        }
        let now = Timestamp::from_nanos(device.uptime_ns());
        let policy = policy(device.settings());
        let schedule = self.schedule.get_or_insert(Schedule::new(policy, now));
        let due = schedule.poll(&self.author, now);
        if due == Some(Due::Keyload) {
            let (_, mut random) = device.key_and_random();
            let keyload = self.author.open_epoch(&mut random)?.to_vec();
            schedule.opened(now);
            return Ok(Some(keyload));
        }
        let channel = self.author.about().channel();
        let newest = device.newest(&channel);
        let Some(newest) = newest.filter(|_| self.author.recipient_count() > 0) else {
            return Ok(None);
        };
        if due == Some(Due::State) || Some(newest) > self.author.published() {
            let is_whole = !self.author.watchers().iter().all(knows_the_channel);
            let order = device.order(&channel, is_whole);
            let order = order.expect("the channel has a newest state");
            let packet = self.author.publish(newest, &[], &order)?.to_vec();
            schedule.published(newest, now);
            return Ok(Some(packet));
        }
        Ok(match due {
            Some(Due::Again) => {
                schedule.sent_again(now);
                self.is_packet_next = true;
                self.author.keyload().map(<[u8]>::to_vec)
            }
            Some(Due::Heartbeat) => {
                let heartbeat = self.author.heartbeat(&[])?.to_vec();
                schedule.beaten(now);
                Some(heartbeat)
            }
            _ => None,
        })
    }

    /// When [`Publisher::poll_transmit`] has something in any case, in nanoseconds of the device's uptime;
    /// `None` once the channel is over, which is when the publisher is to be dropped.
    pub fn poll_timeout<D: NorFlash, R: Random, C: Clock>(
        &self,
        device: &Device<D, R, C>,
    ) -> Option<u64> {
        device.newest(&self.author.about().channel())?;
        let due = self.schedule.as_ref()?.poll_timeout(&self.author);
        (self.author.recipient_count() > 0).then_some(due.nanos())
    }

    /// Whether the newest state is safe with those who follow. [`Guard::Alarm`] when it has not been for
    /// longer than [`Policy::alarm_ns`]: the relay keeps messages back, or too few watchers are awake.
    /// Asked before anything was sent, it is [`Guard::Waiting`].
    pub fn guard<D: NorFlash, R: Random, C: Clock>(&mut self, device: &Device<D, R, C>) -> Guard {
        let now = Timestamp::from_nanos(device.uptime_ns());
        match &mut self.schedule {
            Some(schedule) => schedule.guard(&self.author, now),
            None => Guard::Waiting(0),
        }
    }

    /// Gives the store back.
    pub fn into_store(self) -> Store<F> {
        self.author.into_storage().into_store()
    }

    /// The highest version that as many watchers have stored.
    fn stored_by(&self, count: usize) -> Option<Version> {
        let watchers = self.author.watchers().iter();
        let subscribed = watchers.filter(|watcher| watcher.is_subscribed());
        let mut stored: Vec<_> = subscribed
            .filter_map(|watcher| Some(watcher.acked()?.version))
            .collect();
        stored.sort_unstable_by(|one, other| other.cmp(one));
        stored.get(count.checked_sub(1)?).copied()
    }
}

/// Sent again and told of at the device's own pace.
fn policy(settings: &Settings) -> Policy {
    Policy {
        guards: settings.stream_guards,
        resend_ns: settings.times.retry_ns,
        heartbeat_ns: settings.times.poll_ns,
        ..Policy::USUAL
    }
}

/// Whether a watcher has the channel's params: it has stored a state since the start.
fn knows_the_channel(watcher: &Watcher) -> bool {
    !watcher.is_subscribed() || watcher.acked().is_some()
}
