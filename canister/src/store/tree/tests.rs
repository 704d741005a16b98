//! The tree against a model, and its witnesses as anybody verifies them.

use std::collections::BTreeMap;

use ic_certification::hash_tree::{self, LookupResult};
use ic_certification::{HashTree, RbTree};
use ic_stable_structures::VectorMemory;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::slot::MAX_VALUE_BYTES;
use super::{Key, Tree};

type Model = BTreeMap<Key, Vec<u8>>;

/// A step of a history: a value for the key with this number, or none.
type Change = (u16, Option<Vec<u8>>);

fn tree() -> Tree<VectorMemory> {
    Tree::init(VectorMemory::default())
}

/// Keys of which some agree in their first 24 bits, or in all but their last ones.
fn key(number: u16) -> Key {
    let mut key = Sha256::digest(number.to_be_bytes()).into();
    match number % 4 {
        0 => key,
        1 => {
            key = [0xaa; 32];
            key[3..5].copy_from_slice(&number.to_be_bytes());
            key
        }
        2 => {
            key = [0x55; 32];
            key[30..].copy_from_slice(&number.to_be_bytes());
            key
        }
        _ => [number as u8; 32],
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let value = proptest::option::weighted(0.6, proptest::collection::vec(any::<u8>(), 0..=41));
    proptest::collection::vec((0_u16..40, value), 0..120)
}

fn play(changes: &[Change]) -> (Tree<VectorMemory>, Model) {
    let (mut tree, mut model) = (tree(), Model::new());
    for (number, value) in changes {
        change(&mut tree, &mut model, key(*number), value.clone());
    }
    (tree, model)
}

fn change(tree: &mut Tree<VectorMemory>, model: &mut Model, key: Key, value: Option<Vec<u8>>) {
    match value {
        Some(value) => {
            tree.insert(key, &value);
            model.insert(key, value);
        }
        None => {
            tree.remove(&key);
            model.remove(&key);
        }
    }
}

/// What the tree is by definition: the keys below a bit, sorted by it.
fn by_definition(entries: &[(&Key, &Vec<u8>)], bit: usize) -> HashTree {
    match entries {
        [] => hash_tree::empty(),
        [(key, value)] => hash_tree::label(**key, hash_tree::leaf((*value).clone())),
        _ => {
            let is_left = |key: &Key| key[bit / 8] & (0x80 >> (bit % 8)) == 0;
            let middle = entries.partition_point(|(key, _)| is_left(key));
            let (left, right) = entries.split_at(middle);
            match left.is_empty() || right.is_empty() {
                true => by_definition(entries, bit + 1),
                false => {
                    hash_tree::fork(by_definition(left, bit + 1), by_definition(right, bit + 1))
                }
            }
        }
    }
}

/// What the witness of a key proves, as the rules of the Internet Computer have it.
fn proven(tree: &Tree<VectorMemory>, key: &Key) -> Option<Vec<u8>> {
    let witness = tree.witness(key);
    assert_eq!(witness.digest(), tree.root_hash());
    match witness.lookup_path([key]) {
        LookupResult::Found(value) => Some(value.to_vec()),
        LookupResult::Absent => None,
        other => panic!("the witness does not tell: {other:?}"),
    }
}

fn check(tree: &Tree<VectorMemory>, model: &Model) {
    assert_eq!(tree.len(), model.len() as u64);
    let entries: Vec<_> = model.iter().collect();
    assert_eq!(tree.root_hash(), by_definition(&entries, 0).digest());
    for number in 0..42 {
        let key = key(number);
        assert_eq!(proven(tree, &key).as_ref(), model.get(&key), "{number}");
    }
    for key in [[0; 32], [0xff; 32]] {
        assert_eq!(proven(tree, &key).as_ref(), model.get(&key));
    }
}

proptest! {
    #[test]
    fn it_is_what_the_keys_and_values_make_it(changes in changes()) {
        let (tree, model) = play(&changes);
        check(&tree, &model);
    }

    /// Not of the order in which they came, nor of what was there in between.
    #[test]
    fn the_root_is_a_function_of_what_is_there(changes in changes()) {
        let (tree, model) = play(&changes);
        let mut anew = super::tests::tree();
        model.iter().for_each(|(key, value)| anew.insert(*key, value));
        prop_assert_eq!(anew.root_hash(), tree.root_hash());
        let mut backwards = super::tests::tree();
        model.iter().rev().for_each(|(key, value)| backwards.insert(*key, value));
        prop_assert_eq!(backwards.root_hash(), tree.root_hash());
    }

    /// What one version leaves, the next one goes on with.
    #[test]
    fn it_is_opened_as_it_was_left(changes in changes(), later in changes()) {
        let (tree, mut model) = play(&changes);
        let mut opened = Tree::init(tree.slots.into_memory());
        check(&opened, &model);
        for (number, value) in later {
            change(&mut opened, &mut model, key(number), value);
        }
        check(&opened, &model);
    }

    /// The library's tree has another shape and proves the same.
    #[test]
    fn it_proves_what_the_librarys_tree_proves(changes in changes()) {
        let (tree, model) = play(&changes);
        let library: RbTree<Key, Vec<u8>> = model.into_iter().collect();
        for number in 0..42 {
            let key = key(number);
            let witness = library.witness(&key);
            let theirs = match witness.lookup_path([key]) {
                LookupResult::Found(value) => Some(value.to_vec()),
                other => {
                    prop_assert_eq!(other, LookupResult::Absent);
                    None
                }
            };
            prop_assert_eq!(proven(&tree, &key), theirs);
        }
    }
}

/// A witness shows the value asked for, or the keys around it, and nothing else in full.
#[test]
fn a_witness_shows_no_more_than_it_must() {
    let mut tree = tree();
    (0..1_000_u16)
        .for_each(|number| tree.insert(Sha256::digest(number.to_be_bytes()).into(), &[7]));
    for number in [5_u16, 999, 1_000, 60_000] {
        let key: Key = Sha256::digest(number.to_be_bytes()).into();
        let witness = tree.witness(&key);
        let is_there = number < 1_000;
        assert_eq!(witness.list_paths().len(), usize::from(is_there));
        let bytes = serde_cbor::to_vec(&witness).unwrap();
        assert!(bytes.len() < 2_000, "{}", bytes.len());
        // One, or its two neighbours; of the first and the last key there is one.
        let keys = labels(&serde_cbor::from_slice(&bytes).unwrap());
        assert!(keys == 1 || !is_there && keys == 2, "{keys} are shown");
    }
    let shown = |key: Key| {
        let bytes = serde_cbor::to_vec(&tree.witness(&key)).unwrap();
        labels(&serde_cbor::from_slice(&bytes).unwrap())
    };
    assert_eq!((shown([0; 32]), shown([0xff; 32])), (1, 1));
    for between in 1..255 {
        let mut key = [0; 32];
        key[0] = between;
        assert_eq!(shown(key), 2, "{between}");
    }
}

/// How many keys a hash tree shows: nodes of the kind 2, as CBOR has them.
fn labels(tree: &serde_cbor::Value) -> usize {
    let serde_cbor::Value::Array(node) = tree else {
        return 0;
    };
    let is_label = node.first() == Some(&serde_cbor::Value::Integer(2));
    usize::from(is_label) + node.iter().map(labels).sum::<usize>()
}

#[test]
fn a_key_takes_two_slots_and_gives_them_back() {
    let mut tree = tree();
    let key = |number: u16| -> Key { Sha256::digest(number.to_be_bytes()).into() };
    for round in 0..3 {
        (0..100).for_each(|number| tree.insert(key(number), &[round; MAX_VALUE_BYTES]));
        assert_eq!(
            tree.slots.len(),
            200,
            "the head, and a fork less than leaves"
        );
        (0..100).for_each(|number| tree.remove(&key(number)));
        assert_eq!(tree.len(), 0);
    }
    assert_eq!(tree.root_hash(), hash_tree::empty::<Vec<u8>>().digest());
}

#[test]
fn the_deepest_tree_is_sound() {
    let mut tree = tree();
    let mut model = Model::new();
    // Each key leaves the first one's way one bit later.
    for bit in 0..256 {
        let mut key = [0; 32];
        key[bit / 8] = 0x80 >> (bit % 8);
        change(&mut tree, &mut model, key, Some(vec![bit as u8]));
    }
    change(&mut tree, &mut model, [0; 32], Some(vec![]));
    check(&tree, &model);
}
