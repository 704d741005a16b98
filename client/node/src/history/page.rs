//! Pages of a history: what is asked for, and where the next one begins.

use perun_protocol::{AssetId, ChannelId, PublicKey};

use super::Record;
use crate::Error;

/// Which payments are asked for. What is `None` is not asked about.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Through this channel.
    pub channel: Option<ChannelId>,
    /// With this peer.
    pub peer: Option<PublicKey>,
    /// Of this asset.
    pub asset: Option<AssetId>,
    /// Paid by us, or else received.
    pub is_sent: Option<bool>,
    /// At this time or later, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Before this time.
    pub before_ms: Option<i64>,
}

/// Some payments, newest first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// They.
    pub records: Vec<Record>,
    /// What to ask for to see those behind them; `None` if there are none.
    pub next: Option<String>,
}

/// The place of a payment in the order of all: when, which channel, version, index.
pub(super) type Place = (i64, [u8; 32], u64, u32);

impl Filter {
    /// Whether this payment is asked for.
    pub(super) fn takes(&self, record: &Record) -> bool {
        self.channel.is_none_or(|channel| channel == record.channel)
            && self.peer.is_none_or(|peer| peer == record.peer)
            && self.asset.is_none_or(|asset| asset == record.asset)
            && self.is_sent.is_none_or(|is_sent| is_sent == record.is_sent)
            && self.from_ms.is_none_or(|from_ms| record.at_ms >= from_ms)
            && self
                .before_ms
                .is_none_or(|before_ms| record.at_ms < before_ms)
    }
}

pub(super) fn place_of(record: &Record) -> Place {
    let Record {
        channel,
        version,
        index,
        at_ms,
        ..
    } = record;
    (*at_ms, *channel.as_bytes(), version.number(), *index)
}

/// The text that names the page behind a payment.
pub(super) fn token((at_ms, channel, version, index): Place) -> String {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend(at_ms.to_be_bytes());
    bytes.extend(channel);
    bytes.extend(version.to_be_bytes());
    bytes.extend(index.to_be_bytes());
    hex::encode(bytes)
}

const LENGTH: usize = 8 + 32 + 8 + 4;

pub(super) fn parse_token(text: &str) -> Result<Place, Error> {
    let wrong = || Error::invalid("page_token", text, "it is what the page before has told");
    let mut bytes = [0; LENGTH];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| wrong())?;
    let mut reader = perun_protocol::encoding::Reader::new(&bytes);
    let mut read = || {
        Ok::<_, perun_protocol::encoding::DecodeError>((
            i64::from_be_bytes(reader.array()?),
            reader.array()?,
            u64::from_be_bytes(reader.array()?),
            u32::from_be_bytes(reader.array()?),
        ))
    };
    read().map_err(|_| wrong())
}
