use super::*;

#[test]
fn a_spender_pays_amount_and_fee_out_of_its_allowance() {
    let mut world = World::new();
    assert_eq!(world.approve(approval(alice(), shop(), 150)), Ok(2));
    assert_eq!(world.balance(alice()), 1000 - FEE);
    assert_eq!(world.allowance(alice(), shop()), 150);

    let purchase = transfer_from(shop(), alice(), bob(), 100);
    assert_eq!(world.transfer(purchase), Ok(3));
    assert_eq!(world.balance(alice()), 1000 - FEE - 100 - FEE);
    assert_eq!(world.balance(bob()), 600);
    assert_eq!(world.allowance(alice(), shop()), 150 - 100 - FEE);
}

#[test]
fn the_allowance_must_cover_the_fee_too() {
    let mut world = World::new();
    world.approve(approval(alice(), shop(), 109)).unwrap();
    assert_eq!(
        world.transfer(transfer_from(shop(), alice(), bob(), 100)),
        refused_for_allowance(109)
    );
    let absurd = transfer_from(shop(), alice(), bob(), u128::MAX);
    assert_eq!(world.transfer(absurd), refused_for_allowance(109));
    assert_eq!(world.allowance(alice(), shop()), 109);
}

#[test]
fn nobody_spends_without_an_allowance() {
    let mut world = World::new();
    assert_eq!(
        world.transfer(transfer_from(shop(), alice(), shop(), 1)),
        refused_for_allowance(0)
    );
    // An approval is for one pair of accounts, not for their other subaccounts.
    world.approve(approval(alice(), shop(), 100)).unwrap();
    let other_counter = Account {
        subaccount: Some([1; 32]),
        ..shop()
    };
    assert_eq!(
        world.transfer(transfer_from(other_counter, alice(), shop(), 1)),
        refused_for_allowance(0)
    );
}

#[test]
fn an_allowance_is_no_money() {
    let mut world = World::new();
    world.approve(approval(alice(), shop(), 10_000)).unwrap();
    assert_eq!(
        world.transfer(transfer_from(shop(), alice(), shop(), 5_000)),
        refused_for_funds(990)
    );
    assert_eq!(world.allowance(alice(), shop()), 10_000);
}

#[test]
fn the_owner_needs_no_allowance_from_itself() {
    let mut world = World::new();
    let own = transfer_from(alice(), alice(), bob(), 100);
    assert!(world.transfer(own).is_ok());
    assert_eq!(world.balance(bob()), 600);
}

#[test]
fn a_new_approval_replaces_the_old_one() {
    let mut world = World::new();
    world.approve(approval(alice(), shop(), 100)).unwrap();
    world.approve(approval(alice(), shop(), 30)).unwrap();
    assert_eq!(world.allowance(alice(), shop()), 30);
    world.approve(approval(alice(), shop(), 0)).unwrap();
    assert_eq!(world.allowance(alice(), shop()), 0);
    assert_eq!(world.ledger.allowances.entries(), (0, 0));
}

#[test]
fn an_approval_can_insist_on_what_was_before() {
    let mut world = World::new();
    let expecting = |expected: Nat, amount| Approval {
        expected_allowance: Some(expected),
        ..approval(alice(), shop(), amount)
    };
    assert!(world.approve(expecting(0u8.into(), 100)).is_ok());
    for wrong in [Nat::from(0u8), Nat::from(99u8), Nat::from(u128::MAX) * 2u8] {
        assert_eq!(
            world.approve(expecting(wrong, 500)),
            Err(Refusal::AllowanceChanged {
                current_allowance: Amount::new(100)
            })
        );
    }
    assert!(world.approve(expecting(100u8.into(), 500)).is_ok());
    assert_eq!(world.allowance(alice(), shop()), 500);
}

#[test]
fn an_expired_allowance_is_none() {
    let mut world = World::new();
    let short = Approval {
        expires_at_ns: Some(NOON_NS + SECOND_NS),
        ..approval(alice(), shop(), 100)
    };
    world.approve(short).unwrap();
    assert_eq!(world.allowance(alice(), shop()), 100);

    world.now_ns += SECOND_NS;
    assert_eq!(world.allowance(alice(), shop()), 0);
    assert_eq!(
        world.transfer(transfer_from(shop(), alice(), shop(), 1)),
        refused_for_allowance(0)
    );
    // So the owner that expects none is right.
    let expecting_none = Approval {
        expected_allowance: Some(0u8.into()),
        ..approval(alice(), shop(), 5)
    };
    assert!(world.approve(expecting_none).is_ok());
}

#[test]
fn an_approval_that_has_expired_already_is_refused() {
    let mut world = World::new();
    for expires_at_ns in [0, NOON_NS] {
        let late = Approval {
            expires_at_ns: Some(expires_at_ns),
            ..approval(alice(), shop(), 100)
        };
        assert_eq!(
            world.approve(late),
            Err(Refusal::Expired { now_ns: NOON_NS })
        );
    }
    assert_eq!(world.balance(alice()), 1000, "a refused approval is free");
}

#[test]
fn an_approval_costs_the_fee() {
    let mut world = World::new();
    assert_eq!(
        world.approve(approval(shop(), bob(), 1)),
        refused_for_funds(0)
    );
    let wrong_fee = Approval {
        fee: Some(0u8.into()),
        ..approval(alice(), bob(), 1)
    };
    assert_eq!(
        world.approve(wrong_fee),
        Err(Refusal::BadFee {
            expected_fee: Amount::new(FEE)
        })
    );
}

#[test]
fn nobody_approves_itself() {
    let mut world = World::new();
    let savings = Account {
        subaccount: Some([1; 32]),
        ..alice()
    };
    for spender in [alice(), savings] {
        assert_eq!(
            world.approve(approval(alice(), spender, 1)),
            Err(Refusal::SelfApproval)
        );
    }
}

#[test]
fn an_approval_of_more_than_everything_is_one_of_everything() {
    let mut world = World::new();
    let unlimited = Approval {
        amount: Nat::from(u128::MAX) * 2u8,
        ..approval(alice(), shop(), 0)
    };
    world.approve(unlimited).unwrap();
    assert_eq!(world.allowance(alice(), shop()), u128::MAX);
}
