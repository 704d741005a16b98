//! From texts to settings, and whether they make sense together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use candid::Principal;
use http::uri::Authority;
use jiff::SignedDuration;
use perun_protocol::PublicKey;
use perun_watch_stream::StreamId;
use tracing_subscriber::EnvFilter;

use super::values::Values;
use super::{DeviceStream, Devices, Log, LogFormat, Settings};
use crate::Error;
use crate::access::Limits;

/// Nothing is waited for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Where the root key of the Internet Computer is known, and nobody must be asked for another.
const MAINNET: [&str; 4] = ["icp-api.io", "icp0.io", "ic0.app", "internetcomputer.org"];

impl Settings {
    pub(super) fn read(data: PathBuf, values: Values) -> Result<Self, Error> {
        Ok(Self {
            data,
            listen: values.one("listen", address)?,
            compat: values.one("compat", address_or_off)?,
            metrics: values.one("metrics", address_or_off)?,
            chain_url: values.one("chain-url", url)?,
            adjudicator: values.one("adjudicator", principal)?,
            module_hash: values.optional("module-hash", hash)?,
            fetch_root_key: values.one("fetch-root-key", switch)?,
            ledgers: values.many("ledgers", principal)?,
            response_timeout: values.one("response-timeout", duration)?,
            on_chain_tx_timeout: values.one("on-chain-tx-timeout", duration)?,
            chain_conn_timeout: values.one("chain-conn-timeout", duration)?,
            poll_interval: values.one("poll-interval", duration)?,
            max_view_age: values.one("max-view-age", duration)?,
            log: Log {
                level: values.one("log-level", level)?,
                format: values.one("log-format", format)?,
                file: values.paths("log-file")?.into_iter().next(),
            },
            tls_names: values.many("tls-names", text)?,
            open: values.many("open", text)?,
            session_folders: values.paths("session-folders")?,
            devices: Devices {
                listen: values.one("devices", address_or_off)?,
                keys: values.many("device-keys", key)?,
                max_channels: values.one("device-channels", count)? as usize,
                max_watches: values.one("max-watches", count)? as usize,
                streams: values.many("device-streams", device_stream)?,
                funds: values.many("device-funds", funds)?,
                funds_total: values.many("device-funds-total", funds)?,
            },
            limits: Limits {
                concurrent_calls: values.one("concurrent-calls", count)?,
                calls_per_s: values.one("calls-per-second", count)?,
            },
            values,
        })
    }

    /// Whether they make sense together.
    pub(super) fn check(&self) -> Result<(), Error> {
        let invalid = |name: &str, reason: String| {
            let entry = self.values.entry(name);
            let value = entry.map_or(String::new(), |entry| entry.texts.join(","));
            Err(self.values.invalid(name, &value, &reason))
        };
        if let Some(address) = self.compat.filter(|address| !address.ip().is_loopback()) {
            let reason = format!(
                "{} can be reached from other hosts, and whoever reaches it can spend everything: it \
                 has neither TLS nor tokens; use 127.0.0.1 or ::1",
                address.ip()
            );
            return invalid("compat", reason);
        }
        let listeners = [
            ("listen", Some(self.listen)),
            ("compat", self.compat),
            ("metrics", self.metrics),
            ("devices", self.devices.listen),
        ];
        for (i, (name, address)) in listeners.iter().enumerate() {
            let Some(address) = address.filter(|address| address.port() != 0) else {
                continue;
            };
            let mut others = listeners[..i].iter();
            if let Some((other, _)) = others.find(|(_, other)| *other == Some(address)) {
                return invalid(name, format!("this is where {other} is"));
            }
        }
        if self.fetch_root_key && is_mainnet(&self.chain_url) {
            let reason = "the root key of the Internet Computer is known; whoever asks for it believes \
                          everything";
            return invalid("fetch-root-key", reason.into());
        }
        if self.max_view_age <= self.poll_interval {
            let reason = format!(
                "it has to be longer than poll-interval ({:?}), or payments wait for polls",
                self.poll_interval
            );
            return invalid("max-view-age", reason);
        }
        let devices = &self.devices;
        if !devices.funds.is_empty() && devices.keys.is_empty() {
            let reason = "nothing is deposited for anybody; say for whom with device-keys";
            return invalid("device-funds", reason.into());
        }
        if !devices.streams.is_empty() && devices.listen.is_none() {
            let reason = "no devices are served, so their streams are not followed; say with devices where \
                          they connect";
            return invalid("device-streams", reason.into());
        }
        for (i, one) in devices.streams.iter().enumerate() {
            let mut others = devices.streams[..i].iter();
            if others.any(|other| other.stream == one.stream) {
                let stream = hex::encode(one.stream.0);
                let reason =
                    format!("the stream {stream} is named twice; it is followed at one relay");
                return invalid("device-streams", reason);
            }
        }
        Ok(())
    }
}

