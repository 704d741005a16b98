//! Reading what was recorded.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use perun_protocol::{Amount, AssetId, ChannelId, Principal, PublicKey, Version};
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase as _};

use super::{CHANNELS, Channel, MEMOS, PAYMENTS, PEERS, PLACES, Payment, PaymentKey, TEXTS, Table};
use crate::Error;
use crate::commits::guarded;
use crate::history::page::{Place, place_of, token};
use crate::history::{Filter, Page, Record};

/// The tables at one moment.
struct Rows {
    read: ReadTransaction,
    payments: ReadOnlyTable<PaymentKey, Payment>,
    texts: ReadOnlyTable<&'static [u8; 32], &'static str>,
    channels: ReadOnlyTable<&'static [u8; 32], Channel>,
    peers: HashMap<[u8; 32], PublicKey>,
}

impl Table {
    pub(in crate::history) fn list(
        &self,
        filter: &Filter,
        limit: usize,
        after: Option<Place>,
    ) -> Result<Page, Error> {
        let listed = guarded(|| {
            let mut rows = self.rows()?;
            match (&filter.channel, &filter.peer) {
                (Some(channel), _) => rows.list_channel(channel, filter, limit, after),
                (None, Some(peer)) => rows.list_peer(peer, filter, limit, after),
                (None, None) => rows.list_all(filter, limit, after),
            }
        });
        listed.map_err(Error::internal)
    }

    /// A payment with this memo that is wanted.
    pub(in crate::history) fn with_memo(
        &self,
        memo: &[u8; 32],
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<Option<Record>, Error> {
        let found = guarded(|| {
            let mut rows = self.rows()?;
            let memos = rows.read.open_table(MEMOS)?;
            let from = (memo, &[0; 32], 0, 0);
            let to = (memo, &[0xff; 32], u64::MAX, u32::MAX);
            for row in memos.range(from..=to)? {
                let (key, at_ms) = row?;
                let (_, channel, version, index) = key.value();
                let place = (at_ms.value(), *channel, version, index);
                if let Some(record) = rows.record(place)?.filter(&wanted) {
                    return Ok(Some(record));
                }
            }
            Ok(None)
        });
        found.map_err(Error::internal)
    }

    /// The payments of a channel that these versions carry, oldest first.
    pub(in crate::history) fn of_channel(
        &self,
        channel: &ChannelId,
        versions: RangeInclusive<Version>,
    ) -> Result<Vec<Record>, Error> {
        let [first, last] = [versions.start(), versions.end()].map(|version| version.number());
        let found = guarded(|| {
            let mut rows = self.rows()?;
            let places = rows.read.open_table(PLACES)?;
            let id = channel.as_bytes();
            let mut records = Vec::new();
            for row in places.range((id, first, 0)..=(id, last, u32::MAX))? {
                let (key, at_ms) = row?;
                let (_, version, index) = key.value();
                records.extend(rows.record((at_ms.value(), *id, version, index))?);
            }
            Ok(records)
        });
        found.map_err(Error::internal)
    }

    fn rows(&self) -> Result<Rows, redb::Error> {
        let read = self.database.begin_read()?;
        Ok(Rows {
            payments: read.open_table(PAYMENTS)?,
            texts: read.open_table(TEXTS)?,
            channels: read.open_table(CHANNELS)?,
            peers: HashMap::new(),
            read,
        })
    }
}

impl Rows {
    fn list_all(
        &mut self,
        filter: &Filter,
        limit: usize,
        after: Option<Place>,
    ) -> Result<Page, redb::Error> {
        let Some((from_ms, end)) = bounds(filter, after) else {
            return Ok(Page::end(Vec::new()));
        };
        let (at_ms, channel, version, index) = &end;
        let end = (*at_ms, channel, *version, *index);
        let range = self.payments.range((from_ms, &FIRST, 0, 0)..end)?;
        let mut records = Vec::new();
        for row in range.rev() {
            let (key, payment) = row?;
            let (at_ms, channel, version, index) = key.value();
            let place = (at_ms, *channel, version, index);
            let Some(record) = self.read_row(place, payment.value())? else {
                continue;
            };
            if filter.takes(&record) && !push(&mut records, record, limit) {
                return Ok(Page::full(self.with_texts(records)?));
            }
        }
        Ok(Page::end(self.with_texts(records)?))
    }

