//! The event log: what happened, the hashes that bind it together, and from each event of a channel the
//! way back to those before it.
//!
//! ```text
//! the events of one channel, by depth   1   2   3   4   5   6   7   8
//! previous                              · <-1 <-2 <-3 <-4 <-5 <-6 <-7
//! jump                                  ·   1   ·   3   4   3   ·   7
//! ```
//!
//! Wherever a page of a channel's events begins, it is found in a few dozen steps: each event leads to the
//! one before it and, by a jump, to one farther back. How far follows from its depth alone, as in skew
//! binary numbers (Myers, "An applicative random-access stack", 1983), so that appending reads two links
//! and every earlier event is O(log n) links away.
//!
//! Invariant: events are appended and never changed; of one channel, depth grows with position by one.

use std::borrow::Cow;

use ic_stable_structures::storable::Bound;
use ic_stable_structures::{Memory, StableLog, StableVec, Storable};
use perun_canister_api::{BlockHash, block_hash};
use perun_protocol::encoding::{DecodeError, Reader};

use crate::event::Event;
use crate::stored::{Encoded, Record};

/// A position in the log, in as many bytes as it is stored in.
pub(super) type Place = [u8; 5];

const NOWHERE: Place = [0xff; 5];
const TOO_LONG: &str = "a trillion events lie farther ahead than this canister's memory reaches";

const LINK_BYTES: usize = 32 + 4 + 2 * size_of::<Place>();

/// The log.
pub(crate) struct Log<M: Memory> {
    // Appended to and never changed, so that an event costs the same however many there are.
    events: StableLog<Encoded<Event>, M, M>,
    // Of the events, by position.
    links: StableVec<Link, M>,
}

/// What leads from an event to those before it, in 46 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Link {
    /// The hash of its block, which contains that of the block before.
    hash: BlockHash,
    /// How many events the channel has with this one.
    depth: u32,
    /// The position of the channel's event before it.
    previous: Option<u64>,
    /// That of the channel's event whose depth is [`jump_depth`] of this one's.
    jump: Option<u64>,
}

impl<M: Memory> Log<M> {
    /// Opens what lies in the memories (of where events begin, of events, and of their links), or lays it
    /// out if they are empty.
    pub(super) fn init(places: M, events: M, links: M) -> Self {
        Self {
            events: StableLog::init(places, events),
            links: StableVec::init(links),
        }
    }

    /// Appends and returns the event's position. `previous` is that of the channel's event before it.
    pub(crate) fn append(&mut self, event: &Event, previous: Option<u64>) -> u64 {
        let index = self.len();
        let parent = self.last_block().map(|(_, hash)| hash);
        let hash = block_hash(&event.to_record(index), parent.as_ref());
        self.links.push(&self.link_behind(hash, previous));
        let appended = self.events.append(&Encoded::of(event));
        appended.expect("stable memory grows until the subnet is full")
    }

    fn link_behind(&self, hash: BlockHash, previous: Option<u64>) -> Link {
        let before = previous.and_then(|previous| self.links.get(previous));
        let before_depth = before.map_or(0, |before| before.depth);
        let depth = before_depth.checked_add(1).expect(TOO_LONG);
        let jump = match jump_depth(depth) == before_depth {
            true => previous,
            // Two jumps of one length, and the step to them, are the next longer jump.
            false => before
                .and_then(|before| self.links.get(before.jump?))
                .and_then(|twice| twice.jump),
        };
        Link {
            hash,
            depth,
            previous,
            jump,
        }
    }

    /// How many events there are.
    pub(crate) fn len(&self) -> u64 {
        self.events.len()
    }

    /// The hash of an event's block.
    pub(crate) fn block_hash(&self, index: u64) -> Option<BlockHash> {
        self.links.get(index).map(|link| link.hash)
    }

    /// The position of the last event, and the hash of its block.
    pub(crate) fn last_block(&self) -> Option<(u64, BlockHash)> {
        let index = self.links.len().checked_sub(1)?;
        Some((index, self.block_hash(index)?))
    }

    /// The first `limit` events from position `start` on.
    pub(crate) fn events(&self, start: u64, limit: usize) -> Vec<(u64, Event)> {
        let end = start.saturating_add(limit as u64).min(self.len());
        (start..end).filter_map(|index| self.event(index)).collect()
    }

