//! Every combination of an order and a view, and what is wanted then.

use perun_protocol::{
    Account, Amount, AssetId, ChallengeDuration, Nonce, Params, PartIdx, Principal, SecretKey,
    Signer, State, UnverifiedSignedState, Version, WithdrawalAuth,
};

use super::*;
use crate::remote::order::End;

const US: PartIdx = PartIdx::new(1);
const TIMEOUT: Timestamp = Timestamp::from_nanos(1_000);
const BEFORE: Timestamp = Timestamp::from_nanos(999);

fn keys() -> [SecretKey; 2] {
    [1, 2].map(|number| SecretKey::from_bytes(&[number; 32]).unwrap())
}

fn canister(number: u8) -> Principal {
    Principal::from_slice(&[number]).unwrap()
}

fn params() -> Params {
    let participants = keys().iter().map(SecretKey::participant).collect();
    let assets = [1, 2].map(|number| AssetId::Icrc(canister(number)));
    let duration = ChallengeDuration::from_secs(60).unwrap();
    let nonce = Nonce::from_bytes([7; 32]);
    Params::new(nonce, participants, assets.to_vec(), duration, canister(9)).unwrap()
}

/// A table whose second column is ours.
fn ours(amounts: [u128; 2]) -> Balances {
    let [first, second] = amounts;
    let amounts = [10 - first, first, 10 - second, second];
    Balances::new(2, amounts.map(Amount::new).to_vec()).unwrap()
}

fn signed(version: u64, shares: [u128; 2], is_final: bool) -> SignedState {
    let params = params();
    let version = Version::new(version);
    let state = State::new(params.id(), version, ours(shares), ours([5, 5])).unwrap();
    let state = if is_final { state.finalized() } else { state };
    let digest = state.digest();
    let signatures = keys().iter().map(|key| key.sign(&digest)).collect();
    let unverified = UnverifiedSignedState { state, signatures };
    unverified.verify(&params).unwrap()
}

fn order(newest: SignedState, is_forced: bool) -> Order {
    let params = params();
    let auths = params.assets().iter().map(|asset| {
        let auth = WithdrawalAuth {
            channel: params.id(),
            asset: *asset,
            part: US,
            receiver: Account::of(canister(5)),
        };
        let signature = auth.sign(&keys()[US.index()]);
        auth.verify(&params, signature).unwrap()
    });
    Order {
        auths: auths.collect(),
        part: US,
        newest,
        is_forced,
        given_at: Timestamp::from_nanos(0),
        params,
    }
}

fn seen(at: Timestamp, status: Status) -> View {
    View { at, status }
}

fn open(at: Timestamp, holdings: Balances) -> View {
    seen(at, Status::Open { holdings })
}

fn registered(at: Timestamp, signed: Option<SignedState>) -> View {
    let rank = Rank::of(signed.as_ref().map(SignedState::state));
    let (timeout, holdings) = (TIMEOUT, ours([5, 5]));
    seen(
        at,
        Status::Registered {
            rank,
            signed,
            timeout,
            holdings,
        },
    )
}

fn concluded(remainders: [u128; 2], in_flight: [u128; 2]) -> View {
    seen(
        TIMEOUT,
        Status::Concluded {
            remainders: ours(remainders),
            in_flight: in_flight.map(Amount::new).to_vec(),
        },
    )
}

/// The authorisations of these assets.
fn withdrawing(order: &Order, assets: &[usize]) -> Wanted {
    let auths = assets.iter().map(|asset| order.auths[*asset]).collect();
    Wanted::Call(AdjudicatorCall::Withdraw(auths))
}

fn claiming(order: &Order) -> Wanted {
    let newest = Box::new(order.newest.clone());
    Wanted::Call(match newest.state().is_final() {
        true => AdjudicatorCall::ConcludeFinal(newest),
        false => AdjudicatorCall::Dispute(newest),
    })
}

const NOT_KEPT: [AssetIdx; 0] = [];
const BOTH: [bool; 2] = [false, true];

#[test]
fn an_open_channel_is_claimed_by_a_final_state_or_an_order_and_if_there_is_money() {
    let nothing = Balances::zero(2, 2).unwrap();
    for (is_final, is_forced, is_funded) in BOTH
        .iter()
        .flat_map(|one| BOTH.iter().map(move |two| (*one, *two)))
        .flat_map(|(one, two)| BOTH.iter().map(move |three| (one, two, *three)))
    {
        let order = order(signed(5, [3, 3], is_final), is_forced);
        let holdings = if is_funded {
            ours([5, 5])
        } else {
            nothing.clone()
        };
        let wanted = wanted(&order, &NOT_KEPT, &open(BEFORE, holdings), BEFORE);
        let expected = match is_funded && (is_final || is_forced) {
            true => claiming(&order),
            false => Wanted::Nothing,
        };
        assert_eq!(wanted, expected, "{is_final} {is_forced} {is_funded}");
    }
}

