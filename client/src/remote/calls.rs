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
use tokio::time::{Instant, sleep_until, timeout};

use super::wanted::Wanted;
use super::watch::{State, Watch};
use crate::chain::{PerformError, Performed, Retry};

/// The pause before the same call or look is made again; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer, while time may be running out.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The pause before a call that only helps once somebody has changed something.
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
        let performed = timeout(LONGEST_CALL, self.perform(&call)).await;
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
        let is_defence = matches!(call, AdjudicatorCall::Dispute(_));
        let slow = if is_defence {
            // While a window is open, nothing is done slowly.
            LONGEST_PAUSE
        } else {
            SLOW_PAUSE
        };
        let rest = match retry {
            None | Some(Retry::Soon) => Rest::after(before),
            Some(Retry::NotBefore(at)) => {
                let left = Duration::from_nanos(at.nanos_since(self.service.now()));
                Rest::of(left.clamp(FIRST_PAUSE, SLOW_PAUSE))
            }
            Some(Retry::Slowly | Retry::Never) => Rest::of(slow),
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
        {
            let mut state = self.lock();
            (state.is_touched, state.is_looking) = (false, true);
        }
        let looked = timeout(LONGEST_CALL, self.service.chain.look(&self.params)).await;
        let reason = match looked {
            Ok(Ok(view)) => return self.handle_view(view),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::debug!(
            "channel {:.8} cannot be looked at: {reason}",
            self.place.channel
        );
        let mut state = self.lock();
        (state.is_touched, state.is_looking) = (true, false);
        state.calls.look = Some(Rest::after(state.calls.look));
    }
}

impl Rest {
    fn of(length: Duration) -> Self {
        Self {
            until: Instant::now() + length,
            length,
        }
    }

    /// The pause after this one.
    fn after(before: Option<Self>) -> Self {
        let length = before.map_or(FIRST_PAUSE, |before| before.length * 2);
        Self::of(length.min(LONGEST_PAUSE))
    }
}
