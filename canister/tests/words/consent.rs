//! What a person is asked to agree to, of every call and in every case.

use std::time::Duration;

use candid::{CandidType, Principal};
use icrc_ledger_types::icrc1::account::Account;
use icrc_ledger_types::icrc21::errors::Icrc21Error;
use icrc_ledger_types::icrc21::requests::DisplayMessageType;
use icrc_ledger_types::icrc21::responses::{ConsentMessage, Value};
use perun_canister::consent::supported_standards;
use perun_canister_api::{
    Asset, Claim, ConcludeRequest, DepositRequest, DepositSource, DisputeRequest,
};
use perun_protocol::encoding::Canonical as _;
use perun_protocol::{State, UnverifiedSignedState, Version};
use serde_bytes::ByteBuf;

use crate::assert_said;
use crate::rules::{
    ALICE, BOB, CHALLENGE_S, FEE, Strike, World, concluded, dispute_with, explaining, table, user,
};

/// All that was asked, as one text.
struct Asked<'a> {
    world: &'a World,
    text: String,
}

fn consent(
    world: &World,
    method: &str,
    argument: impl CandidType,
    device: Option<DisplayMessageType>,
) -> Result<ConsentMessage, Icrc21Error> {
    let request = explaining(method, candid::encode_one(argument).unwrap(), device);
    let info = world.read(|adjudicator, now| adjudicator.consent(&request, now))?;
    assert_eq!(info.metadata.language, "en");
    assert_eq!(info.metadata.utc_offset_minutes, None);
    Ok(info.consent_message)
}

impl Asked<'_> {
    fn ask(&mut self, case: &str, method: &str, argument: impl CandidType) {
        let said = match consent(self.world, method, argument, None) {
            Ok(ConsentMessage::GenericDisplayMessage(text)) => text,
            Ok(other) => panic!("{other:?}"),
            Err(Icrc21Error::UnsupportedCanisterCall(why)) => {
                format!("unsupported: {}", why.description)
            }
            Err(Icrc21Error::ConsentMessageUnavailable(why)) => {
                format!("unavailable: {}", why.description)
            }
            Err(other) => panic!("{other:?}"),
        };
        self.text += &format!("<!-- {method}: {case} -->\n\n{said}\n\n");
    }
}

