//! The channel: a machine that knows what to sign, send, store and ask of the adjudicator, and does
//! none of it itself.
//!
//! ```text
//!  messages, views, time ──> Channel ──> Output: Persist, Send, Call, Notify
//!  commands of the owner ──>            (in the order in which they must be done)
//!
//!  Signing ──both signed version 0──> Funding ──all deposits seen──> Acting ─┐
//!     │                                  │ time is over                     │ final state, dispute
//!     v                                  v                                  v
//!  (abandoned)                        Settling <────────────────────────────┘
//!                                        │ everything of ours is paid
//!                                        v
//!                                      Closed
//! ```
//!
//! The same machine runs in clients, nodes and devices. It does no I/O, reads no clock and draws no
//! randomness: whoever drives it carries its outputs out, tells it what happened, and gives it the
//! time as an argument, always as an estimate of the adjudicator's.
//!
//! ```text
//! every input                     handle_…, or a command
//! then, until there is none       poll_output
//! then, at the instant given by   poll_timeout ──> handle_timeout
//! ```
//!
//! Updates: only who has the turn proposes, one proposal at a time; payments that come meanwhile wait
//! and go into the next one. What is proposed is stored first, and is binding until the peer has
//! answered: nothing that times out takes it back.
//!
//! Invariants:
//! - Nobody signs two different states of one version (`commitments`).
//! - Of two honest sides never both have the turn (`turn`).
//! - What an output needs to survive a restart is in a [`Output::Persist`] before it.
//! - Nothing is proposed, accepted or reported received unless the channel was seen open and funded
//!   not longer than [`Limits::max_view_age_ns`] ago.
//! - No update lowers the balance of who did not propose it.
//! - A registered state older than the newest one is refuted, whatever else goes on.
//! - Whoever has signed a final state signs nothing after it, agreed to or not: the peer could
//!   conclude by it at any time.
//!
//! Memory, with two participants and payments of at most 1 KiB in an update (measured by
//! `tests/heap.rs`, on 64 bits; a microcontroller's pointers take half): the machine is 2 KiB, a
//! channel of one asset keeps another 1.3 KiB on the heap while nothing happens and needs 10 KiB at
//! most, messages that it reads and writes and records until they are stored included. With eight
//! assets it is 2.6 KiB and 15 KiB. Nothing that a peer sends makes it keep more.

mod accepting;
mod commitments;
mod error;
mod output;
mod paying;
mod proposing;
mod queue;
mod settling;
mod setup;
mod signing;
mod snapshot;
mod successor;
mod syncing;
mod turn;

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::marker::PhantomData;

use self::commitments::{Commitments, Proposed};
use self::queue::Queue;
use self::turn::Turn;
use crate::dispute::covered;
use crate::payment::Batch;
use crate::signature::{K256, Signer, Verifier};
use crate::view::{Status, View};
use crate::wire::{Acceptance, Message, Reason, RejectCode};
use crate::{Amount, ChannelId, Params, PartIdx, SignedState, State, Timestamp, Version};

pub use self::error::{CommandError, PayError, PeerMisbehaved, RestoreError};
pub use self::output::{AdjudicatorCall, Event, Output, Record};
pub use self::setup::{Limits, Setup, max_batch};
pub use self::snapshot::{decode_payments, pending_version};

/// One channel as one of its two participants sees it. See the module's documentation.
///
/// `S` signs for the participant; `V` verifies.
#[derive(Debug)]
pub struct Channel<S, V = K256> {
    setup: Setup,
    id: ChannelId,
    limits: Limits,
    signer: S,
    phase: Phase,
    commitments: Commitments,
    turn: Turn,
    link: Link,
    /// Whether the peer has shown since the start how far it is: then this is no old copy.
    is_current: bool,
    view: Option<View>,
    /// When the view was looked at, at the latest. Its own time moves on while nothing happens.
    looked_at: Timestamp,
    queue: Queue,
    offered: Option<Offered>,
    ending: Ending,
    /// Assets of which our share is too small to be paid.
    kept: Vec<bool>,
    was_open: bool,
    /// When to send again what was not answered.
    resend_at: Option<Timestamp>,
    /// Since when our proposal is under way over a link.
    unanswered_since: Option<Timestamp>,
    has_complained: bool,
    /// When half of the time to refute is over.
    half_time: Option<Timestamp>,
    /// The latest instant for which [`Channel::handle_timeout`] was called.
    fired_at: Timestamp,
    last_call: Option<AdjudicatorCall>,
    outputs: VecDeque<Output>,
    verifier: PhantomData<fn() -> V>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Phase {
    /// Version 0 is not signed by all.
    Signing {
        /// What the acceptor sends again until the proposer has signed.
        acceptance: Option<Acceptance>,
    },
    /// Not all deposits were seen.
    Funding,
    /// Updates. Whatever forces the channel leaves this phase at once: [`Ending::is_forced`] is not
    /// set in it.
    Acting,
    /// On the way out.
    Settling,
    Closed,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Link {
    Down,
    /// There is a link, and the peer has not said on it how far it is.
    Syncing {
        max_batch: usize,
    },
    Up {
        max_batch: usize,
    },
}

/// A proposal of the peer that is not answered yet.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Offered {
    proposed: Proposed,
    payments: Batch,
    passes_turn: bool,
    deadline: Timestamp,
    /// Whether the owner was asked; otherwise a recent view is waited for.
    is_asked: bool,
    is_approved: bool,
}

/// How the channel is to end, if it is.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct Ending {
    /// The owner wants a final state, and a dispute if there is none by then.
    close_by: Option<Timestamp>,
    /// The newest state is to be registered.
    is_forced: bool,
}

