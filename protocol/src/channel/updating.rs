//! Updates: proposing, accepting, refusing, and the turn.

use alloc::boxed::Box;

use super::commitments::{MAX_AHEAD, Proposed};
use super::snapshot::encode_payments;
use super::{Channel, CommandError, Event, Link, Offered, Output, PeerMisbehaved, Phase, Record};
use crate::payment::{PAYMENT_APP, Tally};
use crate::signature::{Signer, Verifier};
use crate::wire::{
    Message, Proposal, Reason, RejectCode, TurnPass, TurnRequest, Update, UpdateAcceptance,
    UpdateRejection,
};
use crate::{Allocation, Amount, Balances, PartIdx, Signature, State, Timestamp, Version};

impl<S: Signer, V: Verifier> Channel<S, V> {
    /// Accepts an update that was offered.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn accept_update(&mut self, now: Timestamp, version: Version) -> Result<(), CommandError> {
        let offered = self.asked_offer(version)?;
        offered.is_approved = true;
        self.advance(now);
        Ok(())
    }

    /// Rejects an update that was offered.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn reject_update(
        &mut self,
        now: Timestamp,
        version: Version,
        reason: &Reason,
    ) -> Result<(), CommandError> {
        self.asked_offer(version)?;
        self.refuse_offered(reason);
        self.advance(now);
        Ok(())
    }

    fn asked_offer(&mut self, version: Version) -> Result<&mut Offered, CommandError> {
        let offered = self.offered.as_mut();
        offered
            .filter(|offered| offered.is_asked && offered.proposed.state.version() == version)
            .ok_or(CommandError::NotOffered { version })
    }

    /// Proposes, asks for the turn, or passes it, whatever is due.
    pub(super) fn use_turn(&mut self, now: Timestamp) {
        let Link::Up { max_batch } = self.link else {
            return;
        };
        if self.phase != Phase::Acting || self.ending.is_forced {
            return;
        }
        // Without a fresh view nothing can be proposed. The turn is not asked for until there is one:
        // two sides that see nothing would pass it to and fro for as long.
        let wants = self.wants_turn() && self.is_view_fresh(now);
        if !self.turn.is_ours() {
            if wants && self.turn.asked_at.is_none() && self.offered.is_none() {
                self.ask_turn(now);
                self.send_turn_request();
            }
        } else if self.commitments.pending().is_none() {
            if wants {
                self.propose_update(now, max_batch);
            } else if self.turn.peer_asks {
                self.pass_turn();
            }
        }
    }

    /// Whether there is something to propose.
    pub(super) fn wants_turn(&self) -> bool {
        !self.queue.is_empty() || self.ending.close_by.is_some()
    }

    fn propose_update(&mut self, now: Timestamp, max_batch: usize) {
        let Some(version) = self.commitments.next_version() else {
            // The counter is spent: only what is signed can be enforced.
            return self.force();
        };
        let base = self.current().version();
        let payments = self.queue.take(max_batch);
        let is_final = self.ending.close_by.is_some() && self.queue.is_empty();
        let update = Update {
            channel: self.id,
            version,
            skipped: version.number() - base.number() - 1,
            turn: self.turn.number(),
            is_final,
            passes_turn: self.turn.peer_asks && !is_final,
            payments,
            signature: Signature::from_bytes([0; 64]),
        };
        let next = self.successor(self.current().state(), self.part(), &update);
        let next = next
            .expect("what is queued is checked against the balance, then and when that changes");
        self.commitments.propose(&self.signer, next, update);
        let update = self
            .commitments
            .pending()
            .expect("just proposed")
            .update
            .clone();
        let payments = (!update.payments.is_empty())
            .then(|| (version, encode_payments(self.part(), &update.payments)));
        let snapshot = self.snapshot();
        self.outputs.push_back(Output::Persist(Record {
            snapshot,
            payments,
            forget: None,
        }));
        self.send(Message::Update(Box::new(update)));
        self.wait_for_answer(now);
    }

    /// The state that `update` by `proposer` makes of `base`.
    pub(super) fn successor(
        &self,
        base: &State,
        proposer: PartIdx,
        update: &Update,
    ) -> Result<State, PeerMisbehaved> {
        if base.is_final() {
            return Err(PeerMisbehaved::UpdateAfterFinal);
        }
        let payments = &update.payments;
        let version = update.version;
        if payments.is_empty() && !update.is_final {
            return Err(PeerMisbehaved::EmptyUpdate { version });
        }
        let Allocation { balances, locked } = base.allocation();
        if payments.assets_needed() > balances.assets() {
            return Err(PeerMisbehaved::UnknownAsset);
        }
        let mut amounts = alloc::vec::Vec::with_capacity(balances.assets() * balances.parts());
        for (asset, part, amount) in balances.iter() {
            let paid = payments.total(asset);
            let next = if part == proposer {
                let overdrawn = PeerMisbehaved::Overdrawn {
                    asset,
                    has: amount,
                    pays: paid,
                };
                amount.checked_sub(paid).ok_or(overdrawn)?
            } else {
                // What one of two pays the other receives. Beyond 128 bits only if it was overdrawn.
                amount.checked_add(paid).unwrap_or(Amount::MAX)
            };
            amounts.push(next);
        }
        let balances = Balances::new(balances.parts(), amounts);
        let balances = balances.map_err(|_| PeerMisbehaved::WrongState)?;
        let app_data = if self.setup.params.app() == PAYMENT_APP {
            let tally = Tally::of(base).map_err(|_| PeerMisbehaved::WrongState)?;
            tally.after(proposer, payments).encode()
        } else {
            base.app_data().to_vec()
        };
        let allocation = Allocation {
            balances,
            locked: locked.clone(),
        };
        let next = State::from_parts(
            self.id,
            version,
            allocation,
            base.funding().clone(),
            app_data,
            update.is_final,
        );
        next.map_err(|_| PeerMisbehaved::WrongState)
    }

    pub(super) fn handle_update(
        &mut self,
        now: Timestamp,
        update: Update,
    ) -> Result<(), PeerMisbehaved> {
        let Link::Up { .. } = self.link else {
            // It is sent again, or comes with the peer's sync.
            return Ok(());
        };
        let current = self.current();
        let version = update.version;
        if version <= current.version() {
            if version == current.version() {
                // Our acceptance was lost.
                self.send_acceptance(false);
            }
            return Ok(());
        }
        if let Some(offered) = &self.offered
            && offered.proposed.state.version() == version
        {
            return Ok(());
        }
        if self.commitments.is_refused(version) {
            self.send_rejection(version, &Reason::new(RejectCode::Declined, "once more"));
            return Ok(());
        }
        if self.phase == Phase::Settling || self.ending.is_forced {
            let reason = Reason::new(RejectCode::Disputed, "the channel is on its way out");
            self.send_rejection(version, &reason);
            return Ok(());
        }
        let current_version = current.version();
        if version.number() - current_version.number() > MAX_AHEAD {
            self.send_rejection(
                version,
                &Reason::new(RejectCode::Misbehaved, "too far ahead"),
            );
            return Err(PeerMisbehaved::VersionTooFar {
                current: current_version,
                proposed: version,
            });
        }
        let base = version
            .number()
            .checked_sub(update.skipped.saturating_add(1));
        let is_in_turn = update.turn == self.turn.number()
            && !self.turn.is_ours()
            && self.commitments.pending().is_none();
        // Only after one side was restored from an old copy.
        let is_signed = Some(version) <= self.commitments.highest_signed();
        if base != Some(current_version.number()) || !is_in_turn || is_signed {
            // One side has missed something. Nothing is refused, so no version is burnt.
            self.send_sync(true);
            return Ok(());
        }
        let peer = self.setup.peer();
        let next = match self.successor(current.state(), peer, &update) {
            Ok(next) => next,
            Err(misbehaved) => {
                let text = alloc::format!("{misbehaved}");
                self.send_rejection(version, &Reason::new(RejectCode::Misbehaved, &text));
                return Err(misbehaved);
            }
        };
        let them = self.setup.params.participants()[peer.index()];
        if !them.verify::<V>(&next.digest(), &update.signature) {
            let reason = Reason::new(RejectCode::Misbehaved, "the signature is not good");
            self.send_rejection(version, &reason);
            return Err(PeerMisbehaved::WrongSignature {
                part: peer,
                version,
            });
        }
        let decide_ns = self.limits.decide_ns.unwrap_or(self.limits.silence_ns / 2);
        self.offered = Some(Offered {
            proposed: Proposed {
                state: next,
                signature: update.signature,
            },
            payments: update.payments,
            passes_turn: update.passes_turn,
            deadline: now.saturating_add_nanos(decide_ns),
            is_asked: false,
            is_approved: self.limits.decide_ns.is_none(),
        });
        self.advance(now);
        Ok(())
    }

    /// Accepts what is offered if everything for it is there, and asks the owner if it is time to.
    pub(super) fn answer_offered(&mut self, now: Timestamp) {
        let is_fresh = self.is_view_fresh(now) && self.phase == Phase::Acting;
        let is_still_ours_to_sign = !self.turn.is_ours() && self.commitments.pending().is_none();
        let highest_signed = self.commitments.highest_signed();
        let Some(offered) = &mut self.offered else {
            return;
        };
        if !is_still_ours_to_sign || Some(offered.proposed.state.version()) <= highest_signed {
            // A sync has shown since that the turn is over, or that we have signed more than we knew.
            return self.refuse_offered(&Reason::new(RejectCode::WrongBase, "its turn is over"));
        }
        let Link::Up { .. } = self.link else {
            return;
        };
        if !is_fresh {
            return;
        }
        if !offered.is_approved {
            if !offered.is_asked {
                offered.is_asked = true;
                let event = Event::Offered {
                    version: offered.proposed.state.version(),
                    payments: offered.payments.clone(),
                    is_final: offered.proposed.state.is_final(),
                    deadline: offered.deadline,
                };
                self.notify(event);
            }
            return;
        }
        let Some(Offered {
            proposed,
            payments,
            passes_turn,
            ..
        }) = self.offered.take()
        else {
            return;
        };
        let (version, is_final) = (proposed.state.version(), proposed.state.is_final());
        let part = self.part();
        self.commitments.countersign(&self.signer, part, proposed);
        if passes_turn {
            self.turn.pass();
        }
        let record = Record {
            snapshot: self.snapshot(),
            payments: (!payments.is_empty())
                .then(|| (version, encode_payments(self.setup.peer(), &payments))),
            forget: None,
        };
        self.outputs.push_back(Output::Persist(record));
        let asks_turn = !self.turn.is_ours() && !is_final && self.wants_turn();
        if asks_turn {
            self.ask_turn(now);
        }
        self.send_acceptance(asks_turn);
        if !payments.is_empty() {
            self.notify(Event::Received { version, payments });
        }
        if is_final {
            self.begin_settling();
        }
    }

    /// Refuses what is offered. Its signer is bound to it nevertheless, and we never accept it any
    /// more, so we remember it.
    pub(super) fn refuse_offered(&mut self, reason: &Reason) {
        let Some(offered) = self.offered.take() else {
            return;
        };
        let version = offered.proposed.state.version();
        self.commitments.refuse(offered.proposed);
        self.persist();
        self.send_rejection(version, reason);
    }

    pub(super) fn handle_acceptance(
        &mut self,
        now: Timestamp,
        acceptance: UpdateAcceptance,
    ) -> Result<(), PeerMisbehaved> {
        let UpdateAcceptance {
            version,
            part,
            signature,
            asks_turn,
            ..
        } = acceptance;
        if version == Version::INITIAL && self.current().version() == version {
            // Our signature on version 0 was lost, or theirs comes once more. Who signed first and
            // knows both signatures needs no answer.
            if matches!(self.link, Link::Syncing { .. }) || self.part() == Proposal::PROPOSER {
                self.send_initial();
            }
            return Ok(());
        }
        let Some(pending) = self.commitments.pending() else {
            return Ok(());
        };
        if pending.state.version() != version {
            return Ok(());
        }
        let peer = self.setup.peer();
        if part != peer {
            return Err(PeerMisbehaved::WrongPart { part });
        }
        let them = self.setup.params.participants()[peer.index()];
        if !them.verify::<V>(&pending.state.digest(), &signature) {
            return Err(PeerMisbehaved::WrongSignature { part, version });
        }
        let ours = self.part();
        let update = self.commitments.complete(ours, signature);
        self.settle_payments(None);
        if update.passes_turn {
            self.turn.pass();
        }
        self.turn.peer_asks |= asks_turn && self.turn.is_ours();
        self.persist_later(None);
        if update.is_final {
            self.begin_settling();
        }
        self.advance(now);
        Ok(())
    }

    pub(super) fn handle_rejection(
        &mut self,
        now: Timestamp,
        rejection: UpdateRejection,
    ) -> Result<(), PeerMisbehaved> {
        let UpdateRejection {
            version,
            code,
            text,
            ..
        } = rejection;
        let pending = self.commitments.pending();
        if pending.is_none_or(|pending| pending.state.version() != version) {
            return Ok(());
        }
        self.burn_pending(Reason { code, text });
        self.advance(now);
        Ok(())
    }

    /// Our proposal is refused.
    pub(super) fn burn_pending(&mut self, reason: Reason) {
        let part = self.part();
        let update = self.commitments.burn(part);
        let has_payments = !update.payments.is_empty();
        // In the same record: a final state that was refused must never look like any other.
        self.ending.is_forced |= update.is_final;
        self.persist_later(has_payments.then_some(update.version));
        self.settle_payments(Some(&reason));
        if update.is_final {
            self.end_by_dispute(Some(reason));
        }
    }

    /// Tells what became of our payments under way: settled, or refused for a reason.
    pub(super) fn settle_payments(&mut self, refused: Option<&Reason>) {
        self.resend_at = None;
        self.unanswered_since = None;
        self.has_complained = false;
        let Some((from, through)) = self.queue.resolve() else {
            return;
        };
        self.notify(match refused {
            None => Event::Settled { through },
            Some(reason) => Event::Refused {
                from,
                through,
                reason: reason.clone(),
            },
        });
    }

    pub(super) fn handle_turn_request(
        &mut self,
        now: Timestamp,
        turn: u64,
    ) -> Result<(), PeerMisbehaved> {
        let Link::Up { .. } = self.link else {
            return Ok(());
        };
        if turn == self.turn.number() && self.turn.is_ours() {
            self.turn.peer_asks = true;
            self.advance(now);
        } else if turn.checked_add(1) == Some(self.turn.number()) && !self.turn.is_ours() {
            // What passed it was lost.
            self.send_turn_pass();
        }
        Ok(())
    }

    pub(super) fn handle_turn_pass(
        &mut self,
        now: Timestamp,
        turn: u64,
    ) -> Result<(), PeerMisbehaved> {
        let Link::Up { .. } = self.link else {
            return Ok(());
        };
        let next = self.turn.number().checked_add(1);
        if Some(turn) == next && !self.turn.is_ours() {
            self.turn.pass();
            self.unanswered_since = None;
            self.has_complained = false;
            self.resend_at = None;
            self.advance(now);
        } else if turn > self.turn.number() {
            self.send_sync(true);
        }
        Ok(())
    }

    /// Nothing waits for it to be stored: who was restored without it learns it from the one who
    /// has the turn since, and if that one has not used it, both are where they were.
    fn pass_turn(&mut self) {
        self.turn.pass();
        self.persist_later(None);
        self.send_turn_pass();
    }

    fn send_turn_pass(&mut self) {
        self.send(Message::TurnPass(TurnPass {
            channel: self.id,
            turn: self.turn.number(),
        }));
    }

    fn ask_turn(&mut self, now: Timestamp) {
        self.turn.asked_at = Some(now);
        self.wait_for_answer(now);
    }

    pub(super) fn send_turn_request(&mut self) {
        self.send(Message::TurnRequest(TurnRequest {
            channel: self.id,
            turn: self.turn.number(),
        }));
    }

    pub(super) fn wait_for_answer(&mut self, now: Timestamp) {
        self.resend_at = Some(now.saturating_add_nanos(self.limits.retry_ns));
        self.unanswered_since = Some(now);
        self.has_complained = false;
    }

    pub(super) fn send_acceptance(&mut self, asks_turn: bool) {
        let current = self.current();
        let (version, part) = (current.version(), self.part());
        let signature = current.signatures()[part.index()];
        self.send(Message::UpdateAcceptance(UpdateAcceptance {
            channel: self.id,
            version,
            part,
            signature,
            asks_turn,
        }));
    }

    fn send_rejection(&mut self, version: Version, reason: &Reason) {
        self.send(Message::UpdateRejection(UpdateRejection {
            channel: self.id,
            version,
            code: reason.code,
            text: reason.text.clone(),
        }));
    }
}
