//! Opening channels: proposals on their way out, and those that wait for the owner's answer.
//!
//! ```text
//! propose ──Proposal──> … <──Acceptance── a channel of ours begins, as proposer
//! IncomingProposal <──Proposal── …     accept: a channel of ours begins, as acceptor
//! ```
//!
//! Nothing of it is stored: until version 0 is signed nobody has anything to lose, and a side that
//! has forgotten a proposal says so.

mod error;
mod incoming;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use perun_protocol::channel::Setup;
use perun_protocol::payment::PAYMENT_APP;
use perun_protocol::wire::{
    Acceptance, Message, NonceShare, Proposal, ProposalId, ProposalRejection, Reason, RejectCode,
    Terms,
};
use perun_protocol::{
    Amount, App, AssetId, Balances, ChallengeDuration, Params, PartIdx, Participant, PublicKey,
    State, Timestamp,
};
use tokio::sync::{mpsc, oneshot};

use super::{Client, Shared};
use crate::channel::Channel;
use crate::driver::{Driver, Machine, Stage};

pub use self::error::OpenError;
pub use self::incoming::{IncomingProposal, Proposals};

/// How long a proposal waits for its answer, and then for the other's signature, unless said
/// otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long everybody has to deposit, unless said otherwise.
const FUND_WITHIN: Duration = Duration::from_secs(10 * 60);

/// What a channel is to be, to be proposed.
#[derive(Clone, Debug)]
pub struct ChannelTerms {
    /// The assets, and of each what both have at first: we, then the peer.
    pub balances: Vec<(AssetId, [Amount; 2])>,
    /// Who deposits what of each asset, if not everybody what he has at first. The sums are the same.
    pub funding: Option<Vec<[Amount; 2]>>,
    /// How long a registered state can be refuted.
    pub challenge_duration: ChallengeDuration,
    /// Whether states prove the payments that led to them ([`perun_protocol::payment`]).
    pub with_payment_app: bool,
    /// What the params bind besides, for whoever opens the channel: nobody interprets it.
    pub aux: [u8; 32],
    /// Whether we deposit only after the peer has.
    pub funds_last: bool,
    /// How long the peer has to answer.
    pub answer_within: Duration,
    /// How long both have to deposit.
    pub fund_within: Duration,
}

impl ChannelTerms {
    /// A channel of one asset to which both deposit what they have at first, with proved payments.
    pub fn new(
        asset: AssetId,
        ours: Amount,
        theirs: Amount,
        challenge_duration: ChallengeDuration,
    ) -> Self {
        Self {
            balances: vec![(asset, [ours, theirs])],
            funding: None,
            challenge_duration,
            with_payment_app: true,
            aux: [0; 32],
            funds_last: false,
            answer_within: ANSWER_WITHIN,
            fund_within: FUND_WITHIN,
        }
    }
}

/// Proposals that are not answered yet.
#[derive(Default)]
pub(super) struct Openings {
    outgoing: HashMap<ProposalId, Outgoing>,
    /// The peers whose proposals wait for the owner.
    incoming: HashMap<ProposalId, PublicKey>,
    /// Takes proposals to the owner, if he wants any.
    owner: Option<mpsc::UnboundedSender<IncomingProposal>>,
}

struct Outgoing {
    peer: PublicKey,
    proposal: Proposal,
    funds_last: bool,
    answered: oneshot::Sender<Result<Arc<Driver>, OpenError>>,
}

impl Client {
    /// Proposals of peers, from now on. It takes over from an earlier one.
    pub fn proposals(&self) -> Proposals {
        // Bounded by `Config::max_proposals`.
        let (sender, receiver) = mpsc::unbounded_channel();
        self.shared.openings().owner = Some(sender);
        Proposals { receiver }
    }

