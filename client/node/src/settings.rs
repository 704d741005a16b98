//! How a node is set up: flags over environment over file over defaults.
//!
//! ```text
//!  --chain-url  >  PERUND_CHAIN_URL  >  chain-url in node.yaml  >  default      (keys: one table)
//!       └───────────────┴──────── texts, each with its origin ─────┘
//!                                  │ read, checked
//!                                  v
//!                              Settings ──> show, JSON; sample <── table
//! ```
//!
//! In the file neither case nor `-` nor `_` matter, so that perun-node's `chainurl` is our `chain-url`.

mod file;
mod keys;
mod read;
mod show;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candid::Principal;
use perun_protocol::PublicKey;
use perun_watch_stream::StreamId;

pub use self::keys::Flags;
pub use self::values::Origin;
use self::values::Values;
use crate::access::Limits;
use crate::{Error, private_file};

/// The configuration file in the data folder.
pub const FILE: &str = "node.yaml";

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// Where the API is served, with TLS and tokens.
    pub listen: SocketAddr,
    /// Where perun-node's API is served in plaintext without tokens.
    pub compat: Option<SocketAddr>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// The Internet Computer's API.
    pub chain_url: String,
    /// The adjudicator.
    pub adjudicator: Principal,
    /// What its module has to be.
    pub module_hash: Option<[u8; 32]>,
    /// Whether the root key is asked for: of local networks only.
    pub fetch_root_key: bool,
    /// The ledgers whose tokens are currencies; all that the adjudicator knows if empty.
    pub ledgers: Vec<Principal>,
    /// How long peers and users have to answer.
    pub response_timeout: Duration,
    /// How long a deposit, conclusion or withdrawal is waited for.
    pub on_chain_tx_timeout: Duration,
    /// How long the chain has to answer at the start.
    pub chain_conn_timeout: Duration,
    /// How often the adjudicator's event log is read.
    pub poll_interval: Duration,
    /// How old a view of a channel may be, to pay on it.
    pub max_view_age: Duration,
    /// What is logged, and how.
    pub log: Log,
    /// Names and addresses by which clients reach the node, besides those of this host.
    pub tls_names: Vec<String>,
    /// Names of sessions that are opened at the start.
    pub open: Vec<String>,
    /// Folders below which `OpenSession` may open a configuration, besides the node's own.
    pub session_folders: Vec<PathBuf>,
    /// What is done for devices.
    pub devices: Devices,
    /// How much one caller may ask at once.
    pub limits: Limits,
    /// Each as it is written, and where.
    values: Values,
}

/// What is logged, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// A level, or directives of `tracing_subscriber::EnvFilter`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
    /// Where they go; standard error if `None`.
    pub file: Option<PathBuf>,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: an object a line.
    Json,
}

/// What is done for devices.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Devices {
    /// Where they connect; `None` if none are served.
    pub listen: Option<SocketAddr>,
    /// Who is served; anybody if empty, but nothing is deposited then.
    pub keys: Vec<PublicKey>,
    /// Channels that are watched for one of them.
    pub max_channels: usize,
    /// Channels that are watched for all of them.
    pub max_watches: usize,
    /// Their watch streams that are followed; each once.
    pub streams: Vec<DeviceStream>,
    /// What may be deposited for one of them within a day: currency and amount as they are written.
    pub funds: Vec<(String, String)>,
    /// What may be deposited for all of them within a day.
    pub funds_total: Vec<(String, String)>,
}

/// A device's watch stream, and where it is relayed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceStream {
    /// The relay, `host:port`.
    pub relay: String,
    /// The stream.
    pub stream: StreamId,
}

impl Settings {
    /// Finds out: flags, environment, file, defaults.
    pub fn load(flags: &Flags) -> Result<Self, Error> {
        let data = flags.data()?;
        let file = match flags.config() {
            Some(path) => file::read(&path)?,
            None => file::read_if_there(&data.join(FILE))?,
        };
        let values = Values::new(flags, file);
        let settings = Self::read(data, values)?;
        settings.check()?;
        Ok(settings)
    }

    /// For a network on this machine, as demos and tests have it: free ports, and everything happens
    /// within seconds.
    pub fn for_local(data: &Path, chain_url: impl Into<String>, adjudicator: Principal) -> Self {
        let chain_url = chain_url.into();
        let flags = Flags::from_pairs(&[
            ("listen", "127.0.0.1:0"),
            ("chain-url", &chain_url),
            ("adjudicator", &adjudicator.to_text()),
            ("fetch-root-key", "true"),
            ("poll-interval", "500ms"),
            ("max-view-age", "10s"),
        ]);
        let values = Values::new(&flags, file::File::default());
        let settings = Self::read(data.to_owned(), values);
        settings.expect("a local network's URL is one")
    }

    /// Where a value comes from: by its name in the file, "chain-url".
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        let entry = self.values.entry(key)?;
        Some(&entry.origin)
    }

    /// Logs what is allowed, but better otherwise. To be called once logging has been started.
    pub fn warn(&self) {
        if let Some(address) = self.metrics.filter(|address| !address.ip().is_loopback()) {
            tracing::warn!(%address, "metrics are served to everybody who reaches this address");
        }
        if self.chain_url.starts_with("http://") && !read::is_local(&self.chain_url) {
            let url = &self.chain_url;
            tracing::warn!(
                url,
                "the chain is reached without TLS; answers that matter are certified"
            );
        }
        if self.fetch_root_key {
            tracing::warn!(
                "whoever answers at the chain's URL is believed: for local networks only"
            );
        }
    }

    /// Writes a sample `node.yaml` with comments, and with the values that flags give; unless there is
    /// one. Where.
    pub fn generate(flags: &Flags) -> Result<PathBuf, Error> {
        let path = match flags.config() {
            Some(path) => path,
            None => flags.data()?.join(FILE),
        };
        let values = Values::new(flags, file::File::default());
        let sample = show::sample(&values);
        let folder = path.parent().unwrap_or(Path::new("."));
        let written = private_file::create_folder(folder)
            .and_then(|()| private_file::create(&path, sample.as_bytes()));
        written.map_err(|error| Error::InvalidConfig {
            name: "config".into(),
            value: path.display().to_string(),
            reason: match error.kind() {
                std::io::ErrorKind::AlreadyExists => "it is there, and is not overwritten".into(),
                _ => error.to_string(),
            },
        })?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests;
