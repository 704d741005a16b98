//! The other side of the wire is `ic-ledger-types`, which the clients of the ICP ledger use.

use candid::{CandidType, Decode, Encode, Principal};
use ic_ledger_types as theirs;
use icrc_ledger_types::icrc1::transfer::Memo as IcrcMemo;

use super::*;
use crate::{
    block::{Block as StoredBlock, Operation as StoredOperation, Transaction as StoredTransaction},
    memory::StableMemory,
    settings::{InitArgs, LedgerArg},
};

fn person(seed: u8) -> Account {
    Account::from(Principal::self_authenticating([seed; 32]))
}

fn their_identifier(account: &Account) -> theirs::AccountIdentifier {
    theirs::AccountIdentifier::new(
        &account.owner,
        &theirs::Subaccount(*account.effective_subaccount()),
    )
}

fn sent<T: CandidType, U: CandidType + for<'a> Deserialize<'a>>(value: &T) -> U {
    Decode!(&Encode!(value).unwrap(), U).expect("the other side understands it")
}

fn ledger() -> Ledger {
    let args = InitArgs {
        minting_account: person(9),
        initial_balances: vec![(person(1), 1000)],
        transfer_fee: 10,
        token_symbol: "TST".into(),
        token_name: "Test token".into(),
        decimals: None,
        transaction_window_seconds: None,
        max_transactions_in_window: None,
    };
    Ledger::install(StableMemory::default(), &LedgerArg::Init(args), 5).unwrap()
}

fn their_transfer() -> theirs::TransferArgs {
    theirs::TransferArgs {
        memo: theirs::Memo(77),
        amount: theirs::Tokens::from_e8s(100),
        fee: theirs::Tokens::from_e8s(10),
        from_subaccount: Some(theirs::Subaccount([0; 32])),
        to: their_identifier(&person(2)),
        created_at_time: Some(theirs::Timestamp { timestamp_nanos: 4 }),
    }
}

#[test]
fn their_transfer_is_executed() {
    let mut ledger = ledger();
    let args: TransferArgs = sent(&their_transfer());
    let transfer = args.into_transfer(person(1).owner, &ledger).unwrap();
    assert_eq!(ledger.transfer(transfer, 5), Ok(1));
    assert_eq!(
        ledger.balance(&AccountIdentifier::of(&person(2))),
        Amount::new(100)
    );

    let (_, block) = ledger.blocks(1, 1).next().unwrap();
    let shown: theirs::Block = sent(&Block::from(&block));
    assert_eq!(
        shown.transaction,
        theirs::Transaction {
            memo: theirs::Memo(77),
            operation: Some(theirs::Operation::Transfer {
                from: their_identifier(&person(1)),
                to: their_identifier(&person(2)),
                amount: theirs::Tokens::from_e8s(100),
                fee: theirs::Tokens::from_e8s(10),
            }),
            created_at_time: theirs::Timestamp { timestamp_nanos: 4 },
            icrc1_memo: None,
        }
    );
    assert_eq!(shown.timestamp.timestamp_nanos, 5);
    let (_, first) = ledger.blocks(0, 1).next().unwrap();
    assert_eq!(shown.parent_hash, Some(first.hash()));
}

#[test]
fn a_mistyped_receiver_is_refused() {
    let ledger = ledger();
    let mut args: TransferArgs = sent(&their_transfer());
    args.to[5] ^= 1;
    assert_eq!(
        args.into_transfer(person(1).owner, &ledger).err(),
        Some(BadAccountIdentifier::Checksum)
    );
}

