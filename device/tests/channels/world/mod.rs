//! A device with its flash, clock and streams, a peer, watchers, and the adjudicator, on one thread and
//! with a clock moved by hand.

pub mod chain;
pub mod host;
#[path = "../../store/nor.rs"]
#[allow(dead_code)]
pub mod nor;
pub mod peer;
pub mod watcher;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use perun_device::store::{Store, StoreError};
use perun_device::{
    Approval, AssetPolicy, Capacity, ChannelTerms, Clock, CommandError, Device, Event, LinkId,
    Parts, Policy, Random, Settings, StartError, Times,
};
use perun_protocol::channel;
use perun_protocol::payment::{PAYMENT_APP, Payment};
use perun_protocol::wire::{Proposal, Terms};
use perun_protocol::{
    Account, Amount, AssetId, AssetIdx, Balances, ChallengeDuration, ChannelId, Participant,
    Principal, PublicKey, Signer as _, Timestamp, Version,
};

use self::chain::Chain;
use self::host::HostLink;
use self::nor::{Dice, Failure, Nor, Tear};
use self::peer::Peer;
use self::watcher::Watcher;

pub const SECOND_NS: u64 = 1_000_000_000;
/// When the world begins, on the adjudicator's clock.
const BEGINNING_NS: u64 = 1_800_000_000 * SECOND_NS;
/// What anything takes at once.
const STEP_NS: u64 = SECOND_NS / 4;

/// Big words make few cut points.
pub type Flash = Nor<1, 16, 16384>;
pub type TestDevice = Device<SharedFlash, Chance, WorldClock>;

/// A flash that outlives a device which does not start.
#[derive(Clone, Debug)]
pub struct SharedFlash(Rc<RefCell<Flash>>);

impl ErrorType for SharedFlash {
    type Error = Failure;
}

impl ReadNorFlash for SharedFlash {
    const READ_SIZE: usize = Flash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failure> {
        self.0.borrow_mut().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

impl NorFlash for SharedFlash {
    const WRITE_SIZE: usize = Flash::WRITE_SIZE;
    const ERASE_SIZE: usize = Flash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failure> {
        self.0.borrow_mut().erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failure> {
        self.0.borrow_mut().write(offset, bytes)
    }
}

pub struct Chance(Dice);

impl Random for Chance {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.byte());
    }
}

/// Counts from the start of a device.
pub struct WorldClock {
    world_ns: Rc<Cell<u64>>,
    start_ns: u64,
}

impl Clock for WorldClock {
    fn uptime_ns(&self) -> u64 {
        self.world_ns.get() - self.start_ns
    }
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the device is at work, for who counts what it allocates.
#[allow(dead_code)]
pub fn inside() -> bool {
    INSIDE.try_with(Cell::get).unwrap_or(false)
}

/// The device is at work meanwhile.
pub fn within<T>(work: impl FnOnce() -> T) -> T {
    INSIDE.with(|inside| inside.set(true));
    let done = work();
    INSIDE.with(|inside| inside.set(false));
    done
}

pub fn principal(byte: u8) -> Principal {
    Principal::from_slice(&[byte; 10]).unwrap()
}

pub fn account(byte: u8) -> Account {
    Account {
        owner: principal(byte),
        subaccount: [byte; 32],
    }
}

pub fn asset() -> AssetId {
    AssetId::Icrc(principal(0x11))
}

pub fn units(amount: u128) -> Amount {
    Amount::new(amount)
}

pub struct World {
    pub device: Option<TestDevice>,
    pub settings: Settings,
    pub peer: Peer,
    pub watchers: Vec<Watcher>,
    /// Peers besides the first one, and the links to them.
    pub others: Vec<(Peer, Option<LinkId>)>,
    pub chain: Chain,
    pub events: Vec<Event>,
    world_ns: Rc<Cell<u64>>,
    starts: u64,
    peer_link: Option<LinkId>,
    watcher_links: Vec<Option<LinkId>>,
    /// Whether streams can be had.
    pub peer_reachable: bool,
    pub watchers_reachable: bool,
    pub power_cuts: usize,
    /// Failures of the flash that were dealt with.
    failures: usize,
    /// After how many steps the power fails again.
    pub cuts: Vec<u64>,
}

impl World {
    /// A device that was never started, with as many watchers.
    pub fn new(watchers: usize) -> Self {
        let peer = Peer::new(0x21);
        let watchers: Vec<_> = (0..watchers)
            .map(|n| Watcher::new(0x31 + n as u8))
            .collect();
        let settings = Settings {
            watchers: watchers.iter().map(|w| w.key.public_key()).collect(),
            stream_guards: 0,
            adjudicator: principal(0xad),
            receiver: account(0x41),
            policy: policy(peer.key.public_key()),
            times: Times::quick(),
            capacity: Capacity::default(),
        };
        Self {
            device: None,
            settings,
            watcher_links: watchers.iter().map(|_| None).collect(),
            peer,
            watchers,
            others: Vec::new(),
            chain: Chain::default(),
            events: Vec::new(),
            world_ns: Rc::new(Cell::new(1)),
            starts: 0,
            peer_link: None,
            peer_reachable: true,
            watchers_reachable: true,
            power_cuts: 0,
            failures: 0,
            cuts: Vec::new(),
        }
    }

