//! Own payments that wait to be folded into an update, numbered in their order.

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
    /// Those in the proposal under way.
    under_way: Option<Range>,
}

impl Queue {
    /// Takes a payment in and returns its number.
    pub(super) fn push(&mut self, payment: &Payment, limit: usize) -> Result<u64, BatchFull> {
        self.waiting.push(payment, limit)?;
        Ok(self.taken + u64::from(self.waiting.count()))
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

    /// Counts a batch as taken.
    fn number(&mut self, batch: &Batch) -> Option<Range> {
        let from = self.taken + 1;
        self.taken += u64::from(batch.count());
        (!batch.is_empty()).then_some((from, self.taken))
    }
}
