//! perun-node's calls of the node that is made up.

use perun_node::api::pb;
use perun_node::{Error, Resource};
use tonic::{Request, Response, Status};

use crate::fake::{CHANNEL, EXPIRY, Fake, PROPOSAL, Pieces, SESSION, balances, bob, endless, info};

/// An answer that is a success, or an error.
macro_rules! answer {
    ($response:ident, $module:ident, $result:expr) => {{
        let response = match $result {
            Ok(success) => pb::$module::Response::MsgSuccess(success),
            Err(error) => pb::$module::Response::Error(Error::to_message(&error)),
        };
        Ok(Response::new(pb::$response {
            response: Some(response),
        }))
    }};
}

fn session(id: &str) -> Result<(), Error> {
    if id == SESSION {
        Ok(())
    } else {
        Err(Error::not_found(Resource::Session, id))
    }
}

#[tonic::async_trait]
impl pb::payment_api_server::PaymentApi for Fake {
    type SubPayChProposalsStream = Pieces<pb::SubPayChProposalsResp>;
    type SubPayChUpdatesStream = Pieces<pb::SubPayChUpdatesResp>;

    async fn get_config(
        &self,
        _: Request<pb::GetConfigReq>,
    ) -> Result<Response<pb::GetConfigResp>, Status> {
        Ok(Response::new(pb::GetConfigResp {
            chain_address: "http://127.0.0.1:4943".into(),
            adjudicator: "rrkah-fqaaa-aaaaa-aaaaq-cai".into(),
            asset_eth: "ryjl3-tyaaa-aaaaa-aaaba-cai".into(),
            comm_types: vec!["tcp".into()],
            id_provider_types: vec!["local".into()],
        }))
    }

    async fn open_session(
        &self,
        request: Request<pb::OpenSessionReq>,
    ) -> Result<Response<pb::OpenSessionResp>, Status> {
        self.note("open_session", &request);
        let opened = pb::open_session_resp::MsgSuccess {
            session_id: SESSION.into(),
            restored_chs: vec![],
        };
        answer!(OpenSessionResp, open_session_resp, Ok::<_, Error>(opened))
    }

    async fn time(&self, _: Request<pb::TimeReq>) -> Result<Response<pb::TimeResp>, Status> {
        Ok(Response::new(pb::TimeResp {
            time: 1_780_000_000,
        }))
    }

    async fn register_currency(
        &self,
        request: Request<pb::RegisterCurrencyReq>,
    ) -> Result<Response<pb::RegisterCurrencyResp>, Status> {
        let id = request.into_inner().token_addr;
        let known =
            Err::<pb::register_currency_resp::MsgSuccess, _>(Error::exists(Resource::Currency, id));
        answer!(RegisterCurrencyResp, register_currency_resp, known)
    }

    async fn help(&self, _: Request<pb::HelpReq>) -> Result<Response<pb::HelpResp>, Status> {
        let apis = vec!["GetConfig".into(), "OpenSession".into()];
        Ok(Response::new(pb::HelpResp { apis }))
    }

    async fn add_peer_id(
        &self,
        request: Request<pb::AddPeerIdReq>,
    ) -> Result<Response<pb::AddPeerIdResp>, Status> {
        self.note("add_peer_id", &request);
        let added = pb::add_peer_id_resp::MsgSuccess { success: true };
        answer!(AddPeerIdResp, add_peer_id_resp, Ok::<_, Error>(added))
    }

    async fn get_peer_id(
        &self,
        request: Request<pb::GetPeerIdReq>,
    ) -> Result<Response<pb::GetPeerIdResp>, Status> {
        let alias = request.into_inner().alias;
        let found = if alias == "bob" {
            Ok(pb::get_peer_id_resp::MsgSuccess {
                peer_id: Some(bob()),
            })
        } else {
            Err(Error::not_found(Resource::PeerId, alias))
        };
        answer!(GetPeerIdResp, get_peer_id_resp, found)
    }

    async fn open_pay_ch(
        &self,
        request: Request<pb::OpenPayChReq>,
    ) -> Result<Response<pb::OpenPayChResp>, Status> {
        self.note("open_pay_ch", &request);
        let parts = request
            .into_inner()
            .opening_bal_info
            .unwrap_or_default()
            .parts;
        let opened = if parts.iter().any(|part| part == "bob") {
            Ok(pb::open_pay_ch_resp::MsgSuccess {
                opened_pay_ch_info: Some(info("1", "2", 0)),
            })
        } else {
            let (alias, reason) = ("carol".into(), "rejected by user".into());
            Err(Error::PeerRejected { alias, reason })
        };
        answer!(OpenPayChResp, open_pay_ch_resp, opened)
    }

    async fn get_pay_chs_info(
        &self,
        _: Request<pb::GetPayChsInfoReq>,
    ) -> Result<Response<pb::GetPayChsInfoResp>, Status> {
        let open_pay_chs_info = vec![info("1.5", "2", 7)];
        let open = pb::get_pay_chs_info_resp::MsgSuccess { open_pay_chs_info };
        answer!(
            GetPayChsInfoResp,
            get_pay_chs_info_resp,
            Ok::<_, Error>(open)
        )
    }

