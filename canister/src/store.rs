//! Everything that must survive, in stable memory and nowhere else.
//!
//! An upgrade therefore saves and restores nothing: the new code opens what the old code left.

mod journal;
mod keys;
mod known;
mod log;
mod table;
mod tree;

use candid::Principal;
use ic_stable_structures::memory_manager::{MemoryId, MemoryManager, VirtualMemory};
use ic_stable_structures::{DefaultMemoryImpl, Memory as _, StableBTreeMap, StableCell};
use perun_protocol::{AssetIdx, ChannelId, Timestamp};

use crate::channel::Channel;
use crate::clock::{Clock, Uptime};
use crate::config::Config;
use crate::journal::{Entry, JournalNumber};
use crate::store::journal::Journal;
use crate::store::keys::{TIME_BYTES, ZERO, key, part, time_of, timed};
use crate::store::known::{Found, Known};
use crate::store::log::{Log, Place, from_place, to_place};
use crate::store::table::Table;
use crate::store::tree::Tree;
use crate::stored::{Record as _, Stored, decode, encode};

type Memory = VirtualMemory<DefaultMemoryImpl>;

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

// What lies in which part of stable memory. Never reuse a number; 5, 6 and 11 were some.
const CONFIG: MemoryId = MemoryId::new(0);
const CLOCK: MemoryId = MemoryId::new(1);
const FEES: MemoryId = MemoryId::new(2);
const CHANNELS: MemoryId = MemoryId::new(3);
const WINDOWS: MemoryId = MemoryId::new(4);
const NEXT_JOURNAL_NUMBER: MemoryId = MemoryId::new(7);
const EVENTS: MemoryId = MemoryId::new(8);
const EVENT_PLACES: MemoryId = MemoryId::new(9);
const LINKS: MemoryId = MemoryId::new(10);
const FINISHED: MemoryId = MemoryId::new(12);
const FINISHING: MemoryId = MemoryId::new(13);
const BALANCES: MemoryId = MemoryId::new(14);
const REGISTRATIONS: MemoryId = MemoryId::new(15);
const JOURNAL: MemoryId = MemoryId::new(16);

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
    fees: Table,
    channels: Table,
    // By deadline, so that the open windows are found without looking at the channels.
    windows: Table,
    journal: Journal<Memory>,
    next_journal_number: StableCell<u64, Memory>,
    /// What happened.
    pub(crate) log: Log<Memory>,
    /// What is certified of the registrations that are not concluded, by channel.
    pub(crate) registrations: Tree<Memory>,
    // Readings of the cycles balance, by time.
    balances: Table,
    // By the beginning of the id: the position of the last event. These are the most, and shall take little.
    finished: StableBTreeMap<FinishedKey, Place, Memory>,
    // What is to be finished, by when.
    finishing: Table,
    known: Known,
}

