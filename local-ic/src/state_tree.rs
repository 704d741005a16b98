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
    /// Adds a request or replaces what is said about it.
    pub(crate) fn set(&mut self, id: [u8; 32], status: &Tree) {
        self.hashes.insert(id, Subtree(status.digest()));
    }

    /// Forgets a request.
    pub(crate) fn remove(&mut self, id: &[u8; 32]) {
        // Deleting an unknown key is not part of the tree's contract.
        if self.hashes.get(id).is_some() {
            self.hashes.delete(id);
        }
    }

    /// Proves the status of `id`, or that there is none. `status` is what [`Self::set`] was
    /// last given for it.
    pub(crate) fn prove(&self, id: &[u8], status: Option<&Tree>) -> Tree {
        Tree::Proof(self.hashes.nested_witness(id, |known| match status {
            Some(status) => status.prove(&[Vec::new()]),
            None => known.as_hash_tree(),
        }))
    }

    /// The subtree of all requests, none of them shown.
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

    #[test]
    fn requests_are_proven_present_changed_and_absent() {
        let status = |text: &str| Tree::branch([("status", Tree::Leaf(text.into()))]);
        let mut requests = RequestTree::default();
        assert_eq!(requests.hidden().digest(), empty().digest());
        for n in 0..100u8 {
            requests.set([n * 2; 32], &status("received"));
        }
        requests.set([80; 32], &status("replied"));
        requests.remove(&[90; 32]);
        requests.remove(&[91; 32]);

        let root = requests.hidden().digest();
        let lookup = |id: u8, known: Option<&Tree>| {
            let Tree::Proof(proof) = requests.prove(&[id; 32], known) else {
                unreachable!()
            };
            assert_eq!(proof.digest(), root);
            match proof.lookup_path([&[id; 32][..], b"status"]) {
                LookupResult::Found(text) => String::from_utf8(text.to_vec()).unwrap(),
                LookupResult::Absent => "absent".into(),
                other => format!("{other:?}"),
            }
        };
        assert_eq!(lookup(80, Some(&status("replied"))), "replied");
        assert_eq!(lookup(78, Some(&status("received"))), "received");
        for absent in [1, 79, 90, 91, 255] {
            assert_eq!(lookup(absent, None), "absent");
        }
    }

    #[test]
    fn a_status_that_changed_unnoticed_breaks_the_proof() {
        let mut requests = RequestTree::default();
        requests.set(
            [1; 32],
            &Tree::branch([("status", Tree::Leaf(b"received".to_vec()))]),
        );
        let other = Tree::branch([("status", Tree::Leaf(b"replied".to_vec()))]);
        assert_ne!(
            requests.prove(&[1; 32], Some(&other)).digest(),
            requests.hidden().digest()
        );
    }
}
