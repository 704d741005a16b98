//! Disputes, told as stories: Alice and Bob, a hundred units each, one hour to refute.

mod world;

use perun_protocol::dispute::{
    Claim, DisputeError, InsufficientFunding, Rank, Registration, covered, outcome, register,
    would_register,
};
use perun_protocol::{
    Allocation, Amount, AssetIdx, Balances, LockedKind, Params, RefundClaim, SignedState, State,
    Timestamp, Version,
};

use world::{ALICE, BOB, hour, params, secret_key, sign, sub, table};

const NOON: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);
const HOUR_NS: u64 = 3_600_000_000_000;

/// The adjudicator's memory of one channel, and its clock.
struct Adjudicator {
    params: Params,
    held: Balances,
    claim: Option<Claim>,
    standing: Option<Registration>,
    now: Timestamp,
}

impl Adjudicator {
    /// At noon, with these deposits of Alice and Bob.
    fn holding(deposits: [u128; 2]) -> Self {
        Self {
            params: params(1, 2),
            held: table(2, &deposits),
            claim: None,
            standing: None,
            now: NOON,
        }
    }

    fn wait(&mut self, nanos: u64) {
        self.now = self.now.saturating_add_nanos(nanos);
    }

    fn dispute(&mut self, claim: Claim) -> Result<Registration, DisputeError> {
        let (standing, held) = (self.standing.as_ref(), &self.held);
        let (window, now) = (self.params.challenge_duration(), self.now);
        let decision = register(standing, &claim, held, window, now);
        // Who asks before verifying signatures is told the same.
        let asked = would_register(standing, claim.state(), held, window, now);
        assert_eq!(decision, asked);
        let registration = decision?;
        (self.claim, self.standing) = (Some(claim), Some(registration));
        Ok(registration)
    }

    /// What Alice and Bob would be paid.
    fn payouts(&self) -> [u128; 2] {
        let claim = self.claim.as_ref().expect("something is registered");
        let paid = outcome(claim.state(), &self.held);
        [ALICE, BOB].map(|part| paid.at(AssetIdx::new(0), part).unwrap().units())
    }

    fn signed(&self, version: u64, balances: [u128; 2], funding: [u128; 2]) -> SignedState {
        sign(&self.params, self.state(version, balances, funding))
    }

    fn state(&self, version: u64, balances: [u128; 2], funding: [u128; 2]) -> State {
        world::state(self.params.id(), version, balances, funding)
    }

    /// A state of the hundred each that Alice and Bob agreed on.
    fn claim(&self, version: u64, balances: [u128; 2]) -> Claim {
        Claim::State(self.signed(version, balances, [100, 100]))
    }

    fn refund(&self) -> Claim {
        let (channel, part) = (self.params.id(), BOB);
        let claim = RefundClaim { channel, part };
        let signature = claim.sign(&secret_key(1));
        Claim::Refund(claim.verify(&self.params, signature).unwrap())
    }
}

fn version(number: u64) -> Rank {
    Rank::State(Version::new(number))
}

#[test]
fn an_undisputed_state_pays_after_the_window() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    let registration = adjudicator
        .dispute(adjudicator.claim(3, [40, 160]))
        .unwrap();
    assert_eq!(registration.rank, version(3));
    assert_eq!(registration.timeout.nanos_since(NOON), HOUR_NS);
    assert_eq!(adjudicator.payouts(), [40, 160]);
}

#[test]
fn an_old_state_is_refuted_and_the_window_stays() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    let old = adjudicator
        .dispute(adjudicator.claim(0, [100, 100]))
        .unwrap();
    adjudicator.wait(HOUR_NS - 1);
    let new = adjudicator
        .dispute(adjudicator.claim(7, [10, 190]))
        .unwrap();
    assert_eq!(new.timeout, old.timeout);
    assert_eq!(new.rank, version(7));
    assert_eq!(adjudicator.payouts(), [10, 190]);
}

#[test]
fn at_the_timeout_it_is_too_late() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    let at = adjudicator
        .dispute(adjudicator.claim(0, [100, 100]))
        .unwrap()
        .timeout;
    adjudicator.wait(HOUR_NS);
    let late = adjudicator.dispute(adjudicator.claim(7, [10, 190]));
    assert_eq!(late, Err(DisputeError::ChallengeElapsed { at }));
    assert_eq!(adjudicator.payouts(), [100, 100]);
}

