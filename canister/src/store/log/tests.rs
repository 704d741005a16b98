//! Pages against a plain walk, and how many reads they take.

use std::cell::Cell;
use std::rc::Rc;

use ic_stable_structures::{Memory, VectorMemory};
use perun_protocol::dispute::Rank;
use perun_protocol::{ChannelId, Timestamp};

use super::{Link, Log, from_place, jump_depth, to_place};
use crate::event::{Change, Event};
use ic_stable_structures::Storable as _;

/// A memory that counts how often it is read.
#[derive(Clone, Default)]
struct Counted {
    memory: VectorMemory,
    reads: Rc<Cell<u64>>,
}

impl Memory for Counted {
    fn size(&self) -> u64 {
        self.memory.size()
    }

    fn grow(&self, pages: u64) -> i64 {
        self.memory.grow(pages)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) {
        self.reads.set(self.reads.get() + 1);
        self.memory.read(offset, bytes);
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        self.memory.write(offset, bytes);
    }
}

/// A log of some channels whose events are mixed.
struct Mixed {
    log: Log<Counted>,
    last: Vec<Option<u64>>,
    reads: Rc<Cell<u64>>,
}

impl Mixed {
    /// So many events, of which each is of the channel that `whose` says.
    fn new(channels: u8, events: u64, whose: impl Fn(u64) -> u8) -> Self {
        let reads = Rc::default();
        let memory = || Counted {
            reads: Rc::clone(&reads),
            ..Counted::default()
        };
        let mut log = Log::init(memory(), memory(), memory());
        let mut last = vec![None; channels.into()];
        for number in 0..events {
            let channel = whose(number);
            let last = &mut last[usize::from(channel)];
            let event = Event {
                at: Timestamp::from_nanos(number),
                channel: ChannelId::from_bytes([channel; 32]),
                change: Change::Registered {
                    rank: Rank::Refund,
                    digest: None,
                    timeout: Timestamp::from_nanos(number),
                },
            };
            *last = Some(log.append(&event, *last));
        }
        Self { log, last, reads }
    }

    /// What a page is by definition.
    fn walk(&self, channel: u8, start: u64, limit: usize) -> Vec<(u64, Event)> {
        let channel = ChannelId::from_bytes([channel; 32]);
        let events = self.log.events(start, usize::MAX).into_iter();
        let ours = events.filter(|(_, event)| event.channel == channel);
        ours.take(limit).collect()
    }

    /// The reads of a page of `limit` events of the first channel.
    fn reads(&self, start: u64, limit: usize) -> u64 {
        let before = self.reads.get();
        let page = self.log.events_of(self.last[0], start, limit);
        assert_eq!(page.len(), limit);
        self.reads.get() - before
    }
}

#[test]
fn pages_from_every_cursor_are_those_of_a_plain_walk() {
    // Three channels of which one is rare, and one without events.
    let whose = |number: u64| match number * number % 7 {
        0 => 2,
        odd if odd % 2 == 1 => 1,
        _ => 0,
    };
    let mixed = Mixed::new(4, 200, whose);
    for channel in 0..4 {
        let last = mixed.last[usize::from(channel)];
        for start in 0..=201 {
            for limit in [0, 1, 2, 3, 7, 50, 1_000] {
                let page = mixed.log.events_of(last, start, limit);
                assert_eq!(
                    page,
                    mixed.walk(channel, start, limit),
                    "{limit} of channel {channel} from {start}"
                );
            }
        }
        let all = last.map_or(vec![], |last| mixed.log.history(last).collect());
        let mut expected = mixed.walk(channel, 0, usize::MAX);
        expected.reverse();
        assert_eq!(all, expected);
    }
}

#[test]
fn a_page_costs_the_same_however_long_the_log_is() {
    const PAGE: usize = 10;
    let worst = |events: u64| {
        let mixed = Mixed::new(2, events, |number| (number % 2) as u8);
        let cursors = (0..=events - 2 * PAGE as u64).step_by((events / 500).max(1) as usize);
        cursors.map(|start| mixed.reads(start, PAGE)).max().unwrap()
    };
    let (few, many) = (worst(64), worst(65_536));
    println!("a page of {PAGE} reads memory {few} times of 64 events, {many} times of 65,536");
    // Ten doublings, each of which adds some links at either end of the page; a walk from the newest event
    // would read thirty thousand.
    assert!(many < few + 10 * 10, "{few}, {many}");
}

#[test]
fn an_event_costs_the_same_however_many_there_are() {
    let cost = |events: u64| {
        let mut mixed = Mixed::new(1, events, |_| 0);
        let (_, event) = mixed.log.events(0, 1).remove(0);
        let before = mixed.reads.get();
        mixed.log.append(&event, mixed.last[0]);
        mixed.reads.get() - before
    };
    let most = cost(5).max(cost(6));
    assert!((1_000..1_010).all(|events| cost(events) <= most));
}

#[test]
fn every_jump_leads_to_the_depth_that_follows_from_its_own() {
    let mixed = Mixed::new(1, 300, |_| 0);
    for index in 0..300 {
        let link = mixed.log.links.get(index).unwrap();
        assert_eq!(u64::from(link.depth), index + 1);
        // Of one channel alone, depth and position differ by one.
        let expected = u64::from(jump_depth(link.depth)).checked_sub(1);
        assert_eq!(link.jump, expected, "event {index}");
    }
    let depths: Vec<_> = (1..=15).map(jump_depth).collect();
    assert_eq!(depths, [0, 1, 0, 3, 4, 3, 0, 7, 8, 7, 10, 11, 10, 7, 0]);
    assert_eq!(jump_depth(u32::MAX), 0);
}

#[test]
fn a_link_is_read_as_it_was_written() {
    let link = Link {
        hash: [7; 32],
        depth: u32::MAX,
        previous: Some(0x01_0203_0405),
        jump: None,
    };
    let bytes = link.to_bytes();
    assert_eq!(bytes.len(), 46);
    assert_eq!(Link::from_bytes(bytes), link);
}

#[test]
fn the_place_that_stands_for_none_is_nobodys() {
    let most = (1 << 40) - 2;
    assert_eq!(from_place(to_place(most)), most);
    for beyond in [most + 1, most + 2] {
        assert!(std::panic::catch_unwind(|| to_place(beyond)).is_err());
    }
}
