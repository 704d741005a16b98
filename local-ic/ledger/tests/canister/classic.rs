use candid::{CandidType, Principal};
use ic_ledger_types::{
    AccountBalanceArgs, AccountIdentifier, DEFAULT_SUBACCOUNT, GetBlocksArgs, Memo, Operation,
    QueryBlocksResponse, Subaccount, Timestamp, Tokens, TransferArgs, TransferError,
    TransferResult,
};
use icrc_ledger_types::icrc1::account::Account;
use local_ic_ledger::{
    classic::{Decimals, Name, Symbol, TransferFee, TransferFeeArg},
    settings::InitArgs,
};

use crate::world::*;

fn identifier(account: Account) -> AccountIdentifier {
    AccountIdentifier::new(&account.owner, &Subaccount(*account.effective_subaccount()))
}

fn transfer_args(to: Account, e8s: u64) -> TransferArgs {
    TransferArgs {
        memo: Memo(5),
        amount: Tokens::from_e8s(e8s),
        fee: Tokens::from_e8s(FEE as u64),
        from_subaccount: None,
        to: identifier(to),
        created_at_time: None,
    }
}

impl World {
    fn classic_transfer(&mut self, args: TransferArgs) -> TransferResult {
        self.update(alice().owner, "transfer", (args,))
    }

    fn classic_balance(&mut self, account: Account) -> Tokens {
        let args = AccountBalanceArgs {
            account: identifier(account),
        };
        self.query("account_balance", (args,))
    }
}

#[test]
fn both_interfaces_see_the_same_money() {
    let mut world = World::new();
    assert_eq!(world.classic_transfer(transfer_args(shop(), 100)), Ok(2));
    assert_eq!(world.balance(shop()), 100);
    assert_eq!(world.classic_balance(shop()), Tokens::from_e8s(100));
    assert_eq!(
        world.classic_balance(alice()),
        Tokens::from_e8s((1000 - 100 - FEE) as u64)
    );

    // The shop, unseen until now, spends it by the other interface.
    let arg = transfer_arg(bob(), 90);
    let spent: Result<candid::Nat, icrc_ledger_types::icrc1::transfer::TransferError> =
        world.update(shop().owner, "icrc1_transfer", (arg,));
    assert_eq!(spent, Ok(3u8.into()));
    assert_eq!(world.classic_balance(shop()), Tokens::ZERO);
}

#[test]
fn refusals_arrive_with_their_numbers() {
    let mut world = World::new();
    let wrong_fee = TransferArgs {
        fee: Tokens::from_e8s(1),
        ..transfer_args(bob(), 1)
    };
    assert_eq!(
        world.classic_transfer(wrong_fee),
        Err(TransferError::BadFee {
            expected_fee: Tokens::from_e8s(FEE as u64)
        })
    );
    assert_eq!(
        world.classic_transfer(transfer_args(bob(), 991)),
        Err(TransferError::InsufficientFunds {
            balance: Tokens::from_e8s(1000)
        })
    );
    let now_ns = world.replica.time_ns();
    let at = |timestamp_nanos| TransferArgs {
        created_at_time: Some(Timestamp { timestamp_nanos }),
        ..transfer_args(bob(), 1)
    };
    assert_eq!(
        world.classic_transfer(at(now_ns - 86_400_000_000_001)),
        Err(TransferError::TxTooOld {
            allowed_window_nanos: 86_400_000_000_000
        })
    );
    assert_eq!(
        world.classic_transfer(at(now_ns + 61_000_000_000)),
        Err(TransferError::TxCreatedInFuture)
    );
    assert_eq!(world.classic_transfer(at(now_ns)), Ok(2));
    assert_eq!(
        world.classic_transfer(at(now_ns)),
        Err(TransferError::TxDuplicate { duplicate_of: 2 })
    );
}

#[test]
fn what_the_classic_error_cannot_say_is_a_reject_with_words() {
    let mut world = World::new();
    let small_burn = TransferArgs {
        fee: Tokens::ZERO,
        ..transfer_args(Account::from(controller()), 1)
    };
    let result = world.try_update::<TransferResult>(alice().owner, "transfer", (small_burn,));
    assert!(words(result).contains("at least 10 must be burnt"));

    let args = transfer_args(bob(), 1);
    let nobody = Principal::anonymous();
    let result = world.try_update::<TransferResult>(nobody, "transfer", (args,));
    assert!(words(result).contains("anonymous"));
}

#[test]
fn a_bad_account_identifier_is_rejected_by_name() {
    #[derive(CandidType)]
    struct LooseBalanceArgs {
        account: serde_bytes::ByteBuf,
    }
    let mut world = World::new();
    let mut mistyped = identifier(alice()).as_bytes().to_vec();
    mistyped[20] ^= 4;
    for (account, complaint) in [
        (mistyped, "check sum of the account identifier"),
        (vec![1; 28], "32 bytes, not 28"),
    ] {
        let args = LooseBalanceArgs {
            account: account.into(),
        };
        let result = world.try_query::<Tokens>("account_balance", (args,));
        assert!(words(result).contains(complaint), "{complaint}");
    }
}

#[test]
fn blocks_are_shown_in_the_types_of_the_icp_ledger() {
    let mut world = World::new();
    world.classic_transfer(transfer_args(shop(), 100)).unwrap();
    let args = GetBlocksArgs {
        start: 1,
        length: 10,
    };
    let answer: QueryBlocksResponse = world.query("query_blocks", (args,));
    assert_eq!(answer.chain_length, 3);
    assert_eq!(answer.first_block_index, 1);
    assert!(answer.certificate.is_some());
    assert!(answer.archived_blocks.is_empty());
    assert_eq!(answer.blocks.len(), 2);
    assert_eq!(
        answer.blocks[0].transaction.operation,
        Some(Operation::Mint {
            to: identifier(bob()),
            amount: Tokens::from_e8s(500)
        })
    );
    let transfer = &answer.blocks[1].transaction;
    assert_eq!(transfer.memo, Memo(5));
    assert_eq!(
        transfer.operation,
        Some(Operation::Transfer {
            from: identifier(alice()),
            to: identifier(shop()),
            amount: Tokens::from_e8s(100),
            fee: Tokens::from_e8s(FEE as u64)
        })
    );
}

#[test]
fn the_ledger_tells_what_it_is() {
    let mut world = World::new();
    assert_eq!(world.query::<Symbol>("symbol", ()).symbol, "TST");
    assert_eq!(world.query::<Name>("name", ()).name, "Test token");
    assert_eq!(world.query::<Decimals>("decimals", ()).decimals, 6);
    let fee: TransferFee = world.query("transfer_fee", (TransferFeeArg {},));
    assert_eq!(fee.transfer_fee.e8s, FEE as u64);
    let bytes: serde_bytes::ByteBuf = world.query("account_identifier", (alice(),));
    assert_eq!(
        AccountIdentifier::from_slice(&bytes).unwrap(),
        AccountIdentifier::new(&alice().owner, &DEFAULT_SUBACCOUNT)
    );
}

#[test]
fn a_balance_beyond_64_bits_is_rejected_not_falsified() {
    let mut world = World::with(InitArgs {
        initial_balances: vec![(alice(), 1 << 64)],
        ..init_args()
    });
    let args = AccountBalanceArgs {
        account: identifier(alice()),
    };
    let result = world.try_query::<Tokens>("account_balance", (args,));
    assert!(words(result).contains("18446744073709551616 does not fit"));
    assert_eq!(world.balance(alice()), 1 << 64);
}