#[test]
fn an_older_or_equal_state_refutes_nothing() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    adjudicator
        .dispute(adjudicator.claim(5, [70, 130]))
        .unwrap();
    for older in [0, 4, 5] {
        let refused = adjudicator.dispute(adjudicator.claim(older, [100, 100]));
        let error = DisputeError::Outdated {
            registered: version(5),
            submitted: version(older),
        };
        assert_eq!(refused, Err(error));
    }
    let refused = adjudicator.dispute(adjudicator.refund());
    let error = DisputeError::Outdated {
        registered: version(5),
        submitted: Rank::Refund,
    };
    assert_eq!(refused, Err(error));
    assert_eq!(adjudicator.payouts(), [70, 130]);
}

#[test]
fn a_final_state_ends_it_at_once() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    let last = adjudicator.state(2, [30, 170], [100, 100]).finalized();
    let last = Claim::State(sign(&adjudicator.params, last));
    let registration = adjudicator.dispute(last).unwrap();
    assert_eq!(registration.timeout, NOON);
    let late = adjudicator.dispute(adjudicator.claim(3, [100, 100]));
    assert_eq!(late, Err(DisputeError::ChallengeElapsed { at: NOON }));
    assert_eq!(adjudicator.payouts(), [30, 170]);
}

#[test]
fn a_final_state_refutes_and_cuts_the_window_short() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    adjudicator
        .dispute(adjudicator.claim(1, [90, 110]))
        .unwrap();
    adjudicator.wait(60);
    let last = adjudicator.state(2, [30, 170], [100, 100]).finalized();
    let last = Claim::State(sign(&adjudicator.params, last));
    assert_eq!(adjudicator.dispute(last).unwrap().timeout, adjudicator.now);
    assert_eq!(adjudicator.payouts(), [30, 170]);
}

#[test]
fn a_final_state_that_is_older_ends_nothing() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    adjudicator
        .dispute(adjudicator.claim(3, [90, 110]))
        .unwrap();
    let last = adjudicator.state(2, [30, 170], [100, 100]).finalized();
    let refused = adjudicator.dispute(Claim::State(sign(&adjudicator.params, last)));
    let error = DisputeError::Outdated {
        registered: version(3),
        submitted: version(2),
    };
    assert_eq!(refused, Err(error));
}

/// Alice paid in, Bob vanished before anything was signed.
#[test]
fn a_refund_claim_gives_the_deposits_back() {
    let mut adjudicator = Adjudicator::holding([100, 0]);
    let registration = adjudicator.dispute(adjudicator.refund()).unwrap();
    assert_eq!(registration.rank, Rank::Refund);
    assert_eq!(registration.timeout.nanos_since(NOON), HOUR_NS);
    assert_eq!(adjudicator.payouts(), [100, 0]);
}

#[test]
fn any_signed_state_refutes_a_refund_claim() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    let refund = adjudicator.dispute(adjudicator.refund()).unwrap();
    let again = adjudicator.dispute(adjudicator.refund());
    let error = DisputeError::Outdated {
        registered: Rank::Refund,
        submitted: Rank::Refund,
    };
    assert_eq!(again, Err(error));
    let refuted = adjudicator
        .dispute(adjudicator.claim(0, [60, 140]))
        .unwrap();
    assert_eq!(
        (refuted.rank, refuted.timeout),
        (version(0), refund.timeout)
    );
    assert_eq!(adjudicator.payouts(), [60, 140]);
}

/// Both signed version 0, then only Alice paid: nobody owes Bob anything.
#[test]
fn version_0_without_all_deposits_gives_them_back() {
    let mut adjudicator = Adjudicator::holding([100, 99]);
    adjudicator.dispute(adjudicator.claim(0, [0, 200])).unwrap();
    assert_eq!(adjudicator.payouts(), [100, 99]);
}

#[test]
fn a_later_state_without_all_deposits_is_refused() {
    let mut adjudicator = Adjudicator::holding([100, 99]);
    let refused = adjudicator.dispute(adjudicator.claim(1, [0, 200]));
    let error = InsufficientFunding {
        asset: AssetIdx::new(0),
        part: BOB,
        held: Amount::new(99),
        needed: Amount::new(100),
    };
    assert_eq!(refused, Err(DisputeError::InsufficientFunding(error)));
    assert_eq!(
        error.to_string(),
        "participant 1 has deposited 99 of asset 0, the state rests on 100"
    );
}

/// One's surplus is no deposit of the other: Alice's money must not cover Bob's.
#[test]
fn a_surplus_covers_nobody_else() {
    let mut adjudicator = Adjudicator::holding([150, 50]);
    let refused = adjudicator.dispute(adjudicator.claim(1, [0, 200]));
    assert!(matches!(refused, Err(DisputeError::InsufficientFunding(_))));
    adjudicator.dispute(adjudicator.claim(0, [0, 200])).unwrap();
    assert_eq!(adjudicator.payouts(), [150, 50]);
}

