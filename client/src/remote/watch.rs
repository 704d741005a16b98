//! A watch: one channel for one device, what was seen of it, and what the device is told.
//!
//! ```text
//!  orders ──> Order ──written──> records ──durable──> WatchAck
//!               │
//!  looks ───> View ──> wanted ──> calls (remote::calls)
//!               └──> DisputeNotice
//! ```
//!
//! Invariants: the newest state never becomes older. An ack names no version that is not durable.
//! Nothing is sent while a lock is held: links ask the service whom it knows, under locks of theirs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perun_protocol::dispute::Rank;
use perun_protocol::remote::{
    DisputeNotice, RemoteCode, RemoteMessage, RemoteRejection, UnverifiedView, WatchAck,
};
use perun_protocol::view::{Status, View};
use perun_protocol::wire::Text;
use perun_protocol::{
    AssetIdx, Params, PublicKey, SignedState, SignedWithdrawalAuth, Timestamp,
    UnverifiedSignedState, Version,
};
use tokio::sync::Notify;

use super::Shared;
use super::calls::Calls;
use super::order::{End, Order, Place};
use super::requests::Refused;
use super::wanted::{Wanted, wanted};
use crate::store::Ticket;

/// How many requests of one watch may wait for the disk.
const MAX_WAITING: usize = 64;
/// A view is old that so many polls of the log have not renewed,
const OLD_POLLS: u32 = 4;
/// and not within this part of the challenge duration: the rest is left to refute.
const OLD_PART: u32 = 8;
/// How old an order is before asking for it makes it new: no write for each question.
const RENEWAL_NS: u64 = 3_600 * 1_000_000_000;

/// One channel that is watched for one device.
pub(super) struct Watch {
    pub(super) place: Place,
    pub(super) device: PublicKey,
    pub(super) params: Params,
    pub(super) service: Arc<Shared>,
    state: Mutex<State>,
    /// Nothing is left to be done, ever. Told without the state's lock, so that whoever holds the lock
    /// of all watches waits for none of them.
    is_over: AtomicBool,
    /// There may be something more urgent than to wait.
    pub(super) news: Notify,
}

pub(super) struct State {
    order: Order,
    view: Option<View>,
    /// What counts as seen while there is no view: when it began to be watched.
    since: Timestamp,
    /// What was seen registered last, and until when it can be refuted.
    claim: Option<(Rank, Timestamp)>,
    /// The assets of which our remainder is too small to be paid out.
    kept: Vec<AssetIdx>,
    /// Something may have happened that no look has seen yet, so that "nothing has happened" must
    /// not be said.
    pub(super) is_touched: bool,
    /// Somebody has done something, or a dispute is on: no look for another reason comes first.
    pub(super) is_urgent: bool,
    /// How often time was lost. What a look that began before has seen is older than it looks.
    pub(super) epoch: u64,
    /// A look is under way. It sees what the log told before it began, and the view does not yet.
    pub(super) is_looking: bool,
    /// Nothing is left to be done, ever.
    is_over: bool,
    /// It was forgotten, and its record with it: whoever still finds it finds nothing.
    is_forgotten: bool,
    /// The newest write.
    written: Ticket,
    /// The version that is durable.
    durable: Option<Version>,
    /// The highest version that the device is known to have.
    known: Option<Version>,
    /// How many requests wait for the disk.
    waiting: usize,
    pub(super) calls: Calls,
}

/// What changes an order. Everything in it was verified.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) newest: Option<SignedState>,
    pub(super) auths: Option<Vec<SignedWithdrawalAuth>>,
    pub(super) is_forced: bool,
}

impl Change {
    fn is_nothing(&self) -> bool {
        self.newest.is_none() && self.auths.is_none() && !self.is_forced
    }
}

/// A request that waits for its ack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The type number of the request.
    pub(super) about: u16,
    /// The highest version that the device has.
    pub(super) knows: Option<Version>,
}

