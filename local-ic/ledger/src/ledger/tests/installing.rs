use super::*;
use crate::settings::UpgradeArgs;

fn install(args: InitArgs) -> Result<Ledger, SettingsError> {
    Ledger::install(StableMemory::default(), &LedgerArg::Init(args), NOON_NS)
}

#[test]
fn initial_balances_are_minted_block_by_block() {
    let world = World::new();
    assert_eq!(world.balance(alice()), 1000);
    assert_eq!(world.supply(), 1500);
    let blocks: Vec<Block> = world.ledger.blocks(0, 9).map(|(_, b)| b).collect();
    assert_eq!(blocks.len(), 2);
    assert!(matches!(
        blocks[1].transaction.operation,
        Operation::Mint { to, amount } if to == bob() && amount == Amount::new(500)
    ));
}

#[test]
fn an_account_named_twice_has_both_balances() {
    let ledger = install(InitArgs {
        initial_balances: vec![(alice(), 1), (alice(), 2)],
        ..init_args()
    })
    .unwrap();
    assert_eq!(
        ledger.balance(&AccountIdentifier::of(&alice())),
        Amount::new(3)
    );
}

#[test]
fn balances_that_cannot_be_are_refused() {
    let too_much = InitArgs {
        initial_balances: vec![(alice(), u128::MAX), (bob(), 1)],
        ..init_args()
    };
    assert_eq!(install(too_much).err(), Some(SettingsError::SupplyTooLarge));
    let for_the_minter = InitArgs {
        initial_balances: vec![(minter(), 1)],
        ..init_args()
    };
    assert_eq!(
        install(for_the_minter).err(),
        Some(SettingsError::MintingAccountWithBalance)
    );
}

#[test]
fn the_argument_must_suit_the_occasion() {
    let memory = StableMemory::default();
    let upgrade = LedgerArg::Upgrade(None);
    assert_eq!(
        Ledger::install(memory.clone(), &upgrade, NOON_NS).err(),
        Some(SettingsError::UpgradeArgAtInstall)
    );
    assert_eq!(
        Ledger::upgrade(memory, Some(&upgrade)).err(),
        Some(SettingsError::NothingToUpgrade)
    );
    let world = World::new();
    assert_eq!(
        Ledger::upgrade(world.memory, Some(&LedgerArg::Init(init_args()))).err(),
        Some(SettingsError::InitArgAtUpgrade)
    );
}

#[test]
fn an_upgrade_keeps_everything() {
    let mut world = World::new();
    let sent = Transfer {
        created_at_ns: Some(NOON_NS),
        ..transfer(alice(), bob(), 100)
    };
    assert_eq!(world.transfer(sent.clone()), Ok(2));
    let until_tomorrow = Approval {
        expires_at_ns: Some(NOON_NS + DAY_NS),
        ..approval(alice(), shop(), 77)
    };
    world.approve(until_tomorrow).unwrap();
    let settings = world.ledger.settings().clone();
    let tip = world.ledger.tip_tree().digest();

    for arg in [None, Some(LedgerArg::Upgrade(None))] {
        world.ledger = Ledger::upgrade(world.memory.clone(), arg.as_ref()).unwrap();
        assert_eq!(world.ledger.settings(), &settings);
        assert_eq!(world.ledger.tip_tree().digest(), tip);
        assert_eq!(world.balance(bob()), 600);
        assert_eq!(world.supply(), 1500 - 2 * FEE);
        assert_eq!(world.allowance(alice(), shop()), 77);
        assert_eq!(
            world.transfer(sent.clone()),
            Err(Refusal::Duplicate { duplicate_of: 2 })
        );
        let seller = AccountIdentifier::of(&shop());
        assert_eq!(world.ledger.resolve(&seller), shop());
    }
    assert_eq!(world.transfer(transfer(bob(), alice(), 1)), Ok(4));
    world.now_ns += DAY_NS;
    assert_eq!(world.allowance(alice(), shop()), 0);
}

#[test]
fn an_upgrade_changes_the_fee_for_good() {
    let mut world = World::new();
    world.upgrade(Some(25));
    world.ledger = Ledger::upgrade(world.memory.clone(), None).unwrap();
    world.transfer(transfer(alice(), bob(), 100)).unwrap();
    assert_eq!(world.balance(alice()), 1000 - 100 - 25);

    let nothing = LedgerArg::Upgrade(Some(UpgradeArgs::default()));
    world.ledger = Ledger::upgrade(world.memory.clone(), Some(&nothing)).unwrap();
    assert_eq!(world.ledger.settings().transfer_fee, Amount::new(25));
}

#[test]
fn a_refused_upgrade_leaves_the_ledger_as_it_was() {
    let mut world = World::new();
    let wrong = LedgerArg::Init(init_args());
    assert!(Ledger::upgrade(world.memory.clone(), Some(&wrong)).is_err());
    world.ledger = Ledger::upgrade(world.memory.clone(), None).unwrap();
    assert_eq!(world.supply(), 1500);
    assert_eq!(world.ledger.chain_length(), 2);
}
