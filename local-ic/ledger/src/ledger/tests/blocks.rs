use icrc_ledger_types::icrc::generic_value::ICRC3Value as Value;

use super::*;

fn range(start: impl Into<Nat>, length: impl Into<Nat>) -> GetBlocksRequest {
    GetBlocksRequest {
        start: start.into(),
        length: length.into(),
    }
}

fn ids(result: &GetBlocksResult) -> Vec<Nat> {
    result.blocks.iter().map(|block| block.id.clone()).collect()
}

fn field<'a>(block: &'a Value, key: &str) -> Option<&'a Value> {
    match block {
        Value::Map(map) => map.get(key),
        _ => None,
    }
}

/// One block of each kind.
fn busy_world() -> World {
    let mut world = World::new();
    world.approve(approval(alice(), shop(), 300)).unwrap();
    for transfer in [
        transfer(alice(), bob(), 100),
        transfer_from(shop(), alice(), bob(), 100),
        transfer(bob(), minter(), 100),
        transfer_from(shop(), alice(), minter(), 100),
    ] {
        world.transfer(transfer).unwrap();
    }
    world
}

#[test]
fn whoever_reads_all_blocks_can_verify_them_up_to_the_certified_tip() {
    let world = busy_world();
    let all = world.ledger.icrc3_blocks(&[range(0u8, 100u8)]);
    assert_eq!(all.log_length, Nat::from(7u8));
    assert!(all.archived_blocks.is_empty());

    let mut previous = None;
    for block in &all.blocks {
        let named = field(&block.block, "phash").cloned();
        let expected = previous.map(|hash: [u8; 32]| Value::Blob(hash.to_vec().into()));
        assert_eq!(named, expected, "block {}", block.id);
        previous = Some(block.block.clone().hash());
    }
    let tree = world.ledger.tip_tree();
    let certified = tree.lookup_path(["last_block_hash"]);
    let tip = previous.unwrap().to_vec();
    assert_eq!(certified, ic_certification::LookupResult::Found(&tip[..]));
}

#[test]
fn a_block_is_made_only_of_what_succeeds() {
    let mut world = World::new();
    let tip = world.ledger.tip_tree().digest();
    world
        .transfer(transfer(alice(), bob(), 5000))
        .expect_err("she has less");
    assert_eq!(world.ledger.chain_length(), 2);
    assert_eq!(world.ledger.tip_tree().digest(), tip);
}

#[test]
fn the_operation_of_a_block_tells_its_kind() {
    let world = busy_world();
    let all = world.ledger.icrc3_blocks(&[range(0u8, 100u8)]);
    let kinds: Vec<(String, bool)> = all
        .blocks
        .iter()
        .map(|block| {
            let tx = field(&block.block, "tx").expect("each block has one");
            let Some(Value::Text(op)) = field(tx, "op") else {
                panic!("no op in {tx}");
            };
            (op.clone(), field(tx, "spender").is_some())
        })
        .collect();
    let expected = [
        ("mint", false),
        ("mint", false),
        ("approve", true),
        ("xfer", false),
        ("xfer", true),
        ("burn", false),
        ("burn", true),
    ];
    assert_eq!(kinds, expected.map(|(op, spent)| (op.to_string(), spent)));
}

#[test]
fn several_ranges_are_answered_at_once_and_senseless_ones_ignored() {
    let world = busy_world();
    let beyond = Nat::from(u64::MAX) * 5u8;
    let result = world.ledger.icrc3_blocks(&[
        range(5u8, beyond.clone()),
        range(beyond, 1u8),
        range(1u8, 2u8),
        range(100u8, 1u8),
        range(0u8, 0u8),
    ]);
    assert_eq!(ids(&result), [5u8, 6, 1, 2].map(Nat::from));
    assert!(world.ledger.icrc3_blocks(&[]).blocks.is_empty());
}

#[test]
fn an_answer_never_contains_more_blocks_than_fit() {
    let mut world = World::new();
    for _ in 0..20 {
        world.transfer(transfer(minter(), alice(), 1)).unwrap();
    }
    let ranges = vec![range(0u8, u64::MAX); 100];
    let result = world.ledger.icrc3_blocks(&ranges);
    assert_eq!(result.blocks.len() as u64, MAX_BLOCKS_PER_REPLY);
    assert_eq!(world.ledger.blocks(u64::MAX, u64::MAX).count(), 0);
}
