//! Everything that must survive, in stable memory and nowhere else.
//!
//! An upgrade therefore saves and restores nothing: the new code opens what the old code left.

mod log;
mod tree;

use std::cell::RefCell;

use candid::Principal;
use ic_stable_structures::memory_manager::{MemoryId, MemoryManager, VirtualMemory};
use ic_stable_structures::{DefaultMemoryImpl, Memory as _, StableBTreeMap, StableCell};
use perun_protocol::{AssetIdx, ChannelId, Timestamp};

use crate::channel::Channel;
use crate::clock::{Clock, Uptime};
use crate::config::Config;
use crate::journal::{Entry, JournalNumber};
use crate::store::log::{Log, Place, from_place, to_place};
use crate::store::tree::Tree;
use crate::stored::{Encoded, Stored};

type Memory = VirtualMemory<DefaultMemoryImpl>;
type Map<K, V> = StableBTreeMap<K, V, Memory>;

/// So many bytes of an id tell a finished channel from all others, as they tell Ethereum's accounts
/// apart: nobody finds params whose id begins as a given one does.
type FinishedKey = [u8; 20];

/// Stable memory is handed out in pieces of 2 MiB, and there are at most 32,768 of them: all tables
/// together have 64 GiB, of the 500 GiB that a canister can have. That is room for fifty million channels
/// with eight events each, or 440 million events, whose messages cost this canister more than 10¹⁵ cycles.
///
/// The size of the pieces cannot be changed later. Pieces of 16 MiB would reach to the end; but each of the
/// tables, most of which stay small, has at least one, so that an empty canister would pay for a quarter of
/// a GiB. Long before `stable_memory_bytes` in the metrics comes near the limit, new channels can have
/// another adjudicator, which their params name. Behind it nothing grows: every message that would write
/// an event traps and changes nothing.
const BUCKET_PAGES: u16 = 32;

// What lies in which part of stable memory. Never reuse a number; 11 was one.
const CONFIG: MemoryId = MemoryId::new(0);
const CLOCK: MemoryId = MemoryId::new(1);
const FEES: MemoryId = MemoryId::new(2);
const CHANNELS: MemoryId = MemoryId::new(3);
const WINDOWS: MemoryId = MemoryId::new(4);
const JOURNAL: MemoryId = MemoryId::new(5);
const IN_FLIGHT: MemoryId = MemoryId::new(6);
const NEXT_JOURNAL_NUMBER: MemoryId = MemoryId::new(7);
const EVENTS: MemoryId = MemoryId::new(8);
const EVENT_PLACES: MemoryId = MemoryId::new(9);
const LINKS: MemoryId = MemoryId::new(10);
const FINISHED: MemoryId = MemoryId::new(12);
const FINISHING: MemoryId = MemoryId::new(13);
const BALANCES: MemoryId = MemoryId::new(14);
const REGISTRATIONS: MemoryId = MemoryId::new(15);

/// Bytes of stable memory, by what lies there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StableBytes {
    /// Channels, and what is known of them beside the log.
    pub channels: u64,
    /// Finished channels.
    pub finished: u64,
    /// The event log.
    pub log: u64,
}

