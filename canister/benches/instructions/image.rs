//! Many channels, written by the rules themselves into a memory of this process. The ledger's part is
//! assumed: it always paid.

use candid::Principal;
use ic_stable_structures::DefaultMemoryImpl;
use perun_canister::verdict::Answer;
use perun_canister::{Adjudicator, Settlement};
use perun_canister_api::{
    Claim, DepositRequest, DepositSource, DisputeRequest, InitArgs, WithdrawRequest, convert,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{
    Account, Amount, ChallengeDuration, Nonce, Params, PartIdx, Participant, RefundClaim,
    SecretKey, Timestamp, WithdrawalAuth,
};
use serde_bytes::ByteBuf;

use crate::world::{CHALLENGE_S, FEE, asset_id, key, user};

/// What every participant of these channels has deposited.
pub const DEPOSIT: u128 = 1_000;

/// An adjudicator with channels of two about one ledger.
pub struct Image {
    memory: DefaultMemoryImpl,
    pub adjudicator: Adjudicator,
    me: Principal,
    ledger: Principal,
    participants: Vec<Participant>,
}

impl Image {
    pub fn new(me: Principal, ledger: Principal) -> Self {
        let memory = DefaultMemoryImpl::default();
        let args = InitArgs {
            ledgers: vec![ledger],
            min_challenge_duration_s: 60,
            max_challenge_duration_s: 86_400,
        };
        let mut adjudicator = Adjudicator::install(memory.clone(), me, args).expect("a set-up");
        adjudicator.set_fee(ledger, FEE);
        Self {
            memory,
            adjudicator,
            me,
            ledger,
            participants: keys().iter().map(SecretKey::participant).collect(),
        }
    }

    /// The params of the channel with this number. The keys are the same everywhere: what keys there
    /// are changes no cost.
    pub fn params(&self, number: u64) -> Params {
        let mut nonce = [0xee; 32];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        Params::new(
            Nonce::from_bytes(nonce),
            self.participants.clone(),
            vec![asset_id(&self.ledger)],
            ChallengeDuration::from_secs(CHALLENGE_S).expect("a duration"),
            convert::principal(self.me).expect("a canister's id"),
        )
        .expect("params")
    }

    /// Opens a channel: everybody's deposit arrives.
    pub fn open(&mut self, number: u64, now: Timestamp) {
        for part in 0..self.participants.len() as u8 {
            self.deposit(number, part, now);
        }
    }

    fn deposit(&mut self, number: u64, part: u8, now: Timestamp) {
        let params = self.params(number);
        let request = DepositRequest {
            params: ByteBuf::from(params.encode()),
            part,
            asset: convert::asset_to_candid(&params.assets()[0]),
            source: DepositSource::Approval {
                from_subaccount: None,
                amount: DEPOSIT,
                expected_holding: Some(0),
            },
        };
        let rules = &mut self.adjudicator;
        rules.observe(now);
        let deposit = rules.check_deposit(user(0), &request).expect("a deposit");
        let number = rules.reserve_pull(&deposit, Amount::new(FEE), now);
        let number = number.expect("nothing is in its way");
        rules.begin_attempt(number, now).expect("its entry");
        let settlement = rules.settle(number, Answer::Paid(Some(u128::from(number.0))), now);
        assert!(matches!(settlement, Settlement::Deposited(_)));
    }

    /// Opens a channel in which the first participant deposits and claims the money back.
    pub fn dispute(&mut self, number: u64, now: Timestamp) {
        self.deposit(number, 0, now);
        let params = self.params(number);
        let [key, _] = keys();
        let (channel, part) = (params.id(), PartIdx::new(0));
        let claim = RefundClaim { channel, part };
        let signed = claim
            .verify(&params, claim.sign(&key))
            .expect("a signature");
        let request = DisputeRequest {
            claim: Claim::from(&signed),
        };
        self.adjudicator
            .dispute(&request, now)
            .expect("it is registered");
    }

    /// A channel's whole life, in which the first participant deposits and takes the money back.
    pub fn refund(&mut self, number: u64, now: Timestamp) {
        self.dispute(number, now);
        let params = self.params(number);
        let [key, _] = keys();
        let (channel, part) = (params.id(), PartIdx::new(0));
        let later = now.saturating_add_nanos(u64::from(CHALLENGE_S) * 1_000_000_000);
        let auth = WithdrawalAuth {
            channel,
            asset: params.assets()[0],
            part,
            receiver: Account::of(convert::principal(user(0)).expect("a user's principal")),
        };
        let request = WithdrawRequest {
            channel: convert::channel_to_candid(&channel),
            asset: convert::asset_to_candid(&auth.asset),
            part: 0,
            receiver: convert::account_to_candid(&auth.receiver),
            signature: ByteBuf::from(auth.sign(&key).as_bytes().as_slice()),
        };
        let rules = &mut self.adjudicator;
        let withdrawal = rules.check_withdraw(&request, later).expect("a withdrawal");
        let number = rules.reserve_payout(&withdrawal, Amount::new(FEE), later);
        let number = number.expect("nothing is in its way");
        rules.begin_attempt(number, later).expect("its entry");
        let settlement = rules.settle(number, Answer::Paid(Some(1)), later);
        assert!(matches!(settlement, Settlement::Withdrawn(_)));
    }

    /// The bytes of the memory.
    pub fn bytes(&self) -> Vec<u8> {
        self.memory.borrow().clone()
    }
}

pub fn keys() -> [SecretKey; 2] {
    [key(1), key(2)]
}
