//! Every refusal, with the numbers that the reader of the error will want.

mod world;

use candid::Principal;
use icrc_ledger_types::icrc1::account::Account;
use perun_canister_api::{
    Asset, ChannelRequest, ConcludeError, DepositAccount, DepositAccountError,
    DepositAccountRequest, DepositError, DepositReceipt, DepositRequest, DepositSource,
    DisputeError, EventsError, EventsPage, EventsRequest, HoldingsAnswer, LedgerRefusal,
    ParamsError, QueryError, WithdrawError, convert,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{
    Allocation, Amount, ChallengeDuration, ChannelId, ChannelKind, LockedKind, Nonce, Params,
    Participant, PublicKey, SecretKey, State, SubAllocation, Version,
};
use serde_bytes::ByteBuf;
use world::{
    ALICE, BOB, CHALLENGE_S, FEE, TestChannel, WEALTH, World, asset_id, dispute_with, key, table,
    user,
};

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
    let anonymous: Result<DepositReceipt, _> = world.call_as(
        Principal::anonymous(),
        "deposit",
        channel.by_approval(0, ALICE, 100),
    );
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
    let thief = world.call_as::<_, Result<DepositReceipt, _>>(
        user(2),
        "deposit",
        channel.by_approval(0, ALICE, 100),
    );
    let refusal = LedgerRefusal::InsufficientAllowance { allowance: 0 };
    assert_eq!(thief, Err(DepositError::Refused(refusal)));
    assert_eq!(world.balance(0, Account::from(user(1))), WEALTH - FEE);
}

#[test]
fn a_deposit_sent_again_is_not_pulled_twice() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(0), 1_000);
    let once = DepositRequest {
        source: DepositSource::Approval {
            from_subaccount: None,
            amount: 100,
            expected_holding: Some(0),
        },
        ..channel.by_approval(0, ALICE, 100)
    };
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
        let told: Result<DepositAccount, _> = world.ask("deposit_account", request);
        assert_eq!(told, Err(error));
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
fn a_claim_needs_a_channel_with_money() {
    let mut world = World::new();
    let channel = world.channel(1);
    let unknown = Err(DisputeError::UnknownChannel);
    assert_eq!(
        world.dispute(channel.disputing(0, &[1, 1], &[1, 1])),
        unknown
    );
    assert_eq!(world.dispute(channel.refund_claim(ALICE)), unknown);
    let refused = world.conclude(channel.concluding_elapsed());
    assert_eq!(
        refused,
        Err(ConcludeError::Refused(DisputeError::UnknownChannel))
    );
    let refused = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
    assert_eq!(refused, Err(WithdrawError::UnknownChannel));
}

#[test]
fn a_claim_needs_every_signature() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let signed = channel.signed(1, &[0, 200], &[100, 100]).encode();
    let first_signature = signed.len() - 128;

    let mut refuse = |bytes: Vec<u8>, error: DisputeError| {
        let claim = perun_canister_api::Claim::State(ByteBuf::from(bytes));
        let request = perun_canister_api::DisputeRequest { claim };
        assert_eq!(world.dispute(request), Err(error));
    };
    for part in [0, 1] {
        let mut flipped = signed.clone();
        flipped[first_signature + usize::from(part) * 64 + 63] ^= 1;
        refuse(flipped, DisputeError::WrongSignature { part });
    }
    let mut one = signed[..first_signature + 64].to_vec();
    one[first_signature - 1] = 1;
    refuse(
        one,
        DisputeError::SignatureCount {
            expected: 2,
            found: 1,
        },
    );
    refuse(
        signed[..signed.len() - 1].to_vec(),
        DisputeError::Malformed {
            reason: format!(
                "the bytes end at offset {}, where more are needed",
                signed.len() - 1
            ),
        },
    );

    let three = world.channel_of(1, 3, 1);
    let of_three = TestChannel {
        params: channel.params.clone(),
        keys: three.keys,
    };
    let state = State::new(
        channel.id(),
        Version::new(1),
        table(3, &[0, 0, 200]),
        table(3, &[100, 100, 0]),
    );
    let mut wrong_shape = state.unwrap().encode();
    wrong_shape.push(3);
    let digest = perun_protocol::encoding::digest(
        perun_protocol::encoding::Domain::State,
        &wrong_shape[..wrong_shape.len() - 1],
    );
    for key in &of_three.keys {
        use perun_protocol::Signer as _;
        wrong_shape.extend(key.sign(&digest).as_bytes());
    }
    let claim = perun_canister_api::Claim::State(ByteBuf::from(wrong_shape));
    let refused = world.dispute(perun_canister_api::DisputeRequest { claim });
    assert_eq!(refused, Err(DisputeError::WrongShape));
}