#[test]
fn every_call_is_explained_as_it_is_written_here() {
    let mut world = World::with_ledgers(2);
    let owing = concluded(&mut world);
    let unknown = world.channel(9);
    let [open, disputed] = [2, 3].map(|nonce| world.funded(nonce, [1, 100]));
    let ended = |version| dispute_with(&disputed.signed_final(version, &[1, 100], &[1, 100]));
    let state = |version| disputed.disputing(version, &[1, 100], &[1, 100]);
    world.dispute(state(4)).unwrap();
    world.advance(Duration::from_secs(60));
    let refunded = world.funded(4, [100, 100]);
    world.dispute(refunded.refund_claim(BOB)).unwrap();
    let many = world.channel_of(5, 3, 2);
    let last = |version| open.concluding(version, &[0, 101], &[1, 100]);

    let mut asked = Asked {
        world: &world,
        text: String::new(),
    };
    let by = |source| DepositRequest {
        source,
        ..open.by_approval(0, ALICE, 1)
    };
    let approval = |from_subaccount, amount| DepositSource::Approval {
        from_subaccount,
        amount,
        expected_holding: None,
    };
    asked.ask("by approval", "deposit", by(approval(None, 100)));
    asked.ask("of a subaccount", "deposit", by(approval(Some([7; 32]), 1)));
    asked.ask("by account, for a third", "deposit", many.by_account(1, 2));
    asked.ask("of nothing", "deposit", by(approval(None, 0)));
    asked.ask("once more", "deposit", open.by_approval_once(0, BOB, 5));
    asked.ask(
        "late, by approval",
        "deposit",
        disputed.by_approval(0, ALICE, 1),
    );
    asked.ask("late, by account", "deposit", disputed.by_account(0, ALICE));
    let garbage = DepositRequest {
        params: ByteBuf::from([1]),
        ..open.by_account(0, ALICE)
    };
    asked.ask("no params", "deposit", garbage);
    let elsewhere = World::with_ids(user(77), world.ledgers.clone()).channel(1);
    asked.ask(
        "another adjudicator's",
        "deposit",
        elsewhere.by_account(0, ALICE),
    );
    asked.ask("no such participant", "deposit", open.by_account(0, 2));
    let other_asset = DepositRequest {
        asset: Asset::Icrc(world.ledgers[1]),
        ..open.by_account(0, ALICE)
    };
    asked.ask("no such asset", "deposit", other_asset);
    let no_ledger = DepositRequest {
        asset: Asset::Icrc(Principal::anonymous()),
        ..open.by_account(0, ALICE)
    };
    asked.ask("no ledger", "deposit", no_ledger);

    asked.ask(
        "nothing registered",
        "dispute",
        open.disputing(3, &[1, 100], &[1, 100]),
    );
    asked.ask("an open dispute", "dispute", state(5));
    asked.ask("by a final state", "dispute", ended(6));
    asked.ask("outdated", "dispute", state(4));
    asked.ask("a refund claim", "dispute", open.refund_claim(ALICE));
    asked.ask("not newer", "dispute", refunded.refund_claim(ALICE));
    let beyond = open.disputing(3, &[1, 101], &[1, 101]);
    asked.ask("beyond the deposits", "dispute", beyond);
    let mut signed = UnverifiedSignedState::from(open.signed(3, &[1, 100], &[1, 100]));
    let two_assets = table(2, &[1; 4]);
    let state_of_two = State::new(open.id(), Version::new(3), two_assets.clone(), two_assets);
    signed.state = state_of_two.unwrap();
    let claim = Claim::State(ByteBuf::from(signed.encode()));
    asked.ask("of another shape", "dispute", DisputeRequest { claim });
    let uncovered = open.disputing(0, &[30, 100], &[30, 100]);
    asked.ask("version 0, not covered", "dispute", uncovered);
    let mut nobody = open.refund_claim(ALICE);
    if let Claim::Refund { part, .. } = &mut nobody.claim {
        *part = 2;
    }
    asked.ask("of nobody", "dispute", nobody);
    asked.ask(
        "an unknown channel",
        "dispute",
        unknown.disputing(0, &[1, 1], &[1, 1]),
    );
    asked.ask(
        "no state",
        "dispute",
        DisputeRequest {
            claim: Claim::State(ByteBuf::from([9])),
        },
    );

    let claims = [
        open.refund_claim(ALICE),
        state(7),
        ended(8),
        state(3),
        unknown.refund_claim(BOB),
        owing.refund_claim(BOB),
        DisputeRequest {
            claim: Claim::State(ByteBuf::from([9])),
        },
    ];
    asked.ask("some", "dispute_many", claims.to_vec());
    asked.ask(
        "too many",
        "dispute_many",
        vec![refunded.refund_claim(ALICE); 101],
    );

    asked.ask("by a final state", "conclude", last(3));
    asked.ask("before the end", "conclude", disputed.concluding_elapsed());
    asked.ask("concluded", "conclude", owing.concluding_elapsed());
    asked.ask("not registered", "conclude", open.concluding_elapsed());
    asked.ask("unknown", "conclude", unknown.concluding_elapsed());
    asked.ask("late", "deposit", owing.by_account(0, ALICE));
    let outdated = disputed.concluding(3, &[1, 100], &[1, 100]);
    asked.ask("outdated", "conclude", outdated);
    let again = owing.concluding(1, &[100, 100], &[100, 100]);
    asked.ask("again", "conclude", again);
    let not_final = disputed.concluding_with(&disputed.signed(3, &[1, 100], &[1, 100]));
    asked.ask("not final", "conclude", not_final);
    let of_another = ConcludeRequest {
        channel: disputed.id_bytes(),
        ..last(3)
    };
    asked.ask("of another channel", "conclude", of_another);
    let short = ConcludeRequest {
        channel: ByteBuf::from([0; 31]),
        final_state: None,
    };
    asked.ask("no channel", "conclude", short);

    asked.ask(
        "concluded",
        "withdraw",
        owing.withdrawing(0, ALICE, user(9)),
    );
    let mut to_subaccount = disputed.withdrawing(0, BOB, user(9));
    to_subaccount.receiver = Account {
        owner: user(9),
        subaccount: Some([3; 32]),
    };
    asked.ask("not concluded", "withdraw", to_subaccount);
    let to_itself = owing.withdrawing(0, ALICE, world.adjudicator);
    asked.ask("to the adjudicator", "withdraw", to_itself);
    let mut nobody = owing.withdrawing(0, ALICE, user(9));
    nobody.part = 2;
    asked.ask("no such participant", "withdraw", nobody);
    asked.ask(
        "an unknown channel",
        "withdraw",
        unknown.withdrawing(0, ALICE, user(9)),
    );
    asked.ask("no such method", "info", ());
    let text = asked.text;

    // Less than a second before the end.
    let rest = Duration::from_secs(u64::from(CHALLENGE_S) - 60) - Duration::from_millis(300);
    world.advance(rest);
    let mut asked = Asked {
        world: &world,
        text,
    };
    asked.ask("just in time", "dispute", state(9));
    let text = asked.text;

    world.advance(Duration::from_secs(60));
    let payout = |part| owing.withdrawing(0, part, user(9));
    world.withdraw(payout(ALICE)).unwrap();
    world.strike(Strike::LoseReply);
    world.withdraw(payout(BOB)).unwrap_err();
    let mut asked = Asked {
        world: &world,
        text,
    };
    asked.ask("too late", "dispute", state(9));
    asked.ask(
        "after the window",
        "conclude",
        disputed.concluding_elapsed(),
    );
    asked.ask("on its way", "withdraw", payout(BOB));
    asked.ask("another's is on its way", "withdraw", payout(ALICE));
    let text = asked.text;

    world.advance(Duration::from_secs(40 * 86_400));
    // Whoever comes finishes what is over.
    world.mutate(|_, _| ());
    assert_eq!(world.info().channels, 3);
    let mut asked = Asked {
        world: &world,
        text,
    };
    asked.ask("paid out", "withdraw", payout(ALICE));
    let last = owing.concluding(1, &[100, 100], &[100, 100]);
    asked.ask("paid out", "conclude", last);
    asked.ask("paid out", "dispute", owing.refund_claim(ALICE));
    asked.ask("paid out, late", "deposit", owing.by_account(0, ALICE));
    assert_said("consent.md", &asked.text);
}

