//! Who plays: three channels, everything their participants ever sign, two ledgers, some users.
//!
//! The signatures are real and made once: whatever the adjudicator verifies, it verifies.

use std::sync::OnceLock;

use candid::Principal;
use perun_canister_api::{
    Claim as CandidClaim, ConcludeRequest, DepositRequest, DepositSource, DisputeRequest, InitArgs,
    WithdrawRequest, convert,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::signature::Digest;
use perun_protocol::{
    Account, ChallengeDuration, ChannelId, Nonce, Params, SecretKey, Signer as _,
    UnverifiedSignedState,
};
use serde_bytes::ByteBuf;

use super::step::Claim;
use crate::world::{TestChannel, asset_id, dispute_with, key};

pub const ASSETS: usize = 2;
/// How many users deposit.
pub const USERS: usize = 3;
/// How many have something on the ledgers at first, as in the test world.
pub const HOLDERS: usize = 8;

/// The adjudicator.
pub const ME: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 0xad, 1, 1]);
/// The ledgers.
pub const LEDGERS: [Principal; ASSETS] = [
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 1, 1]),
];
/// The shortest challenge duration that the adjudicator accepts.
pub const MIN_CHALLENGE_S: u32 = 60;
/// The adjudicator ticks 32 times in the shortest window.
pub const TICK_NS: u64 = MIN_CHALLENGE_S as u64 * 1_000_000_000 / 32;
/// How many participants and assets each channel has.
const SHAPES: [(usize, usize); 3] = [(2, 2), (3, 2), (2, 1)];
/// Versions are skipped, as those are that were signed and refused.
const VERSIONS: [u64; 6] = [0, 1, 2, 4, 5, 9];

/// Asset after asset, in each participant after participant.
pub type Table = Vec<Vec<u128>>;

pub struct Cast {
    pub channels: Vec<Channel>,
}

/// A channel, and all that is ever signed for it.
pub struct Channel {
    pub id: ChannelId,
    pub parts: usize,
    pub assets: usize,
    pub challenge_ns: u64,
    pub funds: Account,
    pub deposit_accounts: Vec<Account>,
    /// The states that all participants sign one after the other; the last one is final.
    pub states: Vec<Signed>,
    /// Every participant's refund claim.
    pub refunds: Vec<DisputeRequest>,
    /// By asset and participant.
    pub withdrawals: Vec<Vec<WithdrawRequest>>,
    pub concluding: ConcludeRequest,
    deposits: Vec<Vec<DepositRequest>>,
}

/// A state with all signatures.
pub struct Signed {
    pub version: u64,
    pub digest: Digest,
    pub funding: Table,
    pub balances: Table,
    pub is_final: bool,
    pub disputing: DisputeRequest,
    pub concluding: ConcludeRequest,
    /// The same with signatures of which one is of somebody else.
    pub forged: DisputeRequest,
}

/// The one cast of all histories.
pub fn cast() -> &'static Cast {
    static CAST: OnceLock<Cast> = OnceLock::new();
    CAST.get_or_init(|| Cast {
        channels: (0..SHAPES.len()).map(Channel::new).collect(),
    })
}

impl Cast {
    /// The claim as it is handed in.
    pub fn disputing(&self, claim: Claim) -> &DisputeRequest {
        match claim {
            Claim::State { channel, state } => &self.channels[channel].states[state].disputing,
            Claim::Forged { channel, state } => &self.channels[channel].states[state].forged,
            Claim::Refund { channel, part } => &self.channels[channel].refunds[part],
        }
    }
}

pub fn init_args() -> InitArgs {
    InitArgs {
        ledgers: LEDGERS.to_vec(),
        min_challenge_duration_s: MIN_CHALLENGE_S,
        max_challenge_duration_s: 86_400,
    }
}

/// A depositor, as it calls.
pub fn user(number: usize) -> Principal {
    crate::world::user(number as u8)
}

/// Its account.
pub fn account_of_user(number: usize) -> Account {
    Account::of(convert::principal(user(number)).expect("users have principals"))
}

/// Who receives the payouts of a participant, and nothing else.
pub fn receiver(channel: usize, part: usize) -> Principal {
    crate::world::user((100 + 10 * channel + part) as u8)
}

