//! perun-node's `Payment_API`.

mod opening;
mod updating;

use std::pin::Pin;
use std::sync::Arc;

use candid::Principal;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::answer::{Answer, answer};
use super::money::{Call, to_the_end};
use super::pb;
use super::pb::payment_api_server::PaymentApi;
use crate::access::caller_of;
use crate::contacts::Peer;
use crate::node::Node;
use crate::tokens::Scope;
use crate::{Error, clock};

/// Serves `Payment_API` of a node.
pub struct PaymentService {
    node: Arc<Node>,
}

type Notifications<A> = Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>;

impl PaymentService {
    /// The service of this node.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl PaymentApi for PaymentService {
    async fn get_config(
        &self,
        request: Request<pb::GetConfigReq>,
    ) -> Result<Response<pb::GetConfigResp>, Status> {
        caller_of(&request)?.require(Scope::Read)?;
        let first = self.node.info().ledgers.first();
        Ok(Response::new(pb::GetConfigResp {
            chain_address: self.node.settings().chain_url.clone(),
            adjudicator: self.node.adjudicator().id().to_text(),
            asset_eth: first
                .map(|served| served.ledger.to_text())
                .unwrap_or_default(),
            comm_types: vec!["tcp".into()],
            id_provider_types: vec!["local".into()],
        }))
    }

    async fn open_session(
        &self,
        request: Request<pb::OpenSessionReq>,
    ) -> Result<Response<pb::OpenSessionResp>, Status> {
        let caller = caller_of(&request)?;
        let opened = async {
            caller.require(Scope::Receive)?;
            let file = request.into_inner().config_file;
            let session = self.node.open_file(&caller, &file).await?;
            Ok(pb::open_session_resp::MsgSuccess {
                session_id: session.id().to_owned(),
                restored_chs: session.channels(),
            })
        };
        answer(opened.await)
    }

    async fn time(&self, request: Request<pb::TimeReq>) -> Result<Response<pb::TimeResp>, Status> {
        caller_of(&request)?.require(Scope::Read)?;
        let time = clock::seconds();
        Ok(Response::new(pb::TimeResp { time }))
    }

    async fn register_currency(
        &self,
        request: Request<pb::RegisterCurrencyReq>,
    ) -> Result<Response<pb::RegisterCurrencyResp>, Status> {
        let caller = caller_of(&request)?;
        let registered = async {
            caller.require(Scope::Spend)?;
            let pb::RegisterCurrencyReq {
                token_addr,
                asset_addr,
            } = request.into_inner();
            let ledger = parse_ledger("token", &token_addr)?;
            if !asset_addr.is_empty() && parse_ledger("asset", &asset_addr)? != ledger {
                let requirement = "the same as the token, or nothing: no contract stands between";
                return Err(Error::invalid("asset", asset_addr, requirement));
            }
            let currency = self.node.register_currency(ledger).await?;
            let symbol = currency.symbol.clone();
            Ok(pb::register_currency_resp::MsgSuccess { symbol })
        };
        answer(registered.await)
    }

    async fn help(&self, request: Request<pb::HelpReq>) -> Result<Response<pb::HelpResp>, Status> {
        caller_of(&request)?.require(Scope::Read)?;
        let apis = super::methods("pb.Payment_API");
        Ok(Response::new(pb::HelpResp { apis }))
    }

    async fn add_peer_id(
        &self,
        request: Request<pb::AddPeerIdReq>,
    ) -> Result<Response<pb::AddPeerIdResp>, Status> {
        let caller = caller_of(&request)?;
        let pb::AddPeerIdReq {
            session_id,
            peer_id,
        } = request.into_inner();
        let added = async {
            let session = self
                .node
                .session_for(&caller, Scope::Receive, &session_id)?;
            let peer = peer_id.ok_or_else(|| Error::invalid("peerID", "", "a peer is expected"))?;
            let peer = Peer::try_from(&peer)?;
            // It waits for the disk.
            let adding = tokio::task::spawn_blocking(move || session.contacts().add(peer));
            adding.await.map_err(Error::internal)??;
            Ok(pb::add_peer_id_resp::MsgSuccess { success: true })
        };
        answer(added.await)
    }

