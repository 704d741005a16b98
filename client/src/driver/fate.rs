//! What becomes of payments, and who waits to learn it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use perun_protocol::wire::Reason;
use tokio::sync::oneshot;

use crate::channel::PaymentError;

/// So many refusals are remembered for those who ask late.
const REMEMBERED: usize = 64;

/// The payments of one channel since the start, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Fates {
    /// All up to this one are settled or refused.
    settled: u64,
    refused: VecDeque<Refusal>,
    is_over: bool,
    /// In the order of their numbers.
    waiting: VecDeque<(u64, Waiter)>,
}

type Waiter = oneshot::Sender<Result<(), PaymentError>>;

#[derive(Debug)]
struct Refusal {
    from: u64,
    through: u64,
    reason: Reason,
}

/// What becomes of one payment. Dropping it does not take the payment back.
#[derive(Debug)]
pub(crate) struct Fate {
    number: u64,
    known: oneshot::Receiver<Result<(), PaymentError>>,
}

impl Fates {
    pub(super) fn of(&mut self, number: u64) -> Fate {
        let (waiter, known) = oneshot::channel();
        if let Some(fate) = self.known(number) {
            // Who asks may be gone.
            let _ = waiter.send(fate);
        } else if !self.is_over {
            let place = self.waiting.partition_point(|(other, _)| *other <= number);
            self.waiting.insert(place, (number, waiter));
        }
        Fate { number, known }
    }

    fn known(&self, number: u64) -> Option<Result<(), PaymentError>> {
        let refusal = self.refused.iter().find(|refusal| refusal.has(number));
        match refusal {
            Some(refusal) => Some(Err(PaymentError::Refused(refusal.reason.clone()))),
            None => (number <= self.settled).then_some(Ok(())),
        }
    }

    pub(super) fn settle(&mut self, through: u64) {
        self.settled = self.settled.max(through);
        let is_settled = |(number, _): &mut (u64, Waiter)| *number <= through;
        while let Some((_, waiter)) = self.waiting.pop_front_if(is_settled) {
            let _ = waiter.send(Ok(()));
        }
    }

    pub(super) fn refuse(&mut self, from: u64, through: u64, reason: &Reason) {
        let refusal = Refusal {
            from,
            through,
            reason: reason.clone(),
        };
        self.waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter_map(|(number, waiter)| {
                if !refusal.has(number) {
                    return Some((number, waiter));
                }
                let _ = waiter.send(Err(PaymentError::Refused(reason.clone())));
                None
            })
            .collect();
        self.refused.push_back(refusal);
        if self.refused.len() > REMEMBERED {
            self.refused.pop_front();
        }
    }

    /// Nobody will be told any more, whoever asks.
    pub(super) fn forget_all(&mut self) {
        self.is_over = true;
        self.waiting.clear();
    }
}

impl Refusal {
    fn has(&self, number: u64) -> bool {
        (self.from..=self.through).contains(&number)
    }
}

impl Fate {
    /// The payment's number, counted from 1 since the start.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Future for Fate {
    type Output = Result<(), PaymentError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let known = Pin::new(&mut self.known).poll(context);
        known.map(|known| known.unwrap_or(Err(PaymentError::Stopped)))
    }
}
