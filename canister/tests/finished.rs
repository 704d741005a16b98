//! Channels that are over become small, and stay what they were: nobody opens them anew, every
//! question has its answer, and late money reaches its participant. The rules alone, without wasm.

use candid::Principal;
use ic_stable_structures::DefaultMemoryImpl;
use perun_canister::finished::RETENTION_NS;
use perun_canister::verdict::Answer;
use perun_canister::{Adjudicator, Settlement};
use perun_canister_api::{
    Asset, ChannelRequest, Claim, ConcludeError, ConcludeRequest, DepositError, DepositRequest,
    DepositSource, DisputeError, DisputeRequest, Event, EventsRequest, InitArgs, Phase, Rank,
    WithdrawError, WithdrawRequest, convert,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{
    Account, Amount, Balances, ChallengeDuration, Nonce, Params, PartIdx, SecretKey, Signer as _,
    State, Timestamp, UnverifiedSignedState, Version, WithdrawalAuth,
};
use serde_bytes::ByteBuf;

const FEE: Amount = Amount::new(10);
const START: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

fn me() -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 1, 1])
}

fn ledger() -> Asset {
    Asset::Icrc(Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]))
}

/// A channel of two in a memory of its own, and the time.
struct Story {
    memory: DefaultMemoryImpl,
    rules: Adjudicator,
    keys: [SecretKey; 2],
    params: Params,
    now: Timestamp,
}

impl Story {
    /// Alice deposits 100 and Bob 50; they end with 30 for Alice and 120 for Bob, and both withdraw.
    fn paid_out() -> Self {
        let mut story = Self::deposited();
        story.conclude(&story.last_state()).unwrap();
        story.withdraw(0).unwrap();
        story.withdraw(1).unwrap();
        story
    }

    /// The same, until it is finished.
    fn finished() -> Self {
        let mut story = Self::paid_out();
        story.wait(RETENTION_NS);
        assert_eq!(story.stored(), 0, "the record is gone");
        story
    }

    fn deposited() -> Self {
        let memory = DefaultMemoryImpl::default();
        let Asset::Icrc(asset) = ledger();
        let args = InitArgs {
            ledgers: vec![asset],
            min_challenge_duration_s: 60,
            max_challenge_duration_s: 600,
        };
        let keys = [1, 2].map(|number| SecretKey::from_bytes(&[number; 32]).unwrap());
        let params = Params::new(
            Nonce::from_bytes([7; 32]),
            keys.iter().map(SecretKey::participant).collect(),
            vec![convert::asset(ledger()).unwrap()],
            ChallengeDuration::from_secs(60).unwrap(),
            convert::principal(me()).unwrap(),
        );
        let mut story = Self {
            rules: Adjudicator::install(memory.clone(), me(), args).unwrap(),
            memory,
            keys,
            params: params.unwrap(),
            now: START,
        };
        story.sweep(0, 100).unwrap();
        story.sweep(1, 50).unwrap();
        story
    }

    fn wait(&mut self, duration_ns: u64) {
        self.now = self.now.saturating_add_nanos(duration_ns);
        self.rules.observe(self.now);
    }

    /// How many channels have a whole record.
    fn stored(&self) -> u64 {
        self.rules.info(self.now).channels
    }

    fn deposit(&self, part: u8, source: DepositSource) -> DepositRequest {
        DepositRequest {
            params: ByteBuf::from(self.params.encode()),
            part,
            asset: ledger(),
            source,
        }
    }

    /// Money that lies on a deposit account arrives.
    fn sweep(&mut self, part: u8, amount: u128) -> Result<u128, DepositError> {
        let request = self.deposit(part, DepositSource::DepositAccount);
        let deposit = self.rules.check_deposit(Principal::anonymous(), &request)?;
        let balance = Amount::new(amount + FEE.units());
        let number = self.rules.reserve_sweep(&deposit, balance, FEE, self.now)?;
        self.rules.begin_attempt(number, self.now).unwrap();
        match self.rules.settle(number, Answer::Paid(Some(1)), self.now) {
            Settlement::Deposited(receipt) => Ok(receipt.holding),
            other => panic!("{other:?}"),
        }
    }

