//! `perun payment …`

use serde_json::json;

use super::channel::changed;
use super::{events, success};
use crate::api::{pb, v1};
use crate::cli::answer::Answer;
use crate::cli::args::{CurrencyArgs, PaymentCommand, PaymentCommand as Do};
use crate::cli::channels::{self, Channel};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::waiting;

pub async fn run(context: &mut Context, command: PaymentCommand) -> Result<Answer, Failure> {
    match command {
        Do::Send {
            channel,
            amount,
            currency,
            memo,
        } => {
            let channel = channels::named(context, &channel).await?;
            let currency = currency_of(context, &channel, &currency).await?;
            let what = format!("the payment to {}", channel.peer);
            context.confirm(&amount, &currency, &what)?;
            let payment = Payment {
                channel: channel.info.ch_id,
                peer: channel.peer,
                currency,
                amount,
                memo,
            };
            send(context, payment).await
        }
        Do::Request {
            channel,
            amount,
            currency,
        } => {
            let channel = channels::named(context, &channel).await?;
            let currency = currency_of(context, &channel, &currency).await?;
            let progress = context.progress(format!("{} decides", channel.peer));
            let payee = "self".to_owned();
            let answer = update(
                context,
                channel.info.ch_id,
                payee,
                currency,
                amount,
                "is updated",
            )
            .await;
            drop(progress);
            answer
        }
        Do::Accept { channel } => respond(context, &channel, true).await,
        Do::Reject { channel } => respond(context, &channel, false).await,
        Do::Subscribe { channel, stream } => {
            let channel = channels::named(context, &channel).await?;
            events::updates(context, &channel, stream.count).await
        }
        Do::Unsubscribe { channel } => {
            let node = context.node().await?;
            let session_id = context.user().await?.session_id;
            let channel = channels::named(context, &channel).await?;
            let request = pb::UnsubPayChUpdatesReq {
                session_id,
                ch_id: channel.info.ch_id.clone(),
            };
            let answer = node.payment_api().unsub_pay_ch_updates(request).await?;
            success!(answer, unsub_pay_ch_updates_resp)?;
            let object = json!({ "channel": channel.info.ch_id, "subscribed": false });
            Ok(Answer::new(
                object,
                format!("Nobody listens to {} now.", channel.alias),
            ))
        }
    }
}

/// A payment to make.
pub struct Payment {
    /// The channel id; empty to let the node choose one with the peer.
    pub channel: String,
    pub peer: String,
    pub currency: String,
    pub amount: String,
    pub memo: String,
}

/// Pays.
pub async fn send(context: &mut Context, payment: Payment) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let Payment {
        channel,
        peer,
        currency,
        amount,
        memo,
    } = payment;
    if node.is_plaintext {
        if !memo.is_empty() {
            return Err(Failure::Usage(
                "perun-node's calls have no memo: leave --plaintext out".into(),
            ));
        }
        return update(context, channel, peer, currency, amount, "is updated").await;
    }
    let (request, key) = context.keyed(v1::PayRequest {
        session_id,
        channel,
        peer_alias: peer.clone(),
        currency,
        amount,
        memo,
    })?;
    let progress = context.progress(format!("{peer} is paid"));
    let answer = node.payments().pay(request).await?.into_inner();
    drop(progress);
    paid(context, answer, &key).await
}

/// What was paid, and whether it was before.
pub async fn paid(
    context: &mut Context,
    answer: v1::PayResponse,
    key: &str,
) -> Result<Answer, Failure> {
    let how = if answer.was_made_before {
        "was paid before"
    } else {
        "is updated"
    };
    let mut shown = changed(context, answer.info, how, Some(key)).await?;
    for object in &mut shown.objects {
        object["wasMadeBefore"] = answer.was_made_before.into();
    }
    Ok(shown)
}

async fn update(
    context: &mut Context,
    ch_id: String,
    payee: String,
    currency: String,
    amount: String,
    how: &str,
) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let (request, key) = context.keyed(pb::SendPayChUpdateReq {
        session_id,
        ch_id,
        payments: vec![pb::Payment {
            currency,
            payee,
            amount,
        }],
    })?;
    let answer = node.payment_api().send_pay_ch_update(request).await?;
    let info = success!(answer, send_pay_ch_update_resp)?.updated_pay_ch_info;
    changed(context, info, how, Some(&key)).await
}

async fn respond(context: &mut Context, text: &str, accept: bool) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let channel = channels::named(context, text).await?;
    let update = waiting::update(context, &channel).await?;
    if accept {
        for (currency, cost) in update.costs(&channel.shares()) {
            let what = format!("what {} asks for", channel.peer);
            context.confirm(&cost.to_string(), &currency, &what)?;
        }
    }
    let (request, key) = context.keyed(pb::RespondPayChUpdateReq {
        session_id,
        ch_id: channel.info.ch_id.clone(),
        update_id: update.id.clone(),
        accept,
    })?;
    let progress = context.progress(format!("{} is answered", channel.peer));
    let answer = node.payment_api().respond_pay_ch_update(request).await;
    drop(progress);
    waiting::forget(context, &update.id);
    let info = success!(answer?, respond_pay_ch_update_resp)?.updated_pay_ch_info;
    if accept {
        return changed(context, info, "is updated", Some(&key)).await;
    }
    let object = json!({
        "channel": channel.info.ch_id,
        "alias": channel.alias,
        "update": update.id,
        "accepted": false,
    });
    let text = format!(
        "What {} proposed in {} is rejected.",
        channel.peer, channel.alias
    );
    Ok(Answer::new(object, text))
}

/// The currency of a payment: a channel with one only leaves no question.
async fn currency_of(
    context: &mut Context,
    channel: &Channel,
    args: &CurrencyArgs,
) -> Result<String, Failure> {
    match (&args.currency, &channel.shares()[..]) {
        (None, [only]) => Ok(only.currency.clone()),
        _ => context.currency(args).await,
    }
}
