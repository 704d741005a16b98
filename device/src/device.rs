//! The device: its key, channels, links, watchers and flash, and what happens between them.

mod commands;
mod linking;
mod opening;
mod streaming;
mod watchers;

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

use embedded_storage::nor_flash::NorFlash;
use perun_link::Credentials;
use perun_protocol::channel::Output;
use perun_protocol::signature::Signer as _;
use perun_protocol::{Amount, ChannelId, PublicKey, SecretKey, Timestamp, Version};

use self::opening::{Incoming, Outgoing};
use crate::driver::{Driver, Machine};
use crate::link::Link;
use crate::records::{self, StoredOpening, StoredState};
use crate::spending::Carried;
use crate::store::{Store, StoreError};
use crate::time::ChainTime;
use crate::{Clock, Event, Random, Settings, StartError};

pub use self::opening::ChannelTerms;

/// Events that wait to be fetched; of more, the oldest are forgotten.
const MAX_EVENTS: usize = 24;

/// What a device is made of.
pub struct Parts<F, R, C> {
    /// Its store ([`Store::open`]).
    pub store: Store<F>,
    /// Its source of randomness.
    pub random: R,
    /// Its clock.
    pub clock: C,
}

/// A device. See the crate's documentation.
pub struct Device<F, R, C> {
    settings: Settings,
    key: Rc<SecretKey>,
    credentials: Credentials,
    store: Store<F>,
    random: R,
    clock: C,
    time: ChainTime,
    /// When each watcher was asked for the time alone, and has not answered.
    time_asked_ns: Vec<Option<u64>>,
    /// When all of them were asked last.
    time_last_ns: u64,
    links: Vec<Link>,
    links_so_far: u32,
    drivers: Vec<Driver>,
    outgoing: Vec<Outgoing>,
    incoming: Vec<Incoming>,
    requests_so_far: u64,
    carried: Vec<Carried>,
    events: VecDeque<Event>,
    missed: u32,
    has_stopped: bool,
}

/// How a channel is at present.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Its name.
    pub id: ChannelId,
    /// With whom it is.
    pub peer: PublicKey,
    /// Whether payments can be made, as far as known.
    pub is_open: bool,
    /// Whether both sides know what the other knows.
    pub is_synced: bool,
    /// The newest version that both have signed.
    pub version: Option<Version>,
    /// The newest version that a watcher has stored, and as many of the stream's as the settings ask for.
    pub guarded: Option<Version>,
    /// What the device has of each asset in the newest state.
    pub balance: Vec<Amount>,
}

impl<F: NorFlash, R: Random, C: Clock> Device<F, R, C> {
    /// Starts: makes a key if the flash holds none, and restores all channels. Nothing is signed for
    /// them before a watcher and the peer have shown how far they are.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(parts: Parts<F, R, C>, settings: Settings) -> Result<Self, StartError<F::Error>> {
        let Parts {
            mut store,
            mut random,
            clock,
        } = parts;
        let key = Rc::new(read_key(&mut store, &mut random)?);
        check_watchers(&settings, &key.public_key())?;
        let entropy = draw(&mut random);
        let credentials = Credentials::new(&*key, settings.capacity.message, entropy);
        let credentials = credentials.expect("32 random bytes make a key");
        let mut given = Vec::new();
        let carried = match store.read(records::GIVEN, &mut given) {
            Ok(true) => records::decode_given(&given).ok_or(StartError::Record {
                what: "what was given away",
            })?,
            Ok(false) => Vec::new(),
            Err(error) => return Err(StartError::Store(error)),
        };
        let time_asked_ns = settings.watchers.iter().map(|_| None).collect();
        let first_request = u64::from_be_bytes(draw(&mut random)) >> 1;
        let mut device = Self {
            settings,
            key,
            credentials,
            store,
            random,
            clock,
            time: ChainTime::default(),
            time_asked_ns,
            time_last_ns: 0,
            links: Vec::new(),
            links_so_far: 0,
            drivers: Vec::new(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            // Not those of an earlier start.
            requests_so_far: first_request,
            carried,
            events: VecDeque::new(),
            missed: 0,
            has_stopped: false,
        };
        device.restore()?;
        device.settle();
        Ok(device)
    }

    /// Reads all channels. Here and elsewhere, functions are kept apart whose frames would otherwise
    /// lie on the stack under every signature.
    #[inline(never)]
    fn restore(&mut self) -> Result<(), StartError<F::Error>> {
        let slots: Vec<_> = self.store.keys().filter_map(records::slot_of).collect();
        slots
            .into_iter()
            .try_for_each(|slot| self.restore_slot(slot))
    }

