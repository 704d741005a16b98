//! `perun channel …`

use serde_json::{Value, json};

use super::{events, success};
use crate::api::{pb, v1};
use crate::cli::answer::{Answer, Block};
use crate::cli::args::{ChannelCommand, ChannelCommand as Do, CurrencyArgs};
use crate::cli::channels::{self, Channel};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::text::now_s;
use crate::cli::waiting::{self, Waiting};

pub async fn run(context: &mut Context, command: ChannelCommand) -> Result<Answer, Failure> {
    match command {
        Do::Open {
            peer,
            own,
            peers,
            currency,
            challenge,
        } => open(context, peer, own, peers, currency, challenge).await,
        Do::Requests => requests(context).await,
        Do::Subscribe { stream } => events::proposals(context, stream.count).await,
        Do::Unsubscribe => {
            let node = context.node().await?;
            let session_id = context.user().await?.session_id;
            let request = pb::UnsubPayChProposalsReq { session_id };
            let answer = node.payment_api().unsub_pay_ch_proposals(request).await?;
            success!(answer, unsub_pay_ch_proposals_resp)?;
            Ok(Answer::new(
                json!({ "subscribed": false }),
                "Nobody listens for proposals now.",
            ))
        }
        Do::Accept { request } => respond(context, &request, true).await,
        Do::Reject { request } => respond(context, &request, false).await,
        Do::List => list(context).await,
        Do::Info { channel } => info(context, &channel).await,
        Do::Close {
            channel,
            force: true,
            accept_old_copy,
        } => force_close(context, &channel, accept_old_copy).await,
        Do::Close { channel, .. } => close(context, &channel).await,
    }
}

async fn open(
    context: &mut Context,
    peer: String,
    own: String,
    peers: String,
    currency: CurrencyArgs,
    challenge_s: u64,
) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let currency = context.currency(&currency).await?;
    context.confirm(&own, &currency, &format!("a channel with {peer}"))?;
    let (request, key) = context.keyed(pb::OpenPayChReq {
        session_id,
        opening_bal_info: Some(pb::BalInfo {
            currencies: vec![currency],
            parts: vec!["self".into(), peer.clone()],
            bals: vec![pb::bal_info::Bal {
                bal: vec![own, peers],
            }],
        }),
        challenge_dur_secs: challenge_s,
    })?;
    let progress = context.progress(format!("{peer} is asked, then both deposit"));
    let answer = node.payment_api().open_pay_ch(request).await?;
    drop(progress);
    let info = success!(answer, open_pay_ch_resp)?.opened_pay_ch_info;
    changed(context, info, "is open", Some(&key)).await
}

async fn requests(context: &mut Context) -> Result<Answer, Failure> {
    let mut all = waiting::proposals(context).await?;
    for channel in channels::all(context).await? {
        match waiting::updates(context, &channel.info.ch_id).await {
            Ok(found) => all.extend(found),
            // It has closed since.
            Err(Failure::Refused(error)) if error.code() == pb::ErrorCode::ErrResourceNotFound => {}
            Err(failure) => return Err(failure),
        }
    }
    let now_s = now_s();
    let mut answer = Answer {
        objects: all.iter().map(Waiting::to_json).collect(),
        blocks: all.iter().map(|one| Block::Text(one.line(now_s))).collect(),
    };
    if all.is_empty() {
        answer = answer.with(Block::Text("Nothing waits for an answer.".into()));
    }
    Ok(answer)
}

async fn respond(context: &mut Context, text: &str, accept: bool) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let proposal = waiting::proposal(context, text).await?;
    let Waiting { alias, peer, .. } = &proposal;
    if accept {
        for (currency, cost) in proposal.costs(&[]) {
            context.confirm(&cost.to_string(), &currency, &format!("{peer}'s channel"))?;
        }
    }
    let (request, key) = context.keyed(pb::RespondPayChProposalReq {
        session_id,
        proposal_id: proposal.id.clone(),
        accept,
    })?;
    let what = if accept { "both deposit" } else { "rejecting" };
    let progress = context.progress(what);
    let answer = node.payment_api().respond_pay_ch_proposal(request).await;
    drop(progress);
    waiting::forget(context, &proposal.id);
    let opened = success!(answer?, respond_pay_ch_proposal_resp)?.opened_pay_ch_info;
    if accept {
        return changed(context, opened, "is open", Some(&key)).await;
    }
    let object = json!({ "request": proposal.id, "alias": alias, "accepted": false });
    Ok(Answer::new(
        object,
        format!("{alias} of {peer} is rejected."),
    ))
}

