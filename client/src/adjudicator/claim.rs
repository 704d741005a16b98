//! Disputes and conclusions.

use perun_canister_api::{
    self as api, Claim, ConcludeError, ConcludeRequest, DisputeError, DisputeRequest, convert,
};
use perun_protocol::dispute::Rank;
use perun_protocol::{Params, SignedRefundClaim, SignedState};
use serde_bytes::ByteBuf;

use crate::adjudicator::Adjudicator;
use crate::canister::Request;
use crate::repeat::{Outcome, call};
use crate::{CallError, Conclusion, Registered};

impl Adjudicator {
    /// Registers a state, or refutes by it what is registered. A final state concludes the channel.
    ///
    /// It succeeds if afterwards exactly this state stands, whoever registered it.
    pub async fn dispute(
        &self,
        params: &Params,
        signed: &SignedState,
    ) -> Result<Registered, CallError<DisputeError>> {
        let stands = |registered: &Registered| match &registered.signed_state {
            Some(standing) => standing.state() == signed.state(),
            // Of a channel that was paid out long ago the rank is all that is kept.
            None => registered.concluded && registered.rank == Rank::of(Some(signed.state())),
        };
        self.claim(params, Claim::from(signed), stands).await
    }

    /// Claims the deposits back because no state was ever signed by all.
    ///
    /// It succeeds if afterwards a refund claim stands, whoever made it.
    pub async fn claim_refund(
        &self,
        params: &Params,
        claim: &SignedRefundClaim,
    ) -> Result<Registered, CallError<DisputeError>> {
        let stands = |registered: &Registered| registered.rank == Rank::Refund;
        self.claim(params, Claim::from(claim), stands).await
    }

    async fn claim(
        &self,
        params: &Params,
        claim: Claim,
        stands: impl Fn(&Registered) -> bool,
    ) -> Result<Registered, CallError<DisputeError>> {
        const METHOD: &str = "dispute";
        let request = Request::update(METHOD, (DisputeRequest { claim },));
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let (refusal, in_doubt) = match outcome {
            Outcome::Accepted(registered) => {
                let registered: api::Registered = registered;
                let registered = Registered::new(params, &registered);
                return registered.map_err(|wrong| self.nonsense(METHOD, wrong));
            }
            Outcome::Refused { refusal, in_doubt } => (refusal, in_doubt),
        };
        // The refusals by which a claim that stands already is turned away.
        if let DisputeError::Outdated { .. } | DisputeError::ChallengeElapsed { .. } = refusal {
            let registered = self.registered(params).await;
            let registered =
                registered.map_err(|error| error.while_in_doubt(self.id(), "query_state"))?;
            return match registered {
                Some(registered) if stands(&registered) => Ok(registered),
                // Something else stands, and it will never be this claim again.
                _ => Err(CallError::Refused(refusal)),
            };
        }
        Outcome::Refused { refusal, in_doubt }.into_result()
    }

    /// Concludes a channel whose timeout has passed. Concluding again changes nothing.
    pub async fn conclude(&self, params: &Params) -> Result<Conclusion, CallError<ConcludeError>> {
        self.conclude_with(params, None).await
    }

    /// Concludes a channel at once with a final state. Concluding again changes nothing.
    pub async fn conclude_final(
        &self,
        params: &Params,
        signed: &SignedState,
    ) -> Result<Conclusion, CallError<ConcludeError>> {
        let bytes = ByteBuf::from(signed.encode());
        self.conclude_with(params, Some(bytes)).await
    }

    async fn conclude_with(
        &self,
        params: &Params,
        final_state: Option<ByteBuf>,
    ) -> Result<Conclusion, CallError<ConcludeError>> {
        const METHOD: &str = "conclude";
        let request = ConcludeRequest {
            channel: convert::channel_to_candid(&params.id()),
            final_state,
        };
        let request = Request::update(METHOD, (request,));
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let conclusion: api::Conclusion = outcome.into_result()?;
        Conclusion::new(params, &conclusion).map_err(|wrong| self.nonsense(METHOD, wrong))
    }
}
