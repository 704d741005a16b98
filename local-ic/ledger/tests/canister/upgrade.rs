use candid::{Encode, Nat};
use icrc_ledger_types::{
    icrc1::transfer::{TransferArg, TransferError},
    icrc2::{
        allowance::{Allowance, AllowanceArgs},
        approve::{ApproveArgs, ApproveError},
    },
};
use local_ic::{Config, MethodKind, Replica};
use local_ic_ledger::settings::{InitArgs, LedgerArg, UpgradeArgs};

use crate::world::*;

type Transferred = Result<Nat, TransferError>;

fn timed_transfer(world: &World) -> TransferArg {
    TransferArg {
        fee: Some(FEE.into()),
        created_at_time: Some(world.replica.time_ns()),
        ..transfer_arg(bob(), 100)
    }
}

#[test]
fn an_upgrade_without_an_argument_keeps_everything() {
    let mut world = World::new();
    let arg = timed_transfer(&world);
    let sent: Transferred = world.update(alice().owner, "icrc1_transfer", (arg.clone(),));
    assert_eq!(sent, Ok(2u8.into()));
    let approval = ApproveArgs {
        from_subaccount: None,
        spender: shop(),
        amount: 77u8.into(),
        expected_allowance: None,
        expires_at: None,
        fee: None,
        memo: None,
        created_at_time: None,
    };
    let approved: Result<Nat, ApproveError> =
        world.update(alice().owner, "icrc2_approve", (approval,));
    assert_eq!(approved, Ok(3u8.into()));

    for arg in [vec![], Encode!().unwrap()] {
        world.upgrade_raw(arg).expect("nothing is needed");
    }
    assert_eq!(world.balance(alice()), 1000 - 100 - 2 * FEE);
    assert_eq!(world.balance(bob()), 600);
    assert_eq!(world.query::<String>("icrc1_symbol", ()), "TST");
    let pair = AllowanceArgs {
        account: alice(),
        spender: shop(),
    };
    let allowance: Allowance = world.query("icrc2_allowance", (pair,));
    assert_eq!(allowance.allowance, 77u8);
    let again: Transferred = world.update(alice().owner, "icrc1_transfer", (arg,));
    assert_eq!(
        again,
        Err(TransferError::Duplicate {
            duplicate_of: 2u8.into()
        })
    );
}

/// What a client meets that retries an unanswered transfer across a change of the fee.
#[test]
fn an_upgrade_with_a_new_fee_refuses_the_old_one_first() {
    let mut world = World::new();
    let arg = timed_transfer(&world);
    let sent: Transferred = world.update(alice().owner, "icrc1_transfer", (arg.clone(),));
    assert_eq!(sent, Ok(2u8.into()));
    world.upgrade(UpgradeArgs {
        transfer_fee: Some(25),
    });
    assert_eq!(world.query::<Nat>("icrc1_fee", ()), 25u8);
    let again: Transferred = world.update(alice().owner, "icrc1_transfer", (arg,));
    assert_eq!(
        again,
        Err(TransferError::BadFee {
            expected_fee: 25u8.into()
        })
    );
    let open: Transferred =
        world.update(alice().owner, "icrc1_transfer", (transfer_arg(bob(), 1),));
    assert_eq!(open, Ok(3u8.into()));
    assert_eq!(world.balance(alice()), 1000 - 100 - FEE - 1 - 25);
}

#[test]
fn an_argument_for_an_installation_upgrades_nothing() {
    let mut world = World::new();
    let arg = Encode!(&LedgerArg::Init(init_args())).unwrap();
    let refused = world.upgrade_raw(arg);
    assert!(words(refused).contains("an upgrade needs the argument Upgrade"));
    assert_eq!(world.balance(alice()), 1000);
}

#[test]
fn a_ledger_that_makes_no_sense_is_not_installed() {
    let wasm = World::new().wasm;
    let mut replica = Replica::new(Config::default());
    let id = replica.create_canister(controller());
    let nameless = LedgerArg::Init(InitArgs {
        token_name: String::new(),
        ..init_args()
    });
    for (arg, complaint) in [
        (nameless, "token_name has 0 bytes"),
        (
            LedgerArg::Upgrade(None),
            "an installation needs the argument Init",
        ),
    ] {
        let refused = replica.install(id, &wasm, Encode!(&arg).unwrap());
        assert!(words(refused).contains(complaint), "{complaint}");
    }
}

#[test]
fn the_module_has_the_methods_and_the_interface_of_the_did_file() {
    const PROMISE: &str = include_str!("../../../../candid/ledger.did");
    let world = World::new();
    let methods = world.replica.methods(world.ledger);
    assert!(!methods.is_empty());
    for (name, kind) in &methods {
        let promised = PROMISE
            .lines()
            .find(|line| line.starts_with(&format!("  {name} : (")))
            .unwrap_or_else(|| panic!("{name} is not promised"));
        assert_eq!(
            promised.ends_with(" query;"),
            *kind == MethodKind::Query,
            "{name}"
        );
    }
    let service = PROMISE.split("service :").nth(1).expect("it has a service");
    let promised = service.lines().filter(|line| line.contains(" : (")).count();
    assert_eq!(methods.len(), promised);

    let info = world.replica.canister(world.ledger).unwrap();
    let embedded = info
        .metadata
        .iter()
        .find(|section| section.name == "candid:service")
        .expect("the module tells its interface");
    assert!(embedded.public);
    assert_eq!(embedded.content, PROMISE.as_bytes());
}
