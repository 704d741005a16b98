//! Where a walkthrough happens: an adjudicator, a ledger, two parties, and time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use candid::Principal;
use ic_agent::agent::route_provider::{RoundRobinRouteProvider, RouteProvider as _};
use ic_agent::{Agent, AgentError};
use perun_canister_api::{Info, convert};
use perun_client::{Adjudicator, INTERFACE, Ledger, ParseAmountError, Token};
use perun_protocol::{Account, Amount, AssetId, ChallengeDuration, Timestamp};

use crate::{
    Connection, Endowment, Failure, IdentityError, LocalNetwork, SharedIdentity, WalkthroughArgs,
    generate, load,
};

/// What each party has on the embedded network, in tokens.
const WEALTH_TOKENS: u32 = 1_000;

/// Hosts of the Internet Computer itself, whose key is known.
const MAINNET: [&str; 4] = ["icp-api.io", "icp0.io", "ic0.app", "internetcomputer.org"];

/// Somebody in a story.
#[derive(Clone)]
pub struct Party {
    /// What it is called.
    pub name: &'static str,
    /// The account that it pays from and is paid to.
    pub account: Account,
    /// What it deposits.
    pub deposit: Amount,
    /// The adjudicator, called in its name.
    pub adjudicator: Adjudicator,
}

/// An adjudicator, a ledger, two parties, and time.
pub struct Stage {
    /// Where agents reach it.
    pub url: String,
    /// The adjudicator, asked in nobody's name in particular.
    pub adjudicator: Adjudicator,
    /// How the adjudicator is set up.
    pub info: Info,
    /// The ledger.
    pub ledger: Ledger,
    /// How the ledger's amounts are written.
    pub token: Token,
    /// What a transfer costs at the ledger.
    pub fee: Amount,
    /// How long a registered state can be refuted.
    pub challenge_duration: ChallengeDuration,
    /// The two parties.
    pub parties: [Party; 2],
    time: Time,
}

/// Who moves time.
enum Time {
    /// We do.
    Ours(Arc<LocalNetwork>),
    /// Nobody.
    Real,
}

/// Why a walkthrough can't begin.
#[derive(Debug)]
pub enum SetupError {
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
    /// The identity can't be had.
    Identity(IdentityError),
    /// The adjudicator speaks another interface than this program.
    Interface {
        /// The one it speaks.
        found: u16,
    },
    /// The adjudicator does not serve the ledger.
    LedgerNotServed {
        /// The ledger.
        ledger: Principal,
        /// Those that it serves.
        served: Vec<Principal>,
    },
    /// The adjudicator does not accept such a challenge duration, in seconds.
    ChallengeDuration {
        /// What was asked for.
        given_s: u32,
        /// The least it accepts.
        min_s: u32,
        /// The most it accepts.
        max_s: u32,
    },
    /// An amount on the command line is none.
    Amount {
        /// What was given.
        text: String,
        /// What is wrong with it.
        error: ParseAmountError,
    },
    /// A principal can't be used.
    Principal(Principal),
    /// An account has not enough for its deposits and fees, all of them with the token's symbol.
    Poor {
        /// Whose account it is.
        owner: Principal,
        /// What it has.
        has: String,
        /// What it needs.
        needs: String,
    },
}

