//! perun-node's `Watching_API`.
//!
//! ```text
//!  client ──state, state, …──> StartWatchingLedgerChannel ──verified──> Watcher (perun-client)
//!         <──registered, concluded───────────────────────── sightings ──┘
//! ```
//!
//! A watch belongs to the session by its name, and goes on when the stream has ended, over restarts of
//! the node, until it is stopped or the channel is over. The stream ends with the session, too, and does
//! not keep it open.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use perun_client::watcher::{Sightings, WatchError};
use perun_protocol::Params;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::answer::{answer, refusal};
use super::pb;
use super::pb::start_watching_ledger_channel_resp::Response as Event;
use super::pb::watching_api_server::WatchingApi;
use super::values;
use crate::access::{Caller, caller_of};
use crate::node::Node;
use crate::session::Session;
use crate::tokens::Scope;
use crate::{Error, Resource};

/// How many answers wait for a client who is slow.
const ANSWERS: usize = 16;

/// Serves `Watching_API` of a node.
pub struct WatchingService {
    node: Arc<Node>,
}

/// One client's stream.
struct Watching {
    node: Arc<Node>,
    /// The session's name.
    owner: String,
    params: Params,
    answers: mpsc::Sender<Result<pb::StartWatchingLedgerChannelResp, Status>>,
}

impl WatchingService {
    /// The service of this node.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    fn session(&self, caller: &Caller, id: &str) -> Result<Arc<Session>, Error> {
        self.node.session_for(caller, Scope::Receive, id)
    }

    /// Takes the first state in.
    async fn begin(
        &self,
        caller: &Caller,
        first: &pb::StartWatchingLedgerChannelReq,
    ) -> Result<(Arc<Session>, Params, Sightings), Error> {
        let session = self.session(caller, &first.session_id)?;
        let told = first.params.as_ref();
        let told = told.ok_or_else(|| Error::invalid("params", "", "they are missing"))?;
        let adjudicator = self.node.adjudicator_id()?;
        let params = values::params(told, first.state.as_ref(), adjudicator)?;
        let sightings = take(&self.node, session.name(), &params, first).await?;
        Ok((session, params, sightings))
    }
}

/// Watches by the state of a request, if it is the newest.
async fn take(
    node: &Node,
    owner: &str,
    params: &Params,
    request: &pb::StartWatchingLedgerChannelReq,
) -> Result<Sightings, Error> {
    let state = request.state.as_ref();
    let state = state.ok_or_else(|| Error::invalid("state", "", "it is missing"))?;
    let signed = values::signed_state(state, &request.sigs, params)?;
    let watcher = node.watching().watcher();
    let watched = watcher.watch(owner, params, signed).await;
    watched.map_err(failure)
}

fn failure(error: WatchError) -> Error {
    match error {
        WatchError::LimitReached => Error::ResourceExhausted {
            message: error.to_string(),
        },
        WatchError::NotStored => Error::internal(error),
        error => Error::invalid("state", "", error.to_string()),
    }
}

impl Watching {
    /// Takes newer states in and tells what is seen, until the client has gone, the session is `closed`,
    /// or the channel is over.
    async fn run(
        self,
        closed: impl Future<Output = ()>,
        mut requests: Streaming<pb::StartWatchingLedgerChannelReq>,
        mut sightings: Sightings,
    ) {
        let mut closed = pin!(closed);
        let mut are_more = true;
        loop {
            tokio::select! {
                // The connection has ended: what is watched is watched on.
                () = self.answers.closed() => return,
                () = &mut closed => return,
                () = self.node.stopping() => return,
                sighting = sightings.next() => {
                    let Some(sighting) = sighting else {
                        return;
                    };
                    if !self.tell(values::sighting(&self.params, &sighting)).await {
                        return;
                    }
                }
                request = requests.next(), if are_more => match request {
                    Some(Ok(request)) => {
                        if let Err(error) = self.take_newer(&request).await {
                            self.node.metrics().failed(&error);
                            if !self.tell(Event::Error(error.to_message())).await {
                                return;
                            }
                        }
                    }
                    Some(Err(_)) => return,
                    // No newer states will come on this stream, and what is seen is still told.
                    None => are_more = false,
                },
            }
        }
    }

    async fn take_newer(&self, request: &pb::StartWatchingLedgerChannelReq) -> Result<(), Error> {
        if let Some(told) = &request.params
            && told.id != self.params.id().as_bytes()
        {
            let requirement = "one channel a stream";
            return Err(Error::invalid(
                "params.id",
                hex::encode(&told.id),
                requirement,
            ));
        }
        take(&self.node, &self.owner, &self.params, request).await?;
        Ok(())
    }

    async fn tell(&self, event: Event) -> bool {
        let response = Some(event);
        let answer = pb::StartWatchingLedgerChannelResp { response };
        self.answers.send(Ok(answer)).await.is_ok()
    }
}

#[tonic::async_trait]
impl WatchingApi for WatchingService {
    type StartWatchingLedgerChannelStream =
        Pin<Box<dyn Stream<Item = Result<pb::StartWatchingLedgerChannelResp, Status>> + Send>>;

    async fn start_watching_ledger_channel(
        &self,
        request: Request<Streaming<pb::StartWatchingLedgerChannelReq>>,
    ) -> Result<Response<Self::StartWatchingLedgerChannelStream>, Status> {
        let caller = caller_of(&request)?;
        let mut requests = request.into_inner();
        let Some(first) = requests.next().await else {
            return Ok(Response::new(Box::pin(tokio_stream::empty())));
        };
        let (session, params, sightings) = match self.begin(&caller, &first?).await {
            Ok(begun) => begun,
            Err(error) => {
                let response = Some(Event::Error(error.to_message()));
                let refused = pb::StartWatchingLedgerChannelResp { response };
                let refused: Self::StartWatchingLedgerChannelStream =
                    Box::pin(tokio_stream::once(Ok(refused)));
                return Ok(refusal(refused, &error));
            }
        };
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let watching = Watching {
            node: Arc::clone(&self.node),
            owner: session.name().to_owned(),
            params,
            answers,
        };
        tokio::spawn(watching.run(session.closed(), requests, sightings));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn stop_watching(
        &self,
        request: Request<pb::StopWatchingReq>,
    ) -> Result<Response<pb::StopWatchingResp>, Status> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let stopped = async {
            let session = self.session(&caller, &request.session_id)?;
            let channel = values::channel_id(&request.ch_id)?;
            let stopped = self
                .node
                .watching()
                .watcher()
                .stop_watching(session.name(), &channel)
                .await;
            match stopped.map_err(failure)? {
                true => Ok(()),
                false => Err(Error::not_found(
                    Resource::Channel,
                    hex::encode(&request.ch_id),
                )),
            }
        };
        answer(stopped.await)
    }
}
