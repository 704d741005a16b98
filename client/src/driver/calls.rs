//! Calls to the adjudicator that a channel wants: one at a time, and after each one a look.
//!
//! ```text
//! wanted ──> carried out ──> looked at ──> the machine says what it wants next, if anything
//!    ^            │ failed         │ failed: again, for as long as it takes
//!    └── pause ───┘ <──────────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use perun_protocol::channel::AdjudicatorCall;
use perun_protocol::view::View;
use perun_protocol::{Params, Timestamp};
use tokio::time::{sleep, timeout};

use super::{Driver, Stage};
use crate::chain::{PerformError, Performed, Retry};
use crate::channel::{Closing, PaidOut};
use crate::events::ClientEvent;
use crate::{CallError, Event as LogEvent, WithdrawReceipt};

/// The pause after the first call that failed; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer, while time may be running out.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// No call and no look may take longer: each can be made again, and another may be more urgent by
/// then.
const LONGEST_CALL: Duration = Duration::from_secs(60);
/// The pause before a call that only helps once somebody has changed something.
const SLOW_PAUSE: Duration = Duration::from_secs(30);

/// The calls of one channel.
#[derive(Debug, Default)]
pub(super) struct Calls {
    wanted: Option<AdjudicatorCall>,
    is_running: bool,
    /// Something has happened to the channel that no look has seen yet, so that "nothing has
    /// happened" must not be said.
    is_touched: bool,
    /// The call that failed last, while there is a pause.
    failed: Option<AdjudicatorCall>,
}

impl Calls {
    /// Takes a call in, in place of one that was not begun; `true` if somebody has to begin to carry
    /// calls out.
    pub(super) fn want(&mut self, call: AdjudicatorCall) -> bool {
        self.wanted = Some(call);
        !std::mem::replace(&mut self.is_running, true)
    }
}

impl Calls {
    /// Whether a pause after a failed call is on, and this is another.
    pub(super) fn is_another(&self, call: &AdjudicatorCall) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed != call)
    }
}

impl Driver {
    /// Something has happened to the channel at the adjudicator.
    pub(crate) fn touch(self: &Arc<Self>) {
        let mut state = self.lock();
        state.calls.is_touched = true;
        if state.calls.wanted.is_none() {
            self.want(&mut state, AdjudicatorCall::Observe);
        }
    }

    /// Nothing has happened to any channel until `as_of` but to those that were touched.
    pub(crate) fn handle_quiet(self: &Arc<Self>, as_of: Timestamp) {
        let now = self.shared().now();
        let mut state = self.lock();
        if !state.calls.is_touched {
            state.machine.handle_quiet(now, as_of);
            self.pump(&mut state);
        }
    }

    pub(super) async fn carry_out_calls(self: &Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        let mut is_look = false;
        while let Some(call) = self.next_call() {
            // In boxes of their own: what waits for its turn is to be small.
            let carrying_out = Box::pin(self.carry_out_call(&call));
            let carried_out = timeout(LONGEST_CALL, carrying_out).await;
            let again = match carried_out {
                Ok(Ok(())) => None,
                // What became of it shows the look that follows.
                Err(_) => Some(Retry::Soon),
                Ok(Err(error)) => {
                    let retry = error.retry();
                    self.shared().tell(
                        self.id(),
                        ClientEvent::CallFailed {
                            error: Arc::new(error),
                        },
                    );
                    Some(retry)
                }
            };
            let is_defence = matches!(call, AdjudicatorCall::Dispute(_));
            // Looking twice without anything in between is waiting for somebody else.
            let is_waiting = call == AdjudicatorCall::Observe && is_look;
            is_look = call == AdjudicatorCall::Observe;
            if again.is_some() {
                self.lock().calls.failed = Some(call);
            }
            self.look().await;
            if self.lock().over.is_some() {
                Box::pin(self.finish_if_over()).await;
            }
            let now = self.shared().now();
            let wait = match again {
                None if !is_waiting => {
                    pause = FIRST_PAUSE;
                    continue;
                }
                None | Some(Retry::Soon) => pause,
                Some(Retry::NotBefore(at)) => {
                    Duration::from_nanos(at.nanos_since(now)).min(SLOW_PAUSE)
                }
                // While a window is open, nothing is done slowly.
                Some(Retry::Slowly | Retry::Never) if is_defence => LONGEST_PAUSE,
                Some(Retry::Slowly | Retry::Never) => SLOW_PAUSE,
            };
            pause = (pause * 2).min(LONGEST_PAUSE);
            tokio::select! {
                () = sleep(wait.max(FIRST_PAUSE)) => {}
                () = self.another_call.notified() => {}
            }
            self.lock().calls.failed = None;
        }
    }

