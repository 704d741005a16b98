//! The funder: deposits a participant's share, and waits until everybody has.
//!
//! ```text
//!  by approval          approve share + fee ----> deposit (pulled from our account)
//!  deposit account      transfer share + fee to the account that follows from the params
//!                         \--------------------> deposit (swept; the sweep costs the fee)
//! ```
//!
//! A deposit is first made up as a [`DepositOrder`], which fixes everything that makes it happen
//! once. Carrying it out can be repeated, whatever the attempts before met.
//!
//! Invariant: nothing is paid before the adjudicator was found to serve the channel. What lies in
//! the deposit account of a channel that it refuses could not be taken out again.

mod error;
mod missing;
mod order;
mod wait;

use std::time::Duration;

use candid::Principal;
use ic_agent::Agent;
use icrc_ledger_types::icrc1::transfer::TransferError;
use icrc_ledger_types::icrc2::approve::ApproveError;
use perun_canister_api::{DepositError, LedgerRefusal, convert};
use perun_protocol::{Account, Amount, AssetId, Params, PartIdx, Timestamp};

use crate::{Adjudicator, Approval, CallError, CheckError, DepositReceipt, Ledger, Patience};

pub use error::FundError;
pub use order::{DepositOrder, Door};
pub use wait::WaitError;

/// How often an approval is replaced that turns out too small, because the fee rose or another
/// deposit used it up, and an order is made up anew because the fee has changed.
const MAX_RENEWALS: u32 = 3;

/// An approval lives as long as a ledger can still execute a transfer that was made up with it
/// (ICRC-1, 24 hours): while the adjudicator finds out about a lost answer, it must not run out.
const APPROVAL_LIFE_NS: u64 = 24 * 3_600 * 1_000_000_000;
/// An allowance that ends sooner than this is not relied on.
const ALLOWANCE_MARGIN_NS: u64 = 10 * 60 * 1_000_000_000;

/// Deposits from one account of the agent's identity.
///
/// The ledger keeps one allowance for an account and the adjudicator, so deposits by approval from
/// one account should be made one after the other.
#[derive(Clone, Debug)]
pub struct Funder {
    adjudicator: Adjudicator,
    from_subaccount: [u8; 32],
    poll_interval: Duration,
}

impl Funder {
    /// A funder whose deposits come from the default account of the identity of the adjudicator's
    /// agent.
    pub fn new(adjudicator: Adjudicator) -> Self {
        Self {
            adjudicator,
            from_subaccount: [0; 32],
            poll_interval: Duration::from_secs(1),
        }
    }

    /// The same with another account of the identity.
    pub fn with_subaccount(self, from_subaccount: [u8; 32]) -> Self {
        Self {
            from_subaccount,
            ..self
        }
    }

    /// The same with another interval in which holdings are looked at while waiting for others.
    pub fn with_poll_interval(self, poll_interval: Duration) -> Self {
        Self {
            poll_interval,
            ..self
        }
    }

    /// The adjudicator that is deposited with.
    pub fn adjudicator(&self) -> &Adjudicator {
        &self.adjudicator
    }

    /// The account that pays.
    pub fn account(&self) -> Result<Account, FundError> {
        let principal = self.agent().get_principal();
        let principal = principal.map_err(|reason| FundError::NoAccount { reason })?;
        let owner = convert::principal(principal).filter(|_| principal != Principal::anonymous());
        let owner = owner.ok_or_else(|| FundError::NoAccount {
            reason: "it is anonymous".into(),
        })?;
        Ok(Account {
            owner,
            subaccount: self.from_subaccount,
        })
    }

    /// Deposits `amount` for a participant and returns what the adjudicator holds for it since.
    ///
    /// Through the deposit account, one transfer of amount and fee is made. Should the ledger's
    /// fee rise just then, or somebody else pay into the account too, the receipt's `credited`
    /// differs from `amount`.
    ///
    /// # Errors
    /// [`FundError`]. It does not keep the order: where a deposit must survive every error without
    /// being made twice, use [`Funder::prepare`] and [`Funder::carry_out`].
    pub async fn deposit(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
        amount: Amount,
        door: Door,
    ) -> Result<DepositReceipt, FundError> {
        let mut renewals = 0;
        loop {
            let mut order = self.prepare(params, part, asset, amount, door).await?;
            match self.carry_out(&mut order).await {
                // Refused for certain, so another order cannot pay twice.
                Err(FundError::Transfer(CallError::Refused(TransferError::BadFee { .. })))
                    if renewals < MAX_RENEWALS =>
                {
                    renewals += 1;
                }
                result => return result,
            }
        }
    }

    /// Makes up a deposit: checks that the adjudicator serves the channel, and fixes what makes the
    /// deposit happen once. Nothing is paid yet.
    pub async fn prepare(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
        amount: Amount,
        door: Door,
    ) -> Result<DepositOrder, FundError> {
        let payer = self.account()?;
        let info = self.adjudicator.check(params).await;
        let info = info.map_err(|error| match error {
            CheckError::Unsuitable(error) => FundError::Unsuitable(error),
            CheckError::Call(error) => FundError::Read(error),
        })?;
        if params.participant(part).is_none() {
            return Err(FundError::UnknownPart { part });
        }
        if params.asset_idx(&asset).is_none() {
            return Err(FundError::UnknownAsset);
        }
        if amount.is_zero() {
            return Err(FundError::NothingToDeposit);
        }
        let fee = self.ledger(&asset).fee().await.map_err(FundError::Read)?;
        let with_fee = amount.checked_add(fee);
        let with_fee = with_fee.ok_or(FundError::AmountOverflow)?;
        let holdings = self.adjudicator.holdings(params).await;
        let holdings = holdings.map_err(FundError::Holdings)?;
        let holding = holdings.map(|holdings| holdings.of(params, &asset, part));
        Ok(DepositOrder {
            params: params.clone(),
            part,
            asset,
            amount,
            fee,
            with_fee,
            door,
            payer,
            expected_holding: holding.unwrap_or_default(),
            // The subnet's time, so that a wrong clock of this machine does not matter.
            created_at: Timestamp::from_nanos(info.now_ns),
            memo: order::new_memo(params.id()),
            begun: false,
        })
    }

