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
    /// What the relay is to be given again, whatever else is due.
    again: Again,
    /// This is an old copy of the stream, by a watcher's word.
    is_jump_due: bool,
    /// It was taken at its word once, which is enough for one run.
    has_jumped: bool,
    /// The last attempt failed; the next one is then.
    retry: Option<Timestamp>,
}

/// Which messages go out again, first to last.
#[derive(Clone, Copy)]
struct Again {
    announcement: bool,
    keyload: bool,
    packet: bool,
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
            again: Again {
                announcement: true,
                keyload: false,
                packet: false,
            },
            is_jump_due: false,
            has_jumped: false,
            retry: None,
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

    /// Leaves a wide range of numbers and epochs out: for a store that holds an old copy of the stream, whose
    /// watchers have seen more. A watcher's word for that ([`Heard::Acked`], `is_ahead`) has the same effect
    /// before anything else is published, but once in a run only, since watchers can lie and there is room for
    /// 65,535 jumps.
    ///
    /// # Errors
    /// The store failed, or there is no room left: the stream has to be made anew.
    pub fn jump(&mut self) -> Result<(), PublishError<F::Error>> {
        self.author.jump()?;
        self.has_jumped = true;
        self.is_jump_due = false;
        Ok(())
    }

    /// The relay may have lost what it had, or is another one: announcement, keyload and packet go out again.
    pub const fn reconnected(&mut self) {
        self.again = Again {
            announcement: true,
            keyload: true,
            packet: true,
        };
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
        let told = match heard {
            Heard::Acked {
                acked, is_ahead, ..
            } => {
                self.is_jump_due |= is_ahead && !self.has_jumped;
                Some(acked.version)
            }
            Heard::Subscribed(_) | Heard::Unsubscribed(_) => None,
        };
        let channel = self.author.about().channel();
        let guards = device.settings().stream_guards;
        device.handle_streamed(&channel, told, self.stored_by(guards));
        // The time of an alarm ends with the ack that made the state guarded.
        self.guard(device);
        Ok(heard)
    }

    /// What goes to the relay next, if anything now. To be asked until there is nothing, after everything
    /// that happens and at [`Publisher::poll_timeout`].
    ///
    /// # Errors
    /// The store failed; or the stream's numbers are used up, and it has to be made anew; or
    /// [`TooLong`](SendError::TooLong): what introduces the channel does not fit into a packet, as with many
    /// assets, and no watcher can follow it. All but the first come again with each attempt.
    pub fn poll_transmit<D: NorFlash, R: Random, C: Clock>(
        &mut self,
        device: &mut Device<D, R, C>,
    ) -> Result<Option<Vec<u8>>, PublishError<F::Error>> {
        let now = Timestamp::from_nanos(device.uptime_ns());
        let next = self.next(device, now);
        let retry = now.saturating_add_nanos(device.settings().times.retry_ns);
        self.retry = next.is_err().then_some(retry);
        next
    }

    fn next<D: NorFlash, R: Random, C: Clock>(
        &mut self,
        device: &mut Device<D, R, C>,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, PublishError<F::Error>> {
        if self.is_jump_due {
            self.jump()?;
        }
        if let Some(message) = self.next_again() {
            return Ok(Some(message));
        }
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
        let Some(newest) = device.newest(&channel) else {
            return Ok(None);
        };
        schedule.signed(newest, now);
        if self.author.recipient_count() == 0 {
            return Ok(None);
        }
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
                self.again.keyload = true;
                self.again.packet = true;
                self.next_again()
            }
            Some(Due::Heartbeat) => {
                let heartbeat = self.author.heartbeat(&[])?.to_vec();
                schedule.beaten(now);
                Some(heartbeat)
            }
            _ => None,
        })
    }

    fn next_again(&mut self) -> Option<Vec<u8>> {
        if core::mem::take(&mut self.again.announcement) {
            return Some(self.author.announcement().to_vec());
        }
        let is_keyload_next = core::mem::take(&mut self.again.keyload);
        if let Some(keyload) = self.author.keyload().filter(|_| is_keyload_next) {
            return Some(keyload.to_vec());
        }
        let is_packet_next = core::mem::take(&mut self.again.packet);
        // One of an earlier epoch is followed by one of this epoch anyway.
        let is_packet_next = is_packet_next && self.author.is_packet_current();
        let packet = self.author.packet().filter(|_| is_packet_next);
        packet.map(<[u8]>::to_vec)
    }

    /// When [`Publisher::poll_transmit`] has something even if nothing else happens until then, in nanoseconds
    /// of the device's uptime. After an error, when it is worth trying again. `None` if time alone brings
    /// nothing: the channel has no state yet, nobody has subscribed, or it is over ([`Publisher::is_over`]).
    pub fn poll_timeout<D: NorFlash, R: Random, C: Clock>(
        &self,
        device: &Device<D, R, C>,
    ) -> Option<u64> {
        if let Some(retry) = self.retry {
            return Some(retry.nanos());
        }
        let is_at_once =
            self.is_jump_due || self.again.announcement || self.again.keyload || self.again.packet;
        if is_at_once {
            return Some(device.uptime_ns());
        }
        device.newest(&self.author.about().channel())?;
        let due = self.schedule.as_ref()?.poll_timeout(&self.author);
        (self.author.recipient_count() > 0).then_some(due.nanos())
    }

    /// Whether the device no longer has the channel, so that the publisher is to be dropped.
    pub fn is_over<D: NorFlash, R: Random, C: Clock>(&self, device: &Device<D, R, C>) -> bool {
        !device.has_channel(&self.author.about().channel())
    }

    /// Whether the newest state that both have signed is safe with those who follow. [`Guard::Alarm`] when it
    /// has not been for longer than [`Policy::alarm_ns`]: the relay keeps messages back, too few watchers are
    /// awake, or it can't be published. Asked before anything was sent, it is [`Guard::Waiting`].
    pub fn guard<D: NorFlash, R: Random, C: Clock>(&mut self, device: &Device<D, R, C>) -> Guard {
        let now = Timestamp::from_nanos(device.uptime_ns());
        let Some(schedule) = &mut self.schedule else {
            return Guard::Waiting(0);
        };
        if let Some(newest) = device.newest(&self.author.about().channel()) {
            schedule.signed(newest, now);
        }
        schedule.guard(&self.author, now)
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
