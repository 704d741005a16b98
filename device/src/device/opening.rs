//! Opening channels: proposals of the device's own, and those of peers.
//!
//! ```text
//! propose ──Proposal──> … <──Acceptance── a channel begins, as proposer
//! Event::Proposed <──Proposal── …    accept_proposal: a channel begins, as acceptor
//! ```
//!
//! Nothing of it is stored: until version 0 is signed nobody has anything to lose, and a side that
//! has forgotten a proposal says so.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

use embedded_storage::nor_flash::NorFlash;
use perun_protocol::channel::{Setup, max_batch};
use perun_protocol::payment::PAYMENT_APP;
use perun_protocol::wire::{
    Acceptance, Message, Proposal, ProposalId, ProposalRejection, Reason, RejectCode, Terms,
};
use perun_protocol::{
    Amount, App, AssetId, Balances, ChallengeDuration, Params, PartIdx, Participant, PublicKey,
    State, Timestamp,
};

use super::{Device, draw};
use crate::driver::{Driver, Machine};
use crate::records::{self, StoredOpening};
use crate::{Approval, Clock, CommandError, Event, Random};

/// Proposals that wait for an answer, at most, either way.
const MAX_PROPOSALS: usize = 2;
/// The longest time to deposit that is agreed to, in nanoseconds.
const LONGEST_FUNDING_NS: u64 = 24 * 3600 * 1_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Bytes that are kept free for what channels that are over have given away.
const LONGEST_GIVEN: usize = 512;

/// What a channel is to be, to be proposed.
#[derive(Clone, Debug)]
pub struct ChannelTerms {
    /// The assets, and of each what both have at first: the device, then the peer.
    pub balances: Vec<(AssetId, [Amount; 2])>,
    /// Who deposits what of each asset, if not everybody what he has at first. The sums are the same.
    pub funding: Option<Vec<[Amount; 2]>>,
    /// How long a registered state can be refuted.
    pub challenge_duration: ChallengeDuration,
    /// Whether states prove the payments that led to them ([`perun_protocol::payment`]).
    pub with_payment_app: bool,
    /// Whether the device's deposit comes only after the peer's. Not with another device, which as
    /// acceptor always waits: then nobody would begin.
    pub funds_last: bool,
}

/// A proposal of our own that is not answered.
pub(super) struct Outgoing {
    id: ProposalId,
    peer: PublicKey,
    proposal: Box<Proposal>,
    funds_last: bool,
    repeat_ns: u64,
}

/// A proposal of a peer that waits for the owner.
pub(super) struct Incoming {
    id: ProposalId,
    peer: PublicKey,
    proposal: Box<Proposal>,
}

impl Outgoing {
    pub(super) fn due_ns(&self) -> u64 {
        self.repeat_ns
    }
}

impl<F: NorFlash, R: Random, C: Clock> Device<F, R, C> {
    /// Proposes a channel to a peer. What becomes of it is told by [`Event::Begun`] or
    /// [`Event::ProposalRejected`].
    ///
    /// # Errors
    /// [`CommandError`]; nothing was sent then.
    pub fn propose(
        &mut self,
        peer: &PublicKey,
        terms: ChannelTerms,
        approval: Approval,
    ) -> Result<ProposalId, CommandError> {
        let now = self.time_for_command()?;
        let limit = MAX_PROPOSALS;
        if self.outgoing.len() >= limit {
            return Err(CommandError::Full { limit });
        }
        self.free_slot()?;
        let funds_last = terms.funds_last;
        let proposal = self.proposal(terms, now)?;
        self.settings
            .policy
            .check_terms(peer, &proposal.terms, Proposal::PROPOSER, approval)?;
        let id = proposal.id();
        // Whatever the peer's share will be, it makes no terms good or bad.
        let acceptance = acceptance(id, Participant::Secp256k1(*peer), [0; 32]);
        self.check(&proposal, &acceptance, now)?;
        let uptime_ns = self.clock.uptime_ns();
        self.outgoing.push(Outgoing {
            id,
            peer: *peer,
            proposal: Box::new(proposal),
            funds_last,
            repeat_ns: uptime_ns.saturating_add(self.settings.times.retry_ns),
        });
        self.propose_again(peer);
        self.settle();
        Ok(id)
    }