    async fn get_peer_id(
        &self,
        request: Request<pb::GetPeerIdReq>,
    ) -> Result<Response<pb::GetPeerIdResp>, Status> {
        let caller = caller_of(&request)?;
        let pb::GetPeerIdReq { session_id, alias } = request.into_inner();
        let found = || {
            let session = self.node.session_for(&caller, Scope::Read, &session_id)?;
            let peer_id = match alias == crate::session::SELF {
                true => session.card(alias),
                false => (&session.contacts().get(&alias)?).into(),
            };
            let peer_id = Some(peer_id);
            Ok(pb::get_peer_id_resp::MsgSuccess { peer_id })
        };
        answer(found())
    }

    async fn open_pay_ch(
        &self,
        request: Request<pb::OpenPayChReq>,
    ) -> Result<Response<pb::OpenPayChResp>, Status> {
        let opening = opening::open(Arc::clone(&self.node), Call::of(request)?);
        let opened = to_the_end(opening).await;
        answer(opened.map(|info| pb::open_pay_ch_resp::MsgSuccess {
            opened_pay_ch_info: Some(info),
        }))
    }

    async fn get_pay_chs_info(
        &self,
        request: Request<pb::GetPayChsInfoReq>,
    ) -> Result<Response<pb::GetPayChsInfoResp>, Status> {
        let caller = caller_of(&request)?;
        let session = self
            .node
            .session_for(&caller, Scope::Read, &request.get_ref().session_id);
        answer(
            session.map(|session| pb::get_pay_chs_info_resp::MsgSuccess {
                open_pay_chs_info: session.channels(),
            }),
        )
    }

    type SubPayChProposalsStream = Notifications<pb::SubPayChProposalsResp>;

    async fn sub_pay_ch_proposals(
        &self,
        request: Request<pb::SubPayChProposalsReq>,
    ) -> Result<Response<Self::SubPayChProposalsStream>, Status> {
        let caller = caller_of(&request)?;
        let session = self
            .node
            .session_for(&caller, Scope::Read, &request.get_ref().session_id);
        notifications(session.and_then(|session| session.subscribe_proposals()))
    }

    async fn unsub_pay_ch_proposals(
        &self,
        request: Request<pb::UnsubPayChProposalsReq>,
    ) -> Result<Response<pb::UnsubPayChProposalsResp>, Status> {
        let caller = caller_of(&request)?;
        let session = self
            .node
            .session_for(&caller, Scope::Read, &request.get_ref().session_id);
        let ended = session.and_then(|session| session.unsubscribe_proposals());
        answer(ended.map(|()| pb::unsub_pay_ch_proposals_resp::MsgSuccess { success: true }))
    }

    async fn respond_pay_ch_proposal(
        &self,
        request: Request<pb::RespondPayChProposalReq>,
    ) -> Result<Response<pb::RespondPayChProposalResp>, Status> {
        let responding = opening::respond(Arc::clone(&self.node), Call::of(request)?);
        let responded = to_the_end(responding).await;
        answer(
            responded.map(|info| pb::respond_pay_ch_proposal_resp::MsgSuccess {
                opened_pay_ch_info: info,
            }),
        )
    }

    async fn close_session(
        &self,
        request: Request<pb::CloseSessionReq>,
    ) -> Result<Response<pb::CloseSessionResp>, Status> {
        let caller = caller_of(&request)?;
        let pb::CloseSessionReq { session_id, force } = request.into_inner();
        let closed = async {
            let session = self.node.session_for(&caller, Scope::Spend, &session_id)?;
            let open_pay_chs_info = self.node.close(&session, force).await?;
            Ok(pb::close_session_resp::MsgSuccess { open_pay_chs_info })
        };
        answer(closed.await)
    }

    async fn deploy_asset_erc20(
        &self,
        request: Request<pb::DeployAssetErc20Req>,
    ) -> Result<Response<pb::DeployAssetErc20Resp>, Status> {
        let caller = caller_of(&request)?;
        let pb::DeployAssetErc20Req {
            session_id,
            token_addr,
        } = request.into_inner();
        let served = || {
            self.node.session_for(&caller, Scope::Read, &session_id)?;
            let ledger = parse_ledger("token", &token_addr)?;
            self.node.check_served(ledger)?;
            let asset_addr = ledger.to_text();
            Ok(pb::deploy_asset_erc20_resp::MsgSuccess { asset_addr })
        };
        answer(served())
    }

