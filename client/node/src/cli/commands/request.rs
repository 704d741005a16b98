//! `perun request …`, `perun pay`

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::{Value, json};

use super::payment::{Payment, paid, send};
use crate::api::v1;
use crate::cli::answer::{Answer, Block};
use crate::cli::args::{PayArgs, RequestCommand, RequestCommand as Do};
use crate::cli::channels::{self, Channel};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::text::instant_s;
use crate::request::PREFIX;

pub async fn run(context: &mut Context, command: RequestCommand) -> Result<Answer, Failure> {
    match command {
        Do::Make {
            amount,
            currency,
            memo,
            valid,
            no_qr,
        } => {
            let node = context.node().await?;
            let session_id = context.user().await?.session_id;
            let currency = context.currency(&currency).await?;
            let request = v1::CreateRequestRequest {
                session_id,
                currency: currency.clone(),
                amount: amount.clone().unwrap_or_default(),
                memo: memo.clone(),
                valid_s: valid.as_secs(),
            };
            let text = node
                .payments()
                .create_request(request)
                .await?
                .into_inner()
                .text;
            let object = json!({
                "request": text,
                "currency": currency,
                "amount": amount,
                "memo": memo,
                "validS": valid.as_secs(),
            });
            let answer = Answer::new(object, text.clone());
            Ok(match picture(&text).filter(|_| !no_qr) {
                Some(picture) => answer.with(Block::Picture(picture)),
                None => answer,
            })
        }
        Do::Read { text } => {
            let request = read(context, &text).await?;
            Ok(Answer::new(object(&request), lines(&request)))
        }
    }
}

/// Pays a payment request, or a peer or channel.
pub async fn pay(context: &mut Context, args: PayArgs) -> Result<Answer, Failure> {
    if !is_request(&args.to) {
        return pay_peer(context, args).await;
    }
    if !args.memo.is_empty() || args.currency.currency.is_some() {
        return Err(Failure::Usage(
            "a payment request says itself what it is for, and in what".into(),
        ));
    }
    let request = read(context, &args.to).await?;
    let amount = match (request.amount.is_empty(), &args.amount) {
        (true, Some(amount)) => amount.clone(),
        (true, None) => {
            return Err(Failure::Usage(format!(
                "the request leaves the amount open: type it after the request, in {}",
                request.currency
            )));
        }
        (false, None) => request.amount.clone(),
        (false, Some(typed)) => {
            let asked = &request.amount;
            return Err(Failure::Usage(format!(
                "the request asks for {asked} {}, so {typed} can't be paid: leave the amount out",
                request.currency
            )));
        }
    };
    if !request.is_paid {
        let what = format!("{}'s request{}", payee(&request), for_what(&request));
        if args.amount.is_some() {
            context.confirm(&amount, &request.currency, &what)?;
        } else {
            context.confirm_foreign(&amount, &request.currency, &what)?;
        }
    }
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let (message, key) = context.keyed(v1::PayRequestedRequest {
        session_id,
        text: args.to,
        amount: args.amount.unwrap_or_default(),
    })?;
    let progress = context.progress(format!("{} is paid", payee(&request)));
    let answer = node.payments().pay_requested(message).await?.into_inner();
    drop(progress);
    paid(context, answer, &key).await
}

/// Whether a text is a payment request: then what is wrong with it is said, instead of that no peer is
/// called so.
fn is_request(text: &str) -> bool {
    let start = text
        .get(..PREFIX.len() + 1)
        .unwrap_or_default()
        .to_lowercase();
    start.strip_prefix(PREFIX) == Some("1")
}

async fn pay_peer(context: &mut Context, args: PayArgs) -> Result<Answer, Failure> {
    let PayArgs {
        to,
        amount,
        currency,
        memo,
    } = args;
    let amount = amount.ok_or_else(|| Failure::Usage(format!("how much? Type it after {to}")))?;
    let all = channels::all(context).await?;
    let node = context.node().await?;
    let is_peer = all.iter().any(|channel| channel.peer == to);
    let (channel, peer) = if is_peer && !node.is_plaintext {
        // The node chooses the channel that has enough.
        (String::new(), to)
    } else {
        let Channel { info, peer, .. } = channels::named(context, &to).await?;
        (info.ch_id, peer)
    };
    let currency = context.currency(&currency).await?;
    context.confirm(&amount, &currency, &format!("the payment to {peer}"))?;
    let payment = Payment {
        channel,
        peer,
        currency,
        amount,
        memo,
    };
    send(context, payment).await
}

async fn read(context: &mut Context, text: &str) -> Result<v1::ReadRequestResponse, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let text = text.to_owned();
    let answer = node
        .payments()
        .read_request(v1::ReadRequestRequest { session_id, text })
        .await?;
    Ok(answer.into_inner())
}

fn object(request: &v1::ReadRequestResponse) -> Value {
    json!({
        "payee": request.payee,
        "payeeAlias": request.payee_alias,
        "currency": request.currency,
        "amount": if request.amount.is_empty() { Value::Null } else { request.amount.clone().into() },
        "memo": request.memo,
        "expiry": request.expiry,
        "isPaid": request.is_paid,
    })
}

fn lines(request: &v1::ReadRequestResponse) -> String {
    let amount = if request.amount.is_empty() {
        format!("as much as you like, in {}", request.currency)
    } else {
        format!("{} {}", request.amount, request.currency)
    };
    let paid = if request.is_paid { "\nIt is paid." } else { "" };
    let expiry = instant_s(request.expiry);
    let memo = if request.memo.is_empty() {
        String::new()
    } else {
        format!("\nfor: {}", request.memo)
    };
    format!(
        "payee: {}\namount: {amount}{memo}\nuntil: {expiry}{paid}",
        payee(request)
    )
}

fn payee(request: &v1::ReadRequestResponse) -> &str {
    if request.payee_alias.is_empty() {
        &request.payee
    } else {
        &request.payee_alias
    }
}

fn for_what(request: &v1::ReadRequestResponse) -> String {
    if request.memo.is_empty() {
        String::new()
    } else {
        format!(" for {:?}", request.memo)
    }
}

/// The text as a QR code, in upper case: that is the same request, and a smaller picture.
fn picture(text: &str) -> Option<String> {
    let code = QrCode::new(text.to_uppercase()).ok()?;
    Some(code.render::<Dense1x2>().quiet_zone(true).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_drawn() {
        let text = format!("perunreq1{}", "q".repeat(200));
        let picture = picture(&text).unwrap();
        assert!(picture.lines().count() > 20, "{picture}");
        assert_eq!(super::picture(&"q".repeat(10_000)), None);
    }

    #[test]
    fn requests_are_told_from_peers() {
        assert!(is_request("perunreq1qqq"));
        assert!(is_request("PERUNREQ1QQQ"));
        for peer in ["bob", "perunreq", "perunreqs", "päruñreq1", ""] {
            assert!(!is_request(peer), "{peer:?}");
        }
    }

    #[test]
    fn a_request_is_told() {
        let request = v1::ReadRequestResponse {
            payee: "02ab".into(),
            payee_alias: "bob".into(),
            currency: "ICP".into(),
            memo: "tea".into(),
            ..Default::default()
        };
        let expected = "payee: bob\namount: as much as you like, in ICP\nfor: tea\nuntil: 1970-01-01T00:00:00Z";
        assert_eq!(lines(&request), expected);
        assert_eq!(object(&request)["amount"], Value::Null);
    }
}
