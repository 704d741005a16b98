//! Why a command has failed, and the exit code that says so to scripts. The codes are a promise.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::api::pb;
use crate::error::message_of;

/// Why a command has failed.
#[derive(Debug)]
pub enum Failure {
    /// perun itself: a file, the terminal.
    Own(String),
    /// It was typed wrongly. The text is complete, with the command's help where that is useful.
    Usage(String),
    /// The node has not answered, or is not what was expected there.
    NotReached(String),
    /// The token does not allow it, or there is none.
    NotAllowed(String),
    /// It is above the limit and was not confirmed.
    NotConfirmed(String),
    /// Too much was asked at once.
    TooMuch(String),
    /// The node said no, in perun-node's terms.
    Refused(Box<pb::MsgError>),
    /// Ctrl-C.
    Interrupted,
}

impl Failure {
    /// Something of perun's own, with what was tried.
    pub fn own(tried: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::Own(format!("{tried}: {cause}"))
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Own(_) => 1,
            Self::Usage(_) => 2,
            Self::NotReached(_) => 3,
            Self::NotAllowed(_) => 4,
            Self::NotConfirmed(_) => 5,
            Self::TooMuch(_) => 6,
            Self::Refused(error) => match error.category() {
                pb::ErrorCategory::ParticipantError => 10,
                pb::ErrorCategory::ClientError => 11,
                pb::ErrorCategory::ProtocolError => 12,
                pb::ErrorCategory::InternalError => 13,
            },
            Self::Interrupted => 130,
        }
    }

    /// For the process.
    pub fn exit(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// Whether the call may have had its effect, or may have it yet.
    pub fn is_unknown_outcome(&self) -> bool {
        match self {
            Self::NotReached(_) | Self::Interrupted => true,
            Self::Refused(error) => match error.category() {
                // The request was refused before anything was done; unless another call with its key is
                // under way, or nobody knows yet what became of it.
                pb::ErrorCategory::ClientError => {
                    error.code() == pb::ErrorCode::ErrFailedPreCondition
                }
                // What a peer has rejected is over.
                pb::ErrorCategory::ParticipantError => {
                    error.code() != pb::ErrorCode::ErrPeerRejected
                }
                pb::ErrorCategory::ProtocolError | pb::ErrorCategory::InternalError => true,
            },
            _ => false,
        }
    }

    /// As `--json` has it.
    pub fn to_json(&self) -> Value {
        let mut error = json!({ "exit": self.code(), "message": self.to_string() });
        if let Self::Refused(refused) = self {
            error["category"] = refused.category().as_str_name().into();
            error["code"] = refused.code.into();
            error["name"] = refused.code().as_str_name().into();
        }
        json!({ "error": error })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(text)
            | Self::Usage(text)
            | Self::NotReached(text)
            | Self::NotAllowed(text)
            | Self::NotConfirmed(text)
            | Self::TooMuch(text) => f.write_str(text),
            Self::Refused(error) => f.write_str(&error.message),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<pb::MsgError> for Failure {
    fn from(error: pb::MsgError) -> Self {
        Self::Refused(Box::new(error))
    }
}

/// What a status says of a call to a node that was reached before.
impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let text = status.message();
        match status.code() {
            Code::Unauthenticated => Self::NotAllowed(format!(
                "the node does not know this token ({text}): name one by --token-file or PERUN_TOKEN"
            )),
            Code::PermissionDenied => Self::NotAllowed(format!(
                "the token does not allow it ({text}): `perun token create` makes another"
            )),
            Code::Unimplemented => Self::Usage(
                "the node does not serve this call: --plaintext reaches perun-node's own calls only, \
                 and an older node does not know all of ours"
                    .into(),
            ),
            Code::ResourceExhausted if message_of(&status).is_some() => {
                Self::TooMuch(text.to_owned())
            }
            _ => match message_of(&status) {
                Some(error) => error.into(),
                None => Self::NotReached(format!("the node has not answered: {}", told(&status))),
            },
        }
    }
}

/// The message, and the cause below it where that says more.
fn told(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn every_fault_has_its_exit_code() {
        let code = |error: Error| Failure::from(error.to_status()).code();
        let rejected = Error::PeerRejected {
            alias: "bob".into(),
            reason: "no".into(),
        };
        assert_eq!(code(rejected), 10);
        assert_eq!(code(Error::invalid("amount", "x", "a number")), 11);
        let unreached = Error::ChainNotReachable {
            url: "http://localhost".into(),
            cause: "refused".into(),
        };
        assert_eq!(code(unreached), 12);
        assert_eq!(code(Error::internal("oh")), 13);
        let message = || "no".to_owned();
        assert_eq!(code(Error::Unauthenticated { message: message() }), 4);
        assert_eq!(code(Error::PermissionDenied { message: message() }), 4);
        assert_eq!(code(Error::ResourceExhausted { message: message() }), 6);
        assert_eq!(Failure::from(Status::unavailable("gone")).code(), 3);
        assert_eq!(Failure::from(Status::unimplemented("what")).code(), 2);
    }

    #[test]
    fn scripts_learn_the_name_of_a_fault() {
        let failure = Failure::from(Error::invalid("amount", "x", "a number").to_message());
        let json = failure.to_json();
        assert_eq!(json["error"]["exit"], 11);
        assert_eq!(json["error"]["code"], 203);
        assert_eq!(json["error"]["name"], "ErrInvalidArgument");
    }
}
