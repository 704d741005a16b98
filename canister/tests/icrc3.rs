//! The event log as any reader of ICRC-3 verifies it, from the shipped wasm.

mod world;

use candid::Nat;
use ic_certification::{HashTree, LookupResult};
use icrc_ledger_types::icrc::generic_value::ICRC3Value;
use icrc_ledger_types::icrc3::archive::{GetArchivesArgs, GetArchivesResult};
use icrc_ledger_types::icrc3::blocks::{
    GetBlocksRequest, GetBlocksResult, ICRC3DataCertificate, SupportedBlockType,
};
use perun_canister_api::BLOCK_TYPES;
use serde_bytes::ByteBuf;
use world::payout::concluded;
use world::{BOB, World, user};

fn tip(world: &mut World) -> Option<ICRC3DataCertificate> {
    world.ask("icrc3_get_tip_certificate", ())
}

fn blocks(world: &mut World) -> GetBlocksResult {
    let all = GetBlocksRequest {
        start: 0_u8.into(),
        length: 100_u8.into(),
    };
    world.ask("icrc3_get_blocks", vec![all])
}

fn fields(block: &ICRC3Value) -> &std::collections::BTreeMap<String, ICRC3Value> {
    match block {
        ICRC3Value::Map(fields) => fields,
        other => panic!("{other:?}"),
    }
}

/// Knows nothing of the adjudicator but the standard: each block has the hash of the one before it, and
/// the last is certified.
#[test]
fn every_block_is_proven_by_the_tip() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let payout = channel.withdrawing(0, BOB, user(9));
    world.withdraw(payout).unwrap();
    let blocks = blocks(&mut world).blocks;
    let mut last = None;
    for (index, block) in blocks.iter().enumerate() {
        assert_eq!(block.id, Nat::from(index));
        let parent = fields(&block.block).get("phash").cloned();
        assert_eq!(parent, last);
        last = Some(ICRC3Value::Blob(ByteBuf::from(block.block.clone().hash())));
    }

    let tip = tip(&mut world).unwrap();
    assert!(!tip.certificate.is_empty());
    let tree: HashTree = serde_cbor::from_slice(&tip.hash_tree).unwrap();
    let certified = world.ic.canister(world.adjudicator).unwrap().certified_data;
    assert_eq!(tree.digest().as_slice(), certified);
    let LookupResult::Found(hash) = tree.lookup_path([b"last_block_hash".as_slice()]) else {
        panic!("{tree:?}");
    };
    assert_eq!(last, Some(ICRC3Value::Blob(ByteBuf::from(hash))));
    let index = [u8::try_from(blocks.len() - 1).unwrap()];
    let found = tree.lookup_path([b"last_block_index".as_slice()]);
    assert_eq!(found, LookupResult::Found(&index));
}

#[test]
fn without_a_block_there_is_no_tip() {
    let mut world = World::new();
    assert!(tip(&mut world).is_none());
    world.funded(1, [10, 20]);
    assert!(tip(&mut world).is_some());
    // In an update call there is no certificate.
    let asked: Option<ICRC3DataCertificate> = world.call("icrc3_get_tip_certificate", ());
    assert!(asked.is_none());
}

#[test]
fn every_block_is_of_a_type_that_is_told() {
    let mut world = World::new();
    let channel = concluded(&mut world);
    let payout = channel.withdrawing(0, BOB, user(9));
    world.withdraw(payout).unwrap();
    let told: Vec<SupportedBlockType> = world.ask("icrc3_supported_block_types", ());
    let told: Vec<_> = told.into_iter().map(|kind| kind.block_type).collect();
    assert_eq!(told, BLOCK_TYPES);
    for block in blocks(&mut world).blocks {
        let Some(ICRC3Value::Text(kind)) = fields(&block.block).get("btype") else {
            panic!("{block:?}");
        };
        assert!(told.contains(kind), "{kind}");
    }
}

/// The whole log is here: nobody has to look elsewhere, or trust anybody else.
#[test]
fn no_block_is_in_an_archive() {
    let mut world = World::new();
    world.funded(1, [10, 20]);
    let archives: GetArchivesResult =
        world.ask("icrc3_get_archives", GetArchivesArgs { from: None });
    assert!(archives.is_empty());
    let blocks = blocks(&mut world);
    assert_eq!((blocks.log_length, blocks.blocks.len()), (2_u8.into(), 2));
    assert!(blocks.archived_blocks.is_empty());
}
