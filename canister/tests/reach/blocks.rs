//! The event log as ICRC-3 has it.

use candid::Nat;
use icrc_ledger_types::icrc::generic_value::ICRC3Value;
use icrc_ledger_types::icrc3::blocks::GetBlocksRequest;
use perun_canister::blocks::supported_types;
use perun_canister_api::BLOCK_TYPES;
use serde_bytes::ByteBuf;

use crate::rules::World;

#[test]
fn every_kind_of_event_is_a_type_of_block() {
    let types = supported_types();
    let names: Vec<_> = types.iter().map(|kind| kind.block_type.as_str()).collect();
    assert_eq!(names, BLOCK_TYPES);
    for kind in types {
        assert!(kind.url.starts_with("https://"), "{}", kind.url);
    }
}

#[test]
fn blocks_are_given_by_ranges_until_a_page_is_full() {
    let mut world = World::new();
    let has_blocks = |world: &World| world.read(|adjudicator, _| adjudicator.has_blocks());
    assert!(!has_blocks(&world));
    for nonce in 0..60 {
        world.funded(nonce, [100, 100]);
    }
    assert!(has_blocks(&world));
    let range = |start: u128, length: u128| GetBlocksRequest {
        start: Nat::from(start),
        length: Nat::from(length),
    };
    let page_of =
        |ranges: &[GetBlocksRequest]| world.read(|adjudicator, _| adjudicator.blocks(ranges));
    let ids = |ranges: &[GetBlocksRequest]| -> Vec<u64> {
        let page = page_of(ranges);
        assert_eq!(page.log_length, Nat::from(120_u8));
        assert!(page.archived_blocks.is_empty());
        let ids = page.blocks.iter().map(|block| block.id.0.to_owned());
        ids.map(|id| id.try_into().unwrap()).collect()
    };
    assert_eq!(ids(&[range(3, 2)]), [3, 4]);
    assert_eq!(ids(&[range(118, 9), range(0, 1)]), [118, 119, 0]);
    let nowhere = [range(0, 0), range(120, 1), range(1 << 100, 1)];
    assert!(ids(&nowhere).is_empty());
    assert_eq!(ids(&[range(119, 1 << 100)]), [119]);
    assert_eq!(ids(&[range(0, 1 << 100)]), (0..100).collect::<Vec<_>>());
    let full: Vec<_> = (0..100).collect();
    assert_eq!(ids(&[range(0, 60), range(60, 60)]), full);
    // Each has the hash of the one before it, also where a range begins.
    let page = page_of(&[range(0, 3), range(2, 2)]);
    let blocks: Vec<_> = page.blocks.iter().map(|block| &block.block).collect();
    let parent = |block: &ICRC3Value| match block {
        ICRC3Value::Map(fields) => fields.get("phash").cloned(),
        other => panic!("{other:?}"),
    };
    let hash = |block: &ICRC3Value| Some(ICRC3Value::Blob(ByteBuf::from(block.clone().hash())));
    assert_eq!(parent(blocks[0]), None);
    for (before, behind) in [(0, 1), (1, 2), (1, 3), (2, 4)] {
        assert_eq!(parent(blocks[behind]), hash(blocks[before]));
    }
}