    /// Carries an order out. Can be called again with the same order whatever happened before: the
    /// deposit is made once. The ledger recognises a transfer for a day.
    pub async fn carry_out(&self, order: &mut DepositOrder) -> Result<DepositReceipt, FundError> {
        let repeated = std::mem::replace(&mut order.begun, true);
        match order.door {
            Door::Approval => self.by_approval(order, repeated).await,
            Door::DepositAccount => self.through_account(order).await,
        }
    }

    async fn by_approval(
        &self,
        order: &DepositOrder,
        repeated: bool,
    ) -> Result<DepositReceipt, FundError> {
        let DepositOrder {
            params,
            part,
            asset,
            amount,
            expected_holding,
            ..
        } = order;
        let adjudicator = &self.adjudicator;
        let mut fee = order.fee;
        let mut renewals = 0;
        // What an earlier attempt has approved may be used by now, because the deposit has arrived
        // or is about to. Then another approval would stay behind, so it is tried without first.
        let mut is_approved = repeated;
        loop {
            if !is_approved {
                self.approve(order, fee).await?;
            }
            let deposited = adjudicator.deposit_approved(
                params,
                *part,
                *asset,
                order.payer.subaccount,
                *amount,
                *expected_holding,
            );
            match deposited.await {
                // The fee has risen, or another deposit has used the allowance.
                Err(CallError::Refused(DepositError::Refused(
                    LedgerRefusal::InsufficientAllowance { .. },
                ))) if renewals < MAX_RENEWALS => {
                    renewals += 1;
                    is_approved = false;
                    fee = self.ledger(asset).fee().await.map_err(FundError::Read)?;
                }
                result => return result.map_err(FundError::Deposit),
            }
        }
    }

    /// Sees to it that the adjudicator may pull the order's amount and `fee`.
    async fn approve(&self, order: &DepositOrder, mut fee: Amount) -> Result<(), FundError> {
        let ledger = self.ledger(&order.asset);
        let spender = Account::of(order.params.adjudicator());
        let mut renewals = 0;
        loop {
            let needed = order.amount.checked_add(fee);
            let needed = needed.ok_or(FundError::AmountOverflow)?;
            let allowance = ledger.allowance(&order.payer, &spender).await;
            let allowance = allowance.map_err(FundError::Read)?;
            let needed_until = order.created_at.saturating_add_nanos(ALLOWANCE_MARGIN_NS);
            let lasts = allowance.expires_at.is_none_or(|end| end >= needed_until);
            if allowance.amount >= needed && lasts {
                return Ok(());
            }
            let approval = Approval {
                from_subaccount: order.payer.subaccount,
                spender,
                amount: needed,
                expected_allowance: allowance.amount,
                expires_at: order.created_at.saturating_add_nanos(APPROVAL_LIFE_NS),
                fee,
                memo: order.memo,
                created_at: order.created_at,
            };
            // An approval that was refused for certain can be made up anew.
            match ledger.approve(&approval).await {
                Ok(_) => return Ok(()),
                Err(CallError::Refused(ApproveError::AllowanceChanged { .. }))
                    if renewals < MAX_RENEWALS => {}
                Err(CallError::Refused(ApproveError::BadFee { .. })) if renewals < MAX_RENEWALS => {
                    fee = ledger.fee().await.map_err(FundError::Read)?;
                }
                Err(error) => return Err(FundError::Approve(error)),
            }
            renewals += 1;
        }
    }

    async fn through_account(&self, order: &DepositOrder) -> Result<DepositReceipt, FundError> {
        let DepositOrder {
            params,
            part,
            asset,
            ..
        } = order;
        let ledger = self.ledger(asset);
        let transferred = ledger.transfer(&order.transfer()).await;
        transferred.map_err(FundError::Transfer)?;
        match self.adjudicator.sweep(params, *part, *asset).await {
            // The money has arrived in the account and is not there any more: somebody else, or an
            // attempt whose answer was lost, has swept it. The newest deposit is that or later.
            Err(
                CallError::Refused(refusal @ DepositError::BelowFee { .. })
                | CallError::Unresolved(refusal @ DepositError::BelowFee { .. }),
            ) => {
                let deposits = self.adjudicator.deposits(params, *part, *asset).await;
                let newest = deposits.map_err(FundError::Deposit)?.pop();
                newest.ok_or(FundError::Deposit(CallError::Unresolved(refusal)))
            }
            result => result.map_err(FundError::Deposit),
        }
    }

    fn ledger(&self, asset: &AssetId) -> Ledger {
        let AssetId::Icrc(ledger) = asset;
        let ledger = convert::principal_to_candid(ledger);
        Ledger::new(self.agent().clone(), ledger).with_patience(self.patience())
    }

    fn agent(&self) -> &Agent {
        self.adjudicator.agent()
    }

    fn patience(&self) -> Patience {
        self.adjudicator.patience()
    }
}
