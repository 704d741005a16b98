//! Calls that move money: once for a key, and within the caller's limits.

use std::future::Future;

use perun_protocol::{Amount, AssetId};
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Status};

use crate::Error;
use crate::access::{Caller, Spending, caller_of};
use crate::idempotency::{Begin, Ticket};
use crate::session::{Failure, Session, ledger_of};
use crate::tokens::Scope;

/// The metadata that names a call.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// How long a key can be.
const KEY_LENGTH: usize = 128;

/// A call that can move money, as it was made.
pub(super) struct Call<R> {
    pub(super) caller: Caller,
    pub(super) key: Option<Key>,
    pub(super) request: R,
}

impl<R> Call<R> {
    /// The call that a request is.
    pub(super) fn of(request: Request<R>) -> Result<Self, Status> {
        Ok(Self {
            caller: caller_of(&request)?,
            key: Key::of(&request)?,
            request: request.into_inner(),
        })
    }
}

/// What the caller calls its call, so that it has no second effect when it is made again.
pub(super) struct Key(String);

/// What came of a call.
pub(super) struct Once<T> {
    pub(super) value: T,
    /// By an earlier call with the same key.
    pub(super) was_made_before: bool,
}

impl Key {
    /// The key in a request's metadata, if there is one.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Option<Self>, Status> {
        let Some(value) = request.metadata().get(IDEMPOTENCY_KEY) else {
            return Ok(None);
        };
        let text = value.to_str().unwrap_or_default();
        if (1..=KEY_LENGTH).contains(&text.len()) {
            return Ok(Some(Self(text.to_owned())));
        }
        let requirement = format!("1 to {KEY_LENGTH} printable ASCII characters are expected");
        Err(Error::invalid(IDEMPOTENCY_KEY, text, requirement).to_status())
    }

    /// A key that the call brings with it.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// 32 bytes that mark what a call has done, so that it can be found after a crash.
    pub(super) fn mark(&self, method: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"perun-node call\0");
        hash.update(method);
        hash.update([0]);
        hash.update(&self.0);
        hash.finalize().into()
    }
}

/// Makes a call once for its key; without a key, each time.
///
/// `request` must not have what differs when the same call is made again, such as the session's id.
/// `found` looks for what an interrupted call may have done.
pub(super) async fn once<T: Message + Default, R: Message>(
    session: &Session,
    key: Option<&Key>,
    request: &R,
    found: impl Future<Output = Result<Option<T>, Error>>,
    act: impl Future<Output = Result<T, Failure>>,
) -> Result<Once<T>, Error> {
    let Some(key) = key else {
        return Ok(Once {
            value: act.await?,
            was_made_before: false,
        });
    };
    let mut hash = Sha256::new();
    hash.update(std::any::type_name::<R>());
    hash.update(request.encode_to_vec());
    let ticket = match session
        .calls()
        .begin(&key.0, hash.finalize().into())
        .await?
    {
        Begin::Done(bytes) => {
            return Ok(Once {
                value: T::decode(&*bytes).map_err(Error::internal)?,
                was_made_before: true,
            });
        }
        Begin::First(ticket) => ticket,
        Begin::Interrupted(ticket) => {
            if let Some(value) = found.await? {
                record(ticket, &value);
                return Ok(Once {
                    value,
                    was_made_before: true,
                });
            }
            ticket
        }
    };
    match act.await {
        Ok(value) => {
            record(ticket, &value);
            Ok(Once {
                value,
                was_made_before: false,
            })
        }
        Err(failure) => {
            if let Failure::NoEffect(_) = &failure {
                ticket.failed();
            }
            Err(failure.into())
        }
    }
}

/// Remembers what came of a call. If that fails the call counts as interrupted: then what it did is looked
/// for when it is made again.
fn record<T: Message>(ticket: Ticket, value: &T) {
    if let Err(error) = ticket.done(&value.encode_to_vec()) {
        tracing::warn!("the answer to a call is not remembered: {error}");
    }
}

/// Runs a call to its end, even if whoever made it goes away: what was begun is recorded as what it
/// came to, and not as interrupted.
pub(super) async fn to_the_end<T: Send + 'static>(
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let ended = tokio::spawn(call).await;
    ended.unwrap_or_else(|error| Err(Error::internal(error)))
}

/// What a call costs, counted as spent.
pub(super) struct Reserved(Option<Spending>);

/// Counts what a call will cost, within the caller's limits.
pub(super) fn reserve(caller: &Caller, cost: &[(AssetId, Amount)]) -> Result<Reserved, Error> {
    let cost = cost.iter().filter(|(_, amount)| amount.units() > 0);
    let cost: Vec<_> = cost
        .map(|(asset, amount)| (ledger_of(asset), *amount))
        .collect();
    if cost.is_empty() {
        return Ok(Reserved(None));
    }
    caller.require(Scope::Spend)?;
    Ok(Reserved(Some(caller.spend(&cost)?)))
}

impl Reserved {
    /// The call has ended: what certainly did not move can be spent again.
    pub(super) fn settle<T>(self, ended: Result<T, Failure>) -> Result<T, Failure> {
        if let (Some(spending), Err(Failure::NoEffect(_))) = (self.0, &ended) {
            spending.refund();
        }
        ended
    }
}

/// Makes a call that costs something, within the caller's limits.
pub(super) async fn spending<T>(
    caller: &Caller,
    cost: &[(AssetId, Amount)],
    act: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let reserved = reserve(caller, cost).map_err(Failure::NoEffect)?;
    reserved.settle(act.await)
}
