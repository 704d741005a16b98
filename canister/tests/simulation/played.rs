//! The same histories on the real wasm, with equal outcomes.
//!
//! What the scheduler of the embedded Internet Computer cannot be told (which callback comes first)
//! is left to it: actions come one after the other, with faults that strike on the way. After each
//! of them the wasm has answered, holds and has registered what the simulation has; in the end the
//! logs are the same, times and blocks included.

mod real;
mod simulated;

use icrc_ledger_types::icrc1::account::Account;
use perun_canister_api::{
    ChannelRequest, DepositError, EventsRequest, LedgerRefusal, WithdrawError, WithdrawRequest,
    convert,
};

use self::real::Real;
use self::simulated::Simulated;
use super::cast::{LEDGERS, ME, cast, funding};
use super::history::{BEGINNING_NS, FEES, LONG_NS};
use super::random::Random;
use super::sim::{Outcome, Sim};
use super::step::{Call, Claim, Place, Step};
use super::world::World;

const HISTORIES: u64 = 4;
const ACTIONS: usize = 60;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// A message, until it is answered.
    Call(Call),
    /// Two withdrawals at once.
    WithdrawTwice(Place),
    /// Everything that awaits nothing and is not the adjudicator's.
    Other(Step),
    Advance {
        seconds: u64,
    },
    /// Nothing runs.
    Gap {
        seconds: u64,
    },
    Upgrade,
    StopLedgerForAnHour(usize),
    /// Something befalls the next call of a ledger, or its callback.
    Break(Breakage, usize),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Breakage {
    LoseReply,
    LoseCall,
    RefuseCall,
    TrapCallback,
}

fn action(sim: &Sim, random: &mut Random) -> Action {
    match random.below(24) {
        0..12 => Action::Call(super::history::call(sim, random)),
        12 => Action::WithdrawTwice(super::history::place(random)),
        13..16 => Action::Other(super::history::of_users(random)),
        16 | 17 => match super::history::sign(sim, random) {
            Some(step) => Action::Other(step),
            None => Action::Advance { seconds: 1 },
        },
        18 => Action::Advance {
            seconds: 1 + random.below(100) as u64,
        },
        19 => Action::Gap {
            seconds: 1 + random.below(100) as u64,
        },
        20 => match random.below(4) {
            0 => Action::Upgrade,
            1 => Action::StopLedgerForAnHour(random.below(2)),
            _ => Action::Other(Step::ChangeFee {
                ledger: random.below(2),
                fee: random.pick(&FEES),
            }),
        },
        _ => {
            let breakages = [
                Breakage::LoseReply,
                Breakage::LoseCall,
                Breakage::RefuseCall,
                Breakage::TrapCallback,
            ];
            Action::Break(random.pick(&breakages), random.below(2))
        }
    }
}

fn withdrawal(place: Place) -> WithdrawRequest {
    cast().channels[place.channel].withdrawals[place.asset][place.part].clone()
}

fn channel_request(channel: usize) -> ChannelRequest {
    ChannelRequest {
        channel: convert::channel_to_candid(&cast().channels[channel].id),
    }
}

fn events_from(start: u64) -> EventsRequest {
    EventsRequest {
        channel: None,
        start,
        length: 100,
    }
}

/// An answer without the words of others.
fn wordless(outcome: Outcome) -> Outcome {
    let refusal = |refusal| match refusal {
        LedgerRefusal::NotDelivered { code, .. } => LedgerRefusal::NotDelivered {
            code,
            message: String::new(),
        },
        refusal => refusal,
    };
    match outcome {
        Outcome::Deposit(Err(DepositError::LedgerUnavailable { .. })) => {
            Outcome::Deposit(Err(DepositError::LedgerUnavailable {
                message: String::new(),
            }))
        }
        Outcome::Deposit(Err(DepositError::Refused(words))) => {
            Outcome::Deposit(Err(DepositError::Refused(refusal(words))))
        }
        Outcome::Withdraw(Err(WithdrawError::LedgerUnavailable { .. })) => {
            Outcome::Withdraw(Err(WithdrawError::LedgerUnavailable {
                message: String::new(),
            }))
        }
        Outcome::Withdraw(Err(WithdrawError::Refused(words))) => {
            Outcome::Withdraw(Err(WithdrawError::Refused(refusal(words))))
        }
        outcome => outcome,
    }
}

