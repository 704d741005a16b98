use super::*;

#[test]
fn a_transfer_moves_the_amount_and_burns_the_fee() {
    let mut world = World::new();
    assert_eq!(world.transfer(transfer(alice(), bob(), 100)), Ok(2));
    assert_eq!(world.balance(alice()), 1000 - 100 - FEE);
    assert_eq!(world.balance(bob()), 600);
    assert_eq!(world.supply(), 1500 - FEE);
}

#[test]
fn all_can_be_spent_but_not_one_more() {
    let mut world = World::new();
    assert_eq!(
        world.transfer(transfer(alice(), bob(), 1000 - FEE + 1)),
        refused_for_funds(1000)
    );
    assert_eq!(world.balance(alice()), 1000);
    assert!(world.transfer(transfer(alice(), bob(), 1000 - FEE)).is_ok());
    assert_eq!(world.balance(alice()), 0);
    assert_eq!(
        world.transfer(transfer(alice(), bob(), 0)),
        refused_for_funds(0)
    );
}

#[test]
fn paying_oneself_costs_the_fee() {
    let mut world = World::new();
    assert!(
        world
            .transfer(transfer(alice(), alice(), 1000 - FEE))
            .is_ok()
    );
    assert_eq!(world.balance(alice()), 1000 - FEE);
    assert_eq!(world.supply(), 1500 - FEE);
}

#[test]
fn absurd_amounts_are_only_more_than_the_balance() {
    let mut world = World::new();
    let beyond = Nat::from(u128::MAX) * 3u8;
    for amount in [Nat::from(u128::MAX), beyond] {
        let absurd = Transfer {
            amount,
            ..transfer(alice(), bob(), 0)
        };
        assert_eq!(world.transfer(absurd), refused_for_funds(1000));
    }
}

#[test]
fn another_fee_than_the_ledgers_is_refused() {
    let mut world = World::new();
    for fee in [Nat::from(0u8), Nat::from(11u8), Nat::from(u128::MAX) * 2u8] {
        let wrong = Transfer {
            fee: Some(fee),
            ..transfer(alice(), bob(), 1)
        };
        assert_eq!(
            world.transfer(wrong),
            Err(Refusal::BadFee {
                expected_fee: Amount::new(FEE)
            })
        );
    }
    let right = Transfer {
        fee: Some(FEE.into()),
        ..transfer(alice(), bob(), 1)
    };
    assert_eq!(world.transfer(right), Ok(2));
}

#[test]
fn subaccounts_are_accounts_of_their_own() {
    let mut world = World::new();
    let savings = Account {
        subaccount: Some([1; 32]),
        ..alice()
    };
    assert!(world.transfer(transfer(alice(), savings, 300)).is_ok());
    assert_eq!(world.balance(savings), 300);
    assert_eq!(world.balance(alice()), 700 - FEE);
    assert!(world.transfer(transfer(savings, bob(), 290)).is_ok());
    assert_eq!(world.balance(savings), 0);
}

#[test]
fn the_subaccount_of_zeros_is_the_default_one() {
    let mut world = World::new();
    let zeros = Account {
        subaccount: Some([0; 32]),
        ..bob()
    };
    assert!(world.transfer(transfer(alice(), zeros, 100)).is_ok());
    assert_eq!(world.balance(bob()), 600);
    assert!(world.transfer(transfer(zeros, alice(), 590)).is_ok());
    assert_eq!(world.balance(bob()), 0);
}

#[test]
fn a_memo_has_a_greatest_length() {
    let mut world = World::new();
    let with_memo = |length| Transfer {
        memo: Some(Memo::Bytes(vec![7; length])),
        ..transfer(alice(), bob(), 1)
    };
    assert_eq!(world.transfer(with_memo(MAX_MEMO_LENGTH)), Ok(2));
    assert_eq!(
        world.transfer(with_memo(MAX_MEMO_LENGTH + 1)),
        Err(Refusal::MemoTooLong {
            length: 33,
            limit: 32
        })
    );
    let approval = Approval {
        memo: Some(Memo::Bytes(vec![7; 33])),
        ..approval(alice(), bob(), 1)
    };
    assert!(matches!(
        world.approve(approval),
        Err(Refusal::MemoTooLong { .. })
    ));
}

#[test]
fn money_for_an_unseen_identifier_waits_for_its_owner() {
    let mut world = World::new();
    let identifier = AccountIdentifier::of(&shop());
    let stand_in = world.ledger.resolve(&identifier);
    assert_eq!(stand_in, identifier.stand_in());
    assert!(world.transfer(transfer(alice(), stand_in, 100)).is_ok());

    // The owner finds it under its own account and spends it; from then on it is known.
    assert_eq!(world.balance(shop()), 100);
    assert_eq!(world.balance(stand_in), 100);
    assert!(world.transfer(transfer(shop(), bob(), 50)).is_ok());
    assert_eq!(world.balance(stand_in), 40);
    assert_eq!(world.ledger.resolve(&identifier), shop());
}
