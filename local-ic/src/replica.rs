//! The replica: canisters, messages between them, and time moved by hand.
//!
//! ```text
//! submit --> ingress history          +-> answer -> history
//!    |                                |
//!    +--> queue --step--> canister ---+-> calls --> queue
//!           ^                         |
//!           |                         +-> answer -> queue (as the caller's callback)
//!           +-- timers and deadlines that are due, heartbeats
//! ```
//!
//! One message runs at a time, in the order of the queue; nothing runs by itself. [`Replica::step`]
//! runs one message at the present time, [`Replica::run`] all of them, [`Replica::advance`] moves
//! time on and runs what becomes due. So the same calls from the same seed always do the same.
//!
//! Invariant: cycles are neither made nor lost. They are in a balance, in a queued message, or in
//! the call context that may still accept them, except for what is created by the provisional
//! methods, burnt, or lost with a best-effort answer.

mod callbacks;
mod config;
mod execute;
mod ingress;
mod install;
mod log;
mod queries;
mod queue;
mod respond;
mod settle;
mod tasks;

pub use config::Config;
pub use ingress::{Ingress, IngressRecord, IngressStatus, MessageId};
pub use install::InstallMode;
pub use log::ExecutionRecord;

use crate::canister::{Canister, CanisterInfo, Status};
use crate::certificate::SubnetKeys;
use crate::faults::Faults;
use crate::ic0::Facts;
use crate::module::MethodKind;
use crate::reject::{ErrorCode, Reject};
use candid::Principal;
use ingress::History;
use log::ExecutionLog;
use queue::{Held, Request, Response, Struck, Task};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The number in the first canister id of a fresh network, as `dfx` has it.
const FIRST_CANISTER: u64 = 0x8000_0000_0010_0000;

/// More messages than this in one [`Replica::run`] are taken for an endless loop.
const MAX_RUN: u64 = 1_000_000;

/// An embedded Internet Computer: one subnet with one node, which is told what to do.
pub struct Replica {
    config: Config,
    time_ns: u64,
    canisters: BTreeMap<Principal, Canister>,
    queue: VecDeque<Task>,
    held: Vec<Held>,
    /// Deadline, canister and number of every callback that has one.
    deadlines: BTreeSet<(u64, Principal, u64)>,
    ingress: History,
    faults: Faults,
    log: ExecutionLog,
    rng: ChaCha20Rng,
    keys: Arc<SubnetKeys>,
    /// The root key as canisters see it, DER.
    root_key: Arc<[u8]>,
    next_canister: u64,
    /// Numbers for call contexts, callbacks and messages; none is used twice.
    next_number: u64,
    state_version: u64,
}

impl Replica {
    /// A replica without canisters. Its keys follow from the seed.
    pub fn new(config: Config) -> Self {
        let keys = Arc::new(SubnetKeys::from_seed(&config.seed.to_be_bytes()));
        Self {
            time_ns: config.time_ns,
            canisters: BTreeMap::new(),
            queue: VecDeque::new(),
            held: Vec::new(),
            deadlines: BTreeSet::new(),
            ingress: History::default(),
            faults: Faults::default(),
            log: ExecutionLog::default(),
            rng: ChaCha20Rng::seed_from_u64(config.seed),
            root_key: keys.root_key_der().into(),
            keys,
            next_canister: FIRST_CANISTER,
            next_number: 0,
            state_version: 0,
            config,
        }
    }

    /// What the boundary signs with.
    pub(crate) fn keys(&self) -> &Arc<SubnetKeys> {
        &self.keys
    }

    /// The present time in ns since 1970.
    pub fn time_ns(&self) -> u64 {
        self.time_ns
    }

    /// Grows whenever anything may have changed that a certificate shows.
    pub fn state_version(&self) -> u64 {
        self.state_version
    }

    /// Fault rules, for tests.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Creates an empty canister with the next id.
    pub fn create_canister(&mut self, controller: Principal) -> Principal {
        loop {
            let id = canister_id(self.next_canister);
            self.next_canister += 1;
            let cycles = self.config.initial_cycles;
            if self.create(id, vec![controller], cycles).is_ok() {
                return id;
            }
        }
    }

    /// Creates an empty canister with a given id.
    ///
    /// # Errors
    ///
    /// When that id is taken or can be no canister's.
    pub fn create_canister_with_id(
        &mut self,
        controller: Principal,
        id: Principal,
    ) -> Result<(), Reject> {
        self.create(id, vec![controller], self.config.initial_cycles)
    }

