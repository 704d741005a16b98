//! One channel: its machine, and what carries the machine's outputs out.
//!
//! ```text
//! machine ──Persist──> flash, at once
//!         ──Send, Notify──> outbox ──once watchers have stored what it gives away──> link, owner
//!         ──Call──> wanted ──> watchers
//! ```
//!
//! Invariant: nothing that tells anybody that an update of the peer's is accepted leaves before a
//! watcher, and as many of the stream's as the settings ask for, have stored the state that it leads to.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::mem::Discriminant;

use perun_protocol::channel::{AdjudicatorCall, Channel, Event, Output, pending_version};
use perun_protocol::wire::{Message, ProposalId, RejectCode, Text};
use perun_protocol::{PublicKey, SecretKey, SignedState, Version};

use crate::records::{StoredPayments, StoredState};
use crate::settings::Guards;
use crate::spending::Spending;
use crate::watching::Watching;

/// The machine of one channel.
pub(crate) type Machine = Channel<Rc<SecretKey>>;

/// Messages that wait for a watcher; what does not fit is lost, as by a link that breaks.
const MAX_WAITING: usize = 8;

/// After so long one watcher's word that a channel is over is enough, in nanoseconds.
const OVER_ALONE_NS: u64 = 24 * 3600 * 1_000_000_000;

/// One channel.
pub(crate) struct Driver {
    /// Where its records lie.
    pub(crate) slot: u8,
    pub(crate) peer: PublicKey,
    pub(crate) proposal: ProposalId,
    pub(crate) machine: Machine,
    pub(crate) spending: Spending,
    /// What is to be asked of the adjudicator, if anything.
    pub(crate) wanted: Option<AdjudicatorCall>,
    /// What was asked for last, to tell a new wish from a repeated one.
    pub(crate) asked_for: Option<Discriminant<AdjudicatorCall>>,
    /// Which watcher was asked to deposit, and when.
    pub(crate) fund_asked: Option<(usize, u64)>,
    /// Which of them is asked first.
    pub(crate) fund_first: usize,
    /// Bytes of its state's record.
    pub(crate) state_length: usize,
    /// One for each watcher of the settings.
    pub(crate) watches: Vec<Watching>,
    /// Whether watchers of the stream have to store what is accepted, too.
    needs_stream: bool,
    /// The version that enough of those have stored.
    pub(crate) streamed: Option<Version>,
    /// Whether a watcher has said how far this channel is: before that, a restored copy may be an
    /// old one, and does not talk to the peer.
    pub(crate) is_checked: bool,
    /// The peer's sync that came before that.
    pub(crate) early: Option<Message>,
    outbox: VecDeque<Output>,
    /// The newest snapshot, if it is not stored yet.
    later: Option<Vec<u8>>,
    later_due_ns: u64,
    /// The payments of our proposal under way.
    pending: Option<StoredPayments>,
}

impl Driver {
    pub(crate) fn new(
        slot: u8,
        peer: PublicKey,
        proposal: ProposalId,
        machine: Machine,
        guards: Guards,
    ) -> Self {
        Self {
            slot,
            peer,
            proposal,
            machine,
            spending: Spending::default(),
            wanted: None,
            asked_for: None,
            fund_asked: None,
            fund_first: 0,
            state_length: 0,
            watches: (0..guards.linked)
                .map(|_| Watching::of_new_channel())
                .collect(),
            needs_stream: guards.streamed > 0,
            streamed: None,
            is_checked: true,
            early: None,
            outbox: VecDeque::new(),
            later: None,
            later_due_ns: 0,
            pending: None,
        }
    }

    /// One that was stored.
    pub(crate) fn restored(mut self, spending: Spending, pending: Option<StoredPayments>) -> Self {
        self.spending = spending;
        self.pending = pending;
        // Before version 0 is signed by both, watchers know nothing.
        self.is_checked = self.machine.newest().is_none();
        for watch in &mut self.watches {
            *watch = Watching::of_stored_channel();
        }
        self
    }

