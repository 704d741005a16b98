//! What happens to a user, as it happens: for the shell, the screen, and `perun events`.
//!
//! Our own API tells it in one stream. Where only perun-node's calls are there, the subscriptions to
//! proposals and to each channel's updates are joined to one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::channels::{self, Channel};
use super::connect::Node;
use super::context::User;
use super::failure::Failure;
use super::waiting::{Kind, Waiting};
use crate::api::v1::event::Kind as EventKind;
use crate::api::{pb, v1};

/// How many events are kept for a reader that is busy.
const UNREAD: usize = 1024;
/// How often it is looked for channels that were opened by another program.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An event, or why there are no more.
pub type Told = Result<v1::Event, Failure>;

/// Listens from now on, until the receiver is dropped.
pub async fn start(node: Node, user: User) -> Result<mpsc::Receiver<Told>, Failure> {
    let (teller, told) = mpsc::channel(UNREAD);
    if node.is_plaintext {
        let request = pb::SubPayChProposalsReq {
            session_id: user.session_id.clone(),
        };
        let proposals = node
            .payment_api()
            .sub_pay_ch_proposals(request)
            .await?
            .into_inner();
        tokio::spawn(tell_proposals(proposals, user.clone(), teller.clone()));
        tokio::spawn(tell_channels(node, user, teller));
        return Ok(told);
    }
    let request = v1::EventsRequest {
        session_id: user.session_id,
    };
    let mut events = node.sessions().events(request).await?.into_inner();
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = events.message() => event,
                () = teller.closed() => return,
            };
            let told = match event {
                Ok(Some(event)) => Ok(event),
                Ok(None) => Err(over()),
                Err(status) => Err(status.into()),
            };
            let is_over = told.is_err();
            if teller.send(told).await.is_err() || is_over {
                return;
            }
        }
    });
    Ok(told)
}

fn over() -> Failure {
    Failure::NotReached("the session or the node has ended".into())
}

async fn tell_proposals(
    mut stream: tonic::Streaming<pb::SubPayChProposalsResp>,
    user: User,
    teller: mpsc::Sender<Told>,
) {
    use pb::sub_pay_ch_proposals_resp::Response;
    loop {
        let message = tokio::select! {
            message = stream.message() => message,
            () = teller.closed() => return,
        };
        let told = match message {
            Ok(Some(message)) => match message.response {
                Some(Response::Notify(notify)) => Ok(of_proposal(&user, &notify)),
                Some(Response::Error(error)) => Err(error.into()),
                None => continue,
            },
            Ok(None) => Err(over()),
            Err(status) => Err(status.into()),
        };
        let is_over = told.is_err();
        if teller.send(told).await.is_err() || is_over {
            return;
        }
    }
}

