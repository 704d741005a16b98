//! Deposits, disputes and payouts for a channel of somebody else's client.

use std::future::Future;
use std::time::Duration;

use perun_client::Door;
use perun_client::chain::{Chain, Moot, PerformError, Performed};
use perun_protocol::dispute::Rank;
use perun_protocol::signature::{Libsecp256k1, Signer as _};
use perun_protocol::view::Status;
use perun_protocol::{
    Balances, Params, PartIdx, Participant, SignedState, SignedWithdrawalAuth, WithdrawalAuth,
};
use tokio::time::{sleep, timeout};

use super::super::{pb, values};
use super::part;
use crate::Error;
use crate::node::Node;
use crate::session::Session;

/// How often it is looked whether what is waited for is so.
const PAUSE: Duration = Duration::from_secs(2);

/// What `Register` and `Withdraw` are about.
pub(super) struct Order {
    pub(super) params: Params,
    part: PartIdx,
    signed: SignedState,
}

impl Order {
    pub(super) fn read(node: &Node, told: Option<&pb::AdjudicatorReq>) -> Result<Self, Error> {
        let missing = |name| Error::invalid(name, "", "it is missing");
        let told = told.ok_or_else(|| missing("adjReq"))?;
        let transaction = told.tx.as_ref().ok_or_else(|| missing("adjReq.tx"))?;
        let state = transaction.state.as_ref();
        let state = state.ok_or_else(|| missing("adjReq.tx.state"))?;
        let params = told
            .params
            .as_ref()
            .ok_or_else(|| missing("adjReq.params"))?;
        let params = values::params(params, Some(state), node.adjudicator_id()?)?;
        let signed = values::signed_state(state, &transaction.sigs, &params)?;
        Ok(Self {
            part: part(told.idx, params.participants().len())?,
            signed,
            params,
        })
    }
}

/// Deposits what is missing of a participant's share, and waits until everybody's is there.
pub(super) async fn fund(
    node: &Node,
    session: &Session,
    params: &Params,
    part: PartIdx,
    funding: &Balances,
) -> Result<(), Error> {
    let chain = session.client().chain();
    let waiting = async {
        let performed = chain.fund(params, part, funding, Door::Approval).await;
        match performed.map_err(|error| failure(node, error))? {
            Performed::Moot(_) => {
                return Err(moot("something is registered, so deposits are over"));
            }
            Performed::Done | Performed::Kept(_) => {}
        }
        loop {
            match look(node, chain, params).await? {
                Status::Open { holdings } if covers(&holdings, funding) => return Ok(()),
                Status::Open { .. } => sleep(PAUSE.min(node.settings().poll_interval)).await,
                Status::Registered { .. } | Status::Concluded { .. } => {
                    return Err(moot("something is registered, so deposits are over"));
                }
            }
        }
    };
    within(node, "fund", params, waiting).await
}

/// Registers a state, or refutes by it.
pub(super) async fn register(node: &Node, session: &Session, order: &Order) -> Result<(), Error> {
    let chain = session.client().chain();
    let registering = async {
        let performed = chain.dispute(&order.params, &order.signed).await;
        match performed.map_err(|error| failure(node, error))? {
            Performed::Done | Performed::Kept(_) => Ok(()),
            // As it was to be, by an earlier call or somebody else's.
            Performed::Moot(Moot::Newer(rank)) if rank == Rank::State(order.signed.version()) => {
                Ok(())
            }
            Performed::Moot(Moot::Newer(_)) => Err(moot("something newer is registered")),
            Performed::Moot(_) => Err(moot("the time to refute is over")),
        }
    };
    within(node, "register", &order.params, registering).await
}

/// Has the channel concluded, as soon as that can be, and the session's share paid to its account.
pub(super) async fn withdraw(node: &Node, session: &Session, order: &Order) -> Result<(), Error> {
    let auths = authorise(session, order)?;
    let chain = session.client().chain();
    let withdrawing = async {
        loop {
            let performed = match look(node, chain, &order.params).await? {
                Status::Open { .. } if order.signed.state().is_final() => {
                    chain.conclude_final(&order.params, &order.signed).await
                }
                Status::Open { .. } => {
                    return Err(moot("nothing is registered, and the state is not final"));
                }
                Status::Registered { timeout, .. } => {
                    let now = chain.clock().now();
                    let left =
                        now.map_or(PAUSE, |now| Duration::from_nanos(timeout.nanos_since(now)));
                    if !left.is_zero() {
                        sleep(left.min(PAUSE)).await;
                        continue;
                    }
                    chain.conclude(&order.params).await
                }
                Status::Concluded { .. } => {
                    let withdrawn = chain.withdraw(&auths).await;
                    return withdrawn.map(drop).map_err(|error| failure(node, error));
                }
            };
            performed.map_err(|error| failure(node, error))?;
        }
    };
    let window = Duration::from_secs(order.params.challenge_duration().secs().into());
    let limit = window + node.settings().on_chain_tx_timeout;
    within_limit(limit, "withdraw", &order.params, withdrawing).await
}

/// Authorisations of payouts to the session's account, signed by its key: it must be the
/// participant's.
fn authorise(session: &Session, order: &Order) -> Result<Vec<SignedWithdrawalAuth>, Error> {
    let key = &session.keys().off_chain;
    let is_ours =
        order.params.participant(order.part) == Some(&Participant::Secp256k1(key.public_key()));
    let not_ours = || {
        let requirement = "the participant whose key the session has is expected: nobody else's share \
                           can be paid out";
        Error::invalid("idx", order.part.number().to_string(), requirement)
    };
    if !is_ours {
        return Err(not_ours());
    }
    let authorise = |asset: &perun_protocol::AssetId| {
        let auth = WithdrawalAuth {
            channel: order.params.id(),
            asset: *asset,
            part: order.part,
            receiver: session.account(),
        };
        let signature = auth.sign(&**key);
        auth.verify_with::<Libsecp256k1>(&order.params, signature)
            .ok_or_else(not_ours)
    };
    order.params.assets().iter().map(authorise).collect()
}

fn covers(holdings: &Balances, funding: &Balances) -> bool {
    let mut rows = holdings.rows().zip(funding.rows());
    rows.all(|(held, agreed)| held.iter().zip(agreed).all(|(held, agreed)| held >= agreed))
}

async fn look(node: &Node, chain: &Chain, params: &Params) -> Result<Status, Error> {
    let looked = chain.look(params).await;
    looked
        .map(|view| view.status)
        .map_err(|error| unreachable(node, &error))
}

async fn within(
    node: &Node,
    kind: &'static str,
    params: &Params,
    act: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    within_limit(node.settings().on_chain_tx_timeout, kind, params, act).await
}

async fn within_limit(
    limit: Duration,
    kind: &'static str,
    params: &Params,
    act: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let acted = timeout(limit, act).await;
    acted.unwrap_or_else(|_| {
        Err(Error::TxTimedOut {
            kind,
            id: params.id().to_string(),
            timeout: limit,
        })
    })
}

fn moot(message: &str) -> Error {
    let message = message.to_owned();
    Error::FailedPrecondition { message }
}

/// What a call met. It may have taken effect nevertheless, so no error is told that says it has not.
fn failure(node: &Node, error: PerformError) -> Error {
    match error {
        PerformError::WrongShape | PerformError::UnknownPart { .. } => {
            Error::invalid("agreement", "", error.to_string())
        }
        error => unreachable(node, &error),
    }
}

fn unreachable(node: &Node, error: &dyn std::fmt::Display) -> Error {
    Error::ChainNotReachable {
        url: node.settings().chain_url.clone(),
        cause: error.to_string(),
    }
}
