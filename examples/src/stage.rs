//! Where a walkthrough happens: an adjudicator, a ledger, two parties, and time.

use std::sync::Arc;
use std::time::Duration;

use candid::Principal;
use ic_agent::Agent;
use perun_canister_api::{Info, convert};
use perun_client::agent::connect;
use perun_client::identity::{SharedIdentity, generate, load};
use perun_client::{Adjudicator, INTERFACE, Ledger, Token};
use perun_local_network::{Endowment, LocalNetwork, Setup};
use perun_protocol::{Account, Amount, AssetId, ChallengeDuration, Timestamp};

use crate::{Connection, Failure, SetupError, WalkthroughArgs};

/// What each party has on the embedded network, in tokens.
const WEALTH_TOKENS: u32 = 1_000;

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
        let network = LocalNetwork::start(Setup {
            endowments,
            ..Setup::default()
        });
        let network = network.await?;
        let url = network.server.url();
        let mut agents = Vec::new();
        for identity in identities {
            agents.push(
                connect(&url, identity, true)
                    .await
                    .map_err(SetupError::Connect)?,
            );
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
        let agent = connect(&url, identity, connection.fetch_root_key);
        let agent = agent.await.map_err(SetupError::Connect)?;
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