    async fn sub_pay_ch_proposals(
        &self,
        _: Request<pb::SubPayChProposalsReq>,
    ) -> Result<Response<Self::SubPayChProposalsStream>, Status> {
        let notify = pb::sub_pay_ch_proposals_resp::Notify {
            proposal_id: PROPOSAL.into(),
            opening_bal_info: Some(balances("bob", "3", "4")),
            challenge_dur_secs: 3600,
            expiry: EXPIRY,
        };
        let response = Some(pb::sub_pay_ch_proposals_resp::Response::Notify(notify));
        Ok(Response::new(endless(vec![pb::SubPayChProposalsResp {
            response,
        }])))
    }

    async fn unsub_pay_ch_proposals(
        &self,
        _: Request<pb::UnsubPayChProposalsReq>,
    ) -> Result<Response<pb::UnsubPayChProposalsResp>, Status> {
        let ended = pb::unsub_pay_ch_proposals_resp::MsgSuccess { success: true };
        answer!(
            UnsubPayChProposalsResp,
            unsub_pay_ch_proposals_resp,
            Ok::<_, Error>(ended)
        )
    }

    async fn respond_pay_ch_proposal(
        &self,
        request: Request<pb::RespondPayChProposalReq>,
    ) -> Result<Response<pb::RespondPayChProposalResp>, Status> {
        self.note("respond_pay_ch_proposal", &request);
        let accepted = request.get_ref().accept;
        let answered = pb::respond_pay_ch_proposal_resp::MsgSuccess {
            opened_pay_ch_info: accepted.then(|| info("3", "4", 0)),
        };
        answer!(
            RespondPayChProposalResp,
            respond_pay_ch_proposal_resp,
            Ok::<_, Error>(answered)
        )
    }

    async fn close_session(
        &self,
        request: Request<pb::CloseSessionReq>,
    ) -> Result<Response<pb::CloseSessionResp>, Status> {
        self.note("close_session", &request);
        let channels = vec![info("1.5", "2", 7)];
        let closed = if request.get_ref().force {
            Ok(pb::close_session_resp::MsgSuccess {
                open_pay_chs_info: channels,
            })
        } else {
            Err(Error::UnclosedChannels { channels })
        };
        answer!(CloseSessionResp, close_session_resp, closed)
    }

    async fn deploy_asset_erc20(
        &self,
        _: Request<pb::DeployAssetErc20Req>,
    ) -> Result<Response<pb::DeployAssetErc20Resp>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn send_pay_ch_update(
        &self,
        request: Request<pb::SendPayChUpdateReq>,
    ) -> Result<Response<pb::SendPayChUpdateResp>, Status> {
        self.note("send_pay_ch_update", &request);
        let updated = session(&request.get_ref().session_id).map(|()| {
            pb::send_pay_ch_update_resp::MsgSuccess {
                updated_pay_ch_info: Some(info("2", "1.5", 8)),
            }
        });
        answer!(SendPayChUpdateResp, send_pay_ch_update_resp, updated)
    }

    async fn sub_pay_ch_updates(
        &self,
        request: Request<pb::SubpayChUpdatesReq>,
    ) -> Result<Response<Self::SubPayChUpdatesStream>, Status> {
        assert_eq!(request.into_inner().ch_id, CHANNEL);
        let notify = pb::sub_pay_ch_updates_resp::Notify {
            update_id: format!("{CHANNEL}_8"),
            proposed_pay_ch_info: Some(info("1.2", "2.3", 8)),
            r#type: pb::sub_pay_ch_updates_resp::notify::ChUpdateType::Open.into(),
            expiry: EXPIRY,
            error: None,
        };
        let response = Some(pb::sub_pay_ch_updates_resp::Response::Notify(notify));
        Ok(Response::new(endless(vec![pb::SubPayChUpdatesResp {
            response,
        }])))
    }

    async fn unsub_pay_ch_updates(
        &self,
        _: Request<pb::UnsubPayChUpdatesReq>,
    ) -> Result<Response<pb::UnsubPayChUpdatesResp>, Status> {
        let ended = pb::unsub_pay_ch_updates_resp::MsgSuccess { success: true };
        answer!(
            UnsubPayChUpdatesResp,
            unsub_pay_ch_updates_resp,
            Ok::<_, Error>(ended)
        )
    }

    async fn respond_pay_ch_update(
        &self,
        request: Request<pb::RespondPayChUpdateReq>,
    ) -> Result<Response<pb::RespondPayChUpdateResp>, Status> {
        self.note("respond_pay_ch_update", &request);
        let answered = pb::respond_pay_ch_update_resp::MsgSuccess {
            updated_pay_ch_info: Some(info("1.2", "2.3", 8)),
        };
        answer!(
            RespondPayChUpdateResp,
            respond_pay_ch_update_resp,
            Ok::<_, Error>(answered)
        )
    }

    async fn get_pay_ch_info(
        &self,
        _: Request<pb::GetPayChInfoReq>,
    ) -> Result<Response<pb::GetPayChInfoResp>, Status> {
        let pay_ch_info = Some(info("1.5", "2", 7));
        let found = pb::get_pay_ch_info_resp::MsgSuccess { pay_ch_info };
        answer!(
            GetPayChInfoResp,
            get_pay_ch_info_resp,
            Ok::<_, Error>(found)
        )
    }

    async fn close_pay_ch(
        &self,
        request: Request<pb::ClosePayChReq>,
    ) -> Result<Response<pb::ClosePayChResp>, Status> {
        self.note("close_pay_ch", &request);
        let closed = pb::close_pay_ch_resp::MsgSuccess {
            closed_pay_ch_info: Some(info("1.5", "2", 8)),
        };
        answer!(ClosePayChResp, close_pay_ch_resp, Ok::<_, Error>(closed))
    }
}
