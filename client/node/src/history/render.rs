//! A history for people and other programs: messages, CSV, JSON.

use serde::Serialize;

use super::Record;
use crate::api::v1::{self, Direction};
use crate::contacts::{Contacts, show_identity};
use crate::currency::Currencies;

/// A payment as a row.
#[derive(Serialize)]
struct Row<'a> {
    time: String,
    time_is_late: bool,
    direction: &'static str,
    peer: &'a str,
    amount: &'a str,
    currency: &'a str,
    memo: &'a str,
    memo_hash: &'a str,
    channel: &'a str,
    version: u64,
    index: u32,
}

/// The record as the API tells it.
pub fn to_message(
    record: &Record,
    contacts: &Contacts,
    currencies: &Currencies,
) -> v1::PaymentRecord {
    let contact = contacts.by_identity(&record.peer);
    let (currency, amount) = match currencies.of_asset(&record.asset) {
        Some(currency) => (currency.symbol.clone(), currency.show(record.amount)),
        // How many digits it has is not known: in its smallest unit, which no currency is called.
        None => {
            let perun_protocol::AssetId::Icrc(ledger) = &record.asset;
            let ledger = perun_canister_api::convert::principal_to_candid(ledger);
            (format!("units of {ledger}"), record.amount.to_string())
        }
    };
    v1::PaymentRecord {
        channel: hex::encode(record.channel.as_bytes()),
        peer_alias: contact.map_or_else(|| show_identity(&record.peer), |contact| contact.alias),
        version: record.version.number(),
        index: record.index,
        at_ms: record.at_ms,
        time_is_late: record.time_is_late,
        direction: match record.is_sent {
            true => Direction::Sent.into(),
            false => Direction::Received.into(),
        },
        currency,
        amount,
        memo_hash: record.memo.map(hex::encode).unwrap_or_default(),
        memo: record.memo_text.clone().unwrap_or_default(),
    }
}

/// Payments as CSV with a head. Spreadsheets take some texts for formulas: those that peers can make
/// begin with an apostrophe then.
pub fn csv(payments: &[v1::PaymentRecord]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for payment in payments {
        let memo = for_a_sheet(&payment.memo);
        let (peer, currency) = (
            for_a_sheet(&payment.peer_alias),
            for_a_sheet(&payment.currency),
        );
        let row = Row {
            memo: &memo,
            peer: &peer,
            currency: &currency,
            ..row(payment)
        };
        writer.serialize(row).expect("a vector takes every row");
    }
    if payments.is_empty() {
        writer.write_record(HEAD).expect("a vector takes every row");
    }
    let bytes = writer.into_inner().expect("a vector takes every byte");
    String::from_utf8(bytes).expect("it was written from texts")
}

/// Payments as JSON: an array of objects.
pub fn json(payments: &[v1::PaymentRecord]) -> String {
    let rows: Vec<_> = payments.iter().map(row).collect();
    serde_json::to_string_pretty(&rows).expect("rows are JSON")
}

const HEAD: [&str; 11] = [
    "time",
    "time_is_late",
    "direction",
    "peer",
    "amount",
    "currency",
    "memo",
    "memo_hash",
    "channel",
    "version",
    "index",
];

fn row(payment: &v1::PaymentRecord) -> Row<'_> {
    Row {
        time: time(payment.at_ms),
        time_is_late: payment.time_is_late,
        direction: match payment.direction() {
            Direction::Sent => "sent",
            Direction::Received => "received",
            Direction::Both => "",
        },
        peer: &payment.peer_alias,
        amount: &payment.amount,
        currency: &payment.currency,
        memo: &payment.memo,
        memo_hash: &payment.memo_hash,
        channel: &payment.channel,
        version: payment.version,
        index: payment.index,
    }
}

/// In UTC, to the millisecond.
fn time(at_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(time) => format!("{time:.3}"),
        // Beyond the year 9999.
        Err(_) => at_ms.to_string(),
    }
}

/// Spreadsheets take text that begins so for a formula, and others write memos.
pub fn for_a_sheet(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_is_no_formula() {
        assert_eq!(for_a_sheet("=1+1"), "'=1+1");
        assert_eq!(for_a_sheet("tea = 1"), "tea = 1");
    }
}
