//! How a session begins: keys unlocked, the configuration checked, channels restored.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use perun_canister_api::convert;
use perun_client::chain::Chain;
use perun_client::client::{Client, Config, Parts, StartError};
use perun_client::link::{TcpConfig, TcpTransport};
use perun_client::store::FileStore;
use perun_client::{Adjudicator, Funder};
use perun_protocol::signature::Signer as _;
use perun_protocol::{Account, PublicKey};
use tokio::sync::{broadcast, watch};

use super::config::{self, IncomingPayments, SessionConfig};
use super::quarantine::Quarantine;
use super::{Session, Times, backing_up, ledger_of};
use crate::Error;
use crate::contacts::{Contacts, show_identity};
use crate::currency::Currencies;
use crate::history::{History, Recorded};
use crate::idempotency::Calls;
use crate::keystore::{Keystore, UserKeys};
use crate::lock::lock;
use crate::metrics::{Direction, SessionMetrics};
use crate::password::Secret;
use crate::replica::Replica;
use crate::settings::Settings;

/// How many events are kept for a listener who is slow.
const EVENTS_KEPT: usize = 1024;
/// How many notifications of the client are kept until they are handled.
const NOTIFICATIONS_KEPT: usize = 4096;

/// What a session shares with the node.
pub struct Surroundings<'a> {
    /// How the node is set up.
    pub settings: &'a Settings,
    /// The ledgers that it knows.
    pub currencies: Arc<Currencies>,
    /// Where the session's figures go.
    pub metrics: SessionMetrics,
}

impl Session {
    /// Opens the session of a configuration, and restores its channels.
    ///
    /// `password` unlocks keys for which the configuration names none.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if something of it is wrong, [`Error::ChainNotReachable`] if the
    /// adjudicator does not answer.
    pub async fn open(
        config: SessionConfig,
        password: Option<Secret>,
        surroundings: Surroundings<'_>,
    ) -> Result<Arc<Self>, Error> {
        let Surroundings {
            settings,
            currencies,
            metrics,
        } = surroundings;
        config.warn();
        let (config, keys) = unlock(config, password).await?;
        let identity = keys.off_chain.public_key();
        check_address(&config, &identity)?;
        let chain_url = config.chain_url.clone();
        let chain_url = chain_url.unwrap_or_else(|| settings.chain_url.clone());
        let replica = Replica {
            url: &chain_url,
            ..Replica::of(settings)
        };
        let replica = match config.chain_conn_timeout {
            None => replica,
            Some(within) => Replica {
                within,
                setting: "chainConnTimeout",
                ..replica
            },
        };
        let agent = replica.connect(Arc::clone(&keys.identity)).await?;
        let principal = agent.get_principal().map_err(Error::internal)?;
        expect_same(
            "onChainAddr",
            config.on_chain_addr.as_deref(),
            &principal.to_text(),
        )?;
        let adjudicator = settings.adjudicator;
        expect_same(
            "adjudicator",
            config.adjudicator.as_deref(),
            &adjudicator.to_text(),
        )?;
        let owner = convert::principal(principal);
        let owner = owner.ok_or_else(|| Error::internal("the identity has no account"))?;
        let account = Account::of(owner);
        let times = Times {
            response: config.response_timeout.unwrap_or(settings.response_timeout),
            on_chain_tx: config
                .on_chain_tx_timeout
                .unwrap_or(settings.on_chain_tx_timeout),
        };
        let client_config = Config {
            poll_interval: settings.poll_interval,
            max_view_age: settings.max_view_age,
            retry_after: settings.poll_interval.max(Duration::from_secs(1)),
            silent_after: 2 * times.response,
            close_within: times.response,
            decide_within: match config.incoming_payments {
                IncomingPayments::Ask => Some(times.response),
                IncomingPayments::Accept => None,
            },
            events_kept: NOTIFICATIONS_KEPT,
            ..Config::new(account)
        };
        let contacts = Contacts::open(&config.contacts)?;
        let store = open_store(&config.database, &identity).await?;
        let transport = TcpTransport::bind(
            Arc::clone(&keys.off_chain) as Arc<_>,
            &*config.comm_addr,
            TcpConfig::default(),
        );
        let transport = transport.await.map_err(|error| Error::InvalidConfig {
            name: "commAddr".into(),
            value: config.comm_addr.clone(),
            reason: format!("it cannot be listened at: {error}"),
        })?;
        // A port of 0 takes any free one: what peers need is the one that it is.
        let comm_addr = transport.local_address().to_string();
        let folder = config.folder.as_path();
        let history = History::open(folder)?;
        history.tell(count_payments(metrics.clone(), Arc::clone(&currencies)));
        let calls = Calls::open(&folder.join(backing_up::CALLS))?;
        let funder = Funder::new(Adjudicator::new(agent.clone(), adjudicator));
        let funder = funder.with_poll_interval(settings.poll_interval / 2);
        let started = Client::start(Parts {
            config: client_config,
            key: Arc::clone(&keys.off_chain) as Arc<_>,
            chain: Chain::new(funder),
            store: Arc::clone(&store) as Arc<_>,
            transport: Arc::new(transport),
            leave_out: Vec::new(),
        });
        let failure = |error| match error {
            StartError::Adjudicator(error) => replica.unreachable(&error),
            error => Error::InvalidConfig {
                name: "databaseDir".into(),
                value: config.database.display().to_string(),
                reason: error.to_string(),
            },
        };
        // All that it waits for is the adjudicator's time.
        let started = async { started.await.map_err(failure) };
        let client = replica.in_time(started).await?;
        let session = Arc::new(Self {
            id: new_id()?,
            name: config.name,
            keys,
            account,
            comm_addr,
            chain_url,
            times,
            incoming: config.incoming_payments,
            auto_accept: config.auto_accept,
            quarantine: Quarantine::of(folder),
            folder: folder.to_owned(),
            agent,
            contacts,
            currencies,
            client,
            store,
            database: config.database,
            history,
            calls,
            metrics,
            inbox: Mutex::default(),
            desks: Mutex::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            tasks: Mutex::default(),
            is_closed: watch::Sender::new(false),
        });
        session.begin();
        Ok(session)
    }

