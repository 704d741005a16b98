//! One journalled transfer from the ledger call to its consequences.

use candid::Principal;
use perun_protocol::{Amount, AssetIdx, ChannelId};

use super::System;
use crate::Settlement;
use crate::journal::JournalNumber;

/// Why nothing new can be started for a channel and asset.
pub enum InTheWay {
    /// A ledger call is under way.
    Busy,
    /// The outcome of an earlier one is still not known.
    Pending(JournalNumber),
}

/// The right to call the ledger for a journal entry; freed on every path, also by a trap.
struct CallGuard<'a, S: System> {
    system: &'a S,
    number: JournalNumber,
}

impl<'a, S: System> CallGuard<'a, S> {
    fn new(system: &'a S, number: JournalNumber) -> Option<Self> {
        let is_free = system.transient(|transient| transient.calling.borrow_mut().insert(number));
        // Lazily: a guard that is made and not used would free the one in use.
        is_free.then(|| Self { system, number })
    }
}

impl<S: System> Drop for CallGuard<'_, S> {
    fn drop(&mut self) {
        let number = &self.number;
        self.system
            .transient(|transient| transient.calling.borrow_mut().remove(number));
    }
}

/// Sends a journal entry and settles it by the answer. `None` if a call for it is under way
/// already, or it was settled meanwhile. Should this be interrupted for good, the entry stays in
/// the journal, and the timer or any caller goes on with it.
pub async fn settle(system: &impl System, number: JournalNumber) -> Option<Settlement> {
    let _guard = CallGuard::new(system, number)?;
    let entry = system.resume(|adjudicator, now| adjudicator.begin_attempt(number, now))?;
    let answer = system.transfer(number, &entry).await;
    let settlement = system.resume(|adjudicator, now| adjudicator.settle(number, answer, now));
    if settlement != Settlement::ByBalance {
        return Some(settlement);
    }
    let funds = system.read(|adjudicator| adjudicator.funds_account(entry.channel));
    match system.balance(entry.ledger, &funds).await {
        Ok(balance) => Some(
            system.resume(|adjudicator, now| adjudicator.settle_by_balance(number, balance, now)),
        ),
        Err(_) => Some(Settlement::Unknown),
    }
}

/// Finds out what became of an earlier transfer for a channel and asset, if there is one.
pub async fn clear(
    system: &impl System,
    channel: ChannelId,
    asset: AssetIdx,
) -> Result<(), InTheWay> {
    let Some(number) = system.read(|adjudicator| adjudicator.in_flight(channel, asset)) else {
        return Ok(());
    };
    match settle(system, number).await {
        None => Err(InTheWay::Busy),
        Some(Settlement::Unknown | Settlement::ByBalance) => Err(InTheWay::Pending(number)),
        Some(_) => Ok(()),
    }
}

/// The ledger's fee as last seen, asked for if it is not known yet.
pub async fn fee(system: &impl System, ledger: Principal) -> Result<Amount, String> {
    match system.read(|adjudicator| adjudicator.fee(ledger)) {
        Some(fee) => Ok(Amount::new(fee)),
        None => refresh_fee(system, ledger).await,
    }
}

/// The ledger's fee, asked for. What a refused transfer says of the fee is not remembered: it may
/// be true of that transfer only, as when it would burn.
pub async fn refresh_fee(system: &impl System, ledger: Principal) -> Result<Amount, String> {
    let fee = system.ask_fee(ledger).await?;
    system.resume(|adjudicator, _| adjudicator.set_fee(ledger, fee.units()));
    Ok(fee)
}
