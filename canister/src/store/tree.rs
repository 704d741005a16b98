//! A map whose root hash and witnesses are always at hand: a crit-bit tree in stable memory that carries
//! the digests of a hash tree.
//!
//! ```text
//!                fork at bit 2                    Fork, as the Internet Computer hashes it
//!               ╱             ╲
//!       fork at bit 7        0110…                Labeled(key, Leaf(value))
//!        ╱         ╲
//!  0100 0010…   0100 0011…
//! ```
//!
//! A fork stands at the first bit in which the keys below it differ; those with a 0 there are to its left.
//! So the keys, and not the order in which they came, say what the tree looks like. Keys that are hashes
//! make it a few forks deeper than log₂ n. Who wants a key to lie d forks deep has to find keys that agree
//! with it in ever more bits, which takes 2ᵈ hashes, and 256 forks are the end.
//!
//! A fork knows the digests of its children. So a change reads and writes the forks above it and nothing
//! beside them, and to open the tree nothing is read at all.
//!
//! Invariants: on the way from the root to a leaf, the bits of forks grow; a child's digest is that of the
//! hash tree below it; slot 0 is the head, and every other is in the tree or free.

mod slot;

use ic_certification::HashTree;
use ic_certification::hash_tree::{self, Hash, empty, label, pruned};
use ic_stable_structures::{Memory, StableVec};

use self::slot::{Child, Fork, Head, Leaf, Slot};

/// A key: a hash, or something as evenly spread.
pub(crate) type Key = [u8; 32];

/// Where the [`Head`] is.
const HEAD: u64 = 0;

/// Left (0) or right (1) of a fork.
type Side = usize;

/// The map.
pub(crate) struct Tree<M: Memory> {
    slots: StableVec<Slot, M>,
}

/// A step from a fork to one of its children.
struct Step {
    /// Where the fork is.
    slot: u32,
    fork: Fork,
    side: Side,
}

/// The way down to a leaf.
struct Descent {
    path: Vec<Step>,
    /// Where the leaf is.
    slot: u32,
    leaf: Leaf,
}