    fn list_peer(
        &mut self,
        peer: &PublicKey,
        filter: &Filter,
        limit: usize,
        after: Option<Place>,
    ) -> Result<Page, redb::Error> {
        let Some((from_ms, end)) = bounds(filter, after) else {
            return Ok(Page::end(Vec::new()));
        };
        let (peer, (at_ms, channel, version, index)) = (peer.as_bytes(), &end);
        let end = (peer, *at_ms, channel, *version, *index);
        let peers = self.read.open_table(PEERS)?;
        let mut records = Vec::new();
        for row in peers.range((peer, from_ms, &FIRST, 0, 0)..end)?.rev() {
            let (key, _) = row?;
            let (_, at_ms, channel, version, index) = key.value();
            let record = self.record_without_text((at_ms, *channel, version, index))?;
            let Some(record) = record.filter(|record| filter.takes(record)) else {
                continue;
            };
            if !push(&mut records, record, limit) {
                return Ok(Page::full(self.with_texts(records)?));
            }
        }
        Ok(Page::end(self.with_texts(records)?))
    }

    /// Those of one channel are in the order of their versions, which is the truth when a clock was
    /// put back.
    fn list_channel(
        &mut self,
        channel: &ChannelId,
        filter: &Filter,
        limit: usize,
        after: Option<Place>,
    ) -> Result<Page, redb::Error> {
        let id = channel.as_bytes();
        let places = self.read.open_table(PLACES)?;
        let end = match &after {
            Some((_, _, version, index)) => (id, *version, *index),
            None => (id, u64::MAX, u32::MAX),
        };
        let mut records = Vec::new();
        for row in places.range((id, 0, 0)..end)?.rev() {
            let (key, at_ms) = row?;
            let (_, version, index) = key.value();
            let record = self.record_without_text((at_ms.value(), *id, version, index))?;
            let Some(record) = record.filter(|record| filter.takes(record)) else {
                continue;
            };
            if !push(&mut records, record, limit) {
                return Ok(Page::full(self.with_texts(records)?));
            }
        }
        Ok(Page::end(self.with_texts(records)?))
    }

    fn record(&mut self, place: Place) -> Result<Option<Record>, redb::Error> {
        let record = self.record_without_text(place)?;
        Ok(self.with_texts(record.into_iter().collect())?.pop())
    }

    fn record_without_text(&mut self, place: Place) -> Result<Option<Record>, redb::Error> {
        let (at_ms, channel, version, index) = &place;
        let payment = self.payments.get((*at_ms, channel, *version, *index))?;
        match payment {
            Some(payment) => self.read_row(place, payment.value()),
            None => Ok(None),
        }
    }

    /// `None` if a row is not as it was written.
    fn read_row(
        &mut self,
        (at_ms, channel, version, index): Place,
        (time_is_late, is_sent, ledger, amount, memo): <Payment as redb::Value>::SelfType<'_>,
    ) -> Result<Option<Record>, redb::Error> {
        let (Some(peer), Ok(ledger)) = (self.peer(&channel)?, Principal::from_slice(ledger)) else {
            return Ok(None);
        };
        Ok(Some(Record {
            channel: ChannelId::from_bytes(channel),
            peer,
            version: Version::new(version),
            index,
            at_ms,
            time_is_late,
            is_sent,
            asset: AssetId::Icrc(ledger),
            amount: Amount::new(amount),
            memo: memo.copied(),
            memo_text: None,
        }))
    }

    fn peer(&mut self, channel: &[u8; 32]) -> Result<Option<PublicKey>, redb::Error> {
        if let Some(peer) = self.peers.get(channel) {
            return Ok(Some(*peer));
        }
        let row = self.channels.get(channel)?;
        let peer = row.and_then(|row| PublicKey::from_bytes(*row.value().0));
        if let Some(peer) = peer {
            self.peers.insert(*channel, peer);
        }
        Ok(peer)
    }

    fn with_texts(&self, mut records: Vec<Record>) -> Result<Vec<Record>, redb::Error> {
        for record in &mut records {
            if let Some(memo) = &record.memo {
                let text = self.texts.get(memo)?;
                record.memo_text = text.map(|text| text.value().to_owned());
            }
        }
        Ok(records)
    }
}

/// Before every channel.
const FIRST: [u8; 32] = [0; 32];

/// From which time on to before which place, for the page behind another; `None` if nothing is there.
fn bounds(filter: &Filter, after: Option<Place>) -> Option<(i64, Place)> {
    let from_ms = filter.from_ms.unwrap_or(i64::MIN);
    let mut end = (i64::MAX, [0xff; 32], u64::MAX, u32::MAX);
    if let Some(before_ms) = filter.before_ms {
        end = (before_ms, FIRST, 0, 0);
    }
    let end = after.map_or(end, |after| after.min(end));
    (end > (from_ms, FIRST, 0, 0)).then_some((from_ms, end))
}

impl Page {
    fn end(records: Vec<Record>) -> Self {
        Self {
            records,
            next: None,
        }
    }

    fn full(records: Vec<Record>) -> Self {
        let next = records.last().map(|last| token(place_of(last)));
        Self { records, next }
    }
}

/// Adds a record, unless there are `limit` already.
fn push(records: &mut Vec<Record>, record: Record, limit: usize) -> bool {
    let fits = records.len() < limit;
    if fits {
        records.push(record);
    }
    fits
}
