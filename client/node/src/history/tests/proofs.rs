//! Exported histories, and what becomes of them when somebody changes something.

use perun_protocol::payment::{Batch, Entry, HistoryError, PAYMENT_APP, Payment, Tally};
use perun_protocol::{
    Allocation, Balances, ChallengeDuration, Nonce, Params, SignedState, Signer as _, State,
    UnverifiedSignedState,
};
use serde_json::{Value, json};

use super::super::export::document;
use super::*;

fn keys() -> [SecretKey; 2] {
    [1, 2].map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap())
}

fn params() -> Params {
    let keys = keys();
    let params = Params::new(
        Nonce::from_bytes([7; 32]),
        keys.iter().map(SecretKey::participant).collect(),
        vec![asset()],
        ChallengeDuration::from_secs(3600).unwrap(),
        Principal::from_slice(&[9; 10]).unwrap(),
    );
    params.unwrap().with_app(PAYMENT_APP)
}

fn balances(ours: u128, theirs: u128) -> Balances {
    Balances::new(2, vec![Amount::new(ours), Amount::new(theirs)]).unwrap()
}

fn batch(payments: &[(u128, Option<u8>)]) -> Batch {
    let mut batch = Batch::new();
    for (units, memo) in payments {
        let payment = Payment {
            asset: AssetIdx::new(0),
            amount: Amount::new(*units),
            memo: memo.map(|byte| [byte; 32]),
        };
        batch.push(&payment, Batch::MAX_LENGTH).unwrap();
    }
    batch
}

/// 100 and 50; we pay 3 and 4, the peer pays 5.
fn proof() -> (perun_protocol::payment::History, SignedState) {
    let entries = [
        (1, US, batch(&[(3, None), (4, Some(8))])),
        (4, PEER, batch(&[(5, Some(9))])),
    ];
    let entries: Vec<_> = entries
        .into_iter()
        .map(|(version, payer, payments)| Entry {
            version: Version::new(version),
            payer,
            payments,
        })
        .collect();
    let opening = balances(100, 50);
    let tally = entries
        .iter()
        .fold(Tally::opening(&opening), |tally, entry| {
            tally.after(entry.payer, &entry.payments)
        });
    let params = params();
    let allocation = Allocation {
        balances: balances(98, 52),
        locked: Vec::new(),
    };
    let (version, data) = (Version::new(5), tally.encode());
    let state = State::from_parts(
        params.id(),
        version,
        allocation,
        opening.clone(),
        data,
        false,
    );
    let state = state.unwrap();
    let signatures = keys().iter().map(|key| key.sign(&state.digest())).collect();
    let signed = UnverifiedSignedState { state, signatures };
    let signed = signed.verify(&params).unwrap();
    (
        perun_protocol::payment::History { opening, entries },
        signed,
    )
}

fn exported() -> String {
    let (history, newest) = proof();
    let record = Record {
        channel: params().id(),
        peer: keys()[1].public_key(),
        version: Version::new(4),
        index: 0,
        at_ms: 1_700_000_000_000,
        time_is_late: true,
        is_sent: false,
        asset: asset(),
        amount: Amount::new(5),
        memo: Some([9; 32]),
        memo_text: Some("coffee".into()),
    };
    document(&params(), Some(newest), history, &[record]).unwrap()
}

#[test]
fn an_exported_history_proves_itself() {
    let exported = exported();
    let verified = Verified {
        channel: params().id(),
        version: Version::new(5),
        payments: 3,
    };
    assert_eq!(verify(&exported), Ok(verified));
    let document: Value = serde_json::from_str(&exported).unwrap();
    let payment = &document["entries"][1]["payments"][0];
    assert_eq!(payment["text"], "coffee");
    assert_eq!(
        (&payment["at_ms"], &payment["time_is_late"]),
        (&json!(1_700_000_000_000_i64), &json!(true))
    );
}

#[test]
fn what_is_not_agreed_to_yet_is_not_exported() {
    let (mut history, newest) = proof();
    history.entries.push(Entry {
        version: Version::new(6),
        payer: US,
        payments: batch(&[(1, None)]),
    });
    let exported = document(&params(), Some(newest), history, &[]).unwrap();
    assert_eq!(verify(&exported).unwrap().payments, 3);
    let (history, _) = proof();
    assert!(document(&params(), None, history, &[]).is_err());
}

