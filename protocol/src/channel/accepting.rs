//! Updates of the peer: checking, offering to the owner, accepting, refusing.

use super::commitments::{MAX_AHEAD, Proposed};
use super::snapshot::encode_payments;
use super::{Channel, CommandError, Event, Link, Offered, Output, PeerMisbehaved, Phase, Record};
use crate::signature::{Signer, Verifier};
use crate::wire::{Message, Reason, RejectCode, Update, UpdateAcceptance, UpdateRejection};
use crate::{Timestamp, Version};

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
