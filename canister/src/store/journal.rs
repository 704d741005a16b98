//! The journal, as it lies in stable memory: entries behind one another, in no order.
//!
//! ```text
//! stable memory   | 7 | 3 | 9 |          remove 3:  | 7 | 9 |
//! heap            by number: 3 ─> 1, 7 ─> 0, …    by channel and asset: number
//! ```
//!
//! An entry is written three times within seconds and gone. A B-tree would write a whole node each time;
//! here it is one write. The last entry takes the place of the one that is removed, so there are as many
//! places as entries. What finds them is on the heap; an upgrade makes it anew, which costs as much as
//! reading the entries, and mostly there are none.
//!
//! Invariant: the heap says of every entry where it is, and of nothing else.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use ic_stable_structures::storable::Bound;
use ic_stable_structures::{Memory, StableVec, Storable};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{Account, AssetIdx, ChannelId, Params};

use crate::journal::{Entry, JournalNumber};
use crate::stored::{decode, encode};

const NUMBER_BYTES: usize = size_of::<u64>();
/// The memory keeps this and is refused by a module that has another one, so it is more than an entry of
/// today takes: what an entry has beside accounts and params takes less than 200 bytes.
const MAX_SLOT_BYTES: usize = 2_048;
const _: () = assert!(
    NUMBER_BYTES + 200 + Account::MAX_ENCODED_LENGTH + Params::MAX_ENCODED_LENGTH <= MAX_SLOT_BYTES
);

/// The journal.
pub(super) struct Journal<M: Memory> {
    slots: StableVec<Slot, M>,
    places: BTreeMap<JournalNumber, u64>,
    in_flight: BTreeMap<(ChannelId, AssetIdx), JournalNumber>,
    /// The entry that was looked at last: a call looks at one many times.
    last: RefCell<Option<(JournalNumber, Entry)>>,
}

/// An entry behind its number.
struct Slot(Vec<u8>);

impl Slot {
    fn of(number: JournalNumber, entry: &Entry) -> Self {
        let mut bytes = number.0.to_be_bytes().to_vec();
        bytes.extend(encode(entry));
        Self(bytes)
    }

    fn read(&self) -> (JournalNumber, Entry) {
        let (number, entry) = self.0.split_first_chunk().expect("a number is in front");
        (JournalNumber(u64::from_be_bytes(*number)), decode(entry))
    }
}

impl Storable for Slot {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self(bytes.into_owned())
    }

    const BOUND: Bound = Bound::Bounded {
        max_size: MAX_SLOT_BYTES as u32,
        is_fixed_size: false,
    };
}

impl<M: Memory> Journal<M> {
    /// Opens what lies in `memory`, or lays out an empty journal if it is empty.
    pub(super) fn init(memory: M) -> Self {
        let mut journal = Self {
            slots: StableVec::init(memory),
            places: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            last: RefCell::default(),
        };
        for place in 0..journal.slots.len() {
            let (number, entry) = journal.at(place);
            journal.note(number, place, &entry);
        }
        journal
    }

    fn at(&self, place: u64) -> (JournalNumber, Entry) {
        let slot = self.slots.get(place);
        slot.expect("a place that is known has an entry").read()
    }

    fn note(&mut self, number: JournalNumber, place: u64, entry: &Entry) {
        self.places.insert(number, place);
        self.in_flight.insert((entry.channel, entry.asset), number);
    }

    pub(super) fn len(&self) -> u64 {
        self.slots.len()
    }

