//! Money in, up to the ledger call: what is checked, and what is written down before it leaves.

use candid::Principal;
use perun_canister_api::{
    self as api, DepositAccountError, DepositAccountRequest, DepositError, DepositRequest,
    DepositSource, convert,
};
use perun_protocol::encoding::{Canonical as _, DecodeError};
use perun_protocol::{
    Account, Amount, AssetIdx, ChannelId, MAX_PARTICIPANTS, Params, PartIdx, Timestamp,
};

use crate::Adjudicator;
use crate::channel::{Channel, Phase};
use crate::journal::{Entry, JournalNumber, Kind, MAX_UNKNOWN};

/// A deposit that is in order, as far as one can tell before asking the ledger.
#[derive(Clone, Debug)]
pub struct Deposit {
    params: Params,
    channel: ChannelId,
    part: PartIdx,
    asset: AssetIdx,
    ledger: Principal,
    source: Source,
}

/// Where the money comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From the caller's account, by approval.
    Approval {
        /// The account.
        from: Account,
        /// What the participant is credited.
        amount: Amount,
        /// What the participant's holding must be for it to happen.
        expected_holding: Option<Amount>,
    },
    /// From the deposit account.
    DepositAccount {
        /// Which lies with the adjudicator.
        account: Account,
    },
}

impl Deposit {
    /// The channel.
    pub fn channel(&self) -> ChannelId {
        self.channel
    }

    /// The asset, by its position in the channel.
    pub fn asset(&self) -> AssetIdx {
        self.asset
    }

    /// The asset's ledger.
    pub fn ledger(&self) -> Principal {
        self.ledger
    }

    /// Where the money comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

impl Adjudicator {
    /// Checks all that can be checked before the ledger is asked.
    pub fn check_deposit(
        &self,
        caller: Principal,
        request: &DepositRequest,
    ) -> Result<Deposit, DepositError> {
        let params = Params::decode(&request.params).map_err(|error| match error {
            DecodeError::Params(error) => DepositError::InvalidParams(error.into()),
            error => DepositError::MalformedParams {
                reason: error.to_string(),
            },
        })?;
        self.config()
            .check(&params, self.me())
            .map_err(DepositError::InvalidParams)?;
        let part = PartIdx::new(request.part);
        if params.participant(part).is_none() {
            return Err(DepositError::UnknownPart {
                part: request.part,
                participants: params.participants().len() as u8,
            });
        }
        let asset = convert::asset(request.asset).ok_or(DepositError::UnknownAsset)?;
        let ledger = self.config().ledger(&asset);
        let asset = params.asset_idx(&asset);
        let (Some(asset), Some(ledger)) = (asset, ledger) else {
            return Err(DepositError::UnknownAsset);
        };
        let channel = params.id();
        let source = match &request.source {
            DepositSource::Approval {
                from_subaccount,
                amount,
                expected_holding,
            } => {
                if caller == Principal::anonymous() {
                    return Err(DepositError::AnonymousCaller);
                }
                let owner = convert::principal(caller).ok_or(DepositError::AnonymousCaller)?;
                if *amount == 0 {
                    return Err(DepositError::NothingToDeposit);
                }
                Source::Approval {
                    from: Account {
                        owner,
                        subaccount: from_subaccount.unwrap_or_default(),
                    },
                    amount: Amount::new(*amount),
                    expected_holding: expected_holding.map(Amount::new),
                }
            }
            DepositSource::DepositAccount => Source::DepositAccount {
                account: Account::of_deposit_for(self.name(), channel, part),
            },
        };
        let deposit = Deposit {
            params,
            channel,
            part,
            asset,
            ledger,
            source,
        };
        self.check_again(&deposit)?;
        Ok(deposit)
    }

    /// Checks again what may have changed while something was awaited.
    pub fn check_again(&self, deposit: &Deposit) -> Result<(), DepositError> {
        let channel = self.channel_of(deposit.channel, &deposit.params);
        self.check_pull(deposit, &channel)
    }

    /// Writes down a pull of the approved amount. The ledger takes `fee` from the depositor beside
    /// it.
    pub fn reserve_pull(
        &mut self,
        deposit: &Deposit,
        fee: Amount,
        now: Timestamp,
    ) -> Result<JournalNumber, DepositError> {
        let Source::Approval { from, amount, .. } = &deposit.source else {
            unreachable!("only approvals are pulled");
        };
        let kind = Kind::Pull {
            from: *from,
            params: deposit.params.clone(),
        };
        self.reserve_deposit(deposit, *amount, fee, kind, now)
    }

