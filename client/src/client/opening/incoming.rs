//! Proposals of peers, for the owner to answer.

use std::fmt;
use std::sync::Arc;

use perun_protocol::wire::{
    Acceptance, NonceShare, Proposal, ProposalId, Reason, RejectCode, Terms,
};
use perun_protocol::{Amount, Params, Participant, PublicKey, State, Timestamp};
use tokio::sync::mpsc;

use super::{OpenError, after, fresh_share, opened};
use crate::channel::Channel;
use crate::client::Shared;
use crate::driver::{Driver, Machine};

/// A proposal of a peer that waits for an answer. Dropping it rejects it.
pub struct IncomingProposal {
    shared: Arc<Shared>,
    peer: PublicKey,
    proposal: Proposal,
    id: ProposalId,
    is_answered: bool,
}

/// Proposals of peers as they come. While nobody has it, proposals are declined.
#[derive(Debug)]
pub struct Proposals {
    pub(super) receiver: mpsc::UnboundedReceiver<IncomingProposal>,
}

impl Proposals {
    /// The next proposal; `None` if another
    /// [`Client::proposals`](crate::client::Client::proposals) has taken over, or the client has
    /// stopped. It can be dropped and called again without losing one.
    pub async fn next(&mut self) -> Option<IncomingProposal> {
        self.receiver.recv().await
    }
}

impl Shared {
    pub(in crate::client) fn handle_proposal(
        self: &Arc<Self>,
        peer: &PublicKey,
        proposal: Proposal,
    ) {
        let id = proposal.id();
        let reject = |code, text: &str| self.reject_proposal(peer, id, &Reason::new(code, text));
        if let Some(driver) = self.driver_of_proposal(&id) {
            // Accepted already; the acceptance may be lost.
            if driver.peer() == peer {
                driver.input(|machine, _| machine.send_opening_again());
            }
            return;
        }
        let mut openings = self.openings();
        if openings.incoming.contains_key(&id) {
            return;
        }
        let config = self.config();
        let of_peer = openings.incoming.values().filter(|other| *other == peer);
        if of_peer.count() >= config.max_proposals_per_peer
            || openings.incoming.len() >= config.max_proposals
        {
            drop(openings);
            return reject(RejectCode::Busy, "too many proposals wait for an answer");
        }
        if proposal.expires_at <= self.now() {
            drop(openings);
            return reject(RejectCode::TimedOut, "the proposal has expired");
        }
        // Nobody is asked about what can be no channel.
        let acceptance = self.acceptance(id, [0; 32]);
        if let Err(error) = self.check_proposal(&proposal, &acceptance) {
            drop(openings);
            return reject(RejectCode::BadTerms, &error.to_string());
        }
        let incoming = IncomingProposal {
            shared: Arc::clone(self),
            peer: *peer,
            proposal,
            id,
            is_answered: false,
        };
        openings.incoming.insert(id, *peer);
        let owner = openings.owner.clone();
        drop(openings);
        // Without an owner it is dropped here, and thereby rejected.
        if let Some(owner) = owner {
            let _ = owner.send(incoming);
        }
    }

    /// Our acceptance of a proposal.
    fn acceptance(&self, proposal: ProposalId, nonce_share: NonceShare) -> Acceptance {
        Acceptance {
            proposal,
            part: Proposal::ACCEPTOR,
            participant: Participant::Secp256k1(self.identity()),
            nonce_share,
        }
    }

    /// The channel that a proposal and our acceptance make, if nothing is wrong with it that can be
    /// found without asking the adjudicator.
    fn check_proposal(
        &self,
        proposal: &Proposal,
        acceptance: &Acceptance,
    ) -> Result<(Params, State), OpenError> {
        if proposal.terms.adjudicator != self.adjudicator() {
            return Err(OpenError::OtherAdjudicator);
        }
        self.check_duration(proposal.terms.challenge_duration)?;
        let (now, latest) = (self.now(), self.config().fund_within_at_most);
        let fund_by = proposal.terms.fund_by;
        if fund_by < proposal.expires_at || fund_by > after(now, latest) {
            return Err(OpenError::Deadlines { latest });
        }
        proposal.channel(acceptance).map_err(OpenError::Invalid)
    }
}

impl IncomingProposal {
    /// What names it.
    pub fn id(&self) -> ProposalId {
        self.id
    }

    /// Who proposes.
    pub fn peer(&self) -> PublicKey {
        self.peer
    }

    /// What is proposed. The peer is participant 0, we are participant 1.
    pub fn terms(&self) -> &Terms {
        &self.proposal.terms
    }

    /// Until when it can be accepted, on the adjudicator's clock.
    pub fn expires_at(&self) -> Timestamp {
        self.proposal.expires_at
    }

    /// What we would deposit of each asset.
    pub fn our_deposit(&self) -> Vec<Amount> {
        let rows = self.proposal.terms.funding.rows();
        rows.filter_map(|row| row.get(Proposal::ACCEPTOR.index()).copied())
            .collect()
    }

    /// Accepts it: signs version 0, deposits our share, and waits until everybody has deposited.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn accept(self) -> Result<Channel, OpenError> {
        self.accept_with(false).await
    }

    /// Accepts it, and deposits only after the peer has.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn accept_funding_last(self) -> Result<Channel, OpenError> {
        self.accept_with(true).await
    }

    async fn accept_with(mut self, funds_last: bool) -> Result<Channel, OpenError> {
        let shared = Arc::clone(&self.shared);
        let begun = self.begin(&shared, funds_last).await;
        let (code, text) = match &begun {
            Ok(_) => {
                self.is_answered = true;
                shared.openings().incoming.remove(&self.id);
                (RejectCode::Declined, String::new())
            }
            Err(error) => (RejectCode::BadTerms, error.to_string()),
        };
        let driver = match begun {
            Ok(driver) => driver,
            Err(error) => {
                self.answer_no(&Reason::new(code, &text));
                return Err(error);
            }
        };
        opened(driver).await
    }

    async fn begin(&self, shared: &Arc<Shared>, last: bool) -> Result<Arc<Driver>, OpenError> {
        let proposal = &self.proposal;
        let acceptance = shared.acceptance(self.id, fresh_share()?);
        let channel = shared.check_proposal(proposal, &acceptance)?;
        shared.check_terms(&proposal.terms).await?;
        if proposal.expires_at <= shared.now() {
            return Err(OpenError::Expired);
        }
        let setup = shared.setup(proposal, channel, Proposal::ACCEPTOR, last);
        let limits = shared.config().limits();
        let machine = Machine::accept(setup, limits, shared.key(), acceptance);
        let machine = machine.map_err(OpenError::Key)?;
        Ok(shared.begin(&self.peer, machine, self.id))
    }

    /// Rejects it.
    pub fn reject(mut self, text: &str) {
        self.answer_no(&Reason::new(RejectCode::Declined, text));
    }

    fn answer_no(&mut self, reason: &Reason) {
        if std::mem::replace(&mut self.is_answered, true) {
            return;
        }
        self.shared.openings().incoming.remove(&self.id);
        self.shared.reject_proposal(&self.peer, self.id, reason);
    }
}

impl Drop for IncomingProposal {
    fn drop(&mut self) {
        self.answer_no(&Reason::new(RejectCode::Declined, ""));
    }
}

impl fmt::Debug for IncomingProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingProposal")
            .field("peer", &self.peer)
            .field("proposal", &self.proposal)
            .finish_non_exhaustive()
    }
}
