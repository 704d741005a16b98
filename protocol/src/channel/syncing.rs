//! Syncing: after every (re)connect both say how far they are, and one round trip later both know.
//!
//! The newer state that all have signed wins. A proposal that was not answered is answered now. A
//! side that is shown its own signature on something it does not know has been restored from an old
//! copy; it takes over the newest state and goes on far above everything shown.

use alloc::boxed::Box;

use super::commitments::Proposed;
use super::{Channel, Event, Link, Output, PeerMisbehaved, Phase};
use crate::signature::{Signer, Verifier};
use crate::wire::{Message, Reason, RejectCode, Sync, Witness};
use crate::{SignedState, State, Timestamp, UnverifiedSignedState, Version};

impl<S: Signer, V: Verifier> Channel<S, V> {
    /// Sends everything that waits for an answer, for the first time on a link or again.
    pub(super) fn send_again(&mut self, now: Timestamp) {
        self.resend_at = None;
        match self.link {
            Link::Down => return,
            Link::Syncing { .. } => {
                let is_first = self.unanswered_since.is_none();
                self.send_sync(!is_first);
                if is_first {
                    self.wait_for_answer(now);
                }
            }
            Link::Up { .. } => {
                if let Phase::Signing { .. } = self.phase {
                    self.send_initial();
                } else if let Some(pending) = self.commitments.pending() {
                    let update = pending.update.clone();
                    self.send(Message::Update(Box::new(update)));
                } else if self.turn.asked_at.is_some() {
                    self.send_turn_request();
                } else {
                    return;
                }
            }
        }
        self.resend_at = Some(now.saturating_add_nanos(self.limits.retry_ns));
    }

    pub(super) fn send_sync(&mut self, wants_answer: bool) {
        let commitments = &self.commitments;
        let sync = Sync {
            channel: self.id,
            turn: self.turn.number(),
            newest: UnverifiedSignedState::from(self.current().clone()),
            pending: commitments.pending().map(|pending| pending.update.clone()),
            witness: commitments.refused().map(Proposed::to_witness),
            signed_through: commitments.highest_signed(),
            wants_answer,
            offered: self
                .offered
                .as_ref()
                .map(|theirs| theirs.proposed.to_witness()),
        };
        self.send(Message::Sync(Box::new(sync)));
    }

    pub(super) fn handle_sync(&mut self, now: Timestamp, sync: Sync) -> Result<(), PeerMisbehaved> {
        let max_batch = match self.link {
            Link::Down => return Ok(()),
            Link::Syncing { max_batch } | Link::Up { max_batch } => max_batch,
        };
        let Sync {
            turn,
            newest,
            pending,
            witness,
            signed_through,
            wants_answer,
            offered,
            channel: _,
        } = sync;
        // Everything is checked before anything changes.
        let newest = self.check_newest(newest)?;
        let witness = self.check_witness(witness)?;
        let offered = self.check_witness(offered)?;
        let highest_signed = self.commitments.highest_signed();
        let current_turn = self.turn.number();
        if !self.turn.catch_up(turn) {
            return Err(PeerMisbehaved::TurnTooFar {
                current: current_turn,
                claimed: turn,
            });
        }
        if let Some(newest) = newest {
            self.take_over(*newest);
        }
        for witness in [&witness, &offered].into_iter().flatten() {
            self.notice_rollback(witness);
        }
        let refused = witness.map(|witness| witness.state.version());
        let ours = self.commitments.pending();
        if ours.is_some_and(|ours| Some(ours.state.version()) <= refused) {
            self.burn_pending(Reason::new(
                RejectCode::Declined,
                "refused before the link broke",
            ));
        }
        if let Some(version) = signed_through {
            self.commitments.hear_peer_signed(version);
            let pending = self.commitments.pending();
            if pending.is_some_and(|pending| pending.state.version() <= version) {
                self.burn_pending(Reason::new(RejectCode::WrongBase, "the version is spent"));
            }
        }
        // Nobody accepts a proposal outside of the turn that it was made in.
        let pending_turn = self.commitments.pending().map(|ours| ours.update.turn);
        if pending_turn.is_some_and(|turn| turn != self.turn.number()) {
            self.burn_pending(Reason::new(RejectCode::WrongBase, "its turn is over"));
        }
        // A proposal that its own signer does not know any more will never be settled by it.
        let is_forgotten = self.offered.as_ref().is_some_and(|theirs| {
            let known = pending.as_ref().map(|update| update.signature);
            known != Some(theirs.proposed.signature)
        });
        if is_forgotten {
            self.refuse_offered(&Reason::new(
                RejectCode::WrongBase,
                "forgotten by its signer",
            ));
        }
        let was_syncing = matches!(self.link, Link::Syncing { .. });
        self.link = Link::Up { max_batch };
        self.is_current = true;
        if was_syncing {
            self.notify(Event::Synced);
        }
        self.unanswered_since = None;
        self.has_complained = false;
        self.resend_at = None;
        if self.commitments.pending().is_some() || self.turn.asked_at.is_some() {
            self.wait_for_answer(now);
        }
        // Who has just learnt that it has signed more than it knew tells the other from where on.
        if wants_answer || self.commitments.highest_signed() > highest_signed {
            self.send_sync(false);
        }
        let result = match pending {
            Some(update) => self.handle_update(now, update),
            None => Ok(()),
        };
        self.advance(now);
        result
    }