    fn proposal(&mut self, terms: ChannelTerms, now: Timestamp) -> Result<Proposal, CommandError> {
        let (assets, balances): (Vec<_>, Vec<_>) = terms.balances.into_iter().unzip();
        let table = |rows: Vec<[Amount; 2]>| {
            let amounts = rows.into_iter().flatten().collect();
            Balances::new(2, amounts).map_err(|_| malformed())
        };
        let funding = table(terms.funding.unwrap_or_else(|| balances.clone()))?;
        let times = self.settings.times;
        let expires_at = now.saturating_add_nanos(times.answer_within_ns);
        Ok(Proposal {
            terms: Terms {
                adjudicator: self.settings.adjudicator,
                assets,
                challenge_duration: terms.challenge_duration,
                app: match terms.with_payment_app {
                    true => PAYMENT_APP,
                    false => App::None,
                },
                aux: [0; 32],
                balances: table(balances)?,
                funding,
                fund_by: expires_at.saturating_add_nanos(times.fund_within_ns),
            },
            participant: Participant::Secp256k1(self.identity()),
            nonce_share: draw(&mut self.random),
            expires_at,
        })
    }

    /// The channel that a proposal and its acceptance make, if nothing is wrong with it.
    fn check(
        &self,
        proposal: &Proposal,
        acceptance: &Acceptance,
        now: Timestamp,
    ) -> Result<(Params, State), CommandError> {
        let terms = &proposal.terms;
        if terms.adjudicator != self.settings.adjudicator {
            return Err(CommandError::OtherAdjudicator);
        }
        let least_secs = self.settings.times.least_challenge_ns().div_ceil(SECOND_NS);
        if u64::from(terms.challenge_duration.secs()) < least_secs {
            return Err(CommandError::ChallengeTooShort { least_secs });
        }
        let latest = now.saturating_add_nanos(LONGEST_FUNDING_NS);
        let is_in_time = now < proposal.expires_at && terms.fund_by <= latest;
        if !is_in_time || terms.fund_by < proposal.expires_at {
            return Err(CommandError::Deadlines);
        }
        if terms.challenge_duration > self.settings.policy.max_challenge {
            let most_secs = self.settings.policy.max_challenge.secs();
            return Err(CommandError::ChallengeTooLong { most_secs });
        }
        if max_batch(self.settings.capacity.message as usize, terms.assets.len()) == 0 {
            return Err(CommandError::TooManyAssets);
        }
        let channel = proposal.channel(acceptance);
        channel.map_err(CommandError::Proposal)
    }

    #[inline(never)]
    pub(super) fn handle_proposal(&mut self, peer: &PublicKey, proposal: Proposal) {
        let id = proposal.id();
        let known = self
            .drivers
            .iter_mut()
            .find(|driver| driver.proposal == id && driver.peer == *peer);
        if let Some(driver) = known {
            // Our acceptance was lost.
            return driver.machine.send_opening_again();
        }
        if self.incoming.iter().any(|incoming| incoming.id == id) {
            return;
        }
        if let Err(reason) = self.take_proposal(peer, id, proposal) {
            self.reject(peer, id, &reason);
            let peer = *peer;
            self.tell(Event::ProposalRefused { peer, reason });
        }
    }

    fn take_proposal(
        &mut self,
        peer: &PublicKey,
        id: ProposalId,
        proposal: Proposal,
    ) -> Result<(), Reason> {
        let refused = |error: &CommandError| Reason::new(code_of(error), &format!("{error}"));
        let of_peer = self.incoming.iter().filter(|other| other.peer == *peer);
        if of_peer.count() > 0 || self.incoming.len() >= MAX_PROPOSALS {
            let text = "too many proposals wait for an answer";
            return Err(Reason::new(RejectCode::Busy, text));
        }
        let now = self.time_for_command().map_err(|error| refused(&error))?;
        // Who is known must be who has the channel.
        if proposal.participant != Participant::Secp256k1(*peer) {
            return Err(refused(&CommandError::OtherParticipant));
        }
        // Nobody is asked about what can be no channel.
        let ours = Participant::Secp256k1(self.identity());
        let checked = self.check(&proposal, &acceptance(id, ours, [0; 32]), now);
        checked.map_err(|error| refused(&error))?;
        self.free_slot().map_err(|error| refused(&error))?;
        let policy = &self.settings.policy;
        let allowed = policy.check_terms(peer, &proposal.terms, Proposal::ACCEPTOR, Approval::None);
        let asks = match allowed {
            Ok(()) => None,
            Err(error) if error.is_up_to_owner() => Some(error),
            Err(error) => return Err(refused(&CommandError::Policy(error))),
        };
        let accepts = policy.accepts_proposals && asks.is_none();
        self.incoming.push(Incoming {
            id,
            peer: *peer,
            proposal: Box::new(proposal.clone()),
        });
        if accepts {
            return self
                .accept_proposal(&id, Approval::None)
                .map_err(|error| refused(&error));
        }
        self.tell(Event::Proposed {
            proposal: id,
            peer: *peer,
            expires_at: proposal.expires_at,
            terms: Box::new(proposal.terms),
            asks,
        });
        Ok(())
    }