struct Pair {
    simulated: Simulated,
    real: Real,
    events: u64,
}

impl Pair {
    fn new() -> Self {
        let mut sim = Sim::new(BEGINNING_NS, |_| false);
        sim.fire_all();
        Self {
            simulated: Simulated {
                sim,
                breakage: None,
            },
            real: Real(World::with_ids(ME, LEDGERS.to_vec())),
            events: 0,
        }
    }

    fn act(&mut self, action: Action) {
        let simulated = self.simulated.act(action);
        let real = self.real.act(action);
        let plain = |answers: Vec<Option<Outcome>>| {
            let answers = answers.into_iter().map(|answer| answer.map(wordless));
            let mut answers: Vec<_> = answers.collect();
            // Which of two at once is answered first does not matter.
            answers.sort_by_key(|answer| format!("{answer:?}"));
            answers
        };
        assert_eq!(plain(real), plain(simulated), "{action:?}");
        for channel in 0..cast().channels.len() {
            let real = self.real.holdings(channel);
            assert_eq!(real, self.simulated.holdings(channel), "{action:?}");
            let real = self.real.registered(channel);
            assert_eq!(real, self.simulated.registered(channel), "{action:?}");
            for asset in 0..cast().channels[channel].assets {
                let funds = cast().channels[channel].funds;
                let account: Account = convert::account_to_candid(&funds);
                let real = self.real.0.balance(asset, account);
                let simulated = self.simulated.sim.stage.ledgers.borrow()[asset].balance(&funds);
                assert_eq!(real, simulated, "{action:?}");
            }
        }
        let real = self.real.events(self.events);
        assert_eq!(real, self.simulated.events(self.events), "{action:?}");
        self.events += real.len() as u64;
    }

    /// Nothing fails any more, and everybody gets home.
    fn end(&mut self) {
        self.real.0.ic.faults().clear();
        self.simulated.breakage = None;
        // The journal finds out by itself.
        self.act(Action::Advance { seconds: 2 * 3_600 });
        assert_eq!(self.real.0.info().journal, 0);
        let refund = |channel| Claim::Refund { channel, part: 0 };
        self.act(Action::Call(Call::DisputeMany([0, 1, 2, 0].map(refund))));
        self.act(Action::Advance { seconds: 300 });
        for (channel, shape) in cast().channels.iter().enumerate() {
            for asset in 0..shape.assets {
                for part in 0..shape.parts {
                    let place = Place {
                        channel,
                        asset,
                        part,
                    };
                    self.act(Action::Call(Call::Withdraw { place }));
                }
            }
        }
        let seconds = LONG_NS / 1_000_000_000;
        self.act(Action::Gap { seconds });
        for channel in 0..cast().channels.len() {
            self.act(Action::Call(Call::Conclude { channel }));
        }
        for channel in 0..cast().channels.len() {
            self.pay_late(channel);
        }
    }

    fn pay_late(&mut self, channel: usize) {
        let place = Place {
            channel,
            asset: 0,
            part: 0,
        };
        self.act(Action::Other(Step::PayIn {
            place,
            user: 0,
            amount: 100,
        }));
        self.act(Action::Call(Call::Sweep { place }));
        self.act(Action::Call(Call::Withdraw { place }));
    }
}

#[test]
fn the_wasm_plays_the_same_histories() {
    let seeds = match super::number_from("PERUN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..HISTORIES,
    };
    for seed in seeds {
        println!("history {seed}");
        let mut random = Random::new(seed);
        let mut pair = Pair::new();
        for number in 0..3 {
            for ledger in 0..2 {
                pair.act(Action::Other(Step::Approve {
                    ledger,
                    user: number,
                    amount: 5_000,
                }));
            }
        }
        // Otherwise most of a short history is about channels that are not there yet.
        for asset in 0..2 {
            for part in 0..2 {
                let place = Place {
                    channel: 0,
                    asset,
                    part,
                };
                pair.act(Action::Call(Call::Pull {
                    place,
                    user: 0,
                    amount: funding(2, 2, 0)[asset][part],
                    expected: None,
                }));
            }
        }
        for _ in 0..ACTIONS {
            let action = action(&pair.simulated.sim, &mut random);
            pair.act(action);
        }
        pair.end();
    }
}
