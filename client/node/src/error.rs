//! What goes wrong, in perun-node's categories and codes.

mod told;

use std::fmt;
use std::time::Duration;

pub use self::told::{ERROR_METADATA, message_of};

use crate::api::pb;

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
