//! Update calls: taken in, waited for, answered with a certificate.

use std::sync::Arc;
use std::time::Duration;

use candid::de::IDLDeserialize;
use candid::{CandidType, DecoderConfig, Principal};
use hyper::StatusCode;
use ic_transport_types::{EnvelopeContent, RejectResponse, TransportCallResponse};
use serde::Deserialize;

use crate::http::{
    Answer, Effective, MAX_INGRESS, Refusal, authenticated, blocking, cbor, text, too_large,
};
use crate::network::{Node, Settled, Submission};
use crate::reject::{Reject, RejectCode};
use crate::replica::{Ingress, MessageId};

/// How long a caller is kept waiting before it is told to poll instead.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes a call. With `wait`, answers with its certificate if it ends soon; otherwise, and if it
/// doesn't, says that it was taken, and the agent polls by `read_state`.
pub(super) async fn call(
    node: Arc<Node>,
    effective: Effective,
    body: Vec<u8>,
    wait: bool,
) -> Result<Answer, Refusal> {
    if body.len() > MAX_INGRESS {
        return Err(too_large("the call", MAX_INGRESS));
    }
    let taker = Arc::clone(&node);
    let (id, settled) = match blocking(move || take(&taker, effective, &body)).await? {
        Submission::Taken { id, settled } => (id, settled),
        Submission::Rejected(reject) => {
            let reject = reject_response(reject);
            return Ok(cbor(&TransportCallResponse::NonReplicatedRejection(reject)));
        }
    };
    if wait && let Ok(Ok(Settled)) = tokio::time::timeout(PATIENCE, settled).await {
        let certificate = blocking(move || Ok(node.certify_request(&id)?)).await?;
        return Ok(cbor(&TransportCallResponse::Replied { certificate }));
    }
    Ok(text(StatusCode::ACCEPTED, ""))
}

fn take(node: &Node, effective: Effective, body: &[u8]) -> Result<Submission, Refusal> {
    let request = authenticated(body, "call", node.window())?;
    let id = MessageId(*request.request_id);
    let EnvelopeContent::Call {
        sender,
        canister_id,
        method_name,
        arg,
        ..
    } = request.content
    else {
        unreachable!("`authenticated` lets only calls through");
    };
    check_effective(node, effective, canister_id, &arg)?;
    let ingress = Ingress {
        sender,
        canister_id,
        method_name,
        arg,
    };
    node.submit(id, ingress)
}

/// Checks that a request came in where it belongs: a canister's calls at its own URL, those to the
/// management canister at the URL of the canister they are about.
///
/// Some management calls are about no canister (creating one); these may come in anywhere. So may
/// those whose argument can't be decoded: they are rejected by the method itself.
pub(super) fn check_effective(
    node: &Node,
    effective: Effective,
    receiver: Principal,
    arg: &[u8],
) -> Result<(), Refusal> {
    let is_management = receiver == Principal::management_canister();
    match effective {
        Effective::Canister(canister) if is_management => match subject(arg) {
            Some(subject) if subject != canister => Err(Refusal::bad_request(format_args!(
                "this call is about canister {subject}, but the URL is for {canister}"
            ))),
            _ => Ok(()),
        },
        Effective::Canister(canister) if canister == receiver => Ok(()),
        Effective::Canister(canister) => Err(Refusal::bad_request(format_args!(
            "the request is for canister {receiver}, but the URL is for {canister}"
        ))),
        Effective::Subnet(subnet) => {
            node.check_subnet(subnet)?;
            if is_management {
                Ok(())
            } else {
                Err(Refusal::bad_request(format_args!(
                    "the URL of a subnet takes requests to the management canister, not to {receiver}"
                )))
            }
        }
    }
}

/// The canister that a call to the management canister is about: the field `canister_id` of its
/// argument.
fn subject(arg: &[u8]) -> Option<Principal> {
    #[derive(CandidType, Deserialize)]
    struct Subject {
        canister_id: Principal,
    }
    // All other fields are skipped, a whole module among them; an argument that unfolds to more
    // than this was made to keep us busy.
    let mut config = DecoderConfig::new();
    config.set_skipping_quota(10 * MAX_INGRESS);
    let mut values = IDLDeserialize::new_with_config(arg, &config).ok()?;
    values
        .get_value::<Subject>()
        .ok()
        .map(|subject| subject.canister_id)
}

/// A rejection as agents read it.
pub(crate) fn reject_response(reject: Reject) -> RejectResponse {
    use ic_transport_types::RejectCode as Code;
    RejectResponse {
        reject_code: match reject.code {
            RejectCode::SysFatal => Code::SysFatal,
            // An unknown outcome exists between canisters only: agents have no number for it.
            RejectCode::SysTransient | RejectCode::SysUnknown => Code::SysTransient,
            RejectCode::DestinationInvalid => Code::DestinationInvalid,
            RejectCode::CanisterReject => Code::CanisterReject,
            RejectCode::CanisterError => Code::CanisterError,
        },
        reject_message: reject.message,
        error_code: Some(reject.error_code),
    }
}

#[cfg(test)]
mod tests {
    use candid::Encode;

    use super::*;

    #[test]
    fn the_subject_of_a_management_call_is_found_among_other_fields() {
        #[derive(CandidType)]
        struct Install {
            arg: Vec<u8>,
            canister_id: Principal,
            wasm_module: Vec<u8>,
        }
        let canister_id = Principal::from_slice(&[1, 1]);
        let wasm_module = vec![0; 1_900_000];
        let arg = Encode!(&Install {
            arg: vec![],
            canister_id,
            wasm_module
        })
        .unwrap();
        assert_eq!(subject(&arg), Some(canister_id));
        assert_eq!(subject(&Encode!().unwrap()), None);
        assert_eq!(subject(b"garbage"), None);

        #[derive(CandidType)]
        struct Create {
            amount: Option<u64>,
        }
        assert_eq!(subject(&Encode!(&Create { amount: None }).unwrap()), None);
    }
}
