//! Payments as rows: cells of a table, an object of JSON, a line of a sheet.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::api::v1::{Direction, PaymentRecord};
use crate::cli::text::instant_of_ms;

/// What is above the cells.
pub const HEADINGS: [&str; 6] = ["Time", "Direction", "Peer", "Amount", "Currency", "Memo"];

/// For people.
pub fn cells(payment: &PaymentRecord) -> Vec<String> {
    let late = match payment.time_is_late {
        true => " or before",
        false => "",
    };
    vec![
        format!("{}{late}", instant_of_ms(payment.at_ms)),
        direction(payment).into(),
        payment.peer_alias.clone(),
        payment.amount.clone(),
        payment.currency.clone(),
        payment.memo.clone(),
    ]
}

/// For programs.
pub fn object(payment: &PaymentRecord) -> Value {
    json!({
        "channel": payment.channel,
        "peer": payment.peer_alias,
        "version": payment.version,
        "index": payment.index,
        "atMs": payment.at_ms,
        "timeIsLate": payment.time_is_late,
        "direction": direction(payment),
        "currency": payment.currency,
        "amount": payment.amount,
        "memo": payment.memo,
        "memoHash": payment.memo_hash,
    })
}

/// Comma-separated values, written as they come.
pub struct Sheet<W: Write>(csv::Writer<W>);

impl<W: Write> Sheet<W> {
    /// Begins one with its head.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut sheet = Self(csv::Writer::from_writer(out));
        sheet.line([
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
        ])?;
        Ok(sheet)
    }

    /// Adds a payment.
    pub fn write(&mut self, payment: &PaymentRecord) -> io::Result<()> {
        self.line([
            &*instant_of_ms(payment.at_ms),
            &payment.time_is_late.to_string(),
            direction(payment),
            &no_formula(&payment.peer_alias),
            &payment.amount,
            &no_formula(&payment.currency),
            &no_formula(&payment.memo),
            &payment.memo_hash,
            &payment.channel,
            &payment.version.to_string(),
            &payment.index.to_string(),
        ])
    }

    /// Nothing follows.
    pub fn end(mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn line(&mut self, cells: [&str; 11]) -> io::Result<()> {
        self.0.write_record(cells).map_err(io::Error::other)
    }
}

fn direction(payment: &PaymentRecord) -> &'static str {
    match payment.direction() {
        Direction::Both => "",
        Direction::Sent => "sent",
        Direction::Received => "received",
    }
}

/// Spreadsheets take text that begins so for a formula, and others write memos.
fn no_formula(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(memo: &str) -> PaymentRecord {
        PaymentRecord {
            channel: "ab".into(),
            peer_alias: "bob".into(),
            version: 7,
            index: 0,
            at_ms: 1_700_000_000_123,
            time_is_late: true,
            direction: Direction::Sent.into(),
            currency: "ICP".into(),
            amount: "0.1".into(),
            memo_hash: String::new(),
            memo: memo.into(),
        }
    }

    #[test]
    fn a_sheet_has_no_formulas() {
        let mut out = Vec::new();
        let mut sheet = Sheet::begin(&mut out).unwrap();
        for memo in ["a \"quoted\", text", "=1+1", "tea = 1"] {
            sheet.write(&payment(memo)).unwrap();
        }
        sheet.end().unwrap();
        let expected = "\
time,time_is_late,direction,peer,amount,currency,memo,memo_hash,channel,version,index
2023-11-14T22:13:20.123Z,true,sent,bob,0.1,ICP,\"a \"\"quoted\"\", text\",,ab,7,0
2023-11-14T22:13:20.123Z,true,sent,bob,0.1,ICP,'=1+1,,ab,7,0
2023-11-14T22:13:20.123Z,true,sent,bob,0.1,ICP,tea = 1,,ab,7,0
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