impl<S: Clone, V> Clone for Channel<S, V> {
    fn clone(&self) -> Self {
        Self {
            setup: self.setup.clone(),
            signer: self.signer.clone(),
            phase: self.phase.clone(),
            commitments: self.commitments.clone(),
            view: self.view.clone(),
            queue: self.queue.clone(),
            offered: self.offered.clone(),
            kept: self.kept.clone(),
            last_call: self.last_call.clone(),
            outputs: self.outputs.clone(),
            ..*self
        }
    }
}

impl<S, V> core::hash::Hash for Channel<S, V> {
    /// Everything that decides what the machine does next, without the key.
    fn hash<H: core::hash::Hasher>(&self, hasher: &mut H) {
        (&self.setup, self.limits, &self.phase, &self.commitments).hash(hasher);
        (self.turn, self.link, self.is_current, &self.view).hash(hasher);
        (&self.queue, &self.offered, self.ending, &self.kept).hash(hasher);
        (self.looked_at, self.was_open).hash(hasher);
        (self.resend_at, self.unanswered_since).hash(hasher);
        (
            self.has_complained,
            self.half_time,
            self.fired_at,
            &self.last_call,
            &self.outputs,
        )
            .hash(hasher);
    }
}

impl<S: Signer, V: Verifier> Channel<S, V> {
    fn blank(setup: Setup, limits: Limits, signer: S) -> Result<Self, RestoreError> {
        if setup.params.participants().len() != 2 {
            return Err(RestoreError::Malformed);
        }
        let us = setup.params.participant(setup.part);
        if us != Some(&crate::Participant::Secp256k1(signer.public_key())) {
            return Err(RestoreError::WrongKey);
        }
        Ok(Self {
            id: setup.initial.channel(),
            phase: Phase::Signing { acceptance: None },
            commitments: Commitments::none(),
            turn: Turn::new(0, setup.part),
            link: Link::Down,
            is_current: false,
            view: None,
            looked_at: Timestamp::default(),
            queue: Queue::default(),
            offered: None,
            ending: Ending::default(),
            kept: vec![false; setup.params.assets().len()],
            was_open: false,
            resend_at: None,
            unanswered_since: None,
            has_complained: false,
            half_time: None,
            fired_at: Timestamp::default(),
            last_call: None,
            outputs: VecDeque::new(),
            verifier: PhantomData,
            setup,
            limits,
            signer,
        })
    }

    /// There is a new link to the peer, which takes at most `max_batch` bytes of payments in one
    /// update. Whatever was sent over an earlier link may be lost.
    pub fn handle_connected(&mut self, now: Timestamp, max_batch: usize) {
        self.link = match self.phase {
            Phase::Closed => return,
            Phase::Signing { .. } => Link::Up { max_batch },
            Phase::Funding | Phase::Acting | Phase::Settling => Link::Syncing { max_batch },
        };
        self.turn.peer_asks = false;
        self.turn.asked_at = None;
        self.unanswered_since = None;
        self.has_complained = false;
        self.send_again(now);
    }

    /// The link is gone.
    pub fn handle_disconnected(&mut self) {
        self.link = Link::Down;
        self.resend_at = None;
        self.unanswered_since = None;
    }

    /// A message of the peer about this channel.
    ///
    /// # Errors
    /// [`PeerMisbehaved`]: no honest peer sends it. It has changed nothing, and was answered where
    /// an answer makes sense. Repeated and outdated messages are no errors.
    pub fn handle_message(
        &mut self,
        now: Timestamp,
        message: Message,
    ) -> Result<(), PeerMisbehaved> {
        if let Phase::Signing { .. } = self.phase {
            return self.handle_while_signing(now, message);
        }
        if self.phase == Phase::Closed {
            // By an acceptance that comes late the owner can prove what was paid last.
            return match message {
                Message::UpdateAcceptance(acceptance) if self.pending().is_some() => {
                    self.handle_acceptance(now, acceptance)
                }
                _ => Ok(()),
            };
        }
        match message {
            Message::Update(update) => self.handle_update(now, *update),
            Message::UpdateAcceptance(acceptance) => self.handle_acceptance(now, acceptance),
            Message::UpdateRejection(rejection) => self.handle_rejection(now, rejection),
            Message::Sync(sync) => self.handle_sync(now, *sync),
            Message::TurnRequest(request) => self.handle_turn_request(now, request.turn),
            Message::TurnPass(pass) => self.handle_turn_pass(now, pass.turn),
            Message::PaymentRequest(request) => self.handle_request(now, request),
            Message::PaymentRequestRejection(rejection) => {
                self.notify(Event::RequestRejected {
                    id: rejection.id,
                    reason: Reason {
                        code: rejection.code,
                        text: rejection.text,
                    },
                });
                Ok(())
            }
            // An acceptance of the proposal that led here, once more.
            Message::Acceptance(_) | Message::ProposalRejection(_) | Message::Unknown { .. } => {
                Ok(())
            }
            Message::Proposal(_) => Err(PeerMisbehaved::OutOfPlace),
        }
    }

