//! How an error is told to callers: perun-node's message, or a status that carries it.

use prost::Message as _;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use super::{Error, seconds};
use crate::api::pb;
use crate::api::pb::msg_error::AddInfo;

/// The metadata in which a status carries the [`pb::MsgError`].
pub const ERROR_METADATA: &str = "perun-error-bin";

/// The most bytes of it.
const MAX_METADATA: usize = 4096;

impl Error {
    /// Whose fault it is.
    pub fn category(&self) -> pb::ErrorCategory {
        match self {
            Self::PeerRequestTimedOut { .. }
            | Self::PeerRejected { .. }
            | Self::PeerNotFunded { .. }
            | Self::UserResponseTimedOut { .. } => pb::ErrorCategory::ParticipantError,
            Self::NotFound { .. }
            | Self::Exists { .. }
            | Self::InvalidArgument { .. }
            | Self::UnclosedChannels { .. }
            | Self::FailedPrecondition { .. }
            | Self::InvalidConfig { .. }
            | Self::InvalidContracts { .. }
            | Self::Unauthenticated { .. }
            | Self::PermissionDenied { .. }
            | Self::ResourceExhausted { .. } => pb::ErrorCategory::ClientError,
            Self::TxTimedOut { .. } | Self::ChainNotReachable { .. } => {
                pb::ErrorCategory::ProtocolError
            }
            Self::Stopped | Self::Internal { .. } => pb::ErrorCategory::InternalError,
        }
    }

    /// perun-node's code for it.
    pub fn code(&self) -> pb::ErrorCode {
        match self {
            Self::PeerRequestTimedOut { .. } => pb::ErrorCode::ErrPeerRequestTimedOut,
            Self::PeerRejected { .. } => pb::ErrorCode::ErrPeerRejected,
            Self::PeerNotFunded { .. } => pb::ErrorCode::ErrPeerNotFunded,
            Self::UserResponseTimedOut { .. } => pb::ErrorCode::ErrUserResponseTimedOut,
            Self::NotFound { .. } => pb::ErrorCode::ErrResourceNotFound,
            Self::Exists { .. } => pb::ErrorCode::ErrResourceExists,
            Self::InvalidArgument { .. } => pb::ErrorCode::ErrInvalidArgument,
            Self::UnclosedChannels { .. }
            | Self::FailedPrecondition { .. }
            | Self::Unauthenticated { .. }
            | Self::PermissionDenied { .. }
            | Self::ResourceExhausted { .. } => pb::ErrorCode::ErrFailedPreCondition,
            Self::InvalidConfig { .. } => pb::ErrorCode::ErrInvalidConfig,
            Self::InvalidContracts { .. } => pb::ErrorCode::ErrInvalidContracts,
            Self::TxTimedOut { .. } => pb::ErrorCode::ErrTxTimedOut,
            Self::ChainNotReachable { .. } => pb::ErrorCode::ErrChainNotReachable,
            Self::Stopped | Self::Internal { .. } => pb::ErrorCode::ErrUnknownInternal,
        }
    }

    fn grpc_code(&self) -> Code {
        match self {
            Self::PeerRequestTimedOut { .. }
            | Self::UserResponseTimedOut { .. }
            | Self::TxTimedOut { .. } => Code::DeadlineExceeded,
            Self::PeerRejected { .. } | Self::PeerNotFunded { .. } => Code::Aborted,
            Self::NotFound { .. } => Code::NotFound,
            Self::Exists { .. } => Code::AlreadyExists,
            Self::InvalidArgument { .. } => Code::InvalidArgument,
            Self::UnclosedChannels { .. }
            | Self::FailedPrecondition { .. }
            | Self::InvalidConfig { .. }
            | Self::InvalidContracts { .. } => Code::FailedPrecondition,
            Self::ChainNotReachable { .. } | Self::Stopped => Code::Unavailable,
            Self::Unauthenticated { .. } => Code::Unauthenticated,
            Self::PermissionDenied { .. } => Code::PermissionDenied,
            Self::ResourceExhausted { .. } => Code::ResourceExhausted,
            Self::Internal { .. } => Code::Internal,
        }
    }

