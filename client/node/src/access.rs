//! Who calls, and what for.
//!
//! ```text
//!  request ──> AccessLayer ──────────────────────> api ──caller_of──> Caller ──> require, may_use, spend
//!               │ authorization: Bearer perun_…     ^
//!               │ request id, limits                └ in the request's extensions
//!               └──> status, if there is no good token or too much at once
//! ```
//!
//! Which scope a call needs, the service knows that answers it; here is only who calls.

mod body;
mod layer;
mod strangers;
mod traffic;

use std::sync::Arc;

use candid::Principal;
use perun_protocol::Amount;
use tonic::Status;

pub use self::layer::{Access, AccessLayer};
pub use self::traffic::Limits;
pub(crate) use self::traffic::Traffic;
use crate::Error;
use crate::tokens::{Entry, Scope, Token, Tokens};

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `None` for somebody who needs no token.
    bearer: Option<Bearer>,
}

#[derive(Clone, Debug)]
struct Bearer {
    tokens: Tokens,
    token: Arc<Token>,
}

/// Money that was counted as spent. It stays so, unless it is refunded.
#[derive(Debug)]
#[must_use = "it is refunded if no money moves"]
pub struct Spending {
    counted: Option<(Bearer, Vec<Entry>)>,
}

impl Caller {
    /// Somebody who may do everything: whoever reaches the listener without tokens, and tests.
    pub fn unrestricted() -> Self {
        Self { bearer: None }
    }

    pub(crate) fn bearer(tokens: Tokens, token: Arc<Token>) -> Self {
        let bearer = Some(Bearer { tokens, token });
        Self { bearer }
    }

    /// The token's id; `None` if there is no token.
    pub fn id(&self) -> Option<&str> {
        let bearer = self.bearer.as_ref();
        bearer.map(|bearer| bearer.token.record.id.as_str())
    }

    /// Refuses whoever has less, or whose token has become bad since the call began.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        let Some(bearer) = &self.bearer else {
            return Ok(());
        };
        self.check_is_good()?;
        let record = &bearer.token.record;
        if record.scope < scope {
            return Err(Error::PermissionDenied {
                message: format!(
                    "this needs a token of scope {scope}, and the token {} has {}",
                    record.id, record.scope
                ),
            });
        }
        Ok(())
    }

    /// Refuses whoever may only use another session. Takes its name, not its id.
    pub fn may_use(&self, session: &str) -> Result<(), Error> {
        match &self.bearer {
            Some(Bearer { token, .. }) => match &token.record.session {
                Some(own) if own != session => Err(Error::PermissionDenied {
                    message: format!("the token {} is for another session", token.record.id),
                }),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// The one session that it may use; `None` if it may use all.
    pub fn session(&self) -> Option<&str> {
        self.bearer.as_ref()?.token.record.session.as_deref()
    }

    /// Counts these amounts as spent, durably, or refuses if they are more than is left. An
    /// administrator has no limits.
    ///
    /// Now and then it waits for the disk, some milliseconds.
    pub fn spend(&self, amounts: &[(Principal, Amount)]) -> Result<Spending, Error> {
        self.require(Scope::Spend)?;
        let counted = match &self.bearer {
            Some(bearer) if bearer.token.record.scope < Scope::Admin => {
                let entries = bearer.tokens.spend(&bearer.token, amounts)?;
                Some((bearer.clone(), entries))
            }
            _ => None,
        };
        Ok(Spending { counted })
    }

    /// Refuses if the token was revoked or has expired.
    pub fn check_is_good(&self) -> Result<(), Error> {
        match &self.bearer {
            Some(Bearer { tokens, token }) => token.check_is_good(tokens.now_s()),
            None => Ok(()),
        }
    }

    fn traffic(&self) -> Option<&Traffic> {
        self.bearer.as_ref().map(|bearer| &bearer.token.traffic)
    }

    /// Ends when the token is revoked, if it has one.
    async fn revoked(self) {
        match &self.bearer {
            Some(bearer) => bearer.token.revoked().await,
            None => std::future::pending().await,
        }
    }
}

impl Spending {
    /// The money has certainly not moved, and never will.
    pub fn refund(self) {
        if let Some((Bearer { tokens, token }, entries)) = self.counted {
            tokens.refund(&token, &entries);
        }
    }
}

/// Who makes this call, as the layer has found out.
pub fn caller_of<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>();
    caller.cloned().ok_or_else(|| {
        // A server without the layer serves nobody.
        let message = "nobody has found out who calls".into();
        Error::Unauthenticated { message }.into()
    })
}

#[cfg(test)]
mod tests;
