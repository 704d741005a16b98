//! Our own `History`.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{self, Stream};
use perun_canister_api::convert::principal_to_candid;
use perun_protocol::{AssetId, ChannelId};
use tonic::{Request, Response, Status};

use super::v1;
use super::v1::history_server::History;
use crate::access::caller_of;
use crate::contacts::{Contacts, show_identity};
use crate::currency::Currencies;
use crate::history::{Export, Filter, Record};
use crate::node::Node;
use crate::session::{Session, parse_channel, unknown_session};
use crate::tokens::Scope;
use crate::{Error, Resource};

/// How many payments a page has unless the caller says so, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// Serves `History` of a node.
pub struct HistoryService {
    node: Arc<Node>,
}

impl HistoryService {
    /// The service of this node.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    fn session<T>(&self, request: &Request<T>, id: &str) -> Result<Arc<Session>, Status> {
        Ok(self
            .node
            .session_for(&caller_of(request)?, Scope::Read, id)?)
    }
}

#[tonic::async_trait]
impl History for HistoryService {
    async fn list(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Result<Response<v1::ListHistoryResponse>, Status> {
        let session = self.session(&request, &request.get_ref().session_id)?;
        let request = request.into_inner();
        let filter = filter(&session, &request)?;
        let limit = match usize::try_from(request.limit) {
            Ok(0) => LIMIT,
            Ok(limit) => limit.min(MAX_LIMIT),
            Err(_) => MAX_LIMIT,
        };
        let after = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
        let page = session.history().list(filter, limit, after).await?;
        let records = page.records.iter();
        let (contacts, currencies) = (session.contacts(), session.currencies());
        Ok(Response::new(v1::ListHistoryResponse {
            payments: records
                .map(|record| message_of(record, contacts, currencies))
                .collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    type ExportStream =
        Pin<Box<dyn Stream<Item = Result<v1::ExportHistoryResponse, Status>> + Send>>;

    async fn export(
        &self,
        request: Request<v1::ExportHistoryRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let session = self.session(&request, &request.get_ref().session_id)?;
        let channel = channel_of(&request.get_ref().channel)?;
        let export = session.history().export(session.client(), &channel).await?;
        // Whoever takes their time keeps no session open.
        let session = Arc::downgrade(&session);
        let id = request.into_inner().session_id;
        let chunks = stream::try_unfold(export, move |export| {
            let open = session.upgrade().ok_or_else(|| unknown_session(&id));
            async move { Ok(next_chunk(&*open?, export).await?) }
        });
        Ok(Response::new(Box::pin(chunks)))
    }
}

async fn next_chunk(
    session: &Session,
    export: Export,
) -> Result<Option<(v1::ExportHistoryResponse, Export)>, Error> {
    let more = session.history().export_more(session.client(), export);
    let message = |(chunk, export)| (v1::ExportHistoryResponse { chunk }, export);
    Ok(more.await?.map(message))
}

/// A record with the names that this side has for what is in it.
fn message_of(record: &Record, contacts: &Contacts, currencies: &Currencies) -> v1::PaymentRecord {
    let contact = contacts.by_identity(&record.peer);
    let (currency, amount) = match currencies.of_asset(&record.asset) {
        Some(currency) => (currency.symbol.clone(), currency.show(record.amount)),
        // How many digits it has is not known: in its smallest unit, which no currency is called.
        None => {
            let AssetId::Icrc(ledger) = &record.asset;
            let ledger = principal_to_candid(ledger);
            (format!("units of {ledger}"), record.amount.to_string())
        }
    };
    v1::PaymentRecord {
        channel: hex::encode(record.channel.as_bytes()),
        peer_alias: contact.map_or_else(|| show_identity(&record.peer), |contact| contact.alias),
        version: record.version.number(),
        index: record.index,
        at_ms: record.at_ms,
        time_is_late: record.time_is_late,
        direction: match record.is_sent {
            true => v1::Direction::Sent.into(),
            false => v1::Direction::Received.into(),
        },
        currency,
        amount,
        memo_hash: record.memo.map(hex::encode).unwrap_or_default(),
        memo: record.memo_text.clone().unwrap_or_default(),
    }
}

fn filter(session: &Session, request: &v1::ListHistoryRequest) -> Result<Filter, Error> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let channel = given(&request.channel).map(|text| channel_of(&text));
    let peer = given(&request.peer_alias).map(|alias| session.contacts().get(&alias));
    let currency = given(&request.currency).map(|name| session.currencies().named(&name));
    let direction = v1::Direction::try_from(request.direction).map_err(|_| {
        let value = request.direction.to_string();
        Error::invalid("direction", value, "BOTH, SENT or RECEIVED")
    })?;
    let bound = |at_ms: i64| (at_ms != 0).then_some(at_ms);
    Ok(Filter {
        channel: channel.transpose()?,
        peer: peer.transpose()?.map(|peer| peer.identity),
        asset: currency.transpose()?.map(|currency| currency.asset),
        is_sent: match direction {
            v1::Direction::Both => None,
            v1::Direction::Sent => Some(true),
            v1::Direction::Received => Some(false),
        },
        from_ms: bound(request.from_ms),
        before_ms: bound(request.before_ms),
    })
}

fn channel_of(text: &str) -> Result<ChannelId, Error> {
    parse_channel(text).ok_or_else(|| Error::not_found(Resource::Channel, text))
}

#[cfg(test)]
mod tests {
    use perun_protocol::{Amount, Principal, SecretKey, Signer as _, Version};

    use super::*;
    use crate::contacts::Peer;
    use crate::scratch::Scratch;

    #[test]
    fn a_record_is_told_with_names_where_there_are_some() {
        let folder = Scratch::new();
        let contacts = Contacts::open(&folder.path().join("contacts.yaml")).unwrap();
        let currencies = Currencies::new("");
        let peer = SecretKey::from_bytes(&[1; 32]).unwrap().public_key();
        let ledger = Principal::from_slice(&[1, 2, 3]).unwrap();
        let record = Record {
            channel: ChannelId::from_bytes([1; 32]),
            peer,
            version: Version::new(1),
            index: 0,
            at_ms: 5,
            time_is_late: true,
            is_sent: false,
            asset: AssetId::Icrc(ledger),
            amount: Amount::new(12),
            memo: Some([2; 32]),
            memo_text: None,
        };
        let told = message_of(&record, &contacts, &currencies);
        assert_eq!(told.peer_alias, show_identity(&peer));
        assert!(told.currency.starts_with("units of "));
        assert_eq!(
            (told.amount.as_str(), told.memo_hash.clone()),
            ("12", "02".repeat(32))
        );
        assert_eq!(told.direction(), v1::Direction::Received);
        let bob = Peer {
            alias: "bob".into(),
            identity: peer,
            address: "localhost:1".into(),
        };
        contacts.add(bob).unwrap();
        assert_eq!(
            message_of(&record, &contacts, &currencies).peer_alias,
            "bob"
        );
    }
}
