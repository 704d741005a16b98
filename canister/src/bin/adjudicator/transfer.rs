//! One journalled transfer from the ledger call to its consequences.

use std::cell::RefCell;
use std::collections::BTreeSet;

use candid::Principal;
use perun_canister::Settlement;
use perun_canister::journal::JournalNumber;
use perun_protocol::{Amount, AssetIdx, ChannelId};

use crate::ledger;
use crate::state::{mutate, read};
use crate::timers;

thread_local! {
    static CALLING: RefCell<BTreeSet<JournalNumber>> = const { RefCell::new(BTreeSet::new()) };
}

/// Why nothing new can be started for a channel and asset.
pub enum InTheWay {
    /// A ledger call is under way.
    Busy,
    /// The outcome of an earlier one is still not known.
    Pending(JournalNumber),
}

/// The right to call the ledger for a journal entry; freed on every path, also by a trap.
struct CallGuard(JournalNumber);

impl CallGuard {
    fn new(number: JournalNumber) -> Option<Self> {
        let is_free = CALLING.with_borrow_mut(|calling| calling.insert(number));
        // Lazily: a guard that is made and not used would free the one in use.
        is_free.then(|| Self(number))
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        CALLING.with_borrow_mut(|calling| calling.remove(&self.0));
    }
}

/// Sends a journal entry and settles it by the answer. `None` if a call for it is under way
/// already, or it was settled meanwhile.
pub async fn settle(number: JournalNumber) -> Option<Settlement> {
    let _guard = CallGuard::new(number)?;
    let entry = mutate(|adjudicator, now| adjudicator.begin_attempt(number, now))?;
    // Should this message's continuation be lost, the timer takes over.
    timers::arm_retry();
    let answer = ledger::transfer(number, &entry).await;
    let settlement = mutate(|adjudicator, now| adjudicator.settle(number, answer, now));
    if settlement != Settlement::Expired {
        return Some(settlement);
    }
    let funds = read(|adjudicator| adjudicator.funds_account(entry.channel));
    match ledger::balance(entry.ledger, &funds).await {
        Ok(balance) => Some(mutate(|adjudicator, now| {
            adjudicator.settle_expired(number, balance, now)
        })),
        Err(_) => Some(Settlement::Unknown),
    }
}

/// Finds out what became of an earlier transfer for a channel and asset, if there is one.
pub async fn clear(channel: ChannelId, asset: AssetIdx) -> Result<(), InTheWay> {
    let Some(number) = read(|adjudicator| adjudicator.in_flight(channel, asset)) else {
        return Ok(());
    };
    match settle(number).await {
        None => Err(InTheWay::Busy),
        Some(Settlement::Unknown | Settlement::Expired) => Err(InTheWay::Pending(number)),
        Some(_) => Ok(()),
    }
}

/// The ledger's fee, asked for if it is not known yet.
pub async fn fee(ledger: Principal) -> Result<Amount, String> {
    if let Some(fee) = read(|adjudicator| adjudicator.fee(ledger)) {
        return Ok(Amount::new(fee));
    }
    let fee = ledger::fee(ledger).await?;
    mutate(|adjudicator, _| adjudicator.set_fee(ledger, fee.units()));
    Ok(fee)
}
