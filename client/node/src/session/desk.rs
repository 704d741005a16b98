//! What lies on the user's desk about one channel: what waits for an answer, and whom to tell.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use perun_canister_api::convert;
use perun_client::channel::Channel;
use perun_protocol::payment::{Batch, Payment};
use perun_protocol::wire::{PaymentRequest, Reason, RequestId};
use perun_protocol::{Amount, AssetId, AssetIdx, Balances, ChannelId, Version};
use tokio::sync::{mpsc, oneshot, watch};

use super::info::{channel_text, ours_first, parse_channel, update_text};
use super::notices::Notices;
use super::{Session, lock};
use crate::api::pb::PayChInfo;
use crate::api::pb::sub_pay_ch_updates_resp::Notify;
use crate::api::pb::sub_pay_ch_updates_resp::notify::ChUpdateType;
use crate::{Error, Resource, clock};

/// How many updates whose time is over are remembered, to tell who answers too late.
const REMEMBERED: usize = 64;
/// How many requests of the peer wait for the user, at most; more push out the oldest.
const REQUESTS: usize = 64;
/// How many closed channels are remembered.
const CLOSED: usize = 256;

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

impl Asked {
    /// Less than what was asked for is no answer.
    fn is_answered_by(&self, payment: &Payment) -> bool {
        payment.memo.is_some()
            && payment.memo == self.payment.memo
            && payment.asset == self.payment.asset
            && payment.amount >= self.payment.amount
    }
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

    pub(super) fn request(&self, request: PaymentRequest, notice: Notify) {
        let mut papers = lock(&self.papers);
        let memo = request.payment().memo;
        if papers.requests.contains_key(&request.id)
            || papers
                .accepted
                .iter()
                .any(|accepted| Some(*accepted) == memo)
        {
            // The peer says it again, or says something else under the same name.
            return;
        }
        if papers.requests.len() == REQUESTS
            && let Some((_, oldest)) = papers.requests.pop_first()
        {
            papers.remember(oldest.notice);
        }
        papers.notices.tell(notice.clone());
        papers.requests.insert(request.id, Ask { request, notice });
    }

    /// Tells the user something that needs no answer.
    pub(super) fn inform(&self, notice: Notify) {
        lock(&self.papers).notices.tell_or_keep(notice);
    }

    /// Asks the peer to pay, and tells what becomes of it. The answer cannot come before it is known
    /// that it was asked for: both happen under the same lock.
    pub(super) fn ask(
        &self,
        ask: impl FnOnce(&Channel) -> Result<PaymentRequest, Error>,
    ) -> Result<(RequestId, oneshot::Receiver<Result<(), Reason>>), Error> {
        let mut papers = lock(&self.papers);
        let request = ask(&self.channel)?;
        let (answered, answer) = oneshot::channel();
        let payment = request.payment();
        papers.asked.retain(|_, asked| !asked.answered.is_closed());
        papers.asked.insert(request.id, Asked { payment, answered });
        Ok((request.id, answer))
    }

    /// The peer has paid: whoever asked for it learns it.
    pub(super) fn handle_received(&self, payments: &Batch) {
        let mut papers = lock(&self.papers);
        if papers.asked.is_empty() {
            return;
        }
        for payment in payments.iter() {
            let mut asked = papers.asked.iter();
            let paid = asked.find(|(_, asked)| asked.is_answered_by(&payment));
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
            asked.any(|asked| asked.is_answered_by(&payment))
        };
        !payments.is_empty() && payments.iter().all(is_expected)
    }