    /// A participant's remainder is paid to its account.
    fn withdraw(&mut self, part: u8) -> Result<u128, WithdrawError> {
        let owner = convert::principal(Principal::self_authenticating([part])).unwrap();
        let auth = WithdrawalAuth {
            channel: self.params.id(),
            asset: self.params.assets()[0],
            part: PartIdx::new(part),
            receiver: Account::of(owner),
        };
        let request = WithdrawRequest {
            channel: convert::channel_to_candid(&auth.channel),
            asset: ledger(),
            part,
            receiver: convert::account_to_candid(&auth.receiver),
            signature: ByteBuf::from(auth.sign(&self.keys[usize::from(part)]).as_bytes().to_vec()),
        };
        let withdrawal = self.rules.check_withdraw(&request, self.now)?;
        let number = self.rules.reserve_payout(&withdrawal, FEE, self.now)?;
        self.rules.begin_attempt(number, self.now).unwrap();
        match self.rules.settle(number, Answer::Paid(Some(2)), self.now) {
            Settlement::Withdrawn(receipt) => Ok(receipt.paid),
            other => panic!("{other:?}"),
        }
    }

    fn state(&self, version: u64) -> UnverifiedSignedState {
        let table = |units: [u128; 2]| Balances::new(2, units.map(Amount::new).to_vec()).unwrap();
        let id = self.params.id();
        let state = State::new(
            id,
            Version::new(version),
            table([30, 120]),
            table([100, 50]),
        );
        let state = state.unwrap().finalized();
        let digest = state.digest();
        UnverifiedSignedState {
            state,
            signatures: self.keys.iter().map(|key| key.sign(&digest)).collect(),
        }
    }

    fn last_state(&self) -> UnverifiedSignedState {
        self.state(5)
    }

    fn conclude(&mut self, last: &UnverifiedSignedState) -> Result<Vec<Vec<u128>>, ConcludeError> {
        let request = ConcludeRequest {
            channel: convert::channel_to_candid(&self.params.id()),
            final_state: Some(ByteBuf::from(last.encode())),
        };
        let conclusion = self.rules.conclude(&request, self.now)?;
        Ok(conclusion.remainders)
    }

    fn dispute(&mut self, version: u64) -> Result<(), DisputeError> {
        let claim = Claim::State(ByteBuf::from(self.state(version).encode()));
        let registered = self.rules.dispute(&DisputeRequest { claim }, self.now);
        registered.map(|_| ())
    }

    fn request(&self) -> ChannelRequest {
        ChannelRequest {
            channel: convert::channel_to_candid(&self.params.id()),
        }
    }
}

/// Whoever has money come and go for ever would make everybody search for the claim that stood.
#[test]
fn a_channel_with_a_long_tail_keeps_its_record() {
    let mut story = Story::paid_out();
    for _ in 0..25 {
        story.sweep(0, 20).unwrap();
        story.withdraw(0).unwrap();
    }
    story.wait(RETENTION_NS);
    assert_ne!(story.stored(), 0);
}

#[test]
fn a_channel_is_finished_when_it_was_paid_out_a_while_ago() {
    let mut story = Story::paid_out();
    story.wait(RETENTION_NS - 1);
    assert_eq!(story.stored(), 1);
    story.wait(1);
    assert_eq!(story.stored(), 0);
}

#[test]
fn what_is_still_to_be_paid_keeps_a_channel() {
    let mut story = Story::deposited();
    story.conclude(&story.last_state()).unwrap();
    story.withdraw(0).unwrap();
    story.wait(2 * RETENTION_NS);
    assert_eq!(story.stored(), 1);
    assert_eq!(story.withdraw(1), Ok(110));
    story.wait(RETENTION_NS);
    assert_eq!(story.stored(), 0);
}

#[test]
fn money_that_comes_before_the_end_keeps_a_channel() {
    let mut story = Story::paid_out();
    story.sweep(1, 25).unwrap();
    story.wait(RETENTION_NS);
    assert_eq!(story.stored(), 1);
    assert_eq!(story.withdraw(1), Ok(15));
    story.wait(RETENTION_NS);
    assert_eq!(story.stored(), 0);
}

/// The retention time begins with the last payout, not with the first one that left nothing.
#[test]
fn money_that_comes_late_keeps_a_channel_from_its_payout_on() {
    let mut story = Story::paid_out();
    story.wait(RETENTION_NS / 2);
    story.sweep(1, 25).unwrap();
    story.withdraw(1).unwrap();
    story.wait(RETENTION_NS / 2);
    assert_eq!(story.stored(), 1);
    story.wait(RETENTION_NS / 2 - 1);
    assert_eq!(story.stored(), 1);
    story.wait(1);
    assert_eq!(story.stored(), 0);
}

