use std::time::Duration;
use perun_node::settings::*;
use perun_node::access::Limits;
pub fn local(data: &std::path::Path, url: String, adjudicator: candid::Principal) -> Settings {
    Settings { data: data.to_owned(), listen: "127.0.0.1:0".parse().unwrap(), compat: None, metrics: None, chain_url: url, adjudicator, module_hash: None, fetch_root_key: true, ledgers: vec![], response_timeout: Duration::from_secs(5), on_chain_tx_timeout: Duration::from_secs(30), chain_conn_timeout: Duration::from_secs(5), poll_interval: Duration::from_millis(500), max_view_age: Duration::from_secs(10), log: Log { level: "info".into(), format: LogFormat::Text, file: None }, tls_names: vec![], open: vec![], session_folders: vec![], devices: Devices { listen: None, keys: vec![], max_channels: 0, max_watches: 0, funds: vec![], funds_total: vec![] }, limits: Limits { concurrent_calls: 10000, calls_per_s: 100000 } }
}