    /// Accepts a proposal ([`Event::Proposed`]): signs version 0, and has a watcher deposit the
    /// device's share.
    ///
    /// # Errors
    /// [`CommandError`]; the proposal is gone if it was there, and nothing was signed.
    pub fn accept_proposal(
        &mut self,
        id: &ProposalId,
        approval: Approval,
    ) -> Result<(), CommandError> {
        let place = self.incoming.iter().position(|incoming| incoming.id == *id);
        let place = place.ok_or(CommandError::UnknownProposal)?;
        let Incoming { peer, proposal, .. } = self.incoming.swap_remove(place);
        let now = self.time_for_command()?;
        self.settings
            .policy
            .check_terms(&peer, &proposal.terms, Proposal::ACCEPTOR, approval)?;
        let ours = Participant::Secp256k1(self.identity());
        let acceptance = acceptance(*id, ours, draw(&mut self.random));
        let channel = self.check(&proposal, &acceptance, now)?;
        let slot = self.free_slot()?;
        // Who proposes shows that he means it.
        let setup = self.setup(&proposal, channel, Proposal::ACCEPTOR, true);
        self.store_opening(slot, &setup, &peer, *id)?;
        let limits = self.settings.times.limits();
        let machine = Machine::accept(setup, limits, Rc::clone(&self.key), acceptance);
        let machine = machine.expect("the participant is made of the key");
        self.begin(slot, peer, *id, machine);
        Ok(())
    }

    /// Rejects a proposal ([`Event::Proposed`]).
    ///
    /// # Errors
    /// [`CommandError::UnknownProposal`].
    pub fn reject_proposal(&mut self, id: &ProposalId, text: &str) -> Result<(), CommandError> {
        let place = self.incoming.iter().position(|incoming| incoming.id == *id);
        let place = place.ok_or(CommandError::UnknownProposal)?;
        let peer = self.incoming.swap_remove(place).peer;
        self.reject(&peer, *id, &Reason::new(RejectCode::Declined, text));
        Ok(())
    }

    /// Whether a proposal of ours waits for this peer's answer.
    pub(super) fn proposes_to(&self, peer: &PublicKey) -> bool {
        let mut outgoing = self.outgoing.iter();
        outgoing.any(|outgoing| outgoing.peer == *peer)
    }

    #[inline(never)]
    pub(super) fn handle_acceptance(&mut self, peer: &PublicKey, acceptance: &Acceptance) {
        let id = acceptance.proposal;
        if self.drivers.iter().any(|driver| driver.proposal == id) {
            return;
        }
        let mut outgoing = self.outgoing.iter();
        let place = outgoing.position(|outgoing| outgoing.id == id && outgoing.peer == *peer);
        let Some(place) = place else {
            let reason = Reason::new(RejectCode::UnknownProposal, "");
            return self.reject(peer, id, &reason);
        };
        let outgoing = self.outgoing.swap_remove(place);
        if let Err(error) = self.begin_as_proposer(peer, &outgoing, acceptance) {
            let reason = Reason::new(code_of(&error), &format!("{error}"));
            self.reject(peer, id, &reason);
            self.tell(Event::ProposalRejected {
                proposal: id,
                reason,
            });
        }
    }

    fn begin_as_proposer(
        &mut self,
        peer: &PublicKey,
        outgoing: &Outgoing,
        acceptance: &Acceptance,
    ) -> Result<(), CommandError> {
        if acceptance.participant != Participant::Secp256k1(*peer) {
            return Err(CommandError::OtherParticipant);
        }
        let channel = outgoing.proposal.channel(acceptance);
        let channel = channel.map_err(CommandError::Proposal)?;
        let slot = self.free_slot()?;
        let setup = self.setup(
            &outgoing.proposal,
            channel,
            Proposal::PROPOSER,
            outgoing.funds_last,
        );
        self.store_opening(slot, &setup, peer, outgoing.id)?;
        let limits = self.settings.times.limits();
        let machine = Machine::propose(setup, limits, Rc::clone(&self.key));
        let machine = machine.expect("the participant is made of the key");
        self.begin(slot, *peer, outgoing.id, machine);
        Ok(())
    }

    #[inline(never)]
    pub(super) fn handle_rejection(&mut self, peer: &PublicKey, rejection: ProposalRejection) {
        let id = rejection.proposal;
        let mut outgoing = self.outgoing.iter();
        let place = outgoing.position(|outgoing| outgoing.id == id && outgoing.peer == *peer);
        if let Some(place) = place {
            self.outgoing.swap_remove(place);
            let reason = Reason {
                code: rejection.code,
                text: rejection.text,
            };
            return self.tell(Event::ProposalRejected {
                proposal: id,
                reason,
            });
        }
        let now = self.now();
        let mut drivers = self.drivers.iter_mut();
        let driver = drivers.find(|driver| driver.proposal == id && driver.peer == *peer);
        if let Some(driver) = driver {
            // It can only end a channel whose version 0 is not signed by both.
            let message = Message::ProposalRejection(rejection);
            let _ = driver.machine.handle_message(now, message);
        }
    }

