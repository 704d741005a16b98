//! Random histories: whatever happens in whatever order, with ledgers that fail, the ledger's
//! balances and the adjudicator's books agree after every step.

mod world;

use std::time::Duration;

use icrc_ledger_types::icrc1::account::Account;
use local_ic::{Fault, RejectCode, Target};
use perun_canister_api::{
    ConcludeError, Conclusion, DepositError, DepositReceipt, DepositRequest, DisputeError, Event,
    Registered, WithdrawError, WithdrawReceipt, convert,
};
use proptest::prelude::*;
use world::{FEE, TestChannel, World, user};

const CHANNELS: usize = 2;
const ASSETS: usize = 2;
const PARTS: usize = 2;

/// The fees that ledgers change between.
const FEES: [u128; 3] = [FEE, 3, 25];

#[derive(Clone, Debug)]
enum Action {
    Deposit {
        place: Place,
        amount: u128,
    },
    PayIn {
        place: Place,
        amount: u128,
    },
    Sweep {
        place: Place,
    },
    Refund {
        channel: usize,
        part: usize,
    },
    Dispute {
        channel: usize,
        version: u64,
        given: [u128; ASSETS],
    },
    Conclude {
        channel: usize,
    },
    ConcludeFinal {
        channel: usize,
        version: u64,
        given: [u128; ASSETS],
    },
    Withdraw {
        place: Place,
    },
    WithdrawTwiceAtOnce {
        place: Place,
    },
    Advance {
        seconds: u64,
    },
    Gap {
        seconds: u64,
    },
    ChangeFee {
        asset: usize,
        fee: usize,
    },
    Upgrade,
    Break {
        how: Breakage,
    },
}

#[derive(Clone, Debug)]
enum Breakage {
    LoseReply,
    LoseCall,
    RefuseCall,
    TrapCallback,
    StopLedgerForAnHour(usize),
}

#[derive(Clone, Copy, Debug)]
struct Place {
    channel: usize,
    asset: usize,
    part: usize,
}

fn place() -> impl Strategy<Value = Place> {
    (0..CHANNELS, 0..ASSETS, 0..PARTS).prop_map(|(channel, asset, part)| Place {
        channel,
        asset,
        part,
    })
}

fn action() -> impl Strategy<Value = Action> {
    let given = || prop::array::uniform2(0..300_u128);
    prop_oneof![
        6 => (place(), 1..300_u128).prop_map(|(place, amount)| Action::Deposit { place, amount }),
        3 => (place(), 1..300_u128).prop_map(|(place, amount)| Action::PayIn { place, amount }),
        3 => place().prop_map(|place| Action::Sweep { place }),
        1 => (0..CHANNELS, 0..PARTS).prop_map(|(channel, part)| Action::Refund { channel, part }),
        4 => (0..CHANNELS, 0..6_u64, given())
            .prop_map(|(channel, version, given)| Action::Dispute { channel, version, given }),
        3 => (0..CHANNELS).prop_map(|channel| Action::Conclude { channel }),
        1 => (0..CHANNELS, 0..9_u64, given())
            .prop_map(|(channel, version, given)| Action::ConcludeFinal { channel, version, given }),
        6 => place().prop_map(|place| Action::Withdraw { place }),
        1 => place().prop_map(|place| Action::WithdrawTwiceAtOnce { place }),
        3 => (1..900_u64).prop_map(|seconds| Action::Advance { seconds }),
        1 => (1..5_000_u64).prop_map(|seconds| Action::Gap { seconds }),
        1 => (0..ASSETS, 0..FEES.len()).prop_map(|(asset, fee)| Action::ChangeFee { asset, fee }),
        1 => Just(Action::Upgrade),
        5 => prop_oneof![
            Just(Breakage::LoseReply),
            Just(Breakage::LoseCall),
            Just(Breakage::RefuseCall),
            Just(Breakage::TrapCallback),
            (0..ASSETS).prop_map(Breakage::StopLedgerForAnHour),
        ].prop_map(|how| Action::Break { how }),
    ]
}

struct History {
    world: World,
    channels: Vec<TestChannel>,
    /// The deposit for each channel and asset whose outcome may be unknown.
    pending: [[u128; ASSETS]; CHANNELS],
}

impl History {
    fn new() -> Self {
        let mut world = World::with_ledgers(ASSETS);
        let numbers = 1..=CHANNELS as u8;
        let channels: Vec<_> = numbers
            .map(|number| world.channel_of(number, PARTS, ASSETS))
            .collect();
        for ledger in 0..ASSETS {
            world.approve(ledger, user(0), 500_000);
        }
        Self {
            world,
            channels,
            pending: [[0; ASSETS]; CHANNELS],
        }
    }

