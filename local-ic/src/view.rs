//! The replica's state laid out as the tree that certificates show.

use candid::Principal;

use crate::certificate::{SubnetKeys, leb128, self_described_cbor};
use crate::http::call::reject_response;
use crate::replica::{IngressStatus, MessageId, Replica};
use crate::state_tree::{RequestTree, Stage, Tree};

/// All of the state, with `requests` as the part about requests.
pub(crate) fn state_tree(replica: &Replica, keys: &SubnetKeys, requests: Tree) -> Tree {
    let canisters = replica.canisters().map(|(id, canister)| {
        let metadata = canister
            .metadata
            .iter()
            .map(|section| (section.name.as_str(), Tree::Leaf(section.content.clone())));
        let mut parts = vec![
            (
                "certified_data",
                Tree::Leaf(canister.certified_data.to_vec()),
            ),
            (
                "controllers",
                Tree::Leaf(self_described_cbor(&canister.controllers)),
            ),
            ("metadata", Tree::branch(metadata)),
        ];
        if let Some(hash) = canister.module_hash {
            parts.push(("module_hash", Tree::Leaf(hash.to_vec())));
        }
        (id.as_slice().to_vec(), Tree::branch(parts))
    });
    let subnet = keys.subnet_id();
    let ranges = self_described_cbor(&[canister_range()]);
    // One shard, which begins where the first range does.
    let (shard, _) = canister_range();
    Tree::branch([
        ("canister", Tree::branch(canisters)),
        (
            "canister_ranges",
            one(
                subnet.as_slice(),
                one(shard.as_slice(), Tree::Leaf(ranges.clone())),
            ),
        ),
        ("request_status", requests),
        (
            "subnet",
            one(
                subnet.as_slice(),
                Tree::branch([
                    ("canister_ranges", Tree::Leaf(ranges)),
                    (
                        "node",
                        one(
                            keys.node_id().as_slice(),
                            one("public_key", Tree::Leaf(keys.node_key_der().to_vec())),
                        ),
                    ),
                    ("public_key", Tree::Leaf(keys.root_key_der().to_vec())),
                    // The root subnet is a system subnet on the public network too.
                    ("type", Tree::Leaf(b"system".to_vec())),
                ]),
            ),
        ),
        ("time", Tree::Leaf(leb128(replica.time_ns()))),
    ])
}

fn one<L: Into<Vec<u8>>>(label: L, child: Tree) -> Tree {
    Tree::branch([(label, child)])
}

/// All ids that can be a canister's here: any number, then the class of canister ids.
fn canister_range() -> (Principal, Principal) {
    let (mut low, mut high) = ([0; 10], [0xff; 10]);
    low[9] = 1;
    high[9] = 1;
    (Principal::from_slice(&low), Principal::from_slice(&high))
}

/// Brings the hashes of requests up to date.
pub(crate) fn update_requests(requests: &mut RequestTree, replica: &Replica) {
    let present = replica
        .ingress_history()
        .filter_map(|(id, record)| Some((&id.0, stage(&record.status)?)));
    requests.update(present, |id| {
        let status = replica.status(&MessageId(*id));
        status_tree(&status).expect("requests without a status are not present")
    });
}

fn stage(status: &IngressStatus) -> Option<Stage> {
    match status {
        IngressStatus::Unknown => None,
        IngressStatus::Received => Some(Stage::Received),
        IngressStatus::Processing => Some(Stage::Processing),
        IngressStatus::Replied(_) => Some(Stage::Replied),
        IngressStatus::Rejected(_) => Some(Stage::Rejected),
        IngressStatus::Done => Some(Stage::Done),
    }
}

/// What the tree says of a request; `None` if it is unknown.
pub(crate) fn status_tree(status: &IngressStatus) -> Option<Tree> {
    let text = match stage(status)? {
        Stage::Received => "received",
        Stage::Processing => "processing",
        Stage::Replied => "replied",
        Stage::Rejected => "rejected",
        Stage::Done => "done",
    };
    let mut said = vec![("status", Tree::Leaf(text.into()))];
    match status {
        IngressStatus::Replied(reply) => said.push(("reply", Tree::Leaf(reply.clone()))),
        IngressStatus::Rejected(reject) => {
            let reject = reject_response(reject.clone());
            said.push(("reject_code", Tree::Leaf(leb128(reject.reject_code as u64))));
            said.push(("reject_message", Tree::Leaf(reject.reject_message.into())));
            if let Some(error_code) = reject.error_code {
                said.push(("error_code", Tree::Leaf(error_code.into())));
            }
        }
        _ => {}
    }
    Some(Tree::branch(said))
}
