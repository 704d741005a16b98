//! A channel between two users whose client is not in the node.

use perun_canister_api::convert;
use perun_node::api::pb;
use perun_node::keystore::{Keystore, UserKeys};
use perun_node::password::Secret;
use perun_node::users;
use perun_protocol::encoding::Canonical as _;
use perun_protocol::signature::{Libsecp256k1Key, Signer as _};
use perun_protocol::{
    Amount, AssetId, Balances, ChallengeDuration, Nonce, Params, Participant, SignedState, State,
    UnverifiedSignedState, Version,
};

use crate::world::{PASSWORD, World};

/// What both deposit, in the smallest unit.
pub const DEPOSITS: [u128; 2] = [1_000_000_000, 500_000_000];

/// A channel between two users.
pub struct Outside {
    pub params: Params,
    keys: Vec<UserKeys>,
}

impl Outside {
    /// A channel between the users of these names.
    pub fn new(world: &World, names: [&str; 2]) -> Self {
        let folder = world.settings.data.join(users::FOLDER);
        let unlock = |name: &&str| {
            let keystore = Keystore::open(&folder.join(name).join("keystore")).unwrap();
            keystore.unlock(&Secret::new(PASSWORD)).unwrap()
        };
        let keys: Vec<UserKeys> = names.iter().map(unlock).collect();
        let participants = keys.iter().map(|keys| keys.off_chain.public_key());
        let params = Params::new(
            Nonce::from_bytes([7; 32]),
            participants.map(Participant::Secp256k1).collect(),
            vec![AssetId::Icrc(
                convert::principal(world.network.ledger).unwrap(),
            )],
            ChallengeDuration::from_secs(60).unwrap(),
            convert::principal(world.network.adjudicator).unwrap(),
        );
        Self {
            params: params.unwrap(),
            keys,
        }
    }

    /// The state of this version, in which so much was paid by the first.
    pub fn signed(&self, version: u64) -> SignedState {
        let table =
            |amounts: [u128; 2]| Balances::new(2, amounts.map(Amount::new).to_vec()).unwrap();
        let paid = u128::from(version) * 1_000_000;
        let held = table([DEPOSITS[0] - paid, DEPOSITS[1] + paid]);
        let id = self.params.id();
        let state = State::new(id, Version::new(version), held, table(DEPOSITS)).unwrap();
        let digest = state.digest();
        let signatures = self
            .keys
            .iter()
            .map(|keys| keys.off_chain.sign(&digest))
            .collect();
        UnverifiedSignedState { state, signatures }
            .verify(&self.params)
            .unwrap()
    }

    /// The key of a participant.
    pub fn key(&self, idx: usize) -> &Libsecp256k1Key {
        &self.keys[idx].off_chain
    }

    pub fn told_params(&self) -> pb::Params {
        let parts = self.params.participants().iter();
        pb::Params {
            id: self.params.id().as_bytes().to_vec(),
            challenge_duration: 60,
            parts: parts
                .map(|Participant::Secp256k1(key)| key.as_bytes().to_vec())
                .collect(),
            app: Vec::new(),
            nonce: vec![7; 32],
            ledger_channel: true,
            virtual_channel: false,
            canonical: self.params.encode(),
        }
    }

    pub fn told_state(&self, version: u64) -> pb::State {
        let signed = self.signed(version);
        let state = signed.state();
        let assets = self.params.assets().iter();
        pb::State {
            id: self.params.id().as_bytes().to_vec(),
            version,
            app: Vec::new(),
            allocation: Some(pb::Allocation {
                assets: assets
                    .map(|AssetId::Icrc(ledger)| ledger.as_slice().to_vec())
                    .collect(),
                balances: Some(told(&state.allocation().balances)),
                locked: Vec::new(),
            }),
            data: Vec::new(),
            is_final: false,
            funding: Some(told(state.funding())),
        }
    }

    pub fn sigs(&self, version: u64) -> Vec<Vec<u8>> {
        let signed = self.signed(version);
        let signatures = signed.signatures().iter();
        signatures
            .map(|signature| signature.as_bytes().to_vec())
            .collect()
    }

    /// What registers, or pays out to a participant.
    pub fn adjudicator_req(&self, version: u64, idx: u32) -> pb::AdjudicatorReq {
        pb::AdjudicatorReq {
            params: Some(self.told_params()),
            acc: Vec::new(),
            tx: Some(pb::Transaction {
                state: Some(self.told_state(version)),
                sigs: self.sigs(version),
            }),
            idx,
            secondary: false,
        }
    }
}

fn told(balances: &Balances) -> pb::Balances {
    let bytes = |amount: &Amount| {
        let bytes = amount.units().to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let rows = balances.rows().map(|row| pb::Balance {
        balance: row.iter().map(bytes).collect(),
    });
    pb::Balances {
        balances: rows.collect(),
    }
}