/// Every value in a document, by its place.
fn places(value: &Value, place: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                places(value, format!("{place}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                places(value, format!("{place}/{index}"), found);
            }
        }
        _ => found.push(place),
    }
}

/// The same kind of value, but another one.
fn another(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            vec![json!(number + 1), json!(number - 1)]
        }
        Value::Bool(is) => vec![json!(!is)],
        Value::String(text) => {
            let mut changed = Vec::new();
            for index in 0..text.len() {
                let letter = if &text[index..=index] == "0" {
                    "1"
                } else {
                    "0"
                };
                let [before, after] = [&text[..index], &text[index + 1..]];
                changed.push(json!(format!("{before}{letter}{after}")));
            }
            changed.push(json!(format!("{text}0")));
            changed
        }
        other => panic!("{other}"),
    }
}

#[test]
fn nothing_that_is_proven_can_be_changed() {
    let exported = exported();
    let document: Value = serde_json::from_str(&exported).unwrap();
    let mut found = Vec::new();
    places(&document, String::new(), &mut found);
    // This side's word.
    let unproven = |place: &str| {
        let name = place.rsplit('/').next().unwrap();
        matches!(name, "at_ms" | "text" | "time_is_late")
    };
    let mut refused = 0;
    for place in &found {
        for value in another(document.pointer(place).unwrap()) {
            let mut changed = document.clone();
            *changed.pointer_mut(place).unwrap() = value.clone();
            let verified = verify(&changed.to_string());
            // Versions are not signed one by one; only their order is.
            let is_order = place.starts_with("/entries") && place.ends_with("version");
            if unproven(place) || (is_order && verified.is_ok()) {
                continue;
            }
            assert!(verified.is_err(), "{place}: {value}");
            refused += 1;
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn nothing_can_be_left_out_added_or_turned_round() {
    let exported = exported();
    let document: Value = serde_json::from_str(&exported).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = document.clone();
        change(&mut changed);
        verify(&changed.to_string()).unwrap_err()
    };
    let entries = |value: &mut Value| value["entries"].as_array_mut().unwrap().clone();
    let missing = with(&|value| value["entries"] = json!(entries(value)[..1]));
    let count = |expected, found| Unproven::Payments(HistoryError::Count { expected, found });
    assert_eq!(missing, count(3, 2));
    let twice = with(&|value| {
        let mut entries = entries(value);
        entries.insert(1, entries[0].clone());
        value["entries"] = json!(entries);
    });
    assert!(matches!(
        twice,
        Unproven::Payments(HistoryError::Order { .. })
    ));
    let turned = with(&|value| {
        value["entries"][0]["payments"]
            .as_array_mut()
            .unwrap()
            .reverse()
    });
    assert_eq!(turned, Unproven::Payments(HistoryError::Hash));
    let empty = with(&|value| value["entries"][0]["payments"] = json!([]));
    assert!(matches!(
        empty,
        Unproven::Value {
            field: "payments",
            ..
        }
    ));
    let more = with(&|value| value["more"] = json!(1));
    assert!(matches!(more, Unproven::Form(_)));
    for name in [
        "format", "channel", "params", "opening", "entries", "newest",
    ] {
        let without = with(&|value| drop(value.as_object_mut().unwrap().remove(name)));
        assert!(without.to_string().contains(name), "{without}");
    }
    // Signed by one of the two only.
    let other = with(&|value| {
        let (_, newest) = proof();
        let mut unverified = UnverifiedSignedState::from(newest);
        unverified.signatures.swap(0, 1);
        use perun_protocol::encoding::Canonical as _;
        value["newest"] = json!(hex::encode(unverified.encode()));
    });
    assert!(matches!(other, Unproven::Signatures(_)), "{other:?}");
}

#[test]
fn other_texts_prove_nothing() {
    for text in ["", "{}", "[]", "null", "not json", &"[".repeat(100_000)] {
        assert!(matches!(verify(text), Err(Unproven::Form(_))));
    }
}
