//! The node: its chain, its currencies, its sessions.
//!
//! ```text
//!  settings ──> chain: found, checked, in time ──> Node ──> sessions <──names── folders
//!                                                   ├── tokens, currencies, metrics
//!                                                   └── devices, watching
//! ```

mod chain;
mod folders;
mod sessions;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use candid::Principal;
use ic_agent::Agent;
use perun_canister_api::{Info, convert};
use perun_client::{Adjudicator, Ledger};
use tokio::sync::watch;

pub use self::folders::{SESSION_FILE, User, check_name};

use self::chain::Chain;
use self::sessions::Sessions;
use crate::currency::{Currencies, Currency};
use crate::devices::Devices;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::tokens::Tokens;
use crate::watching::Watching;
use crate::{Error, clock, users};

/// The file of the tokens in the data folder.
pub const TOKENS_FILE: &str = "tokens.redb";

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

impl Node {
    /// Starts a node: checks the adjudicator, makes its ledgers known, and opens the sessions that the
    /// settings name.
    ///
    /// # Errors
    /// [`Error::ChainNotReachable`], [`Error::InvalidContracts`] if the adjudicator is not what was
    /// expected, [`Error::InvalidConfig`].
    pub async fn start(settings: Settings) -> Result<Arc<Self>, Error> {
        let Chain {
            agent,
            adjudicator,
            info,
            module_hash,
            currencies,
        } = Chain::find(&settings).await?;
        let tokens = Tokens::open(&settings.data.join(TOKENS_FILE))?;
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
            metrics: Metrics::new(),
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

    /// The folder of users.
    pub fn users_folder(&self) -> PathBuf {
        self.settings.data.join(users::FOLDER)
    }
}
