//! Our own `Operations`.

mod backup;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::v1;
use super::v1::operations_server::Operations;
use crate::access::caller_of;
use crate::contacts::show_identity;
use crate::node::Node;
use crate::tokens::Scope;

/// Serves `Operations` of a node.
pub struct OperationsService {
    node: Arc<Node>,
}

impl OperationsService {
    /// The service of this node.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Operations for OperationsService {
    async fn info(
        &self,
        request: Request<v1::InfoRequest>,
    ) -> Result<Response<v1::InfoResponse>, Status> {
        caller_of(&request)?.require(Scope::Read)?;
        let (node, info) = (&self.node, self.node.info());
        let currencies = node.currencies().all();
        let currencies = currencies
            .iter()
            .map(|currency| v1::info_response::Currency {
                symbol: currency.symbol.clone(),
                ledger: currency.ledger.to_text(),
                decimals: currency.token.decimals.into(),
                fee: currency.show(currency.fee),
            });
        let devices = node.devices();
        Ok(Response::new(v1::InfoResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            chain_url: node.settings().chain_url.clone(),
            adjudicator: node.adjudicator().id().to_text(),
            module_hash: node.module_hash().map(hex::encode).unwrap_or_default(),
            interface: info.interface.into(),
            min_challenge_duration_s: info.min_challenge_duration_s.into(),
            max_challenge_duration_s: info.max_challenge_duration_s.into(),
            currencies: currencies.collect(),
            started: node.started_s(),
            device_address: devices
                .map(|devices| devices.address().to_string())
                .unwrap_or_default(),
            device_identity: devices
                .map(|devices| show_identity(&devices.identity()))
                .unwrap_or_default(),
            device_stream_key: devices
                .map(|devices| hex::encode(devices.stream_key()))
                .unwrap_or_default(),
        }))
    }

    type BackupStream = backup::BackupStream;

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        caller_of(&request)?.require(Scope::Admin)?;
        Ok(Response::new(backup::stream(Arc::clone(&self.node))))
    }

    async fn devices(
        &self,
        request: Request<v1::DevicesRequest>,
    ) -> Result<Response<v1::DevicesResponse>, Status> {
        caller_of(&request)?.require(Scope::Admin)?;
        let Some(devices) = self.node.devices() else {
            return Ok(Response::new(v1::DevicesResponse::default()));
        };
        Ok(Response::new(v1::DevicesResponse {
            watched: u32::try_from(devices.watched()).unwrap_or(u32::MAX),
            devices: devices.served().iter().map(show_identity).collect(),
        }))
    }

    async fn stop(
        &self,
        request: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopResponse>, Status> {
        caller_of(&request)?.require(Scope::Admin)?;
        self.node.stop();
        Ok(Response::new(v1::StopResponse {}))
    }
}