pub fn account_of_receiver(channel: usize, part: usize) -> Account {
    let receiver = convert::principal(receiver(channel, part));
    Account::of(receiver.expect("users have principals"))
}

/// The channel with that number, as its participants see it.
pub fn test_channel(number: usize) -> TestChannel {
    let (parts, assets) = SHAPES[number];
    let keys: Vec<_> = (1..=parts).map(|part| key(part as u8)).collect();
    let params = Params::new(
        Nonce::from_bytes([number as u8 + 1; 32]),
        keys.iter().map(SecretKey::participant).collect(),
        LEDGERS[..assets].iter().map(asset_id).collect(),
        ChallengeDuration::from_secs(MIN_CHALLENGE_S + 30 * number as u32)
            .expect("within the bounds"),
        convert::principal(ME).expect("the adjudicator has an id"),
    );
    TestChannel {
        params: params.expect("the params are in order"),
        keys,
    }
}

impl Channel {
    fn new(number: usize) -> Self {
        let channel = test_channel(number);
        let (parts, assets) = SHAPES[number];
        Self {
            id: channel.id(),
            parts,
            assets,
            challenge_ns: channel.params.challenge_duration().nanos(),
            funds: channel.funds_account(),
            deposit_accounts: (0..parts)
                .map(|part| channel.deposit_account(part))
                .collect(),
            states: (0..VERSIONS.len())
                .map(|index| Signed::new(&channel, assets, parts, index))
                .collect(),
            refunds: (0..parts).map(|part| channel.refund_claim(part)).collect(),
            withdrawals: (0..assets)
                .map(|asset| {
                    (0..parts)
                        .map(|part| channel.withdrawing(asset, part, receiver(number, part)))
                        .collect()
                })
                .collect(),
            concluding: channel.concluding_elapsed(),
            deposits: (0..assets)
                .map(|asset| {
                    (0..parts)
                        .map(|part| channel.by_account(asset, part))
                        .collect()
                })
                .collect(),
        }
    }

    /// A sweep of the participant's deposit account.
    pub fn sweeping(&self, asset: usize, part: usize) -> DepositRequest {
        self.deposits[asset][part].clone()
    }

    /// A pull from the caller's account.
    pub fn pulling(
        &self,
        asset: usize,
        part: usize,
        amount: u128,
        expected_holding: Option<u128>,
    ) -> DepositRequest {
        DepositRequest {
            source: DepositSource::Approval {
                from_subaccount: None,
                amount,
                expected_holding,
            },
            ..self.sweeping(asset, part)
        }
    }
}

/// What the states up to a version rest on; from the fourth on there was a top-up.
pub fn funding(assets: usize, parts: usize, state: usize) -> Table {
    let share = |asset: usize, part: usize| {
        let top_up = if state >= 3 && part == 0 { 50 } else { 0 };
        (60 + 40 * part + 30 * asset + top_up) as u128
    };
    (0..assets)
        .map(|asset| (0..parts).map(|part| share(asset, part)).collect())
        .collect()
}

impl Signed {
    fn new(channel: &TestChannel, assets: usize, parts: usize, index: usize) -> Self {
        let funding = funding(assets, parts, index);
        // Each state gives somebody else nearly everything, so that it matters which one stands.
        let balances: Table = (0..assets)
            .map(|asset| {
                let total: u128 = funding[asset].iter().sum();
                let rich = (index + asset) % parts;
                let alms = (7 * index + asset) as u128;
                (0..parts)
                    .map(|part| match part == rich {
                        true => total - alms * (parts - 1) as u128,
                        false => alms,
                    })
                    .collect()
            })
            .collect();
        let version = VERSIONS[index];
        let is_final = index == VERSIONS.len() - 1;
        let state = channel.state(version, &balances.concat(), &funding.concat());
        let state = if is_final { state.finalized() } else { state };
        let signed = channel.sign(&state);
        let mut forged = UnverifiedSignedState::from(signed.clone());
        forged.signatures[parts - 1] = key(99).sign(&state.digest());
        Self {
            version,
            digest: state.digest(),
            funding,
            balances,
            is_final,
            disputing: dispute_with(&signed),
            concluding: channel.concluding_with(&signed),
            forged: DisputeRequest {
                claim: CandidClaim::State(ByteBuf::from(forged.encode())),
            },
        }
    }
}
