//! The real wasm on the embedded Internet Computer.

use std::time::Duration;

use local_ic::{Fault, IngressStatus, RejectCode, Target};
use perun_canister_api::{
    ConcludeError, Conclusion, DepositError, DepositReceipt, DepositRequest, DisputeManyError,
    DisputeResult, EventRecord, EventsError, EventsPage, Holdings, HoldingsAnswer, QueryError,
    Registered, StateAnswer, WithdrawError, WithdrawReceipt, WithdrawRequest, convert,
};

use super::{Action, Breakage, channel_request, events_from, withdrawal};
use crate::cast::{LEDGERS, ME, cast, user};
use crate::sim::Outcome;
use crate::step::{Call, Step};
use crate::world::World;

/// The real wasm.
pub(super) struct Real(pub(super) World);

impl Real {
    pub(super) fn act(&mut self, action: Action) -> Vec<Option<Outcome>> {
        let world = &mut self.0;
        match action {
            Action::Call(call) => vec![self.call(call)],
            Action::WithdrawTwice(place) => {
                let request = withdrawal(place);
                let ids = [(); 2].map(|()| world.submit("withdraw", request.clone()));
                world.ic.run();
                let answer = |id| match world.ic.status(id) {
                    IngressStatus::Replied(reply) => {
                        Some(Outcome::Withdraw(candid::decode_one(&reply).unwrap()))
                    }
                    _ => None,
                };
                ids.iter().map(answer).collect()
            }
            Action::Other(step) => {
                self.other(step);
                vec![]
            }
            Action::Advance { seconds } => {
                world.ic.advance(Duration::from_secs(seconds));
                vec![]
            }
            Action::Gap { seconds } => {
                world.ic.skip(Duration::from_secs(seconds));
                world.ic.run();
                vec![]
            }
            Action::Upgrade => {
                world.upgrade_adjudicator(None).unwrap();
                world.ic.run();
                vec![]
            }
            Action::StopLedgerForAnHour(ledger) => {
                world.ic.stop(LEDGERS[ledger]).unwrap();
                world.ic.advance(Duration::from_secs(3_600));
                world.ic.start(LEDGERS[ledger]).unwrap();
                vec![]
            }
            Action::Break(breakage, ledger) => {
                let (caller, callee) = (ME, LEDGERS[ledger]);
                let call = Target::call().from(caller).to(callee);
                let callback = Target::callback().from(caller).to(callee);
                let message = "on purpose".to_owned();
                let (target, fault) = match breakage {
                    Breakage::LoseReply => (call, Fault::LoseReply),
                    Breakage::LoseCall => {
                        let code = RejectCode::SysUnknown;
                        (call, Fault::RejectBefore { code, message })
                    }
                    Breakage::RefuseCall => {
                        let code = RejectCode::SysTransient;
                        (call, Fault::RejectBefore { code, message })
                    }
                    Breakage::TrapCallback => {
                        let after_instructions = 1_000;
                        (callback, Fault::Trap { after_instructions })
                    }
                };
                world.ic.faults().clear();
                world.ic.faults().add(target, fault);
                vec![]
            }
        }
    }

    /// The answer, if the message did not trap.
    fn call(&mut self, call: Call) -> Option<Outcome> {
        let world = &mut self.0;
        let channel = |channel: usize| &cast().channels[channel];
        match call {
            Call::Pull {
                place,
                user: number,
                amount,
                expected,
            } => {
                let request =
                    channel(place.channel).pulling(place.asset, place.part, amount, expected);
                self.deposit(user(number), request)
            }
            Call::Sweep { place } => {
                let request = channel(place.channel).sweeping(place.asset, place.part);
                self.deposit(candid::Principal::anonymous(), request)
            }
            Call::Withdraw { place } => self.withdraw(withdrawal(place)),
            Call::Steal { place, other } => {
                let others = withdrawal(other);
                self.withdraw(WithdrawRequest {
                    receiver: others.receiver,
                    signature: others.signature,
                    ..withdrawal(place)
                })
            }
            Call::Dispute(claim) => {
                let request = cast().disputing(claim).clone();
                Some(Outcome::Dispute(world.dispute(request)))
            }
            Call::DisputeMany(claims) => {
                let requests = claims.map(|claim| cast().disputing(claim).clone());
                let answers: Result<Vec<DisputeResult>, DisputeManyError> =
                    world.call("dispute_many", requests.to_vec());
                answers.ok().map(Outcome::DisputeMany)
            }
            Call::Conclude { channel: of } => {
                let answer: Result<Conclusion, ConcludeError> =
                    world.conclude(channel(of).concluding.clone());
                Some(Outcome::Conclude(answer))
            }
            Call::ConcludeBy { channel: of, state } => {
                let request = channel(of).states[state].concluding.clone();
                Some(Outcome::Conclude(world.conclude(request)))
            }
            Call::Ask { .. } => None,
        }
    }

    fn deposit(&mut self, caller: candid::Principal, request: DepositRequest) -> Option<Outcome> {
        let answer: Result<Result<DepositReceipt, DepositError>, _> =
            self.0.try_call_as(caller, "deposit", request);
        answer.ok().map(Outcome::Deposit)
    }

    fn withdraw(&mut self, request: WithdrawRequest) -> Option<Outcome> {
        let answer: Result<Result<WithdrawReceipt, WithdrawError>, _> =
            self.0.try_call_as(user(0), "withdraw", request);
        answer.ok().map(Outcome::Withdraw)
    }

    fn other(&mut self, step: Step) {
        match step {
            Step::PayIn {
                place,
                user: number,
                amount,
            } => {
                let account = &cast().channels[place.channel].deposit_accounts[place.part];
                let account = convert::account_to_candid(account);
                self.0.transfer(place.asset, user(number), account, amount);
            }
            Step::Approve {
                ledger,
                user: number,
                amount,
            } => self.0.approve(ledger, user(number), amount),
            Step::ChangeFee { ledger, fee } => self.0.change_fee(ledger, fee),
            Step::Sign { .. } => {}
            step => unreachable!("{step:?} is no action"),
        }
        self.0.ic.run();
    }

    pub(super) fn holdings(&mut self, channel: usize) -> Option<Holdings> {
        let request = channel_request(channel);
        let answer: Result<HoldingsAnswer, QueryError> = self.0.ask("query_holdings", request);
        answer.unwrap().holdings
    }

    pub(super) fn registered(&mut self, channel: usize) -> Option<Registered> {
        let answer: Result<StateAnswer, QueryError> =
            self.0.ask("query_state", channel_request(channel));
        answer.unwrap().registered
    }

    pub(super) fn events(&mut self, start: u64) -> Vec<EventRecord> {
        let page: Result<EventsPage, EventsError> = self.0.ask("query_events", events_from(start));
        page.unwrap().events
    }
}
