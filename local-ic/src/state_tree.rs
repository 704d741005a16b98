//! The state of the network as a hash tree, and proofs of parts of it.
//!
//! ```text
//! /time
//! /canister/<id>/{certified_data, controllers, metadata/<name>, module_hash}
//! /canister_ranges/<subnet id>/<shard>
//! /request_status/<request id>/{status, reply | reject_code, reject_message, error_code}
//! /subnet/<id>/{public_key, canister_ranges, type, node/<id>/public_key}
//! ```
//!
//! A proof shows the paths asked for and nothing else: every other subtree is replaced by its
//! hash. For a path that leads nowhere it shows the two neighbouring labels instead, between which
//! the missing one would have to stand, so absence is proven and never just claimed.
//!
//! Requests are many and short-lived, canisters few, so requests keep their hashes in a balanced
//! tree of their own ([`RequestTree`]) while the rest is hashed anew for each proof.

use std::collections::BTreeMap;

use ic_certification::{
    AsHashTree, Hash, HashTree, Label, RbTree, empty, fork, labeled, leaf, pruned,
};

/// A path into the tree, as agents send it.
pub(crate) type Path = Vec<Label>;

/// A tree that knows all its content.
#[derive(Debug)]
pub(crate) enum Tree {
    /// A value.
    Leaf(Vec<u8>),
    /// Children sorted by label, without duplicates.
    Branch(Vec<(Vec<u8>, Tree)>),
    /// A proof made elsewhere, shown as it is when asked for.
    Proof(HashTree),
}

impl Tree {
    /// A branch of `children` in any order.
    pub(crate) fn branch<L: Into<Vec<u8>>>(children: impl IntoIterator<Item = (L, Tree)>) -> Self {
        let mut children: Vec<(Vec<u8>, Tree)> = children
            .into_iter()
            .map(|(label, child)| (label.into(), child))
            .collect();
        children.sort_by(|(a, _), (b, _)| a.cmp(b));
        children.dedup_by(|(a, _), (b, _)| a == b);
        Self::Branch(children)
    }

    /// The hash that a certificate signs.
    pub(crate) fn digest(&self) -> Hash {
        match self {
            Self::Leaf(value) => leaf(value.as_slice()).digest(),
            Self::Branch(children) => branch_digest(children),
            Self::Proof(proof) => proof.digest(),
        }
    }

    /// A tree of the same digest that shows only `paths`. A path may end anywhere: everything
    /// below its end is shown.
    pub(crate) fn prove(&self, paths: &[Path]) -> HashTree {
        let paths: Vec<&[Label]> = paths.iter().map(Vec::as_slice).collect();
        self.witness(&paths)
    }

    fn witness(&self, paths: &[&[Label]]) -> HashTree {
        match self {
            // A path that goes on beyond a leaf leads nowhere, which the leaf itself proves.
            Self::Leaf(value) => leaf(value.as_slice()),
            Self::Proof(proof) => proof.clone(),
            Self::Branch(children) if paths.iter().any(|path| path.is_empty()) => {
                let shown = vec![Shown::Below(vec![&[]]); children.len()];
                branch_witness(children, &shown)
            }
            Self::Branch(children) => {
                let mut shown = vec![Shown::Hidden; children.len()];
                for (head, rest) in paths.iter().filter_map(|path| path.split_first()) {
                    match children
                        .binary_search_by(|(label, _)| label.as_slice().cmp(head.as_bytes()))
                    {
                        Ok(index) => shown[index].add(rest),
                        Err(index) => {
                            if let Some(left) = index.checked_sub(1) {
                                shown[left].name();
                            }
                            if let Some(right) = shown.get_mut(index) {
                                right.name();
                            }
                        }
                    }
                }
                branch_witness(children, &shown)
            }
        }
    }
}

/// How much of a child a proof shows.
#[derive(Clone)]
enum Shown<'a> {
    Hidden,
    /// Its label, as the neighbour of something absent.
    Label,
    /// The rests of the paths that lead through it.
    Below(Vec<&'a [Label]>),
}

impl<'a> Shown<'a> {
    fn add(&mut self, rest: &'a [Label]) {
        match self {
            Self::Below(paths) => paths.push(rest),
            _ => *self = Self::Below(vec![rest]),
        }
    }

