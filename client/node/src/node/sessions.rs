//! The sessions of a node: opened, found and closed, each by one call at a time.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::Node;
use super::folders::{SESSION_FILE, check_name};
use crate::access::Caller;
use crate::api::pb::PayChInfo;
use crate::password::Secret;
use crate::session::config::SessionConfig;
use crate::session::{Session, Surroundings, unknown_session};
use crate::tokens::Scope;
use crate::{Error, Resource};

/// After so long a session that could not be opened at the start is tried again, then twice as long…
const OPEN_AGAIN: Duration = Duration::from_secs(2);
/// … but not longer than this.
const OPEN_AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// How long everything has to end when the node stops; the unit file leaves more.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// Those that are open, and who is about to open or close one.
#[derive(Default)]
pub(super) struct Sessions {
    by_id: HashMap<String, Arc<Session>>,
    /// The names of those that are being opened or closed.
    busy: HashSet<String>,
    /// None are opened any more.
    is_closed: bool,
}

impl Node {
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

    /// Opens a session that the settings name.
    pub(super) async fn open_wanted(self: &Arc<Self>, name: &str) -> bool {
        match self.open_named(&Caller::unrestricted(), name, None).await {
            Ok(_) | Err(Error::Exists { .. }) => true,
            Err(error) => {
                tracing::error!(session = %name, "cannot be opened, and nobody watches its channels: {error}");
                false
            }
        }
    }

    /// Tries again until it is open: until then nobody watches its channels.
    pub(super) async fn go_on_opening(self: Arc<Self>, name: String) {
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
    ) -> Result<Vec<PayChInfo>, Error> {
        let (node, session) = (Arc::clone(self), Arc::clone(session));
        let closing = tokio::spawn(async move { node.close_now(&session, by_force).await });
        closing.await.map_err(Error::internal)?
    }

    async fn close_now(
        &self,
        session: &Arc<Session>,
        by_force: bool,
    ) -> Result<Vec<PayChInfo>, Error> {
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

    /// Closes everything, all sessions at once; what was begun is durable afterwards.
    ///
    /// Whoever does not end in time is left behind. That interrupts no write: a store finishes what it
    /// writes before it goes, also with the process.
    pub async fn close_all(&self) {
        let sessions: Vec<_> = {
            let mut sessions = self.sessions();
            sessions.is_closed = true;
            sessions.by_id.drain().map(|(_, session)| session).collect()
        };
        let mut closing = JoinSet::new();
        for session in sessions {
            closing.spawn(async move {
                if let Err(error) = session.close_down().await {
                    tracing::error!(session = %session.name(), "not closed well: {error}");
                }
            });
        }
        let closed = async { while closing.join_next().await.is_some() {} };
        let others = async {
            if let Some(devices) = &self.devices {
                devices.stop().await;
            }
            if let Err(error) = self.watching.watcher().stop().await {
                tracing::error!("not everything that is watched could be stored: {error}");
            }
        };
        let all = async { tokio::join!(closed, others) };
        if tokio::time::timeout(CLOSE_WITHIN, all).await.is_err() {
            tracing::error!(sessions = closing.len(), "not everything has ended in time");
            closing.detach_all();
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
