//! Payments: to the peer, asked of the peer, and answering what the peer proposes.

use std::sync::Arc;
use std::time::Duration;

use perun_client::channel::Channel;
use perun_protocol::payment::Payment;
use perun_protocol::wire::RequestId;
use perun_protocol::{Amount, AssetId, AssetIdx, Version};
use tokio::time::{Instant, timeout, timeout_at};

use super::Session;
use super::desk::{Desk, Pending, Progress, TakenUpdate};
use super::failure::{GRACE, not_ordered, not_taken};
use super::info::{SELF, ours_first};
use crate::api::pb;
use crate::api::pb::PayChInfo;
use crate::{Error, Resource};

/// How many payments a call can have.
const PAYMENTS: usize = 1_000;

/// Payments through one channel, checked as far as this node can.
pub struct PaymentOrder {
    desk: Arc<Desk>,
    way: Way,
    payments: Vec<(AssetIdx, Amount)>,
}

/// Who pays.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Way {
    /// We do.
    Pay,
    /// The peer is asked to.
    Ask,
}

impl PaymentOrder {
    /// What it costs us of each asset.
    pub fn cost(&self) -> Vec<(AssetId, Amount)> {
        if self.way == Way::Ask {
            return Vec::new();
        }
        let params = self.desk.channel.params();
        let assets = params.assets();
        let payments = self.payments.iter();
        payments
            .filter_map(|(asset, amount)| Some((*assets.get(asset.index())?, *amount)))
            .collect()
    }

    /// The channel.
    pub fn channel(&self) -> &Channel {
        &self.desk.channel
    }
}

impl Session {
    /// Reads what perun-node's `SendPayChUpdate` asks for.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] and [`Error::NotFound`], with the field.
    pub fn payment_order(
        &self,
        channel: &str,
        payments: &[pb::Payment],
    ) -> Result<PaymentOrder, Error> {
        let channel = self.channel(channel)?;
        let alias = self.alias(&channel.peer());
        if payments.is_empty() || payments.len() > PAYMENTS {
            let requirement = format!("one to {PAYMENTS} payments are expected");
            return Err(Error::invalid(
                "payments",
                payments.len().to_string(),
                requirement,
            ));
        }
        let mut way = None;
        let mut order: Vec<(AssetIdx, Amount)> = Vec::new();
        for payment in payments {
            let this_way = match payment.payee.as_str() {
                SELF => Way::Ask,
                payee if payee == alias => Way::Pay,
                payee => {
                    let requirement = format!("{SELF:?} or {alias:?} is expected");
                    return Err(Error::invalid("payee", payee, requirement));
                }
            };
            if *way.get_or_insert(this_way) != this_way {
                let requirement = "all payments of a call have to go the same way";
                return Err(Error::invalid("payee", &*payment.payee, requirement));
            }
            let (asset, amount) = self.part_of(&channel, &payment.currency, &payment.amount)?;
            // One payment of each currency, so that those of one currency are agreed to together.
            match order.iter_mut().find(|(other, _)| *other == asset) {
                None => order.push((asset, amount)),
                Some((_, sum)) => {
                    let more = sum.checked_add(amount);
                    *sum = more.ok_or_else(|| {
                        Error::invalid("amount", &*payment.amount, "the sum does not fit 128 bits")
                    })?;
                }
            }
        }
        let desk = self.desk_of(&channel);
        let way = way.unwrap_or(Way::Pay);
        Ok(PaymentOrder {
            desk,
            way,
            payments: order,
        })
    }

    /// A payment of ours through a channel.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], with the field.
    pub fn single_payment(
        &self,
        channel: &Channel,
        currency: &str,
        amount: &str,
    ) -> Result<PaymentOrder, Error> {
        let payment = self.part_of(channel, currency, amount)?;
        Ok(PaymentOrder {
            desk: self.desk_of(channel),
            way: Way::Pay,
            payments: vec![payment],
        })
    }

