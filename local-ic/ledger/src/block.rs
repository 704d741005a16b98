//! Blocks: what was asked for, when it happened, what it cost, and the hash of the block before.
//!
//! A block has two encodings. It is *stored* as CBOR with numbered fields, to which later
//! versions can add. It is *shown and hashed* as the `Value` of ICRC-3, whose hash is fixed by
//! that standard. As it demands for transfers, mints, burns and approvals there is no `btype`
//! field: `tx.op` and the presence of `tx.spender` tell the kind, as on the ledgers in use.

use std::borrow::Cow;

use ic_stable_structures::{Storable, storable::Bound};
use icrc_ledger_types::{icrc::generic_value::ICRC3Value as Value, icrc1::account::Account};
use minicbor::{Decode, Encode};
use serde_bytes::ByteBuf;

use crate::{account::AccountIdentifier, amount::Amount};

/// SHA-256 of a block's ICRC-3 value.
pub type BlockHash = [u8; 32];

/// One entry of the block log.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct Block {
    /// The hash of the block before; `None` in the first one.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub parent_hash: Option<BlockHash>,
    /// When the ledger executed it, ns since 1970.
    #[n(1)]
    pub timestamp_ns: u64,
    /// What the caller asked for.
    #[n(2)]
    pub transaction: Transaction,
    /// The fee that was taken where the caller named none.
    #[n(3)]
    pub fee: Option<Amount>,
}

/// What a caller asked for, in its own words: no field it left out is filled in.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct Transaction {
    /// What to do.
    #[n(0)]
    pub operation: Operation,
    /// The caller's note.
    #[n(1)]
    pub memo: Option<Memo>,
    /// When the caller created the request, ns since 1970. It asks to be deduplicated.
    #[n(2)]
    pub created_at_ns: Option<u64>,
}

/// The four things that change the ledger.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub enum Operation {
    /// New tokens.
    #[n(0)]
    Mint {
        /// Who gets them.
        #[n(0)]
        to: Account,
        /// How many.
        #[n(1)]
        amount: Amount,
    },
    /// Tokens vanish.
    #[n(1)]
    Burn {
        /// Whose.
        #[n(0)]
        from: Account,
        /// Who asked for it by an allowance.
        #[n(1)]
        spender: Option<Account>,
        /// How many.
        #[n(2)]
        amount: Amount,
    },
    /// Tokens change hands.
    #[n(2)]
    Transfer {
        /// Who pays amount and fee.
        #[n(0)]
        from: Account,
        /// Who gets the amount.
        #[n(1)]
        to: Account,
        /// Who asked for it by an allowance.
        #[n(2)]
        spender: Option<Account>,
        /// How many.
        #[n(3)]
        amount: Amount,
        /// The fee the caller named.
        #[n(4)]
        fee: Option<Amount>,
    },
    /// Somebody else may spend.
    #[n(3)]
    Approve {
        /// Whose tokens.
        #[n(0)]
        from: Account,
        /// Who may.
        #[n(1)]
        spender: Account,
        /// How many, from now on.
        #[n(2)]
        amount: Amount,
        /// What the allowance had to be before.
        #[n(3)]
        expected_allowance: Option<Amount>,
        /// Until when, ns since 1970.
        #[n(4)]
        expires_at_ns: Option<u64>,
        /// The fee the caller named.
        #[n(5)]
        fee: Option<Amount>,
    },
}

/// A caller's note.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub enum Memo {
    /// Of an ICRC call: bytes.
    #[n(0)]
    Bytes(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Of a classic call: a number, shown in ICRC-3 blocks as eight big-endian bytes.
    #[n(1)]
    Number(#[n(0)] u64),
}

impl Memo {
    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Number(number) => number.to_be_bytes().to_vec(),
        }
    }
}

impl Block {
    /// How ICRC-3 shows it.
    pub fn value(&self) -> Value {
        let mut map = MapBuilder::default();
        map.blob("phash", self.parent_hash);
        map.nat("ts", Some(self.timestamp_ns));
        map.amount("fee", self.fee);
        map.0.insert("tx".into(), self.transaction.value());
        Value::Map(map.0)
    }

    /// The hash that the next block contains, and that is certified while there is none.
    pub fn hash(&self) -> BlockHash {
        self.value().hash()
    }

