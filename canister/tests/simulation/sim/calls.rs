//! Calls of the adjudicator: what goes in, and what may come out.

use std::rc::Rc;

use candid::Principal;
use perun_canister::Adjudicator;
use perun_canister::flow::{self, System as _};
use perun_canister_api::{ChannelRequest, ConcludeError, DisputeResult, Registered, convert};
use perun_protocol::Timestamp;

use super::{Outcome, Sim};
use crate::books::Judgement;
use crate::cast::{cast, user};
use crate::coverage::{Case, Sort};
use crate::step::{Call, Claim, Step};

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
            Call::Dispute(claim) => {
                let mut answers = self.hand_in(&[claim], |adjudicator, now| {
                    vec![adjudicator.dispute(cast().disputing(claim), now)]
                });
                answers.pop().map(Outcome::Dispute)
            }
            Call::DisputeMany(claims) => {
                let requests = claims.map(|claim| cast().disputing(claim).clone());
                let answers = self.hand_in(&claims, |adjudicator, now| {
                    let answers = adjudicator.dispute_many(&requests, now);
                    answers.expect("so many may come")
                });
                Some(Outcome::DisputeMany(answers))
            }
            Call::Conclude { channel } => {
                let timeout_ns = self.timeout_ns(channel);
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
                let claim = Claim::State { channel, state };
                let timeout_ns = self.timeout_ns(channel);
                let expected = self.books.judge(claim, timeout_ns, stage.now_ns());
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
        assert_eq!(info.channels, self.books.stored());
    }

    pub(super) fn registered(&self, channel: usize) -> Option<Registered> {
        let id = cast().channels[channel].id;
        self.stage.adjudicator().registered(id, self.stage.now())
    }

    /// The timeout of what is registered for a channel, as far as gaps have moved it.
    fn timeout_ns(&self, channel: usize) -> Option<u64> {
        self.registered(channel).map(|standing| standing.timeout_ns)
    }

    /// Claims, one after the other in one message. Each is answered as it would be alone after the
    /// ones before it, and all together leave behind what those that are registered do.
    fn hand_in(
        &mut self,
        claims: &[Claim],
        dispute: impl FnOnce(&mut Adjudicator, Timestamp) -> Vec<DisputeResult>,
    ) -> Vec<DisputeResult> {
        let now_ns = self.stage.now_ns();
        let mut expected = self.books.clone();
        let mut judgements = Vec::new();
        for &claim in claims {
            let timeout_ns = self.timeout_ns(claim.channel());
            let alone = self.books.judge(claim, timeout_ns, now_ns);
            let judgement = expected.hand_in(claim, timeout_ns, now_ns);
            if alone != judgement {
                self.books.coverage.meet(Case::DecidedByEarlier);
            }
            if self.books.channels[claim.channel()].is_finished() {
                self.books.coverage.meet(Case::ClaimForFinished);
            }
            judgements.push(judgement);
        }
        let answers = self.stage.mutate(dispute);
        let told: Vec<_> = answers.iter().map(Judgement::of).collect();
        assert_eq!(told, judgements, "{claims:?}");
        self.books.read_log(&self.stage);
        for (found, expected) in self.books.channels.iter().zip(&expected.channels) {
            assert_eq!(found, expected, "after {claims:?}");
        }
        self.count(claims, &judgements);
        answers
    }

    fn count(&mut self, claims: &[Claim], judgements: &[Judgement]) {
        let is_batch = claims.len() > 1;
        for (claim, &judgement) in claims.iter().zip(judgements) {
            self.books.coverage.meet(match is_batch {
                true => Case::OneOfMany(judgement),
                false => Case::Alone(judgement),
            });
            let state = claim
                .state()
                .map(|state| &cast().channels[claim.channel()].states[state]);
            let is_final = state.is_some_and(|state| state.is_final);
            if is_batch && is_final && judgement == Judgement::Registered {
                self.books.coverage.meet(Case::FinalOfMany);
            }
        }
        let is_good = |judgement: &&Judgement| **judgement == Judgement::Registered;
        let behind_first = judgements
            .iter()
            .skip_while(|judgement| !is_good(judgement));
        let mut behind_refused = behind_first.skip_while(is_good);
        if behind_refused.any(|judgement| *judgement == Judgement::Registered) {
            self.books.coverage.meet(Case::RefusedBetween);
        }
    }
}