#[test]
fn a_refund_claim_is_its_participants_own() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let forged = TestChannel {
        params: channel.params.clone(),
        keys: vec![key(9), key(10)],
    };
    let claim = perun_protocol::RefundClaim {
        channel: channel.id(),
        part: perun_protocol::PartIdx::new(0),
    };
    let signature = claim.sign(&forged.keys[0]);
    let request = |part, signature: &[u8], channel: &[u8]| perun_canister_api::DisputeRequest {
        claim: perun_canister_api::Claim::Refund {
            channel: ByteBuf::from(channel),
            part,
            signature: ByteBuf::from(signature),
        },
    };
    let id = *channel.id().as_bytes();
    let refused = world.dispute(request(0, signature.as_bytes(), &id));
    assert_eq!(refused, Err(DisputeError::WrongSignature { part: 0 }));
    let refused = world.dispute(request(7, signature.as_bytes(), &id));
    assert_eq!(refused, Err(DisputeError::WrongSignature { part: 7 }));
    let reason = "a signature has 64 bytes, not 63".to_owned();
    let refused = world.dispute(request(0, &signature.as_bytes()[1..], &id));
    assert_eq!(refused, Err(DisputeError::Malformed { reason }));
    let reason = "a channel id has 32 bytes, not 1".to_owned();
    let refused = world.dispute(request(0, signature.as_bytes(), &[1]));
    assert_eq!(refused, Err(DisputeError::Malformed { reason }));
}

#[test]
fn a_state_beyond_the_deposits_is_refused() {
    let mut world = World::new();
    let channel = world.funded(1, [242, 100]);
    let refused = world.dispute(channel.disputing(1, &[0, 436], &[242, 194]));
    let short = DisputeError::InsufficientFunding {
        asset: 0,
        part: 1,
        held: 100,
        needed: 194,
    };
    assert_eq!(refused, Err(short.clone()));
    let refused = world.conclude(channel.concluding(1, &[0, 436], &[242, 194]));
    assert_eq!(refused, Err(ConcludeError::Refused(short)));
    assert_eq!(world.registered(&channel), None);
}

#[test]
fn locked_amounts_are_not_supported_yet() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let locked = SubAllocation {
        kind: LockedKind::Sub,
        id: ChannelId::from_bytes([5; 32]),
        amounts: vec![Amount::new(50)],
        index_map: vec![],
    };
    let allocation = Allocation {
        balances: table(2, &[100, 50]),
        locked: vec![locked],
    };
    let state = State::from_parts(
        channel.id(),
        Version::new(1),
        allocation,
        table(2, &[100, 100]),
        vec![],
        false,
    );
    let refused = world.dispute(dispute_with(&channel.sign(&state.unwrap())));
    assert_eq!(refused, Err(DisputeError::LockedUnsupported));
}

#[test]
fn only_final_states_of_the_channel_conclude_it() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let other = world.funded(2, [100, 100]);
    let not_final = channel.signed(1, &[0, 200], &[100, 100]);
    let refused = world.conclude(channel.concluding_with(&not_final));
    assert_eq!(refused, Err(ConcludeError::NotFinal));
    let final_of_other = other.sign(&other.state(1, &[0, 200], &[100, 100]).finalized());
    let refused = world.conclude(channel.concluding_with(&final_of_other));
    assert_eq!(refused, Err(ConcludeError::WrongChannel));
}

#[test]
fn a_withdrawal_goes_where_it_was_signed_for() {
    let mut world = World::with_ledgers(2);
    let channel = world.channel_of(1, 2, 2);
    for (asset, part) in [(0, ALICE), (0, BOB), (1, ALICE), (1, BOB)] {
        world.deposit_approved(&channel, asset, part, 100);
    }
    let other = world.funded(2, [100, 100]);
    world
        .conclude(channel.concluding(1, &[100; 4], &[100; 4]))
        .unwrap();
    world
        .conclude(other.concluding(1, &[100; 2], &[100; 2]))
        .unwrap();
    let good = channel.withdrawing(0, ALICE, user(10));

    let wrong = Err(WithdrawError::WrongSignature);
    let mut redirected = good.clone();
    redirected.receiver = Account::from(user(66));
    assert_eq!(world.withdraw(redirected), wrong);
    let mut other_subaccount = good.clone();
    other_subaccount.receiver.subaccount = Some([1; 32]);
    assert_eq!(world.withdraw(other_subaccount), wrong);
    let mut for_other_channel = good.clone();
    for_other_channel.channel = other.id_bytes();
    assert_eq!(world.withdraw(for_other_channel), wrong);
    let mut for_other_part = good.clone();
    for_other_part.part = BOB as u8;
    assert_eq!(world.withdraw(for_other_part), wrong);
    let mut for_other_asset = good.clone();
    for_other_asset.asset = channel.asset(1);
    assert_eq!(world.withdraw(for_other_asset), wrong);

    // Replayed, it finds nothing more.
    world.withdraw(good.clone()).unwrap();
    assert_eq!(world.withdraw(good), Err(WithdrawError::NothingToWithdraw));
    assert_eq!(world.balance(0, Account::from(user(10))), 100 - FEE);
}

