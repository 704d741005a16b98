//! Updates of our own, and the turn that they need.

use alloc::boxed::Box;

use super::snapshot::encode_payments;
use super::{Channel, Event, Link, Output, PeerMisbehaved, Phase, Record};
use crate::signature::{Signer, Verifier};
use crate::wire::{
    Message, Proposal, Reason, TurnPass, TurnRequest, Update, UpdateAcceptance, UpdateRejection,
};
use crate::{Signature, Timestamp, Version};

impl<S: Signer, V: Verifier> Channel<S, V> {
    /// Proposes, asks for the turn, or passes it, whatever is due.
    pub(super) fn use_turn(&mut self, now: Timestamp) {
        let Link::Up { max_batch } = self.link else {
            return;
        };
        if self.phase != Phase::Acting {
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
        // A sync that was not answered is still waited for.
        if !matches!(self.link, Link::Syncing { .. }) {
            self.resend_at = None;
            self.unanswered_since = None;
        }
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

    pub(super) fn ask_turn(&mut self, now: Timestamp) {
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
}
