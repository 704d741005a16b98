//! Events as blocks of [ICRC-3], which chain them: each has the hash of the one before.
//!
//! ```text
//!  { phash: Blob,  btype: Text,  ts: Nat,  tx: { channel: Blob, … } }
//!    of the block before;        ns since 1970   what the event says
//!    none in the first
//! ```
//!
//! | event | `btype` | `tx`, beside `channel` |
//! |---|---|---|
//! | [`Event::Deposited`] | `perun_deposited` | `asset`, `part`, `amount`, `holding`, `block`? |
//! | [`Event::Registered`] | `perun_registered` | `version`?, `digest`?, `timeout` |
//! | [`Event::Refuted`] | `perun_refuted` | `version`?, `digest`?, `timeout` |
//! | [`Event::Concluded`] | `perun_concluded` | `outcome` |
//! | [`Event::Withdrawn`] | `perun_withdrawn` | `asset`, `part`, `receiver`, `paid`, `fee`, `block`? |
//!
//! Ids, principals and digests are `Blob`, numbers `Nat`, tables arrays of arrays, an account is
//! `[owner]` or `[owner, subaccount]`. What has a `?` is left out where the event has none; a refund
//! claim has no version. Whoever has an event and the hash of the one before it can make the block and
//! its hash, so nobody has to send them.
//!
//! [ICRC-3]: https://github.com/dfinity/ICRC-1/tree/main/standards/ICRC-3

use candid::{Nat, Principal};
use icrc_ledger_types::icrc::generic_value::{ICRC3Map, ICRC3Value};
use serde_bytes::ByteBuf;

use crate::{Account, Asset, Event, EventRecord, Rank};

/// The hash of a block, as ICRC-3 hashes values: SHA-256 over the hashes of its parts.
pub type BlockHash = [u8; 32];

/// The block of an event. `parent` is the hash of the block before it; the first has none.
pub fn block(record: &EventRecord, parent: Option<&BlockHash>) -> ICRC3Value {
    let mut tx = transaction(&record.event);
    tx.insert("channel".into(), blob(&record.channel));
    let mut block = ICRC3Map::from([
        (
            "btype".into(),
            ICRC3Value::Text(block_type(&record.event).into()),
        ),
        ("ts".into(), nat(record.at_ns)),
        ("tx".into(), ICRC3Value::Map(tx)),
    ]);
    if let Some(parent) = parent {
        block.insert("phash".into(), blob(parent));
    }
    ICRC3Value::Map(block)
}

/// The hash of an event's block.
pub fn block_hash(record: &EventRecord, parent: Option<&BlockHash>) -> BlockHash {
    block(record, parent).hash()
}

/// All types of blocks that there are.
pub const BLOCK_TYPES: [&str; 5] = [
    "perun_deposited",
    "perun_registered",
    "perun_refuted",
    "perun_concluded",
    "perun_withdrawn",
];

fn block_type(event: &Event) -> &'static str {
    let [deposited, registered, refuted, concluded, withdrawn] = BLOCK_TYPES;
    match event {
        Event::Deposited { .. } => deposited,
        Event::Registered { .. } => registered,
        Event::Refuted { .. } => refuted,
        Event::Concluded { .. } => concluded,
        Event::Withdrawn { .. } => withdrawn,
    }
}

fn transaction(event: &Event) -> ICRC3Map {
    let mut tx = Transaction::default();
    match event {
        Event::Deposited {
            asset,
            part,
            amount,
            holding,
            block,
        } => {
            tx.put("asset", principal(ledger(asset)));
            tx.put("part", nat(*part));
            tx.put("amount", nat(*amount));
            tx.put("holding", nat(*holding));
            tx.put_if_any("block", block.map(nat));
        }
        Event::Registered {
            rank,
            digest,
            timeout_ns,
        }
        | Event::Refuted {
            rank,
            digest,
            timeout_ns,
        } => {
            tx.put_if_any("version", version(*rank).map(nat));
            tx.put_if_any("digest", digest.as_deref().map(|digest| blob(digest)));
            tx.put("timeout", nat(*timeout_ns));
        }
        Event::Concluded { outcome } => {
            let row = |row: &Vec<u128>| ICRC3Value::Array(row.iter().copied().map(nat).collect());
            tx.put(
                "outcome",
                ICRC3Value::Array(outcome.iter().map(row).collect()),
            );
        }
        Event::Withdrawn {
            asset,
            part,
            receiver,
            paid,
            fee,
            block,
        } => {
            tx.put("asset", principal(ledger(asset)));
            tx.put("part", nat(*part));
            tx.put("receiver", account(receiver));
            tx.put("paid", nat(*paid));
            tx.put("fee", nat(*fee));
            tx.put_if_any("block", block.map(nat));
        }
    }
    tx.0
}

#[derive(Default)]
struct Transaction(ICRC3Map);

impl Transaction {
    fn put(&mut self, name: &str, value: ICRC3Value) {
        self.0.insert(name.into(), value);
    }

    fn put_if_any(&mut self, name: &str, value: Option<ICRC3Value>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
}

fn nat(number: impl Into<Nat>) -> ICRC3Value {
    ICRC3Value::Nat(number.into())
}

fn blob(bytes: &[u8]) -> ICRC3Value {
    ICRC3Value::Blob(ByteBuf::from(bytes))
}

fn principal(principal: &Principal) -> ICRC3Value {
    blob(principal.as_slice())
}

fn ledger(asset: &Asset) -> &Principal {
    let Asset::Icrc(ledger) = asset;
    ledger
}

fn version(rank: Rank) -> Option<u64> {
    match rank {
        Rank::Refund => None,
        Rank::State(version) => Some(version),
    }
}

fn account(account: &Account) -> ICRC3Value {
    let mut parts = vec![principal(&account.owner)];
    // The default one can be written in two ways, and has one hash.
    let subaccount = account
        .subaccount
        .filter(|subaccount| *subaccount != [0; 32]);
    parts.extend(subaccount.map(|subaccount| blob(&subaccount)));
    ICRC3Value::Array(parts)
}
