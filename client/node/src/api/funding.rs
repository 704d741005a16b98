//! perun-node's `Funding_API`.
//!
//! ```text
//!  client ──Fund, Register, Withdraw──> the session's chain: its account pays, its key signs payouts
//!         ──Subscribe────────────────> Subscriptions ──polls──> the channel's events
//! ```
//!
//! The channels are the client's own: the session's client in this node knows nothing of them.

mod acting;
mod subscriptions;

use std::sync::Arc;

use perun_protocol::{AssetId, PartIdx};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use self::subscriptions::Subscriptions;
use super::answer::answer;
use super::money::{Key, once, spending};
use super::pb;
use super::pb::funding_api_server::FundingApi;
use super::values;
use crate::access::caller_of;
use crate::node::Node;
use crate::session::Failure;
use crate::tokens::Scope;
use crate::{Error, Resource};

/// Serves `Funding_API` of a node.
pub struct FundingService {
    node: Arc<Node>,
    subscriptions: Arc<Subscriptions>,
}

impl FundingService {
    /// The service of this node.
    pub fn new(node: Arc<Node>) -> Self {
        let subscriptions = Arc::default();
        Self {
            node,
            subscriptions,
        }
    }
}

/// Whose part a request is about.
fn part(index: u32, parts: usize) -> Result<PartIdx, Error> {
    let part = u8::try_from(index).ok().map(PartIdx::new);
    let part = part.filter(|part| part.index() < parts);
    part.ok_or_else(|| Error::invalid("idx", index.to_string(), "there is no such participant"))
}

