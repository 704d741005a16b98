use candid::{Encode, Nat};
use ic_certification::{Certificate, HashTree, LookupResult};
use icrc_ledger_types::{
    icrc::generic_value::ICRC3Value,
    icrc1::transfer::TransferError,
    icrc3::{
        archive::{GetArchivesArgs, GetArchivesResult},
        blocks::{GetBlocksRequest, GetBlocksResult, ICRC3DataCertificate, SupportedBlockType},
        schema,
    },
};

use crate::world::*;

type Transferred = Result<Nat, TransferError>;

fn all_blocks(world: &mut World) -> GetBlocksResult {
    let all = vec![GetBlocksRequest {
        start: 0u8.into(),
        length: 1000u16.into(),
    }];
    world.query("icrc3_get_blocks", (all,))
}

/// The steps of the standard: certificate, tree, last block, then backwards.
fn verify(world: &mut World) -> usize {
    let tip: Option<ICRC3DataCertificate> = world.query("icrc3_get_tip_certificate", ());
    let tip = tip.expect("queries have a certificate");
    let tree: HashTree = serde_cbor::from_slice(&tip.hash_tree).expect("the tree is CBOR");
    let certificate: Certificate =
        serde_cbor::from_slice(&tip.certificate).expect("the certificate is CBOR");
    let ledger = world.ledger.as_slice();
    let path = [b"canister".as_slice(), ledger, b"certified_data"];
    let LookupResult::Found(certified) = certificate.tree.lookup_path(path) else {
        panic!("no certified data");
    };
    assert_eq!(tree.digest().as_slice(), certified);

    let blocks = all_blocks(world);
    assert!(blocks.archived_blocks.is_empty());
    let LookupResult::Found(hash) = tree.lookup_path(["last_block_hash"]) else {
        panic!("no last_block_hash");
    };
    let LookupResult::Found(index) = tree.lookup_path(["last_block_index"]) else {
        panic!("no last_block_index");
    };
    assert_eq!(index, [blocks.blocks.len() as u8 - 1], "LEB128 below 128");
    assert_eq!(blocks.log_length, blocks.blocks.len());

    let mut expected = Some(hash.to_vec());
    for block in blocks.blocks.iter().rev() {
        schema::validate(&block.block.clone().into()).expect("the schema of the standard");
        assert_eq!(expected, Some(block.block.clone().hash().to_vec()));
        expected = match &block.block {
            ICRC3Value::Map(map) => map.get("phash").map(|phash| match phash {
                ICRC3Value::Blob(hash) => hash.to_vec(),
                other => panic!("phash is {other}"),
            }),
            other => panic!("a block is {other}"),
        };
    }
    assert_eq!(expected, None, "the first block has no parent");
    blocks.blocks.len()
}

#[test]
fn the_certified_tip_covers_every_block() {
    let mut world = World::new();
    assert_eq!(verify(&mut world), 2);
    for _ in 0..3 {
        let arg = transfer_arg(bob(), 10);
        let done: Transferred = world.update(alice().owner, "icrc1_transfer", (arg,));
        done.expect("she has enough");
    }
    assert_eq!(verify(&mut world), 5);
    // An upgrade certifies again what it found.
    world.upgrade_raw(Encode!().unwrap()).unwrap();
    assert_eq!(verify(&mut world), 5);
}

#[test]
fn a_ledger_without_blocks_has_a_tip_without_leaves() {
    let mut world = World::with(local_ic_ledger::settings::InitArgs {
        initial_balances: vec![],
        ..init_args()
    });
    let tip: Option<ICRC3DataCertificate> = world.query("icrc3_get_tip_certificate", ());
    let tree: HashTree = serde_cbor::from_slice(&tip.unwrap().hash_tree).unwrap();
    assert!(matches!(
        tree.lookup_path(["last_block_hash"]),
        LookupResult::Absent
    ));
    assert!(all_blocks(&mut world).blocks.is_empty());
}

#[test]
fn there_is_no_certificate_in_an_update_call() {
    let mut world = World::new();
    let tip: Option<ICRC3DataCertificate> =
        world.update(alice().owner, "icrc3_get_tip_certificate", ());
    assert!(tip.is_none());
}

#[test]
fn archives_and_block_types_are_told() {
    let mut world = World::new();
    let archives: GetArchivesResult =
        world.query("icrc3_get_archives", (GetArchivesArgs { from: None },));
    assert!(archives.is_empty());
    let types: Vec<SupportedBlockType> = world.query("icrc3_supported_block_types", ());
    let names: Vec<&str> = types.iter().map(|t| t.block_type.as_str()).collect();
    assert_eq!(
        names,
        ["1burn", "1mint", "1xfer", "2approve", "2burn", "2xfer"]
    );
}
