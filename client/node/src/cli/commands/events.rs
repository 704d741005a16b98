//! What prints while it goes: `perun events`, and the two `subscribe`.

use serde_json::{Value, json};

use crate::api::{pb, v1};
use crate::cli::answer::{Answer, harmless};
use crate::cli::channels::{Channel, shares, shares_json, shares_text};
use crate::cli::context::{Context, User};
use crate::cli::failure::Failure;
use crate::cli::feed;
use crate::cli::text::{instant_of_ms, left, now_s};
use crate::cli::waiting::Waiting;

/// `perun events`
pub async fn run(context: &mut Context, count: Option<u64>) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let user = context.user().await?;
    let mut events = feed::start(node, user.clone()).await?;
    for _ in 0..count.unwrap_or(u64::MAX) {
        let event = events.recv().await.ok_or_else(super::no_answer)??;
        let text = format!("{}  {}", instant_of_ms(event.at_ms), line(&event, &user));
        print(context, Answer::new(object(&event, &user), text))?;
    }
    Ok(Answer::default())
}

/// `perun channel subscribe`
pub async fn proposals(context: &mut Context, count: Option<u64>) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let user = context.user().await?;
    let request = pb::SubPayChProposalsReq {
        session_id: user.session_id.clone(),
    };
    let mut stream = node
        .payment_api()
        .sub_pay_ch_proposals(request)
        .await?
        .into_inner();
    for _ in 0..count.unwrap_or(u64::MAX) {
        let message = stream.message().await?.ok_or_else(super::no_answer)?;
        match message.response {
            Some(pb::sub_pay_ch_proposals_resp::Response::Notify(notify)) => {
                let waiting = Waiting::proposal(&user, &notify);
                print(
                    context,
                    Answer::new(waiting.to_json(), waiting.line(now_s())),
                )?;
            }
            Some(pb::sub_pay_ch_proposals_resp::Response::Error(error)) => return Err(error.into()),
            None => return Err(super::no_answer()),
        }
    }
    Ok(Answer::default())
}

/// `perun payment subscribe`: until the channel is closed.
pub async fn updates(
    context: &mut Context,
    channel: &Channel,
    count: Option<u64>,
) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let user = context.user().await?;
    let request = pb::SubpayChUpdatesReq {
        session_id: user.session_id.clone(),
        ch_id: channel.info.ch_id.clone(),
    };
    let mut stream = node
        .payment_api()
        .sub_pay_ch_updates(request)
        .await?
        .into_inner();
    for _ in 0..count.unwrap_or(u64::MAX) {
        let message = stream.message().await?.ok_or_else(super::no_answer)?;
        let notify = match message.response {
            Some(pb::sub_pay_ch_updates_resp::Response::Notify(notify)) => notify,
            Some(pb::sub_pay_ch_updates_resp::Response::Error(error)) => return Err(error.into()),
            None => return Err(super::no_answer()),
        };
        if let Some(waiting) = Waiting::update(&user, &notify) {
            print(
                context,
                Answer::new(waiting.to_json(), waiting.line(now_s())),
            )?;
            continue;
        }
        let event = feed::of_update(channel, &notify);
        print(
            context,
            Answer::new(object(&event, &user), line(&event, &user)),
        )?;
        if event.kind() == v1::event::Kind::Closed {
            break;
        }
    }
    Ok(Answer::default())
}

fn print(context: &Context, answer: Answer) -> Result<(), Failure> {
    answer
        .print(context.style)
        .map_err(|error| Failure::own("the output", error))
}

/// An event in a line, without its time.
pub fn line(event: &v1::Event, user: &User) -> String {
    // The node says what somebody does, and leaves out who.
    let mut text = match name(event, user) {
        Some(name) => format!("{name}: {}", event.text),
        None => format!("{} {}", event.peer_alias, event.text)
            .trim_start()
            .to_owned(),
    };
    let shares = shares(event.info.as_ref().and_then(|info| info.bal_info.as_ref()));
    if !shares.is_empty() {
        let peer = if event.peer_alias.is_empty() {
            "peer"
        } else {
            &event.peer_alias
        };
        text = format!("{text} ({})", shares_text(&shares, peer));
    }
    if event.expiry > 0 {
        text = format!("{text}; {}", left(event.expiry, now_s()));
    }
    if let Some(error) = &event.error
        && !text.contains(&error.message)
    {
        text = format!("{text}: {}", error.message);
    }
    harmless(&text).replace('\n', " ")
}

/// The short name of what it is about.
fn name(event: &v1::Event, user: &User) -> Option<String> {
    let peer = if event.peer_alias.is_empty() {
        "peer"
    } else {
        &event.peer_alias
    };
    if event.kind() == v1::event::Kind::Proposed {
        return Some(user.names().of_request(&event.answer_id, peer));
    }
    if event.channel.is_empty() {
        return None;
    }
    Some(user.names().of_channel(&event.channel, peer))
}

fn object(event: &v1::Event, user: &User) -> Value {
    let balances = shares(event.info.as_ref().and_then(|info| info.bal_info.as_ref()));
    let mut object = json!({
        "atMs": event.at_ms,
        "kind": event.kind().as_str_name().to_lowercase(),
        "channel": event.channel,
        "peer": event.peer_alias,
        "text": event.text,
        "balances": shares_json(&balances),
    });
    if let Some(name) = name(event, user) {
        object["alias"] = name.into();
    }
    if !event.answer_id.is_empty() {
        object["id"] = event.answer_id.clone().into();
        object["expiry"] = event.expiry.into();
    }
    if let Some(error) = &event.error {
        object["error"] = json!({ "code": error.code, "message": error.message });
    }
    object
}
