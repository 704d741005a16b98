//! Funding: our share of every asset, as far as it is not there.

use std::sync::{Arc, PoisonError};

use perun_canister_api::DepositError;
use perun_protocol::{AssetId, Balances, Params, PartIdx};

use crate::chain::{Chain, Moot, PerformError, Performed};
use crate::{Door, FundError};

impl Chain {
    /// Deposits what is missing of a participant's share in `funding`, asset by asset. An asset
    /// that cannot be deposited keeps the later ones from being locked up in vain.
    ///
    /// What an earlier call paid by the same door is found, also after a crash
    /// ([`Funder::deposit_missing`](crate::Funder::deposit_missing)).
    pub async fn fund(
        &self,
        params: &Params,
        part: PartIdx,
        funding: &Balances,
        door: Door,
    ) -> Result<Performed, PerformError> {
        let (assets, parts) = (params.assets().len(), params.participants().len());
        if (funding.assets(), funding.parts()) != (assets, parts) {
            return Err(PerformError::WrongShape);
        }
        if part.index() >= parts {
            return Err(PerformError::UnknownPart { part });
        }
        for (asset, row) in params.assets().iter().copied().zip(funding.rows()) {
            let share = row[part.index()];
            if share.is_zero() {
                continue;
            }
            let turn = self.turn(asset);
            let _turn = turn.lock().await;
            let deposit = self
                .funder
                .deposit_missing(params, part, asset, share, door);
            match deposit.await {
                Ok(_) => {}
                Err(error) if is_over(&error) => return Ok(Performed::Moot(Moot::NotOpen)),
                Err(error) => return Err(PerformError::Fund { asset, error }),
            }
        }
        Ok(Performed::Done)
    }

    /// Whose turn it is to pay of an asset.
    fn turn(&self, asset: AssetId) -> Arc<tokio::sync::Mutex<()>> {
        let mut paying = self.paying.lock().unwrap_or_else(PoisonError::into_inner);
        // Assets that nobody pays at present need no entry.
        paying.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(paying.entry(asset).or_default())
    }
}

fn is_over(error: &FundError) -> bool {
    match error {
        FundError::Deposit(error) => {
            matches!(error.refusal(), Some(DepositError::AlreadyRegistered))
        }
        _ => false,
    }
}
