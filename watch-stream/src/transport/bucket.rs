//! Messages in memory, for both sides in one program: tests, and trying things out on a board.

use core::cell::RefCell;
use core::convert::Infallible;

use heapless::{Deque, Vec};

use super::Transport;
use crate::message::MAX_MESSAGE_LENGTH;

/// The last `SLOTS` messages, at least one, that were sent by any end. An end that falls further behind misses some.
#[derive(Default)]
pub struct Bucket<const SLOTS: usize>(RefCell<Ring<SLOTS>>);

#[derive(Default)]
struct Ring<const SLOTS: usize> {
    messages: Deque<Vec<u8, MAX_MESSAGE_LENGTH>, SLOTS>,
    /// How many have fallen out of it.
    gone: usize,
}

/// One end of a bucket, with its own place. It also gets what it sent itself.
pub struct BucketEnd<'a, const SLOTS: usize> {
    bucket: &'a Bucket<SLOTS>,
    /// How many messages it has received or passed over.
    next: usize,
}

impl<const SLOTS: usize> Bucket<SLOTS> {
    /// Without messages.
    pub const fn new() -> Self {
        Self(RefCell::new(Ring {
            messages: Deque::new(),
            gone: 0,
        }))
    }

    /// A new end, which gets all messages that are there.
    pub const fn end(&self) -> BucketEnd<'_, SLOTS> {
        BucketEnd {
            bucket: self,
            next: 0,
        }
    }
}

impl<const SLOTS: usize> Transport for BucketEnd<'_, SLOTS> {
    type Error = Infallible;

    /// Messages that are longer than any are dropped.
    fn send(&mut self, message: &[u8]) -> Result<(), Infallible> {
        let Ok(message) = Vec::from_slice(message) else {
            return Ok(());
        };
        let ring = &mut *self.bucket.0.borrow_mut();
        if ring.messages.is_full() {
            ring.messages.pop_front();
            ring.gone += 1;
        }
        // There is room now.
        let _ = ring.messages.push_back(message);
        Ok(())
    }

    fn receive(&mut self, into: &mut [u8]) -> Result<Option<usize>, Infallible> {
        let ring = &*self.bucket.0.borrow();
        self.next = self.next.max(ring.gone);
        for message in ring.messages.iter().skip(self.next - ring.gone) {
            self.next += 1;
            if let Some(into) = into.get_mut(..message.len()) {
                into.copy_from_slice(message);
                return Ok(Some(message.len()));
            }
        }
        Ok(None)
    }
}