    /// The state shown if it is newer than ours, its signatures verified.
    fn check_newest(
        &self,
        newest: UnverifiedSignedState,
    ) -> Result<Option<Box<SignedState>>, PeerMisbehaved> {
        if newest.state.channel() != self.id {
            return Err(PeerMisbehaved::WrongState);
        }
        if newest.state.version() <= self.current().version() {
            return Ok(None);
        }
        let verified = newest.verify_for::<V>(self.id, &self.setup.params);
        let signed = verified.map_err(|_| PeerMisbehaved::WrongState)?;
        Ok(Some(Box::new(signed)))
    }

    /// A watcher shows a state that it was given by us. If it is newer than ours, this copy is an old
    /// one, and goes on far above it.
    ///
    /// # Errors
    /// [`PeerMisbehaved::WrongState`] if it is none of this channel, or not signed by all; then it
    /// changes nothing.
    pub fn handle_shown(
        &mut self,
        now: Timestamp,
        shown: UnverifiedSignedState,
    ) -> Result<(), PeerMisbehaved> {
        if matches!(self.phase, Phase::Signing { .. } | Phase::Closed) {
            return Ok(());
        }
        if let Some(newer) = self.check_newest(shown)? {
            self.take_over(*newer);
            self.advance(now);
        }
        Ok(())
    }

    /// Takes over a newer state that all have signed.
    pub(super) fn take_over(&mut self, signed: SignedState) {
        let knew = self.current().version();
        let (shown, is_final) = (signed.version(), signed.state().is_final());
        let is_forgotten = Some(shown) > self.commitments.highest_signed();
        // An offer that it was made from, or that it is.
        self.offered = None;
        let resolved = self.commitments.adopt(signed);
        if is_forgotten {
            self.leap(knew, shown);
        }
        if self.commitments.pending().is_some() {
            // Made from an older state, it cannot follow this one.
            self.burn_pending(Reason::new(RejectCode::WrongBase, "its base is outdated"));
        }
        let payments_lost = resolved
            .as_ref()
            .filter(|resolved| !resolved.is_agreed && !resolved.update.payments.is_empty());
        let forget = payments_lost.map(|resolved| resolved.update.version);
        let record = self.record(forget);
        self.outputs.push_back(if is_forgotten {
            // Where it goes on from must not be forgotten again.
            Output::Persist(record)
        } else {
            Output::PersistLater(record)
        });
        if let Some(resolved) = resolved {
            let text = if is_forgotten {
                "this copy is an old one: they may have been settled before"
            } else {
                "another state took its place"
            };
            let reason = Reason::new(RejectCode::WrongBase, text);
            let refused = (!resolved.is_agreed).then_some(&reason);
            self.settle_payments(refused);
        }
        if !self.queue.is_within(&self.balance()) {
            self.clear_queue(Reason::new(
                RejectCode::WrongBase,
                "the newest state leaves less than that",
            ));
        }
        if is_final {
            self.begin_settling();
        }
    }

    fn check_witness(&self, witness: Option<Witness>) -> Result<Option<Proposed>, PeerMisbehaved> {
        let Some(witness) = witness else {
            return Ok(None);
        };
        let proposed = Proposed::from_witness(witness);
        let proposed = proposed.filter(|proposed| proposed.state.channel() == self.id);
        proposed.map(Some).ok_or(PeerMisbehaved::WrongState)
    }

    /// The peer shows a proposal of ours that it has refused, or has not answered. If we do not know
    /// it, we have forgotten it.
    fn notice_rollback(&mut self, shown: &Proposed) {
        let (knew, version) = (self.current().version(), shown.state.version());
        let is_above = Some(version) > self.commitments.highest_signed();
        // A final state counts even below what was leapt over since: it can still be concluded by.
        let pending = self.pending().map(State::version);
        let is_unknown_end = shown.state.is_final()
            && !self.ending.is_forced
            && version > knew
            && pending != Some(version);
        let us = self.setup.params.participants()[self.part().index()];
        if !(is_above || is_unknown_end) || !us.verify::<V>(&shown.state.digest(), &shown.signature)
        {
            return;
        }
        if is_above {
            self.leap(knew, version);
        }
        self.ending.is_forced |= is_unknown_end;
        self.persist();
        if is_unknown_end {
            self.end_by_dispute(None);
        }
    }

    /// This copy was restored from an old one: it has signed `shown` and does not know it.
    pub(super) fn leap(&mut self, knew: Version, shown: Version) {
        self.commitments.leap(shown);
        self.notify(Event::RolledBack { knew, shown });
    }
}