    /// The channel is over: finds out what was paid out, and ends.
    async fn finish_if_over(self: &Arc<Self>) {
        let Some(kept) = self.lock().over.take() else {
            return;
        };
        let (id, part) = self.read(|machine| (machine.id(), machine.setup().part));
        let events = self.shared().chain().adjudicator().channel_events(id, 0);
        // Everything of ours is paid, which is what counts; the receipts are in the log for ever.
        let events = events.await.unwrap_or_default();
        let paid_out = events.into_iter().filter_map(|record| match record.event {
            LogEvent::Withdrawn {
                asset,
                part: paid_part,
                receiver,
                paid,
                fee,
                block,
            } if paid_part == part => Some(PaidOut {
                asset,
                receiver,
                receipt: WithdrawReceipt { paid, fee, block },
            }),
            _ => None,
        });
        let paid_out = paid_out.collect();
        self.end(Stage::Closed(Closing { paid_out, kept }));
    }

    fn next_call(&self) -> Option<AdjudicatorCall> {
        let mut state = self.lock();
        let next = state.calls.wanted.take();
        state.calls.is_running = next.is_some();
        next
    }

    async fn carry_out_call(self: &Arc<Self>, call: &AdjudicatorCall) -> Result<(), PerformError> {
        let chain = self.shared().chain();
        let setup = self.read(|machine| machine.setup().clone());
        let params = &setup.params;
        let performed = match call {
            AdjudicatorCall::Observe => return Ok(()),
            AdjudicatorCall::Fund => {
                let door = self.shared().config().door;
                let funding = setup.initial.funding();
                chain.fund(params, setup.part, funding, door).await?
            }
            AdjudicatorCall::Dispute(signed) => chain.dispute(params, signed).await?,
            AdjudicatorCall::ConcludeFinal(signed) => chain.conclude_final(params, signed).await?,
            AdjudicatorCall::Conclude => chain.conclude(params).await?,
            AdjudicatorCall::Withdraw(auths) => chain.withdraw(auths).await?,
        };
        match performed {
            Performed::Done | Performed::Moot(_) => {}
            Performed::Kept(kept) => {
                for kept in kept {
                    if let Some(asset) = params.asset_idx(&kept.asset) {
                        self.input(|machine, _| machine.handle_kept(asset));
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks once. A deposit of ours that got as far as the deposit account and no further is taken
    /// along first, if it is late: what the channel is not known to hold is not paid back.
    async fn look_once(self: &Arc<Self>, params: &Params) -> Result<View, String> {
        let now = self.shared().now();
        let looking = async {
            if self.read(|machine| machine.is_funding_overdue(now)) {
                self.sweep(params).await?;
            }
            let view = self.shared().chain().look(params).await;
            view.map_err(|error| error.to_string())
        };
        let looked = timeout(LONGEST_CALL, looking).await;
        looked.unwrap_or_else(|_| Err("no answer in time".into()))
    }

    async fn sweep(&self, params: &Params) -> Result<(), String> {
        let setup = self.read(|machine| machine.setup().clone());
        for (asset, row) in params.assets().iter().zip(setup.initial.funding().rows()) {
            if row[setup.part.index()].is_zero() {
                continue;
            }
            let adjudicator = self.shared().chain().adjudicator();
            match adjudicator.sweep(params, setup.part, *asset).await {
                // Mostly, that there is nothing.
                Ok(_) | Err(CallError::Refused(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Looks at the channel, for as long as it takes.
    async fn look(self: &Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let is_first = self.read(|machine| machine.view().is_none());
            let turn = match is_first {
                true => Some(self.shared().first_look().await),
                false => None,
            };
            self.lock().calls.is_touched = false;
            let params = self.read(|machine| machine.params().clone());
            let looked = Box::pin(self.look_once(&params)).await;
            drop(turn);
            match looked {
                Ok(view) => {
                    self.input(|machine, now| machine.handle_view(now, view));
                    return;
                }
                Err(reason) => {
                    self.lock().calls.is_touched = true;
                    tracing::debug!("channel {:.8} cannot be looked at: {reason}", self.id());
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