    /// A state that rests on what is there now, and of each asset gives so much to the first.
    fn state(
        &mut self,
        channel: usize,
        version: u64,
        given: [u128; ASSETS],
    ) -> perun_protocol::State {
        let channel = &self.channels[channel];
        let holdings = self.world.holdings(channel);
        let held = holdings.map_or(vec![vec![0; PARTS]; ASSETS], |holdings| holdings.amounts);
        let balances = held.iter().zip(given).flat_map(|(row, given)| {
            let total: u128 = row.iter().sum();
            let given = given.min(total);
            [given, total - given]
        });
        channel.state(version, &balances.collect::<Vec<_>>(), &held.concat())
    }

    /// Does it. What is refused is refused with a named error; only a trap that a fault caused may
    /// show as a reject.
    fn act(&mut self, action: &Action) {
        let trapped = |error: local_ic::Reject| {
            assert_eq!(error.code, RejectCode::CanisterError, "{error:?}");
        };
        match action {
            Action::Deposit { place, amount } => {
                let request =
                    self.channels[place.channel].by_approval(place.asset, place.part, *amount);
                self.deposit(place, request, *amount);
            }
            Action::PayIn { place, amount } => {
                let channel = &self.channels[place.channel];
                let account = convert::account_to_candid(&channel.deposit_account(place.part));
                if self.is_running(place.asset) {
                    self.world.transfer(place.asset, user(1), account, *amount);
                }
            }
            Action::Sweep { place } => {
                let channel = &self.channels[place.channel];
                let account = convert::account_to_candid(&channel.deposit_account(place.part));
                let request = channel.by_account(place.asset, place.part);
                let balance = self.world.balance(place.asset, account);
                self.deposit(place, request, balance);
            }
            Action::Refund { channel, part } => {
                let request = self.channels[*channel].refund_claim(*part);
                let _: Result<Registered, DisputeError> = self.world.dispute(request);
            }
            Action::Dispute {
                channel,
                version,
                given,
            } => {
                let state = self.state(*channel, *version, *given);
                let signed = self.channels[*channel].sign(&state);
                let _: Result<Registered, DisputeError> =
                    self.world.dispute(world::dispute_with(&signed));
            }
            Action::Conclude { channel } => {
                let request = self.channels[*channel].concluding_elapsed();
                let _: Result<Conclusion, ConcludeError> = self.world.conclude(request);
            }
            Action::ConcludeFinal {
                channel,
                version,
                given,
            } => {
                let state = self.state(*channel, *version, *given).finalized();
                let signed = self.channels[*channel].sign(&state);
                let request = self.channels[*channel].concluding_with(&signed);
                let _: Result<Conclusion, ConcludeError> = self.world.conclude(request);
            }
            Action::Withdraw { place } => {
                let request = self.withdrawal(place);
                self.world
                    .try_call_as::<_, Result<WithdrawReceipt, WithdrawError>>(
                        user(0),
                        "withdraw",
                        request,
                    )
                    .map_or_else(trapped, |_| ());
            }
            Action::WithdrawTwiceAtOnce { place } => {
                let request = self.withdrawal(place);
                self.world.submit("withdraw", request.clone());
                self.world.submit("withdraw", request);
                self.world.ic.run();
            }
            Action::Advance { seconds } => self.world.ic.advance(Duration::from_secs(*seconds)),
            Action::Gap { seconds } => self.world.ic.skip(Duration::from_secs(*seconds)),
            Action::ChangeFee { asset, fee } => self.world.change_fee(*asset, FEES[*fee]),
            Action::Upgrade => self.world.upgrade_adjudicator(None).unwrap(),
            Action::Break { how } => self.break_something(how),
        }
    }

    fn deposit(&mut self, place: &Place, request: DepositRequest, amount: u128) {
        let answer = self
            .world
            .try_call_as::<_, Result<DepositReceipt, DepositError>>(user(0), "deposit", request);
        match answer {
            Ok(Err(DepositError::Pending { .. })) => {
                // It may be this one, or an earlier one that it found in its way.
                let pending = &mut self.pending[place.channel][place.asset];
                *pending = amount.max(*pending);
            }
            Ok(_) => {}
            Err(reject) => {
                assert_eq!(reject.code, RejectCode::CanisterError, "{reject:?}");
                let pending = &mut self.pending[place.channel][place.asset];
                *pending = amount.max(*pending);
            }
        }
    }

    fn withdrawal(&self, place: &Place) -> perun_canister_api::WithdrawRequest {
        let receiver = receiver(place.part);
        self.channels[place.channel].withdrawing(place.asset, place.part, receiver)
    }

    fn is_running(&self, ledger: usize) -> bool {
        let info = self.world.ic.canister(self.world.ledgers[ledger]).unwrap();
        info.status == local_ic::Status::Running
    }

