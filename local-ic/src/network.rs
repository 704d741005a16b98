//! The replica with everything the boundary adds to it: keys, certified requests, those who wait
//! for an answer, and the thread that runs messages.
//!
//! ```text
//! HTTP request --submit--> replica <--one message a turn-- driver thread
//!      ^                      |                                |
//!      +---- certificate -----+-------- settled, wake up ------+
//! ```
//!
//! Everybody takes the replica in turns, and a turn of the driver is one message, so nobody waits
//! longer than for the message that is running. Certificates are signed outside a turn.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candid::Principal;
use hyper::StatusCode;
use ic_certification::HashTree;
use tokio::sync::oneshot;

use crate::auth::Window;
use crate::certificate::SubnetKeys;
use crate::http::Refusal;
use crate::http::paths::Facts;
use crate::reject::Reject;
use crate::replica::{Ingress, IngressStatus, MessageId, Replica};
use crate::server::Clock;
use crate::state_tree::{Path, RequestTree};
use crate::turns::{Broken, Turns};
use crate::view;

/// How often a live replica looks at the clock when nothing else happens.
const TICK: Duration = Duration::from_millis(20);
/// How many calls may be in the queue or unanswered. Further ones are turned away, so that nobody
/// can fill the memory with them.
const MAX_OPEN_CALLS: usize = 1_000;
/// How often heartbeats run on a live replica: the length of a round.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The one node of the network.
pub(crate) struct Node {
    state: Turns<State>,
    keys: Arc<SubnetKeys>,
    clock: Clock,
    /// The replica's time at the end of the last turn, so that it can be told without one.
    replica_ns: AtomicU64,
    bell: Bell,
    stopping: AtomicBool,
}

/// What is taken in turns.
struct State {
    replica: Replica,
    requests: RequestTree,
    /// The replica's state when `requests` was last brought up to date.
    requests_as_of: Option<u64>,
    /// Calls that came in over HTTP and have no final status yet, with those who wait for it.
    open: Vec<(MessageId, Option<oneshot::Sender<Settled>>)>,
    /// The machine's clock when the replica's time last followed it, ns since 1970.
    followed_ns: u64,
    /// The machine's clock at the last heartbeat, ns since 1970.
    beaten_ns: u64,
}

/// Tells a waiting caller that its request has its final status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Settled;

/// What became of a call that was handed in.
pub(crate) enum Submission {
    /// It has a status from now on. `settled` fires when that is final; it is dropped when waiting
    /// is pointless, because nothing runs until time is moved.
    Taken {
        id: MessageId,
        settled: oneshot::Receiver<Settled>,
    },
    /// It never got in, and leaves no trace.
    Rejected(Reject),
}

impl Node {
    /// Puts `replica` at the boundary. Its time is moved up to the machine's clock if it is behind,
    /// as if the subnet had stood still: agents refuse certificates that are minutes old.
    pub(crate) fn new(mut replica: Replica, clock: Clock) -> Self {
        let keys = Arc::clone(replica.keys());
        let now_ns = machine_ns();
        replica.skip(Duration::from_nanos(
            now_ns.saturating_sub(replica.time_ns()),
        ));
        Self {
            replica_ns: AtomicU64::new(replica.time_ns()),
            state: Turns::new(State {
                replica,
                requests: RequestTree::default(),
                requests_as_of: None,
                open: Vec::new(),
                followed_ns: now_ns,
                beaten_ns: now_ns,
            }),
            keys,
            clock,
            bell: Bell::default(),
            stopping: AtomicBool::new(false),
        }
    }

    pub(crate) fn keys(&self) -> &SubnetKeys {
        &self.keys
    }

    /// Whether a panic has ended the driver or left the replica half-changed.
    pub(crate) fn is_broken(&self) -> bool {
        self.state.is_broken()
    }

    /// The times that requests are judged by.
    pub(crate) fn window(&self) -> Window {
        Window::new(machine_ns(), self.replica_ns.load(Ordering::Relaxed))
    }

    /// Uses the replica, with its time up to date.
    fn turn<R>(&self, f: impl FnOnce(&mut State) -> R) -> Result<R, Broken> {
        let mut state = self.state.take()?;
        self.follow_clock(&mut state);
        let result = f(&mut state);
        self.replica_ns
            .store(state.replica.time_ns(), Ordering::Relaxed);
        Ok(result)
    }

    pub(crate) fn check_subnet(&self, subnet: Principal) -> Result<(), Refusal> {
        let ours = self.keys.subnet_id();
        if subnet == ours {
            return Ok(());
        }
        let text = format_args!("there is no subnet {subnet}; the only one here is {ours}");
        Err(Refusal::new(StatusCode::NOT_FOUND, text))
    }

