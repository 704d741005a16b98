//! Calls of the adjudicator: what goes in, and what may come out.

use std::rc::Rc;

use candid::Principal;
use perun_canister::flow::{self, System as _};
use perun_canister_api::{
    ChannelRequest, ConcludeError, DisputeError, DisputeRequest, Registered, convert,
};

use super::{Outcome, Sim};
use crate::books::Judgement;
use crate::cast::{cast, user};
use crate::coverage::Sort;
use crate::step::{Call, Step};

impl Sim {
    pub(super) fn call(&mut self, call: Call) -> Option<Outcome> {
        let stage = Rc::clone(&self.stage);
        let step = Step::Call(call);
        match call {
            Call::Pull {
                place,
                user: number,
                amount,
                expected,
            } => {
                let channel = &cast().channels[place.channel];
                let request = channel.pulling(place.asset, place.part, amount, expected);
                self.begin(Sort::Pull, Some(place.channel), &step, async move {
                    Outcome::Deposit(flow::deposit(&*stage, user(number), request).await)
                })
            }
            Call::Sweep { place } => {
                let request = cast().channels[place.channel].sweeping(place.asset, place.part);
                self.begin(Sort::Sweep, Some(place.channel), &step, async move {
                    Outcome::Deposit(flow::deposit(&*stage, Principal::anonymous(), request).await)
                })
            }
            Call::Withdraw { place } => {
                let channel = &cast().channels[place.channel];
                let request = channel.withdrawals[place.asset][place.part].clone();
                self.begin(Sort::Withdraw, Some(place.channel), &step, async move {
                    Outcome::Withdraw(flow::withdraw(&*stage, request).await)
                })
            }
            Call::Steal { place, other } => {
                let mut request =
                    cast().channels[place.channel].withdrawals[place.asset][place.part].clone();
                let others = &cast().channels[other.channel].withdrawals[other.asset][other.part];
                request.receiver = others.receiver;
                request.signature = others.signature.clone();
                let outcome = self.begin(Sort::Immediate, None, &step, async move {
                    Outcome::Withdraw(flow::withdraw(&*stage, request).await)
                });
                if let Some(Outcome::Withdraw(Ok(receipt))) = &outcome {
                    panic!("{receipt:?} for nobody");
                }
                assert!(outcome.is_some(), "a ledger is asked for a thief");
                outcome
            }
            Call::Dispute { channel, state } => {
                let request = &cast().channels[channel].states[state].disputing;
                Some(self.dispute(channel, Some(state), false, request))
            }
            Call::Forge { channel, state } => {
                let request = &cast().channels[channel].states[state].forged;
                Some(self.dispute(channel, Some(state), true, request))
            }
            Call::Refund { channel, part } => {
                let request = &cast().channels[channel].refunds[part];
                Some(self.dispute(channel, None, false, request))
            }
            Call::Conclude { channel } => {
                let timeout_ns = self.registered(channel).map(|standing| standing.timeout_ns);
                let request = &cast().channels[channel].concluding;
                let answer = stage.mutate(|adjudicator, now| adjudicator.conclude(request, now));
                let is_open = timeout_ns.is_some_and(|timeout_ns| stage.now_ns() < timeout_ns);
                if is_open {
                    assert!(matches!(answer, Err(ConcludeError::ChallengeOpen { .. })));
                }
                assert_eq!(answer.is_ok(), timeout_ns.is_some() && !is_open);
                Some(Outcome::Conclude(answer))
            }
            Call::ConcludeBy { channel, state } => {
                let expected = self.judge(channel, Some(state), false);
                let signed = &cast().channels[channel].states[state];
                let is_done = self.books.is_concluded_by(channel, state);
                let answer =
                    stage.mutate(|adjudicator, now| adjudicator.conclude(&signed.concluding, now));
                if !signed.is_final {
                    assert_eq!(answer, Err(ConcludeError::NotFinal));
                } else {
                    let is_good = is_done || expected == Judgement::Registered;
                    assert_eq!(answer.is_ok(), is_good, "{answer:?}");
                }
                Some(Outcome::Conclude(answer))
            }
            Call::Ask { channel } => {
                self.ask(channel);
                None
            }
        }
    }

    /// Queries change nothing and always have an answer.
    pub(super) fn ask(&self, channel: usize) {
        let adjudicator = self.stage.adjudicator();
        let info = adjudicator.info(self.stage.now());
        assert_eq!(info.events, self.books.seen);
        let request = ChannelRequest {
            channel: convert::channel_to_candid(&cast().channels[channel].id),
        };
        assert!(adjudicator.holdings(&request).is_ok());
        assert_eq!(adjudicator.has_journal(), info.journal > 0);
    }

    pub(super) fn registered(&self, channel: usize) -> Option<Registered> {
        let id = cast().channels[channel].id;
        self.stage.adjudicator().registered(id, self.stage.now())
    }

    pub(super) fn judge(&self, channel: usize, state: Option<usize>, is_forged: bool) -> Judgement {
        let timeout_ns = self.registered(channel).map(|standing| standing.timeout_ns);
        let now_ns = self.stage.now_ns();
        self.books
            .judge(channel, state, is_forged, timeout_ns, now_ns)
    }

    pub(super) fn dispute(
        &mut self,
        channel: usize,
        state: Option<usize>,
        is_forged: bool,
        request: &DisputeRequest,
    ) -> Outcome {
        let expected = self.judge(channel, state, is_forged);
        let before = self.registered(channel);
        let answer = self
            .stage
            .mutate(|adjudicator, now| adjudicator.dispute(request, now));
        let judgement = match &answer {
            Ok(_) => Judgement::Registered,
            Err(DisputeError::UnknownChannel) => Judgement::UnknownChannel,
            Err(DisputeError::ChallengeElapsed { .. }) => Judgement::Elapsed,
            Err(DisputeError::Outdated { .. }) => Judgement::Outdated,
            Err(DisputeError::InsufficientFunding { .. }) => Judgement::Insufficient,
            Err(DisputeError::WrongSignature { .. }) => Judgement::WrongSignature,
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(judgement, expected, "channel {channel}, state {state:?}");
        if let (Ok(after), Some(before)) = (&answer, before) {
            assert!(
                after.concluded || after.timeout_ns == before.timeout_ns,
                "a refutation moves no timeout"
            );
        }
        Outcome::Dispute(answer)
    }
}