    fn break_something(&mut self, how: &Breakage) {
        let adjudicator = self.world.adjudicator;
        let transfers = Target::call().from(adjudicator);
        let message = "on purpose".to_owned();
        match how {
            Breakage::LoseReply => {
                self.world.ic.faults().add(transfers, Fault::LoseReply);
            }
            Breakage::LoseCall => {
                let code = RejectCode::SysUnknown;
                let fault = Fault::RejectBefore { code, message };
                self.world.ic.faults().add(transfers, fault);
            }
            Breakage::RefuseCall => {
                let code = RejectCode::SysTransient;
                let fault = Fault::RejectBefore { code, message };
                self.world.ic.faults().add(transfers, fault);
            }
            Breakage::TrapCallback => {
                let target = Target::callback().from(adjudicator);
                let fault = Fault::Trap {
                    after_instructions: 1_000,
                };
                self.world.ic.faults().add(target, fault);
            }
            Breakage::StopLedgerForAnHour(ledger) => {
                let ledger = self.world.ledgers[*ledger];
                self.world.ic.stop(ledger).unwrap();
                self.world.ic.advance(Duration::from_secs(3_600));
                self.world.ic.start(ledger).unwrap();
            }
        }
    }

    /// The ledger's balances and the books agree: exactly when every outcome is known, within what
    /// is not known otherwise.
    fn check_conservation(&mut self) {
        let unknown = self.world.info().journal;
        if unknown == 0 {
            self.pending = Default::default();
        }
        for index in 0..CHANNELS {
            let Some(holdings) = self.world.holdings(&self.channels[index]) else {
                continue;
            };
            for asset in 0..ASSETS {
                let funds = self.world.funds(&self.channels[index], asset);
                let owed: u128 = holdings.amounts[asset].iter().sum();
                let in_flight = holdings.in_flight[asset];
                assert!(
                    funds >= owed,
                    "channel {index}, asset {asset}: {funds} for {owed}"
                );
                let pending = self.pending[index][asset];
                assert!(
                    funds <= owed + in_flight + pending,
                    "channel {index}, asset {asset}: {funds} for {owed} + {in_flight} + {pending}"
                );
                if unknown == 0 {
                    assert_eq!(
                        (funds, in_flight),
                        (owed, 0),
                        "channel {index}, asset {asset}"
                    );
                }
            }
        }
    }

    /// Everything that was ever credited was paid or is still there, by the log.
    fn check_log(&mut self) {
        for index in 0..CHANNELS {
            let Some(holdings) = self.world.holdings(&self.channels[index]) else {
                continue;
            };
            let events = self.world.events(&self.channels[index]);
            for (asset, row) in holdings.amounts.iter().enumerate() {
                let of = self.channels[index].asset(asset);
                let (mut credited, mut paid) = (0, 0);
                for record in &events {
                    match &record.event {
                        Event::Deposited { asset, amount, .. } if *asset == of => {
                            credited += amount;
                        }
                        Event::Withdrawn {
                            asset,
                            paid: arrived,
                            fee,
                            ..
                        } if *asset == of => {
                            paid += arrived + fee;
                        }
                        _ => {}
                    }
                }
                let left: u128 = row.iter().sum();
                assert_eq!(credited, paid + left + holdings.in_flight[asset]);
            }
        }
    }

    /// In the end everybody gets home.
    fn settle_everything(&mut self) {
        self.world.ic.faults().clear();
        self.world.ic.advance(Duration::from_secs(26 * 3_600));
        assert_eq!(
            self.world.info().journal,
            0,
            "every outcome is known after a day"
        );
        for index in 0..CHANNELS {
            if self.world.holdings(&self.channels[index]).is_none() {
                continue;
            }
            let claim = self.channels[index].refund_claim(0);
            let _: Result<Registered, DisputeError> = self.world.dispute(claim);
            self.world.ic.advance(Duration::from_secs(700));
            for asset in 0..ASSETS {
                for part in 0..PARTS {
                    let place = Place {
                        channel: index,
                        asset,
                        part,
                    };
                    let request = self.withdrawal(&place);
                    match self.world.withdraw(request) {
                        Ok(_)
                        | Err(WithdrawError::NothingToWithdraw | WithdrawError::BelowFee { .. }) => {
                        }
                        Err(error) => panic!("{place:?}: {error:?}"),
                    }
                }
            }
        }
        self.check_conservation();
        self.check_log();
        for ledger in 0..ASSETS {
            let received =
                |world: &mut World, part| world.balance(ledger, Account::from(receiver(part)));
            let balances: u128 = (0..PARTS).map(|part| received(&mut self.world, part)).sum();
            let mut paid = 0;
            for index in 0..CHANNELS {
                let of = self.channels[index].asset(ledger);
                for record in self.world.events(&self.channels[index]) {
                    match record.event {
                        Event::Withdrawn {
                            asset,
                            paid: arrived,
                            ..
                        } if asset == of => {
                            paid += arrived;
                        }
                        _ => {}
                    }
                }
            }
            assert_eq!(
                balances, paid,
                "what the log says was paid has arrived, once"
            );
        }
    }
}

fn receiver(part: usize) -> candid::Principal {
    user(10 + part as u8)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn money_adds_up_after_every_step(actions in prop::collection::vec(action(), 30..60)) {
        let mut history = History::new();
        for action in &actions {
            history.act(action);
            history.check_conservation();
        }
        history.settle_everything();
    }
}
