use super::*;

fn created(created_at_ns: u64) -> Transfer {
    Transfer {
        created_at_ns: Some(created_at_ns),
        ..transfer(alice(), bob(), 100)
    }
}

const DUPLICATE: Result<u64, Refusal> = Err(Refusal::Duplicate { duplicate_of: 2 });

#[test]
fn a_repeated_request_is_executed_once() {
    let mut world = World::new();
    assert_eq!(world.transfer(created(NOON_NS)), Ok(2));
    world.now_ns += 3600 * SECOND_NS;
    assert_eq!(world.transfer(created(NOON_NS)), DUPLICATE);
    assert_eq!(world.balance(bob()), 600);
}

#[test]
fn without_a_time_two_equal_requests_are_two() {
    let mut world = World::new();
    assert_eq!(world.transfer(transfer(alice(), bob(), 100)), Ok(2));
    assert_eq!(world.transfer(transfer(alice(), bob(), 100)), Ok(3));
}

#[test]
fn another_time_or_memo_makes_another_request() {
    let mut world = World::new();
    assert_eq!(world.transfer(created(NOON_NS)), Ok(2));
    assert_eq!(world.transfer(created(NOON_NS + 1)), Ok(3));
    let noted = Transfer {
        memo: Some(Memo::Bytes(vec![1])),
        ..created(NOON_NS)
    };
    assert_eq!(world.transfer(noted), Ok(4));
}

#[test]
fn a_refused_request_can_be_repeated() {
    let mut world = World::new();
    let too_much = Transfer {
        amount: 1200u128.into(),
        ..created(NOON_NS)
    };
    assert_eq!(world.transfer(too_much.clone()), refused_for_funds(1000));
    world.transfer(transfer(minter(), alice(), 300)).unwrap();
    assert!(world.transfer(too_much).is_ok());
}

#[test]
fn requests_from_outside_the_window_are_refused() {
    let mut world = World::new();
    assert_eq!(
        world.transfer(created(NOON_NS - DAY_NS - 1)),
        Err(Refusal::TooOld { window_ns: DAY_NS })
    );
    assert_eq!(
        world.transfer(created(NOON_NS + 60 * SECOND_NS + 1)),
        Err(Refusal::CreatedInFuture { now_ns: NOON_NS })
    );
    assert!(world.transfer(created(NOON_NS - DAY_NS)).is_ok());
    let ahead = created(NOON_NS + 60 * SECOND_NS);
    assert!(world.transfer(ahead).is_ok());
}

/// A caller that retries concludes from the answer whether it was paid, so the order matters.
#[test]
fn checks_come_in_the_order_of_the_real_ledgers() {
    let mut world = World::new();
    let all = Transfer {
        amount: (1000 - FEE).into(),
        fee: Some(FEE.into()),
        ..created(NOON_NS)
    };
    assert_eq!(world.transfer(all.clone()), Ok(2));
    // The money is gone, but it was this request that spent it.
    assert_eq!(world.transfer(all.clone()), DUPLICATE);
    // Too old comes before duplicate…
    world.now_ns += DAY_NS + 1;
    assert_eq!(
        world.transfer(all.clone()),
        Err(Refusal::TooOld { window_ns: DAY_NS })
    );
    // …and the fee before both.
    world.upgrade(Some(FEE + 1));
    let bad_fee = Err(Refusal::BadFee {
        expected_fee: Amount::new(FEE + 1),
    });
    assert_eq!(world.transfer(all.clone()), bad_fee);
    world.now_ns = NOON_NS;
    assert_eq!(world.transfer(all), bad_fee);
}

#[test]
fn a_request_that_leaves_the_fee_open_stays_a_duplicate_when_the_fee_changes() {
    let mut world = World::new();
    assert_eq!(world.transfer(created(NOON_NS)), Ok(2));
    world.upgrade(Some(FEE + 1));
    assert_eq!(world.transfer(created(NOON_NS)), DUPLICATE);
}

#[test]
fn a_repeated_purchase_is_a_duplicate_though_the_allowance_is_spent() {
    let mut world = World::new();
    world.approve(approval(alice(), shop(), 110)).unwrap();
    let purchase = Transfer {
        created_at_ns: Some(NOON_NS),
        ..transfer_from(shop(), alice(), shop(), 100)
    };
    assert_eq!(world.transfer(purchase.clone()), Ok(3));
    assert_eq!(
        world.transfer(purchase),
        Err(Refusal::Duplicate { duplicate_of: 3 })
    );
}

#[test]
fn a_repeated_approval_does_not_renew_the_allowance() {
    let mut world = World::new();
    let once = Approval {
        created_at_ns: Some(NOON_NS),
        ..approval(alice(), shop(), 110)
    };
    assert_eq!(world.approve(once.clone()), Ok(2));
    world
        .transfer(transfer_from(shop(), alice(), shop(), 100))
        .unwrap();
    assert_eq!(world.approve(once), DUPLICATE);
    assert_eq!(world.allowance(alice(), shop()), 0);
}

#[test]
fn the_window_is_pruned_by_those_that_come_later() {
    let mut world = World::new();
    for i in 0..5 {
        world.transfer(created(NOON_NS + i)).unwrap();
    }
    assert_eq!(world.ledger.deduplication.len(), 5);
    world.now_ns += DAY_NS + 61 * SECOND_NS;
    world.transfer(transfer(alice(), bob(), 1)).unwrap();
    assert!(world.ledger.deduplication.is_empty());
}

#[test]
fn a_full_window_lets_nothing_new_in_until_it_moves() {
    let mut world = World::with(InitArgs {
        max_transactions_in_window: Some(2),
        ..init_args()
    });
    world.transfer(created(NOON_NS)).unwrap();
    world.transfer(created(NOON_NS + 1)).unwrap();
    assert_eq!(
        world.transfer(created(NOON_NS + 2)),
        Err(Refusal::TemporarilyUnavailable)
    );
    // Nothing has to be remembered of a request without a time.
    assert!(world.transfer(transfer(alice(), bob(), 1)).is_ok());
    world.now_ns += DAY_NS + 61 * SECOND_NS;
    assert!(world.transfer(created(world.now_ns)).is_ok());
}

#[test]
fn a_shorter_window_can_be_installed() {
    let mut world = World::with(InitArgs {
        transaction_window_seconds: Some(30),
        ..init_args()
    });
    assert_eq!(
        world.transfer(created(NOON_NS - 31 * SECOND_NS)),
        Err(Refusal::TooOld {
            window_ns: 30 * SECOND_NS
        })
    );
    assert!(world.transfer(created(NOON_NS - 30 * SECOND_NS)).is_ok());
}

/// Else a classic transfer that is retried would pay twice as soon as its receiver shows up.
#[test]
fn a_repeated_transfer_is_a_duplicate_though_its_receiver_became_known() {
    let mut world = World::new();
    let identifier = AccountIdentifier::of(&shop());
    let classic = |world: &World| Transfer {
        created_at_ns: Some(NOON_NS),
        memo: Some(Memo::Number(7)),
        ..transfer(alice(), world.ledger.resolve(&identifier), 100)
    };
    let first = classic(&world);
    assert_eq!(world.transfer(first), Ok(2));
    world.transfer(transfer(shop(), bob(), 1)).unwrap();

    let second = classic(&world);
    assert_eq!(second.to, shop());
    assert_eq!(world.transfer(second), DUPLICATE);
}