async fn list(context: &mut Context) -> Result<Answer, Failure> {
    let channels = channels::all(context).await?;
    let answer = Answer {
        objects: channels.iter().map(Channel::to_json).collect(),
        blocks: Vec::new(),
    };
    let rows = channels.iter().map(Channel::row).collect();
    Ok(answer.with_rows(&Channel::HEADINGS, rows, "No channels."))
}

async fn info(context: &mut Context, text: &str) -> Result<Answer, Failure> {
    let channel = channels::named(context, text).await?;
    let mut lines = vec![
        channel.alias.clone(),
        format!("id: {}", channel.info.ch_id),
        format!("peer: {}", channel.peer),
        format!("version: {}", channel.info.version),
    ];
    for share in channel.shares() {
        let share = channels::shares_text(&[share], &channel.peer);
        lines.push(format!("balances: {share}"));
    }
    if let Some(watch) = &channel.watch {
        let connected = if watch.peer_connected {
            "connected"
        } else {
            "not connected"
        };
        lines.push(format!("phase: {}", channels::phase(watch.phase())));
        lines.push(format!(
            "link: {connected}{}",
            if watch.synced { "" } else { ", not synced" }
        ));
        lines.push(format!(
            "challenge duration: {} s",
            watch.challenge_duration_s
        ));
        for (share, secured) in channel.shares().iter().zip(&watch.secured) {
            lines.push(format!(
                "secured whatever the peer does: {secured} {}",
                share.currency
            ));
        }
        lines.push(format!("newest view: {:.1} s old", watch.view_age_s));
        if watch.refutation_left_s > 0.0 {
            lines.push(format!(
                "to refute within: {:.0} s",
                watch.refutation_left_s
            ));
        }
    }
    Ok(Answer::new(channel.to_json(), lines.join("\n")))
}

async fn force_close(
    context: &mut Context,
    text: &str,
    accept_old_copy: bool,
) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let channel = channels::named(context, text).await?.info.ch_id;
    let (request, key) = context.keyed(v1::ForceCloseRequest {
        session_id,
        channel,
        accept_old_copy,
    })?;
    let progress = context.progress("it is registered and can be refuted, then all is paid out");
    let info = node
        .sessions()
        .force_close(request)
        .await?
        .into_inner()
        .info;
    drop(progress);
    changed(context, info, "is closed", Some(&key)).await
}

async fn close(context: &mut Context, text: &str) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let channel = channels::named(context, text).await?;
    let (request, key) = context.keyed(pb::ClosePayChReq {
        session_id,
        ch_id: channel.info.ch_id.clone(),
    })?;
    let what = format!(
        "{} is asked to agree, then everything is paid out",
        channel.peer
    );
    let progress = context.progress(what);
    let answer = node.payment_api().close_pay_ch(request).await?;
    drop(progress);
    let info = success!(answer, close_pay_ch_resp)?.closed_pay_ch_info;
    changed(context, info, "is closed", Some(&key)).await
}

/// A channel after something was done to it.
pub async fn changed(
    context: &mut Context,
    info: Option<pb::PayChInfo>,
    how: &str,
    key: Option<&str>,
) -> Result<Answer, Failure> {
    let info = info.ok_or_else(super::no_answer)?;
    let user = context.user().await?;
    let channel = Channel::new(&mut user.names(), info, None);
    let mut object = channel.to_json();
    if let Some(key) = key {
        object["idempotencyKey"] = Value::from(key);
    }
    let shares = channels::shares_text(&channel.shares(), &channel.peer);
    let Channel { alias, info, .. } = &channel;
    let text = format!("{alias} {how}: {shares}, version {}", info.version);
    Ok(Answer::new(object, text))
}
