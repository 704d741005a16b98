//! Proposals that are accepted without asking the user: a server cannot answer prompts.

use std::collections::BTreeMap;

use perun_protocol::Amount;
use perun_protocol::wire::{Proposal, Terms};
use serde::Deserialize;

use super::Session;
use super::info::ours_first;

/// Accepts the proposals of a peer that ask for no more than this.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AutoAccept {
    /// The peer's alias, or "*" for every contact.
    pub peer: String,
    /// What may be deposited into one channel, by currency; nothing of one that is not named.
    #[serde(default)]
    pub max_deposit: BTreeMap<String, String>,
    /// How many channels with the peer there may be at the same time.
    #[serde(default = "one")]
    pub max_channels: usize,
    /// The shortest challenge duration, in seconds.
    #[serde(default)]
    pub min_challenge_secs: u32,
    /// The longest challenge duration, in seconds: for so long money can be bound.
    #[serde(default = "a_day")]
    pub max_challenge_secs: u32,
}

fn one() -> usize {
    1
}

fn a_day() -> u32 {
    24 * 3600
}

impl Session {
    /// Whether a rule of the user accepts what a peer proposes.
    pub(super) fn accepts_by_itself(
        &self,
        peer: &perun_protocol::PublicKey,
        terms: &Terms,
    ) -> bool {
        let alias = self.alias(peer);
        let of_peer = self.client.channels().into_iter();
        let channels =
            of_peer.filter(|channel| channel.peer() == *peer).count() + self.accepting(peer);
        let mut rules = self.auto_accept.iter();
        rules.any(|rule| {
            let duration_s = terms.challenge_duration.secs();
            (rule.peer == "*" || rule.peer == alias)
                && channels < rule.max_channels
                && (rule.min_challenge_secs..=rule.max_challenge_secs).contains(&duration_s)
                && self.deposits_within(rule, terms)
        })
    }

    fn deposits_within(&self, rule: &AutoAccept, terms: &Terms) -> bool {
        let mut deposits = terms.assets.iter().zip(terms.funding.rows());
        deposits.all(|(asset, row)| {
            let [ours, _] = ours_first(row, Proposal::ACCEPTOR);
            let Some(currency) = self.currencies.of_asset(asset) else {
                return false;
            };
            let limit = rule.max_deposit.get(&currency.symbol);
            let limit = limit.or_else(|| rule.max_deposit.get(&currency.ledger.to_text()));
            // A limit that is none allows nothing; the session was warned of it when it was opened.
            let limit = limit.and_then(|limit| currency.parse(limit).ok());
            ours <= limit.unwrap_or(Amount::ZERO)
        })
    }

    /// Rules whose limits are none.
    pub(super) fn check_rules(&self) {
        for rule in &self.auto_accept {
            for (currency, limit) in &rule.max_deposit {
                let known = self.currencies.named(currency);
                if let Err(error) = known.and_then(|currency| currency.parse(limit)) {
                    tracing::warn!(session = %self.name, peer = %rule.peer, "autoAccept allows no deposit: {error}");
                }
            }
        }
    }
}
