//! The adjudicator canister, typed.

mod claim;
mod deposit;
mod read;
mod withdraw;

use std::fmt;

use candid::Principal;
use ic_agent::Agent;

use crate::Patience;
use crate::canister::Canister;

/// An adjudicator canister. Cheap to clone.
///
/// Calls are repeated as the crate's documentation says. Deposits by approval are pulled from
/// accounts of the agent's identity; for everything else it does not matter who calls.
#[derive(Clone)]
pub struct Adjudicator {
    canister: Canister,
    patience: Patience,
}

impl Adjudicator {
    /// The adjudicator with this canister id, called through `agent`.
    pub fn new(agent: Agent, id: Principal) -> Self {
        Self {
            canister: Canister { agent, id },
            patience: Patience::default(),
        }
    }

    /// The same with another patience.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Its canister id.
    pub fn id(&self) -> Principal {
        self.canister.id
    }

    /// How long calls are repeated.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// The agent that calls go through.
    pub fn agent(&self) -> &Agent {
        &self.canister.agent
    }
}

impl fmt::Debug for Adjudicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adjudicator")
            .field("id", &self.canister.id.to_text())
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
