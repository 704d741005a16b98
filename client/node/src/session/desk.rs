//! What lies on the user's desk about one channel: what waits for an answer, and whom to tell.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use perun_client::channel::Channel;
use perun_protocol::payment::{Batch, Payment};
use perun_protocol::wire::{PaymentRequest, Reason, RequestId};
use perun_protocol::{Amount, AssetId, ChannelId, Version};
use tokio::sync::{mpsc, oneshot, watch};

use super::failure::not_ordered;
use super::notices::Notices;
use crate::api::pb::sub_pay_ch_updates_resp::Notify;
use crate::lock::lock;
use crate::{Error, Resource, clock};

/// How many updates whose time is over are remembered, to tell who answers too late.
const REMEMBERED: usize = 64;
/// How many requests of the peer wait for the user, at most; more push out the oldest.
const REQUESTS: usize = 64;

/// One channel's desk.
pub(super) struct Desk {
    pub(super) channel: Channel,
    /// The newest version that both have signed, and whether the channel is over.
    pub(super) progress: watch::Sender<Progress>,
    papers: Mutex<Papers>,
}

/// How far a channel is.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Progress {
    pub(super) version: u64,
    pub(super) is_over: bool,
}

/// What waits.
#[derive(Default)]
struct Papers {
    /// The update that the peer proposes: never more than one.
    offered: Option<Offer>,
    /// Payments that the peer asks for.
    requests: BTreeMap<RequestId, Ask>,
    /// Payments that we asked for.
    asked: HashMap<RequestId, Asked>,
    /// Updates whose time is over, and when it was, oldest first.
    over: VecDeque<(String, i64)>,
    /// Memos of payments that the peer asked for and the user has accepted, oldest first: a request that
    /// comes again is not shown again.
    accepted: VecDeque<[u8; 32]>,
    notices: Notices<Notify>,
}

/// An update that the peer proposes.
pub(super) struct Offer {
    pub(super) version: Version,
    notice: Notify,
}

/// A payment that the peer asks for.
pub(super) struct Ask {
    pub(super) request: PaymentRequest,
    notice: Notify,
}

struct Asked {
    /// The payment that answers it.
    payment: Payment,
    answered: oneshot::Sender<Result<(), Reason>>,
}

/// Whether a payment is the one that was asked for. Less than that is no answer.
pub(super) fn is_answer(payment: &Payment, asked_for: &Payment) -> bool {
    payment.memo.is_some()
        && payment.memo == asked_for.memo
        && payment.asset == asked_for.asset
        && payment.amount >= asked_for.amount
}

/// What an answer of the user is about.
pub(super) enum Pending {
    /// An update that the peer proposes.
    Offer(Offer),
    /// A payment that the peer asks for.
    Request(Ask),
}

/// What the user answers, taken from the desk so that nothing else takes its place meanwhile.
pub struct TakenUpdate {
    pub(super) desk: Arc<Desk>,
    pub(super) pending: Pending,
}

impl TakenUpdate {
    /// What accepting it costs of each asset: something only if the peer asks for a payment.
    pub fn cost(&self) -> Vec<(AssetId, Amount)> {
        let Pending::Request(Ask { request, .. }) = &self.pending else {
            return Vec::new();
        };
        let params = self.desk.channel.params();
        let asset = params.assets().get(request.asset.index()).copied();
        asset
            .map(|asset| (asset, request.amount))
            .into_iter()
            .collect()
    }

    /// It was not answered: it waits as before.
    pub fn put_back(self) {
        let mut papers = lock(&self.desk.papers);
        match self.pending {
            Pending::Offer(offer) => {
                papers.offered.get_or_insert(offer);
            }
            Pending::Request(ask) => {
                papers.requests.entry(ask.request.id).or_insert(ask);
            }
        }
    }
}

impl Desk {
    pub(super) fn new(channel: Channel) -> Self {
        let version = channel
            .newest()
            .map_or(0, |newest| newest.version().number());
        Self {
            progress: watch::Sender::new(Progress {
                version,
                is_over: false,
            }),
            channel,
            papers: Mutex::default(),
        }
    }

    pub(super) fn id(&self) -> ChannelId {
        self.channel.id()
    }

    /// A version is signed by both.
    pub(super) fn reached(&self, version: Version) {
        self.progress.send_if_modified(|progress| {
            let is_newer = version.number() > progress.version;
            progress.version = progress.version.max(version.number());
            is_newer
        });
        let mut papers = lock(&self.papers);
        if papers
            .offered
            .as_ref()
            .is_some_and(|offer| offer.version <= version)
        {
            papers.offered = None;
        }
    }

    pub(super) fn offer(&self, version: Version, notice: Notify) {
        let mut papers = lock(&self.papers);
        if let Some(before) = papers.offered.take() {
            papers.remember(before.notice);
        }
        papers.notices.tell(notice.clone());
        papers.offered = Some(Offer { version, notice });
    }

    /// The peer asks for a payment: whether it is a new request.
    pub(super) fn request(&self, request: PaymentRequest, notice: Notify) -> bool {
        let mut papers = lock(&self.papers);
        let memo = request.payment().memo;
        if papers.requests.contains_key(&request.id)
            || papers
                .accepted
                .iter()
                .any(|accepted| Some(*accepted) == memo)
        {
            // The peer says it again, or says something else under the same name.
            return false;
        }
        if papers.requests.len() == REQUESTS
            && let Some((_, oldest)) = papers.requests.pop_first()
        {
            papers.remember(oldest.notice);
        }
        papers.notices.tell(notice.clone());
        papers.requests.insert(request.id, Ask { request, notice });
        true
    }

