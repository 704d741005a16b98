//! A channel's history as a document that proves itself.
//!
//! It has the channel's params, the balances at its opening, every payment, and the newest state that
//! both have signed, as the bytes that were signed. Times and the texts of memos are this side's word.

use std::collections::HashMap;

use perun_client::client::Client;
use perun_protocol::encoding::Canonical as _;
use perun_protocol::payment::History as Proof;
use perun_protocol::{ChannelId, Params, SignedState};
use serde::{Deserialize, Serialize};

use super::{History, Record};
use crate::{Error, Resource};

/// What the document says that it is.
pub(super) const FORMAT: &str = "perun-history/1";

/// The document. Amounts are in the ledger's smallest unit, bytes are hex.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) format: String,
    pub(super) channel: String,
    /// Canonical bytes.
    pub(super) params: String,
    /// For each asset, what each participant began with.
    pub(super) opening: Vec<Vec<String>>,
    pub(super) entries: Vec<Entry>,
    /// Canonical bytes of the newest state with its signatures.
    pub(super) newest: String,
}

/// The payments of one update.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) version: u64,
    /// Who paid.
    pub(super) payer: u8,
    pub(super) payments: Vec<Payment>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payment {
    /// Position of the asset in the params.
    pub(super) asset: u8,
    pub(super) amount: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) memo: Option<String>,
    /// This side's word: the text of the memo, when it was recorded, and whether that was late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) time_is_late: bool,
}

impl History {
    /// The history of a channel as JSON, of one that is over, too. See [`super::verify`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::FailedPrecondition`] while nothing is signed by both.
    pub async fn export(&self, client: &Client, id: &ChannelId) -> Result<String, Error> {
        self.flush().await?;
        let (table, client, id) = (std::sync::Arc::clone(&self.table), client.clone(), *id);
        let exporting = move || {
            let records = table.of_channel(&id)?;
            let text = hex::encode(id.as_bytes());
            if let Some(channel) = client.channel(&id) {
                // The state first: what is agreed to meanwhile would be missing in it.
                let newest = channel.newest();
                let history = channel.history().map_err(Error::internal)?;
                return document(&channel.params(), newest, history, &records);
            }
            let ended = client.ended(&id).map_err(Error::internal)?;
            let ended = ended.ok_or_else(|| Error::not_found(Resource::Channel, text))?;
            let history = client.ended_history(&ended).map_err(Error::internal)?;
            document(&ended.params, ended.newest, history, &records)
        };
        let exported = tokio::task::spawn_blocking(exporting).await;
        exported.map_err(Error::internal)?
    }
}

pub(super) fn document(
    params: &Params,
    newest: Option<SignedState>,
    history: Proof,
    records: &[Record],
) -> Result<String, Error> {
    let newest = newest.ok_or_else(|| Error::FailedPrecondition {
        message: "the channel has no state that both have signed yet".to_owned(),
    })?;
    let known: HashMap<_, _> = records
        .iter()
        .map(|record| ((record.version, record.index), record))
        .collect();
    let Proof { opening, entries } = history;
    let mut rows = vec![Vec::new(); opening.assets()];
    for (asset, _, amount) in opening.iter() {
        rows[asset.index()].push(amount.to_string());
    }
    let agreed = entries
        .iter()
        .filter(|entry| entry.version <= newest.version());
    let entries = agreed.map(|entry| Entry {
        version: entry.version.number(),
        payer: entry.payer.number(),
        payments: (0u32..)
            .zip(&entry.payments)
            .map(|(index, payment)| {
                let record = known.get(&(entry.version, index));
                Payment {
                    asset: payment.asset.number(),
                    amount: payment.amount.to_string(),
                    memo: payment.memo.map(hex::encode),
                    text: record.and_then(|record| record.memo_text.clone()),
                    at_ms: record.map(|record| record.at_ms),
                    time_is_late: record.is_some_and(|record| record.time_is_late),
                }
            })
            .collect(),
    });
    let document = Document {
        format: FORMAT.to_owned(),
        channel: hex::encode(params.id().as_bytes()),
        params: hex::encode(params.encode()),
        opening: rows,
        entries: entries.collect(),
        newest: hex::encode(newest.encode()),
    };
    serde_json::to_string_pretty(&document).map_err(Error::internal)
}
