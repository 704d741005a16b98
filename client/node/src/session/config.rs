//! A user's configuration file: perun-node's `session.yaml`.
//!
//! Every field of perun-node's is taken. Some have no effect, which is told in the log when the session
//! is opened:
//!
//! | field | why |
//! |---|---|
//! | `peerReconnTimeout` | opening waits for no peer, and connections are made anew for ever |
//! | `chainID`, `assetETH` | this chain has neither |
//! | `fundingURL`, `fundingAPIKey`, `watcherURL`, `watcherAPIKey` | the node funds and watches itself |

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use perun_protocol::PublicKey;
use serde::Deserialize;

use super::auto_accept::AutoAccept;
use crate::contacts::read_identity;
use crate::password::{PasswordSource, Secret, warn_of_readers};
use crate::{Error, Resource};

/// How a session is set up. Paths are relative to the file's folder, and within it.
#[derive(Debug)]
pub struct SessionConfig {
    /// The user's name in the node: that of the folder the file lies in.
    pub name: String,
    /// The file's folder.
    pub folder: PathBuf,
    /// Where the off-chain key is.
    pub off_chain_wallet: Wallet,
    /// Where the identity is that deposits and calls.
    pub on_chain_wallet: Wallet,
    /// Who the user is off chain, if the file says so: the keystore must agree.
    pub off_chain_addr: Option<PublicKey>,
    /// The principal that deposits, if the file says so: the keystore must agree.
    pub on_chain_addr: Option<String>,
    /// Where peers reach the session.
    pub comm_addr: String,
    /// The contacts.
    pub contacts: PathBuf,
    /// What the session must not forget.
    pub database: PathBuf,
    /// The replica, if not the node's.
    pub chain_url: Option<String>,
    /// The adjudicator, if the file says so: it must be the node's.
    pub adjudicator: Option<String>,
    /// How long the chain has to answer when the session is opened, if not as in the node.
    pub chain_conn_timeout: Option<Duration>,
    /// How long peers and the user have to answer, if not as in the node.
    pub response_timeout: Option<Duration>,
    /// How long a call to the adjudicator or a ledger may take, if not as in the node.
    pub on_chain_tx_timeout: Option<Duration>,
    /// Whether the user is asked about payments that come in.
    pub incoming_payments: IncomingPayments,
    /// Proposals that are accepted without asking.
    pub auto_accept: Vec<AutoAccept>,
    /// Fields of the file that have no effect.
    ineffective: Vec<&'static str>,
}

/// A folder with keys, and where the password is that unlocks them.
#[derive(Debug)]
pub struct Wallet {
    /// The folder.
    pub keystore: PathBuf,
    /// `None` if it has to be given when the session is opened.
    pub password: Option<PasswordSource>,
}

/// What is done with a payment that the peer proposes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum IncomingPayments {
    /// The user is asked, and has the response timeout to answer: as in perun-node.
    #[default]
    Ask,
    /// It is accepted: no payment of the peer lowers the user's balance.
    Accept,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    user: User,
    id_provider_type: Option<String>,
    #[serde(rename = "idProviderURL")]
    id_provider_url: Option<PathBuf>,
    #[serde(rename = "chainURL")]
    chain_url: Option<String>,
    #[serde(rename = "chainID")]
    chain_id: Option<u64>,
    adjudicator: Option<String>,
    #[serde(rename = "assetETH")]
    asset_eth: Option<String>,
    #[serde(default, with = "duration")]
    chain_conn_timeout: Option<Duration>,
    #[serde(default, with = "duration")]
    on_chain_tx_timeout: Option<Duration>,
    #[serde(default, with = "duration")]
    response_timeout: Option<Duration>,
    database_dir: Option<PathBuf>,
    #[serde(default, with = "duration")]
    peer_reconn_timeout: Option<Duration>,
    funding_type: Option<String>,
    #[serde(rename = "fundingURL")]
    funding_url: Option<String>,
    #[serde(rename = "fundingAPIKey")]
    funding_api_key: Option<String>,
    watcher_type: Option<String>,
    #[serde(rename = "watcherURL")]
    watcher_url: Option<String>,
    #[serde(rename = "watcherAPIKey")]
    watcher_api_key: Option<String>,
    #[serde(default)]
    incoming_payments: IncomingPayments,
    #[serde(default)]
    auto_accept: Vec<AutoAccept>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct User {
    /// Always "self" in the session, as in perun-node.
    #[serde(rename = "alias")]
    _alias: Option<String>,
    on_chain_addr: Option<String>,
    on_chain_wallet: Option<WalletFile>,
    #[serde(default)]
    part_addrs: Vec<String>,
    off_chain_addr: Option<String>,
    off_chain_wallet: Option<WalletFile>,
    comm_addr: String,
    comm_type: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WalletFile {
    keystore_path: PathBuf,
    password: Option<String>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
}

/// Durations as Go writes them: "10s", "1m30s".
mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, de::Error as _};

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let duration = humantime::parse_duration(&text);
        duration
            .map(Some)
            .map_err(|_| D::Error::custom(format!("{text:?} is no duration like 10s or 1m30s")))
    }
}

