//! Which claim stands, and what it gives to whom: computed once more, from what was signed.

use perun_canister_api::Rank;
use serde_bytes::ByteBuf;

use super::{Book, Books, Phase};
use crate::cast::{Channel, Table, cast};

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Judgement {
    Registered,
    UnknownChannel,
    Elapsed,
    Outdated,
    Insufficient,
    WrongSignature,
}

impl Books {
    /// What a claim would lead to. `timeout_ns` is that of what is registered.
    pub fn judge(
        &self,
        number: usize,
        state: Option<usize>,
        is_forged: bool,
        timeout_ns: Option<u64>,
        now_ns: u64,
    ) -> Judgement {
        let (channel, book) = (&cast().channels[number], &self.channels[number]);
        let held = match &book.phase {
            Phase::Unknown => return Judgement::UnknownChannel,
            Phase::Concluded { .. } => return Judgement::Elapsed,
            Phase::Open => &book.held,
            Phase::Registered {
                standing, frozen, ..
            } => {
                if timeout_ns.expect("it is registered") <= now_ns {
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
            () if is_forged => Judgement::WrongSignature,
            () => Judgement::Registered,
        }
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
            Phase::Concluded { standing } if standing == Some(state)
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
