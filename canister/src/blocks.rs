//! The event log as ICRC-3 has it, for explorers and other tools.

use candid::Nat;
use icrc_ledger_types::icrc3::blocks::{
    BlockWithId, GetBlocksRequest, GetBlocksResult, SupportedBlockType,
};
use perun_canister_api::{BLOCK_TYPES, block};

use crate::Adjudicator;
use crate::answers::MAX_EVENTS;

/// Where the types of blocks are described.
const DESCRIPTION: &str = "https://github.com/perun-network";

/// What types of blocks there are.
pub fn supported_types() -> Vec<SupportedBlockType> {
    let types = BLOCK_TYPES.into_iter();
    types
        .map(|block_type| SupportedBlockType {
            block_type: block_type.to_owned(),
            url: DESCRIPTION.to_owned(),
        })
        .collect()
}

impl Adjudicator {
    /// Whether anything has happened to any channel.
    pub fn has_blocks(&self) -> bool {
        self.store.log.len() > 0
    }

    /// The blocks of these ranges, until a page is full. What does not exist is left out.
    pub fn blocks(&self, ranges: &[GetBlocksRequest]) -> GetBlocksResult {
        let mut blocks = Vec::new();
        for range in ranges {
            let room = MAX_EVENTS as usize - blocks.len();
            // What does not fit is beyond the end of the log.
            let (Ok(start), Ok(length)) = (
                u64::try_from(range.start.0.clone()),
                usize::try_from(range.length.0.clone()).or(Ok::<_, ()>(usize::MAX)),
            ) else {
                continue;
            };
            let events = self.store.log.events(start, length.min(room));
            blocks.extend(events.into_iter().map(|(index, event)| {
                let parent = index.checked_sub(1);
                let parent = parent.and_then(|parent| self.store.log.block_hash(parent));
                BlockWithId {
                    id: Nat::from(index),
                    block: block(&event.to_record(index), parent.as_ref()),
                }
            }));
        }
        GetBlocksResult {
            log_length: Nat::from(self.store.log.len()),
            blocks,
            archived_blocks: Vec::new(),
        }
    }
}