    fn part_of(
        &self,
        channel: &Channel,
        currency: &str,
        amount: &str,
    ) -> Result<(AssetIdx, Amount), Error> {
        let known = self.currency(currency)?;
        let Some(asset) = channel.params().asset_idx(&known.asset) else {
            let requirement = "the channel does not have this currency";
            return Err(Error::invalid("currency", currency, requirement));
        };
        let units = known.parse(amount)?;
        if units == Amount::ZERO {
            return Err(Error::invalid(
                "amount",
                amount,
                "more than nothing is expected",
            ));
        }
        Ok((asset, units))
    }

    /// Makes the payments, or asks for them, and answers when that is done.
    ///
    /// # Errors
    /// As perun-node's `SendPayChUpdate`.
    pub async fn pay(
        &self,
        order: PaymentOrder,
        memo: Option<[u8; 32]>,
    ) -> Result<PayChInfo, Error> {
        match order.way {
            Way::Pay => self.pay_peer(&order, memo).await,
            Way::Ask => self.ask_peer(&order).await,
        }
    }

    async fn pay_peer(
        &self,
        order: &PaymentOrder,
        memo: Option<[u8; 32]>,
    ) -> Result<PayChInfo, Error> {
        let channel = &order.desk.channel;
        let alias = self.alias(&channel.peer());
        let within = self.times.response + GRACE;
        let by = Instant::now() + within;
        self.wait_for_peer(channel, &alias, by).await?;
        self.check_available(order)?;
        let mut fates = Vec::new();
        for (asset, amount) in &order.payments {
            let payment = Payment {
                asset: *asset,
                amount: *amount,
                memo,
            };
            match channel.queue(&payment) {
                Ok(queued) => fates.push(queued),
                Err(error) if fates.is_empty() => return Err(not_taken(&error)),
                // Payments of other currencies are on their way.
                Err(_) => {
                    return Err(Error::PeerRequestTimedOut {
                        alias,
                        timeout: within,
                    });
                }
            }
        }
        for mut queued in fates {
            let paid = match timeout_at(by, &mut queued).await {
                Ok(paid) => paid,
                Err(_) => {
                    // What was not proposed yet never will be; of the rest the peer decides.
                    channel.cancel_queued();
                    let decided = timeout(self.times.response + GRACE, queued).await;
                    decided.map_err(|_| Error::PeerRequestTimedOut {
                        alias: alias.clone(),
                        timeout: 2 * within,
                    })?
                }
            };
            paid.map_err(|error| self.not_paid(&alias, error, within))?;
        }
        Ok(self.info(channel))
    }