#[test]
fn a_channel_that_nobody_funds_is_forgotten_in_the_end() {
    let order = order(signed(0, [5, 5], false), false);
    let week = Timestamp::from_nanos(NEVER_FUNDED_NS);
    let just_before = Timestamp::from_nanos(NEVER_FUNDED_NS - 1);
    let nothing = || Balances::zero(2, 2).unwrap();
    let wanted = |view: View| wanted(&order, &NOT_KEPT, &view, week);
    assert_eq!(wanted(open(just_before, nothing())), Wanted::Nothing);
    assert_eq!(wanted(open(week, nothing())), Wanted::Forget);
    assert_eq!(wanted(open(week, ours([5, 5]))), Wanted::Nothing);
}

#[test]
fn what_is_older_is_refuted_until_the_adjudicator_is_seen_past_the_timeout() {
    for is_final in BOTH {
        for is_forced in BOTH {
            let order = order(signed(5, [3, 3], is_final), is_forced);
            for older in [
                None,
                Some(signed(0, [5, 5], false)),
                Some(signed(4, [9, 9], false)),
            ] {
                let view = registered(BEFORE, older.clone());
                for now in [BEFORE, TIMEOUT] {
                    let wanted = wanted(&order, &NOT_KEPT, &view, now);
                    assert_eq!(wanted, claiming(&order), "{older:?} at {now}");
                }
            }
        }
    }
}

#[test]
fn what_is_as_new_is_left_alone_until_the_timeout() {
    let order = order(signed(5, [3, 3], false), true);
    for same_or_newer in [signed(5, [3, 3], false), signed(6, [0, 1], false)] {
        let view = registered(BEFORE, Some(same_or_newer));
        assert_eq!(wanted(&order, &NOT_KEPT, &view, BEFORE), Wanted::Nothing);
    }
}

#[test]
fn after_the_timeout_what_stands_is_withdrawn() {
    let order = order(signed(5, [3, 3], false), false);
    let cases = [
        // Too late to refute: the old state pays.
        (Some(signed(4, [9, 0], false)), Some(&[0][..])),
        (Some(signed(5, [3, 3], false)), Some(&[0, 1][..])),
        (Some(signed(6, [0, 1], false)), Some(&[1][..])),
        (Some(signed(6, [0, 0], false)), None),
        // A refund claim gives the deposits back.
        (None, Some(&[0, 1][..])),
    ];
    for (standing, assets) in cases {
        let view = registered(TIMEOUT, standing.clone());
        let expected = match assets {
            Some(assets) => withdrawing(&order, assets),
            None => Wanted::Call(AdjudicatorCall::Conclude),
        };
        let wanted = wanted(&order, &NOT_KEPT, &view, TIMEOUT);
        assert_eq!(wanted, expected, "{standing:?}");
    }
}

#[test]
fn what_is_ours_in_a_concluded_channel_is_withdrawn_unless_it_is_too_small() {
    let order = order(signed(5, [3, 3], false), true);
    for (remainders, kept) in [[0, 0], [0, 2], [2, 0], [2, 2]]
        .into_iter()
        .flat_map(|remainders| BOTH.map(|one| (remainders, one)))
        .flat_map(|(remainders, one)| BOTH.map(|two| (remainders, [one, two])))
    {
        for in_flight in [[0, 0], [0, 1], [1, 0]] {
            let view = concluded(remainders, in_flight);
            let due = [0, 1].into_iter();
            let due: Vec<_> = due
                .filter(|asset| remainders[*asset] > 0 && !kept[*asset])
                .collect();
            let expected = if !due.is_empty() {
                withdrawing(&order, &due)
            } else if in_flight != [0, 0] {
                Wanted::Call(AdjudicatorCall::Observe)
            } else {
                Wanted::Over
            };
            let kept = [0, 1].into_iter().filter(|asset| kept[usize::from(*asset)]);
            let kept: Vec<_> = kept.map(AssetIdx::new).collect();
            let wanted = wanted(&order, &kept, &view, TIMEOUT);
            assert_eq!(wanted, expected, "{remainders:?} {kept:?} {in_flight:?}");
        }
    }
}

#[test]
fn an_order_is_stored_and_read_back() {
    let order = order(signed(5, [3, 3], false), true);
    let end = |view, kept| Some(End { view, kept });
    let views = [
        concluded([0, 0], [0, 0]),
        registered(BEFORE, Some(signed(4, [1, 1], false))),
    ];
    let [paid, other] = views;
    for over in [None, end(paid, vec![]), end(other, vec![AssetIdx::new(1)])] {
        let bytes = order.encode(over.as_ref());
        assert_eq!(Order::decode(&bytes), Some((order.clone(), over)));
        assert_eq!(Order::decode(&bytes[1..]), None);
    }
    let mut forged = order.encode(None);
    let last = forged.len() - 1;
    for place in 0..last {
        forged[place] ^= 1;
        if let Some((read, _)) = Order::decode(&forged) {
            // What is signed is as it was.
            assert_eq!((&read.newest, &read.auths), (&order.newest, &order.auths));
        }
        forged[place] ^= 1;
    }
}
