//! The driver: one channel's machine, and what carries out what it wants.
//!
//! ```text
//!  messages ─┐                          ┌─> store   (durable before …)
//!  commands ─┼─> Driver::input ─> outputs ─> outbox ─> peer, calls, events
//!  views ────┤      machine             └─> (… what comes behind it)
//!  timers ───┘
//! ```
//!
//! It decides nothing. Each input runs the machine under a lock that is held for microseconds and
//! over no await, and then its outputs are carried out in their order: those behind a `Persist`
//! when the store says that it is durable, right away by the store's own thread.
//!
//! Invariant: no output is carried out before what it needs is durable, nor before an earlier one.

mod calls;
mod fate;
mod timers;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use perun_protocol::channel::{
    AdjudicatorCall, Channel, Event, Output, PayError, Record, max_batch,
};
use perun_protocol::payment::Payment;
use perun_protocol::signature::{Libsecp256k1, Signer};
use perun_protocol::{Amount, ChannelId, PublicKey, Timestamp};
use tokio::sync::{Notify, watch};

use self::calls::Calls;
use self::fate::Fates;
use crate::channel::Closing;
use crate::client::Shared;
use crate::events::ClientEvent;
use crate::link::Hello;
use crate::store::{Ending, Ticket, Urgency, Write};

pub(crate) use self::fate::Fate;
pub(crate) use self::timers::Timers;

/// What signs for a participant: a key in memory, or something that keeps one.
pub type Key = Arc<dyn Signer + Send + Sync>;

/// The machine as it runs here.
pub(crate) type Machine = Channel<Key, Libsecp256k1>;

/// With more outputs than this waiting for the store, the peer has to wait too.
const MAX_WAITING: usize = 64;

/// How far a channel is, for those who wait for it to get further.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// Version 0 is being signed, or deposits are under way.
    Opening,
    Open,
    /// On its way out. Why, if it never opened.
    Settling {
        never_opened: bool,
    },
    Closed(Closing),
    Abandoned(perun_protocol::wire::Reason),
    /// The client has stopped.
    Stopped,
}

/// Drives one channel.
pub(crate) struct Driver {
    id: ChannelId,
    /// The peer's off-chain identity.
    peer: PublicKey,
    shared: Arc<Shared>,
    state: Mutex<State>,
    stage: watch::Sender<Stage>,
    /// Another call is wanted than the one that failed.
    another_call: Notify,
}

struct State {
    machine: Machine,
    /// What was not stored yet of what never changes.
    opening: Option<Vec<u8>>,
    /// Outputs that wait until the write with this ticket is durable.
    outbox: VecDeque<(Ticket, Output)>,
    /// The newest write that later outputs wait for.
    barrier: Ticket,
    /// The store's thread will look after the outbox.
    is_awaited: bool,
    fates: Fates,
    calls: Calls,
    /// When the timer will fire next.
    armed: Option<Timestamp>,
    /// The channel is over, and what was left of each asset; it is to be told together with what was
    /// paid out.
    over: Option<Vec<Amount>>,
}

