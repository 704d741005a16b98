//! `perun chain …`

use serde_json::json;

use super::success;
use crate::api::pb;
use crate::cli::answer::{Answer, Block};
use crate::cli::args::ChainCommand;
use crate::cli::context::Context;
use crate::cli::failure::Failure;

pub async fn run(context: &mut Context, command: ChainCommand) -> Result<Answer, Failure> {
    match command {
        ChainCommand::Address => {
            let config = context.node().await?.config().await?;
            let text = format!(
                "{}\nadjudicator {}",
                config.chain_address, config.adjudicator
            );
            Ok(Answer::new(
                json!({ "chain": config.chain_address, "adjudicator": config.adjudicator }),
                text,
            ))
        }
        ChainCommand::SetAddress { url } => {
            let chain = context.node().await?.config().await?.chain_address;
            let plain = |url: &str| url.trim_end_matches('/').to_owned();
            if plain(&chain) != plain(&url) {
                return Err(Failure::Usage(format!(
                    "the node uses {chain}; its operator changes that by `chainurl` in node.yaml, and \
                     starts it again"
                )));
            }
            Ok(Answer::new(
                json!({ "chain": chain }),
                format!("The node uses {chain}."),
            ))
        }
        ChainCommand::Balance { account } => balance(context, account).await,
        ChainCommand::Deploy => deploy(context).await,
        ChainCommand::Register { ledger } => {
            let node = context.node().await?;
            let request = pb::RegisterCurrencyReq {
                token_addr: ledger.clone(),
                asset_addr: String::new(),
            };
            let answer = node.payment_api().register_currency(request).await?;
            let symbol = success!(answer, register_currency_resp)?.symbol;
            context.forget_currencies();
            Ok(Answer::new(
                json!({ "currency": symbol, "ledger": ledger }),
                format!("{symbol} is known."),
            ))
        }
    }
}

async fn balance(context: &mut Context, wanted: Option<String>) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let answer = node.balances(session_id).await?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != answer.account) {
        return Err(Failure::Usage(format!(
            "{wanted} is not the user's account, which is {}",
            answer.account
        )));
    }
    let balances: Vec<_> = answer
        .balances
        .iter()
        .map(|one| {
            json!({
                "currency": one.currency,
                "ledger": one.ledger,
                "amount": one.amount,
                "fee": one.fee,
            })
        })
        .collect();
    let rows = answer
        .balances
        .iter()
        .map(|one| {
            vec![
                one.currency.clone(),
                one.amount.clone(),
                one.fee.clone(),
                one.ledger.clone(),
            ]
        })
        .collect();
    let object = json!({ "account": answer.account, "balances": balances });
    Ok(
        Answer::new(object, format!("Account {}", answer.account)).with_rows(
            &["Currency", "Amount", "Fee", "Ledger"],
            rows,
            "No currencies are known.",
        ),
    )
}

/// What perunnodecli's command means here: contracts stand already, for all channels.
async fn deploy(context: &mut Context) -> Result<Answer, Failure> {
    let node = context.node().await?;
    if node.is_plaintext {
        let config = node.config().await?;
        let object = json!({ "adjudicator": config.adjudicator, "ledgers": [config.asset_eth] });
        return Ok(Answer::new(object, nothing_to_deploy(&config.adjudicator)));
    }
    let info = node.info().await?;
    let ledgers: Vec<_> = info
        .currencies
        .iter()
        .map(|currency| currency.ledger.clone())
        .collect();
    let mut answer = Answer::new(
        json!({ "adjudicator": info.adjudicator, "ledgers": ledgers }),
        nothing_to_deploy(&info.adjudicator),
    );
    for currency in &info.currencies {
        let line = format!(
            "  {} is held at ledger {}",
            currency.symbol, currency.ledger
        );
        answer = answer.with(Block::Text(line));
    }
    Ok(answer)
}

fn nothing_to_deploy(adjudicator: &str) -> String {
    format!(
        "There is nothing to deploy: the adjudicator {adjudicator} serves all channels of its ledgers."
    )
}