#[tonic::async_trait]
impl FundingApi for FundingService {
    async fn register_asset_erc20(
        &self,
        request: Request<pb::RegisterAssetErc20Req>,
    ) -> Result<Response<pb::RegisterAssetErc20Resp>, Status> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        self.node
            .session_for(&caller, Scope::Spend, &request.session_id)?;
        let ledger = values::ledger("asset", &request.asset)?;
        if !request.token_addr.is_empty() && request.token_addr != ledger.to_text() {
            let requirement = "the canister id of the asset, or nothing";
            return Err(Error::invalid("tokenAddr", request.token_addr, requirement).into());
        }
        match self.node.register_currency(ledger).await {
            Ok(_) | Err(Error::Exists { .. }) => {}
            // The message has no place for an error.
            Err(error) => return Err(error.into()),
        }
        let msg_success = true;
        Ok(Response::new(pb::RegisterAssetErc20Resp { msg_success }))
    }

    async fn is_asset_registered(
        &self,
        request: Request<pb::IsAssetRegisteredReq>,
    ) -> Result<Response<pb::IsAssetRegisteredResp>, Status> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let is_registered = || {
            let session = self
                .node
                .session_for(&caller, Scope::Read, &request.session_id)?;
            let ledger = values::ledger("asset", &request.asset)?;
            Ok(session.currencies().named(&ledger.to_text()).is_ok())
        };
        answer(
            is_registered()
                .map(|is_registered| pb::is_asset_registered_resp::MsgSuccess { is_registered }),
        )
    }

    async fn fund(&self, request: Request<pb::FundReq>) -> Result<Response<pb::FundResp>, Status> {
        let caller = caller_of(&request)?;
        let key = Key::of(&request)?;
        let mut request = request.into_inner();
        let session_id = std::mem::take(&mut request.session_id);
        let funded = async {
            let session = self.node.session_for(&caller, Scope::Spend, &session_id)?;
            let told = request.params.as_ref();
            let told = told.ok_or_else(|| Error::invalid("params", "", "they are missing"))?;
            let adjudicator = self.node.adjudicator_id()?;
            let params = values::params(told, request.state.as_ref(), adjudicator)?;
            let parts = params.participants().len();
            let part = part(request.idx, parts)?;
            let funding = match (&request.agreement, &request.state) {
                (None, Some(state)) => values::state(state, &params)?.funding().clone(),
                (agreement, _) => values::balances("agreement", agreement.as_ref(), parts)?,
            };
            if funding.assets() != params.assets().len() {
                let requirement = "a row for each asset is expected";
                return Err(Error::invalid(
                    "agreement",
                    funding.assets().to_string(),
                    requirement,
                ));
            }
            self.subscriptions.learn(&params);
            let shares = funding.rows().map(|row| row[part.index()]);
            let cost: Vec<(AssetId, _)> = params.assets().iter().copied().zip(shares).collect();
            let paying = async {
                let funded = acting::fund(&self.node, &session, &params, part, &funding);
                // Of several assets some may be deposited whatever kept the others.
                let funding = async { funded.await.map_err(Failure::Uncertain) };
                spending(&caller, &cost, funding).await?;
                Ok(pb::FundResp::default())
            };
            once(&session, key.as_ref(), &request, async { Ok(None) }, paying).await?;
            Ok(())
        };
        answer(funded.await)
    }

    async fn register(
        &self,
        request: Request<pb::RegisterReq>,
    ) -> Result<Response<pb::RegisterResp>, Status> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let registered = async {
            let session = self
                .node
                .session_for(&caller, Scope::Spend, &request.session_id)?;
            if !request.signed_states.is_empty() {
                return Err(no_sub_channels("signedStates"));
            }
            let order = acting::Order::read(&self.node, request.adj_req.as_ref())?;
            self.subscriptions.learn(&order.params);
            acting::register(&self.node, &session, &order).await
        };
        answer(registered.await)
    }

    async fn withdraw(
        &self,
        request: Request<pb::WithdrawReq>,
    ) -> Result<Response<pb::WithdrawResp>, Status> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let withdrawn = async {
            let session = self
                .node
                .session_for(&caller, Scope::Spend, &request.session_id)?;
            if !request.state_map.is_empty() {
                return Err(no_sub_channels("stateMap"));
            }
            let order = acting::Order::read(&self.node, request.adj_req.as_ref())?;
            self.subscriptions.learn(&order.params);
            acting::withdraw(&self.node, &session, &order).await
        };
        answer(withdrawn.await)
    }

    async fn progress(
        &self,
        request: Request<pb::ProgressReq>,
    ) -> Result<Response<pb::ProgressResp>, Status> {
        let caller = caller_of(&request)?;
        let refused = self
            .node
            .session_for(&caller, Scope::Spend, &request.get_ref().session_id);
        let refused = refused.and_then(|_| {
            Err(Error::FailedPrecondition {
                message: "no app of this chain moves a state by itself".into(),
            })
        });
        answer(refused)
    }

    type SubscribeStream = ReceiverStream<Result<pb::SubscribeResp, Status>>;

    async fn subscribe(
        &self,
        request: Request<pb::SubscribeReq>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let session = self
            .node
            .session_for(&caller, Scope::Read, &request.session_id)?;
        let channel = values::channel_id(&request.ch_id)?;
        let subscriptions = Arc::clone(&self.subscriptions);
        let events = subscriptions.subscribe(&self.node, &caller, session, channel)?;
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn unsubscribe(
        &self,
        request: Request<pb::UnsubscribeReq>,
    ) -> Result<Response<pb::UnsubscribeResp>, Status> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let unsubscribe = || {
            let session = self
                .node
                .session_for(&caller, Scope::Read, &request.session_id)?;
            let channel = values::channel_id(&request.ch_id)?;
            match self.subscriptions.unsubscribe(session.id(), &channel) {
                true => Ok(()),
                false => Err(Error::not_found(
                    Resource::Channel,
                    hex::encode(&request.ch_id),
                )),
            }
        };
        answer(unsubscribe())
    }
}

fn no_sub_channels(name: &'static str) -> Error {
    Error::invalid(name, "", "sub-channels are not supported")
}