impl Stage {
    /// The stage that the command line asks for: the embedded network without arguments, otherwise
    /// wherever it points. Each party's deposit and the fees for it must be there.
    ///
    /// # Errors
    /// [`SetupError`], and what the network says.
    pub async fn set(args: &WalkthroughArgs, names: [&'static str; 2]) -> Result<Self, Failure> {
        match &args.connection {
            Some(connection) => Self::connected(connection, args, names).await,
            None => Self::local(args, names).await,
        }
    }

    async fn local(args: &WalkthroughArgs, names: [&'static str; 2]) -> Result<Self, Failure> {
        let identities = [generate()?, generate()?];
        let mut endowments = Vec::new();
        for identity in &identities {
            endowments.push(Endowment {
                owner: sender(identity)?,
                tokens: WEALTH_TOKENS,
            });
        }
        let nobody = Principal::management_canister();
        let network = LocalNetwork::start(0, nobody, &endowments).await?;
        let url = network.server.url();
        let mut agents = Vec::new();
        for identity in identities {
            agents.push(connect(&url, identity, true).await?);
        }
        let agents = [agents.remove(0), agents.remove(0)];
        let (adjudicator, ledger) = (network.adjudicator, network.ledger);
        let time = Time::Ours(Arc::new(network));
        Self::with_agents(url, agents, adjudicator, ledger, args, names, time).await
    }

    async fn connected(
        connection: &Connection,
        args: &WalkthroughArgs,
        names: [&'static str; 2],
    ) -> Result<Self, Failure> {
        let identity = load(&connection.identity).map_err(SetupError::Identity)?;
        let url = connection.url.clone();
        let agent = connect(&url, identity, connection.fetch_root_key).await?;
        // One identity plays both parties, so that nothing is left behind with a lost key.
        let agents = [agent.clone(), agent];
        let (adjudicator, ledger) = (connection.adjudicator, connection.ledger);
        Self::with_agents(url, agents, adjudicator, ledger, args, names, Time::Real).await
    }

    async fn with_agents(
        url: String,
        agents: [Agent; 2],
        adjudicator: Principal,
        ledger: Principal,
        args: &WalkthroughArgs,
        names: [&'static str; 2],
        time: Time,
    ) -> Result<Self, Failure> {
        let ledger = Ledger::new(agents[0].clone(), ledger);
        let adjudicators = agents.map(|agent| Adjudicator::new(agent, adjudicator));
        let info = adjudicators[0].info().await?;
        check_info(&info, ledger.id())?;
        let challenge_duration = challenge_duration(&info, args.challenge_duration)?;
        let token = ledger.token().await?;
        let fee = ledger.fee().await?;
        let deposits = [amount(&token, &args.first)?, amount(&token, &args.second)?];
        let [first, second] = &adjudicators;
        let parties = [
            party(names[0], deposits[0], first)?,
            party(names[1], deposits[1], second)?,
        ];
        let stage = Self {
            url,
            adjudicator: first.clone(),
            info,
            ledger,
            token,
            fee,
            challenge_duration,
            parties,
            time,
        };
        stage.check_wealth().await?;
        Ok(stage)
    }

    /// The token as an asset of a channel.
    pub fn asset(&self) -> Result<AssetId, SetupError> {
        let ledger = self.ledger.id();
        let name = convert::principal(ledger).ok_or(SetupError::Principal(ledger))?;
        Ok(AssetId::Icrc(name))
    }

    /// An amount with the token's symbol.
    pub fn show(&self, amount: Amount) -> String {
        self.token.show(amount)
    }

    /// The accounts of the parties, each once, with the names of those it belongs to.
    pub fn accounts(&self) -> Vec<(String, Account)> {
        let [first, second] = &self.parties;
        if first.account == second.account {
            let names = format!("{} and {}", first.name, second.name);
            return vec![(names, first.account)];
        }
        vec![
            (first.name.to_owned(), first.account),
            (second.name.to_owned(), second.account),
        ]
    }

    /// Returns when the adjudicator's clock has reached `instant`: moves time where it is ours, and
    /// waits otherwise.
    ///
    /// # Errors
    /// What the adjudicator says when it is asked for its time.
    pub async fn pass_until(&self, instant: Timestamp) -> Result<(), Failure> {
        loop {
            let now = Timestamp::from_nanos(self.adjudicator.info().await?.now_ns);
            let left = Duration::from_nanos(instant.nanos_since(now));
            if left.is_zero() {
                return Ok(());
            }
            match &self.time {
                Time::Ours(network) => {
                    let network = Arc::clone(network);
                    let advance = move || network.server.with(|replica| replica.advance(left));
                    tokio::task::spawn_blocking(advance).await?;
                }
                Time::Real => {
                    tracing::info!("Waiting for {} s", left.as_secs() + 1);
                    tokio::time::sleep(left + Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Each deposit costs two fees: by approval those of approving and pulling, through the deposit
    /// account those of paying and sweeping.
    async fn check_wealth(&self) -> Result<(), Failure> {
        for (_, account) in self.accounts() {
            let has = self.ledger.balance(&account).await?;
            let parties = self.parties.iter();
            let costs = parties
                .filter(|party| party.account == account)
                .flat_map(|party| [party.deposit, self.fee, self.fee]);
            let needs = Amount::checked_sum(costs);
            if needs.is_none_or(|needs| needs > has) {
                return Err(Box::new(SetupError::Poor {
                    owner: convert::principal_to_candid(&account.owner),
                    has: self.show(has),
                    needs: needs.map_or_else(
                        || "more than fits 128 bits".into(),
                        |needs| self.show(needs),
                    ),
                }));
            }
        }
        Ok(())
    }
}

fn check_info(info: &Info, ledger: Principal) -> Result<(), SetupError> {
    if info.interface != INTERFACE {
        return Err(SetupError::Interface {
            found: info.interface,
        });
    }
    let served: Vec<_> = info.ledgers.iter().map(|served| served.ledger).collect();
    if !served.contains(&ledger) {
        return Err(SetupError::LedgerNotServed { ledger, served });
    }
    Ok(())
}

fn challenge_duration(info: &Info, asked_s: Option<u32>) -> Result<ChallengeDuration, SetupError> {
    let (min_s, max_s) = (info.min_challenge_duration_s, info.max_challenge_duration_s);
    let given_s = asked_s.unwrap_or(min_s);
    let duration = ChallengeDuration::from_secs(given_s);
    let accepted = duration.filter(|_| (min_s..=max_s).contains(&given_s));
    accepted.ok_or(SetupError::ChallengeDuration {
        given_s,
        min_s,
        max_s,
    })
}

fn amount(token: &Token, text: &str) -> Result<Amount, SetupError> {
    token.parse(text).map_err(|error| SetupError::Amount {
        text: text.to_owned(),
        error,
    })
}

fn party(name: &'static str, deposit: Amount, adjudicator: &Adjudicator) -> Result<Party, Failure> {
    let principal = adjudicator.agent().get_principal()?;
    let owner = convert::principal(principal).ok_or(SetupError::Principal(principal))?;
    Ok(Party {
        name,
        account: Account::of(owner),
        deposit,
        adjudicator: adjudicator.clone(),
    })
}

fn sender(identity: &SharedIdentity) -> Result<Principal, Failure> {
    Ok(identity.sender()?)
}

/// An agent for `url`. The key that certificates are checked with is the Internet Computer's own,
/// unless the replica is on this machine or `fetch_root_key` says to trust it, and never asked for
/// at the Internet Computer itself.
///
/// # Errors
/// [`SetupError::Url`] and [`SetupError::RootKey`].
pub async fn connect(
    url: &str,
    identity: SharedIdentity,
    fetch_root_key: bool,
) -> Result<Agent, SetupError> {
    let wrong_url = |error| SetupError::Url {
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
        fetched.map_err(|error| SetupError::RootKey {
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

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, error } => write!(f, "the URL {url:?} can't be used: {error}"),
            Self::RootKey { url, error } => {
                write!(
                    f,
                    "{url} does not tell its root key; does a replica run there? {error}"
                )
            }
            Self::Identity(error) => error.fmt(f),
            Self::Interface { found } => write!(
                f,
                "the adjudicator has interface {found}, this program speaks {INTERFACE}"
            ),
            Self::LedgerNotServed { ledger, served } => {
                write!(
                    f,
                    "the adjudicator does not serve the ledger {ledger}; it serves"
                )?;
                served.iter().try_for_each(|served| write!(f, " {served}"))
            }
            Self::ChallengeDuration {
                given_s,
                min_s,
                max_s,
            } => write!(
                f,
                "a challenge duration of {given_s} s; the adjudicator accepts {min_s} to {max_s} s"
            ),
            Self::Amount { text, error } => write!(f, "{text:?} is no amount: {error}"),
            Self::Principal(principal) => write!(f, "{principal} can't be used here"),
            Self::Poor { owner, has, needs } => write!(
                f,
                "the account of {owner} has {has}; deposits and fees need {needs}"
            ),
        }
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url { error, .. } | Self::RootKey { error, .. } => Some(error),
            Self::Identity(error) => Some(error),
            Self::Amount { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(matches!(refused, Err(SetupError::Url { .. })), "{url:?}");
        }
    }
}