    pub(super) fn get(&self, number: JournalNumber) -> Option<Entry> {
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(of, _)| *of != number) {
            *last = Some(self.at(*self.places.get(&number)?));
        }
        last.as_ref().map(|(_, entry)| entry.clone())
    }

    /// Writes an entry. One that was there must be of the same channel and asset.
    pub(super) fn set(&mut self, number: JournalNumber, entry: &Entry) {
        let slot = Slot::of(number, entry);
        match self.places.get(&number) {
            Some(place) => self.slots.set(*place, &slot),
            None => {
                self.note(number, self.slots.len(), entry);
                self.slots.push(&slot);
            }
        }
        self.last.replace(Some((number, entry.clone())));
    }

    /// Forgets an entry, if it is there.
    pub(super) fn remove(&mut self, number: JournalNumber) {
        let Some(entry) = self.get(number) else {
            return;
        };
        self.last.take();
        self.in_flight.remove(&(entry.channel, entry.asset));
        let place = self.places.remove(&number);
        let place = place.expect("an entry that was found has a place");
        let last = self.slots.pop().expect("there is an entry");
        if place < self.slots.len() {
            self.slots.set(place, &last);
            self.places.insert(last.read().0, place);
        }
    }

    /// The entry of a channel and asset.
    pub(super) fn in_flight(&self, id: ChannelId, asset: AssetIdx) -> Option<JournalNumber> {
        self.in_flight.get(&(id, asset)).copied()
    }

    /// The first `limit` entries from `start` on.
    pub(super) fn entries(
        &self,
        start: JournalNumber,
        limit: usize,
    ) -> Vec<(JournalNumber, Entry)> {
        let places = self.places.range(start..).take(limit);
        places.map(|(_, place)| self.at(*place)).collect()
    }
}

#[cfg(test)]
mod tests {
    use candid::Principal;
    use ic_stable_structures::VectorMemory;
    use perun_protocol::{Amount, PartIdx, Timestamp};

    use super::*;
    use crate::journal::Kind;

    fn entry(number: u8, sends: u32) -> Entry {
        let receiver = Account {
            owner: perun_protocol::Principal::from_slice(&[number; 29]).unwrap(),
            subaccount: [number; 32],
        };
        Entry {
            channel: ChannelId::from_bytes([number / 2; 32]),
            asset: AssetIdx::new(number % 2),
            part: PartIdx::new(u8::MAX),
            ledger: Principal::from_slice(&[number; 29]),
            amount: Amount::new(u128::MAX),
            fee: Amount::new(u128::MAX),
            created_at: Timestamp::from_nanos(u64::MAX),
            sends,
            last_sent: Timestamp::from_nanos(u64::MAX),
            kind: Kind::Payout { receiver },
        }
    }

    /// What a map on the heap says, in whatever order entries come and go, and after an upgrade.
    #[test]
    fn it_is_a_map() {
        let memory = VectorMemory::default();
        let mut journal = Journal::init(memory.clone());
        let mut expected = BTreeMap::new();
        for step in 0..2_000_u32 {
            let number = (step.wrapping_mul(2_654_435_761) >> 13) as u8 % 24;
            if step.wrapping_mul(40_503) >> 7 & 1 == 0 {
                journal.set(JournalNumber(number.into()), &entry(number, step));
                expected.insert(JournalNumber(number.into()), entry(number, step));
            } else {
                journal.remove(JournalNumber(number.into()));
                expected.remove(&JournalNumber(number.into()));
            }
            if step % 7 == 0 {
                journal = Journal::init(memory.clone());
            }
            assert_eq!(journal.len(), expected.len() as u64);
            for number in 0..24_u8 {
                let is = expected.get(&JournalNumber(number.into()));
                assert_eq!(journal.get(JournalNumber(number.into())).as_ref(), is);
                let of = entry(number, 0);
                let in_flight = journal.in_flight(of.channel, of.asset);
                assert_eq!(in_flight, is.map(|_| JournalNumber(number.into())));
            }
            let start = JournalNumber(u64::from(step) % 24);
            let page = expected.range(start..).take(3);
            let page: Vec<_> = page
                .map(|(number, entry)| (*number, entry.clone()))
                .collect();
            assert_eq!(journal.entries(start, 3), page);
        }
    }

    #[test]
    fn the_longest_entry_fits() {
        let longest = Slot::of(JournalNumber(u64::MAX), &entry(255, u32::MAX))
            .0
            .len();
        // A payout has an account and no params.
        assert!(
            longest <= NUMBER_BYTES + 200 + Account::MAX_ENCODED_LENGTH,
            "{longest} bytes"
        );
    }
}
