//! What a tree is made of, in slots of 75 bytes: a key takes a leaf and a fork.
//!
//! | slot | bytes |
//! |---|---|
//! | head | `0`, root, free slot, keys |
//! | fork | `1`, bit, left child, right child |
//! | leaf | `2`, key, length of the value, value |
//! | free | `3`, next free slot |
//!
//! A child is a slot's number and the digest. Numbers are big-endian and have four bytes; what may not be
//! there has a byte in front that says whether it is. The rest of a slot is zero.

use std::borrow::Cow;

use ic_certification::hash_tree::{Hash, fork_hash, labeled_hash, leaf_hash};
use ic_stable_structures::Storable;
use ic_stable_structures::storable::Bound;
use perun_protocol::encoding::{DecodeError, Reader};

use super::Key;
use crate::stored::Record;

/// The most bytes of a value.
pub(super) const MAX_VALUE_BYTES: usize = 41;

const LENGTH: usize = 1 + 32 + 1 + MAX_VALUE_BYTES;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Slot {
    Head(Head),
    Fork(Fork),
    Leaf(Leaf),
    Free { next: Option<u32> },
}

/// What is known of the tree as a whole.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Head {
    /// `None` if there is no key.
    pub(super) root: Option<Child>,
    /// The first of the free slots, each of which names the next.
    pub(super) free: Option<u32>,
    /// How many keys there are.
    pub(super) keys: u32,
}

/// A subtree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Child {
    pub(super) slot: u32,
    /// That of its hash tree.
    pub(super) digest: Hash,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fork {
    /// The first bit in which the keys below differ; 0 is the highest of the first byte.
    pub(super) bit: u8,
    /// Those below which this bit is 0, and 1.
    pub(super) children: [Child; 2],
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Leaf {
    pub(super) key: Key,
    length: u8,
    value: [u8; MAX_VALUE_BYTES],
}

impl Leaf {
    pub(super) fn new(key: Key, value: &[u8]) -> Self {
        let mut padded = [0; MAX_VALUE_BYTES];
        padded[..value.len()].copy_from_slice(value);
        Self {
            key,
            length: value.len() as u8,
            value: padded,
        }
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.value[..self.length.into()]
    }

    pub(super) fn value_digest(&self) -> Hash {
        leaf_hash(self.value())
    }

    pub(super) fn digest(&self) -> Hash {
        labeled_hash(&self.key, &self.value_digest())
    }
}

impl Fork {
    pub(super) fn digest(&self) -> Hash {
        let [left, right] = &self.children;
        fork_hash(&left.digest, &right.digest)
    }
}

impl Storable for Slot {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut out = Vec::with_capacity(LENGTH);
        self.put(&mut out);
        out.resize(LENGTH, 0);
        Cow::Owned(out)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        let slot = Self::take(&mut Reader::new(&bytes));
        slot.expect("a slot decodes as it was written")
    }

    const BOUND: Bound = Bound::Bounded {
        max_size: LENGTH as u32,
        is_fixed_size: true,
    };
}

impl Record for Slot {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Head(Head { root, free, keys }) => {
                out.push(0);
                root.put(out);
                free.put(out);
                keys.put(out);
            }
            Self::Fork(Fork { bit, children }) => {
                out.extend([1, *bit]);
                children.iter().for_each(|child| child.put(out));
            }
            Self::Leaf(Leaf { key, length, value }) => {
                out.push(2);
                key.put(out);
                out.push(*length);
                out.extend(value);
            }
            Self::Free { next } => {
                out.push(3);
                next.put(out);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Head(Head {
                root: Record::take(reader)?,
                free: Record::take(reader)?,
                keys: Record::take(reader)?,
            })),
            1 => Ok(Self::Fork(Fork {
                bit: reader.byte()?,
                children: [Child::take(reader)?, Child::take(reader)?],
            })),
            2 => Ok(Self::Leaf(Leaf {
                key: reader.array()?,
                length: reader.byte()?,
                value: reader.array()?,
            })),
            3 => Ok(Self::Free {
                next: Record::take(reader)?,
            }),
            tag => Err(DecodeError::UnknownTag { of: "slot", tag }),
        }
    }
}

impl Record for Child {
    fn put(&self, out: &mut Vec<u8>) {
        self.slot.put(out);
        self.digest.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            slot: Record::take(reader)?,
            digest: reader.array()?,
        })
    }
}