/// Whether a URL's host is this one.
pub(super) fn is_local(url: &str) -> bool {
    let host = host(url).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.ends_with(".localhost") || address.parse().is_ok_and(is_loopback)
}

fn is_mainnet(url: &str) -> bool {
    let host = host(url).unwrap_or_default();
    let is_within = |domain: &str| {
        let rest = host.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    MAINNET.iter().any(|domain| is_within(domain))
}

fn host(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    uri.host().map(str::to_lowercase)
}

fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse();
    address.map_err(|_| "an address is written like 127.0.0.1:50001 or [::1]:50001".into())
}

fn address_or_off(text: &str) -> Result<Option<SocketAddr>, String> {
    match text {
        "off" => Ok(None),
        text => address(text)
            .map(Some)
            .map_err(|reason| format!("{reason}, or off")),
    }
}

fn url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
    match uri.scheme_str() {
        Some("http" | "https") if host(text).is_some_and(|host| !host.is_empty()) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("it is the URL of the Internet Computer's API, http or https".into()),
    }
}

fn principal(text: &str) -> Result<Principal, String> {
    let principal = Principal::from_text(text);
    principal.map_err(|_| "a canister id is written like rrkah-fqaaa-aaaaa-aaaaq-cai".into())
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let mut hash = [0; 32];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match hex::decode_to_slice(digits, &mut hash) {
        Ok(()) => Ok(hash),
        Err(_) => Err("a hash has 64 hex digits".into()),
    }
}

fn key(text: &str) -> Result<PublicKey, String> {
    let mut bytes = [0; 33];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let key = hex::decode_to_slice(digits, &mut bytes).ok();
    let key = key.and_then(|()| PublicKey::from_bytes(bytes));
    key.filter(PublicKey::is_on_curve)
        .ok_or_else(|| "an off-chain identity has 66 hex digits, and begins with 02 or 03".into())
}

/// A relay and a stream: `host:port/` and 32 hex digits.
fn device_stream(text: &str) -> Result<DeviceStream, String> {
    let (relay, digits) = text
        .rsplit_once('/')
        .ok_or("it is written like relay.example:5790/ and the stream's 32 hex digits")?;
    let authority: Option<Authority> = relay.parse().ok();
    let is_relay = authority.is_some_and(|authority| {
        let has_port = authority.port_u16().is_some_and(|port| port != 0);
        has_port && !authority.host().is_empty() && !relay.contains('@')
    });
    if !is_relay {
        return Err("a relay is written like relay.example:5790 or [::1]:5790".into());
    }
    let mut stream = [0; 16];
    hex::decode_to_slice(digits, &mut stream).map_err(|_| "a stream has 32 hex digits")?;
    Ok(DeviceStream {
        relay: relay.to_owned(),
        stream: StreamId(stream),
    })
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err("it is true or false".into()),
    }
}

fn count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("it is a number from 1 to {}", u32::MAX)),
    }
}

/// As perun-node writes them, and Go: "10s", "1m30s".
fn duration(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "a duration is written like 10s or 1m30s".to_owned())?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() && duration <= LONGEST => Ok(duration),
        _ => Err("a duration is more than nothing, and a day at most".into()),
    }
}

fn level(text: &str) -> Result<String, String> {
    let filter = EnvFilter::try_new(text);
    filter
        .map(|_| text.to_owned())
        .map_err(|error| format!("it is error, warn, info, debug, trace or directives: {error}"))
}

fn format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("it is text or json".into()),
    }
}

/// A currency and an amount. How many decimals it has only its ledger knows.
fn funds(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((currency, amount)) if !currency.is_empty() && !amount.is_empty() => {
            Ok((currency.trim().to_owned(), amount.trim().to_owned()))
        }
        _ => Err("it is written like ICP=0.5".into()),
    }
}