    pub(super) fn handle_request_rejected(&self, id: RequestId, reason: Reason) {
        if let Some(asked) = lock(&self.papers).asked.remove(&id) {
            let _ = asked.answered.send(Err(reason));
        }
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

    fn subscribe(&self) -> Option<mpsc::Receiver<Notify>> {
        let papers = &mut *lock(&self.papers);
        papers.sweep();
        let offered = papers.offered.iter().map(|offer| &offer.notice);
        let requests = papers.requests.values().map(|ask| &ask.notice);
        papers.notices.subscribe(offered.chain(requests).cloned())
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

    fn end(&self) {
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

/// The desks of a session, and what is left of channels that are over.
#[derive(Default)]
pub(super) struct Desks {
    open: HashMap<ChannelId, Arc<Desk>>,
    /// Closed ones, oldest first: their last notification may not have been heard yet.
    closed: VecDeque<(Arc<Desk>, PayChInfo)>,
}

impl Session {
    /// The desk of a channel, from its first mention on.
    pub(super) fn desk_of(&self, channel: &Channel) -> Arc<Desk> {
        let mut desks = lock(&self.desks);
        let desk = desks.open.entry(channel.id());
        let desk = desk.or_insert_with(|| Arc::new(Desk::new(channel.clone())));
        Arc::clone(desk)
    }

    pub(super) fn desk_with(&self, id: &ChannelId) -> Option<Arc<Desk>> {
        let desks = lock(&self.desks);
        if let Some(desk) = desks.open.get(id) {
            return Some(Arc::clone(desk));
        }
        let mut closed = desks.closed.iter().rev();
        if let Some((desk, _)) = closed.find(|(desk, _)| desk.id() == *id) {
            return Some(Arc::clone(desk));
        }
        drop(desks);
        let channel = self.client.channel(id)?;
        Some(self.desk_of(&channel))
    }

    /// The desk of the channel that a text of the API names; closed ones too.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(super) fn desk(&self, text: &str) -> Result<Arc<Desk>, Error> {
        let unknown = || Error::not_found(Resource::Channel, text);
        let id = parse_channel(text).ok_or_else(unknown)?;
        if let Some(desk) = self.desk_with(&id) {
            return Ok(desk);
        }
        let desks = lock(&self.desks);
        let closed = desks.closed.iter().rev().find(|(desk, _)| desk.id() == id);
        closed.map(|(desk, _)| Arc::clone(desk)).ok_or_else(unknown)
    }

    pub(super) fn all_desks(&self) -> Vec<Arc<Desk>> {
        lock(&self.desks).open.values().cloned().collect()
    }

    /// What a closed channel was at its end.
    pub(super) fn closed_info(&self, id: &ChannelId) -> Option<PayChInfo> {
        let desks = lock(&self.desks);
        let closed = desks.closed.iter().rev().find(|(desk, _)| desk.id() == *id);
        closed.map(|(_, info)| info.clone())
    }

    /// A channel is over.
    pub(super) fn retire_desk(&self, desk: &Arc<Desk>, failure: Option<&Error>) {
        let info = self.info(&desk.channel);
        {
            let mut desks = lock(&self.desks);
            if desks.open.remove(&desk.id()).is_none() {
                return;
            }
            if desks.closed.len() == CLOSED {
                desks.closed.pop_front();
            }
            desks.closed.push_back((Arc::clone(desk), info.clone()));
        }
        desk.close(Notify {
            update_id: format!("{}_{}_closed", info.ch_id, info.version),
            proposed_pay_ch_info: Some(info),
            r#type: ChUpdateType::Closed.into(),
            expiry: 0,
            error: failure.map(Error::to_message),
        });
    }

    pub(super) fn end_desks(&self) {
        let desks = std::mem::take(&mut *lock(&self.desks));
        let closed = desks.closed.into_iter().map(|(desk, _)| desk);
        for desk in desks.open.into_values().chain(closed) {
            desk.end();
        }
    }

    /// What the peer proposes, and the end of the channel: what waits, and each as it comes.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such channel, [`Error::Exists`] if somebody else has
    /// subscribed.
    pub fn subscribe_updates(&self, channel: &str) -> Result<mpsc::Receiver<Notify>, Error> {
        let subscribed = self.desk(channel)?.subscribe();
        subscribed.ok_or_else(|| Error::exists(Resource::UpdatesSub, channel))
    }

    /// Ends the subscription.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such channel or no subscription.
    pub fn unsubscribe_updates(&self, channel: &str) -> Result<(), Error> {
        let desk = self.desk(channel)?;
        let was_subscribed = lock(&desk.papers).notices.unsubscribe();
        match was_subscribed {
            true => Ok(()),
            false => Err(Error::not_found(Resource::UpdatesSub, channel)),
        }
    }

    /// What a channel would be after the peer has paid, or after we have.
    pub(super) fn info_after(
        &self,
        channel: &Channel,
        version: Version,
        payments: &[(AssetIdx, Amount)],
        peer_pays: bool,
    ) -> PayChInfo {
        let newest = channel.newest();
        let balances = newest.map(|newest| {
            let before = &newest.state().allocation().balances;
            let rows = before.rows().enumerate().flat_map(|(i, row)| {
                let [mut ours, mut theirs] = ours_first(row, channel.part());
                let paid = payments.iter().filter(|(asset, _)| asset.index() == i);
                for (_, amount) in paid {
                    let (from, to) = match peer_pays {
                        true => (&mut theirs, &mut ours),
                        false => (&mut ours, &mut theirs),
                    };
                    // What does not fit is refused when it is answered.
                    if let (Some(less), Some(more)) =
                        (from.checked_sub(*amount), to.checked_add(*amount))
                    {
                        (*from, *to) = (less, more);
                    }
                }
                match channel.part().index() {
                    0 => [ours, theirs],
                    _ => [theirs, ours],
                }
            });
            let after = Balances::new(2, rows.collect());
            (version, after.unwrap_or_else(|_| before.clone()))
        });
        self.info_at(channel, balances)
    }

    /// The notification of an update of the peer.
    pub(super) fn offer_notice(
        &self,
        channel: &Channel,
        version: Version,
        payments: &Batch,
        is_final: bool,
        expiry_s: i64,
    ) -> Notify {
        let totals = totals(channel, payments);
        Notify {
            update_id: update_text(&channel.id(), version),
            proposed_pay_ch_info: Some(self.info_after(channel, version, &totals, true)),
            r#type: match is_final {
                true => ChUpdateType::Final.into(),
                false => ChUpdateType::Open.into(),
            },
            expiry: expiry_s,
            error: None,
        }
    }

    /// The notification of a payment that the peer asks for.
    pub(super) fn request_notice(
        &self,
        channel: &Channel,
        request: &PaymentRequest,
        expiry_s: i64,
    ) -> Notify {
        let newest = channel.newest();
        let version = newest.map_or(Version::INITIAL, |newest| newest.version());
        let next = version.next().unwrap_or(version);
        let payments = [(request.asset, request.amount)];
        // Its digest, not the number that the peer chose: what is answered is what was shown.
        let digest = request.payment().memo.unwrap_or_default();
        Notify {
            update_id: format!(
                "{}_request_{}",
                channel_text(&channel.id()),
                hex::encode(digest)
            ),
            proposed_pay_ch_info: Some(self.info_after(channel, next, &payments, false)),
            r#type: ChUpdateType::Open.into(),
            expiry: expiry_s,
            error: None,
        }
    }
}

/// What a batch pays of each asset of the channel.
pub(super) fn totals(channel: &Channel, payments: &Batch) -> Vec<(AssetIdx, Amount)> {
    let assets = channel.params().assets().len();
    let assets = (0..assets).filter_map(|i| u8::try_from(i).ok());
    assets
        .map(AssetIdx::new)
        .map(|asset| (asset, payments.total(asset)))
        .filter(|(_, total)| total.units() > 0)
        .collect()
}

/// The canister id of an asset's ledger.
pub fn ledger_of(asset: &AssetId) -> candid::Principal {
    let AssetId::Icrc(ledger) = asset;
    convert::principal_to_candid(ledger)
}