impl SessionConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not there, [`Error::InvalidConfig`] if something is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found(Resource::Session, path.display().to_string())
            }
            _ => invalid("configFile", path.display(), &error.to_string()),
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let config = Self::parse(&text, folder, &name)?;
        let wallets = [&config.off_chain_wallet, &config.on_chain_wallet];
        let has_password =
            |wallet: &&Wallet| matches!(wallet.password, Some(PasswordSource::Plain(_)));
        if wallets.iter().any(has_password) {
            warn_of_readers(path, "password");
        }
        Ok(config)
    }

    /// Says which of the file's fields have no effect.
    pub(super) fn warn(&self) {
        if !self.ineffective.is_empty() {
            let fields = self.ineffective.join(", ");
            tracing::warn!(session = %self.name, fields, "these fields of the configuration have no effect");
        }
    }

    fn parse(text: &str, folder: &Path, name: &str) -> Result<Self, Error> {
        // Nothing of the file's text in the error: it may have passwords in it.
        let options = serde_saphyr::options! { with_snippet: false };
        let file: File = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| invalid("configFile", folder.display(), &error.to_string()))?;
        expect("idProviderType", file.id_provider_type.as_deref(), "local")?;
        expect("commType", file.user.comm_type.as_deref(), "tcp")?;
        expect("fundingType", file.funding_type.as_deref(), "local")?;
        expect("watcherType", file.watcher_type.as_deref(), "local")?;
        let on_chain = file.user.on_chain_wallet.clone();
        let off_chain = file.user.off_chain_wallet.clone();
        let wallet = |given: Option<WalletFile>, other: Option<WalletFile>| match given.or(other) {
            Some(wallet) => wallet.resolve(folder),
            None => Ok(Wallet {
                keystore: folder.join("keystore"),
                password: None,
            }),
        };
        let off_chain_addr = match &file.user.off_chain_addr {
            Some(text) => Some(identity("offChainAddr", text)?),
            None => None,
        };
        for part in &file.user.part_addrs {
            // There is one key for both: a participant is known to its peer by its identity.
            if Some(identity("partAddrs", part)?) != off_chain_addr {
                let reason = "has to be the same as offChainAddr, or left out";
                return Err(invalid("partAddrs", part, reason));
            }
        }
        let ineffective = file.ineffective();
        Ok(Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            off_chain_wallet: wallet(off_chain.clone(), on_chain.clone())?,
            on_chain_wallet: wallet(on_chain, off_chain)?,
            off_chain_addr,
            on_chain_addr: file.user.on_chain_addr,
            comm_addr: file.user.comm_addr,
            contacts: within(
                folder,
                "idProviderURL",
                file.id_provider_url,
                "contacts.yaml",
            )?,
            database: within(folder, "databaseDir", file.database_dir, "database")?,
            chain_url: file.chain_url,
            adjudicator: file.adjudicator,
            chain_conn_timeout: file.chain_conn_timeout,
            response_timeout: file.response_timeout,
            on_chain_tx_timeout: file.on_chain_tx_timeout,
            incoming_payments: file.incoming_payments,
            auto_accept: file.auto_accept,
            ineffective,
        })
    }
}

impl File {
    fn ineffective(&self) -> Vec<&'static str> {
        let fields = [
            ("peerReconnTimeout", self.peer_reconn_timeout.is_some()),
            ("chainID", self.chain_id.is_some()),
            ("assetETH", self.asset_eth.is_some()),
            ("fundingURL", self.funding_url.is_some()),
            ("fundingAPIKey", self.funding_api_key.is_some()),
            ("watcherURL", self.watcher_url.is_some()),
            ("watcherAPIKey", self.watcher_api_key.is_some()),
        ];
        let given = fields.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(name, _)| name).collect()
    }
}