/// Also before a message has written down for how long nothing ran.
#[test]
fn a_gap_does_not_count_for_an_explanation_either() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let claim = |version| channel.disputing(version, &[50, 150], &[100, 100]);
    world.dispute(claim(1)).unwrap();
    world.stall(Duration::from_secs(2 * u64::from(CHALLENGE_S)));
    assert!(consent(&world, "dispute", claim(2), None).is_ok());
    world.dispute(claim(2)).unwrap();
}

#[test]
fn the_longest_batch_is_explained_claim_by_claim() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let claims = |count| vec![channel.refund_claim(ALICE); count];
    let text = match consent(&world, "dispute_many", claims(100), None) {
        Ok(ConsentMessage::GenericDisplayMessage(text)) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(text.matches("`a refund claim of channel 0x").count(), 100);
}

#[test]
fn a_message_never_repeats_words_of_the_request() {
    let world = World::new();
    let words = "**Amount:** 0";
    for (method, argument) in [(words, "nothing"), ("deposit", words)] {
        let refused = consent(&world, method, argument, None).unwrap_err();
        assert!(!format!("{refused:?}").contains(words), "{refused:?}");
    }
}

#[test]
fn a_device_with_fields_gets_them() {
    let world = World::new();
    let channel = world.channel(1);
    let fields = Some(DisplayMessageType::FieldsDisplay);
    let message = consent(&world, "deposit", channel.by_account(0, ALICE), fields).unwrap();
    let ConsentMessage::FieldsDisplayMessage(message) = message else {
        panic!("{message:?}");
    };
    assert_eq!(message.intent, "Deposit into a payment channel");
    let names: Vec<_> = message
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = [
        "Amount",
        "From",
        "Ledger of the token",
        "Ledger's fee",
        "Channel",
        "Channel, in full",
        "For",
        "Challenge duration",
        "What happens",
    ];
    assert_eq!(names, expected);
    let value = |name| {
        let mut fields = message.fields.iter();
        fields.find(|(given, _)| given == name).unwrap().1.clone()
    };
    let amount = u64::from(CHALLENGE_S);
    assert_eq!(
        value("Challenge duration"),
        Value::DurationSeconds { amount }
    );
    let fee = format!("{FEE} smallest units");
    assert_eq!(value("Ledger's fee"), Value::Text { content: fee });
    let Value::Text { content } = value("What happens") else {
        panic!("it is a text");
    };
    assert!(content.contains("locked in the channel"), "{content}");
}

#[test]
fn the_standards_kept_are_named() {
    let kept = supported_standards();
    let names: Vec<_> = kept.iter().map(|standard| standard.name.as_str()).collect();
    assert_eq!(names, ["ICRC-3", "ICRC-10", "ICRC-21"]);
    for standard in kept {
        assert!(standard.url.starts_with("https://"), "{standard:?}");
    }
}
