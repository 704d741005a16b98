//! Everything that must survive, in stable memory and nowhere else.
//!
//! An upgrade therefore saves and restores nothing: the new code opens what the old code left.

use candid::Principal;
use ic_stable_structures::memory_manager::{MemoryId, MemoryManager, VirtualMemory};
use ic_stable_structures::{DefaultMemoryImpl, StableBTreeMap, StableCell, StableVec};
use perun_canister_api::{BlockHash, block_hash};
use perun_protocol::{AssetIdx, ChannelId, Timestamp};

use crate::channel::Channel;
use crate::clock::{Clock, Uptime};
use crate::config::Config;
use crate::event::Event;
use crate::journal::{Entry, JournalNumber};
use crate::stored::Stored;

type Memory = VirtualMemory<DefaultMemoryImpl>;
type Map<K, V> = StableBTreeMap<K, V, Memory>;

/// Stable memory is handed out in pieces of 2 MiB, so that ten small tables cost little and the
/// largest can still grow to 64 GiB.
const BUCKET_PAGES: u16 = 32;

// What lies in which part of stable memory. Never reuse a number.
const CONFIG: MemoryId = MemoryId::new(0);
const CLOCK: MemoryId = MemoryId::new(1);
const FEES: MemoryId = MemoryId::new(2);
const CHANNELS: MemoryId = MemoryId::new(3);
const WINDOWS: MemoryId = MemoryId::new(4);
const JOURNAL: MemoryId = MemoryId::new(5);
const IN_FLIGHT: MemoryId = MemoryId::new(6);
const NEXT_JOURNAL_NUMBER: MemoryId = MemoryId::new(7);
const EVENTS: MemoryId = MemoryId::new(8);
const CHANNEL_EVENTS: MemoryId = MemoryId::new(9);
const BLOCK_HASHES: MemoryId = MemoryId::new(10);
const UNFINISHED: MemoryId = MemoryId::new(11);
const BALANCES: MemoryId = MemoryId::new(32);

/// The tables.
pub struct Store {
    config: StableCell<Stored<Option<Config>>, Memory>,
    clock: StableCell<Stored<Clock>, Memory>,
    fees: Map<Principal, u128>,
    channels: Map<[u8; 32], Stored<Channel>>,
    // By deadline, so that the open windows are found without looking at the channels.
    windows: Map<(u64, [u8; 32]), ()>,
    journal: Map<u64, Stored<Entry>>,
    in_flight: Map<([u8; 32], u8), u64>,
    next_journal_number: StableCell<u64, Memory>,
    events: Map<u64, Stored<Event>>,
    channel_events: Map<([u8; 32], u64), ()>,
    // Of the events, by position.
    block_hashes: StableVec<BlockHash, Memory>,
    // What is certified of the registrations that are not concluded.
    unfinished: Map<[u8; 32], Vec<u8>>,
    // Readings of the cycles balance, by time.
    balances: Map<u64, u128>,
}

impl Store {
    /// Opens what lies in `memory`, or lays it out if it is empty.
    pub fn open(memory: DefaultMemoryImpl) -> Self {
        let manager = MemoryManager::init_with_bucket_size(memory, BUCKET_PAGES);
        Self {
            config: StableCell::init(manager.get(CONFIG), Stored(None)),
            clock: StableCell::init(manager.get(CLOCK), Stored(Clock::default())),
            fees: Map::init(manager.get(FEES)),
            channels: Map::init(manager.get(CHANNELS)),
            windows: Map::init(manager.get(WINDOWS)),
            journal: Map::init(manager.get(JOURNAL)),
            in_flight: Map::init(manager.get(IN_FLIGHT)),
            next_journal_number: StableCell::init(manager.get(NEXT_JOURNAL_NUMBER), 0),
            events: Map::init(manager.get(EVENTS)),
            channel_events: Map::init(manager.get(CHANNEL_EVENTS)),
            block_hashes: StableVec::init(manager.get(BLOCK_HASHES)),
            unfinished: Map::init(manager.get(UNFINISHED)),
            balances: Map::init(manager.get(BALANCES)),
        }
    }

    /// The set-up, `None` before the first installation has written one.
    pub fn config(&self) -> Option<&Config> {
        self.config.get().0.as_ref()
    }

    pub fn set_config(&mut self, config: Config) {
        self.config.set(Stored(Some(config)));
    }

    pub fn clock(&self) -> Clock {
        self.clock.get().0
    }

    pub fn set_clock(&mut self, clock: Clock) {
        self.clock.set(Stored(clock));
    }

    /// A ledger's fee as last seen.
    pub fn fee(&self, ledger: Principal) -> Option<u128> {
        self.fees.get(&ledger)
    }

    pub fn set_fee(&mut self, ledger: Principal, fee: u128) {
        self.fees.insert(ledger, fee);
    }

    pub fn channel(&self, id: ChannelId) -> Option<Channel> {
        let stored = self.channels.get(id.as_bytes())?;
        Some(stored.0)
    }

    pub fn has_channel(&self, id: ChannelId) -> bool {
        self.channels.contains_key(id.as_bytes())
    }

    pub fn set_channel(&mut self, id: ChannelId, channel: Channel) {
        self.channels.insert(*id.as_bytes(), Stored(channel));
    }

    pub fn channel_count(&self) -> u64 {
        self.channels.len()
    }

    /// Remembers that a window is open until `deadline`.
    pub fn open_window(&mut self, deadline: Uptime, id: ChannelId) {
        self.windows
            .insert((deadline.0.nanos(), *id.as_bytes()), ());
    }

