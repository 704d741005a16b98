//! Claims: what is registered, what refutes it, and the end of a channel.

use perun_canister_api::{
    Claim as CandidClaim, ConcludeError, ConcludeRequest, Conclusion, DisputeError, DisputeRequest,
    Registered, convert,
};
use perun_protocol::dispute::{self, Claim};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::signature::K256;
use perun_protocol::{ChannelId, PartIdx, RefundClaim, State, Timestamp, UnverifiedSignedState};

use crate::Adjudicator;
use crate::channel::{Channel, Phase};
use crate::clock::{Clock, Uptime};
use crate::event::Change;
use crate::finished::Finished;

impl Adjudicator {
    /// Registers a claim, or refutes by it what is registered. A final state concludes the channel
    /// at once.
    pub fn dispute(
        &mut self,
        request: &DisputeRequest,
        now: Timestamp,
    ) -> Result<Registered, DisputeError> {
        let id = match &request.claim {
            CandidClaim::Refund {
                channel,
                part,
                signature,
            } => {
                let malformed = |what: &str, expected: usize, length: usize| {
                    let reason = format!("a {what} has {expected} bytes, not {length}");
                    DisputeError::Malformed { reason }
                };
                let channel = convert::channel(channel)
                    .map_err(|length| malformed("channel id", 32, length))?;
                let signature = convert::signature(signature)
                    .map_err(|length| malformed("signature", 64, length))?;
                let part = PartIdx::new(*part);
                let claim = RefundClaim { channel, part };
                self.register(channel, now, None, |stored| {
                    let verified = claim.verify(stored.params(), signature);
                    let wrong = DisputeError::WrongSignature {
                        part: part.number(),
                    };
                    verified.map(Claim::Refund).ok_or(wrong)
                })?;
                channel
            }
            CandidClaim::State(bytes) => {
                let signed = decode_signed_state(bytes)?;
                let id = signed.state.channel();
                self.register_state(signed, now)?;
                id
            }
        };
        Ok(self.registered(id, now).expect("it was just registered"))
    }

    /// Concludes a channel: with a final state at once, otherwise after its timeout. Concluding
    /// again by the same claim changes nothing and gives the same answer.
    pub fn conclude(
        &mut self,
        request: &ConcludeRequest,
        now: Timestamp,
    ) -> Result<Conclusion, ConcludeError> {
        let malformed = |length| DisputeError::Malformed {
            reason: format!("a channel id has 32 bytes, not {length}"),
        };
        let id = convert::channel(&request.channel)
            .map_err(|length| ConcludeError::Refused(malformed(length)))?;
        if let Some(bytes) = &request.final_state {
            let signed = decode_signed_state(bytes).map_err(ConcludeError::Refused)?;
            if signed.state.channel() != id {
                return Err(ConcludeError::WrongChannel);
            }
            if !signed.state.is_final() {
                return Err(ConcludeError::NotFinal);
            }
            if !self.is_concluded_by(&signed.state) {
                self.register_state(signed, now)
                    .map_err(ConcludeError::Refused)?;
            }
        }
        let remainders = match self.concluded(id, now) {
            Err(ConcludeError::Refused(DisputeError::UnknownChannel)) => {
                let finished = self.finished(id);
                let unknown = ConcludeError::Refused(DisputeError::UnknownChannel);
                finished.ok_or(unknown)?.remainders
            }
            concluded => match concluded?.phase {
                Phase::Concluded { remainders, .. } => remainders,
                Phase::Open { .. } | Phase::Registered { .. } => {
                    unreachable!("it was just concluded")
                }
            },
        };
        Ok(Conclusion {
            remainders: convert::balances_to_candid(&remainders),
        })
    }

    /// The channel, concluded if its timeout has passed.
    pub(crate) fn concluded(
        &mut self,
        id: ChannelId,
        now: Timestamp,
    ) -> Result<Channel, ConcludeError> {
        let unknown = ConcludeError::Refused(DisputeError::UnknownChannel);
        let mut channel = self.store.channel(id).ok_or(unknown)?;
        match channel.phase() {
            Phase::Open { .. } => Err(ConcludeError::NotRegistered),
            Phase::Concluded { .. } => Ok(channel),
            Phase::Registered { timeout, .. } => {
                let deadline = *timeout;
                let wall = self.store.clock().wall(deadline);
                if self.uptime(now) < deadline {
                    return Err(ConcludeError::ChallengeOpen {
                        timeout_ns: wall.nanos(),
                    });
                }
                let outcome = channel
                    .conclude(wall)
                    .expect("a registered channel concludes");
                self.store.close_window(deadline, id);
                self.record(now, id, channel.clone(), Change::Concluded { outcome });
                Ok(channel)
            }
        }
    }

