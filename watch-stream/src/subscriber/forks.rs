//! Two messages of one author that can't both be its history, kept as evidence.
//!
//! An author signs each number once and names the message before. If there are two different ones with the
//! same number, or one names another predecessor than the one that was seen, then it was copied: restored
//! from an image of its flash, cloned, or its key is in other hands. Both signed headers prove that to
//! anybody who has the announcement, without payloads.

use heapless::Vec;

use crate::header::{Header, MessageId, Number};
use crate::message::SignedHeader;

/// How many of the author's newest messages are remembered. A fork shows if one of its messages comes while
/// another of the same or the neighbouring number is.
pub const REMEMBERED: usize = 16;

/// Evidence that an author's history has forked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fork {
    first: SignedHeader,
    second: SignedHeader,
}

impl Fork {
    /// Bytes of the encoding.
    pub const LENGTH: usize = 2 * SignedHeader::LENGTH;

    /// The evidence in these bytes; `None` if they show no fork of the author that signs with `key`.
    pub fn decode(bytes: &[u8; Self::LENGTH], key: &[u8; 32]) -> Option<Self> {
        let (first, second) = bytes.split_at(SignedHeader::LENGTH);
        let first = SignedHeader::decode(first.try_into().ok()?).ok()?;
        let second = SignedHeader::decode(second.try_into().ok()?).ok()?;
        let same_stream = first.header().stream == second.header().stream;
        let signed = first.is_signed_by(key) && second.is_signed_by(key);
        (signed && same_stream && contradict(&first, &second)).then_some(Self { first, second })
    }

    /// Both signed headers, in the order in which they were seen.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let (first, second) = bytes.split_at_mut(SignedHeader::LENGTH);
        first.copy_from_slice(&self.first.encode());
        second.copy_from_slice(&self.second.encode());
        bytes
    }

    /// What was seen first.
    pub const fn first(&self) -> &SignedHeader {
        &self.first
    }

    /// What contradicts it.
    pub const fn second(&self) -> &SignedHeader {
        &self.second
    }
}

/// The author's newest messages.
#[derive(Default)]
pub(super) struct Memory(Vec<(MessageId, SignedHeader), REMEMBERED>);

impl Memory {
    /// The fork that `signed`, a message of the author, makes with one that is remembered.
    pub(super) fn fork(&self, signed: &SignedHeader) -> Option<Fork> {
        let first = self.0.iter().map(|(_, first)| first);
        let mut contradicting = first.filter(|first| contradict(first, signed));
        contradicting.next().map(|&first| Fork {
            first,
            second: *signed,
        })
    }

    /// Remembers a message of the author.
    pub(super) fn remember(&mut self, id: MessageId, signed: SignedHeader) {
        if self.0.iter().any(|(known, _)| *known == id) {
            return;
        }
        if self.0.is_full() && !self.forget_oldest(signed.header().number) {
            return;
        }
        // There is room now.
        let _ = self.0.push((id, signed));
    }

    /// Forgets the message with the lowest number, unless `number` is lower still: so that replays push
    /// nothing out.
    fn forget_oldest(&mut self, number: Number) -> bool {
        let numbers = self.0.iter().map(|(_, signed)| signed.header().number);
        let oldest = numbers.enumerate().min_by_key(|&(_, number)| number);
        match oldest {
            Some((position, oldest)) if oldest < number => {
                self.0.swap_remove(position);
                true
            }
            _ => false,
        }
    }

    /// Number and name of the newest message that is remembered.
    pub(super) fn newest(&self) -> Option<(Number, MessageId)> {
        let numbered = self
            .0
            .iter()
            .map(|(id, signed)| (signed.header().number, *id));
        numbered.max_by_key(|(number, _)| *number)
    }
}

/// Whether no honest author signs both.
fn contradict(one: &SignedHeader, other: &SignedHeader) -> bool {
    let (a, b) = (one.header(), other.header());
    if a.number == b.number {
        return one.id() != other.id();
    }
    does_not_follow(&a, &b, one) || does_not_follow(&b, &a, other)
}

/// Whether `after` comes next by its number, but names another message than `before`. A keyload of a restart
/// names the announcement.
fn does_not_follow(before: &Header, after: &Header, signed_before: &SignedHeader) -> bool {
    let is_next = before.number.plus(1) == Some(after.number);
    is_next && !after.is_restart && after.previous != signed_before.id()
}