    /// A world in which the device runs and knows the time.
    pub fn started(watchers: usize) -> Self {
        let mut world = Self::new(watchers);
        world.start(flash(Tear::Clean)).unwrap();
        world.run(4);
        world
    }

    /// A world with an open channel in which both have 1000.
    pub fn open(watchers: usize) -> Self {
        let mut world = Self::started(watchers);
        world.propose(Approval::None).unwrap();
        world.run(12);
        assert!(world.overview().is_open, "{:?}", world.events);
        world.events.clear();
        world.peer.events.clear();
        world
    }

    pub fn start(&mut self, flash: Flash) -> Result<(), StartError<Failure>> {
        self.start_on(SharedFlash(Rc::new(RefCell::new(flash))))
    }

    fn start_on(&mut self, flash: SharedFlash) -> Result<(), StartError<Failure>> {
        let store = Store::open(flash, 0..4 * 16384).map_err(StartError::Store)?;
        self.starts += 1;
        let parts = Parts {
            store,
            random: Chance(Dice::new(self.starts * 77)),
            clock: WorldClock {
                world_ns: Rc::clone(&self.world_ns),
                start_ns: self.world_ns.get(),
            },
        };
        let settings = self.settings.clone();
        self.device = Some(within(|| Device::start(parts, settings))?);
        Ok(())
    }

    /// The device as it is, without power; its flash.
    pub fn stop(&mut self) -> Flash {
        self.peer_link = None;
        self.watcher_links.fill(None);
        self.peer.unlinked();
        for (peer, link) in &mut self.others {
            peer.unlinked();
            *link = None;
        }
        self.watchers.iter_mut().for_each(|w| w.link = None);
        let device = self.device.take().unwrap();
        let flash = device.into_store().into_flash();
        let flash = flash.0.borrow();
        flash.clone()
    }

    pub fn restart(&mut self) {
        let flash = self.stop();
        self.start(flash).unwrap();
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(BEGINNING_NS + self.world_ns.get())
    }

    pub fn device(&mut self) -> &mut TestDevice {
        self.device.as_mut().unwrap()
    }

    pub fn overview(&mut self) -> perun_device::Overview {
        let channels = self.device().channels();
        let channel = channels.first();
        channel
            .unwrap_or_else(|| panic!("no channel: {:?}", self.events))
            .clone()
    }

    pub fn channel(&mut self) -> ChannelId {
        self.overview().id
    }

    pub fn balance(&mut self) -> u128 {
        self.overview().balance[0].units()
    }

    pub fn terms(&self, ours: u128, theirs: u128) -> ChannelTerms {
        ChannelTerms {
            balances: vec![(asset(), [units(ours), units(theirs)])],
            funding: None,
            challenge_duration: ChallengeDuration::from_secs(60).unwrap(),
            with_payment_app: true,
            funds_last: false,
        }
    }

    pub fn propose(&mut self, approval: Approval) -> Result<(), CommandError> {
        let terms = self.terms(1000, 1000);
        let peer = self.peer.key.public_key();
        let device = self.device();
        within(|| device.propose(&peer, terms, approval)).map(|_| ())
    }