    /// Opens a channel with a peer: proposes it, deposits our share, and waits until everybody has
    /// deposited.
    ///
    /// # Errors
    /// [`OpenError`]. Dropping the future before the peer has answered takes the proposal back.
    pub async fn propose(
        &self,
        peer: &PublicKey,
        terms: ChannelTerms,
    ) -> Result<Channel, OpenError> {
        let shared = &self.shared;
        let now = shared.now();
        let proposal = shared.proposal(terms.clone(), now)?;
        proposal
            .channel(&Acceptance {
                proposal: proposal.id(),
                part: Proposal::ACCEPTOR,
                participant: Participant::Secp256k1(*peer),
                // Whatever the peer's share will be, it makes no terms good or bad.
                nonce_share: [0; 32],
            })
            .map_err(OpenError::Invalid)?;
        shared.check_duration(terms.challenge_duration)?;
        shared.check_terms(&proposal.terms).await?;
        let id = proposal.id();
        let (answered, mut answer) = oneshot::channel();
        let outgoing = Outgoing {
            peer: *peer,
            proposal: proposal.clone(),
            funds_last: terms.funds_last,
            answered,
        };
        shared.openings().outgoing.insert(id, outgoing);
        let _forget = Forget { shared, id };
        let repeated = shared.repeat_proposal(peer, &proposal, &mut answer);
        let answered = match tokio::time::timeout(terms.answer_within, repeated).await {
            Ok(answered) => answered,
            Err(_) if shared.openings().outgoing.remove(&id).is_some() => {
                let is_connected = shared.is_connected(peer);
                return Err(OpenError::NoAnswer { is_connected });
            }
            // It came at the last moment: the channel may have begun.
            Err(_) => answer.await,
        };
        opened(answered.map_err(|_| OpenError::Stopped)??).await
    }
}

/// Takes a proposal back, unless it was answered.
struct Forget<'a> {
    shared: &'a Shared,
    id: ProposalId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.openings().outgoing.remove(&self.id);
    }
}

/// Waits until the channel is open, or will never be.
async fn opened(driver: Arc<Driver>) -> Result<Channel, OpenError> {
    let mut stage = driver.stage();
    let stage = stage
        .wait_for(|stage| !matches!(stage, Stage::Opening))
        .await;
    let stage = stage.map_or(Stage::Stopped, |stage| stage.clone());
    let channel = Channel::new(driver);
    match stage {
        Stage::Abandoned(reason) => Err(OpenError::Abandoned(reason)),
        Stage::Stopped => Err(OpenError::Stopped),
        Stage::Settling { never_opened: true } => Err(OpenError::NotFunded { channel }),
        _ => Ok(channel),
    }
}

impl Shared {
    fn proposal(&self, terms: ChannelTerms, now: Timestamp) -> Result<Proposal, OpenError> {
        let (assets, balances): (Vec<_>, Vec<_>) = terms.balances.into_iter().unzip();
        let table = |rows: Vec<[Amount; 2]>| {
            Balances::new(2, rows.into_iter().flatten().collect()).map_err(OpenError::Terms)
        };
        let funding = table(terms.funding.unwrap_or_else(|| balances.clone()))?;
        let answer_by = after(now, terms.answer_within);
        Ok(Proposal {
            terms: Terms {
                adjudicator: self.adjudicator(),
                assets,
                challenge_duration: terms.challenge_duration,
                app: match terms.with_payment_app {
                    true => PAYMENT_APP,
                    false => App::None,
                },
                aux: terms.aux,
                balances: table(balances)?,
                funding,
                fund_by: after(answer_by, terms.fund_within),
            },
            participant: Participant::Secp256k1(self.identity()),
            nonce_share: fresh_share()?,
            expires_at: answer_by,
        })
    }

    fn check_duration(&self, duration: ChallengeDuration) -> Result<(), OpenError> {
        if self.config().allows(duration) {
            return Ok(());
        }
        Err(OpenError::ChallengeTooShort {
            given: Duration::from_secs(duration.secs().into()),
            least: self.config().least_challenge_duration(),
        })
    }

    async fn check_terms(&self, terms: &Terms) -> Result<(), OpenError> {
        let checked = self.chain().adjudicator().check_terms(
            &terms.assets,
            terms.challenge_duration,
            terms.adjudicator,
        );
        checked.await.map_err(OpenError::Adjudicator)
    }

    fn setup(
        &self,
        proposal: &Proposal,
        (params, initial): (Params, State),
        part: PartIdx,
        funds_last: bool,
    ) -> Setup {
        Setup {
            params,
            part,
            initial,
            expires_at: proposal.expires_at,
            fund_by: proposal.terms.fund_by,
            receiver: self.config().receiver,
            funds_last,
        }
    }

    /// Sends a proposal until it is answered.
    async fn repeat_proposal<T>(
        &self,
        peer: &PublicKey,
        proposal: &Proposal,
        answer: &mut oneshot::Receiver<T>,
    ) -> Result<T, oneshot::error::RecvError> {
        let message = Message::Proposal(Box::new(proposal.clone()));
        loop {
            self.send(peer, &message);
            let answered = tokio::time::timeout(self.config().retry_after, &mut *answer).await;
            if let Ok(answered) = answered {
                return answered;
            }
        }
    }

