//! All settings there are, and their flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::values::Origin;
use crate::Error;

/// A setting.
pub(super) struct Key {
    /// Its flag without `--`, and its name in the file.
    pub(super) name: &'static str,
    pub(super) env: &'static str,
    pub(super) kind: Kind,
    /// Empty if there is none.
    pub(super) default: &'static str,
    value_name: &'static str,
    /// One sentence for the help and the sample.
    pub(super) help: &'static str,
}

/// What values a setting has.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// One.
    One,
    /// One, or this if it is not said which.
    OneOr(&'static str),
    /// Any number.
    Many,
    /// One, and not in the file.
    FlagOnly,
}

macro_rules! keys {
    ($(($name:literal, $env:literal, $kind:expr, $default:literal, $value_name:literal, $help:literal),)*) => {
        &[$(Key {
            name: $name,
            env: concat!("PERUND_", $env),
            kind: $kind,
            default: $default,
            value_name: $value_name,
            help: $help,
        }),*]
    };
}

use Kind::{FlagOnly, Many, One, OneOr};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = keys![
    ("data", "DATA", FlagOnly, "", "FOLDER", "The data folder [default: perund in the user's folder for data]"),
    ("config", "CONFIG", FlagOnly, "", "FILE", "The configuration file [default: node.yaml in the data folder]"),
    ("listen", "LISTEN", One, "127.0.0.1:50001", "ADDRESS", "Where the API is served, with TLS and tokens"),
    ("compat", "COMPAT", OneOr("127.0.0.1:50002"), "off", "ADDRESS", "Serve perun-node's API in plaintext without tokens, on loopback only, or \"off\""),
    ("metrics", "METRICS", One, "off", "ADDRESS", "Where metrics for Prometheus are served, or \"off\""),
    ("tls-names", "TLS_NAMES", Many, "", "NAMES", "Names and addresses by which clients on other hosts reach the node"),
    ("calls-per-second", "CALLS_PER_SECOND", One, "20000", "COUNT", "How many calls one caller may make in a second"),
    ("concurrent-calls", "CONCURRENT_CALLS", One, "4096", "COUNT", "How many calls of one caller may run at once; subscriptions are calls"),
    ("chain-url", "CHAIN_URL", One, "https://icp-api.io", "URL", "The Internet Computer's API"),
    ("adjudicator", "ADJUDICATOR", One, "", "CANISTER", "The adjudicator's canister id; it has to be set"),
    ("module-hash", "MODULE_HASH", One, "", "HASH", "What the SHA-256 of the adjudicator's module has to be"),
    ("fetch-root-key", "FETCH_ROOT_KEY", OneOr("true"), "false", "BOOL", "Ask the chain for its root key: for local networks only"),
    ("ledgers", "LEDGERS", Many, "", "CANISTERS", "Ledgers whose tokens are currencies; all that the adjudicator serves if none are named"),
    ("chain-conn-timeout", "CHAIN_CONN_TIMEOUT", One, "10s", "DURATION", "How long the chain has to answer at the start"),
    ("on-chain-tx-timeout", "ON_CHAIN_TX_TIMEOUT", One, "1m", "DURATION", "How long a deposit, conclusion or withdrawal is waited for; it goes on afterwards"),
    ("response-timeout", "RESPONSE_TIMEOUT", One, "10s", "DURATION", "How long peers and users have to answer"),
    ("poll-interval", "POLL_INTERVAL", One, "15s", "DURATION", "How often the adjudicator's event log is read"),
    ("max-view-age", "MAX_VIEW_AGE", One, "1m", "DURATION", "How old a certified view of a channel may be, to pay through it"),
    ("open", "OPEN", Many, "", "SESSIONS", "Sessions that are opened at the start, if their configuration says where the password is"),
    ("session-folders", "SESSION_FOLDERS", Many, "", "FOLDERS", "Other folders with configurations that OpenSession may open"),
    ("devices", "DEVICES", One, "off", "ADDRESS", "Where devices connect whose channels are watched, or \"off\""),
    ("device-keys", "DEVICE_KEYS", Many, "", "KEYS", "Which devices are served, by their off-chain identities; anybody if none are named"),
    ("device-channels", "DEVICE_CHANNELS", One, "16", "COUNT", "How many channels are watched for one device"),
    ("max-watches", "MAX_WATCHES", One, "10000", "COUNT", "How many channels are watched for all devices"),
    ("device-streams", "DEVICE_STREAMS", Many, "", "STREAMS", "Watch streams of devices that are followed, each as its relay and its name: \"relay.example:5790/\" and 32 hex digits"),
    ("device-funds", "DEVICE_FUNDS", Many, "", "AMOUNTS", "What may be deposited for one device within a day, like \"ICP=0.5\""),
    ("device-funds-total", "DEVICE_FUNDS_TOTAL", Many, "", "AMOUNTS", "What may be deposited for all devices within a day"),
    ("log-level", "LOG_LEVEL", One, "info", "LEVEL", "What is logged: error, warn, info, debug, trace, or directives like \"info,perun_node=debug\""),
    ("log-format", "LOG_FORMAT", One, "text", "FORMAT", "How lines of the log look: text or json"),
    ("log-file", "LOG_FILE", One, "", "FILE", "Where the log goes; standard error if not set"),
];