#[test]
fn what_exceeds_the_funding_goes_back_to_whom_it_came_for() {
    let mut adjudicator = Adjudicator::holding([107, 105]);
    adjudicator.dispute(adjudicator.claim(4, [0, 200])).unwrap();
    assert_eq!(adjudicator.payouts(), [7, 205]);
}

/// Bob adds 50; from version 4 on the states rest on 150.
#[test]
fn a_top_up_counts_once_it_is_there() {
    let topped_up = |adjudicator: &Adjudicator| adjudicator.signed(4, [20, 230], [100, 150]);
    let mut before = Adjudicator::holding([100, 100]);
    let refused = before.dispute(Claim::State(topped_up(&before)));
    let error = InsufficientFunding {
        asset: AssetIdx::new(0),
        part: BOB,
        held: Amount::new(100),
        needed: Amount::new(150),
    };
    assert_eq!(refused, Err(DisputeError::InsufficientFunding(error)));
    before.dispute(before.claim(3, [20, 180])).unwrap();
    assert_eq!(before.payouts(), [20, 180]);

    let mut after = Adjudicator::holding([100, 150]);
    after.dispute(after.claim(3, [20, 180])).unwrap();
    assert_eq!(after.payouts(), [20, 230], "the top-up is Bob's surplus");
    after.dispute(Claim::State(topped_up(&after))).unwrap();
    assert_eq!(after.payouts(), [20, 230]);
}

#[test]
fn locked_amounts_cannot_be_enforced_yet() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    let allocation = Allocation {
        balances: table(2, &[90, 100]),
        locked: vec![sub(LockedKind::Sub, 0x51, &[10], &[0, 1])],
    };
    let (channel, funding) = (adjudicator.params.id(), table(2, &[100, 100]));
    let locking = State::from_parts(channel, Version::new(1), allocation, funding, vec![], false);
    let locking = sign(&adjudicator.params, locking.unwrap());
    let refused = adjudicator.dispute(Claim::State(locking));
    assert_eq!(refused, Err(DisputeError::LockedUnsupported));
}

#[test]
fn the_first_place_that_is_short_is_named() {
    let held = table(3, &[5, 5, 5, 5, 4, 0]);
    let funding = table(3, &[5; 6]);
    let error = covered(&held, &funding).unwrap_err();
    assert_eq!((error.asset, error.part), (AssetIdx::new(1), BOB));
    assert_eq!((error.held, error.needed), (Amount::new(4), Amount::new(5)));
    assert_eq!(covered(&funding, &funding), Ok(()));
    assert_eq!(covered(&funding, &held), Ok(()));
}

/// A table of another shape has nothing where the state wants something.
#[test]
fn a_smaller_table_covers_no_larger_state() {
    let (small, large) = (table(2, &[9, 9]), table(3, &[1, 1, 1]));
    let error = covered(&small, &large).unwrap_err();
    assert_eq!((error.held, error.needed), (Amount::ZERO, Amount::new(1)));
    let params = params(1, 3);
    let state = State::new(params.id(), Version::INITIAL, large.clone(), large);
    assert_eq!(outcome(Some(&state.unwrap()), &small), small);
}

/// The end of time is late enough for everybody.
#[test]
fn a_window_at_the_end_of_time_does_not_wrap() {
    let mut adjudicator = Adjudicator::holding([100, 100]);
    adjudicator.now = Timestamp::from_nanos(u64::MAX - 5);
    let registration = adjudicator.dispute(adjudicator.claim(1, [0, 200])).unwrap();
    assert_eq!(registration.timeout.nanos(), u64::MAX);
    assert_eq!(hour().nanos(), HOUR_NS);
}

#[test]
fn refusals_say_what_they_found() {
    let outdated = DisputeError::Outdated {
        registered: version(5),
        submitted: Rank::Refund,
    };
    let said = [
        (
            outdated,
            "version 5 is registered, a refund claim is not newer",
        ),
        (
            DisputeError::ChallengeElapsed {
                at: Timestamp::from_nanos(12),
            },
            "the time to refute ended at 12 ns",
        ),
        (
            DisputeError::LockedUnsupported,
            "states with locked amounts cannot be enforced yet",
        ),
    ];
    for (error, text) in said {
        assert_eq!(error.to_string(), text);
    }
}
