//! `perun token …`

use serde_json::{Value, json};

use crate::api::v1;
use crate::cli::answer::{Answer, Block};
use crate::cli::args::{NewTokenArgs, TokenCommand, TokenCommand as Do};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::text::instant_s;
use crate::tokens::Scope;

pub async fn run(context: &mut Context, command: TokenCommand) -> Result<Answer, Failure> {
    let node = context.node().await?;
    match command {
        Do::Create { token, limits } => {
            let NewTokenArgs {
                label,
                scope,
                user,
                valid,
            } = token;
            let limit = |(currency, per_day)| v1::SpendLimit { currency, per_day };
            let request = v1::CreateTokenRequest {
                label: label.clone(),
                scope: match scope {
                    Scope::Read => v1::Scope::Read,
                    Scope::Receive => v1::Scope::Receive,
                    Scope::Spend => v1::Scope::Spend,
                    Scope::Admin => v1::Scope::Admin,
                }
                .into(),
                session: user.unwrap_or_default(),
                limits: limits.into_iter().map(limit).collect(),
                valid_s: valid.map_or(0, |valid| valid.as_secs()),
            };
            let made = node.tokens().create(request).await?.into_inner();
            let object = json!({ "id": made.id, "label": label, "secret": made.secret });
            let text = format!("{}\n{}", made.id, made.secret);
            let advice = "The second line is the secret, and is shown this once.";
            Ok(Answer::new(object, text).with(Block::Text(advice.into())))
        }
        Do::List => {
            let tokens = node
                .tokens()
                .list(v1::ListTokensRequest {})
                .await?
                .into_inner()
                .tokens;
            let answer = Answer {
                objects: tokens.iter().map(object).collect(),
                blocks: Vec::new(),
            };
            let headings = [
                "Id",
                "Label",
                "Scope",
                "For",
                "Spent / limit a day",
                "Expiry",
                "",
            ];
            let rows = tokens.iter().map(row).collect();
            Ok(answer.with_rows(&headings, rows, "There are no tokens."))
        }
        Do::Revoke { id } => {
            node.tokens()
                .revoke(v1::RevokeTokenRequest { id: id.clone() })
                .await?;
            Ok(Answer::new(
                json!({ "revoked": id }),
                format!("{id} is refused from now on."),
            ))
        }
    }
}

fn scope(token: &v1::list_tokens_response::Token) -> &'static str {
    match token.scope() {
        v1::Scope::Read => "read",
        v1::Scope::Receive => "receive",
        v1::Scope::Spend => "spend",
        v1::Scope::Admin => "admin",
    }
}

fn object(token: &v1::list_tokens_response::Token) -> Value {
    let limits = |limits: &[v1::SpendLimit]| -> Value {
        let one =
            |limit: &v1::SpendLimit| json!({ "currency": limit.currency, "amount": limit.per_day });
        limits.iter().map(one).collect()
    };
    json!({
        "id": token.id,
        "label": token.label,
        "scope": scope(token),
        "session": token.session,
        "limits": limits(&token.limits),
        "spent": limits(&token.spent),
        "expiry": token.expiry,
        "revoked": token.revoked,
    })
}

fn row(token: &v1::list_tokens_response::Token) -> Vec<String> {
    let spent = |currency: &str| {
        let found = token.spent.iter().find(|spent| spent.currency == currency);
        found.map_or("0", |spent| spent.per_day.as_str()).to_owned()
    };
    let limit = |limit: &v1::SpendLimit| {
        format!(
            "{} / {} {}",
            spent(&limit.currency),
            limit.per_day,
            limit.currency
        )
    };
    let limits: Vec<_> = token.limits.iter().map(limit).collect();
    vec![
        token.id.clone(),
        token.label.clone(),
        scope(token).into(),
        if token.session.is_empty() {
            "all".into()
        } else {
            token.session.clone()
        },
        limits.join(", "),
        if token.expiry == 0 {
            "never".into()
        } else {
            instant_s(token.expiry)
        },
        if token.revoked {
            "revoked".into()
        } else {
            String::new()
        },
    ]
}