    /// Tells the user something that needs no answer.
    pub(super) fn inform(&self, notice: Notify) {
        lock(&self.papers).notices.tell_or_keep(notice);
    }

    /// Asks the peer to pay, and tells what becomes of it. The answer cannot come before it is known
    /// that it was asked for: both happen under the same lock.
    pub(super) fn ask(
        &self,
        request: &PaymentRequest,
    ) -> Result<oneshot::Receiver<Result<(), Reason>>, Error> {
        let mut papers = lock(&self.papers);
        let sent = self.channel.send_request(request);
        sent.map_err(|error| not_ordered(&error))?;
        let (answered, answer) = oneshot::channel();
        let payment = request.payment();
        papers.asked.retain(|_, asked| !asked.answered.is_closed());
        papers.asked.insert(request.id, Asked { payment, answered });
        Ok(answer)
    }

    /// The peer has paid: whoever asked for it learns it.
    pub(super) fn handle_received(&self, payments: &Batch) {
        let mut papers = lock(&self.papers);
        if papers.asked.is_empty() {
            return;
        }
        for payment in payments.iter() {
            let mut asked = papers.asked.iter();
            let paid = asked.find(|(_, asked)| is_answer(&payment, &asked.payment));
            if let Some(id) = paid.map(|(id, _)| *id)
                && let Some(asked) = papers.asked.remove(&id)
            {
                let _ = asked.answered.send(Ok(()));
            }
        }
    }

    /// Whether all of these payments were asked for: then nobody has to be asked about them.
    pub(super) fn awaits(&self, payments: &Batch) -> bool {
        let papers = lock(&self.papers);
        let is_expected = |payment: Payment| {
            let mut asked = papers.asked.values();
            asked.any(|asked| is_answer(&payment, &asked.payment))
        };
        !payments.is_empty() && payments.iter().all(is_expected)
    }

    pub(super) fn handle_request_rejected(&self, id: RequestId, reason: Reason) {
        if let Some(asked) = lock(&self.papers).asked.remove(&id) {
            let _ = asked.answered.send(Err(reason));
        }
    }

    /// Whether an update waits for the user's answer.
    pub(super) fn has(&self, update: &str) -> bool {
        let papers = lock(&self.papers);
        let is_it = |notice: &Notify| notice.update_id == update;
        papers
            .offered
            .as_ref()
            .is_some_and(|offer| is_it(&offer.notice))
            || papers.requests.values().any(|ask| is_it(&ask.notice))
    }

    /// What the user's answer is about, taken from the desk.
    pub(super) fn take(&self, update: &str) -> Result<Pending, Error> {
        let mut papers = lock(&self.papers);
        papers.sweep();
        if papers
            .offered
            .as_ref()
            .is_some_and(|offer| offer.notice.update_id == update)
            && let Some(offer) = papers.offered.take()
        {
            return Ok(Pending::Offer(offer));
        }
        let requested = papers
            .requests
            .iter()
            .find(|(_, ask)| ask.notice.update_id == update);
        if let Some(id) = requested.map(|(id, _)| *id)
            && let Some(ask) = papers.requests.remove(&id)
        {
            return Ok(Pending::Request(ask));
        }
        match papers.over.iter().find(|(over, _)| over == update) {
            Some((_, expiry_s)) => Err(Error::UserResponseTimedOut {
                expiry_s: *expiry_s,
                received_at_s: clock::seconds(),
            }),
            None => Err(Error::not_found(Resource::Update, update)),
        }
    }

    /// The user has accepted a payment that the peer asked for.
    pub(super) fn remember_accepted(&self, memo: Option<[u8; 32]>) {
        let mut papers = lock(&self.papers);
        if papers.accepted.len() == REMEMBERED {
            papers.accepted.pop_front();
        }
        papers.accepted.extend(memo);
    }

    /// What waits, and each update as it comes; `None` if somebody else has subscribed.
    pub(super) fn subscribe(&self) -> Option<mpsc::Receiver<Notify>> {
        let papers = &mut *lock(&self.papers);
        papers.sweep();
        let offered = papers.offered.iter().map(|offer| &offer.notice);
        let requests = papers.requests.values().map(|ask| &ask.notice);
        papers.notices.subscribe(offered.chain(requests).cloned())
    }

    /// Ends the subscription; `false` if there is none.
    pub(super) fn unsubscribe(&self) -> bool {
        lock(&self.papers).notices.unsubscribe()
    }

    /// The channel is over: nothing is to be answered any more.
    pub(super) fn close(&self, notice: Notify) {
        self.progress
            .send_modify(|progress| progress.is_over = true);
        let mut papers = lock(&self.papers);
        papers.offered = None;
        papers.requests.clear();
        papers.asked.clear();
        papers.notices.tell_or_keep(notice);
    }

    /// The session is over: nobody is told anything any more.
    pub(super) fn end(&self) {
        self.progress
            .send_modify(|progress| progress.is_over = true);
        *lock(&self.papers) = Papers::default();
    }
}

impl Papers {
    fn remember(&mut self, notice: Notify) {
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back((notice.update_id, notice.expiry));
    }

    fn sweep(&mut self) {
        let now_s = clock::seconds();
        if let Some(offer) = self.offered.take_if(|offer| offer.notice.expiry < now_s) {
            self.remember(offer.notice);
        }
        let late: Vec<_> = self
            .requests
            .iter()
            .filter(|(_, ask)| ask.notice.expiry < now_s)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(ask) = self.requests.remove(&id) {
                self.remember(ask.notice);
            }
        }
    }
}
