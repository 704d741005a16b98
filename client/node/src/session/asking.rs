//! Payments that the peer is asked for.
//!
//! ```text
//! a call with a key:  draft ──> written down ──> sent ──> paid, or refused
//! made again:              the same request, sent again ──┘  (or found paid)
//! ```
//!
//! A request binds nobody and leaves no trace in the channel until it is paid. So it is written down
//! before it is sent, under the mark of its call: a peer that is told it twice asks its user once.

use std::time::Duration;

use perun_client::channel::Channel;
use perun_protocol::payment::Payment;
use perun_protocol::wire::{Message, PaymentRequest};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};

use super::Session;
use super::desk::is_answer;
use super::failure::{Failure, GRACE};
use super::orders::PaymentOrder;
use crate::Error;
use crate::api::pb::PayChInfo;
use crate::idempotency::Begin;

/// How long a request is known by its call: longer than any call is made again.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

impl Session {
    pub(super) async fn ask_peer(
        &self,
        order: &PaymentOrder,
        mark: Option<[u8; 32]>,
    ) -> Result<PayChInfo, Failure> {
        let channel = &order.desk.channel;
        let alias = self.alias(&channel.peer());
        let within = self.times.response;
        let by = Instant::now() + within + GRACE;
        let is_there = self.wait_for_peer(channel, &alias, by).await;
        is_there.map_err(Failure::NoEffect)?;
        let mut requests = Vec::new();
        for (asset, amount) in &order.payments {
            let draft = channel.draft_request(*asset, *amount, "", within);
            let request = match &mark {
                Some(mark) => self.request_of(mark, draft).await,
                None => Ok((draft, false)),
            };
            let (request, was_sent) = request.map_err(Failure::NoEffect)?;
            if !(was_sent && was_paid(channel, request.payment()).await?) {
                requests.push(request);
            }
        }
        let now = self.client.chain().clock().now();
        let is_over = |request: &PaymentRequest| now.is_some_and(|now| request.expires_at <= now);
        if requests.iter().any(is_over) {
            let message = format!(
                "what this call asked {alias} for was not paid in time, and is not asked for again; \
                 take a new key to ask anew"
            );
            return Err(Failure::NoEffect(Error::FailedPrecondition { message }));
        }
        if !requests.is_empty() {
            self.check_available(order).map_err(Failure::NoEffect)?;
        }
        let asked = requests.iter().map(|request| order.desk.ask(request));
        let asked: Result<Vec<_>, _> = asked.collect();
        for answer in asked.map_err(Failure::Uncertain)? {
            let error = match timeout_at(by, answer).await {
                Ok(Ok(Ok(()))) => continue,
                Ok(Ok(Err(reason))) => self.refused(&alias, &reason, within),
                Ok(Err(_)) => Error::Stopped,
                Err(_) => self.silent(&alias),
            };
            return Err(Failure::Uncertain(error));
        }
        Ok(self.info(channel))
    }

    /// The request that the call with this mark has drafted first, and whether it was drafted before;
    /// this draft, if that is it. It is durable.
    async fn request_of(
        &self,
        mark: &[u8; 32],
        draft: PaymentRequest,
    ) -> Result<(PaymentRequest, bool), Error> {
        let name = format!("{}/{}", hex::encode(mark), draft.asset.number());
        let mut asked_for = Sha256::new();
        asked_for.update(draft.channel.as_bytes());
        asked_for.update(draft.amount.units().to_be_bytes());
        match self.calls.begin(&name, asked_for.finalize().into()).await? {
            Begin::Done(bytes) => match Message::decode(&bytes) {
                Ok(Message::PaymentRequest(request)) => Ok((request, true)),
                other => Err(Error::internal(format!("no request is kept: {other:?}"))),
            },
            // Of an interrupted one nothing was sent.
            Begin::First(ticket) | Begin::Interrupted(ticket) => {
                let message = Message::PaymentRequest(draft.clone());
                ticket.done_for(KEPT, &message.encode())?;
                self.calls.flush().await?;
                Ok((draft, false))
            }
        }
    }
}

/// Whether the peer has paid what was asked for: `answer`, or more.
async fn was_paid(channel: &Channel, answer: Payment) -> Result<bool, Failure> {
    let channel = channel.clone();
    // It waits for the disk.
    let looking = tokio::task::spawn_blocking(move || {
        let history = channel.history().map_err(Error::internal)?;
        let entries = history.entries.iter();
        let mut theirs = entries
            .filter(|entry| entry.payer != channel.part())
            .flat_map(|entry| entry.payments.iter());
        Ok(theirs.any(|payment| is_answer(&payment, &answer)))
    });
    let looked = looking.await.map_err(Error::internal);
    looked.and_then(|paid| paid).map_err(Failure::Uncertain)
}
