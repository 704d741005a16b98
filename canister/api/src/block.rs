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

use std::cell::RefCell;
use std::collections::BTreeMap;

use candid::{Nat, Principal};
use icrc_ledger_types::icrc::generic_value::ICRC3Value;
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

use crate::{Account, Asset, Event, EventRecord, Rank};

/// The hash of a block, as ICRC-3 hashes values: SHA-256 over the hashes of its parts.
pub type BlockHash = [u8; 32];

/// The block of an event. `parent` is the hash of the block before it; the first has none.
pub fn block(record: &EventRecord, parent: Option<&BlockHash>) -> ICRC3Value {
    value(record, parent).into()
}

/// The hash of an event's block.
pub fn block_hash(record: &EventRecord, parent: Option<&BlockHash>) -> BlockHash {
    value(record, parent).hash()
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

/// A value of ICRC-3 that borrows what it is made of. Every event of the adjudicator is hashed, so this
/// costs no more than the hashes: nothing is copied, and names are hashed once.
enum Value<'a> {
    Nat(u128),
    Blob(&'a [u8]),
    /// One of the few texts that there are.
    Name(&'static str),
    Array(Vec<Self>),
    Map(Vec<(&'static str, Self)>),
}

fn value<'a>(record: &'a EventRecord, parent: Option<&'a BlockHash>) -> Value<'a> {
    let mut block = vec![
        ("btype", Value::Name(block_type(&record.event))),
        ("ts", Value::Nat(record.at_ns.into())),
        ("tx", transaction(record)),
    ];
    block.extend(parent.map(|parent| ("phash", Value::Blob(parent))));
    Value::Map(block)
}

fn transaction(record: &EventRecord) -> Value<'_> {
    let mut tx = vec![("channel", Value::Blob(&record.channel))];
    match &record.event {
        Event::Deposited {
            asset,
            part,
            amount,
            holding,
            block,
        } => {
            tx.push(("asset", principal(ledger(asset))));
            tx.push(("part", Value::Nat((*part).into())));
            tx.push(("amount", Value::Nat(*amount)));
            tx.push(("holding", Value::Nat(*holding)));
            tx.extend(block.map(|block| ("block", Value::Nat(block))));
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
            if let Rank::State(version) = rank {
                tx.push(("version", Value::Nat((*version).into())));
            }
            let digest = digest.as_ref();
            tx.extend(digest.map(|digest| ("digest", Value::Blob(digest))));
            tx.push(("timeout", Value::Nat((*timeout_ns).into())));
        }
        Event::Concluded { outcome } => {
            let row = |row: &Vec<u128>| Value::Array(row.iter().copied().map(Value::Nat).collect());
            tx.push(("outcome", Value::Array(outcome.iter().map(row).collect())));
        }
        Event::Withdrawn {
            asset,
            part,
            receiver,
            paid,
            fee,
            block,
        } => {
            tx.push(("asset", principal(ledger(asset))));
            tx.push(("part", Value::Nat((*part).into())));
            tx.push(("receiver", account(receiver)));
            tx.push(("paid", Value::Nat(*paid)));
            tx.push(("fee", Value::Nat(*fee)));
            tx.extend(block.map(|block| ("block", Value::Nat(block))));
        }
    }
    Value::Map(tx)
}

fn principal(principal: &Principal) -> Value<'_> {
    Value::Blob(principal.as_slice())
}

fn ledger(asset: &Asset) -> &Principal {
    let Asset::Icrc(ledger) = asset;
    ledger
}

fn account(account: &Account) -> Value<'_> {
    let mut parts = vec![principal(&account.owner)];
    // The default one can be written in two ways, and has one hash.
    let subaccount = account.subaccount.as_ref();
    let subaccount = subaccount.filter(|subaccount| **subaccount != [0; 32]);
    parts.extend(subaccount.map(|subaccount| Value::Blob(subaccount)));
    Value::Array(parts)
}

impl Value<'_> {
    /// The same as [`ICRC3Value::hash`].
    fn hash(&self) -> BlockHash {
        match self {
            Self::Nat(number) => hash_nat(*number),
            Self::Blob(bytes) => Sha256::digest(bytes).into(),
            Self::Name(name) => hash_name(name),
            Self::Array(values) => {
                let mut hasher = Sha256::new();
                values.iter().for_each(|value| hasher.update(value.hash()));
                hasher.finalize().into()
            }
            Self::Map(pairs) => {
                let pairs = pairs.iter();
                let mut hashes: Vec<_> = pairs
                    .map(|(name, value)| [hash_name(name), value.hash()])
                    .collect();
                hashes.sort_unstable();
                Sha256::digest(hashes.as_flattened().as_flattened()).into()
            }
        }
    }
}

