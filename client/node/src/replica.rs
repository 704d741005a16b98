//! Where the chain is reached, and how long it has to answer when something starts.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use ic_agent::Agent;
use perun_client::agent::connect;
use perun_client::identity::SharedIdentity;

use crate::Error;
use crate::settings::Settings;

/// A replica, or what speaks for one.
pub(crate) struct Replica<'a> {
    pub(crate) url: &'a str,
    pub(crate) fetch_root_key: bool,
    /// How long it has to answer,
    pub(crate) within: Duration,
    /// and what says so.
    pub(crate) setting: &'static str,
}

impl<'a> Replica<'a> {
    /// That of the node.
    pub(crate) fn of(settings: &'a Settings) -> Self {
        Self {
            url: &settings.chain_url,
            fetch_root_key: settings.fetch_root_key,
            within: settings.chain_conn_timeout,
            setting: "chain-conn-timeout",
        }
    }

    /// An agent that calls in this identity's name.
    ///
    /// # Errors
    /// [`Error::ChainNotReachable`].
    pub(crate) async fn connect(&self, identity: SharedIdentity) -> Result<Agent, Error> {
        let connecting = connect(self.url, identity, self.fetch_root_key);
        let connecting = async { connecting.await.map_err(|error| self.unreachable(&error)) };
        self.in_time(connecting).await
    }

    /// What is asked of the chain, if it answers in time.
    ///
    /// # Errors
    /// [`Error::ChainNotReachable`] if it does not, or what the question meets.
    pub(crate) async fn in_time<T>(
        &self,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let answered = tokio::time::timeout(self.within, question).await;
        answered.unwrap_or_else(|_| {
            let within = humantime::format_duration(self.within);
            let setting = self.setting;
            Err(self.unreachable(&format!("no answer within {within} ({setting})")))
        })
    }

    /// It does not answer.
    pub(crate) fn unreachable(&self, cause: &dyn fmt::Display) -> Error {
        Error::ChainNotReachable {
            url: self.url.to_owned(),
            cause: cause.to_string(),
        }
    }
}