#[test]
fn a_withdrawal_has_its_form() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .conclude(channel.concluding(1, &[100; 2], &[100; 2]))
        .unwrap();
    let good = channel.withdrawing(0, ALICE, user(10));
    let mut short_signature = good.clone();
    short_signature.signature = ByteBuf::from([0; 63]);
    let reason = "a signature has 64 bytes, not 63".to_owned();
    assert_eq!(
        world.withdraw(short_signature),
        Err(WithdrawError::Malformed { reason })
    );
    let mut nobody = good.clone();
    nobody.part = 2;
    let error = WithdrawError::UnknownPart {
        part: 2,
        participants: 2,
    };
    assert_eq!(world.withdraw(nobody), Err(error));
    let mut unknown_asset = good;
    unknown_asset.asset = Asset::Icrc(user(1));
    assert_eq!(
        world.withdraw(unknown_asset),
        Err(WithdrawError::UnknownAsset)
    );
    let to_itself = channel.withdrawing(0, ALICE, world.adjudicator);
    assert_eq!(
        world.withdraw(to_itself),
        Err(WithdrawError::ReceiverIsAdjudicator)
    );
}

#[test]
fn a_remainder_not_above_the_fee_is_kept_and_named() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .conclude(channel.concluding(1, &[FEE, 200 - FEE], &[100, 100]))
        .unwrap();
    let refused = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
    assert_eq!(
        refused,
        Err(WithdrawError::BelowFee {
            remainder: FEE,
            fee: FEE
        })
    );
    assert_eq!(
        world.holdings(&channel).unwrap().amounts,
        [[FEE, 200 - FEE]]
    );
}

#[test]
fn questions_have_their_form() {
    let mut world = World::new();
    let request = ChannelRequest {
        channel: ByteBuf::from([0; 33]),
    };
    let answer: Result<HoldingsAnswer, QueryError> = world.ask("query_holdings", request);
    assert_eq!(answer, Err(QueryError::MalformedChannel { length: 33 }));
    let request = EventsRequest {
        channel: Some(ByteBuf::new()),
        start: 0,
        length: 1,
    };
    let answer: Result<EventsPage, EventsError> = world.ask("query_events", request);
    assert_eq!(answer, Err(EventsError::MalformedChannel { length: 0 }));
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
fn requests_are_bounded_before_they_are_decoded() {
    let mut world = World::new();
    let huge = vec![0; 20_000];
    let refused = world
        .ic
        .update(user(0), world.adjudicator, "dispute", huge.clone());
    assert!(refused.is_err(), "refused by inspect_message");
    let refused = world
        .ic
        .query(user(0), world.adjudicator, "query_events", huge);
    let message = refused.unwrap_err().message;
    assert!(
        message.contains("the request has 20000 bytes, at most 16384 are decoded"),
        "{message}"
    );
    let garbage = b"DIDL\x01\x6c\xff\xff\xff\xff\x0f".to_vec();
    let refused = world
        .ic
        .query(user(0), world.adjudicator, "query_events", garbage);
    let message = refused.unwrap_err().message;
    assert!(message.contains("the request does not decode"), "{message}");
}

#[test]
fn a_set_up_that_makes_no_sense_is_refused_at_install() {
    let mut world = World::new();
    let wasm = local_ic::canister_wasm("adjudicator").unwrap();
    let id = world.ic.create_canister(user(255));
    let args = perun_canister_api::InitArgs {
        ledgers: vec![],
        min_challenge_duration_s: 60,
        max_challenge_duration_s: 600,
    };
    let refused = world
        .ic
        .install(id, &wasm, candid::encode_one(args).unwrap());
    let message = refused.unwrap_err().message;
    assert!(
        message.contains("init argument: name 1 to 64 ledgers, not 0"),
        "{message}"
    );
    let narrower = perun_canister_api::UpgradeArgs {
        min_challenge_duration_s: Some(61),
        ..Default::default()
    };
    let message = world
        .upgrade_adjudicator(Some(narrower))
        .unwrap_err()
        .message;
    assert!(
        message.contains("upgrade argument: an upgrade may only shorten"),
        "{message}"
    );
    assert_eq!(
        world.info().min_challenge_duration_s,
        60,
        "everything is as it was"
    );
}

#[test]
fn a_key_that_is_no_point_can_never_lock_money() {
    // The same check by the protocol: x = 5 has no point.
    let mut bytes = [0; 33];
    (bytes[0], bytes[32]) = (2, 5);
    assert!(!PublicKey::from_bytes(bytes).unwrap().is_on_curve());
    assert!(SecretKey::from_bytes(&[0; 32]).is_none());
}
