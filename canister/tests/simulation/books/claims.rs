//! Which claim stands, and what it gives to whom: computed once more, from what was signed.

use perun_canister_api::{DisputeError, DisputeResult, Rank};
use serde_bytes::ByteBuf;

use super::{Book, Books, Phase, Record};
use crate::cast::{Channel, Table, cast};
use crate::step::Claim;

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Judgement {
    Registered,
    UnknownChannel,
    Elapsed,
    Outdated,
    Insufficient,
    WrongSignature,
}

impl Judgement {
    pub const ALL: [Self; 6] = [
        Self::Registered,
        Self::UnknownChannel,
        Self::Elapsed,
        Self::Outdated,
        Self::Insufficient,
        Self::WrongSignature,
    ];

    /// The adjudicator's.
    pub fn of(answer: &DisputeResult) -> Self {
        match answer {
            Ok(_) => Self::Registered,
            Err(DisputeError::UnknownChannel) => Self::UnknownChannel,
            Err(DisputeError::ChallengeElapsed { .. }) => Self::Elapsed,
            Err(DisputeError::Outdated { .. }) => Self::Outdated,
            Err(DisputeError::InsufficientFunding { .. }) => Self::Insufficient,
            Err(DisputeError::WrongSignature { .. }) => Self::WrongSignature,
            Err(error) => panic!("{error:?}"),
        }
    }
}

impl Books {
    /// What a claim would lead to. `timeout_ns` is that of what was registered before the message:
    /// gaps may have moved it since the log told it.
    pub fn judge(&self, claim: Claim, timeout_ns: Option<u64>, now_ns: u64) -> Judgement {
        let (number, state) = (claim.channel(), claim.state());
        let (channel, book) = (&cast().channels[number], &self.channels[number]);
        let held = match &book.phase {
            Phase::Unknown => return Judgement::UnknownChannel,
            Phase::Concluded { .. } => return Judgement::Elapsed,
            Phase::Open => &book.held,
            Phase::Registered {
                standing,
                timeout_ns: told_ns,
                frozen,
            } => {
                if timeout_ns.unwrap_or(*told_ns) <= now_ns {
                    return Judgement::Elapsed;
                }
                if state <= *standing {
                    return Judgement::Outdated;
                }
                frozen
            }
        };
        match () {
            () if !may_stand(channel, state, held) => Judgement::Insufficient,
            () if matches!(claim, Claim::Forged { .. }) => Judgement::WrongSignature,
            () => Judgement::Registered,
        }
    }

    /// What a claim leads to, and what comes of it: nothing if it is refused.
    pub fn hand_in(&mut self, claim: Claim, timeout_ns: Option<u64>, now_ns: u64) -> Judgement {
        let judgement = self.judge(claim, timeout_ns, now_ns);
        if judgement == Judgement::Registered {
            self.register(claim, timeout_ns, now_ns);
        }
        judgement
    }

    fn register(&mut self, claim: Claim, timeout_ns: Option<u64>, now_ns: u64) {
        let (number, standing) = (claim.channel(), claim.state());
        let (channel, book) = (&cast().channels[number], &mut self.channels[number]);
        let (frozen, timeout_ns) = match &book.phase {
            // A refutation moves no timeout.
            Phase::Registered {
                timeout_ns: told_ns,
                frozen,
                ..
            } => (frozen.clone(), timeout_ns.unwrap_or(*told_ns)),
            _ => (book.held.clone(), now_ns + channel.challenge_ns),
        };
        let is_final = standing.is_some_and(|state| channel.states[state].is_final);
        book.phase = if is_final {
            book.held = outcome_of(channel, standing, &frozen, &book.held);
            Phase::Concluded {
                standing,
                timeout_ns: now_ns,
                record: Record::Whole,
            }
        } else {
            Phase::Registered {
                standing,
                timeout_ns,
                frozen,
            }
        };
    }

    /// The claim by which the honest refutes what is registered, if it has to.
    pub fn refutation(&self, number: usize) -> Option<usize> {
        let book = &self.channels[number];
        match &book.phase {
            Phase::Registered {
                standing, frozen, ..
            } if book.is_watched => {
                let newest = newest_enforceable(&cast().channels[number], book.signed, frozen);
                newest.filter(|_| *standing < newest)
            }
            _ => None,
        }
    }

    /// Whether exactly this state concluded the channel.
    pub fn is_concluded_by(&self, number: usize, state: usize) -> bool {
        matches!(
            self.channels[number].phase,
            Phase::Concluded { standing, .. } if standing == Some(state)
        )
    }

    /// Whether what is held now is what a state rests on.
    pub fn is_covered(&self, number: usize, state: usize) -> bool {
        is_covered(&cast().channels[number], state, &self.channels[number].held)
    }

    /// The newest state that its participants could enforce now.
    pub fn newest(&self, number: usize) -> Option<usize> {
        let book = &self.channels[number];
        newest_enforceable(&cast().channels[number], book.signed, &book.held)
    }
}

/// Which of the states that all have signed this is; none is a refund claim.
pub(super) fn signed_state(
    channel: &Channel,
    book: &Book,
    rank: Rank,
    digest: Option<&ByteBuf>,
) -> Option<usize> {
    let Rank::State(version) = rank else {
        assert_eq!(digest, None);
        return None;
    };
    let state = channel
        .states
        .iter()
        .position(|state| Some(state.digest.as_slice()) == digest.map(|digest| digest.as_slice()));
    let state = state.expect("only states that were signed are registered");
    assert_eq!(channel.states[state].version, version);
    assert!(state < book.signed, "nobody has seen it yet");
    Some(state)
}

pub(super) fn is_covered(channel: &Channel, state: usize, held: &Table) -> bool {
    let needed = channel.states[state].funding.iter().flatten();
    needed
        .zip(held.iter().flatten())
        .all(|(needed, held)| held >= needed)
}

/// Whether a claim may stand on these deposits: only version 0 and refunds need none.
pub(super) fn may_stand(channel: &Channel, state: Option<usize>, held: &Table) -> bool {
    state.is_none_or(|state| channel.states[state].version == 0 || is_covered(channel, state, held))
}

pub(super) fn newest_enforceable(channel: &Channel, signed: usize, held: &Table) -> Option<usize> {
    (0..signed)
        .rev()
        .find(|&state| is_covered(channel, state, held))
}

/// What everybody gets: by the state what it rests on, and beside it what came besides.
pub(super) fn outcome_of(
    channel: &Channel,
    standing: Option<usize>,
    frozen: &Table,
    held: &Table,
) -> Table {
    let Some(state) = standing.filter(|&state| is_covered(channel, state, frozen)) else {
        return held.clone();
    };
    let state = &channel.states[state];
    let mut outcome = held.clone();
    for (asset, row) in outcome.iter_mut().enumerate() {
        for (part, amount) in row.iter_mut().enumerate() {
            *amount = *amount - state.funding[asset][part] + state.balances[asset][part];
        }
    }
    outcome
}
