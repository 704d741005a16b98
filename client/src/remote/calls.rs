//! What a watch does at the adjudicator: one thing at a time, and after each call a look.
//!
//! ```text
//! touched ──> look ──> wanted? ──nothing──> idle
//!               ^         │ call
//!               │         v
//!               └── carried out        the same call again: after a pause
//! ```

use std::sync::Arc;
use std::time::Duration;

use perun_protocol::channel::AdjudicatorCall;
use perun_protocol::remote::RemoteMessage;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};

use super::wanted::Wanted;
use super::watch::{State, Watch};
use crate::chain::{PerformError, Performed, Retry};

/// The pause before the same call or look is made again; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer, while time may be running out.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// No pause is longer while none is, and nothing happens to the channel.
const LONGEST_QUIET_PAUSE: Duration = Duration::from_secs(15 * 60);
/// The first pause before a call that only helps once somebody has changed something.
const SLOW_PAUSE: Duration = Duration::from_secs(30);
/// No call and no look may take longer: each can be made again, and another may be more urgent by
/// then.
const LONGEST_CALL: Duration = Duration::from_secs(60);

/// How far a watch is with its calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    is_running: bool,
    /// The call that was made last, and when it may be made again.
    last: Option<(AdjudicatorCall, Rest)>,
    /// When to look again after a look that failed.
    pub(super) look: Option<Rest>,
}

/// A pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    until: Instant,
    length: Duration,
}

impl Calls {
    /// The next call waits for no pause: something is other than when the last one was made.
    pub(super) fn hurry(&mut self) {
        self.last = None;
    }
}

enum Step {
    Look,
    Call(AdjudicatorCall),
    Wait(Instant),
    Over(Box<RemoteMessage>),
    Forget,
    Idle,
}

impl Watch {
    /// Sees to it that whatever is to be done is done.
    pub(super) fn go_on(self: &Arc<Self>, state: &mut State) {
        if std::mem::replace(&mut state.calls.is_running, true) {
            return self.news.notify_one();
        }
        let watch = Arc::clone(self);
        self.service.spawn(async move { watch.run().await });
    }

    async fn run(self: &Arc<Self>) {
        loop {
            match self.next_step() {
                Step::Look => self.look().await,
                Step::Call(call) => self.carry_out(call).await,
                Step::Wait(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.news.notified() => {}
                },
                Step::Over(ack) => return self.tell(&ack),
                Step::Forget => return self.service.forget(self),
                Step::Idle => return,
            }
        }
    }

    fn next_step(&self) -> Step {
        let mut state = self.lock();
        if state.is_due_for_a_look() {
            return match state.calls.look {
                Some(rest) if rest.until > Instant::now() => Step::Wait(rest.until),
                _ => Step::Look,
            };
        }
        let step = match self.wanted(&state) {
            Wanted::Call(call) => match &state.calls.last {
                Some((last, rest)) if *last == call && rest.until > Instant::now() => {
                    return Step::Wait(rest.until);
                }
                _ => return Step::Call(call),
            },
            Wanted::Over => Step::Over(Box::new(self.finish(&mut state))),
            Wanted::Forget => Step::Forget,
            Wanted::Nothing => Step::Idle,
        };
        state.calls = Calls::default();
        step
    }

    async fn carry_out(self: &Arc<Self>, call: AdjudicatorCall) {
        let is_defence = is_claim(&call) && self.lock().is_disputed();
        let gate = match is_defence {
            true => Some(self.service.gates.defence().await),
            false => None,
        };
        let performed = timeout(LONGEST_CALL, self.perform(&call)).await;
        drop(gate);
        let retry = match performed {
            Ok(Ok(())) => None,
            // What became of it shows the look that follows.
            Err(_) => Some(Retry::Soon),
            Ok(Err(error)) => {
                tracing::warn!("channel {:.8}: {error}", self.place.channel);
                Some(error.retry())
            }
        };
        let mut state = self.lock();
        state.is_touched = true;
        let before = match state.calls.last.take() {
            Some((last, rest)) if last == call => Some(rest),
            _ => None,
        };
        // While a window is open, nothing is done slowly.
        let (slow, longest) = match is_defence {
            true => (LONGEST_PAUSE, LONGEST_PAUSE),
            false => (SLOW_PAUSE, LONGEST_QUIET_PAUSE),
        };
        let growing = Rest::after(before, FIRST_PAUSE, longest);
        let rest = match retry {
            None | Some(Retry::Soon) => growing,
            Some(Retry::NotBefore(at)) => {
                let left = Duration::from_nanos(at.nanos_since(self.service.now()));
                Rest::of(left.min(SLOW_PAUSE).max(growing.length))
            }
            Some(Retry::Slowly | Retry::Never) => Rest::after(before, slow, longest),
        };
        state.calls.last = Some((call, rest));
    }

    async fn perform(&self, call: &AdjudicatorCall) -> Result<(), PerformError> {
        let chain = &self.service.chain;
        let performed = match call {
            AdjudicatorCall::Dispute(signed) => chain.dispute(&self.params, signed).await?,
            AdjudicatorCall::ConcludeFinal(signed) => {
                chain.conclude_final(&self.params, signed).await?
            }
            AdjudicatorCall::Conclude => chain.conclude(&self.params).await?,
            AdjudicatorCall::Withdraw(auths) => chain.withdraw(auths).await?,
            // The look comes anyway, and deposits are no watcher's business.
            AdjudicatorCall::Observe | AdjudicatorCall::Fund => return Ok(()),
        };
        if let Performed::Kept(kept) = performed {
            let assets = kept.iter().map(|kept| self.params.asset_idx(&kept.asset));
            self.handle_kept(assets.flatten());
        }
        Ok(())
    }

    async fn look(self: &Arc<Self>) {
        let gate = self.pass().await;
        let (epoch, was_urgent) = {
            let mut state = self.lock();
            (state.is_touched, state.is_looking) = (false, true);
            (state.epoch, std::mem::take(&mut state.is_urgent))
        };
        let looked = timeout(LONGEST_CALL, self.service.chain.look(&self.params)).await;
        drop(gate);
        let reason = match looked {
            Ok(Ok(view)) => return self.handle_view(view, epoch),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::debug!(
            "channel {:.8} cannot be looked at: {reason}",
            self.place.channel
        );
        let mut state = self.lock();
        (state.is_touched, state.is_looking) = (true, false);
        state.is_urgent |= was_urgent;
        state.calls.look = Some(Rest::after(state.calls.look, FIRST_PAUSE, LONGEST_PAUSE));
    }

    /// Waits until a look may begin.
    async fn pass(&self) -> SemaphorePermit<'_> {
        let gates = &self.service.gates;
        loop {
            let is_urgent = {
                let state = self.lock();
                state.is_urgent || state.is_disputed()
            };
            if is_urgent {
                return gates.urgent_look().await;
            }
            tokio::select! {
                gate = gates.look() => return gate,
                // It may be urgent by now.
                () = self.news.notified() => {}
            }
        }
    }
}

/// Whether a call registers a state, as those do that refute another one.
fn is_claim(call: &AdjudicatorCall) -> bool {
    use AdjudicatorCall::{ConcludeFinal, Dispute};
    matches!(call, Dispute(_) | ConcludeFinal(_))
}

impl Rest {
    fn of(length: Duration) -> Self {
        Self {
            until: Instant::now() + length,
            length,
        }
    }

    /// The pause after this one, or the first one.
    fn after(before: Option<Self>, first: Duration, longest: Duration) -> Self {
        let length = before.map_or(first, |before| (before.length * 2).max(first));
        Self::of(length.min(longest))
    }
}
