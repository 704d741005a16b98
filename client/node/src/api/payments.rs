//! Our own `Payments`.

use std::sync::Arc;

use perun_protocol::signature::Signer as _;
use perun_protocol::{Amount, PublicKey};
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::money::{Key, once, spending, to_the_end};
use super::pb;
use super::v1;
use super::v1::payments_server::Payments;
use crate::access::{Caller, caller_of};
use crate::contacts::show_identity;
use crate::currency::Currency;
use crate::node::Node;
use crate::request::{PaymentRequest, check_memo};
use crate::session::{Failure, PaymentOrder, Session};
use crate::tokens::Scope;
use crate::{Error, Resource, clock};

/// Serves `Payments` of a node.
pub struct PaymentsService {
    node: Arc<Node>,
}

impl PaymentsService {
    /// The service of this node.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Payments for PaymentsService {
    async fn pay(
        &self,
        request: Request<v1::PayRequest>,
    ) -> Result<Response<v1::PayResponse>, Status> {
        let caller = caller_of(&request)?;
        let key = Key::of(&request)?;
        let mut request = request.into_inner();
        let id = std::mem::take(&mut request.session_id);
        let session = self.node.session_for(&caller, Scope::Spend, &id)?;
        check_memo(&request.memo)?;
        let currency = session.currencies().named(&request.currency)?;
        let amount = currency.parse(&request.amount)?;
        let memo = match &key {
            Some(key) => Some(memo_for(key, &request.memo)),
            None => text_memo(&request.memo),
        };
        let peer = match request.channel.is_empty() {
            true => Some(session.contacts().get(&request.peer_alias)?.identity),
            false => None,
        };
        let way = Way {
            channel: peer.is_none().then(|| request.channel.clone()),
            peer,
            currency,
            amount,
            memo,
            text: request.memo.clone(),
        };
        let paid = to_the_end(pay_once(session, caller, key, request, way));
        Ok(Response::new(paid.await?))
    }

    async fn create_request(
        &self,
        request: Request<v1::CreateRequestRequest>,
    ) -> Result<Response<v1::CreateRequestResponse>, Status> {
        let caller = caller_of(&request)?;
        let v1::CreateRequestRequest {
            session_id,
            currency,
            amount,
            memo,
            valid_s,
        } = request.into_inner();
        let session = self
            .node
            .session_for(&caller, Scope::Receive, &session_id)?;
        let currency = session.currencies().named(&currency)?;
        let amount = match amount.is_empty() {
            true => None,
            false => Some(currency.parse(&amount)?),
        };
        if amount == Some(Amount::ZERO) {
            let requirement = "more than nothing is expected, or no amount to let the payer decide";
            return Err(Error::invalid("amount", "0", requirement).into());
        }
        let valid_s = i64::try_from(valid_s).ok().filter(|valid_s| *valid_s > 0);
        let expires_at_s = valid_s.and_then(|valid_s| clock::seconds().checked_add(valid_s));
        let expires_at_s = expires_at_s.ok_or_else(|| {
            let requirement = "for how many seconds it is good, at least one";
            Error::invalid("valid_s", "", requirement)
        })?;
        let off_chain = &session.keys().off_chain;
        let payee = off_chain.public_key();
        let made = PaymentRequest::new(payee, currency.ledger, amount, &memo, expires_at_s)?;
        let text = made.sign(&**off_chain)?;
        session.history().note_memo(made.digest(), &made.memo);
        Ok(Response::new(v1::CreateRequestResponse { text }))
    }

    async fn read_request(
        &self,
        request: Request<v1::ReadRequestRequest>,
    ) -> Result<Response<v1::ReadRequestResponse>, Status> {
        let caller = caller_of(&request)?;
        let v1::ReadRequestRequest { session_id, text } = request.get_ref();
        let session = self.node.session_for(&caller, Scope::Read, session_id)?;
        let read = PaymentRequest::read(text)?;
        let currency = currency_of(&session, &read)?;
        let contact = session.contacts().by_identity(&read.payee);
        Ok(Response::new(v1::ReadRequestResponse {
            payee: show_identity(&read.payee),
            payee_alias: contact.map(|contact| contact.alias).unwrap_or_default(),
            currency: currency.symbol.clone(),
            amount: read
                .amount
                .map(|amount| currency.show(amount))
                .unwrap_or_default(),
            is_paid: paid_before(&session, &read).is_some(),
            expiry: read.expires_at_s,
            memo: read.memo,
        }))
    }

