//! Recording: orders become rows, all of them in one commit.

use perun_client::client::Client;
use perun_protocol::payment::Entry;
use perun_protocol::{AssetId, ChannelId, Version};
use redb::{ReadableTable as _, WriteTransaction};

use super::{CHANNELS, MEMOS, PAYMENTS, PEERS, PLACES, TEXTS, Table};
use crate::clock;
use crate::history::{News, Order};

/// How many channels that are over are looked at together.
const PAGE: usize = 256;

impl Table {
    /// Carries out orders. What cannot be read of a channel is left for later; only this file can
    /// fail.
    pub(in crate::history) fn apply(&self, orders: Vec<Order>) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        let mut follow: Vec<News> = Vec::new();
        let mut over = None;
        for order in orders {
            match order {
                Order::Follow(news) => follow.push(news),
                Order::CatchUp(client) => over = Some(client),
                Order::Memo(memo, text) => {
                    write.open_table(TEXTS)?.insert(&memo, text.as_str())?;
                }
            }
        }
        // Those of one channel together, in their order: it is read once.
        follow.sort_by_key(|news| news.channel);
        for news in follow.chunk_by(|one, other| one.channel == other.channel) {
            self.follow(&write, news)?;
        }
        if let Some(client) = over {
            self.catch_up(&write, &client)?;
        }
        Ok(write.commit()?)
    }

    fn follow(&self, write: &WriteTransaction, news: &[News]) -> Result<(), redb::Error> {
        let Some(last) = news.last() else {
            return Ok(());
        };
        let id = last.channel.as_bytes();
        let mut channels = write.open_table(CHANNELS)?;
        let next = channels.get(id)?.map_or(0, |channel| channel.value().1);
        let through = news.iter().map(|news| news.through).max();
        let through = through.unwrap_or(Version::INITIAL).number();
        let newer = match through < next {
            true => Vec::new(),
            false => match (last.read)(Version::new(next)) {
                Ok(entries) => entries,
                Err(error) => {
                    let channel = hex::encode(id);
                    tracing::warn!(channel, "its payments cannot be read now: {error}");
                    return Ok(());
                }
            },
        };
        for entry in newer
            .iter()
            .filter(|entry| entry.version.number() <= through)
        {
            // The first that tells of it was told at the time.
            let told = news.iter().find(|news| news.through >= entry.version);
            insert(write, told.unwrap_or(last), entry)?;
            self.told(last, entry);
        }
        let next = next.max(through.saturating_add(1));
        channels.insert(id, (last.peer.as_bytes(), next, false))?;
        Ok(())
    }

    /// A disk that fails afterwards takes nothing else any more, so that nothing is told twice.
    fn told(&self, news: &News, entry: &Entry) {
        let Some(recorded) = self.recorded.get() else {
            return;
        };
        for payment in &entry.payments {
            if let Some(asset) = news.assets.get(payment.asset.index()) {
                recorded(entry.payer == news.part, asset, payment.amount);
            }
        }
    }

    /// Reads what is new of channels that are over, each once.
    fn catch_up(&self, write: &WriteTransaction, client: &Client) -> Result<(), redb::Error> {
        let mut after: Option<ChannelId> = None;
        loop {
            let ids = match client.ended_ids(after.as_ref(), PAGE) {
                Ok(ids) => ids,
                Err(error) => {
                    tracing::warn!("channels that are over cannot be read now: {error}");
                    return Ok(());
                }
            };
            let Some(last) = ids.last() else {
                return Ok(());
            };
            after = Some(*last);
            for id in ids {
                let is_known = {
                    let channels = write.open_table(CHANNELS)?;
                    let known = channels.get(id.as_bytes())?;
                    known.is_some_and(|channel| channel.value().2)
                };
                if !is_known {
                    self.record_ended(write, client, &id)?;
                }
            }
        }
    }

    fn record_ended(
        &self,
        write: &WriteTransaction,
        client: &Client,
        id: &ChannelId,
    ) -> Result<(), redb::Error> {
        let channel = hex::encode(id.as_bytes());
        let ended = match client.ended(id) {
            Ok(Some(ended)) => ended,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!(channel, "it is over, and cannot be read: {error}");
                return Ok(());
            }
        };
        let newest = ended.newest.as_ref().map(|newest| newest.version());
        let through = newest.unwrap_or(Version::INITIAL);
        let peer = ended.peer;
        let news = News {
            channel: *id,
            peer,
            part: ended.part,
            assets: ended.params.assets().to_vec(),
            through,
            at_ms: clock::millis(),
            is_late: true,
            read: {
                let client = client.clone();
                Box::new(move |from| {
                    let mut history = client.ended_history(&ended)?;
                    history.entries.retain(|entry| entry.version >= from);
                    Ok(history.entries)
                })
            },
        };
        self.follow(write, &[news])?;
        let mut channels = write.open_table(CHANNELS)?;
        let next = channels
            .get(id.as_bytes())?
            .map_or(0, |channel| channel.value().1);
        // Whatever could not be read is tried again at the next opening.
        if next > through.number() {
            channels.insert(id.as_bytes(), (peer.as_bytes(), next, true))?;
        }
        Ok(())
    }
}

fn insert(write: &WriteTransaction, news: &News, entry: &Entry) -> Result<(), redb::Error> {
    let mut payments = write.open_table(PAYMENTS)?;
    let mut places = write.open_table(PLACES)?;
    let mut peers = write.open_table(PEERS)?;
    let mut memos = write.open_table(MEMOS)?;
    let id = news.channel.as_bytes();
    let (version, is_sent) = (entry.version.number(), entry.payer == news.part);
    for (index, payment) in (0u32..).zip(&entry.payments) {
        // A batch of another channel would not have been signed.
        let Some(AssetId::Icrc(ledger)) = news.assets.get(payment.asset.index()) else {
            continue;
        };
        let amount = payment.amount.units();
        let memo = payment.memo.as_ref();
        let row = (news.is_late, is_sent, ledger.as_slice(), amount, memo);
        payments.insert((news.at_ms, id, version, index), row)?;
        places.insert((id, version, index), news.at_ms)?;
        let peer = news.peer.as_bytes();
        peers.insert((peer, news.at_ms, id, version, index), ())?;
        if let Some(memo) = memo {
            memos.insert((memo, id, version, index), news.at_ms)?;
        }
    }
    Ok(())
}
