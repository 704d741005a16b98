use super::*;

#[test]
fn the_minting_account_makes_tokens_without_a_fee() {
    let mut world = World::new();
    assert!(world.transfer(transfer(minter(), alice(), 50)).is_ok());
    assert_eq!(world.balance(alice()), 1050);
    assert_eq!(world.balance(minter()), 0);
    assert_eq!(world.supply(), 1550);
}

#[test]
fn what_is_sent_to_the_minting_account_is_burnt_without_a_fee() {
    let mut world = World::new();
    assert!(world.transfer(transfer(alice(), minter(), 50)).is_ok());
    assert_eq!(world.balance(alice()), 950);
    assert_eq!(world.balance(minter()), 0);
    assert_eq!(world.supply(), 1450);
}

#[test]
fn a_fee_is_refused_where_there_is_none() {
    let mut world = World::new();
    for (from, to) in [(minter(), alice()), (alice(), minter())] {
        let with_fee = Transfer {
            fee: Some(FEE.into()),
            ..transfer(from, to, 50)
        };
        let no_fee = Err(Refusal::BadFee {
            expected_fee: Amount::ZERO,
        });
        assert_eq!(world.transfer(with_fee), no_fee);
    }
}

#[test]
fn too_little_cannot_be_burnt() {
    let mut world = World::new();
    for amount in [0, FEE - 1] {
        assert_eq!(
            world.transfer(transfer(alice(), minter(), amount)),
            Err(Refusal::BadBurn {
                min_burn_amount: Amount::new(FEE)
            })
        );
    }
    assert!(world.transfer(transfer(alice(), minter(), FEE)).is_ok());
}

#[test]
fn whoever_has_less_than_the_least_burn_may_burn_it_all() {
    let mut world = World::new();
    assert!(world.transfer(transfer(alice(), shop(), 3)).is_ok());
    assert_eq!(
        world.transfer(transfer(shop(), minter(), 2)),
        Err(Refusal::BadBurn {
            min_burn_amount: Amount::new(3)
        })
    );
    assert!(world.transfer(transfer(shop(), minter(), 3)).is_ok());
    assert_eq!(world.balance(shop()), 0);
}

#[test]
fn more_than_the_balance_cannot_be_burnt() {
    let mut world = World::new();
    assert_eq!(
        world.transfer(transfer(alice(), minter(), 1001)),
        refused_for_funds(1000)
    );
}

#[test]
fn the_supply_stops_at_the_largest_number() {
    let mut world = World::new();
    let room = u128::MAX - 1500;
    assert_eq!(
        world.transfer(transfer(minter(), alice(), room + 1)),
        refused_for_funds(room)
    );
    assert!(world.transfer(transfer(minter(), alice(), room)).is_ok());
    assert_eq!(world.supply(), u128::MAX);
}

#[test]
fn the_minting_account_can_neither_pay_itself_nor_delegate() {
    let mut world = World::new();
    assert_eq!(
        world.transfer(transfer(minter(), minter(), 50)),
        Err(Refusal::MintingAccountToItself)
    );
    let refused = Err(Refusal::MintingAccountCannotDelegate);
    assert_eq!(world.approve(approval(minter(), bob(), 50)), refused);
    assert_eq!(
        world.transfer(transfer_from(bob(), minter(), bob(), 50)),
        refused
    );
}

#[test]
fn a_spender_burns_within_its_allowance() {
    let mut world = World::new();
    world.approve(approval(alice(), shop(), 60)).unwrap();
    assert_eq!(
        world.transfer(transfer_from(shop(), alice(), minter(), 61)),
        refused_for_allowance(60)
    );
    let burn = transfer_from(shop(), alice(), minter(), 60);
    assert!(world.transfer(burn).is_ok());
    assert_eq!(world.allowance(alice(), shop()), 0);
    assert_eq!(world.balance(alice()), 1000 - FEE - 60);
}
