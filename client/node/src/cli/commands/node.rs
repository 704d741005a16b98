//! `perun node …`

use serde_json::json;

use crate::api::{pb, v1};
use crate::cli::answer::Answer;
use crate::cli::args::NodeCommand;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::text::instant_s;

pub async fn run(context: &mut Context, command: NodeCommand) -> Result<Answer, Failure> {
    match command {
        NodeCommand::Connect { address } => {
            let node = context.connect(address).await?;
            let time = node.time().await?;
            let text = format!(
                "Connected to {}. Its time is {}.",
                node.address,
                instant_s(time)
            );
            Ok(Answer::new(
                json!({ "node": node.address, "time": time }),
                text,
            ))
        }
        NodeCommand::Time => {
            let node = context.node().await?;
            let time = node.time().await?;
            Ok(Answer::new(
                json!({ "time": time }),
                format!("{time} ({})", instant_s(time)),
            ))
        }
        NodeCommand::Config => {
            let node = context.node().await?;
            let config = node.config().await?;
            let object = json!({
                "chain": config.chain_address,
                "adjudicator": config.adjudicator,
                "ledger": config.asset_eth,
                "commTypes": config.comm_types,
                "idProviderTypes": config.id_provider_types,
            });
            let rows = [
                ("chain", config.chain_address),
                ("adjudicator", config.adjudicator),
                ("first ledger", config.asset_eth),
                ("communication", config.comm_types.join(", ")),
                ("contacts", config.id_provider_types.join(", ")),
            ];
            Ok(values(object, rows))
        }
        NodeCommand::Info => info(context).await,
        NodeCommand::Calls => {
            let node = context.node().await?;
            let apis = node
                .payment_api()
                .help(pb::HelpReq {})
                .await?
                .into_inner()
                .apis;
            Ok(Answer::new(json!({ "calls": apis }), apis.join("\n")))
        }
        NodeCommand::Devices => {
            let node = context.node().await?;
            let answer = node
                .operations()
                .devices(v1::DevicesRequest {})
                .await?
                .into_inner();
            let text = format!("{} channels are watched for devices.", answer.watched);
            let object = json!({ "watched": answer.watched, "devices": answer.devices });
            let rows = answer
                .devices
                .into_iter()
                .map(|device| vec![device])
                .collect();
            Ok(Answer::new(object, text).with_rows(&["Device"], rows, "No devices are known."))
        }
        NodeCommand::Stop => {
            let node = context.node().await?;
            node.operations().stop(v1::StopRequest {}).await?;
            Ok(Answer::new(
                json!({ "stopped": node.address }),
                "The node stops.",
            ))
        }
    }
}

async fn info(context: &mut Context) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let info = node.info().await?;
    let currencies: Vec<_> = info
        .currencies
        .iter()
        .map(|one| {
            json!({
                "currency": one.symbol,
                "ledger": one.ledger,
                "decimals": one.decimals,
                "fee": one.fee,
            })
        })
        .collect();
    let object = json!({
        "version": info.version,
        "chain": info.chain_url,
        "adjudicator": info.adjudicator,
        "moduleHash": info.module_hash,
        "interface": info.interface,
        "minChallengeDurationS": info.min_challenge_duration_s,
        "maxChallengeDurationS": info.max_challenge_duration_s,
        "currencies": currencies,
        "started": info.started,
        "deviceAddress": info.device_address,
        "deviceIdentity": info.device_identity,
        "deviceStreamKey": info.device_stream_key,
    });
    let durations = format!(
        "{} to {} s",
        info.min_challenge_duration_s, info.max_challenge_duration_s
    );
    let symbols: Vec<_> = info
        .currencies
        .iter()
        .map(|one| one.symbol.as_str())
        .collect();
    let rows = [
        ("version", info.version),
        ("running since", instant_s(info.started)),
        ("chain", info.chain_url),
        ("adjudicator", info.adjudicator),
        ("interface", info.interface.to_string()),
        ("module hash", info.module_hash),
        ("challenge durations", durations),
        ("currencies", symbols.join(", ")),
        ("devices at", info.device_address),
        ("key for devices' streams", info.device_stream_key),
    ];
    Ok(values(object, rows))
}

/// What is known, a line each.
fn values<const N: usize>(object: serde_json::Value, rows: [(&str, String); N]) -> Answer {
    let known = rows.iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<_> = known
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    Answer::new(object, lines.join("\n"))
}
