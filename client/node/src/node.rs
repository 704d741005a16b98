//! The node: its chain, its currencies, its sessions.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use candid::Principal;
use ic_agent::Agent;
use perun_canister_api::{Info, convert};
use perun_client::agent::connect;
use perun_client::identity::generate;
use perun_client::{Adjudicator, INTERFACE, Ledger};
use perun_protocol::signature::Signer as _;
use tokio::sync::watch;

use crate::access::Caller;
use crate::contacts::show_identity;
use crate::currency::{Currencies, Currency};
use crate::devices::Devices;
use crate::keystore::Keystore;
use crate::metrics::Metrics;
use crate::password::Secret;
use crate::session::config::SessionConfig;
use crate::session::{Session, Surroundings, unknown_session};
use crate::settings::Settings;
use crate::tokens::{Scope, Tokens};
use crate::watching::Watching;
use crate::{ContractError, Error, Resource, clock, users};

/// What a user's configuration file is called.
pub const SESSION_FILE: &str = "session.yaml";

/// The file of the tokens in the data folder.
pub const TOKENS_FILE: &str = "tokens.redb";

/// After so long a session that could not be opened at the start is tried again, then twice as long…
const OPEN_AGAIN: Duration = Duration::from_secs(2);
/// … but not longer than this.
const OPEN_AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// A node with its users. Shared by all that answer calls.
pub struct Node {
    settings: Settings,
    agent: Agent,
    adjudicator: Adjudicator,
    info: Info,
    module_hash: Option<[u8; 32]>,
    currencies: Arc<Currencies>,
    tokens: Tokens,
    metrics: Metrics,
    devices: Option<Devices>,
    watching: Watching,
    sessions: Mutex<Sessions>,
    started_s: i64,
    is_stopping: watch::Sender<bool>,
}

#[derive(Default)]
struct Sessions {
    by_id: HashMap<String, Arc<Session>>,
    /// The names of those that are being opened or closed.
    busy: HashSet<String>,
    /// None are opened any more.
    is_closed: bool,
}

/// A user whose folder is there.
pub struct User {
    /// Its name.
    pub name: String,
    /// Its configuration file.
    pub file: PathBuf,
    /// Its session, if it is open.
    pub session: Option<Arc<Session>>,
}

impl User {
    /// Its off-chain identity as text, if its keys are there.
    pub fn identity(&self) -> Option<String> {
        if let Some(session) = &self.session {
            return Some(show_identity(&session.keys().off_chain.public_key()));
        }
        let config = SessionConfig::read(&self.file).ok()?;
        let keystore = Keystore::open(&config.off_chain_wallet.keystore).ok()?;
        Some(show_identity(&keystore.public().off_chain))
    }
}

impl Node {
    /// Starts a node: checks the adjudicator, makes its ledgers known, and opens the sessions that the
    /// settings name.
    ///
    /// # Errors
    /// [`Error::ChainNotReachable`], [`Error::InvalidContracts`] if the adjudicator is not what was
    /// expected, [`Error::InvalidConfig`].
    pub async fn start(settings: Settings) -> Result<Arc<Self>, Error> {
        let url = settings.chain_url.clone();
        let unreachable = |cause: String| Error::ChainNotReachable {
            url: url.clone(),
            cause,
        };
        // Questions need no identity of ours.
        let identity = generate().map_err(Error::internal)?;
        let agent = connect(&url, identity, settings.fetch_root_key);
        let agent = agent
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let adjudicator = Adjudicator::new(agent.clone(), settings.adjudicator);
        let info = adjudicator.info();
        let info = info.await.map_err(|error| unreachable(error.to_string()))?;
        let module_hash = read_module_hash(&agent, settings.adjudicator).await;
        check(&settings, &info, module_hash)?;
        let tokens = Tokens::open(&settings.data.join(TOKENS_FILE))?;
        let metrics = Metrics::new();
        let currencies = Arc::new(Currencies::new(url.clone()));
        let is_wanted =
            |ledger: &Principal| settings.ledgers.is_empty() || settings.ledgers.contains(ledger);
        for served in info
            .ledgers
            .iter()
            .filter(|served| is_wanted(&served.ledger))
        {
            let ledger = Ledger::new(agent.clone(), served.ledger);
            match currencies.register(&ledger).await {
                Ok(_) | Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let devices = match settings.devices.listen {
            None => None,
            Some(_) => Some(Devices::start(&settings, &currencies).await?),
        };
        let watching = Watching::start(&settings, &agent).await?;
        let node = Arc::new(Self {
            agent,
            adjudicator,
            info,
            module_hash,
            currencies,
            tokens,
            metrics,
            devices,
            watching,
            sessions: Mutex::default(),
            started_s: clock::seconds(),
            is_stopping: watch::Sender::new(false),
            settings,
        });
        for name in node.settings.open.clone() {
            // One that cannot be opened must not keep the others closed.
            if !node.open_wanted(&name).await {
                tokio::spawn(Arc::clone(&node).go_on_opening(name));
            }
        }
        Ok(node)
    }

    /// Opens a session that the settings name.
    async fn open_wanted(self: &Arc<Self>, name: &str) -> bool {
        match self.open_named(&Caller::unrestricted(), name, None).await {
            Ok(_) | Err(Error::Exists { .. }) => true,
            Err(error) => {
                tracing::error!(session = %name, "cannot be opened, and nobody watches its channels: {error}");
                false
            }
        }
    }

    /// Tries again until it is open: until then nobody watches its channels.
    async fn go_on_opening(self: Arc<Self>, name: String) {
        let mut pause = OPEN_AGAIN;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stopping() => return,
            }
            if self.open_wanted(&name).await {
                return;
            }
            pause = (2 * pause).min(OPEN_AGAIN_AT_MOST);
        }
    }

