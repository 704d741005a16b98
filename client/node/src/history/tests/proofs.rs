//! Exported histories, and what becomes of them when somebody changes something.

use perun_protocol::payment::{Batch, Entry, HistoryError, PAYMENT_APP, Payment, Tally};
use perun_protocol::{
    Allocation, Balances, ChallengeDuration, Nonce, Params, SignedState, Signer as _, State,
    UnverifiedSignedState,
};
use serde_json::{Value, json};

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

fn entry(version: u64, payer: PartIdx, payments: &[(u128, Option<u8>)]) -> Entry {
    Entry {
        version: Version::new(version),
        payer,
        payments: batch(payments),
    }
}

/// 100 and 50; we pay 3 and 4, the peer pays 5.
fn proof() -> (Vec<Entry>, SignedState) {
    let entries = vec![
        entry(1, US, &[(3, None), (4, Some(8))]),
        entry(4, PEER, &[(5, Some(9))]),
    ];
    let newest = agreed(5, &balances(100, 50), &balances(98, 52), &entries);
    (entries, newest)
}

/// The state that these payments led to, signed by both.
fn agreed(version: u64, opening: &Balances, left: &Balances, entries: &[Entry]) -> SignedState {
    let tally = entries
        .iter()
        .fold(Tally::opening(opening), |tally, entry| {
            tally.after(entry.payer, &entry.payments)
        });
    let params = params();
    let allocation = Allocation {
        balances: left.clone(),
        locked: Vec::new(),
    };
    let (version, data) = (Version::new(version), tally.encode());
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
    signed.verify(&params).unwrap()
}

/// A document in its chunks. `pages` are what is read of the store at once.
fn export(
    history: &History,
    opening: &Balances,
    newest: SignedState,
    pages: &[Vec<Entry>],
) -> Vec<Vec<u8>> {
    let mut export = Export::begin(&params(), opening, Some(newest)).unwrap();
    let read = |from: Version| {
        let page = pages
            .iter()
            .find(|page| page.last().unwrap().version >= from);
        Ok(page.cloned().unwrap_or_default())
    };
    let mut chunks = Vec::new();
    while let Some(chunk) = export.next_chunk(&history.table, read).unwrap() {
        chunks.push(chunk);
    }
    chunks
}

/// One payment of it is recorded, with its memo's text.
async fn exported() -> String {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    let (entries, newest) = proof();
    let story = Story {
        id: params().id(),
        ..Story::new(1)
    };
    story.entries.lock().unwrap().push(entries[1].clone());
    let mut news = story.news(5, 1_700_000_000_000);
    news.is_late = true;
    follow(&history, news);
    history.note_memo([9; 32], "coffee");
    history.flush().await.unwrap();
    let chunks = export(&history, &balances(100, 50), newest, &[entries]);
    String::from_utf8(chunks.concat()).unwrap()
}

/// Its lines, as a value that can be changed.
fn parsed(document: &str) -> Value {
    let lines: Vec<Value> = document
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    json!(lines)
}

fn verified(lines: &Value) -> Result<Verified, Unproven> {
    let lines: Vec<_> = lines
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    verify(lines.join("\n").as_bytes())
}

#[tokio::test]
async fn an_exported_history_proves_itself() {
    let exported = exported().await;
    let expected = Verified {
        channel: params().id(),
        version: Version::new(5),
        payments: 3,
    };
    assert_eq!(verify(exported.as_bytes()), Ok(expected));
    let lines = parsed(&exported);
    let payment = &lines[2]["payments"][0];
    assert_eq!(payment["text"], "coffee");
    assert_eq!(
        (&payment["at_ms"], &payment["time_is_late"]),
        (&json!(1_700_000_000_000_i64), &json!(true))
    );
    // What was not recorded is exported all the same.
    assert_eq!(
        lines[1]["payments"][0],
        json!({ "asset": 0, "amount": "3" })
    );
    let nothing = Export::begin(&params(), &balances(100, 50), None);
    assert!(matches!(nothing, Err(Error::FailedPrecondition { .. })));
}