    /// Takes the machine's outputs in. What is to be stored first is handed to `store` at once, in
    /// its place.
    pub(crate) fn take_outputs<E>(
        &mut self,
        uptime_ns: u64,
        later_ns: u64,
        mut store: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Persist(record) => {
                    self.note_pending(&record.snapshot, record.payments);
                    let state = self.encode(record.snapshot);
                    store(&state)?;
                    self.state_length = state.len();
                    self.later = None;
                }
                Output::PersistLater(record) => {
                    self.note_pending(&record.snapshot, record.payments);
                    if self.later.replace(record.snapshot).is_none() {
                        self.later_due_ns = uptime_ns.saturating_add(later_ns);
                    }
                }
                Output::Call(call) => self.wanted = Some(call),
                Output::Send(_) if self.outbox.len() >= MAX_WAITING => {}
                Output::Send(_) | Output::Notify(_) => self.outbox.push_back(output),
            }
        }
        Ok(())
    }

    /// Stores what can wait no longer.
    pub(crate) fn store_later<E>(
        &mut self,
        uptime_ns: u64,
        mut store: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.later.is_some() && uptime_ns >= self.later_due_ns {
            let snapshot = self.later.take().unwrap_or_default();
            let state = self.encode(snapshot);
            store(&state)?;
            self.state_length = state.len();
        }
        Ok(())
    }

    /// When there is something to store that can wait no longer.
    pub(crate) fn store_due_ns(&self) -> Option<u64> {
        self.later.as_ref().map(|_| self.later_due_ns)
    }

    /// Keeps the payments that the snapshot needs to be restored: of the proposal that is pending in
    /// it, which need no longer be so in the machine.
    fn note_pending(&mut self, snapshot: &[u8], payments: Option<(Version, Vec<u8>)>) {
        let version = pending_version(snapshot);
        if let Some((of, payments)) = payments
            && Some(of) == version
        {
            self.pending = Some(StoredPayments {
                version: of,
                payments: payments.into(),
            });
        }
        if self.pending.as_ref().map(|pending| pending.version) != version {
            self.pending = None;
        }
    }

    fn encode(&self, snapshot: Vec<u8>) -> Vec<u8> {
        let stored = StoredState {
            snapshot: snapshot.into(),
            pending: self.pending.clone(),
            spending: self.spending.clone(),
        };
        stored.encode()
    }

    /// What is to be carried out next, `None` if there is nothing or it waits for a watcher.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        if self.machine.is_closed() {
            // What no watcher has stored by now did not count.
            let mut outbox = core::mem::take(&mut self.outbox);
            outbox.retain(|output| self.may_leave(output));
            self.outbox = outbox;
        }
        let next = match self.outbox.front() {
            Some(output) if self.may_leave(output) => 0,
            // What else the owner is to know does not wait behind what others are not to know yet.
            _ => self
                .outbox
                .iter()
                .position(|output| matches!(output, Output::Notify(_)) && self.may_leave(output))?,
        };
        self.outbox.remove(next).map(in_our_words)
    }

    fn may_leave(&self, output: &Output) -> bool {
        tells_of(output).is_none_or(|version| self.is_guarded(version))
    }

    /// Whether enough watchers were heard to tell an old copy by: all of them, or one that watches
    /// this channel, if the others are silent for so long. `true` when that has just come about.
    pub(crate) fn check(&mut self, uptime_ns: u64, patience_ns: u64) -> bool {
        let are_all = self.watches.iter().all(Watching::is_heard);
        let is_late = uptime_ns >= patience_ns && self.watches.iter().any(Watching::vouches);
        !self.is_checked && (are_all || is_late) && {
            self.is_checked = true;
            true
        }
    }

    /// Whether the channel can be taken to be over: two watchers say so, or one has for a day in
    /// which none has said otherwise. With what is over everything of it is forgotten, so one word is not enough.
    pub(crate) fn is_agreed_over(&self, uptime_ns: u64) -> bool {
        let saying = self.watches.iter().filter_map(Watching::over_since_ns);
        let (count, first) = saying.fold((0, u64::MAX), |(count, first), since| {
            (count + 1, first.min(since))
        });
        let denied = self.watches.iter().filter_map(Watching::denied_ns).max();
        let undisputed = denied.map_or(first, |denied| first.max(denied));
        count >= self.watches.len().min(2) || uptime_ns.saturating_sub(undisputed) >= OVER_ALONE_NS
    }

    /// Whether something waits for a watcher.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether as many watchers as there should have stored this version, or a newer one.
    fn is_guarded(&self, version: Version) -> bool {
        version == Version::INITIAL || Some(version) <= self.guarded()
    }

    /// The newest version that as many watchers as there should have stored.
    pub(crate) fn guarded(&self) -> Option<Version> {
        let linked = self.watches.iter().filter_map(Watching::stored).max();
        match self.needs_stream {
            true => linked.min(self.streamed),
            false => linked,
        }
    }

    /// The newest version.
    pub(crate) fn newest(&self) -> Option<Version> {
        self.machine.newest().map(SignedState::version)
    }
}

/// The version of which an output tells that it is accepted.
fn tells_of(output: &Output) -> Option<Version> {
    match output {
        Output::Send(Message::UpdateAcceptance(acceptance)) => Some(acceptance.version),
        Output::Send(Message::Sync(sync)) => Some(sync.newest.state.version()),
        Output::Notify(Event::Received { version, .. }) => Some(*version),
        _ => None,
    }
}

/// A view too old is, on a device, its watchers' doing.
fn in_our_words(output: Output) -> Output {
    match output {
        Output::Send(Message::UpdateRejection(mut rejection))
            if rejection.code == RejectCode::ViewStale =>
        {
            rejection.code = RejectCode::WatchersLag;
            rejection.text = Text::new("no watcher of the device has seen the channel in time");
            Output::Send(Message::UpdateRejection(rejection))
        }
        output => output,
    }
}