    /// How it is set up.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the adjudicator said at the start.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The hash of the adjudicator's module, as certified at the start.
    pub fn module_hash(&self) -> Option<[u8; 32]> {
        self.module_hash
    }

    /// The adjudicator.
    pub fn adjudicator(&self) -> &Adjudicator {
        &self.adjudicator
    }

    /// The ledgers that are known.
    pub fn currencies(&self) -> &Arc<Currencies> {
        &self.currencies
    }

    /// Who may call.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Figures for operators.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Devices that are served, if any are.
    pub fn devices(&self) -> Option<&Devices> {
        self.devices.as_ref()
    }

    /// What is watched for users' other programs.
    pub fn watching(&self) -> &Watching {
        &self.watching
    }

    /// The adjudicator, as channels name it.
    ///
    /// # Errors
    /// [`Error::Internal`] if it can be no adjudicator.
    pub fn adjudicator_id(&self) -> Result<perun_protocol::Principal, Error> {
        let id = convert::principal(self.adjudicator.id());
        id.ok_or_else(|| Error::internal("the adjudicator's id can be no adjudicator's"))
    }

    /// Since when it runs, in seconds since 1970.
    pub fn started_s(&self) -> i64 {
        self.started_s
    }

    /// Makes a ledger known by its symbol.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the adjudicator does not serve it, [`Error::Exists`] if it is known.
    pub async fn register_currency(&self, ledger: Principal) -> Result<Arc<Currency>, Error> {
        self.check_served(ledger)?;
        let ledger = Ledger::new(self.agent.clone(), ledger);
        self.currencies.register(&ledger).await
    }

    /// Whether the adjudicator serves a ledger.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it does not.
    pub fn check_served(&self, ledger: Principal) -> Result<(), Error> {
        let mut served = self.info.ledgers.iter().map(|served| served.ledger);
        if served.any(|served| served == ledger) {
            return Ok(());
        }
        let served: Vec<_> = self
            .info
            .ledgers
            .iter()
            .map(|served| served.ledger.to_text())
            .collect();
        let requirement = format!(
            "the adjudicator serves the ledgers {}; its controllers can add others",
            served.join(", ")
        );
        Err(Error::invalid("token", ledger.to_text(), requirement))
    }

    /// The session that a caller names, if it may use it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, and also if it is another's: who may not use a session
    /// does not learn that it is there.
    pub fn session(&self, caller: &Caller, id: &str) -> Result<Arc<Session>, Error> {
        let session = self.sessions().by_id.get(id).cloned();
        let session = session.ok_or_else(|| unknown_session(id))?;
        match caller.may_use(session.name()) {
            Ok(()) => Ok(session),
            Err(_) => Err(unknown_session(id)),
        }
    }

    /// The session that a caller names, if it has this scope and may use it.
    ///
    /// # Errors
    /// [`Error::PermissionDenied`], and as [`Node::session`].
    pub fn session_for(
        &self,
        caller: &Caller,
        scope: Scope,
        id: &str,
    ) -> Result<Arc<Session>, Error> {
        caller.require(scope)?;
        self.session(caller, id)
    }

    /// The sessions that are open.
    pub fn open_sessions(&self) -> Vec<Arc<Session>> {
        self.sessions().by_id.values().cloned().collect()
    }