    /// What was taken from the payer beside the amount.
    pub fn charged_fee(&self) -> Amount {
        let named = match &self.transaction.operation {
            Operation::Transfer { fee, .. } | Operation::Approve { fee, .. } => *fee,
            Operation::Mint { .. } | Operation::Burn { .. } => None,
        };
        self.fee.or(named).unwrap_or(Amount::ZERO)
    }
}

impl Transaction {
    /// The same for two requests that ask for the same. Accounts are compared by identifier: it
    /// makes no difference whether a subaccount is missing or zero, nor whether the receiver of
    /// a classic transfer was already known when it was sent first.
    pub fn hash(&self) -> [u8; 32] {
        let mut normal = self.clone();
        match &mut normal.operation {
            Operation::Mint { to, .. } => normalise(to),
            Operation::Burn { from, spender, .. } => {
                normalise(from);
                spender.iter_mut().for_each(normalise);
            }
            Operation::Transfer {
                from, to, spender, ..
            } => {
                normalise(from);
                normalise(to);
                spender.iter_mut().for_each(normalise);
            }
            Operation::Approve { from, spender, .. } => {
                normalise(from);
                normalise(spender);
            }
        }
        normal.value().hash()
    }

    fn value(&self) -> Value {
        let mut map = MapBuilder::default();
        match &self.operation {
            Operation::Mint { to, amount } => {
                map.text("op", "mint");
                map.account("to", Some(to));
                map.amount("amt", Some(*amount));
            }
            Operation::Burn {
                from,
                spender,
                amount,
            } => {
                map.text("op", "burn");
                map.account("from", Some(from));
                map.account("spender", spender.as_ref());
                map.amount("amt", Some(*amount));
            }
            Operation::Transfer {
                from,
                to,
                spender,
                amount,
                fee,
            } => {
                map.text("op", "xfer");
                map.account("from", Some(from));
                map.account("to", Some(to));
                map.account("spender", spender.as_ref());
                map.amount("amt", Some(*amount));
                map.amount("fee", *fee);
            }
            Operation::Approve {
                from,
                spender,
                amount,
                expected_allowance,
                expires_at_ns,
                fee,
            } => {
                map.text("op", "approve");
                map.account("from", Some(from));
                map.account("spender", Some(spender));
                map.amount("amt", Some(*amount));
                map.amount("expected_allowance", *expected_allowance);
                map.nat("expires_at", *expires_at_ns);
                map.amount("fee", *fee);
            }
        }
        map.blob("memo", self.memo.as_ref().map(Memo::to_bytes));
        map.nat("ts", self.created_at_ns);
        Value::Map(map.0)
    }
}

fn normalise(account: &mut Account) {
    *account = AccountIdentifier::of(account).stand_in();
}

#[derive(Default)]
struct MapBuilder(std::collections::BTreeMap<String, Value>);

impl MapBuilder {
    fn insert(&mut self, key: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.insert(key.into(), value);
        }
    }

    fn text(&mut self, key: &str, text: &str) {
        self.insert(key, Some(Value::Text(text.into())));
    }

    fn nat(&mut self, key: &str, number: Option<u64>) {
        self.insert(key, number.map(|number| Value::Nat(number.into())));
    }

    fn amount(&mut self, key: &str, amount: Option<Amount>) {
        self.insert(key, amount.map(|amount| Value::Nat(amount.into())));
    }

    fn blob(&mut self, key: &str, bytes: Option<impl Into<Vec<u8>>>) {
        self.insert(key, bytes.map(blob));
    }

    fn account(&mut self, key: &str, account: Option<&Account>) {
        let value = account.map(|account| {
            let mut parts = vec![blob(account.owner.as_slice())];
            parts.extend(account.subaccount.map(blob));
            Value::Array(parts)
        });
        self.insert(key, value);
    }
}

fn blob(bytes: impl Into<Vec<u8>>) -> Value {
    Value::Blob(ByteBuf::from(bytes.into()))
}

impl Storable for Block {
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(minicbor::to_vec(self).expect("a vector takes every byte"))
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        minicbor::decode(&bytes).expect("only encoded blocks are stored")
    }
}

#[cfg(test)]
mod tests;
