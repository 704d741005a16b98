//! What the owner pays and asks for.

use super::{Channel, CommandError, Event, Link, PayError, PeerMisbehaved, Phase};
use crate::payment::{Batch, BatchFull, Payment};
use crate::signature::{Signer, Verifier};
use crate::wire::{
    Message, PaymentRequest, PaymentRequestRejection, Reason, RejectCode, RequestId,
};
use crate::{Amount, AssetIdx, Timestamp};

impl<S: Signer, V: Verifier> Channel<S, V> {
    /// Pays the peer. The payment goes into the next update; its number (counted from 1 since the
    /// start, those proposed before a restart first) is in the [`Event`] that tells what became of
    /// it.
    ///
    /// # Errors
    /// [`PayError`]; nothing has changed then.
    pub fn pay(&mut self, now: Timestamp, payment: &Payment) -> Result<u64, PayError> {
        let number = self.enqueue(payment)?;
        // While a proposal is under way, its answer takes the queue along.
        if self.commitments.pending().is_none() {
            self.advance(now);
        }
        Ok(number)
    }

    /// Pays the peer several things at once, all or none: they go into one update, unless so much waits
    /// that they don't fit one. Their numbers follow each other; the last one's is returned.
    ///
    /// # Errors
    /// [`PayError`] of the first that cannot be paid; nothing has changed then.
    pub fn pay_together(&mut self, now: Timestamp, payments: &[Payment]) -> Result<u64, PayError> {
        let before = self.queue.clone();
        let mut last = 0;
        for payment in payments {
            match self.enqueue(payment) {
                Ok(number) => last = number,
                Err(error) => {
                    self.queue = before;
                    return Err(error);
                }
            }
        }
        if self.commitments.pending().is_none() {
            self.advance(now);
        }
        Ok(last)
    }

    fn enqueue(&mut self, payment: &Payment) -> Result<u64, PayError> {
        match self.phase {
            Phase::Signing { .. } | Phase::Funding => return Err(PayError::NotOpen),
            Phase::Acting if !self.is_ending() => {}
            Phase::Acting | Phase::Settling | Phase::Closed => return Err(PayError::Closing),
        }
        let Payment { asset, amount, .. } = *payment;
        let Some(available) = self.available(asset) else {
            return Err(PayError::Invalid(BatchFull::UnknownAsset { asset }));
        };
        if amount > available {
            return Err(PayError::InsufficientBalance {
                asset,
                available,
                amount,
            });
        }
        let limit = match self.link {
            Link::Up { max_batch } | Link::Syncing { max_batch } => max_batch,
            Link::Down => Batch::MAX_LENGTH,
        };
        let queued = self.queue.count();
        self.queue
            .push(payment, limit)
            .map_err(|error| match error {
                BatchFull::Length { .. } if queued > 0 => PayError::QueueFull { queued },
                error => PayError::Invalid(error),
            })
    }

    /// Gives up the own payment with this number, if it waits and is not proposed yet: whether that
    /// was so. The others keep their numbers.
    pub fn cancel(&mut self, number: u64) -> bool {
        let is_cancelled = self.queue.cancel(number);
        if is_cancelled {
            self.notify(Event::Refused {
                from: number,
                through: number,
                reason: cancelled(),
            });
        }
        is_cancelled
    }

    /// Gives up all own payments that wait and are not proposed yet.
    pub fn cancel_queued(&mut self) {
        self.clear_queue(cancelled());
    }

    /// What is left of an asset to be paid: ours in the newest state or the one under way, less
    /// what is queued. `None` if the channel does not have the asset, or no state yet.
    pub fn available(&self, asset: AssetIdx) -> Option<Amount> {
        let newest = match self.commitments.pending() {
            Some(pending) => &pending.state,
            None => self.commitments.current()?.state(),
        };
        let balance = newest.allocation().balances.at(asset, self.part())?;
        balance.checked_sub(self.queue.total(asset))
    }

    /// What of an asset waits to be paid and is not proposed yet.
    pub fn queued(&self, asset: AssetIdx) -> Amount {
        self.queue.total(asset)
    }

    /// Asks the peer to pay. It binds nobody.
    ///
    /// # Errors
    /// [`CommandError`]; nothing was sent then.
    pub fn request(&mut self, request: PaymentRequest) -> Result<(), CommandError> {
        if !self.is_open() {
            return Err(match self.phase {
                Phase::Signing { .. } | Phase::Funding => CommandError::NotOpen,
                Phase::Acting | Phase::Settling | Phase::Closed => CommandError::Closing,
            });
        }
        let asset = request.asset;
        if asset.index() >= self.setup.params.assets().len() {
            return Err(CommandError::UnknownAsset { asset });
        }
        if request.amount.is_zero() {
            return Err(CommandError::Nothing);
        }
        if !self.is_synced() {
            return Err(CommandError::NoLink);
        }
        self.send(Message::PaymentRequest(PaymentRequest {
            channel: self.id,
            ..request
        }));
        Ok(())
    }

    /// Tells the peer that its request will not be paid.
    pub fn reject_request(&mut self, id: RequestId, reason: Reason) {
        self.send(Message::PaymentRequestRejection(PaymentRequestRejection {
            channel: self.id,
            id,
            code: reason.code,
            text: reason.text,
        }));
    }

    pub(super) fn handle_request(
        &mut self,
        now: Timestamp,
        request: PaymentRequest,
    ) -> Result<(), PeerMisbehaved> {
        if request.asset.index() >= self.setup.params.assets().len() {
            return Err(PeerMisbehaved::UnknownAsset);
        }
        if !self.is_open() {
            let reason = Reason::new(RejectCode::Disputed, "the channel is not open");
            self.reject_request(request.id, reason);
        } else if request.expires_at <= now || request.amount.is_zero() {
            let reason = Reason::new(RejectCode::TimedOut, "it has expired, or is of nothing");
            self.reject_request(request.id, reason);
        } else {
            self.notify(Event::Requested(request));
        }
        Ok(())
    }
}

fn cancelled() -> Reason {
    Reason::new(RejectCode::Declined, "cancelled by the owner")
}
