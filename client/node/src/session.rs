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
mod answering;
mod asking;
mod auto_accept;
mod backing_up;
mod closing;
mod desk;
mod desks;
mod failure;
mod info;
mod listening;
mod notices;
mod opening;
mod orders;
mod paying;
mod proposals;
mod quarantine;
mod start;
mod status;
mod update_notices;

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ic_agent::Agent;
use perun_client::channel::Channel;
use perun_client::client::Client;
use perun_client::store::FileStore;
use perun_protocol::Account;
use perun_protocol::signature::Signer as _;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use self::auto_accept::AutoAccept;
use self::config::IncomingPayments;
use self::desks::Desks;
use self::proposals::Inbox;
use self::quarantine::Quarantine;
use crate::api::pb::{PayChInfo, PeerId};
use crate::api::v1;
use crate::contacts::{COMM_TYPE, Contacts, show_identity};
use crate::currency::Currencies;
use crate::history::History;
use crate::idempotency::Calls;
use crate::keystore::UserKeys;
use crate::lock::lock;
use crate::metrics::SessionMetrics;
use crate::{Error, Resource};

pub use self::failure::Failure;
pub use self::info::{SELF, channel_text, ledger_of, parse_channel};
pub use self::opening::OpeningOrder;
pub use self::orders::PaymentOrder;
pub use self::start::Surroundings;

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
    /// Where it and all of its files are.
    folder: PathBuf,
    /// Where the store is.
    database: PathBuf,
    history: History,
    calls: Calls,
    metrics: SessionMetrics,
    inbox: Mutex<Inbox>,
    desks: Mutex<Desks>,
    events: broadcast::Sender<v1::Event>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    is_closed: watch::Sender<bool>,
}

/// How long is waited for others.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// For an answer of a peer or the user.
    response: Duration,
    /// For a call to the adjudicator or a ledger.
    on_chain_tx: Duration,
}

impl Session {
    /// Closes the session: channels go on when it is opened again.
    ///
    /// # Errors
    /// [`Error::Internal`] if not everything could be made durable.
    pub async fn close_down(self: &Arc<Self>) -> Result<(), Error> {
        self.is_closed.send_replace(true);
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
        let session = Arc::clone(self);
        // It waits for the disk, and other sessions are closed meanwhile.
        let closed = tokio::task::spawn_blocking(move || session.calls.close());
        closed.await.map_err(Error::internal)?;
        stopped.map_err(Error::internal)
    }

    /// Ends when the session is closed, and does not keep it open.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut is_closed = self.is_closed.subscribe();
        async move {
            // Without its sender it is closed, too.
            let _ = is_closed.wait_for(|is_closed| *is_closed).await;
        }
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

/// A session that is not there.
pub fn unknown_session(id: &str) -> Error {
    Error::not_found(Resource::Session, id)
}
