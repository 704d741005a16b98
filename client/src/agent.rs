//! Agents, and whose key they believe.

use std::fmt;

use ic_agent::agent::route_provider::{RoundRobinRouteProvider, RouteProvider as _};
use ic_agent::{Agent, AgentError};

use crate::identity::SharedIdentity;

/// Hosts of the Internet Computer itself, whose key is known.
const MAINNET: [&str; 4] = ["icp-api.io", "icp0.io", "ic0.app", "internetcomputer.org"];

/// Why there is no agent.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none.
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        error: Box<AgentError>,
    },
    /// The replica does not tell its key.
    RootKey {
        /// Where it is.
        url: String,
        /// What it said.
        error: Box<AgentError>,
    },
}

/// An agent for `url`. The key that certificates are checked with is the Internet Computer's own,
/// unless the replica is on this machine or `fetch_root_key` says to trust it, and never asked for
/// at the Internet Computer itself.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(
    url: &str,
    identity: SharedIdentity,
    fetch_root_key: bool,
) -> Result<Agent, ConnectError> {
    let wrong_url = |error| ConnectError::Url {
        url: url.to_owned(),
        error: Box::new(error),
    };
    let routes = RoundRobinRouteProvider::new(vec![url]).map_err(wrong_url)?;
    let route = routes.route().map_err(wrong_url)?;
    let Some(host) = route
        .host_str()
        .filter(|_| matches!(route.scheme(), "http" | "https"))
    else {
        let reason = "an address like http://127.0.0.1:4943 is expected".to_owned();
        return Err(wrong_url(AgentError::InvalidReplicaUrl(reason)));
    };
    let asks_for_key = !is_mainnet(host) && (fetch_root_key || is_this_machine(host));
    let agent = Agent::builder()
        .with_route_provider(routes)
        .with_arc_identity(identity)
        .build()
        .map_err(wrong_url)?;
    if asks_for_key {
        let fetched = agent.fetch_root_key().await;
        fetched.map_err(|error| ConnectError::RootKey {
            url: url.to_owned(),
            error: Box::new(error),
        })?;
    }
    Ok(agent)
}

fn is_mainnet(host: &str) -> bool {
    MAINNET.iter().any(|domain| is_in_domain(host, domain))
}

fn is_this_machine(host: &str) -> bool {
    let is_loopback = |ip: std::net::IpAddr| ip.is_loopback();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse();
    is_in_domain(host, "localhost") || ip.is_ok_and(is_loopback)
}

fn is_in_domain(host: &str, domain: &str) -> bool {
    let prefix = host.strip_suffix(domain);
    prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, error } => write!(f, "the URL {url:?} can't be used: {error}"),
            Self::RootKey { url, error } => {
                write!(
                    f,
                    "{url} does not tell its root key; does a replica run there? {error}"
                )
            }
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url { error, .. } | Self::RootKey { error, .. } => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::generate;

    #[test]
    fn the_internet_computers_key_is_never_asked_for() {
        for host in ["icp-api.io", "icp0.io", "ic0.app", "x.icp0.io"] {
            assert!(is_mainnet(host), "{host}");
        }
        for host in ["myicp0.io", "icp0.io.example.org", "localhost"] {
            assert!(!is_mainnet(host), "{host}");
        }
    }

    #[test]
    fn only_this_machine_is_trusted_without_being_told() {
        for host in [
            "localhost",
            "a.localhost",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["192.168.0.1", "example.org", "notlocalhost", "[::2]"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[tokio::test]
    async fn a_url_that_is_none_is_an_error() {
        for url in [
            "",
            "127.0.0.1",
            "localhost:4943",
            "ftp://localhost",
            "http://",
        ] {
            let identity = generate().unwrap();
            let refused = connect(url, identity, false).await;
            assert!(matches!(refused, Err(ConnectError::Url { .. })), "{url:?}");
        }
    }
}
