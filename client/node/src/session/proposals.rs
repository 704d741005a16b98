//! Proposals of peers: kept until the user answers, or until the time for that is over.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use perun_client::client::{IncomingProposal, Proposals};
use perun_protocol::{Amount, AssetId};
use tokio::sync::mpsc;

use super::Session;
use super::failure::Failure;
use super::info::ledger_of;
use super::notices::Notices;
use crate::api::pb::PayChInfo;
use crate::api::pb::sub_pay_ch_proposals_resp::Notify;
use crate::api::v1::event::Kind;
use crate::lock::lock;
use crate::{Error, Resource, clock};

/// How many that are over are remembered, to tell who answers too late.
const REMEMBERED: usize = 1024;

/// What waits for the user.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: HashMap<String, Waiting>,
    /// Those whose time is over, and when it was, oldest first.
    over: VecDeque<(String, i64)>,
    notices: Notices<Notify>,
    /// The peers whose proposals are being accepted by rule, once for each.
    accepting: Vec<perun_protocol::PublicKey>,
}

struct Waiting {
    proposal: IncomingProposal,
    notice: Notify,
    expiry_s: i64,
}

/// A proposal that the user answers, taken from the inbox so that nobody else does.
pub struct TakenProposal {
    waiting: Waiting,
}

impl TakenProposal {
    /// What accepting it costs of each asset.
    pub fn cost(&self) -> Vec<(AssetId, Amount)> {
        let proposal = &self.waiting.proposal;
        let assets = proposal.terms().assets.iter().copied();
        assets.zip(proposal.our_deposit()).collect()
    }
}

impl Inbox {
    fn take(&mut self, id: &str) -> Result<Waiting, Error> {
        if let Some(waiting) = self.waiting.remove(id) {
            let received_at_s = clock::seconds();
            if received_at_s <= waiting.expiry_s {
                return Ok(waiting);
            }
            let expiry_s = waiting.expiry_s;
            self.remember(id.to_owned(), expiry_s);
            waiting.proposal.reject("its user has not answered in time");
            return Err(Error::UserResponseTimedOut {
                expiry_s,
                received_at_s,
            });
        }
        match self.over.iter().find(|(over, _)| over == id) {
            Some((_, expiry_s)) => Err(Error::UserResponseTimedOut {
                expiry_s: *expiry_s,
                received_at_s: clock::seconds(),
            }),
            None => Err(Error::not_found(Resource::Proposal, id)),
        }
    }

    fn remember(&mut self, id: String, expiry_s: i64) {
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back((id, expiry_s));
    }

    /// Rejects those whose time is over.
    fn sweep(&mut self) {
        let now_s = clock::seconds();
        let late: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.expiry_s < now_s)
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            if let Some(waiting) = self.waiting.remove(&id) {
                waiting.proposal.reject("its user has not answered in time");
                self.remember(id, waiting.expiry_s);
            }
        }
    }
}

impl Session {
    /// Puts proposals into the inbox, for as long as the client runs.
    pub(super) async fn receive_proposals(self: Arc<Self>, mut proposals: Proposals) {
        while let Some(proposal) = proposals.next().await {
            if let Err(reason) = self.receive_proposal(&proposal) {
                tracing::info!(session = %self.name, "a proposal is rejected: {reason}");
                proposal.reject(&reason);
                continue;
            }
            let peer = proposal.peer();
            if !self.accepts_by_itself(&peer, proposal.terms()) {
                self.keep(proposal);
                continue;
            }
            let session = Arc::clone(&self);
            // Those that are being accepted count as channels.
            lock(&self.inbox).accepting.push(peer);
            tokio::spawn(async move {
                let accepted = session.accept(proposal).await;
                let accepting = &mut lock(&session.inbox).accepting;
                if let Some(at) = accepting.iter().position(|other| *other == peer) {
                    accepting.swap_remove(at);
                }
                if let Err(error) = accepted.map_err(Error::from) {
                    tracing::warn!(session = %session.name, "accepted by itself, and not opened: {error}");
                }
            });
        }
    }

    /// How many proposals of a peer are being accepted by rule.
    pub(super) fn accepting(&self, peer: &perun_protocol::PublicKey) -> usize {
        let inbox = lock(&self.inbox);
        inbox
            .accepting
            .iter()
            .filter(|other| *other == peer)
            .count()
    }

    /// Whether the user is asked at all.
    fn receive_proposal(&self, proposal: &IncomingProposal) -> Result<(), String> {
        let terms = proposal.terms();
        if self.contacts.by_identity(&proposal.peer()).is_none() {
            return Err("unrecognized peer: its user has no contact with this identity".into());
        }
        for asset in &terms.assets {
            if self.currencies.of_asset(asset).is_none() {
                let ledger = ledger_of(asset);
                return Err(format!("the ledger {ledger} is not known to its node"));
            }
        }
        Ok(())
    }

