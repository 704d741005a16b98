//! The chunk store of a canister, for modules too large for one message.

use super::{Answer, Call, check_controller, decode, encode, nothing};
use crate::reject::{ErrorCode, Reject};
use crate::replica::Replica;
use ic_management_canister_types::{CanisterIdRecord, ChunkHash, UploadChunkArgs};
use sha2::{Digest, Sha256};

/// The most a chunk may have, in bytes.
const MAX_CHUNK: usize = 1024 * 1024;

/// The most chunks a canister may have.
const MAX_CHUNKS: usize = 100;

pub(super) fn upload(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: UploadChunkArgs = decode(&call.arg)?;
    check_controller(replica, args.canister_id, call.caller, &call.method)?;
    if args.chunk.len() > MAX_CHUNK {
        return Err(Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!(
                "a chunk of {} bytes, at most {MAX_CHUNK} are allowed",
                args.chunk.len()
            ),
        ));
    }
    let chunks = &mut replica.canister_mut(args.canister_id)?.chunks;
    let hash: [u8; 32] = Sha256::digest(&args.chunk).into();
    if chunks.len() >= MAX_CHUNKS && !chunks.contains_key(&hash) {
        return Err(Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!("the chunk store is full: it has {MAX_CHUNKS} chunks"),
        ));
    }
    chunks.insert(hash, args.chunk);
    encode(ChunkHash {
        hash: hash.to_vec(),
    })
}

pub(super) fn stored(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: CanisterIdRecord = decode(&call.arg)?;
    check_controller(replica, args.canister_id, call.caller, &call.method)?;
    let hashes: Vec<ChunkHash> = replica
        .canister_ref(args.canister_id)?
        .chunks
        .keys()
        .map(|hash| ChunkHash {
            hash: hash.to_vec(),
        })
        .collect();
    encode(hashes)
}

pub(super) fn clear(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: CanisterIdRecord = decode(&call.arg)?;
    check_controller(replica, args.canister_id, call.caller, &call.method)?;
    replica.canister_mut(args.canister_id)?.chunks.clear();
    nothing()
}