/// Subscribes to each channel there is, and to those that come.
async fn tell_channels(node: Node, user: User, teller: mpsc::Sender<Told>) {
    let subscribed: Arc<Mutex<HashSet<String>>> = Arc::default();
    loop {
        let request = pb::GetPayChsInfoReq {
            session_id: user.session_id.clone(),
        };
        let answer = node.payment_api().get_pay_chs_info(request).await;
        let response = answer.ok().and_then(|answer| answer.into_inner().response);
        if let Some(pb::get_pay_chs_info_resp::Response::MsgSuccess(success)) = response {
            for info in success.open_pay_chs_info {
                if subscribed.lock().await.insert(info.ch_id.clone()) {
                    let channel = Channel::new(&mut user.names(), info, None);
                    let (node, user, teller) = (node.clone(), user.clone(), teller.clone());
                    let subscribed = Arc::clone(&subscribed);
                    tokio::spawn(async move {
                        tell_updates(&node, &user, &channel, &teller).await;
                        subscribed.lock().await.remove(&channel.info.ch_id);
                    });
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = teller.closed() => return,
        }
    }
}

async fn tell_updates(node: &Node, user: &User, channel: &Channel, teller: &mpsc::Sender<Told>) {
    use pb::sub_pay_ch_updates_resp::Response;
    let request = pb::SubpayChUpdatesReq {
        session_id: user.session_id.clone(),
        ch_id: channel.info.ch_id.clone(),
    };
    let Ok(stream) = node.payment_api().sub_pay_ch_updates(request).await else {
        return;
    };
    let mut stream = stream.into_inner();
    loop {
        let message = tokio::select! {
            message = stream.message() => message,
            () = teller.closed() => return,
        };
        let Ok(Some(message)) = message else {
            return;
        };
        if let Some(Response::Notify(notify)) = message.response
            && teller.send(Ok(of_update(channel, &notify))).await.is_err()
        {
            return;
        }
    }
}

/// perun-node's notification of a proposal as an event.
pub fn of_proposal(user: &User, notify: &pb::sub_pay_ch_proposals_resp::Notify) -> v1::Event {
    let waiting = Waiting::proposal(user, notify);
    v1::Event {
        at_ms: super::text::now_s() * 1000,
        text: "proposes a channel".into(),
        peer_alias: waiting.peer,
        kind: EventKind::Proposed.into(),
        info: Some(pb::PayChInfo {
            bal_info: notify.opening_bal_info.clone(),
            ..pb::PayChInfo::default()
        }),
        answer_id: waiting.id,
        expiry: waiting.expiry_s,
        challenge_dur_secs: notify.challenge_dur_secs,
        ..v1::Event::default()
    }
}

/// perun-node's notification of an update as an event.
pub fn of_update(channel: &Channel, notify: &pb::sub_pay_ch_updates_resp::Notify) -> v1::Event {
    use pb::sub_pay_ch_updates_resp::notify::ChUpdateType;
    let peer = &channel.peer;
    let (kind, text) = match notify.r#type() {
        ChUpdateType::Open => (EventKind::Offered, "proposes an update"),
        ChUpdateType::Final => (
            EventKind::Closing,
            "wants to close it, and accepting closes it",
        ),
        ChUpdateType::Closed => (EventKind::Closed, "is closed"),
    };
    v1::Event {
        at_ms: super::text::now_s() * 1000,
        channel: channel.info.ch_id.clone(),
        peer_alias: peer.clone(),
        kind: kind.into(),
        text: text.into(),
        info: notify.proposed_pay_ch_info.clone(),
        answer_id: if notify.expiry == 0 {
            String::new()
        } else {
            notify.update_id.clone()
        },
        expiry: notify.expiry,
        error: notify.error.clone(),
        is_final: notify.r#type() == ChUpdateType::Final,
        ..v1::Event::default()
    }
}

/// What of it waits for an answer.
pub fn waiting(event: &v1::Event, user: &User) -> Option<Waiting> {
    if event.answer_id.is_empty() {
        return None;
    }
    let balances = event.info.as_ref().and_then(|info| info.bal_info.as_ref());
    let peer = match event.peer_alias.as_str() {
        "" => channels::peer(balances),
        peer => peer.to_owned(),
    };
    let (kind, alias) = match event.kind() {
        EventKind::Proposed => (
            Kind::Proposal,
            user.names().of_request(&event.answer_id, &peer),
        ),
        EventKind::Offered if event.is_final => {
            let alias = user.names().of_channel(&event.channel, &peer);
            (Kind::Close, alias)
        }
        EventKind::Closing => (Kind::Close, user.names().of_channel(&event.channel, &peer)),
        _ => (Kind::Update, user.names().of_channel(&event.channel, &peer)),
    };
    Some(Waiting {
        kind,
        id: event.answer_id.clone(),
        channel: event.channel.clone(),
        alias,
        peer,
        shares: channels::shares(balances),
        expiry_s: event.expiry,
    })
}

/// Keeps what waits up to date: adds, and removes what is over.
pub fn remember(seen: &mut Vec<Waiting>, event: &v1::Event, user: &User) {
    if let Some(waiting) = waiting(event, user) {
        seen.retain(|one| one.id != waiting.id);
        seen.push(waiting);
        return;
    }
    // What is agreed to, or over, no longer waits.
    let version = event.info.as_ref().map_or("", |info| info.version.as_str());
    let agreed = format!("{}_{version}", event.channel);
    let is_over = event.kind() == EventKind::Closed;
    seen.retain(|one| one.id != agreed && !(is_over && one.channel == event.channel));
}