    fn name(&mut self) {
        if matches!(self, Self::Hidden) {
            *self = Self::Label;
        }
    }
}

fn branch_digest(children: &[(Vec<u8>, Tree)]) -> Hash {
    match children {
        [] => empty().digest(),
        [(label, child)] => labeled(label.as_slice(), pruned(child.digest())).digest(),
        _ => {
            let (left, right) = children.split_at(children.len() / 2);
            fork(pruned(branch_digest(left)), pruned(branch_digest(right))).digest()
        }
    }
}

fn branch_witness(children: &[(Vec<u8>, Tree)], shown: &[Shown<'_>]) -> HashTree {
    if !children.is_empty() && shown.iter().all(|shown| matches!(shown, Shown::Hidden)) {
        return pruned(branch_digest(children));
    }
    match (children, shown) {
        ([(label, child)], [Shown::Below(paths)]) => {
            labeled(label.as_slice(), child.witness(paths))
        }
        ([(label, child)], _) => labeled(label.as_slice(), pruned(child.digest())),
        ([], _) => empty(),
        _ => {
            let middle = children.len() / 2;
            let (left, right) = children.split_at(middle);
            let (shown_left, shown_right) = shown.split_at(middle);
            fork(
                branch_witness(left, shown_left),
                branch_witness(right, shown_right),
            )
        }
    }
}

/// The hashes of all requests the network remembers, by request id.
#[derive(Default)]
pub(crate) struct RequestTree {
    hashes: RbTree<[u8; 32], Subtree>,
    /// How far each request had come when it was hashed.
    stages: BTreeMap<[u8; 32], Stage>,
}

/// How far a request has come. What is said of it changes only together with this.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    Received,
    Processing,
    Replied,
    Rejected,
    Done,
}

/// A subtree of which only the hash is kept. (`RbTree` is `Default` only if its values are.)
#[derive(Default)]
struct Subtree(Hash);

impl AsHashTree for Subtree {
    fn root_hash(&self) -> Hash {
        self.0
    }

    fn as_hash_tree(&self) -> HashTree {
        pruned(self.0)
    }
}

impl RequestTree {
    /// Makes this the tree of the requests in `present`, sorted by id; `status` tells what is said
    /// of one that is new or has come further. Requests that stand still cost a comparison each.
    pub(crate) fn update<'a>(
        &mut self,
        present: impl Iterator<Item = (&'a [u8; 32], Stage)>,
        status: impl Fn(&[u8; 32]) -> Tree,
    ) {
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        let mut known = self.stages.iter().peekable();
        for (id, stage) in present {
            while let Some((old, _)) = known.next_if(|(old, _)| *old < id) {
                gone.push(*old);
            }
            match known.next_if(|(old, _)| *old == id) {
                Some((_, known)) if *known == stage => {}
                _ => changed.push((*id, stage)),
            }
        }
        gone.extend(known.map(|(old, _)| *old));

        for id in gone {
            self.stages.remove(&id);
            self.hashes.delete(&id);
        }
        for (id, stage) in changed {
            self.stages.insert(id, stage);
            self.hashes.insert(id, Subtree(status(&id).digest()));
        }
    }

    /// Proves what is said of request `id`, which is `status`, or that nothing is.
    pub(crate) fn prove(&self, id: &[u8; 32], status: Option<&Tree>) -> Tree {
        Tree::Proof(self.hashes.nested_witness(id, |known| match status {
            Some(status) => status.prove(&[Vec::new()]),
            None => known.as_hash_tree(),
        }))
    }

