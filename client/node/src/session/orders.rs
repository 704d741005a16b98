//! Payments as they are ordered, before anything is signed.

use std::sync::Arc;

use perun_client::channel::Channel;
use perun_protocol::{Amount, AssetId, AssetIdx};

use super::Session;
use super::desk::Desk;
use super::info::{SELF, ours_first};
use crate::api::pb;
use crate::{Error, Resource};

/// How many payments a call can have.
const PAYMENTS: usize = 1_000;

/// Payments through one channel, checked as far as this node can.
pub struct PaymentOrder {
    pub(super) desk: Arc<Desk>,
    pub(super) way: Way,
    pub(super) payments: Vec<(AssetIdx, Amount)>,
}

/// Who pays.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Way {
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

    /// Whether who is to pay has enough.
    pub(super) fn check_available(&self, order: &PaymentOrder) -> Result<(), Error> {
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