    #[inline(never)]
    fn restore_slot(&mut self, slot: u8) -> Result<(), StartError<F::Error>> {
        let channels = self.settings.capacity.channels;
        let mut bytes = Vec::new();
        let found = self.store.read(records::opening(slot), &mut bytes);
        found.map_err(StartError::Store)?;
        if self.drivers.len() == channels {
            return Err(StartError::Capacity { channels });
        }
        let what = "a channel's opening";
        let opening = StoredOpening::decode(&bytes).ok_or(StartError::Record { what })?;
        let found = self.store.read(records::state(slot), &mut bytes);
        if !found.map_err(StartError::Store)? {
            // The power failed before anything of it was signed.
            let removed = self.store.remove(records::opening(slot));
            return removed.map_err(StartError::Store);
        }
        let what = "a channel's state";
        let state = StoredState::decode(&bytes).ok_or(StartError::Record { what })?;
        let StoredOpening {
            setup,
            peer,
            proposal,
        } = opening;
        if self.is_watcher(&peer) {
            return Err(StartError::WatcherHasInterest);
        }
        let state_length = bytes.len();
        let payments = state.pending.as_ref().map(|pending| &pending.payments[..]);
        let machine = Machine::restore(
            setup,
            self.settings.times.limits(),
            Rc::clone(&self.key),
            &state.snapshot,
            payments,
        );
        let machine = machine.map_err(|error| StartError::Channel { slot, error })?;
        let guards = self.settings.guards();
        let driver = Driver::new(slot, peer, proposal, machine, guards);
        let mut driver = driver.restored(state.spending, state.pending);
        driver.state_length = state_length;
        self.drivers.push(driver);
        Ok(())
    }

    /// Who the device is: its off-chain identity, and the participant in its channels.
    pub fn identity(&self) -> PublicKey {
        self.key.public_key()
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the device has stopped, because its flash has failed or its clock was wrong: nothing
    /// happens any more before the next start.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    /// The store, to look at its wear.
    pub fn store(&self) -> &Store<F> {
        &self.store
    }

    /// Gives the store back, as when the power fails: nothing is written.
    pub fn into_store(self) -> Store<F> {
        self.store
    }

    /// What has happened next, `None` if there is nothing. To be asked after every other call.
    pub fn poll_event(&mut self) -> Option<Event> {
        if self.missed > 0 {
            let count = core::mem::take(&mut self.missed);
            return Some(Event::Missed { count });
        }
        self.events.pop_front()
    }

    /// The channels that are not over.
    pub fn channels(&self) -> Vec<Overview> {
        self.drivers.iter().map(overview).collect()
    }

    /// The adjudicator's time, the latest that it can be; `None` before a watcher has told it.
    pub fn chain_time(&mut self) -> Option<Timestamp> {
        self.time.now(self.clock.uptime_ns())
    }

    /// When [`Device::handle_timeout`] is to be called, in nanoseconds of uptime, unless something
    /// happens before.
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.has_stopped {
            return None;
        }
        let links = self.links.iter().map(Link::due_ns);
        let machines = self.drivers.iter().filter_map(|driver| {
            let due = driver.machine.poll_timeout()?;
            self.time.uptime_at(due)
        });
        let stores = self.drivers.iter().filter_map(Driver::store_due_ns);
        let proposals = self.outgoing.iter().map(Outgoing::due_ns);
        let patience_ns = self.settings.times.silence_ns;
        let unchecked = self.drivers.iter().filter(|driver| !driver.is_checked);
        let unchecked = unchecked.map(|_| patience_ns);
        // Once only: later it is the answers that are waited for.
        let unchecked = unchecked.filter(|due| *due > self.clock.uptime_ns());
        let all = links.chain(machines).chain(stores).chain(proposals);
        let first = all.chain(unchecked).min();
        [first, self.watchers_due_ns()].into_iter().flatten().min()
    }