    fn additional(&self) -> Option<AddInfo> {
        Some(match self.clone() {
            Self::PeerRequestTimedOut { alias, timeout } => {
                AddInfo::ErrInfoPeerRequestTimedOut(pb::ErrInfoPeerRequestTimedOut {
                    peer_alias: alias,
                    timeout: seconds(timeout),
                })
            }
            Self::PeerRejected { alias, reason } => {
                AddInfo::ErrInfoPeerRejected(pb::ErrInfoPeerRejected {
                    peer_alias: alias,
                    reason,
                })
            }
            Self::PeerNotFunded { alias } => {
                AddInfo::ErrInfoPeerNotFunded(pb::ErrInfoPeerNotFunded { peer_alias: alias })
            }
            Self::UserResponseTimedOut {
                expiry_s,
                received_at_s,
            } => AddInfo::ErrInfoUserResponseTimedOut(pb::ErrInfoUserResponseTimedOut {
                expiry: expiry_s,
                received_at: received_at_s,
            }),
            Self::NotFound { resource, id } => {
                let r#type = resource.to_string();
                AddInfo::ErrInfoResourceNotFound(pb::ErrInfoResourceNotFound { r#type, id })
            }
            Self::Exists { resource, id } => {
                let r#type = resource.to_string();
                AddInfo::ErrInfoResourceExists(pb::ErrInfoResourceExists { r#type, id })
            }
            Self::InvalidArgument {
                name,
                value,
                requirement,
            } => AddInfo::ErrInfoInvalidArgument(pb::ErrInfoInvalidArgument {
                name: name.into(),
                value,
                requirement,
            }),
            Self::UnclosedChannels { channels } => {
                AddInfo::ErrInfoFailedPreCondUnclosedChs(pb::ErrInfoFailedPreCondUnclosedChs {
                    chs: channels,
                })
            }
            Self::InvalidConfig { name, value, .. } => {
                AddInfo::ErrInfoInvalidConfig(pb::ErrInfoInvalidConfig { name, value })
            }
            Self::InvalidContracts { contracts } => {
                let infos = contracts.into_iter().map(|contract| pb::ContractErrInfo {
                    name: contract.name.into(),
                    address: contract.address,
                    error: contract.error,
                });
                AddInfo::ErrInfoInvalidContracts(pb::ErrInfoInvalidContracts {
                    contract_err_infos: infos.collect(),
                })
            }
            Self::TxTimedOut { kind, id, timeout } => {
                AddInfo::ErrInfoTxTimedOut(pb::ErrInfoTxTimedOut {
                    tx_type: kind.into(),
                    tx_id: id,
                    tx_timeout: seconds(timeout),
                })
            }
            Self::ChainNotReachable { url, .. } => {
                AddInfo::ErrInfoChainNotReachable(pb::ErrInfoChainNotReachable { chain_url: url })
            }
            Self::FailedPrecondition { .. }
            | Self::Stopped
            | Self::Unauthenticated { .. }
            | Self::PermissionDenied { .. }
            | Self::ResourceExhausted { .. }
            | Self::Internal { .. } => return None,
        })
    }

    /// As perun-node's API tells it.
    pub fn to_message(&self) -> pb::MsgError {
        pb::MsgError {
            category: self.category().into(),
            code: self.code().into(),
            message: self.to_string(),
            add_info: self.additional(),
        }
    }

    /// As our own API tells it: a status whose metadata has [`Error::to_message`].
    pub fn to_status(&self) -> Status {
        let mut metadata = MetadataMap::new();
        let mut message = self.to_message();
        // A header has its limits, and some servers and clients lower ones.
        if message.encoded_len() > MAX_METADATA {
            message.add_info = None;
        }
        if message.encoded_len() <= MAX_METADATA {
            let message = MetadataValue::from_bytes(&message.encode_to_vec());
            metadata.insert_bin(ERROR_METADATA, message);
        }
        Status::with_metadata(self.grpc_code(), self.to_string(), metadata)
    }
}

/// What a status of our own API says in perun-node's terms, if it comes from a node.
pub fn message_of(status: &Status) -> Option<pb::MsgError> {
    let bytes = status.metadata().get_bin(ERROR_METADATA)?.to_bytes().ok()?;
    pb::MsgError::decode(bytes).ok()
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.to_status()
    }
}