    /// The users that have a folder here, by name.
    ///
    /// # Errors
    /// [`Error::Internal`] if the folder cannot be read.
    pub fn users(&self) -> Result<Vec<User>, Error> {
        let folder = self.users_folder();
        let open = self.open_sessions();
        let mut users = Vec::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(users),
            Err(error) => return Err(Error::internal(format!("{}: {error}", folder.display()))),
        };
        for entry in entries {
            let folder = entry.map_err(Error::internal)?.path();
            let file = folder.join(SESSION_FILE);
            let Some(name) = folder
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
            else {
                continue;
            };
            if !file.is_file() {
                continue;
            }
            let session = open.iter().find(|session| session.name() == name).cloned();
            users.push(User {
                name,
                file,
                session,
            });
        }
        users.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(users)
    }

    /// The folder of users.
    pub fn users_folder(&self) -> PathBuf {
        self.settings.data.join(users::FOLDER)
    }

    /// Opens the session of a user by its name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such user, and as [`Session::open`].
    pub async fn open_named(
        self: &Arc<Self>,
        caller: &Caller,
        name: &str,
        password: Option<Secret>,
    ) -> Result<Arc<Session>, Error> {
        check_name(name).map_err(|_| unknown_session(name))?;
        caller.may_use(name).map_err(|_| unknown_session(name))?;
        let file = self.users_folder().join(name).join(SESSION_FILE);
        if !file.is_file() {
            return Err(unknown_session(name));
        }
        self.open(SessionConfig::read(&file)?, password).await
    }

    /// Opens the session of a configuration file, which has to lie in a folder that the settings name.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it lies elsewhere, and as [`Session::open`].
    pub async fn open_file(
        self: &Arc<Self>,
        caller: &Caller,
        file: &str,
    ) -> Result<Arc<Session>, Error> {
        let path = self.permitted(file)?;
        // Before anything of it is read.
        let name = path.parent().and_then(Path::file_name).unwrap_or_default();
        let may_use = caller.may_use(&name.to_string_lossy());
        may_use.map_err(|_| Error::not_found(Resource::Session, file))?;
        self.open(SessionConfig::read(&path)?, None).await
    }

    /// The file that a caller names, if it may be read at all: whoever may open sessions must not learn
    /// what else lies on this machine.
    fn permitted(&self, file: &str) -> Result<PathBuf, Error> {
        let folders = std::iter::once(self.users_folder())
            .chain(self.settings.session_folders.iter().cloned());
        let folders: Vec<_> = folders
            .filter_map(|folder| folder.canonicalize().ok())
            .collect();
        let asked = [
            self.settings.data.join(file),
            self.users_folder().join(file),
        ];
        let mut found = asked.iter().filter_map(|path| path.canonicalize().ok());
        let permitted = found.find(|path| {
            is_session_file(path) && folders.iter().any(|folder| path.starts_with(folder))
        });
        permitted.ok_or_else(|| {
            let requirement = format!(
                "a session.yaml in {} is expected, or in a folder of the setting sessionFolders",
                self.users_folder().display()
            );
            Error::invalid("configFile", file, requirement)
        })
    }

    /// Runs to its end even if whoever asked goes away: half a session is nowhere found again.
    async fn open(
        self: &Arc<Self>,
        config: SessionConfig,
        password: Option<Secret>,
    ) -> Result<Arc<Session>, Error> {
        let node = Arc::clone(self);
        let opening = tokio::spawn(async move { node.open_now(config, password).await });
        opening.await.map_err(Error::internal)?
    }

    async fn open_now(
        &self,
        config: SessionConfig,
        password: Option<Secret>,
    ) -> Result<Arc<Session>, Error> {
        let name = config.name.clone();
        let busy = Busy::begin(self, &name)?;
        let session = Session::open(
            config,
            password,
            Surroundings {
                settings: &self.settings,
                currencies: Arc::clone(&self.currencies),
                metrics: self.metrics.session(&name),
            },
        )
        .await?;
        if !self.keep(&session) {
            session.close_down().await?;
            return Err(stopping());
        }
        drop(busy);
        tracing::info!(session = %name, channels = session.channels().len(), "open");
        Ok(session)
    }

    /// From here on it is found; `false` if the node is being stopped.
    fn keep(&self, session: &Arc<Session>) -> bool {
        let mut sessions = self.sessions();
        if !sessions.is_closed {
            let id = session.id().to_owned();
            sessions.by_id.insert(id, Arc::clone(session));
        }
        !sessions.is_closed
    }

    /// Closes a session; without force only if it has no open channels. Answers those that it has.
    ///
    /// # Errors
    /// [`Error::UnclosedChannels`].
    pub async fn close(
        self: &Arc<Self>,
        session: &Arc<Session>,
        by_force: bool,
    ) -> Result<Vec<crate::api::pb::PayChInfo>, Error> {
        let (node, session) = (Arc::clone(self), Arc::clone(session));
        let closing = tokio::spawn(async move { node.close_now(&session, by_force).await });
        closing.await.map_err(Error::internal)?
    }

    async fn close_now(
        &self,
        session: &Arc<Session>,
        by_force: bool,
    ) -> Result<Vec<crate::api::pb::PayChInfo>, Error> {
        let channels = session.channels();
        if !by_force && !channels.is_empty() {
            return Err(Error::UnclosedChannels { channels });
        }
        let busy = {
            let mut sessions = self.sessions();
            if sessions.by_id.remove(session.id()).is_none() {
                return Err(unknown_session(session.id()));
            }
            sessions.busy.insert(session.name().to_owned());
            Busy {
                node: self,
                name: session.name().to_owned(),
            }
        };
        session.close_down().await?;
        drop(busy);
        tracing::info!(session = %session.name(), channels = channels.len(), "closed");
        Ok(channels)
    }

    /// Asks the node to stop.
    pub fn stop(&self) {
        self.is_stopping.send_replace(true);
    }

    /// Waits until somebody has asked the node to stop.
    pub async fn stopping(&self) {
        let mut is_stopping = self.is_stopping.subscribe();
        // Its sender is part of the node.
        let _ = is_stopping.wait_for(|is_stopping| *is_stopping).await;
    }

    /// Closes everything; what was begun is durable afterwards.
    pub async fn close_all(&self) {
        let sessions: Vec<_> = {
            let mut sessions = self.sessions();
            sessions.is_closed = true;
            sessions.by_id.drain().map(|(_, session)| session).collect()
        };
        for session in sessions {
            if let Err(error) = session.close_down().await {
                tracing::error!(session = %session.name(), "not closed well: {error}");
            }
        }
        if let Some(devices) = &self.devices {
            devices.stop().await;
        }
        if let Err(error) = self.watching.watcher().stop().await {
            tracing::error!("not everything that is watched could be stored: {error}");
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A user's session is being opened or closed: nobody else does that meanwhile.
struct Busy<'a> {
    node: &'a Node,
    name: String,
}

impl<'a> Busy<'a> {
    fn begin(node: &'a Node, name: &str) -> Result<Self, Error> {
        let mut sessions = node.sessions();
        if sessions.is_closed {
            return Err(stopping());
        }
        let open = sessions
            .by_id
            .values()
            .find(|session| session.name() == name);
        if let Some(open) = open {
            return Err(Error::exists(Resource::Session, open.id()));
        }
        if !sessions.busy.insert(name.to_owned()) {
            return Err(Error::FailedPrecondition {
                message: format!("the session {name:?} is being opened or closed by another call"),
            });
        }
        let name = name.to_owned();
        Ok(Self { node, name })
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.node.sessions().busy.remove(&self.name);
    }
}

fn stopping() -> Error {
    Error::FailedPrecondition {
        message: "the node is being stopped".into(),
    }
}

/// Whether a path is a user's configuration: nothing else is opened because a caller names it.
fn is_session_file(path: &Path) -> bool {
    path.is_file() && path.file_name() == Some(SESSION_FILE.as_ref())
}

/// Whether a text can name a user: it becomes a folder's name.
///
/// # Errors
/// [`Error::InvalidArgument`].
pub fn check_name(name: &str) -> Result<(), Error> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    // What means something else in the data folder.
    let is_taken = matches!(name, "lock" | "restored");
    if (1..=64).contains(&name.len()) && name.bytes().all(is_good) && !is_taken {
        return Ok(());
    }
    let requirement = "1 to 64 letters, digits, \"-\" and \"_\" are expected";
    Err(Error::invalid("name", name, requirement))
}