    /// An instant told by [`Device::poll_timeout`] has come. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self) {
        let uptime_ns = self.clock.uptime_ns();
        self.check_links(uptime_ns);
        self.check_copies(uptime_ns);
        self.ask_for_time(uptime_ns);
        if let Some(now) = self.time.now(uptime_ns) {
            for driver in &mut self.drivers {
                if driver.machine.poll_timeout().is_some_and(|due| due <= now) {
                    driver.machine.handle_timeout(now);
                }
            }
            self.repeat_proposals(now, uptime_ns);
            self.forget_expired(now);
        }
        self.settle();
    }

    /// The time for the machines: the beginning of all times as long as nobody has told it, at
    /// which nothing is due and nothing was seen recently.
    fn now(&mut self) -> Timestamp {
        self.chain_time().unwrap_or_default()
    }

    /// Carries out whatever the machines want, as far as it can be.
    fn settle(&mut self) {
        if self.has_stopped {
            return;
        }
        let uptime_ns = self.clock.uptime_ns();
        self.charge_queued();
        for index in 0..self.drivers.len() {
            if self.carry_out(index, uptime_ns).is_err() {
                return self.fail();
            }
        }
        self.tell_watchers(uptime_ns);
        if self.retire_closed().is_err() {
            self.fail();
        }
    }

    fn carry_out(&mut self, index: usize, uptime_ns: u64) -> Result<(), StoreError<F::Error>> {
        let Self {
            drivers,
            store,
            settings,
            ..
        } = self;
        let driver = &mut drivers[index];
        let key = records::state(driver.slot);
        let later_ns = settings.times.store_later_ns;
        driver.take_outputs(uptime_ns, later_ns, |record| store.write(key, record))?;
        driver.store_later(uptime_ns, |record| store.write(key, record))?;
        while let Some(output) = self.drivers[index].next_output() {
            match output {
                Output::Send(message) => {
                    let peer = self.drivers[index].peer;
                    self.send(&peer, &message.encode());
                }
                Output::Notify(event) => {
                    let channel = self.drivers[index].machine.id();
                    self.tell(Event::Channel { channel, event });
                }
                Output::Persist(_) | Output::PersistLater(_) | Output::Call(_) => {
                    unreachable!("a driver keeps these to itself")
                }
            }
        }
        Ok(())
    }

    /// Forgets channels that are over.
    fn retire_closed(&mut self) -> Result<(), StoreError<F::Error>> {
        let is_over = |driver: &Driver| driver.machine.is_closed() && !driver.is_waiting();
        while let Some(index) = self.drivers.iter().position(is_over) {
            let driver = self.drivers.swap_remove(index);
            let now = self.now();
            let period_ns = self.settings.policy.period_ns;
            let assets = driver.machine.params().assets();
            let carried = driver.spending.carry(&driver.peer, assets);
            if !carried.is_empty() {
                self.carried.retain(|given| !given.is_over(now, period_ns));
                Carried::add(&mut self.carried, carried);
                let record = records::encode_given(&self.carried);
                self.store.write(records::GIVEN, &record)?;
            }
            // In this order: an opening without a state is no channel.
            self.store.remove(records::state(driver.slot))?;
            self.store.remove(records::opening(driver.slot))?;
        }
        Ok(())
    }

    /// The flash has failed: what it holds is only known after the next start.
    fn fail(&mut self) {
        self.stop(Event::StoreFailed);
    }

    /// Only a start helps.
    fn stop(&mut self, reason: Event) {
        self.has_stopped = true;
        self.links.clear();
        self.tell(reason);
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
            self.missed = self.missed.saturating_add(1);
        }
        self.events.push_back(event);
    }

    /// Goes on with channels of which enough watchers have said how far they are.
    pub(super) fn check_copies(&mut self, uptime_ns: u64) {
        let patience_ns = self.settings.times.silence_ns;
        let mut checked = Vec::new();
        for driver in &mut self.drivers {
            if driver.check(uptime_ns, patience_ns) {
                checked.push(driver.machine.id());
            }
        }
        for channel in checked {
            self.connect_channel(&channel);
        }
    }

    fn driver(&mut self, channel: &ChannelId) -> Option<&mut Driver> {
        let mut drivers = self.drivers.iter_mut();
        drivers.find(|driver| driver.machine.id() == *channel)
    }
}

fn overview(driver: &Driver) -> Overview {
    let machine = &driver.machine;
    Overview {
        id: machine.id(),
        peer: driver.peer,
        is_open: machine.is_open(),
        is_synced: machine.is_synced(),
        version: driver.newest(),
        guarded: driver.guarded(),
        balance: machine.balance(),
    }
}

/// The key in the flash, made if there is none.
#[inline(never)]
fn read_key<F: NorFlash>(
    store: &mut Store<F>,
    random: &mut impl Random,
) -> Result<SecretKey, StartError<F::Error>> {
    let mut bytes = Vec::new();
    let found = store.read(records::IDENTITY, &mut bytes);
    if found.map_err(StartError::Store)? {
        let key = bytes[..].try_into().ok();
        let key = key.and_then(SecretKey::from_bytes);
        return key.ok_or(StartError::Record { what: "the key" });
    }
    loop {
        let bytes = draw(random);
        if let Some(key) = SecretKey::from_bytes(&bytes) {
            let written = store.write(records::IDENTITY, &bytes);
            return written.map(|()| key).map_err(StartError::Store);
        }
    }
}

fn draw<const N: usize>(random: &mut impl Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

fn check_watchers<E>(settings: &Settings, us: &PublicKey) -> Result<(), StartError<E>> {
    if settings.watchers.is_empty() {
        return Err(StartError::NoWatcher);
    }
    let has_interest = |watcher| settings.policy.knows(watcher) || watcher == us;
    if settings.watchers.iter().any(has_interest) {
        return Err(StartError::WatcherHasInterest);
    }
    Ok(())
}
