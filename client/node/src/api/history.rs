//! Our own `History`.

use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::v1;
use super::v1::history_server::History;
use crate::access::caller_of;
use crate::history::{Filter, to_message};
use crate::node::Node;
use crate::session::{Session, parse_channel};
use crate::tokens::Scope;
use crate::{Error, Resource};

/// How many payments a page has unless the caller says so, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// Bytes of an export that travel in one message.
const CHUNK: usize = 64 * 1024;

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
                .map(|record| to_message(record, contacts, currencies))
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
        let exported = session.history().export(session.client(), &channel);
        let exported = exported.await?.into_bytes();
        let chunks: Vec<_> = exported
            .chunks(CHUNK)
            .map(|chunk| {
                Ok(v1::ExportHistoryResponse {
                    chunk: chunk.to_vec(),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
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

fn channel_of(text: &str) -> Result<perun_protocol::ChannelId, Error> {
    parse_channel(text).ok_or_else(|| Error::not_found(Resource::Channel, text))
}
