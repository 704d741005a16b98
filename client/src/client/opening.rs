//! Opening channels: proposals on their way out, and those that wait for the owner's answer.
//!
//! ```text
//! propose ──Proposal──> … <──Acceptance── a channel of ours begins, as proposer
//! IncomingProposal <──Proposal── …     accept: a channel of ours begins, as acceptor
//! ```
//!
//! Nothing of it is stored: until version 0 is signed nobody has anything to lose, and a side that
//! has forgotten a proposal says so.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use perun_protocol::channel::{RestoreError, Setup};
use perun_protocol::payment::PAYMENT_APP;
use perun_protocol::wire::{
    Acceptance, Message, NonceShare, Proposal, ProposalError, ProposalId, ProposalRejection,
    Reason, RejectCode, Terms,
};
use perun_protocol::{
    Amount, App, AssetId, Balances, BalancesError, ChallengeDuration, Params, PartIdx, Participant,
    PublicKey, State, Timestamp,
};
use tokio::sync::{mpsc, oneshot};

use super::{Client, Shared};
use crate::channel::Channel;
use crate::driver::{Driver, Machine, Stage};
use crate::{CheckError, Unsuitable};

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
            funds_last: false,
            answer_within: ANSWER_WITHIN,
            fund_within: FUND_WITHIN,
        }
    }
}

/// Why a channel was not opened.
#[non_exhaustive]
#[derive(Debug)]
pub enum OpenError {
    /// The amounts make no channel.
    Terms(BalancesError),
    /// The amounts and the participants make no channel.
    Invalid(ProposalError),
    /// The adjudicator does not serve such a channel, or could not be asked.
    Adjudicator(CheckError),
    /// With so short a challenge duration a dispute could be missed.
    ChallengeTooShort {
        /// What was proposed.
        given: Duration,
        /// The least that is safe with the client's times.
        least: Duration,
    },
    /// The peer says no.
    Rejected(Reason),
    /// The peer has not answered in time. If it is not connected, it may not have been asked.
    NoAnswer {
        /// Whether it was connected at the end.
        is_connected: bool,
    },
    /// Not everybody deposited in time. What is there goes back; the channel is not over before it
    /// is back ([`Channel::closed`]).
    NotFunded {
        /// The channel.
        channel: Channel,
    },
    /// Version 0 was not signed by both in time, or nobody deposited.
    Abandoned(Reason),
    /// The proposal has expired, or was answered already.
    Expired,
    /// The peer's proposal is about another adjudicator.
    OtherAdjudicator,
    /// The system gives no randomness.
    Randomness(getrandom::Error),
    /// The key is not the client's.
    Key(RestoreError),
    /// The client has stopped.
    Stopped,
}

/// A proposal of a peer that waits for an answer. Dropping it rejects it.
pub struct IncomingProposal {
    shared: Arc<Shared>,
    peer: PublicKey,
    proposal: Proposal,
    id: ProposalId,
    is_answered: bool,
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

/// Proposals of peers as they come. While nobody has it, proposals are declined.
#[derive(Debug)]
pub struct Proposals {
    receiver: mpsc::UnboundedReceiver<IncomingProposal>,
}

impl Proposals {
    /// The next proposal; `None` if another [`Client::proposals`] has taken over, or the client has
    /// stopped. It can be dropped and called again without losing one.
    pub async fn next(&mut self) -> Option<IncomingProposal> {
        self.receiver.recv().await
    }
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
        let (answered, answer) = oneshot::channel();
        let outgoing = Outgoing {
            peer: *peer,
            proposal: proposal.clone(),
            funds_last: terms.funds_last,
            answered,
        };
        shared.openings().outgoing.insert(id, outgoing);
        let _forget = Forget { shared, id };
        let repeated = shared.repeat_proposal(peer, &proposal, answer);
        let answered = tokio::time::timeout(terms.answer_within, repeated).await;
        let driver = match answered {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_)) => return Err(OpenError::Stopped),
            Err(_) => {
                let is_connected = shared.is_connected(peer);
                return Err(OpenError::NoAnswer { is_connected });
            }
        };
        opened(driver).await
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
                aux: [0; 32],
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
        mut answer: oneshot::Receiver<T>,
    ) -> Result<T, oneshot::error::RecvError> {
        let message = Message::Proposal(Box::new(proposal.clone()));
        loop {
            self.send(peer, &message);
            let answered = tokio::time::timeout(self.config().retry_after, &mut answer).await;
            if let Ok(answered) = answered {
                return answered;
            }
        }
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

    pub(super) fn handle_proposal(self: &Arc<Self>, peer: &PublicKey, proposal: Proposal) {
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

impl IncomingProposal {
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
        if proposal.terms.adjudicator != shared.adjudicator() {
            return Err(OpenError::OtherAdjudicator);
        }
        shared.check_duration(proposal.terms.challenge_duration)?;
        let acceptance = Acceptance {
            proposal: self.id,
            part: Proposal::ACCEPTOR,
            participant: Participant::Secp256k1(shared.identity()),
            nonce_share: fresh_share()?,
        };
        let channel = proposal.channel(&acceptance).map_err(OpenError::Invalid)?;
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

/// 32 random bytes, never used twice.
fn fresh_share() -> Result<NonceShare, OpenError> {
    let mut share = [0; 32];
    getrandom::fill(&mut share).map_err(OpenError::Randomness)?;
    Ok(share)
}

fn after(instant: Timestamp, duration: Duration) -> Timestamp {
    instant.saturating_add_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

impl fmt::Debug for IncomingProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingProposal")
            .field("peer", &self.peer)
            .field("proposal", &self.proposal)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terms(error) => error.fmt(f),
            Self::Invalid(error) => error.fmt(f),
            Self::Adjudicator(error) => error.fmt(f),
            Self::ChallengeTooShort { given, least } => write!(
                f,
                "a challenge duration of {} s is too short: with the client's times at least {} s \
                 are safe",
                given.as_secs(),
                least.as_secs_f64().ceil()
            ),
            Self::Rejected(reason) => write!(f, "the peer says no: {reason}"),
            Self::NoAnswer { is_connected: true } => {
                write!(f, "the peer has not answered in time")
            }
            Self::NoAnswer {
                is_connected: false,
            } => write!(f, "the peer is not connected"),
            Self::NotFunded { channel } => write!(
                f,
                "not everybody deposited in time; what is there goes back (channel {})",
                channel.id()
            ),
            Self::Abandoned(reason) => write!(f, "the channel never came to be: {reason}"),
            Self::Expired => write!(f, "the proposal has expired"),
            Self::OtherAdjudicator => write!(f, "the proposal is about another adjudicator"),
            Self::Randomness(error) => write!(f, "the system gives no randomness: {error}"),
            Self::Key(error) => error.fmt(f),
            Self::Stopped => write!(f, "the client has stopped"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<Unsuitable> for OpenError {
    fn from(error: Unsuitable) -> Self {
        Self::Adjudicator(CheckError::Unsuitable(error))
    }
}