    /// The same of one channel, whose `last` event is given: O(`limit` + log n) reads.
    pub(crate) fn events_of(
        &self,
        last: Option<u64>,
        start: u64,
        limit: usize,
    ) -> Vec<(u64, Event)> {
        let end = last.and_then(|last| self.end_of_page(last, start, limit));
        let page = self.back_from(end).take_while(|index| *index >= start);
        let mut indices: Vec<_> = page.collect();
        indices.reverse();
        indices
            .into_iter()
            .filter_map(|index| self.event(index))
            .collect()
    }

    /// The events of a channel from `last` on, the newest first.
    pub(crate) fn history(&self, last: u64) -> impl Iterator<Item = (u64, Event)> {
        self.back_from(Some(last))
            .filter_map(move |index| self.event(index))
    }

    fn back_from(&self, last: Option<u64>) -> impl Iterator<Item = u64> {
        std::iter::successors(last, move |index| self.links.get(*index)?.previous)
    }

    /// The position of the last event of a page, `None` if the page is empty.
    fn end_of_page(&self, last: u64, start: u64, limit: usize) -> Option<u64> {
        let beyond = u32::try_from(limit).unwrap_or(u32::MAX).checked_sub(1)?;
        let (_, first) = self.oldest(last, |index, _| index >= start)?;
        let depth = first.depth.saturating_add(beyond);
        let newest = self.links.get(last)?;
        if newest.depth <= depth {
            return Some(last);
        }
        let (_, after) = self.oldest(last, |_, link_depth| link_depth > depth)?;
        after.previous
    }

    /// The oldest event of a channel for whose position and depth `holds`, `None` if it does not even for
    /// the `newest`. What holds for an event holds for all newer ones.
    fn oldest(&self, newest: u64, holds: impl Fn(u64, u32) -> bool) -> Option<(u64, Link)> {
        let mut link = self.links.get(newest)?;
        let mut index = newest;
        if !holds(index, link.depth) {
            return None;
        }
        loop {
            let farther = [
                (link.jump, jump_depth(link.depth)),
                (link.previous, link.depth.saturating_sub(1)),
            ];
            let mut farther = farther
                .into_iter()
                .filter_map(|(place, depth)| Some((place?, depth)));
            match farther.find(|(place, depth)| holds(*place, *depth)) {
                Some((place, _)) => (index, link) = (place, self.links.get(place)?),
                None => return Some((index, link)),
            }
        }
    }

    fn event(&self, index: u64) -> Option<(u64, Event)> {
        let stored = self.events.get(index)?;
        Some((index, stored.decode()))
    }
}

/// The depth that an event of this depth jumps to, 0 for before the first: the depth less the weight of the
/// lowest digit that is not zero, in skew binary (weights 1, 3, 7, 15, …).
fn jump_depth(depth: u32) -> u32 {
    let (mut weight, mut rest) = (0, u64::from(depth));
    while rest > 0 {
        // The largest weight that is not above the rest.
        weight = (1 << (rest + 1).ilog2()) - 1;
        rest -= weight;
    }
    (u64::from(depth) - weight) as u32
}

/// A position as it is stored.
pub(super) fn to_place(index: u64) -> Place {
    match index.to_be_bytes() {
        [0, 0, 0, place @ ..] if place != NOWHERE => place,
        _ => panic!("{TOO_LONG}"),
    }
}

/// A position as it was stored.
pub(super) fn from_place([a, b, c, d, e]: Place) -> u64 {
    u64::from_be_bytes([0, 0, 0, a, b, c, d, e])
}

impl Record for Link {
    fn put(&self, out: &mut Vec<u8>) {
        let place = |index: Option<u64>| index.map_or(NOWHERE, to_place);
        self.hash.put(out);
        self.depth.put(out);
        out.extend(place(self.previous));
        out.extend(place(self.jump));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let index = |place| (place != NOWHERE).then(|| from_place(place));
        Ok(Self {
            hash: reader.array()?,
            depth: Record::take(reader)?,
            previous: index(reader.array()?),
            jump: index(reader.array()?),
        })
    }
}

impl Storable for Link {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut out = Vec::with_capacity(LINK_BYTES);
        self.put(&mut out);
        Cow::Owned(out)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let link = Self::take(&mut Reader::new(&bytes));
        link.expect("a link decodes as it was written")
    }

    const BOUND: Bound = Bound::Bounded {
        max_size: LINK_BYTES as u32,
        is_fixed_size: true,
    };
}

#[cfg(test)]
mod tests;
