//! What the peer proposes or asks for, and what the user answers.

use std::sync::Arc;

use perun_protocol::Version;
use perun_protocol::wire::RequestId;
use tokio::time::timeout;

use super::Session;
use super::desk::{Desk, Pending, Progress, TakenUpdate};
use super::failure::{Failure, GRACE, not_ordered};
use super::orders::{PaymentOrder, Way};
use crate::Error;
use crate::api::pb::PayChInfo;

impl Session {
    /// Takes an update of the peer from the desk, to be answered.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such channel or update, [`Error::UserResponseTimedOut`].
    pub fn take_update(&self, channel: &str, update: &str) -> Result<TakenUpdate, Error> {
        let desk = self.desk(channel)?;
        let pending = desk.take(update)?;
        Ok(TakenUpdate { desk, pending })
    }

    /// Accepts an update of the peer, and answers when it is agreed to.
    ///
    /// # Errors
    /// As perun-node's `RespondPayChUpdate`.
    pub async fn accept_update(&self, update: TakenUpdate) -> Result<PayChInfo, Failure> {
        let TakenUpdate { desk, pending } = update;
        let request = match pending {
            Pending::Offer(offer) => return self.accept_offer(&desk, offer.version).await,
            Pending::Request(ask) => ask.request,
        };
        let memo = request.payment().memo;
        let order = PaymentOrder {
            payments: vec![(request.asset, request.amount)],
            way: Way::Pay,
            desk: Arc::clone(&desk),
        };
        desk.remember_accepted(memo);
        let paid = self.pay_peer(&order, memo).await;
        if let Err(Failure::NoEffect(error)) = &paid {
            self.decline(&desk, request.id, &error.to_string());
        }
        paid
    }

    async fn accept_offer(&self, desk: &Desk, version: Version) -> Result<PayChInfo, Failure> {
        let alias = self.alias(&desk.channel.peer());
        let mut progress = desk.progress.subscribe();
        desk.channel
            .accept_update(version)
            .map_err(|error| Failure::NoEffect(not_ordered(&error)))?;
        let reached =
            |progress: &Progress| progress.version >= version.number() || progress.is_over;
        let within = self.times.response + GRACE;
        match timeout(within, progress.wait_for(reached)).await {
            Ok(Ok(_)) => Ok(self.info(&desk.channel)),
            Ok(Err(_)) => Err(Failure::Uncertain(Error::Stopped)),
            Err(_) => Err(Failure::Uncertain(self.silent(&alias))),
        }
    }

    /// Rejects an update of the peer.
    ///
    /// # Errors
    /// As perun-node's `RespondPayChUpdate`.
    pub fn reject_update(&self, channel: &str, update: &str) -> Result<PayChInfo, Error> {
        let desk = self.desk(channel)?;
        match desk.take(update)? {
            Pending::Offer(offer) => {
                let rejected = desk
                    .channel
                    .reject_update(offer.version, "rejected by user");
                rejected.map_err(|error| not_ordered(&error))?;
            }
            Pending::Request(ask) => self.decline(&desk, ask.request.id, "rejected by user"),
        }
        Ok(self.info(&desk.channel))
    }

    fn decline(&self, desk: &Desk, request: RequestId, text: &str) {
        desk.channel.reject_request(request, text);
    }
}
