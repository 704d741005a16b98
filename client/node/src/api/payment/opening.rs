//! `OpenPayCh` and `RespondPayChProposal`.

use std::sync::Arc;

use crate::Error;
use crate::api::money::{Call, once, reserve, spending};
use crate::api::pb;
use crate::node::Node;
use crate::session::{Failure, OpeningOrder, Session};
use crate::tokens::Scope;

pub(super) async fn open(
    node: Arc<Node>,
    call: Call<pb::OpenPayChReq>,
) -> Result<pb::PayChInfo, Error> {
    let Call {
        caller,
        key,
        mut request,
    } = call;
    let id = std::mem::take(&mut request.session_id);
    let session = node.session_for(&caller, Scope::Spend, &id)?;
    let mark = key.as_ref().map(|key| key.mark("OpenPayCh"));
    let found = async {
        match &mark {
            Some(mark) => session.opened_with(mark).await,
            None => Ok(None),
        }
    };
    let opening = async {
        let order = order(&session, &request, mark).map_err(Failure::NoEffect)?;
        let cost = order.cost();
        spending(&caller, &cost, session.open_channel(order)).await
    };
    let opened = once(&session, key.as_ref(), &request, found, opening).await?;
    Ok(opened.value)
}

fn order(
    session: &Session,
    request: &pb::OpenPayChReq,
    mark: Option<[u8; 32]>,
) -> Result<OpeningOrder, Error> {
    let balances = request.opening_bal_info.as_ref();
    let balances = balances
        .ok_or_else(|| Error::invalid("openingBalInfo", "", "opening balances are expected"))?;
    let order = session.opening_order(balances, request.challenge_dur_secs)?;
    Ok(match mark {
        Some(mark) => order.with_mark(mark),
        None => order,
    })
}

/// Answers a proposal; the channel, if it is accepted.
pub(super) async fn respond(
    node: Arc<Node>,
    call: Call<pb::RespondPayChProposalReq>,
) -> Result<Option<pb::PayChInfo>, Error> {
    let Call {
        caller,
        key,
        mut request,
    } = call;
    let session_id = std::mem::take(&mut request.session_id);
    let session = node.session_for(&caller, Scope::Receive, &session_id)?;
    let id = &request.proposal_id;
    if !request.accept {
        session.reject_proposal(id)?;
        return Ok(None);
    }
    let accepting = async {
        let taken = session.take_proposal(id).map_err(Failure::NoEffect)?;
        let reserved = match reserve(&caller, &taken.cost()) {
            Ok(reserved) => reserved,
            Err(error) => {
                session.put_back(taken);
                return Err(Failure::NoEffect(error));
            }
        };
        reserved.settle(session.accept_proposal(taken).await)
    };
    let found = async { session.find_accepted(id) };
    let accepted = once(&session, key.as_ref(), &request, found, accepting).await?;
    Ok(Some(accepted.value))
}
