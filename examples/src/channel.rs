//! The channel of a story: two keys, and states that both sign.

use perun_protocol::{
    Amount, AssetId, AssetIdx, Balances, Nonce, Params, PartIdx, SecretKey, SignedState,
    SignedWithdrawalAuth, Signer as _, State, UnverifiedSignedState, Version, WithdrawalAuth,
};
use sha2::{Digest as _, Sha256};

use crate::{Failure, Party, Stage};

/// The first and the second participant.
const PARTS: [PartIdx; 2] = [PartIdx::new(0), PartIdx::new(1)];

/// A channel between two parties that sit at one table: what they would send each other over the
/// wire is passed on here.
pub struct Pair {
    /// What the channel is.
    pub params: Params,
    keys: [SecretKey; 2],
    funding: Balances,
    newest: SignedState,
}

impl Pair {
    /// Opens a channel on `stage`: both give a share of the nonce, agree on the params, and sign
    /// version 0, in which each has what it is about to deposit. Only after that anybody pays.
    ///
    /// # Errors
    /// If the system gives no randomness, or the deposits are no amounts of one asset.
    pub fn open(stage: &Stage) -> Result<Self, Failure> {
        let keys = [new_key()?, new_key()?];
        let shares: [[u8; 32]; 2] = [random()?, random()?];
        let nonce = Nonce::from_bytes(Sha256::digest(shares.concat()).into());
        let adjudicator = stage.adjudicator.id();
        let adjudicator = perun_canister_api::convert::principal(adjudicator)
            .ok_or("the adjudicator is the management canister")?;
        let params = Params::new(
            nonce,
            keys.iter().map(SecretKey::participant).collect(),
            vec![stage.asset()?],
            stage.challenge_duration,
            adjudicator,
        )?;
        let deposits = stage.parties.each_ref().map(|party| party.deposit);
        let funding = Balances::new(PARTS.len(), deposits.to_vec())?;
        let initial = State::new(
            params.id(),
            Version::INITIAL,
            funding.clone(),
            funding.clone(),
        )?;
        let newest = sign(&params, &keys, initial)?;
        Ok(Self {
            params,
            keys,
            funding,
            newest,
        })
    }

    /// The newest state that both have signed.
    pub fn newest(&self) -> &SignedState {
        &self.newest
    }

    /// The deposits that all states rest on.
    pub fn funding(&self) -> &Balances {
        &self.funding
    }

    /// What the newest state gives a participant.
    pub fn share(&self, part: PartIdx) -> Amount {
        let balances = &self.newest.state().allocation().balances;
        balances
            .at(AssetIdx::new(0), part)
            .expect("the story's channels have one asset and two participants")
    }

    /// The channel's only asset.
    pub fn asset(&self) -> AssetId {
        self.params.assets()[0]
    }

    /// The parties of the stage with their positions in the channel.
    pub fn parts<'a>(&self, stage: &'a Stage) -> [(PartIdx, &'a Party); 2] {
        let [first, second] = &stage.parties;
        [(PARTS[0], first), (PARTS[1], second)]
    }

    /// `from` pays `amount` to the other: both sign the next state.
    ///
    /// # Errors
    /// If `from` has not so much.
    pub fn pay(&mut self, from: PartIdx, amount: Amount) -> Result<&SignedState, Failure> {
        let shares = PARTS.map(|part| {
            let share = self.share(part);
            if part == from {
                share.checked_sub(amount)
            } else {
                share.checked_add(amount)
            }
        });
        let [Some(first), Some(second)] = shares else {
            return Err(format!("participant {from} can't pay {amount} units").into());
        };
        let next = self.next(vec![first, second])?;
        self.newest = sign(&self.params, &self.keys, next)?;
        Ok(&self.newest)
    }

    /// Both sign that the newest state is the last.
    ///
    /// # Errors
    /// If the version counter is spent.
    pub fn finish(&mut self) -> Result<&SignedState, Failure> {
        let last = self.next(PARTS.map(|part| self.share(part)).to_vec())?;
        self.newest = sign(&self.params, &self.keys, last.finalized())?;
        Ok(&self.newest)
    }

    fn next(&self, shares: Vec<Amount>) -> Result<State, Failure> {
        let version = self.newest.version().next();
        let version = version.ok_or("the version counter is spent")?;
        let balances = Balances::new(PARTS.len(), shares)?;
        let next = State::new(self.params.id(), version, balances, self.funding.clone());
        Ok(next?)
    }

    /// A participant's word that its payout may go to the account of `party`.
    pub fn authorise(&self, part: PartIdx, party: &Party) -> SignedWithdrawalAuth {
        let auth = WithdrawalAuth {
            channel: self.params.id(),
            asset: self.asset(),
            part,
            receiver: party.account,
        };
        let signature = auth.sign(&self.keys[part.index()]);
        auth.verify(&self.params, signature)
            .expect("the participant's own key signed it")
    }
}

fn sign(params: &Params, keys: &[SecretKey; 2], state: State) -> Result<SignedState, Failure> {
    let digest = state.digest();
    let signatures = keys.iter().map(|key| key.sign(&digest)).collect();
    let signed = UnverifiedSignedState { state, signatures };
    Ok(signed.verify(params)?)
}

fn new_key() -> Result<SecretKey, Failure> {
    loop {
        // All but one in 2^128 are keys.
        if let Some(key) = SecretKey::from_bytes(&random()?) {
            return Ok(key);
        }
    }
}

/// 32 random bytes.
///
/// # Errors
/// If the system gives none.
pub fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("no randomness: {error}"))?;
    Ok(bytes)
}
