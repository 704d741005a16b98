mod listing;
mod proofs;

use std::sync::Mutex;

use perun_protocol::payment::{Batch, Payment};
use perun_protocol::{AssetIdx, PartIdx, Principal, SecretKey, Signer as _};

use super::*;
use crate::scratch::Scratch;

const US: PartIdx = PartIdx::new(0);
const PEER: PartIdx = PartIdx::new(1);

/// A channel's stored payments, and what was agreed to.
#[derive(Clone)]
struct Story {
    id: ChannelId,
    peer: PublicKey,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Story {
    fn new(channel: u8) -> Self {
        Self {
            id: ChannelId::from_bytes([channel; 32]),
            peer: SecretKey::from_bytes(&[channel; 32]).unwrap().public_key(),
            entries: Arc::default(),
        }
    }

    /// Stores payments of these amounts, with a memo of the amount's byte if it is even.
    fn pay(&self, version: u64, payer: PartIdx, amounts: &[u8]) {
        let mut payments = Batch::new();
        for &amount in amounts {
            let payment = Payment {
                asset: AssetIdx::new(0),
                amount: Amount::new(amount.into()),
                memo: (amount % 2 == 0).then_some([amount; 32]),
            };
            payments.push(&payment, Batch::MAX_LENGTH).unwrap();
        }
        self.entries.lock().unwrap().push(Entry {
            version: Version::new(version),
            payer,
            payments,
        });
    }

    fn news(&self, through: u64, at_ms: i64) -> News {
        let entries = Arc::clone(&self.entries);
        News {
            channel: self.id,
            peer: self.peer,
            part: US,
            assets: vec![asset()],
            through: Version::new(through),
            at_ms,
            is_late: false,
            read: Box::new(move |from| {
                let mut entries = entries.lock().unwrap().clone();
                entries.retain(|entry| entry.version >= from);
                Ok(entries)
            }),
        }
    }
}

fn asset() -> AssetId {
    AssetId::Icrc(Principal::from_slice(&[1, 2, 3]).unwrap())
}

fn follow(history: &History, news: News) {
    history.push(Order::Follow(news));
}

async fn all(history: &History, filter: Filter) -> Vec<Record> {
    history
        .list(filter, usize::MAX, None)
        .await
        .unwrap()
        .records
}

/// Amounts and times, newest first.
async fn told(history: &History, filter: Filter) -> Vec<(u128, i64)> {
    let records = all(history, filter).await.into_iter();
    records
        .map(|record| (record.amount.units(), record.at_ms))
        .collect()
}

#[tokio::test]
async fn payments_of_both_sides_are_recorded_once() {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    let story = Story::new(1);
    story.pay(1, US, &[1, 2]);
    follow(&history, story.news(1, 10));
    story.pay(3, PEER, &[3]);
    // A proposal under way is not agreed to yet.
    story.pay(4, US, &[99]);
    follow(&history, story.news(3, 20));
    follow(&history, story.news(3, 30));
    assert_eq!(
        told(&history, Filter::default()).await,
        [(3, 20), (2, 10), (1, 10)]
    );
    history.close().await;
    drop(history);
    let history = History::open(folder.path()).unwrap();
    let mut late = story.news(3, 40);
    late.is_late = true;
    follow(&history, late);
    let records = all(&history, Filter::default()).await;
    assert_eq!(records.len(), 3);
    let expected = Record {
        channel: story.id,
        peer: story.peer,
        version: Version::new(1),
        index: 1,
        at_ms: 10,
        time_is_late: false,
        is_sent: true,
        asset: asset(),
        amount: Amount::new(2),
        memo: Some([2; 32]),
        memo_text: None,
    };
    assert_eq!(records[1], expected);
    assert!(!records[0].is_sent);
}

#[tokio::test]
async fn what_was_agreed_to_while_nobody_recorded_is_marked_late() {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    let story = Story::new(1);
    story.pay(1, US, &[1]);
    follow(&history, story.news(1, 10));
    history.close().await;
    drop(history);
    story.pay(2, PEER, &[2]);
    let history = History::open(folder.path()).unwrap();
    let mut late = story.news(2, 20);
    late.is_late = true;
    follow(&history, late);
    story.pay(3, PEER, &[3]);
    follow(&history, story.news(3, 30));
    let records = all(&history, Filter::default()).await;
    let times: Vec<_> = records
        .iter()
        .map(|record| (record.at_ms, record.time_is_late))
        .collect();
    assert_eq!(times, [(30, false), (20, true), (10, false)]);
}

#[tokio::test]
async fn a_channel_that_cannot_be_read_is_read_later() {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    let story = Story::new(1);
    story.pay(1, US, &[1]);
    let mut broken = story.news(1, 10);
    broken.read = Box::new(|_| {
        let version = Version::new(1);
        Err(ReadHistoryError::NoPayments { version })
    });
    follow(&history, broken);
    assert_eq!(told(&history, Filter::default()).await, []);
    follow(&history, story.news(1, 20));
    assert_eq!(told(&history, Filter::default()).await, [(1, 20)]);
}

#[tokio::test]
async fn a_memo_finds_its_payment_and_its_text() {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    let (bought, sold) = (Story::new(1), Story::new(2));
    history.note_memo([2; 32], "coffee");
    bought.pay(1, US, &[1, 2]);
    sold.pay(1, PEER, &[4]);
    follow(&history, bought.news(1, 10));
    follow(&history, sold.news(1, 10));
    history.flush().await.unwrap();
    assert_eq!(history.paid_with(&[2; 32]), Some("01".repeat(32)));
    // What was received was not paid.
    assert_eq!(history.paid_with(&[4; 32]), None);
    assert_eq!(history.paid_with(&[6; 32]), None);
    // A text that is told later is shown, too.
    history.note_memo([4; 32], "tea");
    let records = all(&history, Filter::default()).await;
    let texts: Vec<_> = records
        .iter()
        .map(|record| record.memo_text.as_deref())
        .collect();
    assert_eq!(texts, [Some("tea"), Some("coffee"), None]);
}

#[tokio::test]
async fn a_copy_has_everything() {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    let story = Story::new(1);
    story.pay(1, US, &[1, 2]);
    history.note_memo([2; 32], "coffee");
    follow(&history, story.news(1, 10));
    let before = all(&history, Filter::default()).await;
    let elsewhere = Scratch::new();
    history.copy_to(&elsewhere.path().join(FILE)).unwrap();
    follow(&history, story.news(1, 20));
    let copy = History::open(elsewhere.path()).unwrap();
    assert_eq!(all(&copy, Filter::default()).await, before);
    assert!(copy.paid_with(&[2; 32]).is_some());
    // It goes on where it was.
    story.pay(2, PEER, &[3]);
    follow(&copy, story.news(2, 30));
    assert_eq!(
        told(&copy, Filter::default()).await,
        [(3, 30), (2, 10), (1, 10)]
    );
}

#[tokio::test]
#[ignore = "measures: a million payments"]
async fn a_million_payments_stay_quick() {
    let folder = Scratch::new();
    let history = History::open(folder.path()).unwrap();
    let stories: Vec<_> = (1..=100).map(Story::new).collect();
    let started = std::time::Instant::now();
    let mut rare = Story::new(200);
    for version in 1..=100 {
        for story in &stories {
            story.entries.lock().unwrap().clear();
            story.pay(version, US, &[7; 100]);
            follow(&history, story.news(version, version as i64));
        }
        if version == 3 {
            rare = Story::new(201);
            rare.pay(1, PEER, &[42]);
            follow(&history, rare.news(1, 3));
        }
        history.flush().await.unwrap();
    }
    println!("recorded in {:?}", started.elapsed());
    let timed = async |what: &str, filter: Filter| {
        let started = std::time::Instant::now();
        let page = history.list(filter, 100, None).await.unwrap();
        println!("{what}: {} in {:?}", page.records.len(), started.elapsed());
    };
    timed("newest", Filter::default()).await;
    let channel = Some(stories[50].id);
    timed(
        "of a channel",
        Filter {
            channel,
            ..Filter::default()
        },
    )
    .await;
    let peer = Some(rare.peer);
    timed(
        "of a rare peer",
        Filter {
            peer,
            ..Filter::default()
        },
    )
    .await;
    let before_ms = Some(50);
    timed(
        "before",
        Filter {
            before_ms,
            ..Filter::default()
        },
    )
    .await;
    let started = std::time::Instant::now();
    assert_eq!(history.paid_with(&[42; 32]), None);
    println!("by memo in {:?}", started.elapsed());
}
