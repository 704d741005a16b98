use std::time::Duration;

use candid::{CandidType, Nat, Principal};
use icrc_ledger_types::{
    icrc::generic_metadata_value::MetadataValue,
    icrc1::{
        account::Account,
        transfer::{Memo, TransferArg, TransferError},
    },
    icrc2::{
        allowance::{Allowance, AllowanceArgs},
        approve::{ApproveArgs, ApproveError},
        transfer_from::{TransferFromArgs, TransferFromError},
    },
};
use local_ic_ledger::{settings::InitArgs, standards::Standard};

use crate::world::*;

type Transferred = Result<Nat, TransferError>;
type Approved = Result<Nat, ApproveError>;
type Pulled = Result<Nat, TransferFromError>;

fn approve_args(spender: Account, amount: u128) -> ApproveArgs {
    ApproveArgs {
        from_subaccount: None,
        spender,
        amount: amount.into(),
        expected_allowance: None,
        expires_at: None,
        fee: None,
        memo: None,
        created_at_time: None,
    }
}

fn pull_args(from: Account, to: Account, amount: u128) -> TransferFromArgs {
    TransferFromArgs {
        spender_subaccount: None,
        from,
        to,
        amount: amount.into(),
        fee: None,
        memo: None,
        created_at_time: None,
    }
}

impl World {
    fn transfer(&mut self, arg: TransferArg) -> Transferred {
        self.update(alice().owner, "icrc1_transfer", (arg,))
    }

    fn approve(&mut self, arg: ApproveArgs) -> Approved {
        self.update(alice().owner, "icrc2_approve", (arg,))
    }

    fn pull(&mut self, arg: TransferFromArgs) -> Pulled {
        self.update(shop().owner, "icrc2_transfer_from", (arg,))
    }

    fn allowance(&mut self) -> Allowance {
        let args = AllowanceArgs {
            account: alice(),
            spender: shop(),
        };
        self.query("icrc2_allowance", (args,))
    }
}

#[test]
fn alice_pays_bob() {
    let mut world = World::new();
    let from_savings = Account {
        subaccount: Some([7; 32]),
        ..alice()
    };
    let arg = TransferArg {
        fee: Some(FEE.into()),
        memo: Some(Memo::from(vec![1; 32])),
        created_at_time: Some(world.replica.time_ns()),
        ..transfer_arg(from_savings, 100)
    };
    assert_eq!(world.transfer(arg), Ok(2u8.into()));
    let onward = TransferArg {
        from_subaccount: Some([7; 32]),
        ..transfer_arg(bob(), 90)
    };
    assert_eq!(world.transfer(onward), Ok(3u8.into()));
    assert_eq!(world.balance(alice()), 1000 - 100 - FEE);
    assert_eq!(world.balance(from_savings), 0);
    assert_eq!(world.balance(bob()), 590);
    let supply: Nat = world.query("icrc1_total_supply", ());
    assert_eq!(supply, 1500 - 2 * FEE);
}

#[test]
fn the_shop_takes_what_alice_approved() {
    let mut world = World::new();
    let later = world.replica.time_ns() + 3_600_000_000_000;
    let approval = ApproveArgs {
        expected_allowance: Some(0u8.into()),
        expires_at: Some(later),
        ..approve_args(shop(), 220)
    };
    assert_eq!(world.approve(approval), Ok(2u8.into()));
    assert_eq!(world.pull(pull_args(alice(), shop(), 100)), Ok(3u8.into()));
    assert_eq!(
        world.allowance(),
        Allowance {
            allowance: 110u8.into(),
            expires_at: Some(later)
        }
    );
    assert_eq!(
        world.pull(pull_args(alice(), shop(), 101)),
        Err(TransferFromError::InsufficientAllowance {
            allowance: 110u8.into()
        })
    );
    world.replica.skip(Duration::from_secs(3600));
    assert_eq!(
        world.pull(pull_args(alice(), shop(), 1)),
        Err(TransferFromError::InsufficientAllowance {
            allowance: 0u8.into()
        })
    );
    assert_eq!(
        world.allowance(),
        Allowance {
            allowance: 0u8.into(),
            expires_at: None
        }
    );
    assert_eq!(world.balance(shop()), 100);
}

#[test]
fn a_retry_is_executed_once_and_ends_with_the_window() {
    let mut world = World::new();
    let arg = TransferArg {
        created_at_time: Some(world.replica.time_ns()),
        ..transfer_arg(bob(), 100)
    };
    assert_eq!(world.transfer(arg.clone()), Ok(2u8.into()));
    let duplicate = Err(TransferError::Duplicate {
        duplicate_of: 2u8.into(),
    });
    assert_eq!(world.transfer(arg.clone()), duplicate);
    world.replica.skip(Duration::from_secs(24 * 3600));
    assert_eq!(world.transfer(arg.clone()), duplicate);
    world.replica.skip(Duration::from_secs(1));
    assert_eq!(world.transfer(arg), Err(TransferError::TooOld));

    let ledger_time = world.replica.time_ns();
    let early = TransferArg {
        created_at_time: Some(ledger_time + 61_000_000_000),
        ..transfer_arg(bob(), 100)
    };
    assert_eq!(
        world.transfer(early),
        Err(TransferError::CreatedInFuture { ledger_time })
    );
    assert_eq!(world.balance(bob()), 600);
}

