//! What waits for the user's answer: proposals and updates of peers.
//!
//! The node repeats to each new subscription what is not answered yet, so it is asked when that is
//! needed. Only where somebody holds perun-node's one subscription all the time (the shell and the screen
//! in plaintext) is it remembered here.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::Streaming;

use super::channels::{self, Channel, Share, shares, shares_json, shares_text};
use super::context::{Context, User};
use super::decimal::Decimal;
use super::failure::Failure;
use super::names::{Named, by_prefix};
use crate::Resource;
use crate::api::pb;
use crate::lock::lock;

/// For how long nothing more has to come until everything has come.
const QUIET: Duration = Duration::from_millis(300);

/// Something that waits for an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// What it is.
    pub kind: Kind,
    /// What the answer names.
    pub id: String,
    /// The channel id; empty of a proposal.
    pub channel: String,
    /// The short name of the proposal, or of the channel.
    pub alias: String,
    /// Whose it is.
    pub peer: String,
    /// What there is of each currency if it is accepted.
    pub shares: Vec<Share>,
    /// Until when, in seconds since 1970 on the node's clock.
    pub expiry_s: i64,
}

/// What waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A channel is proposed.
    Proposal,
    /// A payment, one way or the other.
    Update,
    /// The end of a channel.
    Close,
}

impl Kind {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Update => "update",
            Self::Close => "close",
        }
    }
}

impl Waiting {
    /// A proposal.
    pub fn proposal(user: &User, notify: &pb::sub_pay_ch_proposals_resp::Notify) -> Self {
        let balances = notify.opening_bal_info.as_ref();
        let peer = channels::peer(balances);
        Self {
            kind: Kind::Proposal,
            id: notify.proposal_id.clone(),
            channel: String::new(),
            alias: user.names().of_request(&notify.proposal_id, &peer),
            peer,
            shares: shares(balances),
            expiry_s: notify.expiry,
        }
    }

    /// An update that expects an answer.
    pub fn update(user: &User, notify: &pb::sub_pay_ch_updates_resp::Notify) -> Option<Self> {
        use pb::sub_pay_ch_updates_resp::notify::ChUpdateType;
        let kind = match notify.r#type() {
            ChUpdateType::Open => Kind::Update,
            ChUpdateType::Final => Kind::Close,
            ChUpdateType::Closed => return None,
        };
        if notify.expiry == 0 {
            return None;
        }
        let info = notify.proposed_pay_ch_info.as_ref()?;
        let peer = channels::peer(info.bal_info.as_ref());
        Some(Self {
            kind,
            id: notify.update_id.clone(),
            channel: info.ch_id.clone(),
            alias: user.names().of_channel(&info.ch_id, &peer),
            peer,
            shares: shares(info.bal_info.as_ref()),
            expiry_s: notify.expiry,
        })
    }

    /// In a line.
    pub fn line(&self, now_s: i64) -> String {
        let Self { alias, peer, .. } = self;
        let shares = shares_text(&self.shares, peer);
        let left = super::text::left(self.expiry_s, now_s);
        match self.kind {
            Kind::Proposal => format!("{alias}: {peer} proposes a channel, {shares}; {left}"),
            Kind::Update => format!("{alias}: {peer} proposes {shares}; {left}"),
            Kind::Close => {
                format!(
                    "{alias}: {peer} wants to close it with {shares}, and accepting closes it; {left}"
                )
            }
        }
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({
            "kind": self.kind.word(),
            "id": self.id,
            "channel": self.channel,
            "alias": self.alias,
            "peer": self.peer,
            "balances": shares_json(&self.shares),
            "expiry": self.expiry_s,
        })
    }

    /// What accepting it would cost, by currency, given what is ours now.
    pub fn costs(&self, now: &[Share]) -> Vec<(String, Decimal)> {
        let cost = |share: &Share| -> Option<(String, Decimal)> {
            let after: Decimal = share.own.parse().ok()?;
            let cost = match self.kind {
                // All that is ours is deposited.
                Kind::Proposal => after,
                Kind::Update | Kind::Close => {
                    let now = now.iter().find(|now| now.currency == share.currency)?;
                    now.own.parse::<Decimal>().ok()?.minus(&after)?
                }
            };
            Some((share.currency.clone(), cost))
        };
        self.shares.iter().filter_map(cost).collect()
    }
}

/// The proposals that wait.
pub async fn proposals(context: &mut Context) -> Result<Vec<Waiting>, Failure> {
    let node = context.node().await?;
    if node.is_plaintext
        && let Some(seen) = remembered(context, |waiting| waiting.kind == Kind::Proposal)
    {
        return Ok(seen);
    }
    let user = context.user().await?;
    let session_id = user.session_id.clone();
    let mut api = node.payment_api();
    let request = pb::SubPayChProposalsReq {
        session_id: session_id.clone(),
    };
    let stream = api.sub_pay_ch_proposals(request).await?.into_inner();
    let mut found = Vec::new();
    for message in until_quiet(stream).await? {
        match message.response {
            Some(pb::sub_pay_ch_proposals_resp::Response::Notify(notify)) => {
                found.push(Waiting::proposal(&user, &notify));
            }
            Some(pb::sub_pay_ch_proposals_resp::Response::Error(error)) => {
                return Err(listened_to(error));
            }
            None => {}
        }
    }
    api.unsub_pay_ch_proposals(pb::UnsubPayChProposalsReq { session_id })
        .await?;
    Ok(found)
}

