//! Checking an exported history, without a node or a network.

use std::fmt;
use std::io::BufRead;

use perun_protocol::payment::{Batch, Entry, History as Proof, HistoryError, Payment};
use perun_protocol::signature::Libsecp256k1;
use perun_protocol::{
    Amount, AssetIdx, Balances, ChannelId, Params, PartIdx, SignedState, UnverifiedSignedState,
    Version,
};
use serde::Deserialize as _;

use super::export::{self, FORMAT, Head};

/// What a document proves: that both participants have agreed to exactly these payments. It does not
/// prove when they were made, nor the texts of memos.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// The channel.
    pub channel: ChannelId,
    /// The version of the state that proves it.
    pub version: Version,
    /// How many payments there are.
    pub payments: u64,
}

/// The first thing in a document that does not add up.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unproven {
    /// It cannot be read, or is no JSON of this form; the parser's words.
    Form(String),
    /// It is of another format.
    Format(String),
    /// A field has no value of its kind.
    Value {
        /// Which one.
        field: &'static str,
        /// The version of the entry, if it is in one.
        version: Option<u64>,
    },
    /// The params are those of another channel.
    Channel,
    /// The signatures of the state are not those of the participants.
    Signatures(String),
    /// The payments are not those that the state stands for.
    Payments(HistoryError),
}

/// Checks a document that a node has exported, as it is read.
///
/// # Errors
/// The first thing that does not add up.
pub fn verify(document: impl BufRead) -> Result<Verified, Unproven> {
    let form = |error: serde_json::Error| Unproven::Form(error.to_string());
    let mut document = serde_json::Deserializer::from_reader(document);
    let head = Head::deserialize(&mut document).map_err(form)?;
    if head.format != FORMAT {
        return Err(Unproven::Format(head.format));
    }
    let params: Params = canonical(&head.params).ok_or(wrong("params"))?;
    let channel = params.id();
    if head.channel != hex::encode(channel.as_bytes()) {
        return Err(Unproven::Channel);
    }
    let newest: UnverifiedSignedState = canonical(&head.newest).ok_or(wrong("newest"))?;
    let newest = newest
        .verify_for::<Libsecp256k1>(channel, &params)
        .map_err(|error| Unproven::Signatures(error.to_string()))?;
    let opening = opening(&head.opening).ok_or(wrong("opening"))?;
    let lines = document.into_iter::<export::Entry>();
    let entries = lines.map(|line| entry(&line.map_err(form)?));
    let entries = entries.collect::<Result<_, _>>()?;
    prove(&Proof { opening, entries }, &params, &newest)
}

fn prove(history: &Proof, params: &Params, newest: &SignedState) -> Result<Verified, Unproven> {
    history.verify(params, newest).map_err(Unproven::Payments)?;
    let counts = history.entries.iter();
    Ok(Verified {
        channel: params.id(),
        version: newest.version(),
        payments: counts.map(|entry| u64::from(entry.payments.count())).sum(),
    })
}

fn canonical<T: perun_protocol::encoding::Canonical>(text: &str) -> Option<T> {
    T::decode(&hex::decode(text).ok()?).ok()
}

fn opening(rows: &[Vec<String>]) -> Option<Balances> {
    let parts = rows.first()?.len();
    if rows.iter().any(|row| row.len() != parts) {
        return None;
    }
    let amounts: Option<Vec<Amount>> = rows.iter().flatten().map(|text| amount(text)).collect();
    Balances::new(parts, amounts?).ok()
}

fn entry(entry: &export::Entry) -> Result<Entry, Unproven> {
    let wrong = |field| Unproven::Value {
        field,
        version: Some(entry.version),
    };
    let mut payments = Batch::new();
    for payment in &entry.payments {
        let memo = payment.memo.as_deref().map(|memo| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(memo, &mut bytes).map(|()| bytes)
        });
        let payment = Payment {
            asset: AssetIdx::new(payment.asset),
            amount: amount(&payment.amount).ok_or(wrong("amount"))?,
            memo: memo.transpose().map_err(|_| wrong("memo"))?,
        };
        let pushed = payments.push(&payment, Batch::MAX_LENGTH);
        pushed.map_err(|_| wrong("payments"))?;
    }
    if payments.is_empty() {
        return Err(wrong("payments"));
    }
    Ok(Entry {
        version: Version::new(entry.version),
        payer: PartIdx::new(entry.payer),
        payments,
    })
}

/// A number in its one form.
fn amount(text: &str) -> Option<Amount> {
    let units: u128 = text.parse().ok()?;
    (units.to_string() == text).then(|| Amount::new(units))
}

fn wrong(field: &'static str) -> Unproven {
    Unproven::Value {
        field,
        version: None,
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(words) => write!(f, "it is no exported history: {words}"),
            Self::Format(format) => {
                write!(
                    f,
                    "it has the format {format:?}; this program knows {FORMAT:?}"
                )
            }
            Self::Value {
                field,
                version: None,
            } => write!(f, "{field}: no such value is possible"),
            Self::Value {
                field,
                version: Some(version),
            } => write!(
                f,
                "the payments of version {version}: {field}: no such value is possible"
            ),
            Self::Channel => write!(f, "the params are not those of the channel that it names"),
            Self::Signatures(words) => write!(f, "the newest state is not signed by both: {words}"),
            Self::Payments(error) => write!(f, "the payments are not proven: {error}"),
        }
    }
}

impl std::error::Error for Unproven {}