/// Numbers are hashed as LEB128.
fn hash_nat(mut number: u128) -> BlockHash {
    let mut bytes = [0; 19];
    let mut length = 0;
    loop {
        bytes[length] = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return Sha256::digest(&bytes[..=length]).into();
        }
        bytes[length] |= 0x80;
        length += 1;
    }
}

fn hash_name(name: &'static str) -> BlockHash {
    thread_local! {
        static HASHES: RefCell<BTreeMap<&'static str, BlockHash>> = const { RefCell::new(BTreeMap::new()) };
    }
    HASHES.with_borrow_mut(|hashes| {
        let hash = hashes.entry(name);
        *hash.or_insert_with(|| Sha256::digest(name).into())
    })
}

impl From<Value<'_>> for ICRC3Value {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Nat(number) => Self::Nat(Nat::from(number)),
            Value::Blob(bytes) => Self::Blob(ByteBuf::from(bytes)),
            Value::Name(name) => Self::Text(name.to_owned()),
            Value::Array(values) => Self::Array(values.into_iter().map(Self::from).collect()),
            Value::Map(pairs) => {
                let pairs = pairs.into_iter();
                Self::Map(
                    pairs
                        .map(|(name, value)| (name.to_owned(), value.into()))
                        .collect(),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Event> {
        let asset = Asset::Icrc(Principal::from_slice(&[1, 2, 3]));
        let account = |subaccount| Account {
            owner: Principal::anonymous(),
            subaccount,
        };
        let withdrawn = |subaccount, block| Event::Withdrawn {
            asset,
            part: 15,
            receiver: account(subaccount),
            paid: u128::MAX,
            fee: 127,
            block,
        };
        let deposited = |block| Event::Deposited {
            asset,
            part: 0,
            amount: 128,
            holding: 1 << 64,
            block,
        };
        vec![
            deposited(None),
            deposited(Some(0)),
            Event::Registered {
                rank: Rank::Refund,
                digest: None,
                timeout_ns: u64::MAX,
            },
            Event::Refuted {
                rank: Rank::State(7),
                digest: Some(ByteBuf::from([7; 32])),
                timeout_ns: 1,
            },
            Event::Concluded {
                outcome: vec![vec![0, 1], vec![16_383, 16_384]],
            },
            withdrawn(None, None),
            withdrawn(Some([0; 32]), Some(9)),
            withdrawn(Some([5; 32]), Some(u128::MAX)),
        ]
    }

    #[test]
    fn a_block_is_hashed_as_icrc_3_hashes_values() {
        let mut parent = None;
        for (index, event) in events().into_iter().enumerate() {
            let record = EventRecord {
                index: index as u64,
                at_ns: 1_700_000_000_000_000_000 + index as u64,
                channel: ByteBuf::from([index as u8; 32]),
                event,
            };
            let hash = block_hash(&record, parent.as_ref());
            assert_eq!(hash, block(&record, parent.as_ref()).hash(), "{record:?}");
            parent = Some(hash);
        }
    }

    fn block_of(event: Event) -> ICRC3Value {
        let record = EventRecord {
            index: 0,
            at_ns: 1,
            channel: ByteBuf::from([1; 32]),
            event,
        };
        block(&record, None)
    }

    #[test]
    fn every_kind_of_event_has_its_type_of_block() {
        let types: Vec<_> = events()
            .into_iter()
            .map(|event| match block_of(event) {
                ICRC3Value::Map(fields) => fields["btype"].clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        let [deposited, registered, refuted, concluded, withdrawn] =
            BLOCK_TYPES.map(|name| ICRC3Value::Text(name.into()));
        let deposits = [deposited.clone(), deposited];
        let payouts = [withdrawn.clone(), withdrawn.clone(), withdrawn];
        let expected = [&deposits[..], &[registered, refuted, concluded], &payouts].concat();
        assert_eq!(types, expected);
    }

    #[test]
    fn the_default_subaccount_is_written_in_one_way() {
        let paid_to = |subaccount| {
            block_of(Event::Withdrawn {
                asset: Asset::Icrc(Principal::from_slice(&[1, 2, 3])),
                part: 1,
                receiver: Account {
                    owner: Principal::from_slice(&[4]),
                    subaccount,
                },
                paid: 5,
                fee: 6,
                block: None,
            })
        };
        assert_eq!(paid_to(None), paid_to(Some([0; 32])));
        assert_ne!(paid_to(None), paid_to(Some([7; 32])));
    }
}