impl Watch {
    /// A watch that was ordered just now, or read from the records. In the latter case `over` is
    /// how it ended, if it has, and `durable` the version that was read.
    pub(super) fn new(
        service: Arc<Shared>,
        order: Order,
        over: Option<End>,
        durable: Option<Version>,
    ) -> Arc<Self> {
        let is_over = over.is_some();
        let end = over.map(|End { view, kept }| (Some(view), kept));
        let (view, kept) = end.unwrap_or_default();
        let since = service.now();
        Arc::new(Self {
            place: order.place(),
            device: order.device(),
            params: order.params.clone(),
            service,
            is_over: AtomicBool::new(is_over),
            state: Mutex::new(State {
                kept,
                is_over,
                is_forgotten: false,
                view,
                since,
                claim: None,
                order,
                is_touched: true,
                is_urgent: false,
                epoch: 0,
                is_looking: false,
                written: Ticket::NONE,
                durable,
                known: None,
                waiting: 0,
                calls: Calls::default(),
            }),
            news: Notify::new(),
        })
    }

    /// Writes the order down for the first time, and answers when it is durable.
    pub(super) fn begin(self: &Arc<Self>, asked: Asked) -> Result<(), Refused> {
        let mut state = self.lock();
        self.write(&mut state);
        self.go_on(&mut state);
        self.ack_when_durable(&mut state, asked)
    }