    /// Sends what a peer has not answered, for the first time or again.
    pub(super) fn propose_again(&mut self, peer: &PublicKey) {
        let of_peer = self.outgoing.iter().filter(|other| other.peer == *peer);
        let proposals: Vec<_> = of_peer.map(|other| other.proposal.clone()).collect();
        for proposal in proposals {
            self.send(peer, &Message::Proposal(proposal).encode());
        }
    }

    pub(super) fn repeat_proposals(&mut self, now: Timestamp, uptime_ns: u64) {
        let retry_ns = self.settings.times.retry_ns;
        let mut peers = Vec::new();
        let mut expired = Vec::new();
        self.outgoing.retain_mut(|outgoing| {
            if outgoing.proposal.expires_at <= now {
                expired.push(outgoing.id);
                return false;
            }
            if outgoing.repeat_ns <= uptime_ns {
                outgoing.repeat_ns = uptime_ns.saturating_add(retry_ns);
                peers.push(outgoing.peer);
            }
            true
        });
        for peer in peers {
            self.propose_again(&peer);
        }
        for proposal in expired {
            let reason = Reason::new(RejectCode::TimedOut, "the peer has not answered");
            self.tell(Event::ProposalRejected { proposal, reason });
        }
    }

    /// Proposals of peers that the owner has not answered make room for others.
    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        self.incoming
            .retain(|incoming| incoming.proposal.expires_at > now);
    }

    fn reject(&mut self, peer: &PublicKey, id: ProposalId, reason: &Reason) {
        let rejection = Message::ProposalRejection(ProposalRejection {
            proposal: id,
            code: reason.code,
            text: reason.text.clone(),
        });
        self.send(peer, &rejection.encode());
    }

    fn free_slot(&self) -> Result<u8, CommandError> {
        let limit = self.settings.capacity.channels;
        if self.drivers.len() >= limit {
            return Err(CommandError::Full { limit });
        }
        let is_free = |slot: &u8| !self.drivers.iter().any(|driver| driver.slot == *slot);
        (0..=u8::MAX)
            .find(is_free)
            .ok_or(CommandError::Full { limit })
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
            receiver: self.settings.receiver,
            funds_last,
        }
    }

    /// What never changes is stored first: a state without it could not be read.
    fn store_opening(
        &mut self,
        slot: u8,
        setup: &Setup,
        peer: &PublicKey,
        proposal: ProposalId,
    ) -> Result<(), CommandError> {
        self.check_alive()?;
        let record = StoredOpening::encode(setup, peer, proposal);
        let batch = self.settings.capacity.batch;
        let longest = |setup: &Setup| {
            let length = longest_state(setup.params.assets().len(), batch);
            self.store.footprint(length)
        };
        // The others can still grow as long as they may.
        let others = self.drivers.iter().map(|other| {
            let now = self.store.footprint(other.state_length);
            longest(other.machine.setup()).saturating_sub(now)
        });
        let others: usize = others.sum();
        let ours = self.store.footprint(record.len()) + longest(setup);
        let needed = ours + others + self.store.footprint(LONGEST_GIVEN);
        let free = self.store.free();
        if free < needed {
            return Err(CommandError::NoRoom { needed, free });
        }
        let written = self.store.write(records::opening(slot), &record);
        written.map_err(|_| {
            self.fail();
            CommandError::Stopped
        })
    }

    fn begin(&mut self, slot: u8, peer: PublicKey, proposal: ProposalId, machine: Machine) {
        let channel = machine.id();
        let guards = self.settings.guards();
        let driver = Driver::new(slot, peer, proposal, machine, guards);
        self.drivers.push(driver);
        self.tell(Event::Begun {
            channel,
            peer,
            proposal,
        });
        self.connect_channel(&channel);
        self.settle();
    }
}

/// Bytes of the longest record of a channel's state, at most: it holds what a sync does, and what was
/// given away.
fn longest_state(assets: usize, batch: usize) -> usize {
    640 + 320 * assets + batch
}

fn acceptance(proposal: ProposalId, participant: Participant, nonce_share: [u8; 32]) -> Acceptance {
    Acceptance {
        proposal,
        part: Proposal::ACCEPTOR,
        participant,
        nonce_share,
    }
}

fn malformed() -> CommandError {
    CommandError::Proposal(perun_protocol::wire::ProposalError::WrongShape)
}

fn code_of(error: &CommandError) -> RejectCode {
    match error {
        CommandError::Full { .. }
        | CommandError::TimeUnknown
        | CommandError::NoRoom { .. }
        | CommandError::Stopped => RejectCode::Busy,
        CommandError::Policy(_) => RejectCode::Declined,
        CommandError::Deadlines => RejectCode::TimedOut,
        _ => RejectCode::BadTerms,
    }
}