#[test]
fn refusals_arrive_with_their_numbers() {
    let mut world = World::with(InitArgs {
        max_transactions_in_window: Some(1),
        ..init_args()
    });
    assert_eq!(
        world.transfer(TransferArg {
            fee: Some(9u8.into()),
            ..transfer_arg(bob(), 1)
        }),
        Err(TransferError::BadFee {
            expected_fee: FEE.into()
        })
    );
    assert_eq!(
        world.transfer(transfer_arg(bob(), 991)),
        Err(TransferError::InsufficientFunds {
            balance: 1000u16.into()
        })
    );
    assert_eq!(
        world.transfer(transfer_arg(Account::from(controller()), 1)),
        Err(TransferError::BadBurn {
            min_burn_amount: FEE.into()
        })
    );
    assert_eq!(
        world.transfer(TransferArg {
            memo: Some(Memo::from(vec![0; 33])),
            ..transfer_arg(bob(), 1)
        }),
        Err(TransferError::GenericError {
            error_code: 1u8.into(),
            message: "the memo has 33 bytes, more than 32".into()
        })
    );
    let ledger_time = world.replica.time_ns();
    assert_eq!(
        world.approve(ApproveArgs {
            expires_at: Some(ledger_time),
            ..approve_args(shop(), 1)
        }),
        Err(ApproveError::Expired { ledger_time })
    );
    assert_eq!(
        world.approve(ApproveArgs {
            expected_allowance: Some(5u8.into()),
            ..approve_args(shop(), 1)
        }),
        Err(ApproveError::AllowanceChanged {
            current_allowance: 0u8.into()
        })
    );
    let own = approve_args(alice(), 1);
    assert!(matches!(
        world.approve(own),
        Err(ApproveError::GenericError { error_code, .. }) if error_code == 2u8
    ));
    let timed = |memo: u64| TransferArg {
        created_at_time: Some(ledger_time),
        memo: Some(Memo::from(memo)),
        ..transfer_arg(bob(), 1)
    };
    assert_eq!(world.transfer(timed(1)), Ok(2u8.into()));
    assert_eq!(
        world.transfer(timed(2)),
        Err(TransferError::TemporarilyUnavailable)
    );
}

#[test]
fn the_ledger_tells_what_it_is() {
    let mut world = World::new();
    assert_eq!(world.query::<String>("icrc1_name", ()), "Test token");
    assert_eq!(world.query::<String>("icrc1_symbol", ()), "TST");
    assert_eq!(world.query::<u8>("icrc1_decimals", ()), 6);
    assert_eq!(world.query::<Nat>("icrc1_fee", ()), FEE);
    assert_eq!(
        world.query::<Option<Account>>("icrc1_minting_account", ()),
        Some(Account::from(controller()))
    );
    let metadata: Vec<(String, MetadataValue)> = world.query("icrc1_metadata", ());
    for (key, value) in [
        ("icrc1:name", MetadataValue::from("Test token")),
        ("icrc1:symbol", MetadataValue::from("TST")),
        ("icrc1:decimals", MetadataValue::from(6u64)),
        ("icrc1:fee", MetadataValue::from(FEE)),
        ("icrc1:max_memo_length", MetadataValue::from(32u64)),
    ] {
        assert!(metadata.contains(&(key.into(), value)), "{key}");
    }
    for method in ["icrc1_supported_standards", "icrc10_supported_standards"] {
        let standards: Vec<Standard> = world.query(method, ());
        let names: Vec<&str> = standards.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["ICRC-1", "ICRC-2", "ICRC-3", "ICRC-10"]);
    }
}

/// As on the ICRC ledgers in use. Anybody can spend it, of course.
#[test]
fn the_anonymous_principal_has_an_account_like_any_other() {
    let mut world = World::new();
    let nobody = Account::from(Principal::anonymous());
    assert!(world.transfer(transfer_arg(nobody, 100)).is_ok());
    let arg = transfer_arg(bob(), 90);
    let result: Transferred = world.update(Principal::anonymous(), "icrc1_transfer", (arg,));
    assert_eq!(result, Ok(3u8.into()));
    assert_eq!(world.balance(nobody), 0);
}

#[test]
fn a_subaccount_of_another_length_is_rejected() {
    #[derive(CandidType)]
    struct LooseAccount {
        owner: Principal,
        subaccount: Option<serde_bytes::ByteBuf>,
    }
    let mut world = World::new();
    for length in [0, 31, 33] {
        let account = LooseAccount {
            owner: alice().owner,
            subaccount: Some(vec![0; length].into()),
        };
        let rejected = words(world.try_query::<Nat>("icrc1_balance_of", (account,)));
        assert!(rejected.contains("subaccounts have 32 bytes"), "{rejected}");
    }
}

#[test]
fn garbage_is_rejected_and_changes_nothing() {
    let mut world = World::new();
    for arg in [&b""[..], b"DIDL", b"DIDL\x00\x01\x7f", &[0xff; 100]] {
        let result =
            world
                .replica
                .update(alice().owner, world.ledger, "icrc1_transfer", arg.to_vec());
        assert!(words(result).contains("does not fit the method's Candid type"));
    }
    assert_eq!(world.balance(alice()), 1000);
    assert!(world.transfer(transfer_arg(bob(), 1)).is_ok());
}

/// Nobody has such an amount, and reading it costs no more than a signature check or two.
#[test]
fn an_absurdly_long_number_is_only_more_than_the_balance() {
    let mut world = World::new();
    let arg = TransferArg {
        amount: Nat::parse(&[b'9'; 100_000]).expect("these are digits"),
        ..transfer_arg(bob(), 0)
    };
    assert_eq!(
        world.transfer(arg),
        Err(TransferError::InsufficientFunds {
            balance: 1000u16.into()
        })
    );
    let instructions = world
        .replica
        .instructions(world.ledger, "update icrc1_transfer")
        .expect("it was executed");
    assert!(instructions < 20_000_000, "{instructions}");
}
