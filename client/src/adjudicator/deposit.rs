//! Money in.

use perun_canister_api::{DepositError, DepositRequest, DepositSource, convert};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{Amount, AssetId, Params, PartIdx};
use serde_bytes::ByteBuf;

use crate::adjudicator::Adjudicator;
use crate::canister::Request;
use crate::repeat::{Outcome, call};
use crate::{CallError, DepositReceipt, Event};

const METHOD: &str = "deposit";

impl Adjudicator {
    /// Deposits `amount` for a participant, pulled from the account `from_subaccount` of the
    /// agent's identity, which has approved amount and fee to the adjudicator before.
    ///
    /// `expected_holding` is what is held for the participant before. From one holding there is one
    /// way to this holding and amount, so holding and amount name the deposit: it succeeds if
    /// exactly this deposit has arrived, be it by this call, by an earlier one whose answer was
    /// lost, or because somebody else was so kind.
    ///
    /// # Errors
    /// [`DepositError`] as the adjudicator refuses. [`DepositError::UnexpectedHolding`] says for
    /// certain that this deposit did not happen and never will.
    pub async fn deposit_approved(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
        from_subaccount: [u8; 32],
        amount: Amount,
        expected_holding: Amount,
    ) -> Result<DepositReceipt, CallError<DepositError>> {
        let is_default = from_subaccount == [0; 32];
        let source = DepositSource::Approval {
            from_subaccount: (!is_default).then_some(from_subaccount),
            amount: amount.units(),
            expected_holding: Some(expected_holding.units()),
        };
        let request = deposit_request(params, part, asset, source);
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let (refusal, in_doubt) = match outcome {
            Outcome::Accepted(receipt) => return Ok(DepositReceipt::new(&receipt)),
            Outcome::Refused { refusal, in_doubt } => (refusal, in_doubt),
        };
        // Refusals that a deposit meets which is there already: its allowance is used, too.
        let may_be_there = in_doubt
            || matches!(
                refusal,
                DepositError::UnexpectedHolding { .. }
                    | DepositError::AlreadyRegistered
                    | DepositError::Refused(_)
            );
        if !may_be_there {
            return Err(CallError::Refused(refusal));
        }
        let found = self
            .deposited(params, part, asset, amount, expected_holding)
            .await?;
        match found {
            Some(receipt) => Ok(receipt),
            // Holdings of an open channel only grow: the expected one never comes back.
            None if matches!(refusal, DepositError::UnexpectedHolding { .. }) => {
                Err(CallError::Refused(refusal))
            }
            None => Outcome::Refused { refusal, in_doubt }.into_result(),
        }
    }

    /// The deposit of exactly `amount` on top of a holding of exactly `before`, if it happened.
    async fn deposited(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
        amount: Amount,
        before: Amount,
    ) -> Result<Option<DepositReceipt>, CallError<DepositError>> {
        let after = before.checked_add(amount);
        let deposits = self.deposits(params, part, asset).await?;
        let ours =
            |deposit: &DepositReceipt| deposit.credited == amount && Some(deposit.holding) == after;
        Ok(deposits.into_iter().find(ours))
    }

    /// Every deposit of an asset for a participant, oldest first.
    pub(crate) async fn deposits(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
    ) -> Result<Vec<DepositReceipt>, CallError<DepositError>> {
        let events = self.channel_events(params.id(), 0).await;
        let events = events.map_err(|error| error.while_in_doubt(self.id(), "query_events"))?;
        let deposits = events.into_iter().filter_map(|record| match record.event {
            Event::Deposited {
                asset: deposited,
                part: for_part,
                amount,
                holding,
                block,
            } if deposited == asset && for_part == part => Some(DepositReceipt {
                credited: amount,
                holding,
                block,
            }),
            _ => None,
        });
        Ok(deposits.collect())
    }

    /// Credits what lies in the deposit account of the channel and participant, less one fee.
    ///
    /// Anybody may do so at any time, so [`DepositError::BelowFee`] can also mean that somebody
    /// else was quicker.
    pub async fn sweep(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
    ) -> Result<DepositReceipt, CallError<DepositError>> {
        let request = deposit_request(params, part, asset, DepositSource::DepositAccount);
        let outcome = call(&self.canister, &request, &self.patience).await?;
        outcome
            .into_result()
            .map(|receipt| DepositReceipt::new(&receipt))
    }
}

fn deposit_request(
    params: &Params,
    part: PartIdx,
    asset: AssetId,
    source: DepositSource,
) -> Request {
    let request = DepositRequest {
        params: ByteBuf::from(params.encode()),
        part: part.number(),
        asset: convert::asset_to_candid(&asset),
        source,
    };
    Request::update(METHOD, (request,))
}