    /// The canister with this id, seen from outside.
    pub fn canister(&self, id: Principal) -> Option<CanisterInfo<'_>> {
        self.canisters.get(&id).map(Canister::info)
    }

    /// All canisters by id.
    pub fn canisters(&self) -> impl Iterator<Item = (Principal, CanisterInfo<'_>)> {
        self.canisters
            .iter()
            .map(|(id, canister)| (*id, canister.info()))
    }

    /// The methods a canister exports, by name; empty when it has no module.
    pub fn methods(&self, id: Principal) -> Vec<(String, MethodKind)> {
        self.canisters
            .get(&id)
            .and_then(|canister| canister.instance.as_ref())
            .map_or_else(Vec::new, |instance| {
                let methods = instance.module().methods();
                methods
                    .map(|(name, kind)| (name.to_owned(), kind))
                    .collect()
            })
    }

    /// A copy of a canister's stable memory; empty when it has none.
    pub fn stable_memory(&self, id: Principal) -> Vec<u8> {
        self.canisters
            .get(&id)
            .and_then(|canister| canister.instance.as_ref())
            .map_or_else(Vec::new, |instance| instance.stable().to_image())
    }

    /// The last lines a canister printed, oldest first.
    pub fn debug_output(&self, id: Principal) -> Vec<String> {
        self.canisters.get(&id).map_or_else(Vec::new, |canister| {
            canister.debug_output.iter().cloned().collect()
        })
    }

    /// Stops a canister: it takes no new calls, and this runs messages until its own are answered.
    ///
    /// # Errors
    ///
    /// When there is no such canister; or when calls are still open although nothing is left to
    /// run (it goes on stopping then, and stops when they are answered).
    pub fn stop(&mut self, id: Principal) -> Result<(), Reject> {
        self.begin_stop(id, None)?;
        self.run();
        let canister = self.canister_ref(id)?;
        match canister.status() {
            Status::Stopped => Ok(()),
            _ => Err(Reject::new(
                ErrorCode::StopCanisterRequestTimeout,
                format!(
                    "Canister {id} is still stopping: {} call contexts are open",
                    canister.contexts.len()
                ),
            )),
        }
    }

    /// Starts a canister, or calls off its stopping.
    ///
    /// # Errors
    ///
    /// When there is no such canister.
    pub fn start(&mut self, id: Principal) -> Result<(), Reject> {
        self.restart(id)
    }

    /// Executes exactly one queued message; `false` when there is none at the present time.
    pub fn step(&mut self) -> bool {
        loop {
            self.wake();
            let Some(task) = self.queue.pop_front() else {
                return false;
            };
            self.state_version += 1;
            if self.execute(task) {
                return true;
            }
        }
    }

    /// Executes messages until none is left at the present time. Gives up after a million of them,
    /// which only canisters that call each other for ever reach.
    pub fn run(&mut self) {
        for _ in 0..MAX_RUN {
            if !self.step() {
                return;
            }
        }
        tracing::warn!("still not idle after {MAX_RUN} messages");
    }

    /// Whether nothing can be executed before time moves on or a fault lets go.
    pub fn is_idle(&mut self) -> bool {
        self.wake();
        self.queue.is_empty()
    }

    pub(crate) fn create(
        &mut self,
        id: Principal,
        controllers: Vec<Principal>,
        cycles: u128,
    ) -> Result<(), Reject> {
        // Ids of other classes belong to users and to the system.
        const OPAQUE: u8 = 1;
        if id.as_slice().last() != Some(&OPAQUE) || id.as_slice().len() != 10 {
            return Err(Reject::new(
                ErrorCode::InvalidManagementPayload,
                format!("{id} is no canister id of this network"),
            ));
        }
        if self.canisters.contains_key(&id) {
            return Err(Reject::new(
                ErrorCode::CanisterIdAlreadyExists,
                format!("Canister {id} exists already"),
            ));
        }
        let facts = Facts {
            canister: id,
            controllers,
            environment: Vec::new(),
            subnet: self.keys.subnet_id(),
            root_key: self.root_key.clone(),
        };
        self.canisters.insert(id, Canister::new(facts, cycles));
        self.state_version += 1;
        Ok(())
    }

    pub(crate) fn canister_ref(&self, id: Principal) -> Result<&Canister, Reject> {
        self.canisters
            .get(&id)
            .ok_or_else(|| Reject::canister_not_found(id))
    }

    pub(crate) fn canister_mut(&mut self, id: Principal) -> Result<&mut Canister, Reject> {
        self.canisters
            .get_mut(&id)
            .ok_or_else(|| Reject::canister_not_found(id))
    }

    /// Forgets a canister that has stopped; its cycles are gone.
    pub(crate) fn remove_canister(&mut self, id: Principal) {
        self.canisters.remove(&id);
        self.state_version += 1;
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(crate) fn random_bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

/// The id of the canister with this number.
fn canister_id(number: u64) -> Principal {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&[1, 1]);
    Principal::from_slice(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ids_are_those_of_a_fresh_local_network() {
        let mut replica = Replica::new(Config::default());
        let ids = [(); 3].map(|()| replica.create_canister(Principal::anonymous()).to_text());
        assert_eq!(
            ids,
            [
                "bnz7o-iuaaa-aaaaa-qaaaa-cai",
                "bkyz2-fmaaa-aaaaa-qaaaq-cai",
                "bd3sg-teaaa-aaaaa-qaaba-cai"
            ]
        );
    }

    #[test]
    fn ids_that_are_taken_are_passed_over() {
        let mut replica = Replica::new(Config::default());
        let second = canister_id(FIRST_CANISTER + 1);
        let user = Principal::anonymous();
        replica.create_canister_with_id(user, second).unwrap();
        assert!(replica.create_canister_with_id(user, second).is_err());
        assert!(replica.create_canister_with_id(user, user).is_err());
        replica.create_canister(user);
        let third = canister_id(FIRST_CANISTER + 2);
        assert_eq!(replica.create_canister(user), third);
    }

    #[test]
    fn a_replica_can_move_to_another_thread() {
        fn check<T: Send>() {}
        check::<Replica>();
    }
}
