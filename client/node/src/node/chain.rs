//! What a node finds on the chain at its start: the adjudicator that it was told of, and its ledgers.

use std::sync::Arc;

use candid::Principal;
use ic_agent::Agent;
use perun_canister_api::Info;
use perun_client::identity::generate;
use perun_client::{Adjudicator, INTERFACE, Ledger};

use crate::currency::Currencies;
use crate::replica::Replica;
use crate::settings::Settings;
use crate::{ContractError, Error};

/// The chain, checked.
pub(super) struct Chain {
    pub(super) agent: Agent,
    pub(super) adjudicator: Adjudicator,
    pub(super) info: Info,
    /// As certified.
    pub(super) module_hash: Option<[u8; 32]>,
    pub(super) currencies: Arc<Currencies>,
}

impl Chain {
    /// Connects, checks the adjudicator, and makes its ledgers known: all within the time that the
    /// settings leave.
    pub(super) async fn find(settings: &Settings) -> Result<Self, Error> {
        let replica = Replica::of(settings);
        replica.in_time(Self::ask(settings, &replica)).await
    }

    async fn ask(settings: &Settings, replica: &Replica<'_>) -> Result<Self, Error> {
        // Questions need no identity of ours.
        let agent = replica
            .connect(generate().map_err(Error::internal)?)
            .await?;
        let adjudicator = Adjudicator::new(agent.clone(), settings.adjudicator);
        let info = adjudicator.info().await;
        let info = info.map_err(|error| replica.unreachable(&error))?;
        let module_hash = read_module_hash(&agent, settings.adjudicator).await;
        check(settings, &info, module_hash)?;
        let currencies = Arc::new(Currencies::new(replica.url));
        let is_wanted =
            |ledger: &Principal| settings.ledgers.is_empty() || settings.ledgers.contains(ledger);
        let served = info.ledgers.iter().map(|served| served.ledger);
        for ledger in served.filter(is_wanted) {
            match currencies
                .register(&Ledger::new(agent.clone(), ledger))
                .await
            {
                Ok(_) | Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            agent,
            adjudicator,
            info,
            module_hash,
            currencies,
        })
    }
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