    async fn send_pay_ch_update(
        &self,
        request: Request<pb::SendPayChUpdateReq>,
    ) -> Result<Response<pb::SendPayChUpdateResp>, Status> {
        let sending = updating::send(Arc::clone(&self.node), Call::of(request)?);
        let sent = to_the_end(sending).await;
        answer(sent.map(|info| pb::send_pay_ch_update_resp::MsgSuccess {
            updated_pay_ch_info: Some(info),
        }))
    }

    type SubPayChUpdatesStream = Notifications<pb::SubPayChUpdatesResp>;

    async fn sub_pay_ch_updates(
        &self,
        request: Request<pb::SubpayChUpdatesReq>,
    ) -> Result<Response<Self::SubPayChUpdatesStream>, Status> {
        let caller = caller_of(&request)?;
        let pb::SubpayChUpdatesReq { session_id, ch_id } = request.into_inner();
        let session = self.node.session_for(&caller, Scope::Read, &session_id);
        notifications(session.and_then(|session| session.subscribe_updates(&ch_id)))
    }

    async fn unsub_pay_ch_updates(
        &self,
        request: Request<pb::UnsubPayChUpdatesReq>,
    ) -> Result<Response<pb::UnsubPayChUpdatesResp>, Status> {
        let caller = caller_of(&request)?;
        let pb::UnsubPayChUpdatesReq { session_id, ch_id } = request.into_inner();
        let session = self.node.session_for(&caller, Scope::Read, &session_id);
        let ended = session.and_then(|session| session.unsubscribe_updates(&ch_id));
        answer(ended.map(|()| pb::unsub_pay_ch_updates_resp::MsgSuccess { success: true }))
    }

    async fn respond_pay_ch_update(
        &self,
        request: Request<pb::RespondPayChUpdateReq>,
    ) -> Result<Response<pb::RespondPayChUpdateResp>, Status> {
        let responding = updating::respond(Arc::clone(&self.node), Call::of(request)?);
        let responded = to_the_end(responding).await;
        answer(
            responded.map(|info| pb::respond_pay_ch_update_resp::MsgSuccess {
                updated_pay_ch_info: Some(info),
            }),
        )
    }

    async fn get_pay_ch_info(
        &self,
        request: Request<pb::GetPayChInfoReq>,
    ) -> Result<Response<pb::GetPayChInfoResp>, Status> {
        let caller = caller_of(&request)?;
        let pb::GetPayChInfoReq { session_id, ch_id } = request.into_inner();
        let session = self.node.session_for(&caller, Scope::Read, &session_id);
        let info = session.and_then(|session| session.channel_info(&ch_id));
        answer(info.map(|info| pb::get_pay_ch_info_resp::MsgSuccess {
            pay_ch_info: Some(info),
        }))
    }

    async fn close_pay_ch(
        &self,
        request: Request<pb::ClosePayChReq>,
    ) -> Result<Response<pb::ClosePayChResp>, Status> {
        let caller = caller_of(&request)?;
        let pb::ClosePayChReq { session_id, ch_id } = request.into_inner();
        let closed = async {
            let session = self.node.session_for(&caller, Scope::Spend, &session_id)?;
            // Closing again waits for the same end, so that no key is needed.
            session.close_channel(&ch_id).await
        };
        let closed = closed.await;
        answer(closed.map(|info| pb::close_pay_ch_resp::MsgSuccess {
            closed_pay_ch_info: Some(info),
        }))
    }
}

/// The canister id that a text names.
fn parse_ledger(name: &'static str, text: &str) -> Result<Principal, Error> {
    let parsed = Principal::from_text(text);
    parsed.map_err(|error| {
        let requirement = format!("the canister id of a ledger is expected: {error}");
        Error::invalid(name, text, requirement)
    })
}

/// Notifications as they come, or an error and the end.
fn notifications<A>(
    subscribed: Result<mpsc::Receiver<A::Success>, Error>,
) -> Result<Response<Notifications<A>>, Status>
where
    A: Answer + Send + 'static,
    A::Success: Send + 'static,
{
    match subscribed {
        Ok(receiver) => {
            let notices = ReceiverStream::new(receiver).map(|notice| Ok(A::success(notice)));
            Ok(Response::new(Box::pin(notices)))
        }
        Err(error) => {
            let refused = answer::<A>(Err(error))?;
            Ok(refused.map(|refused| Box::pin(tokio_stream::once(Ok(refused))) as _))
        }
    }
}
