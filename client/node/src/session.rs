//! A session: one user with keys, contacts and channels of its own.
//!
//! ```text
//!  API ──> Session ── opening, paying, closing ──────> Client (perun-client)
//!   ^         │                                          │
//!   │         ├── inbox: proposals that wait             │ events, proposals
//!   │         ├── desks: one a channel, what waits on it │
//!   └─────────┴────────── listening <────────────────────┘
//! ```
//!
//! What waits for an answer of the user is told when somebody subscribes, and kept until it is answered
//! or its time is over. Nothing here is needed for the safety of money: the client watches, refutes and
//! pays out by itself.

pub mod config;

mod aftermath;
mod auto_accept;
mod backing_up;
mod closing;
mod desk;
mod failure;
mod info;
mod listening;
mod notices;
mod opening;
mod paying;
mod proposals;
mod quarantine;
mod status;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ic_agent::Agent;
use perun_canister_api::convert;
use perun_client::agent::connect;
use perun_client::chain::Chain;
use perun_client::channel::Channel;
use perun_client::client::{Client, Config, Parts, StartError};
use perun_client::link::{TcpConfig, TcpTransport};
use perun_client::store::FileStore;
use perun_client::{Adjudicator, Funder};
use perun_protocol::signature::Signer as _;
use perun_protocol::{Account, PublicKey};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use self::auto_accept::AutoAccept;
use self::config::{IncomingPayments, SessionConfig};
use self::desk::Desks;
use self::proposals::Inbox;
use self::quarantine::Quarantine;
use crate::api::pb::{PayChInfo, PeerId};
use crate::api::v1;
use crate::contacts::{COMM_TYPE, Contacts, show_identity};
use crate::currency::Currencies;
use crate::history::History;
use crate::idempotency::Calls;
use crate::keystore::{Keystore, UserKeys};
use crate::metrics::SessionMetrics;
use crate::password::Secret;
use crate::settings::Settings;
use crate::{Error, Resource};

pub use self::desk::ledger_of;
pub use self::info::{SELF, channel_text, parse_channel};
pub use self::opening::OpeningOrder;
pub use self::paying::{PaymentOrder, has_no_effect};

/// How many events are kept for a listener who is slow.
const EVENTS_KEPT: usize = 1024;
/// How many notifications of the client are kept until they are handled.
const NOTIFICATIONS_KEPT: usize = 4096;

/// One user's session. It runs until it is closed.
pub struct Session {
    id: String,
    name: String,
    keys: UserKeys,
    account: Account,
    comm_addr: String,
    chain_url: String,
    times: Times,
    incoming: IncomingPayments,
    auto_accept: Vec<AutoAccept>,
    quarantine: Quarantine,
    agent: Agent,
    contacts: Contacts,
    currencies: Arc<Currencies>,
    client: Client,
    store: Arc<FileStore>,
    /// Where the store is.
    database: PathBuf,
    history: History,
    calls: Calls,
    metrics: SessionMetrics,
    inbox: Mutex<Inbox>,
    desks: Mutex<Desks>,
    events: broadcast::Sender<v1::Event>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// How long is waited for others.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// For an answer of a peer or the user.
    response: Duration,
    /// For a call to the adjudicator or a ledger.
    on_chain_tx: Duration,
}

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
        let (config, keys) = unlock(config, password).await?;
        let identity = keys.off_chain.public_key();
        check_address(&config, &identity)?;
        let chain_url = config.chain_url.clone();
        let chain_url = chain_url.unwrap_or_else(|| settings.chain_url.clone());
        let unreachable = |cause: String| Error::ChainNotReachable {
            url: chain_url.clone(),
            cause,
        };
        let agent = connect(
            &chain_url,
            Arc::clone(&keys.identity),
            settings.fetch_root_key,
        );
        let agent = agent
            .await
            .map_err(|error| unreachable(error.to_string()))?;
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
        let client = started.await.map_err(|error| match error {
            StartError::Adjudicator(error) => unreachable(error.to_string()),
            error => Error::InvalidConfig {
                name: "databaseDir".into(),
                value: config.database.display().to_string(),
                reason: error.to_string(),
            },
        })?;
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

    /// Closes the session: channels go on when it is opened again.
    ///
    /// # Errors
    /// [`Error::Internal`] if not everything could be made durable.
    pub async fn close_down(&self) -> Result<(), Error> {
        self.end_proposals();
        self.end_desks();
        // It reads from the client's store. What it misses is recorded at the next opening.
        if let Err(error) = self.history.flush().await {
            tracing::error!(session = %self.name, "{error}");
        }
        let stopped = self.client.stop().await;
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        self.history.close().await;
        self.calls.close();
        stopped.map_err(Error::internal)
    }

    /// Names it in calls, until it is closed.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The user's name in the node.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user's keys.
    pub fn keys(&self) -> &UserKeys {
        &self.keys
    }

    /// The account that deposits come from and payouts go to.
    pub fn account(&self) -> Account {
        self.account
    }

    /// Where peers reach it.
    pub fn comm_addr(&self) -> &str {
        &self.comm_addr
    }

    /// Calls in the user's name.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The user's contacts.
    pub fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// The ledgers that the node knows.
    pub fn currencies(&self) -> &Currencies {
        &self.currencies
    }

    /// The user's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the client must not forget.
    pub fn store(&self) -> &Arc<FileStore> {
        &self.store
    }

    /// What was paid.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Calls with idempotency keys.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// What others need to add the user as a contact.
    pub fn card(&self, alias: String) -> PeerId {
        PeerId {
            alias,
            off_chain_address: show_identity(&self.keys.off_chain.public_key()),
            comm_address: self.comm_addr.clone(),
            comm_type: COMM_TYPE.into(),
        }
    }

    /// The channels that are not over.
    pub fn channels(&self) -> Vec<PayChInfo> {
        let channels = self.client.channels();
        channels.iter().map(|channel| self.info(channel)).collect()
    }

    /// A channel, also one that was closed lately.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn channel_info(&self, text: &str) -> Result<PayChInfo, Error> {
        let closed = parse_channel(text).and_then(|id| self.closed_info(&id));
        match closed {
            Some(info) => Ok(info),
            None => Ok(self.info(&self.channel(text)?)),
        }
    }

    fn follow_history(&self, channel: &Channel) {
        self.history.follow(channel);
    }

    /// Runs something to its end, even if whoever waits for it goes away.
    async fn carry_on<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match tokio::spawn(future).await {
            Ok(output) => output,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
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

/// A session that is not there.
pub fn unknown_session(id: &str) -> Error {
    Error::not_found(Resource::Session, id)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
