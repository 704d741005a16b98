//! The shipped wasm and the protocol mean the same bytes: it is shown every vector that a caller
//! can show it (`protocol/tests/vectors`), at the canister ids that the vectors name.

mod world;

use candid::Principal;
use perun_canister_api::{
    Account, Asset, Claim, ConcludeRequest, DepositError, DepositRequest, DepositSource,
    DisputeError, DisputeRequest, ParamsError, WithdrawError, WithdrawRequest,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{Params, State};
use serde_bytes::ByteBuf;
use serde_json::Value;
use world::{TestChannel, World, key, user};

/// The adjudicator of nearly all vectors.
const ADJUDICATOR: Principal = numbered(0xad);

const fn numbered(number: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, number, 1, 1])
}

fn world() -> World {
    World::with_ids(ADJUDICATOR, (1..=8).map(numbered).collect())
}

fn vectors(file: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/vectors/");
    let text = std::fs::read_to_string(format!("{folder}{file}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn cases(vectors: &Value, list: &str) -> Vec<Value> {
    let cases = vectors[list].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn bytes(value: &Value) -> Vec<u8> {
    let hex = value.as_str().unwrap().as_bytes();
    let digits = hex
        .iter()
        .map(|&digit| (digit as char).to_digit(16).unwrap() as u8);
    let digits: Vec<_> = digits.collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

/// The channel of a case, if it can exist here.
fn channel_of(params: &Value) -> Option<TestChannel> {
    let params = Params::decode(&bytes(params)).unwrap();
    let is_ours = params.adjudicator().as_slice() == ADJUDICATOR.as_slice();
    is_ours.then_some(TestChannel {
        params,
        keys: vec![],
    })
}

/// Deposits enough for every state in the vectors.
fn fund(world: &mut World, channel: &TestChannel) {
    for asset in 0..channel.params.assets().len() {
        for part in 0..channel.params.participants().len() {
            world.deposit_approved(channel, asset, part, 2_000);
        }
    }
}

#[test]
fn params_decode_as_the_vectors_say() {
    let mut world = world();
    world.approve(0, user(0), 1_000);
    let vectors = vectors("params");
    let deposit = |params: Vec<u8>| DepositRequest {
        params: ByteBuf::from(params),
        part: 255,
        asset: Asset::Icrc(numbered(1)),
        source: DepositSource::DepositAccount,
    };
    for case in cases(&vectors, "good") {
        let refused = world.deposit(deposit(bytes(&case["bytes"]))).unwrap_err();
        let understood = matches!(
            refused,
            DepositError::UnknownPart { part: 255, .. }
                | DepositError::InvalidParams(
                    ParamsError::WrongAdjudicator
                        | ParamsError::NotALedgerChannel
                        | ParamsError::ChallengeDuration { .. }
                )
        );
        assert!(understood, "{}: {refused:?}", name(&case));
    }
    for case in cases(&vectors, "bad") {
        let mut request = deposit(bytes(&case["bytes"]));
        // Keys are looked at when everything else is in order, and there is money.
        request.part = 0;
        request.source = DepositSource::Approval {
            from_subaccount: None,
            amount: 1,
            expected_holding: None,
        };
        let refused = world.deposit(request).unwrap_err();
        let index = case["error"]["index"].as_u64().map(|index| index as u8);
        let count = case["error"]["count"].as_u64();
        let expected = match case["error"]["name"].as_str().unwrap() {
            "Params.ParticipantCount" => ParamsError::ParticipantCount {
                count: count.unwrap(),
            },
            "Params.AssetCount" => ParamsError::AssetCount {
                count: count.unwrap(),
            },
            "Params.DuplicateParticipant" => ParamsError::DuplicateParticipant {
                index: index.unwrap(),
            },
            "Params.DuplicateAsset" => ParamsError::DuplicateAsset {
                index: index.unwrap(),
            },
            "Params.InvalidKey" => ParamsError::InvalidKey {
                index: index.unwrap(),
            },
            _ => {
                let reason = case["error"]["text"].as_str().unwrap().to_owned();
                assert_eq!(
                    refused,
                    DepositError::MalformedParams { reason },
                    "{}",
                    name(&case)
                );
                continue;
            }
        };
        assert_eq!(
            refused,
            DepositError::InvalidParams(expected),
            "{}",
            name(&case)
        );
    }
}

#[test]
fn signed_states_are_good_or_bad_as_the_vectors_say() {
    let vectors = vectors("signed_states");
    let mut seen = 0;
    for case in cases(&vectors, "good") {
        let Some(channel) = channel_of(&case["params"]) else {
            continue;
        };
        let mut world = world();
        fund(&mut world, &channel);
        let claim = Claim::State(ByteBuf::from(bytes(&case["bytes"])));
        let answer = world.dispute(DisputeRequest { claim });
        let state = State::decode(&bytes(&case["state"])).unwrap();
        if state.allocation().locked.is_empty() {
            let registered = answer.unwrap_or_else(|error| panic!("{}: {error:?}", name(&case)));
            assert_eq!(registered.concluded, state.is_final());
            let shown = registered.signed_state.unwrap().into_vec();
            assert_eq!(shown, bytes(&case["bytes"]), "{}", name(&case));
        } else {
            assert_eq!(answer, Err(DisputeError::LockedUnsupported));
        }
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} vectors fit this adjudicator");
}

#[test]
fn bad_signed_states_are_refused_as_the_vectors_say() {
    let vectors = vectors("signed_states");
    let mut world = world();
    for case in cases(&vectors, "bad") {
        if case["stage"] == "verify" {
            let Some(channel) = channel_of(&case["params"]) else {
                continue;
            };
            if channel.params.check_keys().is_err() {
                // No money can come for such a channel, so there is nothing to dispute about.
                continue;
            }
            if world.holdings(&channel).is_none() {
                fund(&mut world, &channel);
            }
        }
        let claim = Claim::State(ByteBuf::from(bytes(&case["bytes"])));
        let refused = world.dispute(DisputeRequest { claim }).unwrap_err();
        let error = &case["error"];
        let number = |field: &str| error[field].as_u64().unwrap();
        let expected = match error["name"].as_str().unwrap() {
            "SignedState.WrongChannel" => DisputeError::UnknownChannel,
            "SignedState.WrongShape" => DisputeError::WrongShape,
            "SignedState.SignatureCount" => DisputeError::SignatureCount {
                expected: number("expected"),
                found: number("found"),
            },
            "SignedState.WrongSignature" => DisputeError::WrongSignature {
                part: number("part") as u8,
            },
            _ => DisputeError::Malformed {
                reason: error["text"].as_str().unwrap().to_owned(),
            },
        };
        assert_eq!(refused, expected, "{}", name(&case));
    }
}

#[test]
fn withdrawals_are_good_or_bad_as_the_vectors_say() {
    let vectors = vectors("withdrawals");
    for list in ["good", "bad"] {
        for case in cases(&vectors, list) {
            let is_shown = list == "good" || case["stage"] == "verify";
            let Some(channel) = is_shown.then(|| channel_of(&case["params"])).flatten() else {
                continue;
            };
            let auth = perun_protocol::WithdrawalAuth::decode(&bytes(&case["bytes"])).unwrap();
            let mut world = world();
            fund(&mut world, &channel);
            let parts = channel.params.participants().len();
            let signed = TestChannel {
                params: channel.params.clone(),
                // The vectors' secret keys are those of the tests: the number, 32 times.
                keys: (1..=parts).map(|number| key(number as u8)).collect(),
            };
            let everything = vec![2_000; parts * channel.params.assets().len()];
            let last = signed.concluding(1, &everything, &everything);
            let request = ConcludeRequest {
                channel: channel.id_bytes(),
                ..last
            };
            world.conclude(request).unwrap();
            let asset = perun_canister_api::convert::asset_to_candid(&auth.asset);
            let request = WithdrawRequest {
                channel: ByteBuf::from(auth.channel.as_bytes().as_slice()),
                asset,
                part: auth.part.number(),
                receiver: perun_canister_api::convert::account_to_candid(&auth.receiver),
                signature: ByteBuf::from(bytes(&case["signature"])),
            };
            let answer = world.withdraw(request.clone());
            if list == "good" {
                let receipt = answer.unwrap_or_else(|error| panic!("{}: {error:?}", name(&case)));
                let receiver: Account = request.receiver;
                let ledger = channel.params.asset_idx(&auth.asset).unwrap().index();
                assert_eq!(
                    world.balance(ledger, receiver),
                    receipt.paid,
                    "{}",
                    name(&case)
                );
            } else {
                let refused = matches!(
                    answer,
                    Err(WithdrawError::WrongSignature
                        | WithdrawError::UnknownPart { .. }
                        | WithdrawError::UnknownChannel
                        | WithdrawError::UnknownAsset)
                );
                assert!(refused, "{}: {answer:?}", name(&case));
            }
        }
    }
}

#[test]
fn refund_claims_are_good_or_bad_as_the_vectors_say() {
    let vectors = vectors("refunds");
    for list in ["good", "bad"] {
        for case in cases(&vectors, list) {
            let is_shown = list == "good" || case["stage"] == "verify";
            let Some(channel) = is_shown.then(|| channel_of(&case["params"])).flatten() else {
                continue;
            };
            let claim = perun_protocol::RefundClaim::decode(&bytes(&case["bytes"])).unwrap();
            let mut world = world();
            fund(&mut world, &channel);
            let request = DisputeRequest {
                claim: Claim::Refund {
                    channel: ByteBuf::from(claim.channel.as_bytes().as_slice()),
                    part: claim.part.number(),
                    signature: ByteBuf::from(bytes(&case["signature"])),
                },
            };
            let answer = world.dispute(request);
            match list {
                "good" => assert!(answer.is_ok(), "{}: {answer:?}", name(&case)),
                _ => assert!(
                    matches!(
                        answer,
                        Err(DisputeError::WrongSignature { .. } | DisputeError::UnknownChannel)
                    ),
                    "{}: {answer:?}",
                    name(&case)
                ),
            }
        }
    }
}

#[test]
fn the_adjudicators_accounts_are_those_of_the_vectors() {
    let mut world = world();
    let mut seen = 0;
    for case in cases(&vectors("accounts"), "good") {
        if case["adjudicator"]
            .as_str()
            .map(|_| bytes(&case["adjudicator"]))
            != Some(ADJUDICATOR.as_slice().to_vec())
        {
            continue;
        }
        let Some(part) = case["part"].as_u64() else {
            continue;
        };
        let request = perun_canister_api::DepositAccountRequest {
            channel: ByteBuf::from(bytes(&case["channel"])),
            part: part as u8,
            asset: Asset::Icrc(numbered(1)),
            share: 1,
        };
        let told: Result<perun_canister_api::DepositAccount, _> =
            world.ask::<_, Result<_, perun_canister_api::DepositAccountError>>(
                "deposit_account",
                request,
            );
        let subaccount = bytes(&case["value"]["subaccount"]);
        assert_eq!(
            told.unwrap().account.subaccount.unwrap().to_vec(),
            subaccount
        );
        seen += 1;
    }
    assert!(seen > 0);
}
