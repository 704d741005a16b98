//! What happens to channels at the adjudicator, for those who asked.
//!
//! Each subscription reads the channel's events by itself, from the first one on, so that whoever comes
//! late misses nothing. It ends with its stream, its session, or the channel, and then nothing of it is
//! left.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use perun_client::chain::Chain;
use perun_client::{Claimed, Event};
use perun_protocol::dispute::Rank;
use perun_protocol::{ChannelId, Params, Version};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tonic::Status;

use super::super::pb::subscribe_resp::Response;
use super::super::{pb, values};
use crate::Error;
use crate::access::Caller;
use crate::node::Node;
use crate::session::Session;

/// How many subscriptions there may be.
const SUBSCRIPTIONS: usize = 1024;
/// Of how many channels the params are remembered, so that events can tell states.
const KNOWN: usize = 1024;
/// How many events wait for a client who is slow.
const EVENTS: usize = 16;
/// How many events are asked for at once.
const PAGE: u32 = 100;

/// All subscriptions, and what is known of channels.
#[derive(Default)]
pub(super) struct Subscriptions {
    by_channel: Mutex<HashMap<Subject, watch::Sender<()>>>,
    known: Mutex<Known>,
}

/// A session's id and a channel.
type Subject = (String, ChannelId);

#[derive(Default)]
struct Known {
    by_id: HashMap<ChannelId, Params>,
    /// The oldest first.
    order: VecDeque<ChannelId>,
}

/// A subscription while it runs.
struct Subscription {
    all: Arc<Subscriptions>,
    node: Arc<Node>,
    caller: Caller,
    subject: Subject,
    chain: Chain,
    events: mpsc::Sender<Result<pb::SubscribeResp, Status>>,
    /// Closed by `Unsubscribe`.
    ended: watch::Receiver<()>,
    next: u64,
}

impl Subscriptions {
    /// Remembers a channel's params.
    pub(super) fn learn(&self, params: &Params) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let id = params.id();
        if known.by_id.insert(id, params.clone()).is_some() {
            return;
        }
        known.order.push_back(id);
        if known.order.len() > KNOWN
            && let Some(oldest) = known.order.pop_front()
        {
            known.by_id.remove(&oldest);
        }
    }

    fn params(&self, channel: &ChannelId) -> Option<Params> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.by_id.get(channel).cloned()
    }

    /// Begins to tell what happens to a channel.
    pub(super) fn subscribe(
        self: Arc<Self>,
        node: &Arc<Node>,
        caller: &Caller,
        session: Arc<Session>,
        channel: ChannelId,
    ) -> Result<mpsc::Receiver<Result<pb::SubscribeResp, Status>>, Error> {
        if let Some(channel) = session.client().channel(&channel) {
            self.learn(&channel.params());
        }
        let subject = (session.id().to_owned(), channel);
        let ended = {
            let mut by_channel = self.lock();
            let count: usize = by_channel.values().map(watch::Sender::receiver_count).sum();
            if count >= SUBSCRIPTIONS {
                let message = format!("there are {SUBSCRIPTIONS} subscriptions already");
                return Err(Error::ResourceExhausted { message });
            }
            let sender = by_channel.entry(subject.clone());
            sender.or_insert_with(|| watch::Sender::new(())).subscribe()
        };
        let (events, receiver) = mpsc::channel(EVENTS);
        let subscription = Subscription {
            all: self,
            node: Arc::clone(node),
            caller: caller.clone(),
            subject,
            chain: session.client().chain().clone(),
            events,
            ended,
            next: 0,
        };
        tokio::spawn(subscription.run());
        Ok(receiver)
    }

    /// Ends a session's subscriptions to a channel; `false` if there are none.
    pub(super) fn unsubscribe(&self, session: &str, channel: &ChannelId) -> bool {
        let removed = self.lock().remove(&(session.to_owned(), *channel));
        removed.is_some_and(|sender| sender.receiver_count() > 0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, watch::Sender<()>>> {
        self.by_channel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    async fn run(mut self) {
        let (mut ended, events, node) = (
            self.ended.clone(),
            self.events.clone(),
            Arc::clone(&self.node),
        );
        tokio::select! {
            () = self.follow() => {}
            () = events.closed() => {}
            () = node.stopping() => {}
            // Its sender is gone.
            _ = ended.changed() => {}
        }
    }

    /// Tells events as they come, until the channel is over or the session closed.
    async fn follow(&mut self) {
        let mut pause = Duration::from_millis(250);
        while self.is_open() {
            let page = self
                .chain
                .adjudicator()
                .events(Some(self.subject.1), self.next, PAGE)
                .await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    // It is tried again, for as long as somebody listens.
                    tracing::debug!("a channel's events cannot be read: {error}");
                    sleep(pause).await;
                    pause = (2 * pause).min(Duration::from_secs(15));
                    continue;
                }
            };
            pause = Duration::from_millis(250);
            self.next = page.next.max(self.next);
            for record in page.events {
                let is_last = matches!(record.event, Event::Concluded { .. });
                if let Some(event) = self.told(&record.event).await {
                    let response = Some(event);
                    if self
                        .events
                        .send(Ok(pb::SubscribeResp { response }))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                if is_last {
                    return;
                }
            }
            if self.next >= page.total {
                sleep(self.node.settings().poll_interval).await;
            }
        }
    }

    /// Whether the session is open, and the caller may still use it.
    fn is_open(&self) -> bool {
        self.node.session(&self.caller, &self.subject.0).is_ok()
    }

    async fn told(&self, event: &Event) -> Option<Response> {
        let channel = &self.subject.1;
        match event {
            Event::Registered(claimed) | Event::Refuted(claimed) => {
                Some(Response::RegisteredEvent(self.registered(claimed).await))
            }
            Event::Concluded { .. } => {
                let version = self.concluded_by().await.unwrap_or(Version::INITIAL);
                Some(Response::ConcludedEvent(values::concluded(
                    channel, version,
                )))
            }
            Event::Deposited { .. } | Event::Withdrawn { .. } => None,
        }
    }

    async fn registered(&self, claimed: &Claimed) -> pb::RegisteredEvent {
        let channel = &self.subject.1;
        let Some(params) = self.all.params(channel) else {
            return values::registered(channel, claimed.rank, claimed.timeout, None);
        };
        // Something newer may stand by now, whose event follows.
        let standing = self
            .chain
            .adjudicator()
            .registered(&params)
            .await
            .ok()
            .flatten();
        let standing = standing.filter(|standing| standing.rank == claimed.rank);
        let signed = standing.and_then(|standing| standing.signed_state);
        let signed = signed.as_ref().map(|signed| (signed, &params));
        values::registered(channel, claimed.rank, claimed.timeout, signed)
    }

    async fn concluded_by(&self) -> Option<Version> {
        let params = self.all.params(&self.subject.1)?;
        let standing = self.chain.adjudicator().registered(&params).await.ok()??;
        match standing.rank {
            Rank::State(version) => Some(version),
            Rank::Refund => None,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut by_channel = self.all.lock();
        // This one is counted until it is gone.
        let is_last = by_channel
            .get(&self.subject)
            .is_some_and(|sender| sender.receiver_count() <= 1);
        if is_last {
            by_channel.remove(&self.subject);
        }
    }
}
