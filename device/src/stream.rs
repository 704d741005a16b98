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
use perun_protocol::{ChannelId, Version};
use perun_watch_stream::{Author, Heard, ReceiveError, SendError, Watcher};

pub use self::flash::StreamStore;
use crate::store::{Store, StoreError};
use crate::{Clock, Device, Random};

/// What can't be sent, and why.
pub type PublishError<E> = SendError<StoreError<E>>;

/// Publishes one channel of a device.
pub struct Publisher<F: NorFlash> {
    author: Author<StreamStore<F>>,
    /// The announcement has gone out since the start.
    is_announced: bool,
    /// The newest version that was published, in which epoch's packet it lies, and when it went out last.
    published: Option<Published>,
    /// What goes out again next, while acks are late.
    repeats: Repeat,
    heartbeat_ns: u64,
}

#[derive(Clone, Copy)]
struct Published {
    version: Version,
    sent_ns: u64,
}

/// Either of the two messages that a watcher needs may have been lost.
#[derive(Clone, Copy)]
enum Repeat {
    Keyload,
    Packet,
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
    pub fn start(
        store: Store<F>,
    ) -> Result<Option<Self>, perun_watch_stream::StartError<StoreError<F::Error>>> {
        let author = Author::start(StreamStore::new(store))?;
        Ok(author.map(Self::assemble))
    }

    fn assemble(author: Author<StreamStore<F>>) -> Self {
        Self {
            author,
            is_announced: false,
            published: None,
            repeats: Repeat::Keyload,
            heartbeat_ns: 0,
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
    pub fn remove(
        &mut self,
        watcher: perun_watch_stream::WatcherId,
    ) -> Result<(), PublishError<F::Error>> {
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
        if !self.author.watchers().iter().any(Watcher::is_subscribed) {
            return Ok(None);
        }
        let now_ns = device.uptime_ns();
        let times = device.settings().times;
        if self.author.is_epoch_due() {
            let (_, mut random) = device.key_and_random();
            let keyload = self.author.open_epoch(&mut random)?.to_vec();
            // Whoever was let in by it has nothing yet.
            self.published = None;
            return Ok(Some(keyload));
        }
        let channel = self.author.about().channel();
        let Some(newest) = device.newest(&channel) else {
            return Ok(None);
        };
        match self.published {
            Some(published) if published.version >= newest => {
                let is_late = !self.is_stored_by_all(published.version)
                    && now_ns >= published.sent_ns.saturating_add(times.retry_ns);
                if is_late {
                    return Ok(self.repeat(published.version, now_ns));
                }
            }
            _ => {
                let is_whole = !self.author.watchers().iter().all(knows_the_channel);
                let Some(order) = device.order(&channel, is_whole) else {
                    return Ok(None);
                };
                let packet = self.author.publish(newest, &[], &order)?.to_vec();
                self.note(newest, now_ns);
                return Ok(Some(packet));
            }
        }
        if now_ns < self.heartbeat_ns {
            return Ok(None);
        }
        self.heartbeat_ns = now_ns.saturating_add(times.poll_ns);
        let heartbeat = self.author.heartbeat(&[])?;
        Ok(Some(heartbeat.to_vec()))
    }

    /// When [`Publisher::poll_transmit`] has something in any case, in nanoseconds of the device's uptime.
    pub fn poll_timeout<D: NorFlash, R: Random, C: Clock>(
        &self,
        device: &Device<D, R, C>,
    ) -> Option<u64> {
        if !self.author.watchers().iter().any(Watcher::is_subscribed) {
            return None;
        }
        let retry_ns = device.settings().times.retry_ns;
        let late = self
            .published
            .filter(|it| !self.is_stored_by_all(it.version));
        let late_ns = late.map(|it| it.sent_ns.saturating_add(retry_ns));
        Some(late_ns.map_or(self.heartbeat_ns, |ns| ns.min(self.heartbeat_ns)))
    }

    /// Gives the store back.
    pub fn into_store(self) -> Store<F> {
        self.author.into_storage().into_store()
    }

    fn note(&mut self, version: Version, sent_ns: u64) {
        self.published = Some(Published { version, sent_ns });
        self.repeats = Repeat::Keyload;
    }

    /// The keyload and the packet, in turn.
    fn repeat(&mut self, version: Version, now_ns: u64) -> Option<Vec<u8>> {
        match self.repeats {
            Repeat::Keyload => {
                self.repeats = Repeat::Packet;
                self.author.keyload().map(<[u8]>::to_vec)
            }
            Repeat::Packet => {
                self.note(version, now_ns);
                self.author.packet().map(<[u8]>::to_vec)
            }
        }
    }

    fn is_stored_by_all(&self, version: Version) -> bool {
        let watchers = self.author.watchers().iter();
        let mut subscribed = watchers.filter(|watcher| watcher.is_subscribed());
        subscribed.all(|watcher| watcher.acked().is_some_and(|it| it.version >= version))
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

/// Whether a watcher has the channel's params: it has stored a state since the start.
fn knows_the_channel(watcher: &Watcher) -> bool {
    !watcher.is_subscribed() || watcher.acked().is_some()
}