    fn keep(&self, proposal: IncomingProposal) {
        let now = self.client.chain().clock().now();
        let left = now.map_or(0, |now| proposal.expires_at().nanos_since(now));
        let left = Duration::from_nanos(left).min(self.times.response);
        let expiry_s = clock::seconds() + i64::try_from(left.as_secs()).unwrap_or(0);
        let terms = proposal.terms();
        let peer = self.alias(&proposal.peer());
        let part = perun_protocol::wire::Proposal::ACCEPTOR;
        let balances = self.bal_info(&terms.assets, Some(&terms.balances), part, peer);
        let id = hex::encode(proposal.id());
        let notice = Notify {
            proposal_id: id.clone(),
            opening_bal_info: Some(balances.clone()),
            challenge_dur_secs: terms.challenge_duration.secs().into(),
            expiry: expiry_s,
        };
        let announcement = self
            .event(Kind::Proposed, None, Some(proposal.peer()))
            .with(|event| {
                event.text = "proposes a channel".into();
                event.answer_id = id.clone();
                event.expiry = expiry_s;
                event.info = Some(PayChInfo {
                    bal_info: Some(balances),
                    ..PayChInfo::default()
                });
                event.challenge_dur_secs = notice.challenge_dur_secs;
            });
        let mut inbox = lock(&self.inbox);
        inbox.notices.tell(notice.clone());
        inbox.waiting.insert(
            id,
            Waiting {
                proposal,
                notice,
                expiry_s,
            },
        );
        drop(inbox);
        self.announce(announcement);
    }

    /// Rejects proposals that were not answered in time.
    pub(super) fn sweep_proposals(&self) {
        lock(&self.inbox).sweep();
    }

    /// Proposals: those that wait, and each as it comes.
    ///
    /// # Errors
    /// [`Error::Exists`] if somebody else has subscribed.
    pub fn subscribe_proposals(&self) -> Result<mpsc::Receiver<Notify>, Error> {
        let inbox = &mut *lock(&self.inbox);
        inbox.sweep();
        let waiting = inbox.waiting.values().map(|waiting| waiting.notice.clone());
        let subscribed = inbox.notices.subscribe(waiting);
        subscribed.ok_or_else(|| Error::exists(Resource::ProposalsSub, &*self.id))
    }

    /// Ends the subscription.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub fn unsubscribe_proposals(&self) -> Result<(), Error> {
        match lock(&self.inbox).notices.unsubscribe() {
            true => Ok(()),
            false => Err(Error::not_found(Resource::ProposalsSub, &*self.id)),
        }
    }

    /// Nobody is told of proposals any more.
    pub(super) fn end_proposals(&self) {
        *lock(&self.inbox) = Inbox::default();
    }

    /// Takes a proposal, to be accepted.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::UserResponseTimedOut`].
    pub fn take_proposal(&self, id: &str) -> Result<TakenProposal, Error> {
        let waiting = lock(&self.inbox).take(id)?;
        Ok(TakenProposal { waiting })
    }

    /// Whether a proposal waits for the user's answer.
    pub fn has_proposal(&self, id: &str) -> bool {
        lock(&self.inbox).waiting.contains_key(id)
    }

    /// It was not answered: it waits as before.
    pub fn put_back(&self, taken: TakenProposal) {
        let TakenProposal { waiting } = taken;
        let id = waiting.notice.proposal_id.clone();
        lock(&self.inbox).waiting.insert(id, waiting);
    }

    /// Accepts a proposal, and answers when the channel is open.
    ///
    /// # Errors
    /// As perun-node's `RespondPayChProposal`.
    pub async fn accept_proposal(
        self: &Arc<Self>,
        taken: TakenProposal,
    ) -> Result<PayChInfo, Failure> {
        if let Err(error) = self.check_wealth(&taken.cost()).await {
            // It can be tried again, with more money or when the ledger answers.
            self.put_back(taken);
            return Err(Failure::NoEffect(error));
        }
        self.accept(taken.waiting.proposal).await
    }

    async fn accept(self: &Arc<Self>, proposal: IncomingProposal) -> Result<PayChInfo, Failure> {
        let id = hex::encode(proposal.id());
        let alias = self.alias(&proposal.peer());
        let challenge = Duration::from_secs(proposal.terms().challenge_duration.secs().into());
        let budget = self.times.opening(challenge);
        let accepting = self.carry_on(async move { proposal.accept().await });
        match tokio::time::timeout(budget, accepting).await {
            Ok(Ok(channel)) => {
                self.desk_of(&channel);
                Ok(self.info(&channel))
            }
            Ok(Err(error)) => Err(self.not_opened(&alias, error, self.times.response)),
            Err(_) => Err(Failure::Uncertain(Error::TxTimedOut {
                kind: "fund",
                id,
                timeout: budget,
            })),
        }
    }

    /// Rejects a proposal.
    ///
    /// # Errors
    /// As perun-node's `RespondPayChProposal`.
    pub fn reject_proposal(&self, id: &str) -> Result<(), Error> {
        let waiting = lock(&self.inbox).take(id)?;
        waiting.proposal.reject("rejected by user");
        Ok(())
    }
}