impl Store {
    /// Opens what lies in `memory`, or lays it out if it is empty.
    pub fn open(memory: DefaultMemoryImpl) -> Self {
        let manager = MemoryManager::init_with_bucket_size(memory, BUCKET_PAGES);
        // First: its format tells whether the rest can be read.
        let config = StableCell::init(manager.get(CONFIG), Stored(None));
        let fees = Table::init(manager.get(FEES));
        Self {
            known: Known::of(&fees),
            config,
            clock: StableCell::init(manager.get(CLOCK), Stored(Clock::default())),
            fees,
            channels: Table::init(manager.get(CHANNELS)),
            windows: Table::init(manager.get(WINDOWS)),
            journal: Journal::init(manager.get(JOURNAL)),
            next_journal_number: StableCell::init(manager.get(NEXT_JOURNAL_NUMBER), 0),
            log: Log::init(
                manager.get(EVENT_PLACES),
                manager.get(EVENTS),
                manager.get(LINKS),
            ),
            registrations: Tree::init(manager.get(REGISTRATIONS)),
            balances: Table::init(manager.get(BALANCES)),
            finished: StableBTreeMap::init(manager.get(FINISHED)),
            finishing: Table::init(manager.get(FINISHING)),
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
        self.known.fees.get(&ledger).copied()
    }

    pub fn set_fee(&mut self, ledger: Principal, fee: u128) {
        // Its length stands in front, so no two are the same.
        let mut bytes = Vec::new();
        ledger.put(&mut bytes);
        self.fees.insert(key([&bytes]), encode(&fee));
        self.known.fees.insert(ledger, fee);
    }

    pub fn channel(&self, id: ChannelId) -> Option<Channel> {
        self.with_found(id, |found| match found {
            Found::Channel(channel) => Some(Channel::clone(channel)),
            Found::Finished(_) | Found::Nothing => None,
        })
    }

    pub fn set_channel(&mut self, id: ChannelId, channel: Channel) {
        // Asked before the channel is found.
        let was_finished = self.finished(id).is_some();
        self.channels.insert(key([id.as_bytes()]), encode(&channel));
        if was_finished {
            self.finished.remove(&part(id.as_bytes()));
        }
        self.known
            .channel
            .replace(Some((id, Found::Channel(channel.into()))));
    }

    /// The position of the last event of a finished channel, `None` if it is not finished.
    pub fn finished(&self, id: ChannelId) -> Option<u64> {
        self.with_found(id, |found| match found {
            Found::Finished(last_event) => Some(*last_event),
            Found::Channel(_) | Found::Nothing => None,
        })
    }

    /// Forgets a channel but for where its last event is.
    pub fn finish(&mut self, id: ChannelId, last_event: u64) {
        self.channels.remove(&key([id.as_bytes()]));
        let place = to_place(last_event);
        self.finished.insert(part(id.as_bytes()), place);
        let found = Found::Finished(last_event);
        self.known.channel.replace(Some((id, found)));
    }

    fn with_found<R>(&self, id: ChannelId, f: impl FnOnce(&Found) -> R) -> R {
        let mut known = self.known.channel.borrow_mut();
        match &*known {
            Some((of, found)) if *of == id => f(found),
            _ => {
                let (_, found) = known.insert((id, self.find(id)));
                f(found)
            }
        }
    }

    fn find(&self, id: ChannelId) -> Found {
        if let Some(record) = self.channels.get(&key([id.as_bytes()])) {
            return Found::Channel(Box::new(decode(&record)));
        }
        let place = self.finished.get(&part(id.as_bytes()));
        place.map_or(Found::Nothing, |place| Found::Finished(from_place(place)))
    }

    /// Remembers to look at `due` whether a channel can be finished.
    pub fn add_finishing(&mut self, due: Timestamp, id: ChannelId) {
        self.finishing.insert(timed(due, id), Vec::new());
    }

    /// The next channel to be looked at, if its time has come.
    pub fn take_finishing(&mut self, now: Timestamp) -> Option<ChannelId> {
        let first = self.finishing.first()?;
        (time_of(&first) <= now).then(|| {
            self.finishing.remove_first();
            ChannelId::from_bytes(part(&first[TIME_BYTES..]))
        })
    }

    pub fn channel_count(&self) -> u64 {
        self.channels.len()
    }

    /// Remembers that a window is open until `deadline`.
    pub fn open_window(&mut self, deadline: Uptime, id: ChannelId) {
        self.windows.insert(timed(deadline.0, id), Vec::new());
    }

    pub fn close_window(&mut self, deadline: Uptime, id: ChannelId) {
        self.windows.remove(&timed(deadline.0, id));
    }

    /// Forgets windows that ended at or before `now`, some at a time.
    pub fn close_elapsed_windows(&mut self, now: Uptime) {
        const AT_ONCE: usize = 100;
        for _ in 0..AT_ONCE {
            match self.windows.first() {
                Some(first) if time_of(&first) <= now.0 => self.windows.remove_first(),
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
        self.journal.get(number)
    }

    /// Writes an entry, old or new. An old one's channel and asset stay the same; a new one marks them as in
    /// flight.
    pub fn set_entry(&mut self, number: JournalNumber, entry: &Entry) {
        self.journal.set(number, entry);
    }

    /// Forgets an entry whose outcome is known.
    pub fn remove_entry(&mut self, number: JournalNumber) {
        self.journal.remove(number);
    }

    /// The entry that is under way for a channel and asset.
    pub fn in_flight(&self, id: ChannelId, asset: AssetIdx) -> Option<JournalNumber> {
        self.journal.in_flight(id, asset)
    }

    /// The first `limit` entries from `start` on.
    pub fn entries(&self, start: JournalNumber, limit: usize) -> Vec<(JournalNumber, Entry)> {
        self.journal.entries(start, limit)
    }

    pub fn entry_count(&self) -> u64 {
        self.journal.len()
    }

    /// Adds a reading of the cycles balance; only the last `kept` are.
    pub fn add_balance(&mut self, at: Timestamp, cycles: u128, kept: u64) {
        let reading = cycles.to_be_bytes().to_vec();
        self.balances
            .insert(key([&at.nanos().to_be_bytes()]), reading);
        while self.balances.len() > kept {
            self.balances.remove_first();
        }
    }

    /// The readings of the cycles balance, oldest first.
    pub fn balances(&self) -> Vec<(u64, u128)> {
        let readings = self.balances.from(ZERO);
        readings
            .map(|(key, reading)| {
                let cycles = u128::from_be_bytes(part(&reading));
                (time_of(&key).nanos(), cycles)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use ic_stable_structures::{DefaultMemoryImpl, Memory as _, memory_manager::MemoryManager};

    use super::{BUCKET_PAGES, CONFIG, Store};
    use crate::stored::FORMAT;

    #[test]
    #[should_panic(expected = "stable memory has another format")]
    fn a_memory_of_another_format_is_refused() {
        let memory = DefaultMemoryImpl::default();
        drop(Store::open(memory.clone()));
        let manager = MemoryManager::init_with_bucket_size(memory.clone(), BUCKET_PAGES);
        // Behind the cell's own eight bytes.
        manager.get(CONFIG).write(8, &[FORMAT - 1]);
        Store::open(memory);
    }
}
