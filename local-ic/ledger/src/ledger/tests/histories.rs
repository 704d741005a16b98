use super::*;

/// A reproducible source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn account(&mut self) -> Account {
        let owner = person(1 + self.roll(4) as u8);
        let subaccount = match self.roll(3) {
            0 => None,
            1 => Some([0; 32]),
            _ => Some([9; 32]),
        };
        Account {
            subaccount,
            ..owner
        }
    }

    fn amount(&mut self) -> u128 {
        match self.roll(20) {
            0 => u128::MAX,
            _ => self.roll(200).into(),
        }
    }

    fn created_at(&mut self, now_ns: u64) -> Option<u64> {
        // Few different times, so that repetitions happen.
        (self.roll(2) == 0).then(|| now_ns - self.roll(3) * DAY_NS / 2)
    }
}

/// Whatever happens, no money appears or vanishes but by mints, burns and fees; and whatever is
/// refused changes nothing.
#[test]
fn money_is_conserved_in_random_histories() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let mut world = World::new();
        let mut executed = 0;
        for _ in 0..200 {
            world.now_ns += dice.roll(2) * DAY_NS / 4;
            if dice.roll(25) == 0 {
                world.upgrade(Some(dice.roll(20).into()));
            }
            let before = (world.supply(), world.ledger.chain_length());
            let fee = u128::from(world.ledger.settings().transfer_fee);
            let created_at_ns = dice.created_at(world.now_ns);
            let (from, other) = (dice.account(), dice.account());
            let (result, change) = if dice.roll(4) == 0 {
                let approval = Approval {
                    created_at_ns,
                    expires_at_ns: (dice.roll(2) == 0).then_some(world.now_ns + DAY_NS),
                    ..approval(from, other, dice.amount())
                };
                (world.approve(approval), -(fee as i128))
            } else {
                let amount = dice.amount();
                let transfer = Transfer {
                    spender: (dice.roll(2) == 0).then(|| dice.account()),
                    created_at_ns,
                    ..transfer(from, other, amount)
                };
                let change = match (from == minter(), other == minter()) {
                    (true, _) => amount as i128,
                    (_, true) => -(amount as i128),
                    _ => -(fee as i128),
                };
                (world.transfer(transfer), change)
            };
            match result {
                Ok(index) => {
                    executed += 1;
                    assert_eq!(index, before.1);
                    assert_eq!(world.supply() as i128, before.0 as i128 + change);
                }
                Err(_) => assert_eq!((world.supply(), world.ledger.chain_length()), before),
            }
            assert_eq!(world.ledger.balances.sum(), world.ledger.total_supply());
            assert_eq!(world.balance(minter()), 0);
        }
        assert!(executed > 20, "seed {seed} is no story: {executed}");
    }
}