impl<M: Memory> Tree<M> {
    /// Opens what lies in `memory`, or lays out an empty tree if it is empty.
    pub(super) fn init(memory: M) -> Self {
        let slots = StableVec::init(memory);
        if slots.is_empty() {
            slots.push(&Slot::Head(Head::default()));
        }
        Self { slots }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> u64 {
        self.head().keys.into()
    }

    /// The digest of the hash tree of all keys and values.
    pub(crate) fn root_hash(&self) -> Hash {
        let root = self.head().root;
        root.map_or_else(|| empty::<Vec<u8>>().digest(), |root| root.digest)
    }

    /// Gives a key a value, of at most [`MAX_VALUE_BYTES`](slot::MAX_VALUE_BYTES).
    pub(crate) fn insert(&mut self, key: Key, value: &[u8]) {
        let mut head = self.head();
        let leaf = Leaf::new(key, value);
        let digest = leaf.digest();
        let Some(root) = head.root else {
            let slot = self.put(&mut head, &Slot::Leaf(leaf));
            head.keys = 1;
            return self.finish(head, vec![], Some(Child { slot, digest }));
        };
        let Descent {
            mut path,
            slot,
            leaf: nearest,
        } = self.descend(root, |fork| side_of(&key, fork.bit));
        let Some(bit) = first_difference(&key, &nearest.key) else {
            self.set(slot, &Slot::Leaf(leaf));
            return self.finish(head, path, Some(Child { slot, digest }));
        };
        let beside = cut(&mut path, root, bit);
        let slot = self.put(&mut head, &Slot::Leaf(leaf));
        let mut children = [Child { slot, digest }, beside];
        if side_of(&key, bit) == 1 {
            children.reverse();
        }
        let fork = Fork { bit, children };
        let digest = fork.digest();
        let slot = self.put(&mut head, &Slot::Fork(fork));
        head.keys += 1;
        self.finish(head, path, Some(Child { slot, digest }));
    }

    /// Forgets a key, if it is there.
    pub(crate) fn remove(&mut self, key: &Key) {
        let mut head = self.head();
        let Some(root) = head.root else { return };
        let mut descent = self.descend(root, |fork| side_of(key, fork.bit));
        if descent.leaf.key != *key {
            return;
        }
        self.free(&mut head, descent.slot);
        head.keys -= 1;
        let sibling = descent.path.pop().map(|step| {
            self.free(&mut head, step.slot);
            step.other()
        });
        self.finish(head, descent.path, sibling);
    }

    /// Proves the value of a key, or that it is not there: then by showing the keys on both sides of where
    /// it would be.
    pub(crate) fn witness(&self, key: &Key) -> HashTree {
        let Some(root) = self.head().root else {
            return empty();
        };
        let Descent { mut path, leaf, .. } = self.descend(root, |fork| side_of(key, fork.bit));
        let Some(bit) = first_difference(key, &leaf.key) else {
            let value = hash_tree::leaf(leaf.value());
            return above(path, label(leaf.key, value), |step| {
                pruned(step.other().digest)
            });
        };
        // All keys below are on the same side of the key. The nearest of them is one neighbour, the other
        // is beyond the last fork where the key goes to that side.
        let beside = cut(&mut path, root, bit);
        let side = side_of(key, bit);
        let mut is_last = true;
        above(path, self.edge(beside, side), |step| {
            let has_neighbour = is_last && step.side != side;
            is_last &= !has_neighbour;
            match has_neighbour {
                true => self.edge(step.other(), step.side),
                false => pruned(step.other().digest),
            }
        })
    }

    /// The hash tree of a subtree that shows its first (side 0) or last key, and no value.
    fn edge(&self, subtree: Child, side: Side) -> HashTree {
        let Descent { path, leaf, .. } = self.descend(subtree, |_| side);
        let shown = label(leaf.key, pruned(leaf.value_digest()));
        above(path, shown, |step| pruned(step.other().digest))
    }

    fn descend(&self, from: Child, side: impl Fn(&Fork) -> Side) -> Descent {
        let mut slot = from.slot;
        let mut path = Vec::new();
        loop {
            match self.get(slot) {
                Slot::Fork(fork) => {
                    let side = side(&fork);
                    let below = fork.children[side].slot;
                    path.push(Step { slot, fork, side });
                    slot = below;
                }
                Slot::Leaf(leaf) => return Descent { path, slot, leaf },
                Slot::Head(_) | Slot::Free { .. } => unreachable!("{BROKEN}"),
            }
        }
    }

    /// Puts a subtree, or nothing, at the end of a path, and renews everything above it.
    fn finish(&mut self, mut head: Head, path: Vec<Step>, subtree: Option<Child>) {
        head.root = subtree.map(|subtree| {
            path.into_iter().rev().fold(subtree, |child, step| {
                let Step {
                    slot,
                    mut fork,
                    side,
                } = step;
                fork.children[side] = child;
                let digest = fork.digest();
                self.set(slot, &Slot::Fork(fork));
                Child { slot, digest }
            })
        });
        self.slots.set(HEAD, &Slot::Head(head));
    }

    fn head(&self) -> Head {
        match self.slots.get(HEAD) {
            Some(Slot::Head(head)) => head,
            _ => unreachable!("{BROKEN}"),
        }
    }

    fn get(&self, slot: u32) -> Slot {
        self.slots.get(slot.into()).expect(BROKEN)
    }

    fn set(&mut self, slot: u32, content: &Slot) {
        self.slots.set(slot.into(), content);
    }

    /// Writes into a free slot, or a new one.
    fn put(&mut self, head: &mut Head, content: &Slot) -> u32 {
        let Some(slot) = head.free else {
            let slot = u32::try_from(self.slots.len());
            self.slots.push(content);
            return slot.expect("stable memory is full before there are so many");
        };
        let Slot::Free { next } = self.get(slot) else {
            unreachable!("{BROKEN}");
        };
        head.free = next;
        self.set(slot, content);
        slot
    }

    fn free(&mut self, head: &mut Head, slot: u32) {
        let next = head.free.replace(slot);
        self.set(slot, &Slot::Free { next });
    }
}

/// Why no slot is of another kind than it should be.
const BROKEN: &str = "only the tree writes its slots";

impl Step {
    /// The child that the step does not lead to.
    fn other(&self) -> Child {
        self.fork.children[1 - self.side]
    }
}

/// Cuts off the steps at and behind a bit, and tells the subtree that they led into.
fn cut(path: &mut Vec<Step>, root: Child, bit: u8) -> Child {
    path.truncate(path.partition_point(|step| step.fork.bit < bit));
    path.last()
        .map_or(root, |step| step.fork.children[step.side])
}

/// The hash tree at the beginning of a path that ends at `tree`, with `other` beside its steps, from the
/// last on.
fn above(path: Vec<Step>, tree: HashTree, mut other: impl FnMut(&Step) -> HashTree) -> HashTree {
    path.into_iter().rev().fold(tree, |tree, step| {
        let other = other(&step);
        match step.side {
            0 => hash_tree::fork(tree, other),
            _ => hash_tree::fork(other, tree),
        }
    })
}

/// The first bit in which keys differ, `None` if they are equal.
fn first_difference(key: &Key, other: &Key) -> Option<u8> {
    let byte = key.iter().zip(other).position(|(a, b)| a != b)?;
    let bit = (key[byte] ^ other[byte]).leading_zeros() as usize;
    u8::try_from(8 * byte + bit).ok()
}

fn side_of(key: &Key, bit: u8) -> Side {
    let bit = usize::from(bit);
    usize::from(key[bit / 8] >> (7 - bit % 8) & 1)
}

#[cfg(test)]
mod tests;