/// The certified hash of a canister's module.
async fn read_module_hash(agent: &Agent, canister: Principal) -> Option<[u8; 32]> {
    match agent.read_state_canister_module_hash(canister).await {
        Ok(hash) => hash.try_into().ok(),
        Err(error) => {
            tracing::warn!("the adjudicator's module hash cannot be read: {error}");
            None
        }
    }
}

fn check(settings: &Settings, info: &Info, module_hash: Option<[u8; 32]>) -> Result<(), Error> {
    let mut wrong = Vec::new();
    let mut expect = |is_good: bool, error: String| {
        if !is_good {
            wrong.push(ContractError {
                name: "adjudicator",
                address: settings.adjudicator.to_text(),
                error,
            });
        }
    };
    let interface = info.interface;
    expect(
        interface == INTERFACE,
        format!("it has interface {interface}, and this node speaks {INTERFACE}"),
    );
    if let Some(expected) = settings.module_hash {
        let found = module_hash.map_or("not known".into(), hex::encode);
        expect(
            module_hash == Some(expected),
            format!(
                "its module hash is {found}, and {} was expected",
                hex::encode(expected)
            ),
        );
    }
    expect(!info.ledgers.is_empty(), "it serves no ledger".into());
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::InvalidContracts { contracts: wrong }),
    }
}