    /// The tree with nothing shown.
    pub(crate) fn hidden(&self) -> Tree {
        Tree::Proof(pruned(self.hashes.root_hash()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_certification::LookupResult;

    fn path(labels: &[&str]) -> Path {
        labels.iter().map(|label| Label::from(*label)).collect()
    }

    fn sample() -> Tree {
        Tree::branch([
            ("time", Tree::Leaf(vec![1])),
            (
                "canister",
                Tree::branch(["a", "c", "e"].map(|id| {
                    let module = Tree::Leaf(id.as_bytes().to_vec());
                    (id, Tree::branch([("module_hash", module)]))
                })),
            ),
            ("subnet", Tree::branch::<&str>([])),
        ])
    }

    #[test]
    fn a_proof_has_the_digest_of_the_whole_tree() {
        let tree = sample();
        let everything = tree.prove(&[vec![]]);
        assert_eq!(everything.digest(), tree.digest());
        for paths in [
            vec![],
            vec![path(&["time"])],
            vec![path(&["canister", "c"]), path(&["time"])],
            vec![path(&["canister", "b", "module_hash"])],
            vec![
                path(&["nothing"]),
                path(&["subnet", "x"]),
                path(&["time", "beyond"]),
            ],
        ] {
            assert_eq!(tree.prove(&paths).digest(), tree.digest(), "{paths:?}");
        }
    }

    #[test]
    fn a_proof_shows_what_was_asked_for_and_hides_the_rest() {
        let proof = sample().prove(&[path(&["canister", "c", "module_hash"])]);
        assert_eq!(
            proof.lookup_path(["canister", "c", "module_hash"]),
            LookupResult::Found(b"c")
        );
        assert_eq!(
            proof.lookup_path(["canister", "a", "module_hash"]),
            LookupResult::Unknown
        );
        assert_eq!(proof.lookup_path(["time"]), LookupResult::Unknown);
    }

    #[test]
    fn what_is_not_there_is_shown_absent() {
        let missing: [&[&str]; 7] = [
            &["canister", "0"],
            &["canister", "b"],
            &["canister", "d", "controllers"],
            &["canister", "f"],
            &["canister", "c", "controllers"],
            &["subnet", "x"],
            &["zebra"],
        ];
        for labels in missing {
            let proof = sample().prove(&[path(labels)]);
            assert_eq!(
                proof.lookup_path(labels),
                LookupResult::Absent,
                "{labels:?}"
            );
        }
    }

    fn said(stage: Stage) -> Tree {
        Tree::branch([("status", Tree::Leaf(format!("{stage:?}").into_bytes()))])
    }

    /// A tree brought up to date with `world`, without what stood still being asked about.
    fn follow(tree: &mut RequestTree, world: &BTreeMap<[u8; 32], Stage>) {
        let before = tree.stages.clone();
        tree.update(world.iter().map(|(id, stage)| (id, *stage)), |id| {
            assert_ne!(
                before.get(id),
                world.get(id),
                "asked about a request that stood still"
            );
            said(world[id])
        });
    }

    #[test]
    fn requests_are_proven_present_changed_and_absent() {
        let mut tree = RequestTree::default();
        assert_eq!(tree.hidden().digest(), empty().digest());

        let mut world: BTreeMap<_, _> =
            (0..100u8).map(|n| ([n * 2; 32], Stage::Received)).collect();
        follow(&mut tree, &world);
        world.insert([80; 32], Stage::Replied);
        world.insert([81; 32], Stage::Processing);
        for gone in [0, 90, 198] {
            world.remove(&[gone; 32]);
        }
        follow(&mut tree, &world);
        follow(&mut tree, &world);

        let root = tree.hidden().digest();
        for n in 0..=255u8 {
            let known = world.get(&[n; 32]).map(|stage| said(*stage));
            let Tree::Proof(proof) = tree.prove(&[n; 32], known.as_ref()) else {
                unreachable!()
            };
            assert_eq!(proof.digest(), root);
            let found = proof.lookup_path([&[n; 32][..], b"status"]);
            match world.get(&[n; 32]) {
                Some(stage) => {
                    assert_eq!(found, LookupResult::Found(format!("{stage:?}").as_bytes()));
                }
                None => assert_eq!(found, LookupResult::Absent, "{n}"),
            }
        }

        world.clear();
        follow(&mut tree, &world);
        assert_eq!(tree.hidden().digest(), empty().digest());
    }

    #[test]
    fn a_status_that_changed_unnoticed_breaks_the_proof() {
        let mut tree = RequestTree::default();
        follow(&mut tree, &BTreeMap::from([([1; 32], Stage::Received)]));
        let proof = tree.prove(&[1; 32], Some(&said(Stage::Replied)));
        assert_ne!(proof.digest(), tree.hidden().digest());
    }
}