    /// Writes down a sweep of the deposit account, which holds `balance`. The sweep costs `fee`.
    pub fn reserve_sweep(
        &mut self,
        deposit: &Deposit,
        balance: Amount,
        fee: Amount,
        now: Timestamp,
    ) -> Result<JournalNumber, DepositError> {
        let amount = balance.checked_sub(fee).filter(|rest| !rest.is_zero());
        let amount = amount.ok_or(DepositError::BelowFee {
            balance: balance.units(),
            fee: fee.units(),
        })?;
        let kind = Kind::Sweep {
            params: deposit.params.clone(),
        };
        self.reserve_deposit(deposit, amount, fee, kind, now)
    }

    fn reserve_deposit(
        &mut self,
        deposit: &Deposit,
        amount: Amount,
        fee: Amount,
        kind: Kind,
        now: Timestamp,
    ) -> Result<JournalNumber, DepositError> {
        if self.in_flight(deposit.channel, deposit.asset).is_some() {
            return Err(DepositError::Busy);
        }
        if self.store.entry_count() >= MAX_UNKNOWN {
            return Err(DepositError::LedgerUnavailable {
                message: format!("{MAX_UNKNOWN} transfers have an unknown outcome"),
            });
        }
        let mut channel = self.channel_of(deposit.channel, &deposit.params);
        if channel.is_new() {
            // It is not cheap, so it waits until there is money for it.
            let keys = deposit.params.check_keys();
            keys.map_err(|error| DepositError::InvalidParams(error.into()))?;
        }
        self.check_pull(deposit, &channel)?;
        // Nothing else changes the total while this is in flight, so crediting cannot fail later.
        channel
            .credit(deposit.asset, deposit.part, amount)
            .ok_or(DepositError::AmountOverflow)?;
        let entry = Entry {
            channel: deposit.channel,
            asset: deposit.asset,
            part: deposit.part,
            ledger: deposit.ledger,
            amount,
            fee,
            created_at: now,
            sends: 0,
            last_sent: now,
            kind,
        };
        Ok(self.reserve(entry))
    }

    /// What an approval needs of its channel. It is checked twice: early, since it is cheap, and
    /// when it counts, after everything that was awaited.
    fn check_pull(&self, deposit: &Deposit, channel: &Channel) -> Result<(), DepositError> {
        let Source::Approval {
            expected_holding, ..
        } = &deposit.source
        else {
            return Ok(());
        };
        check_pull_for(channel, deposit.asset, deposit.part, *expected_holding)
    }

    /// Tells where to pay a deposit to, and how much.
    pub fn deposit_account(
        &self,
        request: &DepositAccountRequest,
    ) -> Result<api::DepositAccount, DepositAccountError> {
        let channel = convert::channel(&request.channel).map_err(|length| {
            DepositAccountError::MalformedChannel {
                length: length as u64,
            }
        })?;
        let asset = convert::asset(request.asset);
        let asset = asset.ok_or(DepositAccountError::LedgerNotServed)?;
        let ledger = self.config().ledger(&asset);
        let ledger = ledger.ok_or(DepositAccountError::LedgerNotServed)?;
        // Of a channel that nothing has arrived for only the id is known.
        let stored = self.store.channel(channel);
        let parts = stored.as_ref().map_or(MAX_PARTICIPANTS, |stored| {
            stored.params().participants().len()
        });
        if usize::from(request.part) >= parts {
            return Err(DepositAccountError::UnknownPart { part: request.part });
        }
        if stored.is_some_and(|stored| stored.params().asset_idx(&asset).is_none()) {
            return Err(DepositAccountError::UnknownAsset);
        }
        let fee = self.fee(ledger).ok_or(DepositAccountError::FeeUnknown)?;
        let amount = request.share.checked_add(fee);
        let account = Account::of_deposit_for(self.name(), channel, PartIdx::new(request.part));
        Ok(api::DepositAccount {
            account: convert::account_to_candid(&account),
            amount: amount.ok_or(DepositAccountError::AmountOverflow)?,
            fee,
        })
    }
}

/// Whether an approval for a place that exists may be pulled into a channel.
pub(crate) fn check_pull_for(
    channel: &Channel,
    asset: AssetIdx,
    part: PartIdx,
    expected_holding: Option<Amount>,
) -> Result<(), DepositError> {
    if !matches!(channel.phase(), Phase::Open { .. }) {
        return Err(DepositError::AlreadyRegistered);
    }
    let holding = channel.held(asset, part);
    let holding = holding.expect("the place was checked against the params");
    match expected_holding {
        Some(expected) if expected != holding => Err(DepositError::UnexpectedHolding {
            holding: holding.units(),
        }),
        _ => Ok(()),
    }
}
