//! Money out.

use perun_canister_api::{self as api, WithdrawError, WithdrawRequest, convert};
use perun_protocol::{SignedWithdrawalAuth, WithdrawalAuth};
use serde_bytes::ByteBuf;

use crate::adjudicator::Adjudicator;
use crate::canister::Request;
use crate::repeat::{Outcome, call};
use crate::{CallError, Event, WithdrawReceipt};

const METHOD: &str = "withdraw";

impl Adjudicator {
    /// Pays a participant's whole remainder of an asset to the receiver that it authorised.
    /// Concludes the channel first if its timeout has passed.
    ///
    /// A remainder is paid once. If an attempt may have taken effect, the event log tells what was
    /// paid since this call began.
    ///
    /// # Errors
    /// [`WithdrawError`] as the adjudicator refuses. [`WithdrawError::NothingToWithdraw`] is also
    /// the answer if somebody else has submitted the same authorisation before.
    pub async fn withdraw(
        &self,
        auth: &SignedWithdrawalAuth,
    ) -> Result<WithdrawReceipt, CallError<WithdrawError>> {
        let WithdrawalAuth {
            channel,
            asset,
            part,
            receiver,
        } = *auth.auth();
        let request = WithdrawRequest {
            channel: convert::channel_to_candid(&channel),
            asset: convert::asset_to_candid(&asset),
            part: part.number(),
            receiver: convert::account_to_candid(&receiver),
            signature: ByteBuf::from(auth.signature().as_bytes().as_slice()),
        };
        let request = Request::update(METHOD, (request,));
        let ask_log = |error: CallError<_>| error.while_in_doubt(self.id(), "query_events");
        let begin = self.log_end().await.map_err(|error| match ask_log(error) {
            // Nothing was sent yet.
            CallError::Transport {
                error, attempts, ..
            } => CallError::Transport {
                error,
                attempts,
                in_doubt: false,
            },
            other => other,
        })?;
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let refusal = match outcome {
            Outcome::Accepted(receipt) => {
                let receipt: api::WithdrawReceipt = receipt;
                return Ok(WithdrawReceipt::new(&receipt));
            }
            Outcome::Refused {
                refusal,
                in_doubt: false,
            } => return Err(CallError::Refused(refusal)),
            Outcome::Refused { refusal, .. } => refusal,
        };
        let events = self.channel_events(channel, begin).await.map_err(ask_log)?;
        let paid = events
            .into_iter()
            .rev()
            .find_map(|record| match record.event {
                Event::Withdrawn {
                    asset: paid_asset,
                    part: paid_part,
                    receiver: paid_to,
                    paid,
                    fee,
                    block,
                } if (paid_asset, paid_part, paid_to) == (asset, part, receiver) => {
                    Some(WithdrawReceipt { paid, fee, block })
                }
                _ => None,
            });
        // No payout since we began: had an attempt executed, its event would be here.
        paid.ok_or(CallError::Refused(refusal))
    }
}