    pub fn close_window(&mut self, deadline: Uptime, id: ChannelId) {
        self.windows.remove(&(deadline.0.nanos(), *id.as_bytes()));
    }

    /// Forgets windows that ended at or before `now`, some at a time.
    pub fn close_elapsed_windows(&mut self, now: Uptime) {
        const AT_ONCE: usize = 100;
        for _ in 0..AT_ONCE {
            match self.windows.first_key_value() {
                Some(((deadline, _), ())) if deadline <= now.0.nanos() => {
                    self.windows.pop_first();
                }
                _ => return,
            }
        }
    }

    pub fn has_open_window(&self) -> bool {
        !self.windows.is_empty()
    }

    /// How many windows are open, as far as is known.
    pub fn window_count(&self) -> u64 {
        self.windows.len()
    }

    /// A number that no entry ever had or will have.
    pub fn take_journal_number(&mut self) -> JournalNumber {
        let number = *self.next_journal_number.get();
        let next = number.checked_add(1);
        let next = next.expect("2^64 ledger calls take longer than anything lasts");
        self.next_journal_number.set(next);
        JournalNumber(number)
    }

    pub fn entry(&self, number: JournalNumber) -> Option<Entry> {
        let stored = self.journal.get(&number.0)?;
        Some(stored.0)
    }

    /// Writes an entry and marks its channel and asset as in flight.
    pub fn set_entry(&mut self, number: JournalNumber, entry: Entry) {
        let place = (*entry.channel.as_bytes(), entry.asset.number());
        self.in_flight.insert(place, number.0);
        self.journal.insert(number.0, Stored(entry));
    }

    /// Forgets an entry whose outcome is known.
    pub fn remove_entry(&mut self, number: JournalNumber) {
        if let Some(Stored(entry)) = self.journal.remove(&number.0) {
            let place = (*entry.channel.as_bytes(), entry.asset.number());
            self.in_flight.remove(&place);
        }
    }

    /// The entry that is under way for a channel and asset.
    pub fn in_flight(&self, id: ChannelId, asset: AssetIdx) -> Option<JournalNumber> {
        let number = self.in_flight.get(&(*id.as_bytes(), asset.number()))?;
        Some(JournalNumber(number))
    }

    /// The first `limit` entries from `start` on.
    pub fn entries(&self, start: JournalNumber, limit: usize) -> Vec<(JournalNumber, Entry)> {
        let entries = self.journal.range(start.0..).take(limit);
        entries
            .map(|entry| (JournalNumber(*entry.key()), entry.value().0))
            .collect()
    }

    pub fn entry_count(&self) -> u64 {
        self.journal.len()
    }

    /// Appends to the log and returns the event's position.
    pub fn log(&mut self, event: Event) -> u64 {
        let index = self.events.len();
        let channel = *event.channel.as_bytes();
        let parent = self.last_block().map(|(_, hash)| hash);
        let hash = block_hash(&event.to_record(index), parent.as_ref());
        self.block_hashes.push(&hash);
        self.events.insert(index, Stored(event));
        self.channel_events.insert((channel, index), ());
        index
    }

    /// The hash of an event's block.
    pub fn block_hash(&self, index: u64) -> Option<BlockHash> {
        self.block_hashes.get(index)
    }

    /// The position of the last event, and the hash of its block.
    pub fn last_block(&self) -> Option<(u64, BlockHash)> {
        let index = self.block_hashes.len().checked_sub(1)?;
        Some((index, self.block_hashes.get(index)?))
    }

    /// Remembers what is certified of a channel, if anything is.
    pub fn set_unfinished(&mut self, id: ChannelId, registration: Option<&[u8]>) {
        match registration {
            Some(registration) => {
                self.unfinished
                    .insert(*id.as_bytes(), registration.to_vec());
            }
            None => {
                self.unfinished.remove(id.as_bytes());
            }
        }
    }

    /// What is certified of channels.
    pub fn unfinished(&self) -> impl Iterator<Item = ([u8; 32], Vec<u8>)> {
        self.unfinished
            .iter()
            .map(|entry| (*entry.key(), entry.value()))
    }

    /// How many channels something is certified of.
    pub fn unfinished_count(&self) -> u64 {
        self.unfinished.len()
    }

    /// Adds a reading of the cycles balance; only the last `kept` are.
    pub fn add_balance(&mut self, at: Timestamp, cycles: u128, kept: u64) {
        self.balances.insert(at.nanos(), cycles);
        while self.balances.len() > kept {
            self.balances.pop_first();
        }
    }

    /// The readings of the cycles balance, oldest first.
    pub fn balances(&self) -> Vec<(u64, u128)> {
        let readings = self.balances.iter();
        readings
            .map(|reading| (*reading.key(), reading.value()))
            .collect()
    }

    pub fn event_count(&self) -> u64 {
        self.events.len()
    }

    /// The first `limit` events from position `start` on, of one channel or of all.
    pub fn events(&self, of: Option<ChannelId>, start: u64, limit: usize) -> Vec<(u64, Event)> {
        match of {
            None => {
                let events = self.events.range(start..).take(limit);
                events
                    .map(|event| (*event.key(), event.value().0))
                    .collect()
            }
            Some(id) => {
                let (first, last) = ((*id.as_bytes(), start), (*id.as_bytes(), u64::MAX));
                let keys = self.channel_events.keys_range(first..=last).take(limit);
                keys.filter_map(|(_, index)| Some((index, self.events.get(&index)?.0)))
                    .collect()
            }
        }
    }
}