    /// A payment that is not even queued has no effect for certain.
    async fn wait_for_peer(
        &self,
        channel: &Channel,
        alias: &str,
        by: Instant,
    ) -> Result<(), Error> {
        while !channel.is_synced() {
            if Instant::now() >= by {
                return Err(Error::PeerRequestTimedOut {
                    alias: alias.to_owned(),
                    timeout: self.times.response + GRACE,
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn check_available(&self, order: &PaymentOrder) -> Result<(), Error> {
        let channel = &order.desk.channel;
        for (i, asset) in channel.params().assets().iter().enumerate() {
            let of_asset = |(paid, _): &&(AssetIdx, Amount)| paid.index() == i;
            let paid = order.payments.iter().filter(of_asset);
            let Some(idx) = u8::try_from(i).ok().map(AssetIdx::new) else {
                continue;
            };
            let total = Amount::checked_sum(paid.map(|(_, amount)| *amount));
            let available = match order.way {
                Way::Pay => channel.available(idx).unwrap_or(Amount::ZERO),
                Way::Ask => self.theirs(channel, i),
            };
            if total.is_none_or(|total| total > available) {
                let total = total.map_or("too much".into(), |total| self.show(asset, total));
                let requirement = format!(
                    "only {} {} can be paid at present",
                    self.show(asset, available),
                    self.symbol_of(asset)
                );
                return Err(Error::invalid("amount", total, requirement));
            }
        }
        Ok(())
    }

    /// What the peer has of an asset.
    fn theirs(&self, channel: &Channel, asset: usize) -> Amount {
        let newest = channel.newest();
        let rows = newest
            .as_ref()
            .map(|newest| &newest.state().allocation().balances);
        let row = rows.and_then(|rows| rows.rows().nth(asset));
        row.map_or(Amount::ZERO, |row| ours_first(row, channel.part())[1])
    }

    async fn ask_peer(&self, order: &PaymentOrder) -> Result<PayChInfo, Error> {
        let channel = &order.desk.channel;
        let alias = self.alias(&channel.peer());
        let within = self.times.response;
        let by = Instant::now() + within + GRACE;
        self.wait_for_peer(channel, &alias, by).await?;
        self.check_available(order)?;
        let mut answers = Vec::new();
        for (asset, amount) in &order.payments {
            let asked = order.desk.ask(|channel| {
                let request = channel.request(*asset, *amount, "", within);
                request.map_err(|error| not_ordered(&error))
            })?;
            answers.push(asked);
        }
        for (_, answer) in answers {
            match timeout_at(by, answer).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(reason))) => return Err(self.refused(&alias, &reason, within)),
                Ok(Err(_)) => return Err(Error::Stopped),
                Err(_) => {
                    let timeout = within + GRACE;
                    return Err(Error::PeerRequestTimedOut { alias, timeout });
                }
            }
        }
        Ok(self.info(channel))
    }

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
    pub async fn accept_update(&self, update: TakenUpdate) -> Result<PayChInfo, Error> {
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
        if let Err(error) = &paid
            && has_no_effect(error)
        {
            self.decline(&desk, request.id, &error.to_string());
        }
        paid
    }

    async fn accept_offer(&self, desk: &Desk, version: Version) -> Result<PayChInfo, Error> {
        let alias = self.alias(&desk.channel.peer());
        let mut progress = desk.progress.subscribe();
        desk.channel
            .accept_update(version)
            .map_err(|error| not_ordered(&error))?;
        let reached =
            |progress: &Progress| progress.version >= version.number() || progress.is_over;
        let within = self.times.response + GRACE;
        match timeout(within, progress.wait_for(reached)).await {
            Ok(Ok(_)) => Ok(self.info(&desk.channel)),
            Ok(Err(_)) => Err(Error::Stopped),
            Err(_) => Err(Error::PeerRequestTimedOut {
                alias,
                timeout: within,
            }),
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

    /// A channel with a peer through which an amount of a currency can be paid: of several, the one
    /// with the least that is enough.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no channel with the peer, [`Error::InvalidArgument`] if none has
    /// enough.
    pub fn channel_to(
        &self,
        peer: &perun_protocol::PublicKey,
        asset: &AssetId,
        amount: Amount,
    ) -> Result<Channel, Error> {
        let alias = self.alias(peer);
        let channels = self.client.channels().into_iter();
        let mut with_asset: Vec<_> = channels
            .filter(|channel| channel.peer() == *peer && channel.is_open())
            .filter_map(|channel| {
                let idx = channel.params().asset_idx(asset)?;
                Some((channel.available(idx)?, channel))
            })
            .collect();
        with_asset.sort_by_key(|(available, _)| *available);
        let Some((most, _)) = with_asset.last() else {
            let what = format!("an open channel of {} with {alias}", self.symbol_of(asset));
            return Err(Error::not_found(Resource::Channel, what));
        };
        let most = *most;
        let enough = with_asset
            .into_iter()
            .find(|(available, _)| *available >= amount);
        enough.map(|(_, channel)| channel).ok_or_else(|| {
            let requirement = format!(
                "no channel with {alias} has more than {}",
                self.show(asset, most)
            );
            Error::invalid("amount", self.show(asset, amount), requirement)
        })
    }
}

/// Whether an error says for certain that no money moved and none will.
pub fn has_no_effect(error: &Error) -> bool {
    !matches!(
        error,
        Error::PeerRequestTimedOut { .. }
            | Error::PeerRejected { .. }
            | Error::PeerNotFunded { .. }
            | Error::TxTimedOut { .. }
            | Error::Stopped
            | Error::ChainNotReachable { .. }
            | Error::Internal { .. }
    )
}
