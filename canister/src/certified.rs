//! What is certified: with the subnet's signature on 32 bytes, one node alone proves what it answers.
//!
//! ```text
//!  root ─┬─ clock             gaps, 8 bytes
//!        ├─ http_assets ───── path ── SHA-256 of the page
//!        ├─ last_block_hash   of the event log, as ICRC-3 has it
//!        ├─ last_block_index  LEB128
//!        └─ registrations ─── channel id ── what is registered and not concluded
//! ```
//!
//! | registration | bytes |
//! |---|---|
//! | a refund claim | `0`, deadline |
//! | a signed state | `1`, SHA-256 of its canonical bytes, deadline |
//!
//! Numbers of 8 bytes are big-endian nanoseconds. A deadline is in uptime: with the gaps added it is the
//! timeout, so that a gap moves them all by changing one leaf. That a channel is not in the tree proves
//! that nothing is registered that could still be refuted or concluded.
//!
//! The registrations lie in stable memory with their digests (`store::tree`), so that an upgrade makes
//! nothing anew: it costs the same however many disputes are open.

use std::cell::Cell;

use ic_certification::hash_tree::{Hash, fork_hash, labeled_hash, leaf_hash};
use ic_certification::{HashTree, hash_tree};
use perun_canister_api::BlockHash;
use perun_protocol::ChannelId;
use perun_protocol::encoding::Canonical as _;
use sha2::{Digest as _, Sha256};

use crate::Adjudicator;
use crate::channel::{Channel, Phase, RegisteredClaim};
use crate::encoding;

const CLOCK: &str = "clock";
const LAST_BLOCK_HASH: &str = "last_block_hash";
const LAST_BLOCK_INDEX: &str = "last_block_index";
const REGISTRATIONS: &str = "registrations";

/// What is certified of a channel, `None` if nothing is registered that is not concluded.
fn registration(channel: &Channel) -> Option<Vec<u8>> {
    let Phase::Registered { claim, timeout, .. } = channel.phase() else {
        return None;
    };
    let mut bytes = match claim {
        RegisteredClaim::State(signed) => {
            let mut bytes = vec![1];
            bytes.extend(Sha256::digest(signed.encode()));
            bytes
        }
        RegisteredClaim::Refund => vec![0],
        RegisteredClaim::Digest { .. } => unreachable!("a finished channel is concluded"),
    };
    bytes.extend(timeout.0.nanos().to_be_bytes());
    Some(bytes)
}

/// Digests of parts of the tree that seldom change.
#[derive(Default)]
pub(crate) struct Kept {
    /// The clock, and the page, which never changes.
    first: Part<u64>,
    registrations: Part<Hash>,
}

/// What a part was made of last, and its digest.
struct Part<T>(Cell<Option<(T, Hash)>>);

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self(Cell::new(None))
    }
}

impl<T: Copy + PartialEq> Part<T> {
    fn of(&self, content: T, make: impl FnOnce() -> Hash) -> Hash {
        let kept = self.0.get().filter(|(of, _)| *of == content);
        let (_, digest) = kept.unwrap_or_else(|| (content, make()));
        self.0.set(Some((content, digest)));
        digest
    }
}

/// What a witness shows; the rest of the tree is there as hashes.
#[derive(Clone, Copy)]
enum Shown {
    Tip,
    Page,
    Registration(ChannelId),
}

impl Adjudicator {
    /// Certifies what is registered for a channel now, or that nothing is any more.
    pub(crate) fn certify_registration(&mut self, id: ChannelId, channel: &Channel) {
        let registrations = &mut self.store.registrations;
        match registration(channel) {
            Some(registration) => registrations.insert(*id.as_bytes(), &registration),
            None => registrations.remove(id.as_bytes()),
        }
    }

    /// Another one whenever the root is another: nothing of it changes without an event or a gap.
    pub fn certified_version(&self) -> (u64, u64) {
        (self.store.log.len(), self.store.clock().gaps_ns)
    }

    /// The 32 bytes to be certified: the digest of the tree. Most of it stays as it is from one event to
    /// the next, and is not hashed again.
    pub fn certified_root(&self) -> [u8; 32] {
        let gaps_ns = self.store.clock().gaps_ns;
        let first = self.kept.first.of(gaps_ns, || {
            let gaps = leaf_hash(&gaps_ns.to_be_bytes());
            let clock = labeled_hash(CLOCK.as_bytes(), &gaps);
            fork_hash(&clock, &self.page.digest())
        });
        let registrations = self.store.registrations.root_hash();
        let registrations = self.kept.registrations.of(registrations, || {
            labeled_hash(REGISTRATIONS.as_bytes(), &registrations)
        });
        let Some((index, hash)) = self.store.log.last_block() else {
            return fork_hash(&first, &registrations);
        };
        let hash = labeled_hash(LAST_BLOCK_HASH.as_bytes(), &leaf_hash(&hash));
        let index = labeled_hash(LAST_BLOCK_INDEX.as_bytes(), &leaf_hash(&leb128(index)));
        fork_hash(
            &fork_hash(&first, &hash),
            &fork_hash(&index, &registrations),
        )
    }

    /// Proves how long the event log is, and which event is the last.
    pub fn tip_witness(&self) -> HashTree {
        self.tree(Shown::Tip)
    }

    /// Proves what is registered for a channel and not concluded, or that nothing is.
    pub fn registration_witness(&self, id: ChannelId) -> HashTree {
        self.tree(Shown::Registration(id))
    }

    /// Proves the page, as response verification of version 1 has it.
    pub(crate) fn page_witness(&self) -> HashTree {
        self.tree(Shown::Page)
    }

    fn tree(&self, shown: Shown) -> HashTree {
        let gaps = self.store.clock().gaps_ns.to_be_bytes();
        let gaps = hash_tree::leaf(gaps.to_vec());
        let clock = match shown {
            Shown::Registration(_) => hash_tree::label(CLOCK, gaps),
            Shown::Tip | Shown::Page => hash_tree::label(CLOCK, pruned(&gaps)),
        };
        let registrations = &self.store.registrations;
        let registrations = match shown {
            Shown::Registration(id) => registrations.witness(id.as_bytes()),
            Shown::Tip | Shown::Page => hash_tree::pruned(registrations.root_hash()),
        };
        let registrations = hash_tree::label(REGISTRATIONS, registrations);
        let page = match shown {
            // A proof that there is no last block shows the labels around its place.
            Shown::Page | Shown::Tip => self.page.tree(),
            Shown::Registration(_) => hash_tree::pruned(self.page.digest()),
        };
        let first = hash_tree::fork(clock, page);
        match self.store.log.last_block() {
            None => hash_tree::fork(first, registrations),
            Some((index, hash)) => {
                let tip = tip(index, &hash);
                let [hash, index] = match shown {
                    Shown::Tip => tip,
                    Shown::Page | Shown::Registration(_) => tip.map(|leaf| pruned(&leaf)),
                };
                let (left, right) = (hash_tree::fork(first, hash), (index, registrations));
                hash_tree::fork(left, hash_tree::fork(right.0, right.1))
            }
        }
    }
}

fn tip(index: u64, hash: &BlockHash) -> [HashTree; 2] {
    [
        hash_tree::label(LAST_BLOCK_HASH, hash_tree::leaf(hash.to_vec())),
        hash_tree::label(LAST_BLOCK_INDEX, hash_tree::leaf(leb128(index))),
    ]
}

fn leb128(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoding::leb128(&mut bytes, number.into());
    bytes
}

fn pruned(tree: &HashTree) -> HashTree {
    hash_tree::pruned(tree.digest())
}
