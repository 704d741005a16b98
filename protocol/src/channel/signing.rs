//! Opening: both sign version 0, the acceptor first.
//!
//! ```text
//! acceptor: signs, stores, sends ──> proposer: verifies, signs, stores, sends ──> acceptor: verifies, stores
//! ```
//!
//! So the proposer never has a channel of which it only has its own signature, and the acceptor,
//! which has, has not deposited yet and can forget it when time is over.

use super::commitments::both;
use super::{
    Channel, Event, Limits, Link, Output, PeerMisbehaved, Phase, Record, RestoreError, Setup,
};
use crate::signature::{Signer, Verifier};
use crate::view::Status;
use crate::wire::{Acceptance, Message, Proposal, Reason, RejectCode, Sync, UpdateAcceptance};
use crate::{PartIdx, Signature, SignedState, Timestamp, Version};

impl<S: Signer, V: Verifier> Channel<S, V> {
    /// The proposer's half of a channel that was accepted. It waits for the acceptor's signature.
    ///
    /// # Errors
    /// [`RestoreError::WrongKey`] if the signer's key is not the participant's.
    pub fn propose(setup: Setup, limits: Limits, signer: S) -> Result<Self, RestoreError> {
        let mut channel = Self::blank(setup, limits, signer)?;
        channel.is_current = true;
        Ok(channel)
    }

    /// The acceptor's half of a channel that it accepts with `acceptance`, which is sent with its
    /// signature on version 0 whenever there is a link.
    ///
    /// # Errors
    /// [`RestoreError::WrongKey`] if the signer's key is not the participant's.
    pub fn accept(
        setup: Setup,
        limits: Limits,
        signer: S,
        acceptance: Acceptance,
    ) -> Result<Self, RestoreError> {
        let mut channel = Self::blank(setup, limits, signer)?;
        channel.is_current = true;
        channel.phase = Phase::Signing {
            acceptance: Some(acceptance),
        };
        let initial = &channel.setup.initial;
        channel.commitments.sign_initial(&channel.signer, initial);
        channel.persist();
        Ok(channel)
    }

    pub(super) fn handle_while_signing(
        &mut self,
        now: Timestamp,
        message: Message,
    ) -> Result<(), PeerMisbehaved> {
        match message {
            Message::UpdateAcceptance(acceptance) if acceptance.version == Version::INITIAL => {
                let theirs = self.check_initial(acceptance.part, acceptance.signature)?;
                let initial = self.setup.initial.clone();
                let ours = self.commitments.sign_initial(&self.signer, &initial);
                self.begin_funding(both(self.part(), ours, theirs, initial));
                if self.part() == Proposal::PROPOSER {
                    self.send_initial();
                }
                self.emit_call(now, false);
                Ok(())
            }
            // The proposer has gone on since, and says so instead.
            Message::Sync(sync) => {
                let newest = sync.newest.clone();
                let newest = newest.verify_for::<V>(self.id, &self.setup.params);
                let newest = newest.map_err(|_| PeerMisbehaved::WrongState)?;
                self.begin_funding(newest);
                // It waits for ours, which we had no state for when the link began.
                self.handle_sync(
                    now,
                    Sync {
                        wants_answer: true,
                        ..*sync
                    },
                )
            }
            Message::UpdateRejection(rejection) if rejection.code == RejectCode::UnknownChannel => {
                self.abandon(Reason {
                    code: rejection.code,
                    text: rejection.text,
                });
                Ok(())
            }
            Message::ProposalRejection(rejection) => {
                let Phase::Signing { acceptance } = &self.phase else {
                    return Ok(());
                };
                let ours = acceptance.as_ref().map(|ours| ours.proposal);
                if ours == Some(rejection.proposal) {
                    self.abandon(Reason {
                        code: rejection.code,
                        text: rejection.text,
                    });
                }
                Ok(())
            }
            Message::Acceptance(_) | Message::Unknown { .. } => Ok(()),
            _ => Err(PeerMisbehaved::OutOfPlace),
        }
    }

    fn check_initial(
        &self,
        part: PartIdx,
        signature: Signature,
    ) -> Result<Signature, PeerMisbehaved> {
        if part != self.setup.peer() {
            return Err(PeerMisbehaved::WrongPart { part });
        }
        let peer = self.setup.params.participants()[part.index()];
        if !peer.verify::<V>(&self.setup.initial.digest(), &signature) {
            return Err(PeerMisbehaved::WrongSignature {
                part,
                version: Version::INITIAL,
            });
        }
        Ok(signature)
    }

    /// Version 0 is signed by both, or a later state, if this copy has forgotten what followed.
    fn begin_funding(&mut self, signed: SignedState) {
        let version = signed.version();
        self.commitments.open(signed);
        self.phase = Phase::Funding;
        self.is_current = true;
        self.resend_at = None;
        if version > Version::INITIAL {
            self.leap(Version::INITIAL, version);
        }
        self.persist();
    }

    /// The peer proposes once more what we have accepted: our acceptance was lost.
    pub fn send_opening_again(&mut self) {
        if let Phase::Signing { .. } = self.phase {
            self.send_initial();
        }
    }

    /// Sends our signature on version 0 for the first time, or again.
    pub(super) fn send_initial(&mut self) {
        if let Phase::Signing { acceptance } = &self.phase {
            // The proposer signs second.
            let Some(acceptance) = acceptance.clone() else {
                return;
            };
            self.send(Message::Acceptance(acceptance));
        }
        let signature = match self.commitments.current() {
            Some(current) => current.signatures()[self.part().index()],
            None => self
                .commitments
                .sign_initial(&self.signer, &self.setup.initial),
        };
        self.send(Message::UpdateAcceptance(UpdateAcceptance {
            channel: self.id,
            version: Version::INITIAL,
            part: self.part(),
            signature,
            asks_turn: false,
        }));
    }

    /// Ends a channel that nothing was deposited for.
    pub(super) fn abandon(&mut self, reason: Reason) {
        self.phase = Phase::Closed;
        self.link = Link::Down;
        self.persist();
        self.notify(Event::Abandoned { reason });
    }

    /// Whether the deposits that were seen are all nothing.
    pub(super) fn is_nothing_deposited(&self) -> bool {
        match self.view.as_ref().map(|view| &view.status) {
            Some(Status::Open { holdings }) => holdings.is_zero(),
            _ => false,
        }
    }

    /// Appends an output that is to be stored some time.
    pub(super) fn persist_later(&mut self, forget: Option<Version>) {
        let record = self.record(forget);
        self.outputs.push_back(Output::PersistLater(record));
    }

    pub(super) fn record(&self, forget: Option<Version>) -> Record {
        Record {
            snapshot: self.snapshot(),
            payments: None,
            forget,
        }
    }
}