    async fn pay_requested(
        &self,
        request: Request<v1::PayRequestedRequest>,
    ) -> Result<Response<v1::PayResponse>, Status> {
        let caller = caller_of(&request)?;
        let mut request = request.into_inner();
        let id = std::mem::take(&mut request.session_id);
        let session = self.node.session_for(&caller, Scope::Spend, &id)?;
        let read = PaymentRequest::read(&request.text)?;
        let currency = currency_of(&session, &read)?;
        let amount = match (read.amount, request.amount.is_empty()) {
            (Some(amount), true) => amount,
            (None, false) => currency.parse(&request.amount)?,
            (Some(_), false) => {
                let requirement = "the request says how much, so that none can be given";
                return Err(Error::invalid("amount", request.amount, requirement).into());
            }
            (None, true) => {
                let requirement = "the request leaves it open, so that it has to be given";
                return Err(Error::invalid("amount", "", requirement).into());
            }
        };
        if session.contacts().by_identity(&read.payee).is_none() {
            let payee = show_identity(&read.payee);
            return Err(Error::not_found(Resource::PeerId, payee).into());
        }
        // The request is its own key: it is paid once, whoever asks for it.
        let key = Key::new(hex::encode(read.digest()));
        // Whatever it was paid with, it was paid.
        if let Some(info) = paid_before(&session, &read) {
            return Ok(Response::new(v1::PayResponse {
                info: Some(info),
                was_made_before: true,
            }));
        }
        if read.expires_at_s < clock::seconds() {
            let requirement = "the request is not good any more; ask for another";
            return Err(Error::invalid("text", read.expires_at_s.to_string(), requirement).into());
        }
        let memo = Some(read.digest());
        let key = Some(key);
        let way = Way {
            channel: None,
            peer: Some(read.payee),
            currency: Arc::clone(&currency),
            amount,
            memo,
            text: read.memo.clone(),
        };
        let paid = to_the_end(pay_once(session, caller, key, request, way));
        Ok(Response::new(paid.await?))
    }
}

/// A payment to be made.
struct Way {
    channel: Option<String>,
    /// Whom to pay, if no channel is named.
    peer: Option<PublicKey>,
    currency: Arc<Currency>,
    amount: Amount,
    memo: Option<[u8; 32]>,
    text: String,
}

impl Way {
    fn order(&self, session: &Session) -> Result<PaymentOrder, Error> {
        let channel = match (&self.channel, &self.peer) {
            (Some(channel), _) => session.channel(channel)?,
            (None, Some(peer)) => session.channel_to(peer, &self.currency.asset, self.amount)?,
            (None, None) => {
                let requirement = "a peer or a channel is expected";
                return Err(Error::invalid("peer_alias", "", requirement));
            }
        };
        let amount = self.currency.show(self.amount);
        session.single_payment(&channel, &self.currency.symbol, &amount)
    }
}

async fn pay_once<R: Message>(
    session: Arc<Session>,
    caller: Caller,
    key: Option<Key>,
    request: R,
    way: Way,
) -> Result<v1::PayResponse, Error> {
    let found = async {
        let Some(memo) = &way.memo else {
            return Ok(None);
        };
        let channels = match (&way.channel, &way.peer) {
            (Some(channel), _) => session.channel(channel).into_iter().collect(),
            (None, Some(peer)) => session.channels_with(peer),
            (None, None) => Vec::new(),
        };
        session.find_paid(&channels, memo).await
    };
    let paying = async {
        let order = way.order(&session).map_err(Failure::NoEffect)?;
        if let Some(memo) = way.memo {
            session.history().note_memo(memo, &way.text);
        }
        let cost = order.cost();
        spending(&caller, &cost, session.pay(order, way.memo)).await
    };
    let paid = once(&session, key.as_ref(), &request, found, paying).await?;
    Ok(v1::PayResponse {
        info: Some(paid.value),
        was_made_before: paid.was_made_before,
    })
}

/// The channel through which a request was paid already.
fn paid_before(session: &Session, request: &PaymentRequest) -> Option<pb::PayChInfo> {
    session.paid_with(&request.digest())
}

fn currency_of(session: &Session, request: &PaymentRequest) -> Result<Arc<Currency>, Error> {
    session.currencies().named(&request.ledger.to_text())
}

/// What travels of a memo: its hash.
fn text_memo(text: &str) -> Option<[u8; 32]> {
    (!text.is_empty()).then(|| Sha256::digest(text).into())
}

/// What travels of a memo of a call with a key: it marks the payment, too.
fn memo_for(key: &Key, text: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(key.mark("Pay"));
    hash.update(text);
    hash.finalize().into()
}
