//! Calls to the adjudicator that a channel wants: one at a time, and after each one a look.
//!
//! ```text
//! wanted ──> carried out ──> looked at ──> the machine says what it wants next, if anything
//!    ^            │ failed         │ failed: again, for as long as it takes
//!    └── pause ───┘ <──────────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use perun_protocol::Timestamp;
use perun_protocol::channel::AdjudicatorCall;
use tokio::time::sleep;

use super::{Driver, Stage};
use crate::chain::{PerformError, Performed, Retry};
use crate::channel::{Closing, PaidOut};
use crate::events::ClientEvent;
use crate::{Event as LogEvent, WithdrawReceipt};

/// The pause after the first call that failed; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer, while time may be running out.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
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
        while let Some(call) = self.next_call() {
            let again = match self.carry_out_call(&call).await {
                Ok(()) => None,
                Err(error) => {
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
            if again.is_some() {
                self.lock().calls.failed = Some(call);
            }
            self.look().await;
            self.finish_if_over().await;
            let Some(again) = again else {
                pause = FIRST_PAUSE;
                continue;
            };
            let now = self.shared().now();
            let wait = match again {
                Retry::Soon => pause,
                Retry::NotBefore(at) => Duration::from_nanos(at.nanos_since(now)).min(SLOW_PAUSE),
                Retry::Slowly | Retry::Never => SLOW_PAUSE,
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

    /// Looks at the channel, for as long as it takes.
    async fn look(self: &Arc<Self>) {
        let params = self.read(|machine| machine.params().clone());
        let mut pause = FIRST_PAUSE;
        loop {
            self.lock().calls.is_touched = false;
            match self.shared().chain().look(&params).await {
                Ok(view) => {
                    self.input(|machine, now| machine.handle_view(now, view));
                    return;
                }
                Err(error) => {
                    self.lock().calls.is_touched = true;
                    tracing::debug!("channel {:.8} cannot be looked at: {error}", self.id());
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