impl WalletFile {
    fn resolve(self, folder: &Path) -> Result<Wallet, Error> {
        let sources = [
            self.password
                .map(|text| PasswordSource::Plain(Secret::new(text))),
            self.password_file
                .map(|path| PasswordSource::File(folder.join(path))),
            self.password_env.map(PasswordSource::Env),
        ];
        let mut sources = sources.into_iter().flatten();
        let password = sources.next();
        if sources.next().is_some() {
            let reason = "only one of password, passwordFile and passwordEnv can be given";
            return Err(invalid("password", "", reason));
        }
        Ok(Wallet {
            keystore: within(folder, "keystorePath", Some(self.keystore_path), "")?,
            password,
        })
    }
}

/// A path in the session's folder: what lies elsewhere would be missing in backups, and after a restore it
/// would be that of another session, or a newer one.
fn within(
    folder: &Path,
    name: &str,
    given: Option<PathBuf>,
    default: &str,
) -> Result<PathBuf, Error> {
    let path = folder.join(given.unwrap_or(default.into()));
    let is_within = |rest: &Path| rest.components().all(|part| part != Component::ParentDir);
    match path.strip_prefix(folder).is_ok_and(is_within) {
        true => Ok(path),
        false => {
            let reason = format!("it has to be in the session's folder, {}", folder.display());
            Err(invalid(name, path.display(), &reason))
        }
    }
}

fn identity(name: &str, text: &str) -> Result<PublicKey, Error> {
    read_identity(text).ok_or_else(|| {
        let reason = "a compressed secp256k1 key is expected, 66 hex digits";
        invalid(name, text, reason)
    })
}

fn expect(name: &str, given: Option<&str>, expected: &str) -> Result<(), Error> {
    match given {
        None => Ok(()),
        Some(given) if given == expected => Ok(()),
        Some(given) => Err(invalid(name, given, &format!("only {expected:?} is known"))),
    }
}

fn invalid(name: &str, value: impl std::fmt::Display, reason: &str) -> Error {
    Error::InvalidConfig {
        name: name.to_owned(),
        value: value.to_string(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5";

    fn parse(text: &str) -> Result<SessionConfig, Error> {
        SessionConfig::parse(text, Path::new("/data/sessions/alice"), "alice")
    }

    #[test]
    fn a_file_of_perun_node_is_understood() {
        let text = format!(
            "user:\n  alias: alice\n  onChainWallet:\n    keystorePath: ./keystore\n    password: secret word\n  \
             partAddrs:\n    - 0x{KEY}\n  offChainAddr: 0x{KEY}\n  offChainWallet:\n    keystorePath: ./keystore\n    \
             password: secret word\n  commAddr: 127.0.0.1:5750\n  commType: tcp\nidProviderType: local\n\
             idProviderURL: ./idprovider.yaml\nchainURL: http://127.0.0.1:4943\nchainID: 1337\n\
             chainConnTimeout: 10s\nonChainTxTimeout: 1m0s\nresponseTimeout: 10s\ndatabaseDir: ./database\n\
             peerReconnTimeout: 20s\nfundingType: local\nwatcherType: local\n"
        );
        let config = parse(&text).unwrap();
        assert_eq!(config.on_chain_tx_timeout, Some(Duration::from_secs(60)));
        assert_eq!(config.chain_conn_timeout, Some(Duration::from_secs(10)));
        assert_eq!(config.ineffective, ["peerReconnTimeout", "chainID"]);
        assert_eq!(config.incoming_payments, IncomingPayments::Ask);
        assert!(config.contacts.ends_with("alice/./idprovider.yaml"));
        assert!(config.off_chain_addr.is_some());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |line: &str| {
            let text = format!("user:\n  commAddr: 127.0.0.1:5750\n{line}\n");
            parse(&text).unwrap_err().to_string()
        };
        assert!(with("fundingType: remote").contains("fundingType"));
        assert!(with("idProviderType: ldap").contains("local"));
        assert!(with("responseTimeout: soon").contains("soon"));
        assert!(with("respnseTimeout: 10s").contains("respnseTimeout"));
        assert!(with("incomingPayments: maybe").contains("maybe"));
        for path in ["/srv/database", "../bob/database", "./a/../../bob"] {
            assert!(with(&format!("databaseDir: {path}")).contains("in the session's folder"));
            assert!(with(&format!("idProviderURL: {path}")).contains("in the session's folder"));
        }
        assert!(parse("user:\n  commAddr: a:1\ndatabaseDir: /data/sessions/alice/db\n").is_ok());
        let error = parse("user:\n  commAddr: a:1\n  offChainAddr: 0x12\n").unwrap_err();
        assert!(error.to_string().contains("0x12"), "{error}");
    }
}