#[test]
fn they_understand_every_refusal() {
    let refused = |refusal: Refusal| -> theirs::TransferError {
        sent(&TransferError::try_from(refusal).unwrap())
    };
    assert_eq!(
        refused(Refusal::BadFee {
            expected_fee: Amount::new(3)
        }),
        theirs::TransferError::BadFee {
            expected_fee: theirs::Tokens::from_e8s(3)
        }
    );
    assert_eq!(
        refused(Refusal::InsufficientFunds {
            balance: Amount::new(3)
        }),
        theirs::TransferError::InsufficientFunds {
            balance: theirs::Tokens::from_e8s(3)
        }
    );
    assert_eq!(
        refused(Refusal::TooOld { window_ns: 3 }),
        theirs::TransferError::TxTooOld {
            allowed_window_nanos: 3
        }
    );
    assert_eq!(
        refused(Refusal::CreatedInFuture { now_ns: 3 }),
        theirs::TransferError::TxCreatedInFuture
    );
    assert_eq!(
        refused(Refusal::Duplicate { duplicate_of: 3 }),
        theirs::TransferError::TxDuplicate { duplicate_of: 3 }
    );
}

#[test]
fn what_they_have_no_word_for_is_said_in_words() {
    let text = TransferError::try_from(Refusal::BadBurn {
        min_burn_amount: Amount::new(10),
    });
    assert_eq!(text, Err("at least 10 must be burnt".into()));
    let text = TransferError::try_from(Refusal::InsufficientFunds {
        balance: Amount::MAX,
    });
    assert!(text.unwrap_err().contains("64 bits"));
}

fn shown(operation: StoredOperation, memo: Option<Memo>) -> Block {
    Block::from(&StoredBlock {
        parent_hash: None,
        timestamp_ns: 5,
        transaction: StoredTransaction {
            operation,
            memo,
            created_at_ns: None,
        },
        fee: Some(Amount::new(10)),
    })
}

#[test]
fn they_understand_every_operation() {
    let (alice, bob) = (person(1), person(2));
    let mint = shown(
        StoredOperation::Mint {
            to: alice,
            amount: Amount::new(7),
        },
        None,
    );
    let burn = shown(
        StoredOperation::Burn {
            from: alice,
            spender: Some(bob),
            amount: Amount::new(7),
        },
        None,
    );
    let approve = shown(
        StoredOperation::Approve {
            from: alice,
            spender: bob,
            amount: Amount::MAX,
            expected_allowance: None,
            expires_at_ns: Some(9),
            fee: None,
        },
        None,
    );
    let operations = [mint, burn, approve].map(|block| {
        let block: theirs::Block = sent(&block);
        block.transaction.operation.unwrap()
    });
    let tokens = theirs::Tokens::from_e8s;
    assert_eq!(
        operations,
        [
            theirs::Operation::Mint {
                to: their_identifier(&alice),
                amount: tokens(7)
            },
            theirs::Operation::Burn {
                from: their_identifier(&alice),
                amount: tokens(7)
            },
            theirs::Operation::Approve {
                from: their_identifier(&alice),
                spender: their_identifier(&bob),
                expires_at: Some(theirs::Timestamp { timestamp_nanos: 9 }),
                fee: tokens(10),
            },
        ]
    );
}

#[test]
fn an_icrc_memo_is_shown_beside_the_number() {
    let memo = IcrcMemo::from(vec![1, 2, 3]);
    let block: theirs::Block = sent(&shown(
        StoredOperation::Mint {
            to: person(1),
            amount: Amount::new(7),
        },
        Some(Memo::Bytes(memo.0.into_vec())),
    ));
    assert_eq!(block.transaction.memo, theirs::Memo(0));
    assert_eq!(
        block.transaction.icrc1_memo.map(ByteBuf::into_vec),
        Some(vec![1, 2, 3])
    );
    // Without a time of its own a transaction shows the block's.
    assert_eq!(block.transaction.created_at_time.timestamp_nanos, 5);
}

#[test]
fn an_amount_that_does_not_fit_is_left_out_not_changed() {
    let block = shown(
        StoredOperation::Mint {
            to: person(1),
            amount: Amount::new(1 << 64),
        },
        None,
    );
    assert_eq!(block.transaction.operation, None);
    assert_eq!(
        Tokens::try_from(Amount::new(1 << 64)),
        Err(TooLarge(Amount::new(1 << 64)))
    );
    assert_eq!(
        Tokens::try_from(Amount::new(u64::MAX.into())),
        Ok(Tokens { e8s: u64::MAX })
    );
}