    /// An instant told by [`Channel::poll_timeout`] has come. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.phase == Phase::Closed {
            return;
        }
        self.fired_at = self.fired_at.max(now);
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if let Phase::Signing { .. } = self.phase
            && self.setup.expires_at <= now
        {
            let reason = Reason::new(RejectCode::TimedOut, "version 0 was not signed in time");
            return self.abandon(reason);
        }
        if let Some(offered) = &self.offered
            && offered.deadline <= now
        {
            let code = if offered.is_asked {
                RejectCode::TimedOut
            } else {
                RejectCode::ViewStale
            };
            self.refuse_offered(&Reason::new(code, ""));
        }
        if is_due(self.resend_at) {
            self.send_again(now);
        }
        if is_due(self.silent_at()) {
            self.has_complained = true;
            self.notify(Event::Unanswered);
        }
        if is_due(self.ending.close_by) {
            self.give_up_closing();
        }
        self.warn_if_late(now);
        self.advance(now);
    }

    /// When [`Channel::handle_timeout`] is to be called, unless something happens before.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let signing = match self.phase {
            Phase::Signing { .. } => Some(self.setup.expires_at),
            Phase::Closed => return None,
            Phase::Funding | Phase::Acting | Phase::Settling => None,
        };
        let offered = self.offered.as_ref().map(|offered| offered.deadline);
        let instants = [
            signing,
            offered,
            self.resend_at,
            self.silent_at(),
            self.ending.close_by,
            self.settling_timeout(),
        ];
        instants.into_iter().flatten().min()
    }

    /// The next thing to do, `None` if there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // An idle channel holds no memory for what it may do one day.
            self.outputs.shrink_to_fit();
        }
        output
    }

    /// Does whatever can be done by now.
    fn advance(&mut self, now: Timestamp) {
        self.answer_offered(now);
        self.use_turn(now);
        self.enter_settling_if_due(now);
        self.emit_call(now, false);
    }

    /// The newest state that all have signed, `None` while version 0 is being signed.
    pub fn newest(&self) -> Option<&SignedState> {
        self.commitments.current()
    }

    /// What each asset leaves us for certain, whatever the peer does: the least of the newest state,
    /// our proposal under way, and those that were refused since. Empty before version 0 is signed.
    pub fn secured(&self) -> Vec<Amount> {
        self.commitments.secured(self.setup.part)
    }

    /// What the channel is set up with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Its id.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// Its params.
    pub fn params(&self) -> &Params {
        &self.setup.params
    }

    /// Whether payments can be made, as far as known.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Acting && !self.is_ending()
    }

    /// Whether the channel is over.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether both sides know what the other knows.
    pub fn is_synced(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// Whether the peer has shown since the start how far it is. Before that this may be an old copy,
    /// which registers nothing without its owner's order.
    pub fn is_current(&self) -> bool {
        self.is_current
    }

    /// What was last seen of the channel at the adjudicator.
    pub fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// The state on which we have given a signature that the peer has not answered.
    pub fn pending(&self) -> Option<&State> {
        self.commitments.pending().map(|pending| &pending.state)
    }

    /// The highest version that we have signed.
    pub fn highest_signed(&self) -> Option<Version> {
        self.commitments.highest_signed()
    }

    /// The number of the turn, and whether it is ours.
    pub fn turn(&self) -> (u64, bool) {
        (self.turn.number(), self.turn.is_ours())
    }

    fn is_ending(&self) -> bool {
        self.ending.close_by.is_some() || self.ending.is_forced
    }

    /// The newest state, in phases that have one.
    fn current(&self) -> &SignedState {
        let current = self.commitments.current();
        current.expect("past the phase of signing version 0 there is a state signed by all")
    }

    /// Whether the channel was seen open and funded recently.
    fn is_view_fresh(&self, now: Timestamp) -> bool {
        let Some(view) = &self.view else {
            return false;
        };
        let Status::Open { holdings } = &view.status else {
            return false;
        };
        now.nanos_since(view.at) <= self.limits.max_view_age_ns
            && covered(holdings, self.current().state().funding()).is_ok()
    }

    /// When a silent peer is complained about.
    fn silent_at(&self) -> Option<Timestamp> {
        let since = self.unanswered_since.filter(|_| !self.has_complained)?;
        Some(since.saturating_add_nanos(self.limits.silence_ns))
    }

    fn persist(&mut self) {
        let record = self.record(None);
        self.outputs.push_back(Output::Persist(record));
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(Output::Send(message));
    }

    fn notify(&mut self, event: Event) {
        self.outputs.push_back(Output::Notify(event));
    }

    fn part(&self) -> PartIdx {
        self.setup.part
    }
}