#[test]
fn a_transfer_under_way_keeps_a_channel() {
    let mut story = Story::paid_out();
    let request = story.deposit(0, DepositSource::DepositAccount);
    let deposit = story.rules.check_deposit(me(), &request).unwrap();
    let number = story
        .rules
        .reserve_sweep(&deposit, Amount::new(99), FEE, story.now);
    story.wait(RETENTION_NS);
    assert_eq!(story.stored(), 1);
    // It never executed.
    let number = number.unwrap();
    story
        .rules
        .settle_by_balance(number, Amount::ZERO, story.now);
    story.wait(RETENTION_NS);
    assert_eq!(story.stored(), 0);
}

#[test]
fn late_money_reaches_its_participant() {
    let mut story = Story::finished();
    assert_eq!(story.sweep(1, 40), Ok(40));
    assert_eq!(story.stored(), 1, "the record is back");
    assert_eq!(story.withdraw(0), Err(WithdrawError::NothingToWithdraw));
    assert_eq!(story.withdraw(1), Ok(30));
    story.wait(RETENTION_NS);
    assert_eq!(story.stored(), 0);
    assert_eq!(story.sweep(0, 11), Ok(11), "as often as money comes");
}

#[test]
fn a_finished_channel_is_not_opened_anew() {
    let mut story = Story::finished();
    let approval = DepositSource::Approval {
        from_subaccount: None,
        amount: 5,
        expected_holding: None,
    };
    let request = story.deposit(0, approval);
    let caller = Principal::self_authenticating([1]);
    let refused = story.rules.check_deposit(caller, &request);
    assert_eq!(refused.unwrap_err(), DepositError::AlreadyRegistered);
    // Nor after late money.
    story.sweep(0, 40).unwrap();
    let refused = story.rules.check_deposit(caller, &request);
    assert_eq!(refused.unwrap_err(), DepositError::AlreadyRegistered);
    assert!(matches!(
        story.dispute(9),
        Err(DisputeError::ChallengeElapsed { .. })
    ));
}

#[test]
fn a_finished_channel_answers_every_question() {
    let mut story = Story::finished();
    let holdings = story
        .rules
        .holdings(&story.request())
        .unwrap()
        .holdings
        .unwrap();
    assert_eq!(holdings.phase, Phase::Concluded);
    assert_eq!(
        (holdings.amounts, holdings.in_flight),
        (vec![vec![0, 0]], vec![0])
    );

    let (_, answer) = story.rules.state(&story.request(), story.now).unwrap();
    let registered = answer.registered.unwrap();
    assert_eq!(registered.rank, Rank::State(5));
    assert_eq!(registered.signed_state, None, "the log has its digest");
    assert!(registered.concluded);
    assert_eq!(registered.timeout_ns, START.nanos());

    assert_eq!(story.withdraw(0), Err(WithdrawError::NothingToWithdraw));
    assert_eq!(story.conclude(&story.last_state()), Ok(vec![vec![0, 0]]));
    for error in [
        story.dispute(9),
        story.conclude(&story.state(6)).map(|_| ()).map_err(refusal),
    ] {
        assert!(
            matches!(error, Err(DisputeError::ChallengeElapsed { .. })),
            "{error:?}"
        );
    }
}

fn refusal(error: ConcludeError) -> DisputeError {
    match error {
        ConcludeError::Refused(refusal) => refusal,
        error => panic!("{error:?}"),
    }
}

#[test]
fn the_events_of_a_finished_channel_stay() {
    let mut story = Story::finished();
    let page = |story: &Story, start, length| {
        let request = EventsRequest {
            channel: Some(story.request().channel),
            start,
            length,
        };
        story.rules.events(&request, story.now).unwrap()
    };
    assert_eq!(page(&story, 0, 100).events.len(), 6);
    story.sweep(1, 40).unwrap();
    let all = page(&story, 0, 100);
    assert_eq!(all.events.len(), 7);
    let late = &all.events[6].event;
    assert!(
        matches!(late, Event::Deposited { holding: 40, .. }),
        "{late:?}"
    );
    // In pages of any length.
    let (mut start, mut paged) = (0, Vec::new());
    while start < all.total {
        let page = page(&story, start, 2);
        paged.extend(page.events);
        start = page.next;
    }
    assert_eq!(paged, all.events);
}

#[test]
fn a_finished_channel_survives_an_upgrade() {
    let mut story = Story::finished();
    story.sweep(1, 40).unwrap();
    story.rules = Adjudicator::upgrade(story.memory.clone(), me(), None).unwrap();
    assert_eq!(story.withdraw(1), Ok(30));
    story.wait(RETENTION_NS);
    story.rules = Adjudicator::upgrade(story.memory.clone(), me(), None).unwrap();
    assert_eq!(story.withdraw(1), Err(WithdrawError::NothingToWithdraw));
}
