//! Refusals of deposits, with the numbers that the reader of the error will want.

use crate::world::{ALICE, CHALLENGE_S, FEE, WEALTH, World, asset_id, key, user};
use candid::Principal;
use icrc_ledger_types::icrc1::account::Account;
use perun_canister_api::{
    Asset, DepositAccountError, DepositAccountRequest, DepositError, DepositRequest, LedgerRefusal,
    ParamsError, convert,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{ChallengeDuration, ChannelKind, Nonce, Params, Participant};
use serde_bytes::ByteBuf;

fn params_of(world: &World, participants: Vec<Participant>) -> Params {
    Params::new(
        Nonce::from_bytes([1; 32]),
        participants,
        world.ledgers.iter().map(asset_id).collect(),
        ChallengeDuration::from_secs(CHALLENGE_S).unwrap(),
        convert::principal(world.adjudicator).unwrap(),
    )
    .unwrap()
}

fn with_params(world: &World, params: Vec<u8>) -> DepositRequest {
    DepositRequest {
        params: ByteBuf::from(params),
        ..world.channel(1).by_approval(0, ALICE, 100)
    }
}

#[test]
fn params_that_break_a_rule_are_named() {
    let mut world = World::new();
    // Keys are looked at when there is money for them.
    world.approve(0, user(0), 1_000);
    let channel = world.channel(1);
    let good = channel.params.encode();
    let mut refuse = |params: Vec<u8>, error: ParamsError| {
        let request = with_params(&world, params);
        assert_eq!(
            world.deposit(request),
            Err(DepositError::InvalidParams(error))
        );
    };

    // Alice twice: her deposit would count twice. The second key begins behind the first.
    let mut twice = good.clone();
    let (first, second) = (33..67, 67..101);
    twice.copy_within(first, second.start);
    refuse(twice, ParamsError::DuplicateParticipant { index: 1 });

    let mut alone = good.clone();
    alone.drain(second.clone());
    alone[32] = 1;
    refuse(alone, ParamsError::ParticipantCount { count: 1 });

    let mut off_curve = good.clone();
    off_curve[second.start + 2..second.end].fill(0);
    off_curve[second.end - 1] = 5;
    refuse(off_curve, ParamsError::InvalidKey { index: 1 });
}

#[test]
fn params_beyond_this_adjudicators_bounds_are_named() {
    let mut world = World::new();
    let participants: Vec<_> = [1, 2].map(|number| key(number).participant()).into();
    let good = params_of(&world, participants.clone());
    let make = |assets, duration_s, adjudicator: Principal| {
        Params::new(
            good.nonce(),
            participants.clone(),
            assets,
            ChallengeDuration::from_secs(duration_s).unwrap(),
            convert::principal(adjudicator).unwrap(),
        )
        .unwrap()
    };
    let assets = good.assets().to_vec();
    let stranger = asset_id(&user(77));
    let me = world.adjudicator;
    let bounds = |given_s| ParamsError::ChallengeDuration {
        given_s,
        min_s: 60,
        max_s: 86_400,
    };
    let cases = [
        (make(assets.clone(), 59, me), bounds(59)),
        (make(assets.clone(), 86_401, me), bounds(86_401)),
        (
            make(assets.clone(), 600, user(3)),
            ParamsError::WrongAdjudicator,
        ),
        (
            make(vec![assets[0], stranger], 600, me),
            ParamsError::LedgerNotServed { index: 1 },
        ),
        (
            good.clone().with_kind(ChannelKind::Virtual),
            ParamsError::NotALedgerChannel,
        ),
        (
            good.clone().with_kind(ChannelKind::Sub),
            ParamsError::NotALedgerChannel,
        ),
    ];
    for (params, error) in cases {
        let request = with_params(&world, params.encode());
        assert_eq!(
            world.deposit(request),
            Err(DepositError::InvalidParams(error))
        );
    }
    assert_eq!(
        world.info().channels,
        0,
        "refused channels leave nothing behind"
    );
}

#[test]
fn bytes_that_are_no_params_are_refused() {
    let mut world = World::new();
    let good = world.channel(1).params.encode();
    for length in 0..good.len() {
        let request = with_params(&world, good[..length].to_vec());
        let refused = world.deposit(request);
        assert!(
            matches!(refused, Err(DepositError::MalformedParams { .. })),
            "{refused:?}"
        );
    }
    let longer = with_params(&world, [good, vec![0]].concat());
    let refused = world.deposit(longer);
    let Err(DepositError::MalformedParams { reason }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(reason, "1 bytes follow the value");
}

#[test]
fn a_challenge_duration_is_within_the_bounds_of_the_set_up() {
    let mut world = World::new();
    for given_s in [1, 59, 60, 61, 86_399, 86_400, 86_401] {
        let params = Params::new(
            Nonce::from_bytes([1; 32]),
            [1, 2].map(|number| key(number).participant()).to_vec(),
            vec![asset_id(&world.ledgers[0])],
            ChallengeDuration::from_secs(given_s).unwrap(),
            convert::principal(world.adjudicator).unwrap(),
        );
        let refused = world.deposit(with_params(&world, params.unwrap().encode()));
        let expected = match (60..=86_400).contains(&given_s) {
            // Now it asks the ledger.
            true => DepositError::Refused(LedgerRefusal::InsufficientAllowance { allowance: 0 }),
            false => DepositError::InvalidParams(ParamsError::ChallengeDuration {
                given_s,
                min_s: 60,
                max_s: 86_400,
            }),
        };
        assert_eq!(refused, Err(expected), "{given_s} s");
    }
}

#[test]
fn a_deposit_has_a_place_and_an_amount() {
    let mut world = World::with_ledgers(2);
    let channel = world.channel(1);
    let nobody = world.deposit(channel.by_approval(0, 2, 100));
    assert_eq!(
        nobody,
        Err(DepositError::UnknownPart {
            part: 2,
            participants: 2
        })
    );
    let other = DepositRequest {
        asset: Asset::Icrc(world.ledgers[1]),
        ..channel.by_approval(0, ALICE, 100)
    };
    assert_eq!(world.deposit(other), Err(DepositError::UnknownAsset));
    let nothing = world.deposit(channel.by_approval(0, ALICE, 0));
    assert_eq!(nothing, Err(DepositError::NothingToDeposit));
    let by = Principal::anonymous();
    let anonymous = world.deposit_as(by, channel.by_approval(0, ALICE, 100));
    assert_eq!(anonymous, Err(DepositError::AnonymousCaller));
}

#[test]
fn what_the_ledger_refuses_is_passed_on() {
    let mut world = World::new();
    let channel = world.channel(1);
    let not_approved = world.deposit(channel.by_approval(0, ALICE, 100));
    let refusal = LedgerRefusal::InsufficientAllowance { allowance: 0 };
    assert_eq!(not_approved, Err(DepositError::Refused(refusal)));
    world.approve(0, user(0), 10 * WEALTH);
    let too_much = world.deposit(channel.by_approval(0, ALICE, 2 * WEALTH));
    let balance = WEALTH - FEE;
    let refusal = LedgerRefusal::InsufficientFunds { balance };
    assert_eq!(too_much, Err(DepositError::Refused(refusal)));
    assert_eq!(world.holdings(&channel), None, "nothing was stored");
    assert_eq!(world.info().journal, 0);
}

#[test]
fn the_approval_of_a_third_party_cannot_be_pulled() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(1), 1_000);
    let thief = world.deposit_as(user(2), channel.by_approval(0, ALICE, 100));
    let refusal = LedgerRefusal::InsufficientAllowance { allowance: 0 };
    assert_eq!(thief, Err(DepositError::Refused(refusal)));
    assert_eq!(world.balance(0, Account::from(user(1))), WEALTH - FEE);
}

