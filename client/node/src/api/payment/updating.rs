//! `SendPayChUpdate` and `RespondPayChUpdate`.

use std::sync::Arc;

use crate::Error;
use crate::api::money::{Call, once, reserve, spending};
use crate::api::pb;
use crate::node::Node;
use crate::session::Failure;
use crate::tokens::Scope;

pub(super) async fn send(
    node: Arc<Node>,
    call: Call<pb::SendPayChUpdateReq>,
) -> Result<pb::PayChInfo, Error> {
    let Call {
        caller,
        key,
        mut request,
    } = call;
    let id = std::mem::take(&mut request.session_id);
    let session = node.session_for(&caller, Scope::Receive, &id)?;
    let mark = key.as_ref().map(|key| key.mark("SendPayChUpdate"));
    let found = async {
        let Some(mark) = &mark else {
            return Ok(None);
        };
        let channels: Vec<_> = session.channel(&request.ch_id).into_iter().collect();
        session.find_paid(&channels, mark).await
    };
    let paying = async {
        let order = session.payment_order(&request.ch_id, &request.payments);
        let order = order.map_err(Failure::NoEffect)?;
        let cost = order.cost();
        spending(&caller, &cost, session.pay(order, mark)).await
    };
    let paid = once(&session, key.as_ref(), &request, found, paying).await?;
    Ok(paid.value)
}

pub(super) async fn respond(
    node: Arc<Node>,
    call: Call<pb::RespondPayChUpdateReq>,
) -> Result<pb::PayChInfo, Error> {
    let Call {
        caller,
        key,
        mut request,
    } = call;
    let session_id = std::mem::take(&mut request.session_id);
    let session = node.session_for(&caller, Scope::Receive, &session_id)?;
    let (channel, update) = (&request.ch_id, &request.update_id);
    if !request.accept {
        return session.reject_update(channel, update);
    }
    let accepting = async {
        let taken = session.take_update(channel, update);
        let taken = taken.map_err(Failure::NoEffect)?;
        let reserved = match reserve(&caller, &taken.cost()) {
            Ok(reserved) => reserved,
            Err(error) => {
                taken.put_back();
                return Err(Failure::NoEffect(error));
            }
        };
        reserved.settle(session.accept_update(taken).await)
    };
    let found = session.find_answered(channel, update);
    let accepted = once(&session, key.as_ref(), &request, found, accepting).await?;
    Ok(accepted.value)
}