    /// A proposal of the peer's in which both have this and deposit that.
    pub fn peers_proposal(&self, balances: [u128; 2], funding: [u128; 2]) -> Proposal {
        let table = |row: [u128; 2]| Balances::new(2, row.map(units).to_vec()).unwrap();
        let now = self.now();
        Proposal {
            terms: Terms {
                adjudicator: principal(0xad),
                assets: vec![asset()],
                challenge_duration: ChallengeDuration::from_secs(60).unwrap(),
                app: PAYMENT_APP,
                aux: [0; 32],
                balances: table(balances),
                funding: table(funding),
                fund_by: now.saturating_add_nanos(120 * SECOND_NS),
            },
            participant: Participant::Secp256k1(self.peer.key.public_key()),
            nonce_share: [0x77; 32],
            expires_at: now.saturating_add_nanos(60 * SECOND_NS),
        }
    }

    pub fn pay(&mut self, amount: u128, approval: Approval) -> Result<u64, CommandError> {
        let channel = self.channel();
        let payment = Payment {
            asset: AssetIdx::new(0),
            amount: units(amount),
            memo: None,
        };
        let device = self.device();
        within(|| device.pay(&channel, &payment, approval))
    }

    /// What the device has told of its channels.
    pub fn told(&self) -> Vec<&channel::Event> {
        let events = self.events.iter();
        events
            .filter_map(|event| match event {
                Event::Channel { event, .. } => Some(event),
                _ => None,
            })
            .collect()
    }

    pub fn received(&self) -> u128 {
        let told = self.told().into_iter();
        told.map(|event| match event {
            channel::Event::Received { payments, .. } => payments.total(AssetIdx::new(0)).units(),
            _ => 0,
        })
        .sum()
    }

    /// So many quarters of a second pass.
    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.world_ns.set(self.world_ns.get() + STEP_NS);
            self.connect();
            self.exchange();
            let now = self.now();
            for watcher in &mut self.watchers {
                watcher.act(&mut self.chain, now);
            }
            if let Some(device) = &mut self.device
                && device
                    .poll_timeout()
                    .is_some_and(|due| due <= self.world_ns.get())
            {
                within(|| device.handle_timeout());
            }
            self.exchange();
            self.recover();
        }
    }

    /// Makes streams anew.
    fn connect(&mut self) {
        let Some(device) = &mut self.device else {
            return;
        };
        let is_gone = |link: Option<LinkId>, device: &TestDevice| {
            link.is_none_or(|link| device.is_over(link))
        };
        if self.peer_reachable && is_gone(self.peer_link, device) {
            self.peer.unlinked();
            let peer = self.peer.key.public_key();
            if let Ok(link) = within(|| device.dialled(peer)) {
                self.peer_link = Some(link);
                let entropy = self.world_ns.get() as u8;
                self.peer.link = Some(HostLink::new(&self.peer.credentials, None, entropy));
            }
        }
        for (peer, link) in &mut self.others {
            if is_gone(*link, device) {
                peer.unlinked();
                let key = peer.key.public_key();
                *link = within(|| device.dialled(key)).ok();
                let entropy = self.world_ns.get() as u8;
                peer.link = link.map(|_| HostLink::new(&peer.credentials, None, entropy));
            }
        }
        for (watcher, link) in self.watchers.iter_mut().zip(&mut self.watcher_links) {
            if self.watchers_reachable && is_gone(*link, device) {
                let key = watcher.key.public_key();
                if let Ok(new) = within(|| device.dialled(key)) {
                    *link = Some(new);
                    let entropy = self.world_ns.get() as u8;
                    watcher.link = Some(HostLink::new(&watcher.credentials, None, entropy));
                }
            }
        }
    }

    /// Breaks the streams to the watchers.
    pub fn cut_off_watchers(&mut self) {
        self.watchers_reachable = false;
        for (watcher, link) in self.watchers.iter_mut().zip(&mut self.watcher_links) {
            watcher.link = None;
            if let Some(link) = link.take() {
                self.device.as_mut().unwrap().hung_up(link);
            }
        }
    }

