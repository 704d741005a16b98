//! Withdrawal authorisations: where a participant's payout may go.

use crate::encoding::{Canonical, Domain, digest};
use crate::signature::{Digest, K256, Verifier};
use crate::{Account, AssetId, ChannelId, Params, PartIdx, Signature, Signer};

/// A participant's word that its payout of one asset may go to one account.
///
/// It names no amount and no version: it stays valid for ever, and each use pays the participant's
/// whole remainder to that receiver. Whoever holds it may submit it, and cannot redirect it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct WithdrawalAuth {
    /// The channel that pays.
    pub channel: ChannelId,
    /// What is paid.
    pub asset: AssetId,
    /// Whose payout it is.
    pub part: PartIdx,
    /// Who receives it; never the adjudicator.
    pub receiver: Account,
}

/// A withdrawal authorisation with its participant's signature, verified.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SignedWithdrawalAuth {
    auth: WithdrawalAuth,
    signature: Signature,
}

impl WithdrawalAuth {
    /// What the participant signs.
    pub fn digest(&self) -> Digest {
        digest(Domain::Withdrawal, &self.encode())
    }

    /// Signs it. Whether `signer` is the participant named shows only when it is verified.
    pub fn sign(&self, signer: &impl Signer) -> Signature {
        signer.sign(&self.digest())
    }

    /// Checks the signature against the participant that `params` has at [`WithdrawalAuth::part`];
    /// `None` if there is no such participant or the signature is not its own. The caller has
    /// checked that `params` are those of [`WithdrawalAuth::channel`].
    pub fn verify(self, params: &Params, signature: Signature) -> Option<SignedWithdrawalAuth> {
        self.verify_with::<K256>(params, signature)
    }

    /// Like [`WithdrawalAuth::verify`], with the verifier of choice.
    pub fn verify_with<V: Verifier>(
        self,
        params: &Params,
        signature: Signature,
    ) -> Option<SignedWithdrawalAuth> {
        let participant = params.participant(self.part)?;
        let is_good = participant.verify::<V>(&self.digest(), &signature);
        is_good.then_some(SignedWithdrawalAuth {
            auth: self,
            signature,
        })
    }
}

impl SignedWithdrawalAuth {
    /// The authorisation.
    pub fn auth(&self) -> &WithdrawalAuth {
        &self.auth
    }

    /// The participant's signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}
