//! What several commands ask a node.

use super::connect::Node;
use super::failure::Failure;
use crate::api::v1::list_sessions_response::Session;
use crate::api::{pb, v1};

impl Node {
    /// Its time, in seconds since 1970.
    pub async fn time(&self) -> Result<i64, Failure> {
        let answer = self.payment_api().time(pb::TimeReq {}).await?;
        Ok(answer.into_inner().time)
    }

    /// How it is set up, as perun-node tells it.
    pub async fn config(&self) -> Result<pb::GetConfigResp, Failure> {
        let answer = self.payment_api().get_config(pb::GetConfigReq {}).await?;
        Ok(answer.into_inner())
    }

    /// What it is, and which currencies it knows.
    pub async fn info(&self) -> Result<v1::InfoResponse, Failure> {
        let answer = self.operations().info(v1::InfoRequest {}).await?;
        Ok(answer.into_inner())
    }

    /// Its users, those whose session is not open, too.
    pub async fn all_sessions(&self) -> Result<Vec<Session>, Failure> {
        let answer = self.sessions().list(v1::ListSessionsRequest {}).await?;
        Ok(answer.into_inner().sessions)
    }

    /// What a user has beside channels.
    pub async fn balances(&self, session_id: String) -> Result<v1::BalancesResponse, Failure> {
        let request = v1::BalancesRequest { session_id };
        let answer = self.sessions().balances(request).await?;
        Ok(answer.into_inner())
    }
}