    /// Takes in what a device hands in, and answers when it is durable.
    pub(super) fn change(self: &Arc<Self>, change: Change, asked: Asked) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.is_forgotten {
            return Err((RemoteCode::UnknownChannel, ""));
        }
        let is_question = change.is_nothing();
        let can_store = self.service.records.check();
        if let Err(refused) = can_store {
            if is_question {
                // From what is durable, without a promise.
                let ack = self.ack(&state, asked.knows);
                drop(state);
                self.tell(&ack);
                return Ok(());
            }
            // To close needs no memory but this one, while it lasts.
            if change.is_forced && !state.is_over && state.order.apply(change) {
                self.go_on(&mut state);
            }
            return Err(refused);
        }
        if !state.is_over {
            let is_renewed = state.order.renew(self.service.now());
            let is_changed = state.order.apply(change);
            if is_renewed || is_changed {
                self.write(&mut state);
            }
            if is_changed {
                self.go_on(&mut state);
            }
        }
        self.ack_when_durable(&mut state, asked)
    }

    /// Ends the watch if it is to be forgotten; `false` if it was asked for meanwhile.
    pub(super) fn end_if_forgotten(&self) -> bool {
        let mut state = self.lock();
        if state.is_over || self.wanted(&state) != Wanted::Forget {
            return false;
        }
        state.is_forgotten = true;
        self.end(&mut state);
        true
    }

    /// The newest version held.
    pub(super) fn newest(&self) -> SignedState {
        self.lock().order.newest.clone()
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Something may have happened to the channel at the adjudicator.
    pub(super) fn touch(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.is_over {
            state.is_touched = true;
            self.go_on(&mut state);
        }
    }

    /// Something has happened to the channel: what failed before may succeed now.
    pub(super) fn handle_deed(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.is_over {
            (state.is_touched, state.is_urgent) = (true, true);
            state.calls.hurry();
            self.go_on(&mut state);
        }
    }

    /// A view that the log has not renewed for long is not trusted any more: the log may be silent, or
    /// lie.
    pub(super) fn look_if_old(self: &Arc<Self>, poll_interval: Duration) {
        let mut state = self.lock();
        let Some(view) = &state.view else {
            return;
        };
        if state.is_over || state.is_touched || state.is_looking {
            return;
        }
        let duration = Duration::from_secs(self.params.challenge_duration().secs().into());
        let longest = (poll_interval * OLD_POLLS).max(duration / OLD_PART);
        let age = Duration::from_nanos(self.service.now().nanos_since(view.at));
        if age > longest {
            state.is_touched = true;
            self.go_on(&mut state);
        }
    }

    /// Nothing has happened to any channel until `as_of` but to those that were touched.
    pub(super) fn handle_quiet(self: &Arc<Self>, as_of: Timestamp) {
        let mut state = self.lock();
        if state.is_over || state.is_touched || state.is_looking {
            return;
        }
        if let Some(view) = &mut state.view {
            view.at = view.at.max(as_of);
        }
        // A timeout may have passed.
        if self.wanted(&state) != Wanted::Nothing {
            self.go_on(&mut state);
        }
    }

    /// Time was lost without notice: what was seen before may be older than it looks.
    pub(super) fn handle_lost_time(self: &Arc<Self>) {
        let mut state = self.lock();
        if !state.is_over {
            state.epoch += 1;
            state.is_urgent |= state.is_disputed();
            state.view = None;
            state.is_touched = true;
            self.go_on(&mut state);
        }
    }

    /// The device is there (again).
    pub(super) fn handle_connected(&self) {
        let notice = self.notice(&self.lock());
        if let Some(notice) = notice {
            self.tell(&notice);
        }
    }

    /// What a look that began in this epoch has seen.
    pub(super) fn handle_view(self: &Arc<Self>, view: View, epoch: u64) {
        let mut state = self.lock();
        state.is_looking = false;
        state.calls.look = None;
        if epoch != state.epoch {
            // Another look follows.
            state.is_touched = true;
            return;
        }
        if state.is_over || state.view.as_ref().is_some_and(|last| last.at > view.at) {
            return;
        }
        if let Status::Registered {
            signed: Some(signed),
            ..
        } = &view.status
        {
            // Whoever registered it had it from our device, or has our device's signature.
            let newest = Some(signed.clone());
            let change = Change {
                newest,
                ..Change::default()
            };
            if state.order.apply(change) {
                self.write(&mut state);
            }
        }
        let claim = match view.status {
            Status::Registered { rank, timeout, .. } => Some((rank, timeout)),
            Status::Open { .. } | Status::Concluded { .. } => None,
        };
        if claim.is_some() && claim != state.claim {
            self.service.disputes.fetch_add(1, Ordering::Relaxed);
        }
        state.claim = claim;
        let before = state.view.replace(view);
        let is_news = before.as_ref().map(|view| &view.status)
            != state.view.as_ref().map(|view| &view.status);
        if !is_news {
            return;
        }
        let notice = self.notice(&state);
        let ack = self.ack(&state, state.known);
        drop(state);
        if let Some(notice) = notice {
            tracing::info!("channel {:.8}: something is registered", self.place.channel);
            self.tell(&notice);
        }
        self.tell(&ack);
    }

    /// When it was seen last, and until when what is registered can be refuted; `None` if it is over.
    pub(super) fn seen(&self) -> Option<(Timestamp, Option<Timestamp>)> {
        let state = self.lock();
        let seen_at = state.view.as_ref().map_or(state.since, |view| view.at);
        let timeout = state.claim.map(|(_, timeout)| timeout);
        (!state.is_over).then_some((seen_at, timeout))
    }

    /// These remainders are too small to be paid out.
    pub(super) fn handle_kept(&self, assets: impl Iterator<Item = AssetIdx>) {
        let mut state = self.lock();
        for asset in assets {
            if !state.kept.contains(&asset) {
                state.kept.push(asset);
            }
        }
    }

    /// Nothing is left to be done: what was seen last is kept for whoever asks. Returns what the
    /// device is to be told.
    #[must_use]
    pub(super) fn finish(&self, state: &mut State) -> RemoteMessage {
        tracing::info!("channel {:.8} is over", self.place.channel);
        self.end(state);
        let end = state.view.clone().map(|view| End {
            view,
            kept: state.kept.clone(),
        });
        let record = state.order.encode(end.as_ref());
        let name = self.place.name(Place::WATCH);
        state.written = self.service.records.put_later(name, record);
        self.ack(state, state.known)
    }

    fn end(&self, state: &mut State) {
        state.is_over = true;
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn wanted(&self, state: &State) -> Wanted {
        match &state.view {
            Some(view) => wanted(&state.order, &state.kept, view, self.service.now()),
            None => Wanted::Nothing,
        }
    }

    /// Tells the device no.
    pub(super) fn reject(&self, about: u16, code: RemoteCode, text: &str) {
        self.service
            .reject(&self.device, self.place, about, code, text);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &mut State) {
        let name = self.place.name(Place::WATCH);
        let record = state.order.encode(None);
        state.written = self.service.records.put(name, record);
    }

    fn ack_when_durable(self: &Arc<Self>, state: &mut State, asked: Asked) -> Result<(), Refused> {
        if state.waiting >= MAX_WAITING {
            return Err((RemoteCode::Busy, ""));
        }
        state.waiting += 1;
        state.known = state.known.max(asked.knows);
        let (ticket, version) = (state.written, state.order.newest.version());
        let watch = Arc::clone(self);
        let answer = async move {
            let stored = watch.service.records.durable(ticket).await;
            let mut state = watch.lock();
            state.waiting -= 1;
            match stored {
                Ok(()) => {
                    state.durable = state.durable.max(Some(version));
                    let ack = watch.ack(&state, asked.knows);
                    drop(state);
                    watch.tell(&ack);
                }
                Err(_) => {
                    drop(state);
                    watch.reject(asked.about, RemoteCode::NotStored, "");
                }
            }
        };
        self.service.spawn(answer);
        Ok(())
    }

    fn ack(&self, state: &State, knows: Option<Version>) -> RemoteMessage {
        let newest = &state.order.newest;
        let newer = knows.is_some_and(|knows| newest.version() > knows);
        let view = state.view.as_ref();
        RemoteMessage::WatchAck(Box::new(WatchAck {
            channel: self.place.channel,
            part: self.place.part,
            version: state.durable,
            now: self.service.now(),
            view: view.map(|view| UnverifiedView::of(view, knows)),
            newer: newer.then(|| UnverifiedSignedState::from(newest.clone())),
            kept: state.kept.clone(),
        }))
    }

    /// What a device must know of what is registered.
    fn notice(&self, state: &State) -> Option<RemoteMessage> {
        let Status::Registered { rank, timeout, .. } = state.view.as_ref()?.status else {
            return None;
        };
        Some(RemoteMessage::DisputeNotice(DisputeNotice {
            channel: self.place.channel,
            part: self.place.part,
            registered: rank,
            held: state.order.newest.version(),
            timeout,
            now: self.service.now(),
        }))
    }

    /// Never under a lock.
    pub(super) fn tell(&self, message: &RemoteMessage) {
        self.service.send(&self.device, message);
    }
}

impl State {
    /// Whether something is registered: time may be running out.
    pub(super) fn is_disputed(&self) -> bool {
        let status = self.view.as_ref().map(|view| &view.status);
        matches!(status, Some(Status::Registered { .. }))
    }

    pub(super) fn is_due_for_a_look(&self) -> bool {
        !self.is_over && (self.is_touched || self.view.is_none())
    }
}

impl Order {
    /// Whoever asks for it still wants it; `false` if that need not be remembered.
    fn renew(&mut self, now: Timestamp) -> bool {
        let is_due = now.nanos_since(self.given_at) >= RENEWAL_NS;
        if is_due {
            self.given_at = now;
        }
        is_due
    }

    /// Takes a change in; `false` if nothing is other than before.
    fn apply(&mut self, change: Change) -> bool {
        let Change {
            newest,
            auths,
            is_forced,
        } = change;
        let newest = newest.filter(|newest| newest.version() > self.newest.version());
        let auths = auths.filter(|auths| *auths != self.auths);
        let forces = is_forced && !self.is_forced;
        let is_another = newest.is_some() || auths.is_some() || forces;
        if let Some(newest) = newest {
            self.newest = newest;
        }
        if let Some(auths) = auths {
            self.auths = auths;
        }
        self.is_forced |= is_forced;
        is_another
    }
}

impl Shared {
    /// Tells a device no.
    pub(super) fn reject(
        &self,
        device: &PublicKey,
        place: Place,
        about: u16,
        code: RemoteCode,
        text: &str,
    ) {
        let rejection = RemoteMessage::RemoteRejection(RemoteRejection {
            channel: place.channel,
            part: place.part,
            about,
            code,
            text: Text::new(text),
        });
        self.send(device, &rejection);
    }
}
