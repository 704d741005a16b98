//! Channels as the command line knows them: with alias and peer, and balances from our side.

use serde_json::{Value, json};

use super::context::Context;
use super::failure::Failure;
use super::names::{Named, by_prefix};
use crate::api::{pb, v1};
use crate::{Error, Resource};

/// A channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Its short name.
    pub alias: String,
    /// With whom.
    pub peer: String,
    /// Its state.
    pub info: pb::PayChInfo,
    /// How well it is watched, as far as the node tells.
    pub watch: Option<v1::Channel>,
}

/// What a channel has of a currency.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Share {
    /// Which one.
    pub currency: String,
    /// What is ours.
    pub own: String,
    /// What is the peer's.
    pub peer: String,
}

impl Channel {
    /// A channel of a user, which gets a short name now if it has none.
    pub fn new(
        names: &mut super::names::Names,
        info: pb::PayChInfo,
        watch: Option<v1::Channel>,
    ) -> Self {
        let peer = match &watch {
            Some(watch) if !watch.peer_alias.is_empty() => watch.peer_alias.clone(),
            _ => peer(info.bal_info.as_ref()),
        };
        Self {
            alias: names.of_channel(&info.ch_id, &peer),
            peer,
            info,
            watch,
        }
    }

    /// What it has of each currency.
    pub fn shares(&self) -> Vec<Share> {
        shares(self.info.bal_info.as_ref())
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "channel": self.info.ch_id,
            "alias": self.alias,
            "peer": self.peer,
            "version": version(&self.info),
            "balances": shares_json(&self.shares()),
        });
        if let Some(watch) = &self.watch {
            object["phase"] = phase(watch.phase()).into();
            object["peerConnected"] = watch.peer_connected.into();
            object["synced"] = watch.synced.into();
            object["challengeDurationS"] = watch.challenge_duration_s.into();
            object["secured"] = json!(watch.secured);
            object["viewAgeS"] = watch.view_age_s.into();
            object["refutationLeftS"] = watch.refutation_left_s.into();
        }
        object
    }

    /// In one line.
    pub fn line(&self) -> String {
        let version = &self.info.version;
        format!(
            "{}: {}, version {version}",
            self.alias,
            shares_text(&self.shares(), &self.peer)
        )
    }

    /// As a row of [`Channel::HEADINGS`].
    pub fn row(&self) -> Vec<String> {
        let column = |value: fn(&Share) -> String| {
            let values: Vec<String> = self.shares().iter().map(value).collect();
            values.join(" + ")
        };
        vec![
            self.alias.clone(),
            self.peer.clone(),
            self.watch
                .as_ref()
                .map_or("", |watch| phase(watch.phase()))
                .to_owned(),
            column(|share| share.own.clone()),
            column(|share| share.peer.clone()),
            column(|share| share.currency.clone()),
            self.info.version.clone(),
            self.info.ch_id.chars().take(12).collect(),
        ]
    }

    /// What [`Channel::row`] has.
    pub const HEADINGS: [&'static str; 8] = [
        "Alias", "Peer", "Phase", "Own", "Peer's", "Currency", "Version", "Id",
    ];
}

/// All channels of the user that are not closed.
pub async fn all(context: &mut Context) -> Result<Vec<Channel>, Failure> {
    let node = context.node().await?;
    let user = context.user().await?;
    let session_id = user.session_id.clone();
    if node.is_plaintext {
        let request = pb::GetPayChsInfoReq { session_id };
        let answer = node
            .payment_api()
            .get_pay_chs_info(request)
            .await?
            .into_inner();
        let answer = match answer.response {
            Some(pb::get_pay_chs_info_resp::Response::MsgSuccess(success)) => success,
            Some(pb::get_pay_chs_info_resp::Response::Error(error)) => return Err(error.into()),
            None => return Err(super::commands::no_answer()),
        };
        let mut names = user.names();
        let channel = |info| Channel::new(&mut names, info, None);
        return Ok(answer.open_pay_chs_info.into_iter().map(channel).collect());
    }
    let answer = node
        .sessions()
        .channels(v1::ChannelsRequest { session_id })
        .await?;
    let mut names = user.names();
    let channel = |watch: v1::Channel| {
        let info = watch.info.clone().unwrap_or_default();
        Channel::new(&mut names, info, Some(watch))
    };
    Ok(answer
        .into_inner()
        .channels
        .into_iter()
        .map(channel)
        .collect())
}