    /// Whether a proposal of ours waits for this peer's answer.
    pub(super) fn proposes_to(&self, peer: &PublicKey) -> bool {
        let openings = self.openings();
        let mut outgoing = openings.outgoing.values();
        outgoing.any(|outgoing| outgoing.peer == *peer)
    }

    /// A link to `peer` has begun: what it may not have heard is said again.
    pub(super) fn propose_again(&self, peer: &PublicKey) {
        let openings = self.openings();
        let outgoing = openings.outgoing.values();
        let proposals: Vec<_> = outgoing
            .filter(|outgoing| outgoing.peer == *peer)
            .map(|outgoing| outgoing.proposal.clone())
            .collect();
        drop(openings);
        for proposal in proposals {
            self.send(peer, &Message::Proposal(Box::new(proposal)));
        }
    }

    pub(super) fn reject_proposal(&self, peer: &PublicKey, id: ProposalId, reason: &Reason) {
        let rejection = ProposalRejection {
            proposal: id,
            code: reason.code,
            text: reason.text.clone(),
        };
        self.send(peer, &Message::ProposalRejection(rejection));
    }

    pub(super) fn handle_proposal_rejection(
        self: &Arc<Self>,
        peer: &PublicKey,
        rejection: ProposalRejection,
    ) {
        let id = rejection.proposal;
        let mut openings = self.openings();
        let is_theirs = openings
            .outgoing
            .get(&id)
            .is_some_and(|outgoing| outgoing.peer == *peer);
        if is_theirs {
            let outgoing = openings.outgoing.remove(&id);
            drop(openings);
            let reason = Reason {
                code: rejection.code,
                text: rejection.text,
            };
            if let Some(outgoing) = outgoing {
                let _ = outgoing.answered.send(Err(OpenError::Rejected(reason)));
            }
            return;
        }
        drop(openings);
        if let Some(driver) = self.driver_of_proposal(&id)
            && driver.peer() == peer
        {
            // It can only end a channel whose version 0 is not signed by both.
            let message = Message::ProposalRejection(rejection);
            let _ = driver.input(|machine, now| machine.handle_message(now, message));
        }
    }

    pub(super) fn handle_proposal_acceptance(
        self: &Arc<Self>,
        peer: &PublicKey,
        acceptance: &Acceptance,
    ) {
        let id = acceptance.proposal;
        if self.driver_of_proposal(&id).is_some() {
            return;
        }
        let outgoing = {
            let mut openings = self.openings();
            match openings.outgoing.get(&id) {
                Some(outgoing) if outgoing.peer == *peer => openings.outgoing.remove(&id),
                _ => None,
            }
        };
        let Some(outgoing) = outgoing else {
            let reason = Reason::new(RejectCode::UnknownProposal, "");
            return self.reject_proposal(peer, id, &reason);
        };
        let begun = self.begin_as_proposer(peer, &outgoing, acceptance);
        if let Err(OpenError::Invalid(error)) = &begun {
            let reason = Reason::new(RejectCode::BadTerms, &error.to_string());
            self.reject_proposal(peer, id, &reason);
        }
        let _ = outgoing.answered.send(begun);
    }

    fn begin_as_proposer(
        self: &Arc<Self>,
        peer: &PublicKey,
        outgoing: &Outgoing,
        acceptance: &Acceptance,
    ) -> Result<Arc<Driver>, OpenError> {
        let proposal = &outgoing.proposal;
        let channel = proposal.channel(acceptance).map_err(OpenError::Invalid)?;
        let setup = self.setup(proposal, channel, Proposal::PROPOSER, outgoing.funds_last);
        let machine = Machine::propose(setup, self.config().limits(), self.key());
        let machine = machine.map_err(OpenError::Key)?;
        Ok(self.begin(peer, machine, proposal.id()))
    }
}

/// 32 random bytes, never used twice.
fn fresh_share() -> Result<NonceShare, OpenError> {
    let mut share = [0; 32];
    getrandom::fill(&mut share).map_err(OpenError::Randomness)?;
    Ok(share)
}

fn after(instant: Timestamp, duration: Duration) -> Timestamp {
    instant.saturating_add_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}
