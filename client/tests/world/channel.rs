//! Channels as their participants see them: keys, params, states that both sign.

use candid::Principal;
use perun_canister_api::convert;
use perun_client::{Approval, DepositReceipt, Door};
use perun_protocol::{
    Account, Amount, AssetId, Balances, ChallengeDuration, Nonce, Params, PartIdx, RefundClaim,
    SecretKey, SignedRefundClaim, SignedState, SignedWithdrawalAuth, Signer as _, State, Timestamp,
    UnverifiedSignedState, Version, WithdrawalAuth,
};

use super::{CHALLENGE_S, FEE, World, units};

/// The first and the second participant.
pub const FIRST: PartIdx = PartIdx::new(0);
pub const SECOND: PartIdx = PartIdx::new(1);

pub struct TestChannel {
    pub params: Params,
    pub keys: [SecretKey; 2],
}

/// A table of amounts of one asset.
pub fn table(amounts: [u128; 2]) -> Balances {
    tables(&[amounts])
}

/// A table of amounts of several assets.
pub fn tables(amounts: &[[u128; 2]]) -> Balances {
    let amounts = amounts.iter().flatten().copied();
    Balances::new(2, amounts.map(Amount::new).collect()).unwrap()
}

impl World {
    /// A channel of two about the ledger's token.
    pub fn channel(&self, nonce: u8) -> TestChannel {
        self.channel_lasting(nonce, CHALLENGE_S.0)
    }

    pub fn channel_lasting(&self, nonce: u8, challenge_s: u32) -> TestChannel {
        self.channel_about(&self.ledgers[..1], nonce, challenge_s)
    }

    /// A channel of two about the tokens of all ledgers.
    pub fn channel_about_all(&self, nonce: u8) -> TestChannel {
        self.channel_about(&self.ledgers, nonce, CHALLENGE_S.0)
    }

    fn channel_about(&self, ledgers: &[Principal], nonce: u8, challenge_s: u32) -> TestChannel {
        let asset = |ledger: &Principal| AssetId::Icrc(convert::principal(*ledger).unwrap());
        let keys = [1, 2].map(|number| SecretKey::from_bytes(&[number; 32]).unwrap());
        let params = Params::new(
            Nonce::from_bytes([nonce; 32]),
            keys.iter().map(SecretKey::participant).collect(),
            ledgers.iter().map(asset).collect(),
            ChallengeDuration::from_secs(challenge_s).unwrap(),
            convert::principal(self.adjudicator).unwrap(),
        );
        TestChannel {
            params: params.unwrap(),
            keys,
        }
    }

    /// A channel that the users 0 and 1 have deposited into, by a door each.
    pub async fn funded(&self, nonce: u8, deposits: [u128; 2]) -> TestChannel {
        let channel = self.channel(nonce);
        self.deposit(&channel, FIRST, deposits[0], Door::Approval)
            .await;
        self.deposit(&channel, SECOND, deposits[1], Door::DepositAccount)
            .await;
        channel
    }

    pub async fn deposit(
        &self,
        channel: &TestChannel,
        part: PartIdx,
        amount: u128,
        door: Door,
    ) -> DepositReceipt {
        let funder = self.funder_for(part.number()).await;
        let deposit = funder.deposit(&channel.params, part, channel.asset(), units(amount), door);
        deposit.await.unwrap()
    }

    /// What is held for both.
    pub async fn held(&self, channel: &TestChannel) -> [u128; 2] {
        let adjudicator = self.adjudicator_for(9).await;
        let holdings = adjudicator.holdings(&channel.params).await.unwrap();
        [FIRST, SECOND].map(|part| {
            let held = holdings.as_ref();
            let held = held.map(|held| held.of(&channel.params, &channel.asset(), part));
            held.unwrap_or_default().units()
        })
    }
}

impl TestChannel {
    pub fn asset(&self) -> AssetId {
        self.params.assets()[0]
    }

    pub fn state(&self, version: u64, shares: [u128; 2], funding: [u128; 2]) -> State {
        self.state_of(version, table(shares), table(funding))
    }

    pub fn state_of(&self, version: u64, shares: Balances, funding: Balances) -> State {
        let (id, version) = (self.params.id(), Version::new(version));
        State::new(id, version, shares, funding).unwrap()
    }

    pub fn sign(&self, state: State) -> SignedState {
        let digest = state.digest();
        let signatures = self.keys.iter().map(|key| key.sign(&digest)).collect();
        let signed = UnverifiedSignedState { state, signatures };
        signed.verify(&self.params).unwrap()
    }

    pub fn signed(&self, version: u64, shares: [u128; 2], funding: [u128; 2]) -> SignedState {
        self.sign(self.state(version, shares, funding))
    }

    pub fn last(&self, version: u64, shares: [u128; 2], funding: [u128; 2]) -> SignedState {
        self.sign(self.state(version, shares, funding).finalized())
    }

    pub fn refund_claim(&self, part: PartIdx) -> SignedRefundClaim {
        let claim = RefundClaim {
            channel: self.params.id(),
            part,
        };
        let signature = claim.sign(&self.keys[part.index()]);
        claim.verify(&self.params, signature).unwrap()
    }

    pub fn authorise(&self, part: PartIdx, receiver: Account) -> SignedWithdrawalAuth {
        self.authorise_of(self.asset(), part, receiver)
    }

    pub fn authorise_of(
        &self,
        asset: AssetId,
        part: PartIdx,
        receiver: Account,
    ) -> SignedWithdrawalAuth {
        let auth = WithdrawalAuth {
            channel: self.params.id(),
            asset,
            part,
            receiver,
        };
        let signature = auth.sign(&self.keys[part.index()]);
        auth.verify(&self.params, signature).unwrap()
    }

    /// An approval for the adjudicator where there was none.
    pub fn approval(&self, amount: u128) -> Approval {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let now = Timestamp::from_nanos(now.as_nanos() as u64);
        Approval {
            from_subaccount: [0; 32],
            spender: Account::of(self.params.adjudicator()),
            amount: units(amount),
            expected_allowance: units(0),
            expires_at: now.saturating_add_nanos(3_600_000_000_000),
            fee: units(FEE),
            memo: [1; 32],
            created_at: now,
        }
    }
}