/// The setting of this name, however it is written.
pub(super) fn named(name: &str) -> Option<&'static Key> {
    let name = plain(name);
    KEYS.iter().find(|key| plain(key.name) == name)
}

/// The name that is most like this one, if one is.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name = plain(name);
    let likeness = |key: &Key| strsim::jaro_winkler(&plain(key.name), &name);
    let nearest = KEYS
        .iter()
        .filter(|key| key.kind != FlagOnly)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(nearest) > 0.7).then_some(nearest.name)
}

/// A name without what does not matter in it.
pub(super) fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '-' | '_'));
    letters.flat_map(char::to_lowercase).collect()
}

/// Flags and environment variables. Flatten it into a command: `#[command(flatten)]`.
#[derive(Clone, Debug, Default)]
pub struct Flags(BTreeMap<&'static str, (Vec<String>, Origin)>);

impl Flags {
    /// As if these flags were given.
    pub(super) fn from_pairs(pairs: &[(&'static str, &str)]) -> Self {
        let given = pairs.iter().map(|(name, value)| {
            let value = vec![(*value).to_owned()];
            (*name, (value, Origin::Flag))
        });
        Self(given.collect())
    }

    /// The data folder, without symbolic links: paths in it are compared.
    pub fn data(&self) -> Result<PathBuf, Error> {
        let invalid = |value: String, reason: &str| Error::InvalidConfig {
            name: "data".into(),
            value,
            reason: reason.into(),
        };
        let folder = match self.path("data") {
            Some(folder) => folder,
            None => {
                let xdg = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
                let home = || Some(std::env::home_dir()?.join(".local/share"));
                // The specification says that others are to be ignored.
                let folder = xdg.filter(|folder| folder.is_absolute()).or_else(home);
                let reason = "there is no home folder; say where with --data";
                folder
                    .ok_or_else(|| invalid(String::new(), reason))?
                    .join("perund")
            }
        };
        let absolute = std::path::absolute(&folder);
        let absolute =
            absolute.map_err(|error| invalid(folder.display().to_string(), &error.to_string()))?;
        Ok(without_links(&absolute))
    }

    /// The configuration file, if one is named.
    pub(super) fn config(&self) -> Option<PathBuf> {
        self.path("config")
    }

    pub(super) fn given(&self, name: &str) -> Option<&(Vec<String>, Origin)> {
        self.0.get(name)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let (values, _) = self.given(name)?;
        values.first().map(PathBuf::from)
    }
}

/// The same place without symbolic links, as far as anything is there yet.
fn without_links(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| {
        let real = above.canonicalize().ok()?;
        let rest = path.strip_prefix(above).ok()?;
        // By its parts: joined as a whole, an empty rest would leave a slash.
        Some(real.components().chain(rest.components()).collect())
    });
    found.unwrap_or_else(|| path.to_owned())
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS {
            let origin = match matches.value_source(key.name) {
                Some(ValueSource::CommandLine) => Origin::Flag,
                Some(ValueSource::EnvVariable) => Origin::Environment(key.env),
                _ => continue,
            };
            let values = matches.get_many::<String>(key.name);
            let values = values.unwrap_or_default().cloned().collect();
            self.0.insert(key.name, (values, origin));
        }
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        KEYS.iter()
            .fold(command, |command, key| command.arg(key.arg()))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl Key {
    fn arg(&self) -> Arg {
        let help = match self.default {
            "" => self.help.to_owned(),
            default => format!("{} [default: {default}]", self.help),
        };
        let arg = Arg::new(self.name)
            .long(self.name)
            .env(self.env)
            .hide_env_values(true)
            .value_name(self.value_name)
            .help(help);
        match self.kind {
            One | FlagOnly => arg,
            OneOr(value) => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value(value),
            Many => arg.action(ArgAction::Append).value_delimiter(','),
        }
    }
}
