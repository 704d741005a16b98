//! The epochs that a watcher can read, and the keys of packets that it skipped.
//!
//! Bounds: [`EPOCHS`] chains, [`SKIPPED`] keys over all of them; the oldest are given up first. A key is
//! overwritten where it lies once its packet was read, which is also what makes a replay unreadable.

use heapless::Vec;

use crate::chain::Chain;
use crate::cipher::{self, Secret};
use crate::error::Refused;
use crate::header::{HEADER_LENGTH, MessageId, Number};
use crate::message::Message;

/// Epochs that are readable at once: the newest, those whose packets were overtaken by its keyload, and
/// another with the same number if the author was copied.
const EPOCHS: usize = 3;
/// Keys of skipped packets: how many of those that were overtaken stay readable.
pub const SKIPPED: usize = 16;

#[derive(Default)]
pub(super) struct Epochs {
    readable: Vec<Readable, EPOCHS>,
    skipped: Keys,
    /// The number of the newest keyload that was given up; older ones are not taken up any more.
    given_up: Number,
}

struct Readable {
    keyload: MessageId,
    chain: Chain,
    /// The count that a tagged packet must have at least.
    tagged: Number,
}

/// Keys of skipped packets, oldest first; the rest of the slots is empty. Each is dropped in its slot, which
/// overwrites it: whatever moves a key out instead leaves its bytes behind.
#[derive(Default)]
struct Keys([Option<Skipped>; SKIPPED]);

struct Skipped {
    keyload: MessageId,
    number: Number,
    key: Secret,
}

/// Why a good packet was not read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unread {
    /// Its keyload has not come, or was not for us.
    NoKeyload,
    /// Its key was used, or given up.
    NoKey,
}

impl Epochs {
    /// Whether this keyload would be taken up.
    pub(super) fn check(&self, keyload: MessageId, number: Number) -> Result<(), Refused> {
        let is_known = self.readable.iter().any(|it| it.keyload == keyload);
        let oldest = self.readable.iter().map(|it| it.chain.keyload).min();
        let is_too_old = self.readable.is_full() && oldest.is_some_and(|oldest| number < oldest);
        if is_known || is_too_old || number <= self.given_up {
            return Err(Refused::Repeated { number });
        }
        Ok(())
    }

    /// Takes up a keyload that was checked; gives the oldest epoch up for it if need be.
    pub(super) fn open(&mut self, keyload: MessageId, chain: Chain) {
        let readable = Readable {
            keyload,
            chain,
            tagged: Number(0),
        };
        if let Err(readable) = self.readable.push(readable) {
            let oldest = self.readable.iter_mut().min_by_key(|it| it.chain.keyload);
            let oldest = oldest.expect("it is full");
            self.given_up = self.given_up.max(oldest.chain.keyload);
            let given_up = oldest.keyload;
            *oldest = readable;
            while self.skipped.wipe(|it| it.keyload == given_up) {}
        }
    }

    /// Unmasks a packet whose signature was verified, and returns how long the text is.
    pub(super) fn read(&mut self, message: &Message<'_>, text: &mut [u8]) -> Result<usize, Unread> {
        let header = message.header();
        let mut unread = Unread::NoKeyload;
        for position in 0..self.readable.len() {
            let readable = &self.readable[position];
            if readable.chain.epoch != header.epoch || !readable.chain.covers(header.number) {
                continue;
            }
            let length = if header.number < readable.chain.next() {
                self.read_skipped(readable.keyload, message, text)
            } else {
                self.read_ahead(position, message, text)
            };
            if let Some(length) = length {
                return Ok(length);
            }
            unread = Unread::NoKey;
        }
        Err(unread)
    }

    /// Unmasks a tagged packet, and returns how long the text is.
    pub(super) fn read_tagged(
        &mut self,
        message: &Message<'_>,
        text: &mut [u8],
    ) -> Result<usize, Refused> {
        let count = message.header().number;
        let mut refused = Refused::Unreadable { number: count };
        for readable in &mut self.readable {
            if readable.chain.epoch != message.header().epoch {
                continue;
            }
            if count < readable.tagged {
                refused = Refused::Repeated { number: count };
                continue;
            }
            let key = readable.chain.tagged(count);
            if let Some(length) = unmask(&key, message, text) {
                readable.tagged = Number(count.0.saturating_add(1));
                return Ok(length);
            }
        }
        Err(refused)
    }

    fn read_ahead(
        &mut self,
        position: usize,
        message: &Message<'_>,
        text: &mut [u8],
    ) -> Option<usize> {
        let readable = &mut self.readable[position];
        let number = message.header().number;
        // On a copy: nothing changes if it can't be read. The way is bounded by `Chain::covers`.
        let mut chain = readable.chain.clone();
        let mut passed = Keys::default();
        while chain.next() < number {
            let skipped = Skipped {
                keyload: readable.keyload,
                number: chain.next(),
                key: chain.step(),
            };
            passed.push(skipped);
        }
        let length = unmask(&chain.step(), message, text)?;
        readable.chain = chain;
        passed
            .0
            .into_iter()
            .flatten()
            .for_each(|skipped| self.skipped.push(skipped));
        Some(length)
    }

    fn read_skipped(
        &mut self,
        keyload: MessageId,
        message: &Message<'_>,
        text: &mut [u8],
    ) -> Option<usize> {
        let number = message.header().number;
        let is_it = |it: &Skipped| it.keyload == keyload && it.number == number;
        let skipped = self.skipped.0.iter().flatten().find(|it| is_it(it))?;
        let length = unmask(&skipped.key, message, text)?;
        self.skipped.wipe(is_it);
        Some(length)
    }
}

impl Keys {
    /// Adds the newest; gives the oldest up for it if need be.
    fn push(&mut self, skipped: Skipped) {
        if self.0.iter().all(Option::is_some) {
            self.wipe(|_| true);
        }
        let free = self.0.iter_mut().find(|slot| slot.is_none());
        *free.expect("one was wiped otherwise") = Some(skipped);
    }

    /// Overwrites the oldest that is meant. False if there is none.
    fn wipe(&mut self, is_meant: impl Fn(&Skipped) -> bool) -> bool {
        let is_it = |slot: &Option<Skipped>| slot.as_ref().is_some_and(&is_meant);
        let Some(position) = self.0.iter().position(is_it) else {
            return false;
        };
        self.0[position] = None;
        self.0[position..].rotate_left(1);
        true
    }
}

fn unmask(key: &[u8; 32], message: &Message<'_>, text: &mut [u8]) -> Option<usize> {
    let bound = HEADER_LENGTH + usize::from(message.header().public_length);
    cipher::unmask(key, &message.bytes()[..bound], message.masked(), text)
}