    /// What is registered for a channel, `None` if nothing is.
    pub fn registered(&self, id: ChannelId, now: Timestamp) -> Option<Registered> {
        let clock = self.clock_at(now);
        let (claim, timeout, concluded) = match self.store.channel(id).map(|found| found.phase) {
            Some(Phase::Open { .. }) => return None,
            Some(Phase::Registered { claim, timeout, .. }) => (claim, clock.wall(timeout), false),
            Some(Phase::Concluded { claim, timeout, .. }) => (claim, timeout, true),
            None => {
                let finished = self.finished(id)?;
                (finished.claim, finished.timeout, true)
            }
        };
        let (rank, signed_state) = claim.to_candid();
        Some(Registered {
            rank,
            signed_state,
            timeout_ns: timeout.nanos(),
            concluded,
        })
    }

    /// Whether the channel was concluded by exactly this state.
    pub(crate) fn is_concluded_by(&self, state: &State) -> bool {
        let id = state.channel();
        let claim = match self.store.channel(id).map(|channel| channel.phase) {
            Some(Phase::Concluded { claim, .. }) => Some(claim),
            Some(Phase::Open { .. } | Phase::Registered { .. }) => None,
            None => self.finished(id).map(|finished| finished.claim),
        };
        claim.is_some_and(|claim| claim.is(state))
    }

    /// Checks all of a claim for `state` (a refund claim if `None`) but its signatures, which cost, and
    /// gives its channel.
    pub(crate) fn check_claim(
        &self,
        id: ChannelId,
        state: Option<&State>,
        now: Timestamp,
    ) -> Result<Channel, DisputeError> {
        let Some(channel) = self.store.channel(id) else {
            return Err(match self.finished(id) {
                None => DisputeError::UnknownChannel,
                Some(Finished { timeout: at, .. }) => {
                    dispute::DisputeError::ChallengeElapsed { at }.into()
                }
            });
        };
        if state.is_some_and(|state| !state.has_shape_of(channel.params())) {
            return Err(DisputeError::WrongShape);
        }
        let clock = self.clock_at(now);
        // The rules count in uptime, the world in wall time.
        let in_wall_time = |error| match error {
            dispute::DisputeError::ChallengeElapsed { at }
                if matches!(channel.phase(), Phase::Registered { .. }) =>
            {
                let at = clock.wall(Uptime(at));
                dispute::DisputeError::ChallengeElapsed { at }
            }
            error => error,
        };
        channel
            .would_register(state, clock.uptime(now))
            .map_err(|error| DisputeError::from(in_wall_time(error)))?;
        Ok(channel)
    }

    /// The clock at `now`, with the gap that only a message that changes something writes down.
    fn clock_at(&self, now: Timestamp) -> Clock {
        let tick_ns = self.config().tick_ns();
        let is_open = self.store.has_open_window();
        self.store.clock().observe(now, tick_ns, is_open)
    }

    fn register_state(
        &mut self,
        signed: UnverifiedSignedState,
        now: Timestamp,
    ) -> Result<(), DisputeError> {
        let id = signed.state.channel();
        let state = signed.state.clone();
        self.register(id, now, Some(&state), |stored| {
            let verified = signed.verify_for::<K256>(id, stored.params());
            Ok(Claim::State(verified?))
        })?;
        if state.is_final() {
            let concluded = self.concluded(id, now);
            concluded.expect("the timeout of a final state is now");
        }
        Ok(())
    }

    /// Registers the claim for `state` (a refund claim if `None`) that `verify` makes. Everything
    /// that costs little is checked before a signature is.
    fn register(
        &mut self,
        id: ChannelId,
        now: Timestamp,
        state: Option<&State>,
        verify: impl FnOnce(&Channel) -> Result<Claim, DisputeError>,
    ) -> Result<(), DisputeError> {
        let mut channel = self.check_claim(id, state, now)?;
        let uptime = self.uptime(now);
        let clock = self.store.clock();
        let claim = verify(&channel)?;
        let standing = match channel.phase() {
            Phase::Registered { timeout, .. } => Some(*timeout),
            Phase::Open { .. } | Phase::Concluded { .. } => None,
        };
        let registration = channel.register(&claim, uptime)?;
        let deadline = Uptime(registration.timeout);
        if let Some(standing) = standing {
            self.store.close_window(standing, id);
        }
        self.store.open_window(deadline, id);
        let rank = registration.rank;
        let digest = claim.state().map(State::digest);
        let timeout = clock.wall(deadline);
        let change = match standing {
            None => Change::Registered {
                rank,
                digest,
                timeout,
            },
            Some(_) => Change::Refuted {
                rank,
                digest,
                timeout,
            },
        };
        self.record(now, id, channel, change);
        Ok(())
    }
}

fn decode_signed_state(bytes: &[u8]) -> Result<UnverifiedSignedState, DisputeError> {
    UnverifiedSignedState::decode(bytes).map_err(|error| DisputeError::Malformed {
        reason: error.to_string(),
    })
}