#[test]
fn a_deposit_sent_again_is_not_pulled_twice() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(0), 1_000);
    let once = channel.by_approval_once(0, ALICE, 100);
    assert_eq!(world.deposit(once.clone()).unwrap().holding, 100);
    let again = world.deposit(once);
    assert_eq!(again, Err(DepositError::UnexpectedHolding { holding: 100 }));
    assert_eq!(world.funds(&channel, 0), 100);
}

#[test]
fn an_empty_deposit_account_is_not_swept() {
    let mut world = World::new();
    let channel = world.channel(1);
    let refused = world.deposit(channel.by_account(0, ALICE));
    assert_eq!(
        refused,
        Err(DepositError::BelowFee {
            balance: 0,
            fee: FEE
        })
    );
    let account = convert::account_to_candid(&channel.deposit_account(ALICE));
    world.transfer(0, user(0), account, FEE);
    let refused = world.deposit(channel.by_account(0, ALICE));
    assert_eq!(
        refused,
        Err(DepositError::BelowFee {
            balance: FEE,
            fee: FEE
        })
    );
    // Nothing is lost: a little more, and all of it counts.
    world.transfer(0, user(0), account, 1);
    assert_eq!(
        world
            .deposit(channel.by_account(0, ALICE))
            .unwrap()
            .credited,
        1
    );
}

