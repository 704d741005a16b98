use candid::{Nat, Principal};
use icrc_ledger_types::icrc3::schema;

use super::*;

fn account(seed: u8, subaccount: Option<[u8; 32]>) -> Account {
    Account {
        owner: Principal::self_authenticating([seed; 32]),
        subaccount,
    }
}

fn block(operation: Operation) -> Block {
    Block {
        parent_hash: Some([3; 32]),
        timestamp_ns: 1_700_000_000_000_000_000,
        transaction: Transaction {
            operation,
            memo: Some(Memo::Bytes(vec![1, 2])),
            created_at_ns: Some(1_699_999_999_000_000_000),
        },
        fee: None,
    }
}

fn one_of_each() -> Vec<Block> {
    let alice = account(1, Some([5; 32]));
    let bob = account(2, None);
    vec![
        Block {
            parent_hash: None,
            ..block(Operation::Mint {
                to: alice,
                amount: Amount::MAX,
            })
        },
        block(Operation::Burn {
            from: alice,
            spender: None,
            amount: Amount::new(7),
        }),
        block(Operation::Burn {
            from: alice,
            spender: Some(bob),
            amount: Amount::new(7),
        }),
        block(Operation::Transfer {
            from: alice,
            to: bob,
            spender: None,
            amount: Amount::new(7),
            fee: Some(Amount::new(1)),
        }),
        Block {
            fee: Some(Amount::new(1)),
            ..block(Operation::Transfer {
                from: alice,
                to: bob,
                spender: Some(account(3, Some([0; 32]))),
                amount: Amount::ZERO,
                fee: None,
            })
        },
        block(Operation::Approve {
            from: alice,
            spender: bob,
            amount: Amount::MAX,
            expected_allowance: Some(Amount::ZERO),
            expires_at_ns: Some(u64::MAX),
            fee: Some(Amount::new(1)),
        }),
    ]
}

fn entry<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Map(map) => map.get(*key),
        _ => None,
    })
}

#[test]
fn blocks_fit_the_schema_of_icrc_3() {
    for block in one_of_each() {
        let value = block.value();
        schema::validate(&value.clone().into())
            .unwrap_or_else(|failure| panic!("{block:?}: {failure}"));
        // The standard forbids it for these kinds.
        assert_eq!(entry(&value, &["btype"]), None);
    }
}

#[test]
fn stored_blocks_come_back_unchanged() {
    for block in one_of_each() {
        assert_eq!(Block::from_bytes(block.to_bytes()), block);
    }
    let classic = Block {
        transaction: Transaction {
            memo: Some(Memo::Number(u64::MAX)),
            created_at_ns: None,
            ..one_of_each()[3].transaction.clone()
        },
        ..one_of_each()[3].clone()
    };
    assert_eq!(Block::from_bytes(classic.to_bytes()), classic);
}

#[test]
fn a_value_contains_what_the_caller_said_and_nothing_else() {
    let blocks = one_of_each();
    let mint = blocks[0].value();
    assert_eq!(entry(&mint, &["phash"]), None);
    assert_eq!(entry(&mint, &["tx", "from"]), None);
    assert_eq!(entry(&mint, &["tx", "fee"]), None);
    assert_eq!(
        entry(&mint, &["tx", "amt"]),
        Some(&Value::Nat(Nat::from(u128::MAX)))
    );

    let named_fee = blocks[3].value();
    assert_eq!(entry(&named_fee, &["fee"]), None);
    assert_eq!(
        entry(&named_fee, &["tx", "fee"]),
        Some(&Value::Nat(Nat::from(1u8)))
    );
    assert_eq!(entry(&named_fee, &["tx", "memo"]), Some(&blob(vec![1, 2])));

    let open_fee = blocks[4].value();
    assert_eq!(
        entry(&open_fee, &["fee"]),
        Some(&Value::Nat(Nat::from(1u8)))
    );
    assert_eq!(entry(&open_fee, &["tx", "fee"]), None);
    // As the caller wrote it: the subaccount of zeros stays.
    assert_eq!(
        entry(&open_fee, &["tx", "spender"]),
        Some(&Value::Array(vec![
            blob(account(3, None).owner.as_slice()),
            blob([0; 32])
        ]))
    );
    for (block, fee) in blocks.iter().zip([0, 0, 0, 1, 1, 1]) {
        assert_eq!(block.charged_fee(), Amount::new(fee));
    }
}

#[test]
fn a_number_as_memo_is_shown_as_eight_bytes() {
    let mut block = one_of_each().remove(3);
    block.transaction.memo = Some(Memo::Number(258));
    assert_eq!(
        entry(&block.value(), &["tx", "memo"]),
        Some(&blob(vec![0, 0, 0, 0, 0, 0, 1, 2]))
    );
}

/// The last vector of the standard's `HASHINGVALUES.md`.
#[test]
fn values_are_hashed_as_the_standard_says() {
    let mut map = MapBuilder::default();
    map.blob(
        "from",
        Some(hex("00abcdef0012340056789a00bcdef000012345678900abcdef01")),
    );
    map.blob(
        "to",
        Some(hex("00ab0def0012340056789a00bcdef000012345678900abcdef01")),
    );
    map.nat("amount", Some(42));
    map.nat("created_at", Some(1_699_218_263));
    map.nat("memo", Some(0));
    assert_eq!(
        Value::Map(map.0).hash().to_vec(),
        hex("c56ece650e1de4269c5bdeff7875949e3e2033f85b2d193c2ff4f7f78bdcfc75")
    );
}

#[test]
fn every_word_of_a_request_makes_it_another_one() {
    let base = one_of_each().remove(4).transaction;
    let change = |change: fn(&mut Transaction)| {
        let mut changed = base.clone();
        change(&mut changed);
        changed.hash()
    };
    let hashes = [
        base.hash(),
        change(|t| t.memo = None),
        change(|t| t.memo = Some(Memo::Bytes(vec![]))),
        change(|t| t.created_at_ns = Some(5)),
        change(|t| {
            if let Operation::Transfer { fee, .. } = &mut t.operation {
                *fee = Some(Amount::new(1));
            }
        }),
        change(|t| {
            if let Operation::Transfer { amount, .. } = &mut t.operation {
                *amount = Amount::new(1);
            }
        }),
        change(|t| {
            if let Operation::Transfer { spender, .. } = &mut t.operation {
                *spender = None;
            }
        }),
        change(|t| {
            if let Operation::Transfer { from, to, .. } = &mut t.operation {
                std::mem::swap(from, to);
            }
        }),
    ];
    for (i, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..i].contains(hash), "change {i} made no difference");
    }
}

#[test]
fn the_subaccount_of_zeros_makes_no_other_request() {
    let with = one_of_each().remove(4).transaction;
    let mut without = with.clone();
    if let Operation::Transfer { spender, to, .. } = &mut without.operation {
        *spender = Some(account(3, None));
        to.subaccount = Some([0; 32]);
    }
    assert_ne!(
        with.value(),
        without.value(),
        "a block shows the difference"
    );
    assert_eq!(with.hash(), without.hash());
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex digits"))
        .collect()
}
