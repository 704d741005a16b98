//! A channel's history as a document that proves itself.
//!
//! ```text
//!  {"format":…,"channel":…,"params":…,"opening":…,"newest":…}     the head: what it is proven by
//!  {"version":1,"payer":0,"payments":[…]}                         the payments of each update
//!  {"version":4,"payer":1,"payments":[…]}
//! ```
//!
//! Each line is JSON. The head has the channel's params, the balances at its opening, and the newest state
//! that both have signed, as the bytes that were signed. Times and the texts of memos are this side's word.
//!
//! It is made a chunk at a time, and holds nothing open in between: who asks for one may take their time.
//!
//! Invariant: no more is in memory than a page of updates and a chunk, however long the history is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use perun_client::client::{Client, ReadHistoryError};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{Balances, ChannelId, Params, SignedState, Version, payment};
use serde::{Deserialize, Serialize};

use super::table::Table;
use super::{History, Record};
use crate::{Error, Resource};

/// What the document says that it is.
pub(super) const FORMAT: &str = "perun-history/2";

/// Bytes of payments, as they are stored, that are read at once.
const PAGE: usize = 16 * 1024;

/// The first line. Amounts are in the ledger's smallest unit, bytes are hex.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) channel: String,
    /// Canonical bytes.
    pub(super) params: String,
    /// For each asset, what each participant began with.
    pub(super) opening: Vec<Vec<String>>,
    /// Canonical bytes of the newest state with its signatures.
    pub(super) newest: String,
}

/// A line: the payments of one update.
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

/// A document that is being made: how far it is.
#[derive(Debug)]
pub struct Export {
    channel: ChannelId,
    /// Where the next page begins; `None` behind the last one.
    next: Option<Version>,
    /// The version of the state that proves it.
    through: Version,
    /// What was written and not taken yet.
    ready: VecDeque<u8>,
}

impl History {
    /// Begins the document of a channel's history, of one that is over, too. See [`super::verify`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::FailedPrecondition`] while nothing is signed by both.
    pub async fn export(&self, client: &Client, id: &ChannelId) -> Result<Export, Error> {
        self.flush().await?;
        let (client, id) = (client.clone(), *id);
        let beginning = move || {
            if let Some(channel) = client.channel(&id) {
                return Export::begin(&channel.params(), &channel.opening(), channel.newest());
            }
            let ended = client.ended(&id).map_err(Error::internal)?;
            let text = || hex::encode(id.as_bytes());
            let ended = ended.ok_or_else(|| Error::not_found(Resource::Channel, text()))?;
            Export::begin(&ended.params, ended.opening(), ended.newest.clone())
        };
        let begun = tokio::task::spawn_blocking(beginning).await;
        begun.map_err(Error::internal)?
    }

    /// The next bytes of a document, [`Export::CHUNK`] at most, and how far it is then; `None` at its end.
    ///
    /// # Errors
    /// [`Error::Internal`] if the disk fails.
    pub async fn export_more(
        &self,
        client: &Client,
        mut export: Export,
    ) -> Result<Option<(Vec<u8>, Export)>, Error> {
        let (table, client) = (Arc::clone(&self.table), client.clone());
        let (channel, through) = (export.channel, export.through);
        let writing = move || {
            let read = |from| client.payments_page(&channel, from, through, PAGE);
            let chunk = export.next_chunk(&table, read)?;
            Ok(chunk.map(|chunk| (chunk, export)))
        };
        let written = tokio::task::spawn_blocking(writing).await;
        written.map_err(Error::internal)?
    }
}

impl Export {
    /// The most bytes of a chunk.
    pub const CHUNK: usize = 64 * 1024;

    pub(super) fn begin(
        params: &Params,
        opening: &Balances,
        newest: Option<SignedState>,
    ) -> Result<Self, Error> {
        let newest = newest.ok_or_else(|| Error::FailedPrecondition {
            message: "the channel has no state that both have signed yet".to_owned(),
        })?;
        let mut rows = vec![Vec::new(); opening.assets()];
        for (asset, _, amount) in opening.iter() {
            rows[asset.index()].push(amount.to_string());
        }
        let mut export = Self {
            channel: params.id(),
            next: Some(Version::INITIAL),
            through: newest.version(),
            ready: VecDeque::new(),
        };
        export.write_line(&Head {
            format: FORMAT.to_owned(),
            channel: hex::encode(params.id().as_bytes()),
            params: hex::encode(params.encode()),
            opening: rows,
            newest: hex::encode(newest.encode()),
        })?;
        Ok(export)
    }

    /// `read` has the payments from a version on, a page of them.
    pub(super) fn next_chunk(
        &mut self,
        table: &Table,
        read: impl Fn(Version) -> Result<Vec<payment::Entry>, ReadHistoryError>,
    ) -> Result<Option<Vec<u8>>, Error> {
        while self.ready.len() < Self::CHUNK
            && let Some(from) = self.next
        {
            let page = read(from).map_err(Error::internal)?;
            self.next = page.last().and_then(|last| last.version.next());
            if let (Some(first), Some(last)) = (page.first(), page.last()) {
                let records = table.of_channel(&self.channel, first.version..=last.version)?;
                self.write(&page, &records)?;
            }
        }
        let length = self.ready.len().min(Self::CHUNK);
        Ok((length > 0).then(|| self.ready.drain(..length).collect()))
    }

    fn write(&mut self, page: &[payment::Entry], records: &[Record]) -> Result<(), Error> {
        let records = records.iter();
        let known: HashMap<_, _> = records
            .map(|record| ((record.version, record.index), record))
            .collect();
        for entry in page {
            let payments = (0u32..).zip(&entry.payments).map(|(index, payment)| {
                let record = known.get(&(entry.version, index));
                Payment {
                    asset: payment.asset.number(),
                    amount: payment.amount.to_string(),
                    memo: payment.memo.map(hex::encode),
                    text: record.and_then(|record| record.memo_text.clone()),
                    at_ms: record.map(|record| record.at_ms),
                    time_is_late: record.is_some_and(|record| record.time_is_late),
                }
            });
            self.write_line(&Entry {
                version: entry.version.number(),
                payer: entry.payer.number(),
                payments: payments.collect(),
            })?;
        }
        Ok(())
    }

    fn write_line(&mut self, line: &impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(&mut self.ready, line).map_err(Error::internal)?;
        self.ready.push_back(b'\n');
        Ok(())
    }
}
