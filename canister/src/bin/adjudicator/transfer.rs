//! One journalled transfer from the ledger call to its consequences.

use std::cell::RefCell;
use std::collections::BTreeSet;

use candid::Principal;
use perun_canister::Settlement;
use perun_canister::journal::JournalNumber;
use perun_protocol::{Amount, AssetIdx, ChannelId};

use crate::ledger;
use crate::state::{read, resume};

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
/// already, or it was settled meanwhile. Should this be interrupted for good, the entry stays in
/// the journal, and the timer or any caller goes on with it.
pub async fn settle(number: JournalNumber) -> Option<Settlement> {
    let _guard = CallGuard::new(number)?;
    let entry = resume(|adjudicator, now| adjudicator.begin_attempt(number, now))?;
    let answer = ledger::transfer(number, &entry).await;
    let settlement = resume(|adjudicator, now| adjudicator.settle(number, answer, now));
    if settlement != Settlement::ByBalance {
        return Some(settlement);
    }
    let funds = read(|adjudicator| adjudicator.funds_account(entry.channel));
    match ledger::balance(entry.ledger, &funds).await {
        Ok(balance) => Some(resume(|adjudicator, now| {
            adjudicator.settle_by_balance(number, balance, now)
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
        Some(Settlement::Unknown | Settlement::ByBalance) => Err(InTheWay::Pending(number)),
        Some(_) => Ok(()),
    }
}

/// The ledger's fee as last seen, asked for if it is not known yet.
pub async fn fee(ledger: Principal) -> Result<Amount, String> {
    match read(|adjudicator| adjudicator.fee(ledger)) {
        Some(fee) => Ok(Amount::new(fee)),
        None => refresh_fee(ledger).await,
    }
}

/// The ledger's fee, asked for. What a refused transfer says of the fee is not remembered: it may
/// be true of that transfer only, as when it would burn.
pub async fn refresh_fee(ledger: Principal) -> Result<Amount, String> {
    let fee = ledger::fee(ledger).await?;
    resume(|adjudicator, _| adjudicator.set_fee(ledger, fee.units()));
    Ok(fee)
}
