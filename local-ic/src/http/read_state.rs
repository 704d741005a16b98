//! Certified reads of the state: statuses of requests, controllers, modules, the subnet's keys.

use std::sync::Arc;

use ic_transport_types::{EnvelopeContent, ReadStateResponse};

use crate::http::{Answer, Effective, Refusal, authenticated, blocking, cbor, paths};
use crate::network::Node;

pub(super) async fn read_state(
    node: Arc<Node>,
    effective: Effective,
    body: Vec<u8>,
) -> Result<Answer, Refusal> {
    let certificate = blocking(move || read(&node, effective, &body)).await?;
    Ok(cbor(&ReadStateResponse { certificate }))
}

fn read(node: &Node, effective: Effective, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let request = authenticated(body, "read_state", node.window())?;
    if let Effective::Subnet(subnet) = effective {
        node.check_subnet(subnet)?;
    }
    let EnvelopeContent::ReadState { paths, .. } = &request.content else {
        unreachable!("`authenticated` lets only reads through");
    };
    node.certify_paths(paths, |facts| {
        paths::check(paths, effective, &request, facts).map_err(Refusal::from)
    })
}