/// The channel that a text names: by alias, id or its first digits, or by the peer.
pub async fn named(context: &mut Context, text: &str) -> Result<Channel, Failure> {
    let user = context.user().await?;
    let channels = all(context).await?;
    let by_alias = user.names().channel(text).map(str::to_owned);
    let id = by_alias.as_deref().unwrap_or(text);
    let ids = channels.iter().map(|channel| channel.info.ch_id.as_str());
    match by_prefix(ids, id) {
        Named::Id(id) => {
            let found = channels.iter().find(|channel| channel.info.ch_id == id);
            return Ok(found.expect("it is one of them").clone());
        }
        Named::Several => {
            return Err(Failure::Usage(format!(
                "several channels begin with {text}: type more of it"
            )));
        }
        Named::Nothing => {}
    }
    let with: Vec<&Channel> = channels
        .iter()
        .filter(|channel| channel.peer == text)
        .collect();
    match with[..] {
        [one] => Ok(one.clone()),
        [] => {
            let known: Vec<&str> = channels
                .iter()
                .map(|channel| channel.alias.as_str())
                .collect();
            Err(unknown(Resource::Channel, text, &known))
        }
        _ => {
            let aliases: Vec<&str> = with.iter().map(|channel| channel.alias.as_str()).collect();
            let aliases = aliases.join(", ");
            Err(Failure::Usage(format!(
                "there are several channels with {text}; name one: {aliases}"
            )))
        }
    }
}

/// Nothing is called so; these are.
pub fn unknown(resource: Resource, text: &str, known: &[&str]) -> Failure {
    let mut error = Error::not_found(resource, text).to_message();
    error.message = if known.is_empty() {
        format!("no {resource} is called {text}; there are none")
    } else {
        format!(
            "no {resource} is called {text}; there are: {}",
            known.join(", ")
        )
    };
    error.into()
}

/// Who the other one is.
pub fn peer(balances: Option<&pb::BalInfo>) -> String {
    let parts = balances.map_or(&[][..], |balances| &balances.parts);
    let peer = parts.iter().find(|part| *part != "self");
    peer.cloned().unwrap_or_else(|| "peer".into())
}

/// What there is of each currency, ours first.
pub fn shares(balances: Option<&pb::BalInfo>) -> Vec<Share> {
    let Some(balances) = balances else {
        return Vec::new();
    };
    let own = balances
        .parts
        .iter()
        .position(|part| part == "self")
        .unwrap_or(0);
    let theirs = usize::from(own == 0);
    let amount = |bals: &[String], part: usize| bals.get(part).cloned().unwrap_or_default();
    let share = |(currency, row): (&String, &pb::bal_info::Bal)| Share {
        currency: currency.clone(),
        own: amount(&row.bal, own),
        peer: amount(&row.bal, theirs),
    };
    balances
        .currencies
        .iter()
        .zip(&balances.bals)
        .map(share)
        .collect()
}

/// For people: "own 1, bob 2 ICP".
pub fn shares_text(shares: &[Share], peer: &str) -> String {
    let one = |share: &Share| {
        format!(
            "own {}, {peer} {} {}",
            share.own, share.peer, share.currency
        )
    };
    let all: Vec<String> = shares.iter().map(one).collect();
    all.join("; ")
}

/// For programs.
pub fn shares_json(shares: &[Share]) -> Value {
    let one =
        |share: &Share| json!({ "currency": share.currency, "own": share.own, "peer": share.peer });
    shares.iter().map(one).collect()
}

/// A number, as it is one.
pub fn version(info: &pb::PayChInfo) -> Value {
    info.version
        .parse::<u64>()
        .map_or_else(|_| json!(info.version), |version| json!(version))
}

/// A phase in a word.
pub fn phase(phase: v1::channel::Phase) -> &'static str {
    match phase {
        v1::channel::Phase::Opening => "opening",
        v1::channel::Phase::Open => "open",
        v1::channel::Phase::Disputed => "disputed",
        v1::channel::Phase::Settling => "settling",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_share_comes_first() {
        let info = |parts: [&str; 2]| pb::BalInfo {
            currencies: vec!["ICP".into()],
            parts: parts.map(str::to_owned).to_vec(),
            bals: vec![pb::bal_info::Bal {
                bal: vec!["1".into(), "2".into()],
            }],
        };
        let share = |parts| shares(Some(&info(parts))).remove(0);
        assert_eq!(share(["self", "bob"]).own, "1");
        assert_eq!(share(["bob", "self"]).own, "2");
        assert_eq!(
            shares_text(&[share(["self", "bob"])], "bob"),
            "own 1, bob 2 ICP"
        );
        assert_eq!(peer(Some(&info(["bob", "self"]))), "bob");
    }

    #[test]
    fn what_a_node_leaves_out_does_not_harm() {
        assert_eq!(shares(None), []);
        let info = pb::BalInfo {
            currencies: vec!["ICP".into()],
            parts: vec![],
            bals: vec![pb::bal_info::Bal { bal: vec![] }],
        };
        assert_eq!(shares(Some(&info)).remove(0).own, "");
        assert_eq!(peer(Some(&info)), "peer");
    }
}
