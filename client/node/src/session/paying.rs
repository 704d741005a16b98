//! Payments to the peer.
//!
//! ```text
//! wait for the peer ──> check what is left ──> queue ──> proposed ──> agreed to
//!        │                      │                │           └──> refused, or no answer
//!        └──── no effect ───────┴── taken back ──┘                   uncertain
//! ```

use std::time::Duration;

use perun_client::channel::{Channel, Queued};
use perun_protocol::channel::PayError;
use perun_protocol::payment::Payment;
use tokio::time::{Instant, timeout, timeout_at};

use super::Session;
use super::failure::{Failure, GRACE, not_taken};
use super::orders::{PaymentOrder, Way};
use crate::Error;
use crate::api::pb::PayChInfo;

impl Session {
    /// Makes the payments, or asks for them, and answers when that is done. `mark` is what payments for
    /// a call with a key have as their memo, and by what its requests are found again.
    ///
    /// # Errors
    /// As perun-node's `SendPayChUpdate`.
    pub async fn pay(
        &self,
        order: PaymentOrder,
        mark: Option<[u8; 32]>,
    ) -> Result<PayChInfo, Failure> {
        match order.way {
            Way::Pay => self.pay_peer(&order, mark).await,
            Way::Ask => self.ask_peer(&order, mark).await,
        }
    }

    pub(super) async fn pay_peer(
        &self,
        order: &PaymentOrder,
        memo: Option<[u8; 32]>,
    ) -> Result<PayChInfo, Failure> {
        let channel = &order.desk.channel;
        let alias = self.alias(&channel.peer());
        let by = Instant::now() + self.times.response + GRACE;
        let is_there = self.wait_for_peer(channel, &alias, by).await;
        is_there.map_err(Failure::NoEffect)?;
        self.check_available(order).map_err(Failure::NoEffect)?;
        let payments = order.payments.iter().map(|(asset, amount)| Payment {
            asset: *asset,
            amount: *amount,
            memo,
        });
        // Together, so that the peer agrees to all of them or to none.
        let queued = channel.queue_together(&payments.collect::<Vec<_>>());
        let queued = queued.map_err(|error| Failure::NoEffect(not_taken(&error)))?;
        self.await_agreement(queued, &alias, by).await?;
        Ok(self.info(channel))
    }

    /// Waits until the peer has agreed to all of these. What was not even proposed to it in time is
    /// taken back, and of the rest it decides.
    async fn await_agreement(
        &self,
        mut payments: Vec<Queued>,
        alias: &str,
        by: Instant,
    ) -> Result<(), Failure> {
        let within = self.times.response + GRACE;
        let not_paid = |error| Failure::Uncertain(self.not_paid(alias, error, within));
        let mut agreed = 0;
        while let Some(payment) = payments.get_mut(agreed) {
            match timeout_at(by, payment).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    take_back(payments.split_off(agreed));
                    return Err(not_paid(error));
                }
                Err(_) => break,
            }
            agreed += 1;
        }
        let late = payments.len() - agreed;
        let proposed = take_back(payments.split_off(agreed));
        let is_cut = proposed.len() < late;
        if is_cut && agreed == 0 && proposed.is_empty() {
            return Err(Failure::NoEffect(self.silent(alias)));
        }
        for payment in proposed {
            let decided = timeout(within, payment).await;
            let decided = decided.map_err(|_| Failure::Uncertain(self.silent(alias)))?;
            decided.map_err(not_paid)?;
        }
        match is_cut {
            true => Err(Failure::Uncertain(self.silent(alias))),
            false => Ok(()),
        }
    }

    /// Waits until the peer is there, both know how far the other is, and the adjudicator was seen, which
    /// after a restart takes a moment. Before, nothing is queued.
    pub(super) async fn wait_for_peer(
        &self,
        channel: &Channel,
        alias: &str,
        by: Instant,
    ) -> Result<(), Error> {
        while !channel.is_synced() || channel.is_opening() {
            if Instant::now() >= by {
                return Err(match channel.is_synced() {
                    true => not_taken(&PayError::NotOpen),
                    false => self.silent(alias),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The peer has not answered in time.
    pub(super) fn silent(&self, alias: &str) -> Error {
        Error::PeerRequestTimedOut {
            alias: alias.to_owned(),
            timeout: self.times.response + GRACE,
        }
    }
}

/// Takes payments back that were not proposed yet, and returns the others.
fn take_back(payments: Vec<Queued>) -> Vec<Queued> {
    let others = payments.into_iter().filter(|payment| !payment.cancel());
    others.collect()
}
