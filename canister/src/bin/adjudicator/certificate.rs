//! The subnet's signature on what the canister certifies.

use ic_certification::HashTree;
use serde_bytes::ByteBuf;

/// The certificate, and a witness to go with it; neither in update calls, whose answers the subnet has
/// signed.
pub fn with(witness: impl FnOnce() -> HashTree) -> (Option<ByteBuf>, Option<ByteBuf>) {
    let Some(certificate) = ic_cdk::api::data_certificate() else {
        return (None, None);
    };
    let Ok(witness) = serde_cbor::to_vec(&witness()) else {
        unreachable!("a vector takes every byte");
    };
    (
        Some(ByteBuf::from(certificate)),
        Some(ByteBuf::from(witness)),
    )
}
