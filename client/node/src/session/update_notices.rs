//! Notifications of updates: what a channel would be if the user agreed.

use perun_client::channel::Channel;
use perun_protocol::payment::Batch;
use perun_protocol::wire::PaymentRequest;
use perun_protocol::{Amount, AssetIdx, Balances, Version};

use super::Session;
use super::info::{channel_text, ours_first, update_text};
use crate::api::pb::PayChInfo;
use crate::api::pb::sub_pay_ch_updates_resp::Notify;
use crate::api::pb::sub_pay_ch_updates_resp::notify::ChUpdateType;

impl Session {
    /// What a channel would be after the peer has paid, or after we have.
    pub(super) fn info_after(
        &self,
        channel: &Channel,
        version: Version,
        payments: &[(AssetIdx, Amount)],
        peer_pays: bool,
    ) -> PayChInfo {
        let newest = channel.newest();
        let balances = newest.map(|newest| {
            let before = &newest.state().allocation().balances;
            let rows = before.rows().enumerate().flat_map(|(i, row)| {
                let [mut ours, mut theirs] = ours_first(row, channel.part());
                let paid = payments.iter().filter(|(asset, _)| asset.index() == i);
                for (_, amount) in paid {
                    let (from, to) = match peer_pays {
                        true => (&mut theirs, &mut ours),
                        false => (&mut ours, &mut theirs),
                    };
                    // What does not fit is refused when it is answered.
                    if let (Some(less), Some(more)) =
                        (from.checked_sub(*amount), to.checked_add(*amount))
                    {
                        (*from, *to) = (less, more);
                    }
                }
                match channel.part().index() {
                    0 => [ours, theirs],
                    _ => [theirs, ours],
                }
            });
            let after = Balances::new(2, rows.collect());
            (version, after.unwrap_or_else(|_| before.clone()))
        });
        self.info_at(channel, balances)
    }

    /// The notification of an update of the peer.
    pub(super) fn offer_notice(
        &self,
        channel: &Channel,
        version: Version,
        payments: &Batch,
        is_final: bool,
        expiry_s: i64,
    ) -> Notify {
        let totals = totals(channel, payments);
        Notify {
            update_id: update_text(&channel.id(), version),
            proposed_pay_ch_info: Some(self.info_after(channel, version, &totals, true)),
            r#type: match is_final {
                true => ChUpdateType::Final.into(),
                false => ChUpdateType::Open.into(),
            },
            expiry: expiry_s,
            error: None,
        }
    }

    /// The notification of a payment that the peer asks for.
    pub(super) fn request_notice(
        &self,
        channel: &Channel,
        request: &PaymentRequest,
        expiry_s: i64,
    ) -> Notify {
        let newest = channel.newest();
        let version = newest.map_or(Version::INITIAL, |newest| newest.version());
        let next = version.next().unwrap_or(version);
        let payments = [(request.asset, request.amount)];
        // Its digest, not the number that the peer chose: what is answered is what was shown.
        let digest = request.payment().memo.unwrap_or_default();
        Notify {
            update_id: format!(
                "{}_request_{}",
                channel_text(&channel.id()),
                hex::encode(digest)
            ),
            proposed_pay_ch_info: Some(self.info_after(channel, next, &payments, false)),
            r#type: ChUpdateType::Open.into(),
            expiry: expiry_s,
            error: None,
        }
    }
}

/// What a batch pays of each asset of the channel.
pub(super) fn totals(channel: &Channel, payments: &Batch) -> Vec<(AssetIdx, Amount)> {
    let assets = channel.params().assets().len();
    let assets = (0..assets).filter_map(|i| u8::try_from(i).ok());
    assets
        .map(AssetIdx::new)
        .map(|asset| (asset, payments.total(asset)))
        .filter(|(_, total)| total.units() > 0)
        .collect()
}

/// The digest of the request that an update is about, by the update's id.
pub(super) fn requested_in(update: &str) -> Option<[u8; 32]> {
    let (_, digest) = update.split_once("_request_")?;
    hex::decode(digest).ok()?.try_into().ok()
}
