//! Opening channels.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use perun_client::Ledger;
use perun_client::client::ChannelTerms;
use perun_protocol::{Amount, AssetId, ChallengeDuration, MAX_ASSETS};

use super::failure::{Failure, GRACE};
use super::info::{SELF, ledger_of};
use super::{Session, Times};
use crate::Error;
use crate::api::pb::{BalInfo, PayChInfo};
use crate::contacts::Peer;

/// A channel to be proposed, checked as far as this node can.
#[derive(Debug)]
pub struct OpeningOrder {
    peer: Peer,
    terms: ChannelTerms,
}

impl Times {
    /// How long an opening takes at most, from its proposal to the last deposit.
    pub(super) fn opening(&self, challenge_duration: Duration) -> Duration {
        2 * self.response + 3 * self.on_chain_tx + 2 * challenge_duration + 2 * GRACE
    }
}

impl OpeningOrder {
    /// What we would deposit of each asset.
    pub fn cost(&self) -> Vec<(AssetId, Amount)> {
        let balances = self.terms.balances.iter();
        balances.map(|(asset, [ours, _])| (*asset, *ours)).collect()
    }

    /// Marks the channel, so that it is found again after a crash.
    pub fn with_mark(mut self, mark: [u8; 32]) -> Self {
        self.terms.aux = mark;
        self
    }
}

impl Session {
    /// Reads what perun-node's `OpenPayCh` asks for.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] and [`Error::NotFound`], with the field.
    pub fn opening_order(
        &self,
        balances: &BalInfo,
        challenge_duration_s: u64,
    ) -> Result<OpeningOrder, Error> {
        let invalid =
            |name, value: String, requirement: &str| Err(Error::invalid(name, value, requirement));
        let BalInfo {
            currencies,
            parts,
            bals,
        } = balances;
        let [first, second] = parts.as_slice() else {
            return invalid(
                "parts",
                parts.join(", "),
                "two participants are expected, one of them \"self\"",
            );
        };
        let (alias, ours_at) = match (first.as_str(), second.as_str()) {
            (SELF, alias) if alias != SELF => (alias, 0),
            (alias, SELF) if alias != SELF => (alias, 1),
            _ => {
                let requirement = "exactly one of both participants has to be \"self\"";
                return invalid("parts", parts.join(", "), requirement);
            }
        };
        let peer = self.contacts.get(alias)?;
        if currencies.is_empty() || currencies.len() > MAX_ASSETS {
            let requirement = format!("one to {MAX_ASSETS} currencies are expected");
            return invalid("currencies", currencies.join(", "), &requirement);
        }
        if bals.len() != currencies.len() {
            let requirement = "as many rows as currencies are expected";
            return invalid("bals", bals.len().to_string(), requirement);
        }
        let mut assets = BTreeSet::new();
        let mut rows = Vec::new();
        for (name, row) in currencies.iter().zip(bals) {
            let currency = self.currency(name)?;
            if !assets.insert(currency.asset) {
                return invalid("currencies", name.clone(), "each currency once");
            }
            let [first, second] = row.bal.as_slice() else {
                let requirement = "an amount for each participant is expected";
                return invalid("bals", row.bal.join(", "), requirement);
            };
            let amounts = [currency.parse(first)?, currency.parse(second)?];
            rows.push((currency.asset, [amounts[ours_at], amounts[1 - ours_at]]));
        }
        let nothing = |(_, amounts): &(_, [Amount; 2])| *amounts == [Amount::ZERO; 2];
        if rows.iter().all(nothing) {
            return invalid("bals", "0".into(), "a channel has to hold something");
        }
        let duration = u32::try_from(challenge_duration_s).ok();
        let Some(duration) = duration.and_then(ChallengeDuration::from_secs) else {
            let requirement = "a number of seconds that the adjudicator accepts is expected; \
                               see GetConfig of this node's own API";
            return invalid(
                "challengeDurSecs",
                challenge_duration_s.to_string(),
                requirement,
            );
        };
        let challenge = Duration::from_secs(challenge_duration_s);
        Ok(OpeningOrder {
            peer,
            terms: ChannelTerms {
                balances: rows,
                funding: None,
                challenge_duration: duration,
                with_payment_app: true,
                funds_last: false,
                aux: [0; 32],
                answer_within: 2 * self.times.response + GRACE,
                fund_within: 3 * self.times.on_chain_tx + 2 * challenge,
            },
        })
    }

    /// Proposes a channel, deposits, and answers when it is open.
    ///
    /// # Errors
    /// As perun-node's `OpenPayCh`.
    pub async fn open_channel(self: &Arc<Self>, order: OpeningOrder) -> Result<PayChInfo, Failure> {
        let is_rich_enough = self.check_wealth(&order.cost()).await;
        is_rich_enough.map_err(Failure::NoEffect)?;
        let OpeningOrder { peer, terms } = order;
        self.client.connect(peer.identity, &peer.address);
        let answer_within = terms.answer_within;
        let challenge = Duration::from_secs(terms.challenge_duration.secs().into());
        let budget = self.times.opening(challenge);
        let session = Arc::clone(self);
        let identity = peer.identity;
        let opening = self.carry_on(async move { session.client.propose(&identity, terms).await });
        match tokio::time::timeout(budget, opening).await {
            Ok(Ok(channel)) => {
                self.desk_of(&channel);
                Ok(self.info(&channel))
            }
            Ok(Err(error)) => Err(self.not_opened(&peer.alias, error, answer_within)),
            Err(_) => Err(Failure::Uncertain(Error::TxTimedOut {
                kind: "fund",
                id: peer.alias,
                timeout: budget,
            })),
        }
    }

    /// Whether our account can pay deposits and their fees, before anybody signs anything.
    pub(super) async fn check_wealth(&self, deposits: &[(AssetId, Amount)]) -> Result<(), Error> {
        for (asset, amount) in deposits {
            let (Some(currency), true) = (self.currencies.of_asset(asset), amount.units() > 0)
            else {
                continue;
            };
            let ledger = Ledger::new(self.agent.clone(), ledger_of(asset));
            let has = ledger.balance(&self.account).await;
            let has = has.map_err(|error| self.unreachable(&error))?;
            // Approving costs a fee, and so does pulling.
            let needs = Amount::checked_sum([*amount, currency.fee, currency.fee]);
            if needs.is_none_or(|needs| needs > has) {
                let requirement = format!(
                    "the account has {} {}, and a deposit costs two fees of {} besides",
                    currency.show(has),
                    currency.symbol,
                    currency.show(currency.fee),
                );
                return Err(Error::invalid(
                    "amount",
                    currency.show(*amount),
                    requirement,
                ));
            }
        }
        Ok(())
    }
}