    /// Direct use of the replica; what it leaves to run is run afterwards.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Replica) -> R) -> Result<R, Broken> {
        let result = self.turn(|state| f(&mut state.replica))?;
        self.bell.ring();
        Ok(result)
    }

    /// Hands a call in, unless too many are open already. One that is known is not run again.
    pub(crate) fn submit(&self, id: MessageId, ingress: Ingress) -> Result<Submission, Refusal> {
        let submission = self.turn(|state| {
            if state.open.len() >= MAX_OPEN_CALLS {
                let text = format_args!("{MAX_OPEN_CALLS} calls are open; try again later");
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
            }
            if let Err(reject) = state.replica.submit(id, ingress) {
                return Ok(Submission::Rejected(reject));
            }
            let (sender, settled) = oneshot::channel();
            state.open.push((id, Some(sender)));
            Ok(Submission::Taken { id, settled })
        })?;
        self.bell.ring();
        submission
    }

    /// Runs a query; also tells the time (ns) as of which it was answered.
    pub(crate) fn query(
        &self,
        sender: Principal,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<(Result<Vec<u8>, Reject>, u64), Broken> {
        self.turn(|State { replica, .. }| {
            let result = replica.query(sender, canister, method, arg);
            (result, replica.time_ns())
        })
    }

    /// A certificate of the status of one request.
    pub(crate) fn certify_request(&self, id: &MessageId) -> Result<Vec<u8>, Broken> {
        let path = vec!["request_status".into(), id.0.to_vec().into()];
        let tree = self.turn(|state| self.prove(state, &[path], Some(id)))?;
        Ok(self.keys.certify(tree))
    }

    /// A certificate of `paths`, if `check` allows them. It returns the request they ask about.
    pub(crate) fn certify_paths(
        &self,
        paths: &[Path],
        check: impl FnOnce(&ReplicaFacts<'_>) -> Result<Option<[u8; 32]>, Refusal>,
    ) -> Result<Vec<u8>, Refusal> {
        let tree = self.turn(|state| {
            let asked = check(&ReplicaFacts(&state.replica))?.map(MessageId);
            Ok::<_, Refusal>(self.prove(state, paths, asked.as_ref()))
        })??;
        Ok(self.keys.certify(tree))
    }

    fn prove(&self, state: &mut State, paths: &[Path], asked: Option<&MessageId>) -> HashTree {
        let State {
            replica,
            requests,
            requests_as_of,
            ..
        } = state;
        if *requests_as_of != Some(replica.state_version()) {
            view::update_requests(requests, replica);
            *requests_as_of = Some(replica.state_version());
        }
        let requests = match asked {
            Some(id) => requests.prove(&id.0, view::status_tree(&replica.status(id)).as_ref()),
            None => requests.hidden(),
        };
        let tree = view::state_tree(replica, &self.keys, requests);
        let mut paths = paths.to_vec();
        paths.push(vec!["time".into()]);
        tree.prove(&paths)
    }

    /// Runs messages until [`Self::stop`]. To be called once, on a thread of its own.
    pub(crate) fn drive(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            let turn = self.turn(|state| {
                let busy = state.replica.step();
                state.settle();
                if !busy {
                    self.idle(state);
                }
                busy
            });
            match turn {
                Ok(true) => {}
                Ok(false) => self.bell.wait((self.clock == Clock::Live).then_some(TICK)),
                Err(Broken) => return,
            }
        }
    }

    /// What is done when there is nothing to run.
    fn idle(&self, state: &mut State) {
        match self.clock {
            Clock::Manual => {
                // Nothing will happen by itself. Who waits is told so: its sender is dropped.
                for (_, waiting) in &mut state.open {
                    *waiting = None;
                }
            }
            Clock::Live => {
                let passed_ns = state.followed_ns.saturating_sub(state.beaten_ns);
                if passed_ns >= HEARTBEAT.as_nanos() as u64 {
                    // Moving time is what makes hearts beat; by how much doesn't matter.
                    state.beaten_ns = state.followed_ns;
                    state.replica.advance(Duration::from_nanos(1));
                }
            }
        }
    }

    /// Ends [`Self::drive`].
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Moves a live replica's time on by what has passed on the machine's clock, so that whatever
    /// was moved by hand stays as a lead.
    fn follow_clock(&self, state: &mut State) {
        if self.clock == Clock::Manual {
            return;
        }
        let now_ns = machine_ns();
        // The machine's clock may be set back; the replica's time never goes back.
        let passed_ns = now_ns.saturating_sub(state.followed_ns);
        state.followed_ns = now_ns;
        // What becomes due runs at the next steps, one message a turn.
        if passed_ns > 0 {
            state.replica.skip(Duration::from_nanos(passed_ns));
        }
    }
}

impl State {
    /// Tells those whose requests have their final status.
    fn settle(&mut self) {
        let replica = &self.replica;
        let open = |id: &MessageId| {
            replica.ingress_record(id).is_some_and(|record| {
                matches!(
                    record.status,
                    IngressStatus::Received | IngressStatus::Processing
                )
            })
        };
        for (_, waiting) in self.open.extract_if(.., |(id, _)| !open(id)) {
            if let Some(sender) = waiting {
                // It may have lost its patience; the answer is kept for when it polls.
                let _ = sender.send(Settled);
            }
        }
    }
}

/// What the rules of reading ask about the state.
pub(crate) struct ReplicaFacts<'a>(&'a Replica);

impl Facts for ReplicaFacts<'_> {
    fn is_private_metadata(&self, canister: &Principal, name: &[u8]) -> bool {
        self.0.canister(*canister).is_some_and(|canister| {
            let mut sections = canister.metadata.iter();
            sections.any(|section| section.name.as_bytes() == name && !section.public)
        })
    }

    fn is_controller(&self, canister: &Principal, principal: &Principal) -> bool {
        self.0
            .canister(*canister)
            .is_some_and(|canister| canister.controllers.contains(principal))
    }

    fn request(&self, id: &[u8; 32]) -> Option<(Principal, Principal)> {
        let record = self.0.ingress_record(&MessageId(*id))?;
        Some((record.sender, record.canister_id))
    }
}

/// Wakes the driver. Rings that nobody waits for are not lost.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    sound: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.sound.notify_one();
    }

    /// Waits for a ring, at most for `limit`.
    fn wait(&self, limit: Option<Duration>) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rung = match limit {
            Some(limit) => {
                let waited = self.sound.wait_timeout_while(rung, limit, |rung| !*rung);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.sound.wait_while(rung, |rung| !*rung);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
        *rung = false;
    }
}

/// The machine's clock, ns since 1970.
pub(crate) fn machine_ns() -> u64 {
    let passed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
}