/// The updates of a channel that wait.
pub async fn updates(context: &mut Context, channel: &str) -> Result<Vec<Waiting>, Failure> {
    let node = context.node().await?;
    if node.is_plaintext
        && let Some(seen) = remembered(context, |waiting| waiting.channel == channel)
    {
        return Ok(seen);
    }
    let user = context.user().await?;
    let session_id = user.session_id.clone();
    let ch_id = channel.to_owned();
    let mut api = node.payment_api();
    let request = pb::SubpayChUpdatesReq {
        session_id: session_id.clone(),
        ch_id: ch_id.clone(),
    };
    let stream = api.sub_pay_ch_updates(request).await?.into_inner();
    let mut found = Vec::new();
    for message in until_quiet(stream).await? {
        match message.response {
            Some(pb::sub_pay_ch_updates_resp::Response::Notify(notify)) => {
                found.extend(Waiting::update(&user, &notify));
            }
            Some(pb::sub_pay_ch_updates_resp::Response::Error(error)) => {
                return Err(listened_to(error));
            }
            None => {}
        }
    }
    api.unsub_pay_ch_updates(pb::UnsubPayChUpdatesReq { session_id, ch_id })
        .await?;
    Ok(found)
}

/// The proposal that a text names: by alias, id or its first digits, or by the peer.
pub async fn proposal(context: &mut Context, text: &str) -> Result<Waiting, Failure> {
    let user = context.user().await?;
    let waiting = proposals(context).await?;
    let by_alias = user.names().request(text).map(str::to_owned);
    let id = by_alias.as_deref().unwrap_or(text);
    if let Named::Id(id) = by_prefix(waiting.iter().map(|one| one.id.as_str()), id) {
        let found = waiting.iter().find(|one| one.id == id);
        return Ok(found.expect("it is one of them").clone());
    }
    let of_peer: Vec<&Waiting> = waiting.iter().filter(|one| one.peer == text).collect();
    if let [one] = of_peer[..] {
        return Ok(one.clone());
    }
    let known: Vec<&str> = waiting.iter().map(|one| one.alias.as_str()).collect();
    if of_peer.is_empty() {
        return Err(channels::unknown(Resource::Proposal, text, &known));
    }
    let known = known.join(", ");
    Err(Failure::Usage(format!(
        "{text} proposes several channels; name one: {known}"
    )))
}

/// The newest update of a channel that waits.
pub async fn update(context: &mut Context, channel: &Channel) -> Result<Waiting, Failure> {
    let waiting = updates(context, &channel.info.ch_id).await?;
    let newest = waiting.into_iter().max_by_key(|waiting| waiting.expiry_s);
    newest.ok_or_else(|| {
        let mut error = crate::Error::not_found(Resource::Update, &channel.alias).to_message();
        error.message = format!("{} proposes nothing in {} now", channel.peer, channel.alias);
        error.into()
    })
}

/// It is answered, or over.
pub fn forget(context: &Context, id: &str) {
    if let Some(seen) = &context.seen {
        let mut seen = lock(seen);
        seen.retain(|waiting| waiting.id != id);
    }
}

fn remembered(context: &Context, wanted: impl Fn(&Waiting) -> bool) -> Option<Vec<Waiting>> {
    let seen = context.seen.as_ref()?;
    let mut seen = lock(seen);
    // With an hour to spare for the node's clock: an answer that is too late is refused there.
    let now_s = super::text::now_s();
    seen.retain(|waiting| waiting.expiry_s + 3600 > now_s);
    Some(
        seen.iter()
            .filter(|waiting| wanted(waiting))
            .cloned()
            .collect(),
    )
}

async fn until_quiet<T>(mut stream: Streaming<T>) -> Result<Vec<T>, Failure> {
    let mut all = Vec::new();
    while let Ok(next) = timeout(QUIET, stream.message()).await {
        match next? {
            Some(message) => all.push(message),
            None => break,
        }
    }
    Ok(all)
}

/// One subscription each is perun-node's rule.
fn listened_to(mut error: pb::MsgError) -> Failure {
    if error.code() == pb::ErrorCode::ErrResourceExists {
        error.message = format!(
            "{}: another program of this user listens for them, and only one may; answer there, or end \
             its subscription by `unsubscribe`",
            error.message
        );
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(own: &str) -> Share {
        Share {
            currency: "ICP".into(),
            own: own.into(),
            peer: "1".into(),
        }
    }

    fn waiting(kind: Kind, own: &str) -> Waiting {
        Waiting {
            kind,
            id: "id".into(),
            channel: String::new(),
            alias: "request_1_bob".into(),
            peer: "bob".into(),
            shares: vec![share(own)],
            expiry_s: 100,
        }
    }

    #[test]
    fn what_it_costs_is_known_before() {
        let cost = |kind, own, now| {
            let costs = waiting(kind, own).costs(&[share(now)]);
            costs.first().map(|(_, cost)| cost.to_string())
        };
        assert_eq!(cost(Kind::Proposal, "2", "0"), Some("2".into()));
        assert_eq!(cost(Kind::Update, "1.5", "2"), Some("0.5".into()));
        assert_eq!(cost(Kind::Update, "2", "1.5"), None);
    }

    #[test]
    fn it_is_told_with_what_is_left_of_time() {
        let line = waiting(Kind::Proposal, "2").line(93);
        assert_eq!(
            line,
            "request_1_bob: bob proposes a channel, own 2, bob 1 ICP; expires in 7 s"
        );
    }
}