impl Driver {
    /// A driver of a channel with `peer`. `opening` is what is to be stored of it once, with its
    /// first record; `None` if it is.
    pub(crate) fn new(
        shared: Arc<Shared>,
        peer: PublicKey,
        machine: Machine,
        opening: Option<Vec<u8>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: machine.id(),
            peer,
            shared,
            state: Mutex::new(State {
                fates: Fates::default(),
                machine,
                opening,
                outbox: VecDeque::new(),
                barrier: Ticket::default(),
                is_awaited: false,
                calls: Calls::default(),
                armed: None,
                over: None,
            }),
            stage: watch::Sender::new(Stage::Opening),
            another_call: Notify::new(),
        })
    }

    pub(crate) fn id(&self) -> ChannelId {
        self.id
    }

    pub(crate) fn peer(&self) -> &PublicKey {
        &self.peer
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Runs the machine, and carries out what it wants.
    pub(crate) fn input<R>(self: &Arc<Self>, f: impl FnOnce(&mut Machine, Timestamp) -> R) -> R {
        let now = self.shared.now();
        let mut state = self.lock();
        let result = f(&mut state.machine, now);
        self.pump(&mut state);
        result
    }

    /// There is a new link to the peer, which has said this of itself.
    pub(crate) fn connect(self: &Arc<Self>, hello: &Hello) {
        let most = usize::try_from(hello.max_message).unwrap_or(usize::MAX);
        self.input(|machine, now| {
            let max_batch = max_batch(most, machine.params().assets().len());
            machine.handle_connected(now, max_batch);
        });
    }

    /// Reads the machine.
    pub(crate) fn read<R>(&self, f: impl FnOnce(&Machine) -> R) -> R {
        f(&self.lock().machine)
    }

    /// The client stops: whoever waits learns that it will not be told any more.
    pub(crate) fn stop(&self) {
        self.lock().fates.forget_all();
        self.stage.send_if_modified(|stage| {
            let is_over = matches!(stage, Stage::Closed(_) | Stage::Abandoned(_));
            if !is_over {
                *stage = Stage::Stopped;
            }
            !is_over
        });
    }

    async fn stopped(&self) {
        let mut stage = self.stage();
        let _ = stage.wait_for(|stage| *stage == Stage::Stopped).await;
    }

    /// A payment, and what becomes of it.
    pub(crate) fn pay(self: &Arc<Self>, payment: &Payment) -> Result<Fate, PayError> {
        let now = self.shared.now();
        let mut state = self.lock();
        let number = state.machine.pay(now, payment)?;
        // Registered before the outputs are carried out, so that the answer finds it.
        let fate = state.fates.of(number);
        self.pump(&mut state);
        Ok(fate)
    }

    /// Several payments, all or none, and what becomes of each.
    pub(crate) fn pay_together(
        self: &Arc<Self>,
        payments: &[Payment],
    ) -> Result<Vec<Fate>, PayError> {
        let now = self.shared.now();
        let mut state = self.lock();
        let last = state.machine.pay_together(now, payments)?;
        let first = last.saturating_sub(payments.len() as u64) + 1;
        let fates = (first..=last)
            .map(|number| state.fates.of(number))
            .collect();
        self.pump(&mut state);
        Ok(fates)
    }

    /// As many payments as are taken, how many that is, and what becomes of the last of them.
    pub(crate) fn pay_all(
        self: &Arc<Self>,
        payments: &[Payment],
    ) -> Result<(usize, Fate), PayError> {
        let now = self.shared.now();
        let mut state = self.lock();
        let (mut count, mut last) = (0, 0);
        let mut refused = None;
        for payment in payments {
            match state.machine.pay(now, payment) {
                Ok(number) => (count, last) = (count + 1, number),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        if let (0, Some(error)) = (count, refused) {
            return Err(error);
        }
        let fate = state.fates.of(last);
        self.pump(&mut state);
        Ok((count, fate))
    }

    /// The store has become more durable: outputs that waited for it are carried out.
    pub(crate) fn release(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_awaited = false;
        self.drain(&mut state);
    }

    /// Whether so much waits for the store that no more of the peer's messages are taken: an honest
    /// peer waits for answers, and repeats what it gets none to.
    pub(crate) fn is_backed_up(&self) -> bool {
        self.lock().outbox.len() > MAX_WAITING
    }

    /// Nothing that is signed from now on will ever leave: whoever waits for it learns that.
    pub(crate) fn give_up(&self) {
        self.lock().fates.forget_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // After a panic the machine still tells what to ask of the adjudicator; nothing else of what
        // it wants is carried out (see `pump`).
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pump(self: &Arc<Self>, state: &mut State) {
        while let Some(output) = state.machine.poll_output() {
            match output {
                Output::Persist(record) => {
                    state.barrier = self.write(state, record, Urgency::Now);
                }
                Output::PersistLater(record) => {
                    self.write(state, record, Urgency::Later);
                }
                // Whoever defends what is signed waits for no disk: what is registered is known to the
                // whole world. Only a deposit needs the state behind it to be durable.
                Output::Call(call) if call != AdjudicatorCall::Fund => {
                    let is_call = |output: &Output| matches!(output, Output::Call(_));
                    state.outbox.retain(|(_, output)| !is_call(output));
                    self.want(state, call);
                }
                // What a panic left half done must not leave.
                _ if self.state.is_poisoned() => {}
                output => {
                    if state.outbox.is_empty() && self.shared.is_durable(state.barrier) {
                        self.carry_out(state, output);
                    } else {
                        state.outbox.push_back((state.barrier, output));
                    }
                }
            }
        }
        self.drain(state);
        self.arm(state);
    }

    fn write(&self, state: &mut State, record: Record, urgency: Urgency) -> Ticket {
        self.shared.store().write(Write {
            channel: self.id,
            opening: state.opening.take(),
            snapshot: Some(record.snapshot),
            payments: record.payments,
            forget: record.forget,
            // What is over is not loaded any more.
            ending: state.machine.is_closed().then_some(Ending::Archive),
            urgency,
        })
    }

    /// Carries out what no longer has to wait.
    fn drain(self: &Arc<Self>, state: &mut State) {
        loop {
            let Some(&(ticket, _)) = state.outbox.front() else {
                // An idle channel holds no memory for what it may do one day.
                state.outbox.shrink_to_fit();
                return;
            };
            if !self.shared.is_durable(ticket) {
                if std::mem::replace(&mut state.is_awaited, true) {
                    return;
                }
                self.shared.await_durable(self);
                // It may have become durable just before.
                if !self.shared.is_durable(ticket) {
                    return;
                }
            }
            if let Some((_, output)) = state.outbox.pop_front() {
                self.carry_out(state, output);
            }
        }
    }

    fn carry_out(self: &Arc<Self>, state: &mut State, output: Output) {
        match output {
            Output::Send(message) => self.shared.send(&self.peer, &message),
            Output::Call(call) => self.want(state, call),
            Output::Notify(event) => self.tell(state, event),
            Output::Persist(_) | Output::PersistLater(_) => {
                unreachable!("records go to the store at once")
            }
        }
    }

    fn want(self: &Arc<Self>, state: &mut State, call: AdjudicatorCall) {
        if state.calls.is_another(&call) {
            self.another_call.notify_one();
        }
        if state.calls.want(call) {
            let driver = Arc::clone(self);
            self.shared.spawn(async move {
                // What a stopped client has begun is found by the next one.
                tokio::select! {
                    () = driver.carry_out_calls() => {}
                    () = driver.stopped() => {}
                }
            });
        }
    }

    fn tell(self: &Arc<Self>, state: &mut State, event: Event) {
        match &event {
            Event::Settled { through } => state.fates.settle(*through),
            Event::Refused {
                from,
                through,
                reason,
            } => state.fates.refuse(*from, *through, reason),
            Event::Opened => {
                self.stage.send_replace(Stage::Open);
            }
            Event::Closing { .. } | Event::FundingTimedOut | Event::Disputed { .. } => {
                self.stage.send_if_modified(|stage| {
                    let never_opened = match stage {
                        Stage::Opening => true,
                        Stage::Open => false,
                        _ => return false,
                    };
                    *stage = Stage::Settling { never_opened };
                    true
                });
            }
            Event::Closed { kept } => {
                state.over = Some(kept.clone());
                // Whoever carries calls out ends the channel behind them.
                self.want(state, AdjudicatorCall::Observe);
            }
            Event::Abandoned { reason } => self.end(Stage::Abandoned(reason.clone())),
            _ => {}
        }
        self.shared.tell(self.id, ClientEvent::Channel(event));
    }

    pub(super) fn end(&self, stage: Stage) {
        // First, so that whoever is told that it is over does not find it any more.
        self.shared.retire(self.id);
        self.stage.send_replace(stage);
    }

    /// Sees to it that the machine is told when the time has come that it waits for.
    fn arm(self: &Arc<Self>, state: &mut State) {
        let Some(due) = state.machine.poll_timeout() else {
            return;
        };
        // A timer that fires early does no harm, so one that is to fire later is left alone.
        if state.armed.is_none_or(|armed| due < armed) {
            state.armed = Some(due);
            self.shared.timers().add(due, self);
        }
    }

    /// The timer has fired.
    pub(crate) fn fire(self: &Arc<Self>) {
        let now = self.shared.now();
        let mut state = self.lock();
        state.armed = None;
        state.machine.handle_timeout(now);
        self.pump(&mut state);
    }
}
