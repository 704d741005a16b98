//! What a watcher wants done at the adjudicator: a function of the order and of what was seen last.
//!
//! | seen | and | wanted |
//! |---|---|---|
//! | open | the newest state is final, or its registration is ordered | register it |
//! | open | nothing was deposited for a long time | forget the order |
//! | registered | what is registered is older than the newest state | refute it |
//! | registered | the timeout has passed | withdraw, or conclude if nothing is ours |
//! | concluded | something of ours is left | withdraw |
//! | concluded | something is on its way, and may come back | look again |
//! | concluded | nothing of that | nothing any more, ever |
//!
//! Nothing is remembered of calls that were made: one that failed, was lost or was forgotten over a
//! restart is simply wanted again.

use perun_protocol::channel::AdjudicatorCall;
use perun_protocol::dispute::{Rank, outcome};
use perun_protocol::view::{Status, View};
use perun_protocol::{AssetIdx, Balances, SignedState, Timestamp};

use super::order::Order;

/// A channel into which nobody has deposited for a week will hardly come to be.
const NEVER_FUNDED_NS: u64 = 7 * 24 * 3_600 * 1_000_000_000;

/// What is to be done for a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Wanted {
    /// Nothing for now.
    Nothing,
    /// This, after which the channel is looked at again.
    Call(AdjudicatorCall),
    /// The channel is over: everything of ours is paid, or too small to be.
    Over,
    /// The channel never came to be.
    Forget,
}

/// What is to be done for a channel that was seen like this. `kept` are the assets of which our
/// remainder is too small to be paid out. `now` may be late, never early.
pub(super) fn wanted(order: &Order, kept: &[AssetIdx], view: &View, now: Timestamp) -> Wanted {
    match &view.status {
        Status::Open { holdings } => wanted_while_open(order, holdings, view.at),
        Status::Registered {
            rank,
            signed,
            timeout,
            holdings,
        } => {
            // Whether it is over is for the adjudicator to say; until then it is tried.
            let is_elapsed = view.at >= *timeout;
            if Rank::State(order.newest.version()) > *rank && !is_elapsed {
                return Wanted::Call(claim(&order.newest));
            }
            if now < *timeout {
                return Wanted::Nothing;
            }
            let payout = outcome(signed.as_ref().map(SignedState::state), holdings);
            Wanted::Call(withdraw(order, kept, &payout).unwrap_or(AdjudicatorCall::Conclude))
        }
        Status::Concluded {
            remainders,
            in_flight,
        } => match withdraw(order, kept, remainders) {
            Some(call) => Wanted::Call(call),
            // It may be ours, and a remainder again.
            None if in_flight.iter().any(|amount| !amount.is_zero()) => {
                Wanted::Call(AdjudicatorCall::Observe)
            }
            None => Wanted::Over,
        },
    }
}

fn wanted_while_open(order: &Order, holdings: &Balances, seen_at: Timestamp) -> Wanted {
    // Without a deposit there is nothing to register a claim about.
    if holdings.is_zero() {
        let hopeless = order.given_at.saturating_add_nanos(NEVER_FUNDED_NS);
        return match seen_at >= hopeless {
            true => Wanted::Forget,
            false => Wanted::Nothing,
        };
    }
    match order.is_forced || order.newest.state().is_final() {
        true => Wanted::Call(claim(&order.newest)),
        false => Wanted::Nothing,
    }
}

/// The call that registers a state.
fn claim(newest: &SignedState) -> AdjudicatorCall {
    let newest = Box::new(newest.clone());
    match newest.state().is_final() {
        true => AdjudicatorCall::ConcludeFinal(newest),
        false => AdjudicatorCall::Dispute(newest),
    }
}

/// The call that pays what is ours in `payout`, if anything is.
fn withdraw(order: &Order, kept: &[AssetIdx], payout: &Balances) -> Option<AdjudicatorCall> {
    let rows = (0..)
        .map(AssetIdx::new)
        .zip(payout.rows())
        .zip(&order.auths);
    let due = rows
        .filter(|((asset, row), _)| !row[order.part.index()].is_zero() && !kept.contains(asset));
    let auths: Vec<_> = due.map(|(_, auth)| *auth).collect();
    (!auths.is_empty()).then_some(AdjudicatorCall::Withdraw(auths))
}

#[cfg(test)]
mod tests;
