//! Query calls: run at once, answered with the node's signature.

use std::sync::Arc;

use ic_transport_types::{EnvelopeContent, QueryResponse, ReplyResponse};

use crate::http::call::{check_effective, reject_response};
use crate::http::{Answer, Effective, Refusal, authenticated, blocking, cbor};
use crate::network::Node;

pub(super) async fn query(
    node: Arc<Node>,
    effective: Effective,
    body: Vec<u8>,
) -> Result<Answer, Refusal> {
    let response = blocking(move || run(&node, effective, &body)).await?;
    Ok(cbor(&response))
}

fn run(node: &Node, effective: Effective, body: &[u8]) -> Result<QueryResponse, Refusal> {
    let request = authenticated(body, "query", node.window())?;
    let EnvelopeContent::Query {
        sender,
        canister_id,
        method_name,
        arg,
        ..
    } = request.content
    else {
        unreachable!("`authenticated` lets only queries through");
    };
    check_effective(node, effective, canister_id, &arg)?;
    let (result, time_ns) = node.query(sender, canister_id, &method_name, arg)?;
    let signatures = Vec::new();
    let unsigned = match result {
        Ok(arg) => QueryResponse::Replied {
            reply: ReplyResponse { arg },
            signatures,
        },
        Err(reject) => QueryResponse::Rejected {
            reject: reject_response(reject),
            signatures,
        },
    };
    Ok(node
        .keys()
        .sign_query(unsigned, request.request_id, time_ns))
}
