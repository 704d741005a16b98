//! Repeating a call until it is answered: always the same bytes, as long as patience lasts.
//!
//! ```text
//! send --answered--> accepted, or refused for good
//!  ^ |
//!  | +--busy, no answer, outcome unknown--+
//!  +------------- pause -----------------+     patience is over: the last error
//! ```
//!
//! Invariant: once an attempt may have taken effect, nothing that follows makes the call look as if
//! it surely had not.

use std::convert::Infallible;

use candid::CandidType;
use serde::Deserialize;

use crate::call_error::Words;
use crate::canister::{Canister, Request, decode};
use crate::transport::Meaning;
use crate::{Advice, CallError, Patience, Refusal, WrongAnswer};

/// What became of a call that was answered.
pub(crate) enum Outcome<T, R> {
    /// The answer to the last attempt.
    Accepted(T),
    /// It was refused, and the same call would be refused again.
    Refused {
        /// The refusal of the last attempt.
        refusal: R,
        /// An earlier attempt may have taken effect.
        in_doubt: bool,
    },
}

impl<T, R> Outcome<T, R> {
    /// For calls that know no better way to find out what became of an earlier attempt.
    pub(crate) fn into_result(self) -> Result<T, CallError<R>> {
        match self {
            Self::Accepted(answer) => Ok(answer),
            Self::Refused {
                refusal,
                in_doubt: false,
            } => Err(CallError::Refused(refusal)),
            Self::Refused { refusal, .. } => Err(CallError::Unresolved(refusal)),
        }
    }
}

/// Calls a method that answers `variant { Ok; Err }`.
pub(crate) async fn call<T, R>(
    canister: &Canister,
    request: &Request,
    patience: &Patience,
) -> Result<Outcome<T, R>, CallError<R>>
where
    T: CandidType + for<'a> Deserialize<'a>,
    R: CandidType + for<'a> Deserialize<'a> + Refusal,
{
    repeat(canister, request, patience, decode::<Result<T, R>>).await
}

/// Asks a method that answers with the value itself.
pub(crate) async fn ask<T>(
    canister: &Canister,
    request: &Request,
    patience: &Patience,
) -> Result<T, CallError<Infallible>>
where
    T: CandidType + for<'a> Deserialize<'a>,
{
    let decode = |bytes: &[u8]| decode::<T>(bytes).map(Ok);
    repeat(canister, request, patience, decode)
        .await?
        .into_result()
}

async fn repeat<T, R: Refusal>(
    canister: &Canister,
    request: &Request,
    patience: &Patience,
    decode: impl Fn(&[u8]) -> Result<Result<T, R>, WrongAnswer>,
) -> Result<Outcome<T, R>, CallError<R>> {
    let method = request.method;
    let mut pauses = patience.start();
    let mut in_doubt = false;
    loop {
        let attempt = pauses.attempts();
        match canister.send(request).await {
            Ok(bytes) => match decode(&bytes) {
                Ok(Ok(answer)) => return Ok(Outcome::Accepted(answer)),
                Ok(Err(refusal)) => {
                    let advice = refusal.advice();
                    if advice == Advice::GiveUp {
                        return Ok(Outcome::Refused { refusal, in_doubt });
                    }
                    in_doubt |= advice == Advice::AskAgain;
                    tracing::debug!(method, attempt, "refused for now: {}", Words(&refusal));
                    if !pauses.pause().await {
                        return Err(if in_doubt {
                            CallError::Unresolved(refusal)
                        } else {
                            CallError::Refused(refusal)
                        });
                    }
                }
                Err(wrong) => return Err(CallError::nonsense(canister.id, method, wrong)),
            },
            Err(error) => {
                let meaning = Meaning::of(&error);
                in_doubt |= meaning.may_have_run;
                tracing::debug!(method, attempt, in_doubt, "no answer: {error}");
                if !meaning.is_passing || !pauses.pause().await {
                    return Err(CallError::Transport {
                        error: Box::new(error),
                        attempts: attempt,
                        in_doubt,
                    });
                }
            }
        }
    }
}
