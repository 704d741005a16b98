//! What goes wrong, in perun-node's categories and codes.

use std::fmt;
use std::time::Duration;

use prost::Message as _;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::api::pb;
use crate::api::pb::msg_error::AddInfo;

/// The metadata in which a status carries the [`pb::MsgError`].
pub const ERROR_METADATA: &str = "perun-error-bin";

/// A call failed: whose fault it is, what was wrong, and what to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The peer has not answered in time.
    PeerRequestTimedOut {
        /// The peer.
        alias: String,
        /// For how long it was waited.
        timeout: Duration,
    },
    /// The peer said no.
    PeerRejected {
        /// The peer.
        alias: String,
        /// What it said.
        reason: String,
    },
    /// The peer has not deposited in time.
    PeerNotFunded {
        /// The peer.
        alias: String,
    },
    /// The user has not answered in time. Instants are seconds since 1970.
    UserResponseTimedOut {
        /// Until when there was time.
        expiry_s: i64,
        /// When the answer came.
        received_at_s: i64,
    },
    /// There is no such thing.
    NotFound {
        /// Of which kind.
        resource: Resource,
        /// What was asked for.
        id: String,
    },
    /// There is one already.
    Exists {
        /// Of which kind.
        resource: Resource,
        /// Its name.
        id: String,
    },
    /// An argument is wrong.
    InvalidArgument {
        /// Which one.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it has to be.
        requirement: String,
    },
    /// A session has channels that are not closed.
    UnclosedChannels {
        /// They.
        channels: Vec<pb::PayChInfo>,
    },
    /// Something has to be done before, or is not allowed as things are.
    FailedPrecondition {
        /// What, in words.
        message: String,
    },
    /// The session or the node was stopped before it was known what became of the call.
    Stopped,
    /// A configuration is wrong.
    InvalidConfig {
        /// Which value.
        name: String,
        /// What it was; never a secret.
        value: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The adjudicator or a ledger is not what was expected.
    InvalidContracts {
        /// Which ones.
        contracts: Vec<ContractError>,
    },
    /// A call to the adjudicator or a ledger has not ended in time. It goes on by itself.
    TxTimedOut {
        /// "fund", "conclude" or "withdraw".
        kind: &'static str,
        /// The channel.
        id: String,
        /// For how long it was waited.
        timeout: Duration,
    },
    /// The replica, the adjudicator or a ledger does not answer.
    ChainNotReachable {
        /// Its URL.
        url: String,
        /// What was met.
        cause: String,
    },
    /// The caller has shown no valid token. A gRPC status only: perun-node has no such code.
    Unauthenticated {
        /// What is wrong with it.
        message: String,
    },
    /// The caller's token does not allow it.
    PermissionDenied {
        /// What it lacks.
        message: String,
    },
    /// The caller asks too much at once.
    ResourceExhausted {
        /// Of what.
        message: String,
    },
    /// Unexpected.
    Internal {
        /// What.
        message: String,
    },
}

/// Kinds of things that are looked up by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Resource {
    /// A session that is open, or a user that could open one.
    Session,
    /// A channel.
    Channel,
    /// A proposal.
    Proposal,
    /// An update.
    Update,
    /// A subscription to proposals.
    ProposalsSub,
    /// A subscription to updates.
    UpdatesSub,
    /// A contact.
    PeerId,
    /// A ledger.
    Currency,
    /// An access token.
    Token,
}

/// What is wrong with a canister.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ContractError {
    /// "adjudicator" or "ledger".
    pub name: &'static str,
    /// Its canister id.
    pub address: String,
    /// What is wrong.
    pub error: String,
}

impl Error {
    /// A wrong argument.
    pub fn invalid(
        name: &'static str,
        value: impl Into<String>,
        requirement: impl Into<String>,
    ) -> Self {
        Self::InvalidArgument {
            name,
            value: value.into(),
            requirement: requirement.into(),
        }
    }

    /// Something that is not there.
    pub fn not_found(resource: Resource, id: impl Into<String>) -> Self {
        Self::NotFound {
            resource,
            id: id.into(),
        }
    }

    /// Something that is there already.
    pub fn exists(resource: Resource, id: impl Into<String>) -> Self {
        Self::Exists {
            resource,
            id: id.into(),
        }
    }

    /// Something unexpected.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::Internal {
            message: message.to_string(),
        }
    }

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
        let message = self.to_message().encode_to_vec();
        // A header has its limits, and some servers and clients lower ones.
        if message.len() <= 4096 {
            metadata.insert_bin(ERROR_METADATA, MetadataValue::from_bytes(&message));
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

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::Channel => "channel",
            Self::Proposal => "proposal",
            Self::Update => "update",
            Self::ProposalsSub => "proposalsSub",
            Self::UpdatesSub => "updatesSub",
            Self::PeerId => "peerID",
            Self::Currency => "currency",
            Self::Token => "token",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerRequestTimedOut { alias, timeout } => {
                let timeout = seconds(*timeout);
                write!(f, "{alias} has not answered within {timeout}; try again")
            }
            Self::PeerRejected { alias, reason } => write!(f, "{alias} said no: {reason}"),
            Self::PeerNotFunded { alias } => {
                write!(
                    f,
                    "{alias} has not deposited in time; what is there goes back"
                )
            }
            Self::UserResponseTimedOut {
                expiry_s,
                received_at_s,
            } => write!(
                f,
                "the answer came at {received_at_s}, and there was time until {expiry_s}"
            ),
            Self::NotFound { resource, id } => write!(f, "there is no {resource} {id:?}"),
            Self::Exists { resource, id } => write!(f, "there is a {resource} {id:?} already"),
            Self::InvalidArgument {
                name,
                value,
                requirement,
            } => write!(f, "{name} is {value:?}: {requirement}"),
            Self::UnclosedChannels { channels } => write!(
                f,
                "{} channels are not closed; close them first, or close the session with force",
                channels.len()
            ),
            Self::InvalidConfig {
                name,
                value,
                reason,
            } => write!(f, "configuration: {name} is {value:?}: {reason}"),
            Self::InvalidContracts { contracts } => {
                for (i, contract) in contracts.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "; " };
                    let ContractError {
                        name,
                        address,
                        error,
                    } = contract;
                    write!(f, "{separator}{name} {address}: {error}")?;
                }
                Ok(())
            }
            Self::TxTimedOut { kind, id, timeout } => {
                let timeout = seconds(*timeout);
                write!(
                    f,
                    "{kind} of {id} has not ended within {timeout}; it goes on by itself"
                )
            }
            Self::ChainNotReachable { url, cause } => write!(f, "{url} is not reached: {cause}"),
            Self::Stopped => f.write_str(
                "the session was closed before it was known what became of the call; it shows when it is \
                 open again",
            ),
            Self::FailedPrecondition { message }
            | Self::Unauthenticated { message }
            | Self::PermissionDenied { message }
            | Self::ResourceExhausted { message }
            | Self::Internal { message } => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}
