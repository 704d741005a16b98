//! perun-node's way of answering: success or error within the message.

use tonic::{Response, Status};

use super::pb;
use crate::Error;

/// An answer that is either a success or an error.
pub(super) trait Answer: Sized {
    /// What a success says.
    type Success;
    fn success(success: Self::Success) -> Self;
    fn error(error: pb::MsgError) -> Self;
}

/// perun-node has no codes for callers who may not call: they get a status.
fn is_status(error: &Error) -> bool {
    matches!(
        error,
        Error::Unauthenticated { .. }
            | Error::PermissionDenied { .. }
            | Error::ResourceExhausted { .. }
    )
}

/// The answer that a result is.
pub(super) fn answer<A: Answer>(result: Result<A::Success, Error>) -> Result<Response<A>, Status> {
    match result {
        Ok(success) => Ok(Response::new(A::success(success))),
        Err(error) if is_status(&error) => Err(error.to_status()),
        Err(error) => Ok(refusal(A::error(error.to_message()), &error)),
    }
}

/// An answer that tells an error, marked for whoever counts them.
pub(super) fn refusal<T>(answer: T, error: &Error) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(error.code());
    response
}

macro_rules! answers {
    ($($answer:ident in $module:ident: $success:ident;)*) => {$(
        impl Answer for pb::$answer {
            type Success = pb::$module::$success;

            fn success(success: Self::Success) -> Self {
                let response = Some(answers!(@variant $module $success success));
                Self { response }
            }

            fn error(error: pb::MsgError) -> Self {
                let response = Some(pb::$module::Response::Error(error));
                Self { response }
            }
        }
    )*};
    (@variant $module:ident MsgSuccess $value:ident) => { pb::$module::Response::MsgSuccess($value) };
    (@variant $module:ident Notify $value:ident) => { pb::$module::Response::Notify($value) };
}

answers! {
    OpenSessionResp in open_session_resp: MsgSuccess;
    RegisterCurrencyResp in register_currency_resp: MsgSuccess;
    AddPeerIdResp in add_peer_id_resp: MsgSuccess;
    GetPeerIdResp in get_peer_id_resp: MsgSuccess;
    OpenPayChResp in open_pay_ch_resp: MsgSuccess;
    GetPayChsInfoResp in get_pay_chs_info_resp: MsgSuccess;
    SubPayChProposalsResp in sub_pay_ch_proposals_resp: Notify;
    UnsubPayChProposalsResp in unsub_pay_ch_proposals_resp: MsgSuccess;
    RespondPayChProposalResp in respond_pay_ch_proposal_resp: MsgSuccess;
    CloseSessionResp in close_session_resp: MsgSuccess;
    DeployAssetErc20Resp in deploy_asset_erc20_resp: MsgSuccess;
    SendPayChUpdateResp in send_pay_ch_update_resp: MsgSuccess;
    SubPayChUpdatesResp in sub_pay_ch_updates_resp: Notify;
    UnsubPayChUpdatesResp in unsub_pay_ch_updates_resp: MsgSuccess;
    RespondPayChUpdateResp in respond_pay_ch_update_resp: MsgSuccess;
    GetPayChInfoResp in get_pay_ch_info_resp: MsgSuccess;
    ClosePayChResp in close_pay_ch_resp: MsgSuccess;
    IsAssetRegisteredResp in is_asset_registered_resp: MsgSuccess;
}

/// Answers that say nothing but an error.
macro_rules! errors {
    ($($answer:ident)*) => {$(
        impl Answer for pb::$answer {
            type Success = ();

            fn success((): ()) -> Self {
                Self { error: None }
            }

            fn error(error: pb::MsgError) -> Self {
                Self { error: Some(error) }
            }
        }
    )*};
}

errors! { FundResp RegisterResp WithdrawResp ProgressResp UnsubscribeResp StopWatchingResp }
