//! Channels as the API shows them: aliases for keys, symbols for ledgers, decimals for units.

use perun_canister_api::convert;
use perun_client::channel::Channel;
use perun_protocol::{Amount, AssetId, Balances, ChannelId, PartIdx, PublicKey, Version};

use super::Session;
use crate::api::pb;
use crate::contacts::show_identity;
use crate::currency::Currency;
use crate::{Error, Resource};

/// The user, in every session.
pub const SELF: &str = "self";

/// A channel's id as the API writes it.
pub fn channel_text(id: &ChannelId) -> String {
    hex::encode(id.as_bytes())
}

/// The channel id that a text of the API names.
pub fn parse_channel(text: &str) -> Option<ChannelId> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(ChannelId::from_bytes(bytes))
}

/// What names an update in notifications and answers.
pub(super) fn update_text(id: &ChannelId, version: Version) -> String {
    format!("{}_{}", channel_text(id), version.number())
}

impl Session {
    /// The name of a peer: its alias, or its identity if it is no contact (any more).
    pub fn alias(&self, peer: &PublicKey) -> String {
        match self.contacts.by_identity(peer) {
            Some(contact) => contact.alias,
            None => show_identity(peer),
        }
    }

    /// A channel at its newest state.
    pub(super) fn info(&self, channel: &Channel) -> pb::PayChInfo {
        let balances = channel.newest().map(|newest| {
            let allocation = newest.state().allocation();
            (newest.version(), allocation.balances.clone())
        });
        self.info_at(channel, balances)
    }

    /// A channel at a version with these balances; `None` while version 0 is being signed.
    pub(super) fn info_at(
        &self,
        channel: &Channel,
        at: Option<(Version, Balances)>,
    ) -> pb::PayChInfo {
        let params = channel.params();
        let (version, balances) = match at {
            Some((version, balances)) => (version, Some(balances)),
            None => (Version::INITIAL, None),
        };
        let alias = self.alias(&channel.peer());
        let balances = balances.as_ref();
        pb::PayChInfo {
            ch_id: channel_text(&channel.id()),
            bal_info: Some(self.bal_info(params.assets(), balances, channel.part(), alias)),
            version: version.number().to_string(),
        }
    }

    /// Balances with ourselves first.
    pub(super) fn bal_info(
        &self,
        assets: &[AssetId],
        balances: Option<&Balances>,
        part: PartIdx,
        peer: String,
    ) -> pb::BalInfo {
        let rows = assets.iter().enumerate().map(|(i, asset)| {
            let row = balances.and_then(|balances| balances.rows().nth(i));
            let [ours, theirs] = row.map_or([Amount::ZERO; 2], |row| ours_first(row, part));
            let bal = [ours, theirs].map(|amount| self.show(asset, amount));
            pb::bal_info::Bal { bal: bal.into() }
        });
        pb::BalInfo {
            currencies: assets.iter().map(|asset| self.symbol_of(asset)).collect(),
            parts: vec![SELF.into(), peer],
            bals: rows.collect(),
        }
    }

    pub(super) fn symbol_of(&self, asset: &AssetId) -> String {
        match self.currencies.of_asset(asset) {
            Some(currency) => currency.symbol.clone(),
            None => ledger_of(asset).to_text(),
        }
    }

    /// An amount in whole tokens; in units of a ledger that is not known any more.
    pub(super) fn show(&self, asset: &AssetId, amount: Amount) -> String {
        match self.currencies.of_asset(asset) {
            Some(currency) => currency.show(amount),
            None => amount.units().to_string(),
        }
    }

    /// The currency with this name.
    pub(super) fn currency(&self, name: &str) -> Result<std::sync::Arc<Currency>, Error> {
        self.currencies.named(name)
    }

    /// The open channel that a text of the API names.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn channel(&self, text: &str) -> Result<Channel, Error> {
        let channel = parse_channel(text).and_then(|id| self.client.channel(&id));
        channel.ok_or_else(|| Error::not_found(Resource::Channel, text))
    }
}

/// The canister id of an asset's ledger.
pub fn ledger_of(asset: &AssetId) -> candid::Principal {
    let AssetId::Icrc(ledger) = asset;
    convert::principal_to_candid(ledger)
}

/// A row of balances of two, as this part sees it.
pub(super) fn ours_first(row: &[Amount], part: PartIdx) -> [Amount; 2] {
    let at = |i: usize| row.get(i).copied().unwrap_or(Amount::ZERO);
    match part.index() {
        0 => [at(0), at(1)],
        _ => [at(1), at(0)],
    }
}