    /// Begins everything that goes on by itself.
    fn begin(self: &Arc<Self>) {
        self.history.catch_up(&self.client);
        self.check_rules();
        let listening = tokio::spawn(Arc::clone(self).listen(self.client.events()));
        let receiving = tokio::spawn(Arc::clone(self).receive_proposals(self.client.proposals()));
        let session = Arc::clone(self);
        let sweeping = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                session.sweep_proposals();
                session.review_quarantine();
            }
        });
        lock(&self.tasks).extend([listening, receiving, sweeping]);
        for channel in self.client.channels() {
            self.desk_of(&channel);
        }
    }
}

/// Counts what the history records.
fn count_payments(metrics: SessionMetrics, currencies: Arc<Currencies>) -> Recorded {
    Box::new(move |is_sent, asset, amount| {
        let direction = match is_sent {
            true => Direction::Sent,
            false => Direction::Received,
        };
        // Of a ledger that is not known, nobody knows how many decimals its token has.
        let known = currencies.of_asset(asset);
        let (currency, tokens) = match &known {
            Some(currency) => (currency.symbol.clone(), currency.show(amount)),
            None => (ledger_of(asset).to_text(), amount.units().to_string()),
        };
        metrics.paid(direction, &currency, tokens.parse().unwrap_or_default());
    })
}

/// Unlocking takes a second of computing on purpose, so it has a thread of its own.
async fn unlock(
    config: SessionConfig,
    given: Option<Secret>,
) -> Result<(SessionConfig, UserKeys), Error> {
    let unlocking = tokio::task::spawn_blocking(move || {
        let unlock = |wallet: &config::Wallet| {
            let keystore = Keystore::open(&wallet.keystore)?;
            let password = match (&wallet.password, &given) {
                (_, Some(password)) => password.clone(),
                (Some(source), None) => source.read()?,
                (None, None) => {
                    return Err(Error::InvalidConfig {
                        name: "password".into(),
                        value: String::new(),
                        reason:
                            "the configuration names none, so it has to be given when the session \
                                 is opened (perun session open)"
                                .into(),
                    });
                }
            };
            let is_given = given.is_some();
            keystore
                .unlock(&password)
                .map_err(|error| match Error::from(error) {
                    Error::InvalidArgument { requirement, .. } if !is_given => {
                        Error::InvalidConfig {
                            name: "password".into(),
                            value: String::new(),
                            reason: requirement,
                        }
                    }
                    error => error,
                })
        };
        let mut keys = unlock(&config.off_chain_wallet)?;
        if config.on_chain_wallet.keystore != config.off_chain_wallet.keystore {
            keys.identity = unlock(&config.on_chain_wallet)?.identity;
        }
        Ok((config, keys))
    });
    unlocking.await.map_err(Error::internal)?
}

fn check_address(config: &SessionConfig, identity: &PublicKey) -> Result<(), Error> {
    match config.off_chain_addr {
        Some(address) if address != *identity => Err(Error::InvalidConfig {
            name: "offChainAddr".into(),
            value: show_identity(&address),
            reason: format!("the keystore has {}", show_identity(identity)),
        }),
        _ => Ok(()),
    }
}

fn expect_same(name: &str, given: Option<&str>, actual: &str) -> Result<(), Error> {
    match given {
        Some(given) if given != actual => Err(Error::InvalidConfig {
            name: name.to_owned(),
            value: given.to_owned(),
            reason: format!("it is {actual}"),
        }),
        _ => Ok(()),
    }
}

async fn open_store(folder: &Path, identity: &PublicKey) -> Result<Arc<FileStore>, Error> {
    let (folder, identity) = (folder.to_owned(), *identity);
    let value = folder.display().to_string();
    let opening = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        FileStore::open(&folder, &identity).map_err(|error| error.to_string())
    });
    let opened = opening.await.map_err(Error::internal)?;
    opened.map(Arc::new).map_err(|reason| Error::InvalidConfig {
        name: "databaseDir".into(),
        value,
        reason,
    })
}

/// Names no session before or after.
fn new_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(hex::encode(bytes))
}