    /// Carries bytes until nobody says anything any more.
    pub fn exchange(&mut self) {
        for _ in 0..200 {
            let now = self.now();
            let mut is_quiet = true;
            self.peer.linked(now);
            self.peer.act(&mut self.chain, now);
            let Self {
                device: Some(device),
                peer,
                watchers,
                others,
                chain,
                ..
            } = self
            else {
                return;
            };
            if let (Some(id), Some(link)) = (self.peer_link, &mut peer.link) {
                for message in carry(device, id, link, &mut is_quiet) {
                    peer.handle(&message, now);
                    peer.act(chain, now);
                }
            }
            for (peer, id) in others {
                peer.linked(now);
                peer.act(chain, now);
                if let (Some(id), Some(link)) = (*id, &mut peer.link) {
                    for message in carry(device, id, link, &mut is_quiet) {
                        peer.handle(&message, now);
                        peer.act(chain, now);
                    }
                }
            }
            for (watcher, id) in watchers.iter_mut().zip(&self.watcher_links) {
                if let (Some(id), Some(link)) = (*id, &mut watcher.link) {
                    for message in carry(device, id, link, &mut is_quiet) {
                        watcher.handle(&message, chain, now);
                    }
                }
            }
            while let Some(event) = device.poll_event() {
                self.events.push(event);
            }
            if is_quiet {
                return;
            }
        }
        panic!("they never fall silent");
    }

    /// Power again, if it has failed.
    fn recover(&mut self) {
        let failures = self.events.iter().filter(|e| **e == Event::StoreFailed);
        if failures.count() > self.failures {
            self.failures += 1;
            let flash = self.stop();
            self.power_again(flash);
        }
    }

    fn power_again(&mut self, mut flash: Flash) {
        self.power_cuts += 1;
        let next = (!self.cuts.is_empty()).then(|| self.cuts.remove(0));
        flash.power(next);
        self.start_through_cuts(flash);
    }

    /// Starts, again if the power fails meanwhile.
    pub fn start_through_cuts(&mut self, flash: Flash) {
        let shared = SharedFlash(Rc::new(RefCell::new(flash)));
        match self.start_on(shared.clone()) {
            Ok(()) => {}
            Err(StartError::Store(StoreError::Flash(Failure::PowerCut))) => {
                let flash = shared.0.borrow().clone();
                self.power_again(flash);
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub fn versions_signed_twice(&self) -> Vec<Version> {
        let theirs = 1;
        let mut seen = self.peer.seen.clone();
        for watcher in &self.watchers {
            let part = self.peer.machine.as_ref().unwrap().setup().part.index();
            let states = watcher.given.iter();
            seen.extend(states.map(|s| (s.version(), s.signatures()[theirs - part])));
        }
        let mut twice = Vec::new();
        for (version, signature) in &seen {
            let same = seen.iter().find(|(other, _)| other == version).unwrap();
            if same.1 != *signature {
                twice.push(*version);
            }
        }
        twice
    }
}

pub fn flash(tear: Tear) -> Flash {
    Nor::new(4, tear, 5)
}

pub fn policy(peer: PublicKey) -> Policy {
    Policy {
        peers: vec![peer],
        assets: vec![AssetPolicy {
            asset: asset(),
            per_payment: units(500),
            per_period: units(800),
            per_peer: units(700),
            ask_above: units(100),
            max_deposit: units(2000),
        }],
        period_ns: 3600 * SECOND_NS,
        max_challenge: ChallengeDuration::from_secs(3600).unwrap(),
        receive_only: false,
        accepts_proposals: true,
    }
}

/// Both ways, once; the messages that have arrived at the host.
fn carry(
    device: &mut TestDevice,
    id: LinkId,
    link: &mut HostLink,
    is_quiet: &mut bool,
) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    if let Some(bytes) = device.transmit(id).map(<[u8]>::to_vec) {
        device.transmitted(id, bytes.len());
        messages = link.feed(&bytes);
        *is_quiet = false;
    }
    let bytes = std::mem::take(&mut link.outgoing);
    if !bytes.is_empty() {
        *is_quiet = false;
        let _ = within(|| device.receive(id, &bytes));
    }
    messages
}