/// The tables.
pub struct Store {
    manager: MemoryManager<DefaultMemoryImpl>,
    config: StableCell<Stored<Option<Config>>, Memory>,
    clock: StableCell<Stored<Clock>, Memory>,
    fees: Map<Principal, u128>,
    channels: Map<[u8; 32], Encoded<Channel>>,
    // By deadline, so that the open windows are found without looking at the channels.
    windows: Map<(u64, [u8; 32]), ()>,
    journal: Map<u64, Encoded<Entry>>,
    in_flight: Map<([u8; 32], u8), u64>,
    next_journal_number: StableCell<u64, Memory>,
    /// What happened.
    pub(crate) log: Log<Memory>,
    /// What is certified of the registrations that are not concluded, by channel.
    pub(crate) registrations: Tree<Memory>,
    // Readings of the cycles balance, by time.
    balances: Map<u64, u128>,
    // By the beginning of the id: the position of the last event.
    finished: Map<FinishedKey, Place>,
    // What is to be finished, by when.
    finishing: Map<(u64, [u8; 32]), ()>,
    // The channel that was looked at last, as it is stored: a call looks at one channel many times.
    recent: RefCell<Option<(ChannelId, Channel)>>,
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
            log: Log::init(
                manager.get(EVENT_PLACES),
                manager.get(EVENTS),
                manager.get(LINKS),
            ),
            registrations: Tree::init(manager.get(REGISTRATIONS)),
            balances: Map::init(manager.get(BALANCES)),
            finished: Map::init(manager.get(FINISHED)),
            finishing: Map::init(manager.get(FINISHING)),
            recent: RefCell::default(),
            manager,
        }
    }

    /// How much of stable memory the tables take, in whole pages.
    pub fn stable_bytes(&self) -> StableBytes {
        let bytes = |ids: &[MemoryId]| {
            let pages = ids.iter().map(|id| self.manager.get(*id).size());
            pages.sum::<u64>() * 65_536
        };
        StableBytes {
            channels: bytes(&[CHANNELS, WINDOWS, REGISTRATIONS, FINISHING]),
            finished: bytes(&[FINISHED]),
            log: bytes(&[EVENTS, EVENT_PLACES, LINKS]),
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
        let mut recent = self.recent.borrow_mut();
        if recent.as_ref().is_none_or(|(of, _)| *of != id) {
            let stored = self.channels.get(id.as_bytes())?;
            *recent = Some((id, stored.decode()));
        }
        recent.as_ref().map(|(_, channel)| channel.clone())
    }

    pub fn set_channel(&mut self, id: ChannelId, channel: Channel) {
        let before = self.channels.insert(*id.as_bytes(), Encoded::of(&channel));
        self.recent.replace(Some((id, channel)));
        if before.is_none() {
            self.finished.remove(&finished_key(id));
        }
    }

    /// The position of the last event of a finished channel, `None` if it is not finished.
    pub fn finished(&self, id: ChannelId) -> Option<u64> {
        self.finished.get(&finished_key(id)).map(from_place)
    }

    /// Forgets a channel but for where its last event is.
    pub fn finish(&mut self, id: ChannelId, last_event: u64) {
        self.channels.remove(id.as_bytes());
        self.recent.take();
        self.finished.insert(finished_key(id), to_place(last_event));
    }

    /// Remembers to look at `due` whether a channel can be finished.
    pub fn add_finishing(&mut self, due: Timestamp, id: ChannelId) {
        self.finishing.insert((due.nanos(), *id.as_bytes()), ());
    }

    /// The next channel to be looked at, if its time has come.
    pub fn take_finishing(&mut self, now: Timestamp) -> Option<ChannelId> {
        let ((due, id), ()) = self.finishing.first_key_value()?;
        (due <= now.nanos()).then(|| {
            self.finishing.pop_first();
            ChannelId::from_bytes(id)
        })
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
        Some(stored.decode())
    }

    /// Writes a new entry and marks its channel and asset as in flight.
    pub fn add_entry(&mut self, number: JournalNumber, entry: Entry) {
        let place = (*entry.channel.as_bytes(), entry.asset.number());
        self.in_flight.insert(place, number.0);
        self.set_entry(number, &entry);
    }

    /// Writes an entry whose channel and asset stay the same.
    pub fn set_entry(&mut self, number: JournalNumber, entry: &Entry) {
        self.journal.insert(number.0, Encoded::of(entry));
    }

    /// Forgets an entry whose outcome is known.
    pub fn remove_entry(&mut self, number: JournalNumber) {
        if let Some(entry) = self.journal.remove(&number.0).map(|stored| stored.decode()) {
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
            .map(|entry| (JournalNumber(*entry.key()), entry.value().decode()))
            .collect()
    }

    pub fn entry_count(&self) -> u64 {
        self.journal.len()
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
}

fn finished_key(id: ChannelId) -> FinishedKey {
    let (key, _) = id.as_bytes().split_first_chunk().expect("an id is longer");
    *key
}
