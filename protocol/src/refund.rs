//! Refund claims: the way home when no state was ever signed by all.

use crate::encoding::{Canonical, Domain, digest};
use crate::signature::{Digest, K256, Verifier};
use crate::{ChannelId, Params, PartIdx, Signature, Signer};

/// A participant's claim that the channel has no signed state and the deposits should go back.
///
/// It ranks below version 0: any state signed by all refutes it during the challenge duration.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RefundClaim {
    /// The channel whose deposits should go back.
    pub channel: ChannelId,
    /// Who claims it.
    pub part: PartIdx,
}

/// A refund claim with its participant's signature, verified.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SignedRefundClaim {
    claim: RefundClaim,
    signature: Signature,
}

impl RefundClaim {
    /// What the participant signs.
    pub fn digest(&self) -> Digest {
        digest(Domain::Refund, &self.encode())
    }

    /// Signs it. Whether `signer` is the participant named shows only when it is verified.
    pub fn sign(&self, signer: &impl Signer) -> Signature {
        signer.sign(&self.digest())
    }

    /// Checks the signature against the participant that `params` has at [`RefundClaim::part`];
    /// `None` if there is no such participant or the signature is not its own. The caller has
    /// checked that `params` are those of [`RefundClaim::channel`].
    pub fn verify(self, params: &Params, signature: Signature) -> Option<SignedRefundClaim> {
        self.verify_with::<K256>(params, signature)
    }

    /// Like [`RefundClaim::verify`], with the verifier of choice.
    pub fn verify_with<V: Verifier>(
        self,
        params: &Params,
        signature: Signature,
    ) -> Option<SignedRefundClaim> {
        let participant = params.participant(self.part)?;
        let is_good = participant.verify::<V>(&self.digest(), &signature);
        is_good.then_some(SignedRefundClaim {
            claim: self,
            signature,
        })
    }
}

impl SignedRefundClaim {
    /// The claim.
    pub fn claim(&self) -> &RefundClaim {
        &self.claim
    }

    /// The participant's signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}