#[tokio::test]
async fn a_long_history_is_exported_in_chunks_of_bounded_size() {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    // Pages of one update with 500 payments, of which one is some 40 bytes.
    let pages: Vec<_> = (1..=40)
        .map(|version| vec![entry(version, US, &[(1, None); 500])])
        .collect();
    let (opening, left) = (balances(20_000, 0), balances(0, 20_000));
    let newest = agreed(40, &opening, &left, &pages.concat());
    let chunks = export(&history, &opening, newest, &pages);
    assert!(chunks.len() > 5, "{}", chunks.len());
    let (last, full) = chunks.split_last().unwrap();
    assert!(full.iter().all(|chunk| chunk.len() == Export::CHUNK));
    assert!((1..=Export::CHUNK).contains(&last.len()));
    let verified = verify(&*chunks.concat()).unwrap();
    assert_eq!(verified.payments, 20_000);
    // No more is read ahead than fills a chunk.
    let newest = agreed(40, &opening, &left, &pages.concat());
    let mut export = Export::begin(&params(), &opening, Some(newest)).unwrap();
    let reads = std::cell::Cell::new(0);
    let read = |from: Version| {
        reads.set(reads.get() + 1);
        Ok(pages[from.number().max(1) as usize - 1].clone())
    };
    export.next_chunk(&history.table, read).unwrap();
    assert!(reads.get() <= 6, "{}", reads.get());
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

#[tokio::test]
async fn nothing_that_is_proven_can_be_changed() {
    let document = parsed(&exported().await);
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
            let verified = verified(&changed);
            // Versions are not signed one by one; only their order is.
            let is_order = place.ends_with("version");
            if unproven(place) || (is_order && verified.is_ok()) {
                continue;
            }
            assert!(verified.is_err(), "{place}: {value}");
            refused += 1;
        }
    }
    assert!(refused > 500, "{refused}");
}

#[tokio::test]
async fn nothing_can_be_left_out_added_or_turned_round() {
    let document = parsed(&exported().await);
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut changed = document.clone();
        change(changed.as_array_mut().unwrap());
        verified(&changed).unwrap_err()
    };
    let missing = with(&|lines| lines.truncate(2));
    let count = |expected, found| Unproven::Payments(HistoryError::Count { expected, found });
    assert_eq!(missing, count(3, 2));
    let twice = with(&|lines| lines.insert(1, lines[1].clone()));
    assert!(matches!(
        twice,
        Unproven::Payments(HistoryError::Order { .. })
    ));
    let turned = with(&|lines| lines[1]["payments"].as_array_mut().unwrap().reverse());
    assert_eq!(turned, Unproven::Payments(HistoryError::Hash));
    let empty = with(&|lines| lines[1]["payments"] = json!([]));
    assert!(matches!(
        empty,
        Unproven::Value {
            field: "payments",
            ..
        }
    ));
    for line in 0..2 {
        let more = with(&|lines| lines[line]["more"] = json!(1));
        assert!(matches!(more, Unproven::Form(_)));
    }
    for name in ["format", "channel", "params", "opening", "newest"] {
        let without = with(&|lines| drop(lines[0].as_object_mut().unwrap().remove(name)));
        assert!(without.to_string().contains(name), "{without}");
    }
    // Signed by one of the two only.
    let other = with(&|lines| {
        let (_, newest) = proof();
        let mut unverified = UnverifiedSignedState::from(newest);
        unverified.signatures.swap(0, 1);
        use perun_protocol::encoding::Canonical as _;
        lines[0]["newest"] = json!(hex::encode(unverified.encode()));
    });
    assert!(matches!(other, Unproven::Signatures(_)), "{other:?}");
}

#[test]
fn other_texts_prove_nothing() {
    for text in ["", "{}", "[]", "null", "not json", &"[".repeat(100_000)] {
        assert!(matches!(verify(text.as_bytes()), Err(Unproven::Form(_))));
    }
}