#[test]
fn approvals_are_no_longer_pulled_once_a_claim_is_registered() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world.dispute(channel.refund_claim(ALICE)).unwrap();
    world.approve(0, user(0), 1_000);
    let refused = world.deposit(channel.by_approval(0, ALICE, 100));
    assert_eq!(refused, Err(DepositError::AlreadyRegistered));
}

#[test]
fn a_deposit_account_is_told_for_what_can_exist() {
    let mut world = World::new();
    let channel = world.channel(1);
    let good = DepositAccountRequest {
        channel: channel.id_bytes(),
        part: 0,
        asset: channel.asset(0),
        share: 1,
    };
    let mut refuse = |request, error| {
        assert_eq!(world.deposit_account(request), Err(error));
    };
    refuse(
        DepositAccountRequest {
            channel: ByteBuf::from([0; 31]),
            ..good.clone()
        },
        DepositAccountError::MalformedChannel { length: 31 },
    );
    refuse(
        DepositAccountRequest {
            part: 16,
            ..good.clone()
        },
        DepositAccountError::UnknownPart { part: 16 },
    );
    refuse(
        DepositAccountRequest {
            asset: Asset::Icrc(user(3)),
            ..good.clone()
        },
        DepositAccountError::LedgerNotServed,
    );
    refuse(
        DepositAccountRequest {
            share: u128::MAX,
            ..good
        },
        DepositAccountError::AmountOverflow,
    );
}

#[test]
fn amounts_beyond_128_bits_never_wrap() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world.approve(0, user(0), u128::MAX);
    // With the fee, and with what is held already.
    for amount in [u128::MAX, u128::MAX - 2 * FEE] {
        let refused = world.deposit(channel.by_approval(0, ALICE, amount));
        assert_eq!(refused, Err(DepositError::AmountOverflow));
    }
    assert_eq!(world.info().journal, 0);
}

#[test]
fn a_known_channel_has_only_its_own_deposit_accounts() {
    let mut world = World::with_ledgers(2);
    let channel = world.funded(1, [100, 100]);
    let mut ask = |part, ledger| {
        let request = DepositAccountRequest {
            channel: channel.id_bytes(),
            part,
            asset: Asset::Icrc(world.ledgers[ledger]),
            share: 1,
        };
        world.deposit_account(request)
    };
    assert!(ask(1, 0).is_ok());
    assert_eq!(ask(2, 0), Err(DepositAccountError::UnknownPart { part: 2 }));
    assert_eq!(ask(0, 1), Err(DepositAccountError::UnknownAsset));
}
