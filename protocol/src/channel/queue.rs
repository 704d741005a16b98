//! Own payments that wait to be folded into an update, numbered in their order.

use alloc::vec::Vec;

use crate::payment::{Batch, BatchFull, Payment};
use crate::{Amount, AssetIdx};

/// From which to which payment, counted from 1.
pub(super) type Range = (u64, u64);

/// Own payments on their way.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Queue {
    waiting: Batch,
    /// How many are no longer waiting: the first one that is has the next number.
    taken: u64,
    /// The numbers above of those that were cancelled, in their order: they stay theirs.
    cancelled: Vec<u64>,
    /// Those in the proposal under way.
    under_way: Option<Range>,
}

impl Queue {
    /// Takes a payment in and returns its number.
    pub(super) fn push(&mut self, payment: &Payment, limit: usize) -> Result<u64, BatchFull> {
        self.waiting.push(payment, limit)?;
        Ok(self.taken + self.cancelled.len() as u64 + u64::from(self.waiting.count()))
    }

    /// Gives up one that waits: whether one with this number does.
    pub(super) fn cancel(&mut self, number: u64) -> bool {
        let Err(before) = self.cancelled.binary_search(&number) else {
            return false;
        };
        let place = number.checked_sub(self.taken + 1 + before as u64);
        let place = place.and_then(|place| usize::try_from(place).ok());
        if !place.is_some_and(|place| self.waiting.remove(place)) {
            return false;
        }
        self.cancelled.insert(before, number);
        self.skip_cancelled(self.taken + 1);
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn count(&self) -> u32 {
        self.waiting.count()
    }

    pub(super) fn total(&self, asset: AssetIdx) -> Amount {
        self.waiting.total(asset)
    }

    /// Whether everything that waits can be paid out of these balances, one per asset.
    pub(super) fn is_within(&self, balances: &[Amount]) -> bool {
        let places = balances.iter().enumerate();
        places
            .map(|(index, balance)| (AssetIdx::new(index as u8), *balance))
            .all(|(asset, balance)| self.total(asset) <= balance)
    }

    /// Everything that waits and fits into `limit` bytes, but one at least, to be proposed.
    pub(super) fn take(&mut self, limit: usize) -> Batch {
        let batch = self.waiting.take_front(limit);
        self.under_way = self.number(&batch);
        batch
    }

    /// Payments that were proposed before a restart are numbered first.
    pub(super) fn restore_under_way(&mut self, batch: &Batch) {
        self.under_way = self.number(batch);
    }

    /// The proposal under way is answered: which payments that concerns.
    pub(super) fn resolve(&mut self) -> Option<Range> {
        self.under_way.take()
    }

    /// Gives up everything that waits: which payments that is.
    pub(super) fn clear(&mut self) -> Option<Range> {
        let batch = core::mem::take(&mut self.waiting);
        self.number(&batch)
    }

    /// Counts a batch as taken. The range has the numbers of cancelled ones between, too.
    fn number(&mut self, batch: &Batch) -> Option<Range> {
        let from = self.taken + 1;
        self.taken += u64::from(batch.count());
        self.skip_cancelled(self.taken);
        (!batch.is_empty()).then_some((from, self.taken))
    }

    /// Counts those as taken that were cancelled and come next: up to this number, and right behind.
    fn skip_cancelled(&mut self, mut through: u64) {
        let mut skipped = 0;
        while self
            .cancelled
            .get(skipped)
            .is_some_and(|next| *next <= through)
        {
            skipped += 1;
            through += 1;
        }
        self.taken += skipped as u64;
        self.cancelled.drain(..skipped);
    }
}
