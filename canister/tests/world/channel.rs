//! Channels as their participants see them: keys, params, states that all sign.

use candid::Principal;
use icrc_ledger_types::icrc21::requests::{
    ConsentMessageMetadata, ConsentMessageRequest, ConsentMessageSpec, DisplayMessageType,
};
use perun_canister_api::{
    Asset, Claim, ConcludeRequest, DepositRequest, DepositSource, DisputeRequest, WithdrawRequest,
    convert,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{
    Account, Amount, AssetId, Balances, ChallengeDuration, ChannelId, Nonce, Params, PartIdx,
    RefundClaim, SecretKey, SignedState, Signer as _, State, UnverifiedSignedState, Version,
    WithdrawalAuth,
};
use serde_bytes::ByteBuf;

use super::{CHALLENGE_S, World, user};

pub struct TestChannel {
    pub params: Params,
    pub keys: Vec<SecretKey>,
}

/// The key with a number; each channel has its own keys.
pub fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

/// A table of amounts.
pub fn table(parts: usize, units: &[u128]) -> Balances {
    let amounts = units.iter().copied().map(Amount::new);
    Balances::new(parts, amounts.collect()).unwrap()
}

impl World {
    /// A channel of two about the first ledger.
    pub fn channel(&self, nonce: u8) -> TestChannel {
        self.channel_of(nonce, 2, 1)
    }

    pub fn channel_of(&self, nonce: u8, parts: usize, assets: usize) -> TestChannel {
        let keys: Vec<_> = (1..=parts).map(|number| key(number as u8)).collect();
        let params = Params::new(
            Nonce::from_bytes([nonce; 32]),
            keys.iter().map(SecretKey::participant).collect(),
            self.ledgers[..assets].iter().map(asset_id).collect(),
            ChallengeDuration::from_secs(CHALLENGE_S).unwrap(),
            convert::principal(self.adjudicator).unwrap(),
        );
        TestChannel {
            params: params.unwrap(),
            keys,
        }
    }

    /// A channel of two that Alice and Bob have deposited into.
    pub fn funded(&mut self, nonce: u8, deposits: [u128; 2]) -> TestChannel {
        let channel = self.channel(nonce);
        for (part, amount) in deposits.into_iter().enumerate() {
            self.deposit_approved(&channel, 0, part, amount);
        }
        channel
    }

    /// Approves and deposits, as `user(0)`.
    pub fn deposit_approved(
        &mut self,
        channel: &TestChannel,
        asset: usize,
        part: usize,
        amount: u128,
    ) {
        let ledger = self.ledger_of(channel, asset);
        self.approve(ledger, user(0), amount + super::FEE);
        let receipt = self.deposit(channel.by_approval(asset, part, amount));
        assert_eq!(receipt.unwrap().credited, amount);
    }
}

impl TestChannel {
    pub fn id(&self) -> ChannelId {
        self.params.id()
    }

    pub fn id_bytes(&self) -> ByteBuf {
        convert::channel_to_candid(&self.id())
    }

    pub fn funds_account(&self) -> Account {
        Account::of_funds(self.params.adjudicator(), self.id())
    }

    pub fn deposit_account(&self, part: usize) -> Account {
        Account::of_deposit(&self.params, PartIdx::new(part as u8))
    }

    pub fn asset(&self, asset: usize) -> Asset {
        convert::asset_to_candid(&self.params.assets()[asset])
    }

    pub fn by_approval(&self, asset: usize, part: usize, amount: u128) -> DepositRequest {
        DepositRequest {
            params: ByteBuf::from(self.params.encode()),
            part: part as u8,
            asset: self.asset(asset),
            source: DepositSource::Approval {
                from_subaccount: None,
                amount,
                expected_holding: None,
            },
        }
    }

    /// The first deposit of a participant, which can be sent again.
    pub fn by_approval_once(&self, asset: usize, part: usize, amount: u128) -> DepositRequest {
        DepositRequest {
            source: DepositSource::Approval {
                from_subaccount: None,
                amount,
                expected_holding: Some(0),
            },
            ..self.by_approval(asset, part, amount)
        }
    }

    pub fn by_account(&self, asset: usize, part: usize) -> DepositRequest {
        DepositRequest {
            source: DepositSource::DepositAccount,
            ..self.by_approval(asset, part, 0)
        }
    }

    /// A state with one asset that rests on `funding`.
    pub fn state(&self, version: u64, balances: &[u128], funding: &[u128]) -> State {
        let parts = self.keys.len();
        State::new(
            self.id(),
            Version::new(version),
            table(parts, balances),
            table(parts, funding),
        )
        .unwrap()
    }

    pub fn sign(&self, state: &State) -> SignedState {
        let digest = state.digest();
        let signatures = self.keys.iter().map(|key| key.sign(&digest));
        let signed = UnverifiedSignedState {
            state: state.clone(),
            signatures: signatures.collect(),
        };
        signed.verify(&self.params).unwrap()
    }

    /// A signed state with one asset that rests on `funding`.
    pub fn signed(&self, version: u64, balances: &[u128], funding: &[u128]) -> SignedState {
        self.sign(&self.state(version, balances, funding))
    }

    pub fn disputing(&self, version: u64, balances: &[u128], funding: &[u128]) -> DisputeRequest {
        dispute_with(&self.signed(version, balances, funding))
    }

    pub fn refund_claim(&self, part: usize) -> DisputeRequest {
        let claim = RefundClaim {
            channel: self.id(),
            part: PartIdx::new(part as u8),
        };
        let signature = claim.sign(&self.keys[part]);
        let signed = claim.verify(&self.params, signature).unwrap();
        DisputeRequest {
            claim: Claim::from(&signed),
        }
    }

    pub fn concluding(&self, version: u64, balances: &[u128], funding: &[u128]) -> ConcludeRequest {
        let state = self.state(version, balances, funding).finalized();
        self.concluding_with(&self.sign(&state))
    }

    pub fn concluding_with(&self, signed: &SignedState) -> ConcludeRequest {
        ConcludeRequest {
            channel: self.id_bytes(),
            final_state: Some(ByteBuf::from(signed.encode())),
        }
    }

    pub fn concluding_elapsed(&self) -> ConcludeRequest {
        ConcludeRequest {
            channel: self.id_bytes(),
            final_state: None,
        }
    }

    /// Pays a participant's remainder to the default account of `receiver`.
    pub fn withdrawing(&self, asset: usize, part: usize, receiver: Principal) -> WithdrawRequest {
        let receiver = Account::of(convert::principal(receiver).unwrap());
        let auth = WithdrawalAuth {
            channel: self.id(),
            asset: self.params.assets()[asset],
            part: PartIdx::new(part as u8),
            receiver,
        };
        WithdrawRequest {
            channel: self.id_bytes(),
            asset: self.asset(asset),
            part: part as u8,
            receiver: convert::account_to_candid(&receiver),
            signature: ByteBuf::from(auth.sign(&self.keys[part]).as_bytes().as_slice()),
        }
    }
}

pub fn dispute_with(signed: &SignedState) -> DisputeRequest {
    DisputeRequest {
        claim: Claim::from(signed),
    }
}

/// Asks in words what a call would do, as somebody who reads German an hour east of Greenwich.
pub fn explaining(
    method: &str,
    arg: Vec<u8>,
    device_spec: Option<DisplayMessageType>,
) -> ConsentMessageRequest {
    ConsentMessageRequest {
        method: method.into(),
        arg,
        user_preferences: ConsentMessageSpec {
            metadata: ConsentMessageMetadata {
                language: "de".into(),
                utc_offset_minutes: Some(60),
            },
            device_spec,
        },
    }
}

pub fn asset_id(ledger: &Principal) -> AssetId {
    convert::asset(Asset::Icrc(*ledger)).unwrap()
}
