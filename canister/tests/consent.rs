//! What a signer shows before a call is signed (ICRC-21), asked of the shipped wasm.

mod world;

use candid::{CandidType, Principal};
use icrc_ledger_types::icrc21::errors::Icrc21Error;
use icrc_ledger_types::icrc21::requests::DisplayMessageType;
use icrc_ledger_types::icrc21::responses::{ConsentInfo, ConsentMessage, Value};
use perun_canister::batch::MAX_BATCH_BYTES;
use perun_canister::consent::{METHODS, SupportedStandard};
use perun_canister_api::{Asset, Claim, DisputeManyError, DisputeRequest, DisputeResult};
use world::{ALICE, BOB, World, dispute_with, explaining, user};

type Answer = Result<ConsentInfo, Icrc21Error>;

fn ask_raw(world: &mut World, method: &str, arg: Vec<u8>, device: DisplayMessageType) -> Answer {
    let request = explaining(method, arg, Some(device));
    // A cold signer asks as nobody.
    let method = "icrc21_canister_call_consent_message";
    world.call_as(Principal::anonymous(), method, request)
}

fn markdown(world: &mut World, method: &str, argument: impl CandidType) -> String {
    let arg = candid::encode_one(argument).unwrap();
    let info = ask_raw(world, method, arg, DisplayMessageType::GenericDisplay).unwrap();
    assert_eq!(info.metadata.language, "en");
    match info.consent_message {
        ConsentMessage::GenericDisplayMessage(text) => text,
        other => panic!("{other:?}"),
    }
}

fn fields(world: &mut World, method: &str, argument: impl CandidType) -> Vec<(String, Value)> {
    let arg = candid::encode_one(argument).unwrap();
    let info = ask_raw(world, method, arg, DisplayMessageType::FieldsDisplay).unwrap();
    match info.consent_message {
        ConsentMessage::FieldsDisplayMessage(message) => message.fields,
        other => panic!("{other:?}"),
    }
}

fn assert_says(text: &str, parts: &[&str]) {
    println!("{text}\n");
    // Small displays show nothing else.
    assert!(text.is_ascii(), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn a_deposit_says_how_much_of_what_and_for_whom() {
    let mut world = World::new();
    let channel = world.channel(1);
    let ledger = world.ledgers[0].to_text();
    let id = channel.id().to_string();
    let text = markdown(&mut world, "deposit", channel.by_approval(0, BOB, 70));
    let parts = [
        "# Deposit into a payment channel",
        "`70 smallest units`",
        "`your default account, by your approval`",
        &ledger,
        "`10 smallest units`",
        &id,
        &id[..10],
        "`participant 1 of 0 to 1`",
        "`10 min`",
        "This cannot be taken back.",
        "knows neither the token's decimals nor its name",
    ];
    assert_says(&text, &parts);
    let text = markdown(&mut world, "deposit", channel.by_account(0, ALICE));
    assert_says(
        &text,
        &["all in the deposit account", "`participant 0 of 0 to 1`"],
    );
}

#[test]
fn a_dispute_says_what_would_be_paid_and_what_stands() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let text = markdown(&mut world, "dispute", channel.refund_claim(BOB));
    assert_says(
        &text,
        &[
            "participant 1 (counted from 0)",
            "Any signed state counts more.",
        ],
    );
    let ledger = world.ledgers[0].to_text();
    let newer = channel.disputing(2, &[20, 180], &[100, 100]);
    let text = markdown(&mut world, "dispute", newer.clone());
    let row = format!(
        "`20 smallest units to participant 0, 180 smallest units to participant 1 on ledger {ledger}`"
    );
    assert_says(
        &text,
        &["**Version:**\n`2`", &row, "**Registered now:**\n`nothing`"],
    );

    let older = channel.disputing(1, &[50, 150], &[100, 100]);
    world.dispute(older).unwrap();
    let text = markdown(&mut world, "dispute", newer);
    assert_says(
        &text,
        &["`version 1, which can be refuted for 10 min more`"],
    );
    let refund = candid::encode_one(channel.refund_claim(BOB)).unwrap();
    let generic = DisplayMessageType::GenericDisplay;
    let refused = ask_raw(&mut world, "dispute", refund, generic);
    let Err(Icrc21Error::ConsentMessageUnavailable(why)) = refused else {
        panic!("{refused:?}");
    };
    assert_says(&why.description, &["version 1 is registered"]);
}

#[test]
fn a_final_state_says_that_it_is_the_end() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let text = markdown(
        &mut world,
        "conclude",
        channel.concluding(9, &[0, 200], &[100, 100]),
    );
    assert_says(
        &text,
        &[
            "# Conclude a payment channel",
            "at once and for good",
            "`9`",
        ],
    );
    world
        .dispute(channel.disputing(1, &[50, 150], &[100, 100]))
        .unwrap();
    let text = markdown(&mut world, "conclude", channel.concluding_elapsed());
    assert_says(&text, &["what is registered is final", "`version 1, which"]);
}

#[test]
fn a_withdrawal_says_who_receives_how_much() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let withdrawal = channel.withdrawing(0, BOB, user(9));
    let receiver = user(9).to_text();
    let text = markdown(&mut world, "withdraw", withdrawal.clone());
    assert_says(&text, &["not fixed yet", &receiver]);
    world
        .conclude(channel.concluding(1, &[50, 150], &[100, 100]))
        .unwrap();
    let text = markdown(&mut world, "withdraw", withdrawal);
    assert_says(
        &text,
        &["`150 smallest units`", &receiver, "participant 1 of 0 to 1"],
    );
}

#[test]
fn many_claims_are_told_one_by_one() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let claims: Vec<DisputeRequest> = vec![
        channel.disputing(3, &[50, 150], &[100, 100]),
        channel.refund_claim(ALICE),
    ];
    let id = channel.id();
    let text = markdown(&mut world, "dispute_many", claims);
    let one = format!("**Claim 1:**\n`version 3 of channel {id}`");
    let other = format!("**Claim 2:**\n`a refund claim of channel {id}`");
    assert_says(&text, &["**How many:**\n`2`", &one, &other]);
}

#[test]
fn the_longest_batch_can_be_explained() {
    let mut world = World::new();
    let channel = world.channel_of(1, 16, 1);
    // Claims of as many bytes as fit into one message.
    let state = channel.signed(1, &[1; 16], &[1; 16]);
    let claims = |count| vec![dispute_with(&state); count];
    let length = |count| candid::encode_one(claims(count)).unwrap().len();
    let most = (1..).take_while(|&count| length(count + 1) <= MAX_BATCH_BYTES);
    let mut claims = claims(most.count());
    let rest = MAX_BATCH_BYTES - candid::encode_one(&claims).unwrap().len();
    // A claim that is none: its case, and the length in two bytes.
    let claim = Claim::State(vec![7; rest - 3].into());
    claims.push(DisputeRequest { claim });
    assert_eq!(candid::encode_one(&claims).unwrap().len(), MAX_BATCH_BYTES);
    let text = markdown(&mut world, "dispute_many", &claims);
    assert_says(&text, &["would be refused: nothing was deposited"]);
    let judged: Result<Vec<DisputeResult>, DisputeManyError> = world.call("dispute_many", claims);
    assert!(judged.is_ok());
}

#[test]
fn fields_say_the_same_as_markdown() {
    let mut world = World::new();
    let channel = world.channel(1);
    let fields = fields(&mut world, "deposit", channel.by_approval(0, BOB, 70));
    let amount = Value::Text {
        content: "70 smallest units".into(),
    };
    assert_eq!(fields[0], ("Amount".into(), amount));
    let duration = Value::DurationSeconds { amount: 600 };
    assert!(fields.contains(&("Challenge duration".into(), duration)));
    let (name, Value::Text { content }) = fields.last().unwrap() else {
        panic!("the last field is a text");
    };
    assert_eq!(name, "What happens");
    assert_says(content, &["This cannot be taken back."]);
}

#[test]
fn what_there_is_no_message_for_is_named() {
    let mut world = World::new();
    let channel = world.channel(1);
    let unsupported = |answer: Answer| match answer {
        Err(Icrc21Error::UnsupportedCanisterCall(info)) => info.description,
        other => panic!("{other:?}"),
    };
    let generic = DisplayMessageType::GenericDisplay;
    let info = unsupported(ask_raw(&mut world, "info", vec![], generic.clone()));
    for method in METHODS {
        assert!(info.contains(method), "{info}");
        let nonsense = ask_raw(&mut world, method, b"DIDL\0\0".to_vec(), generic.clone());
        assert!(unsupported(nonsense).contains("does not decode"));
    }
    let long = ask_raw(
        &mut world,
        "deposit",
        vec![0; 16 * 1024 + 1],
        generic.clone(),
    );
    assert!(unsupported(long).contains("16385 bytes"));

    let mut elsewhere = channel.by_approval(0, ALICE, 1);
    elsewhere.asset = Asset::Icrc(user(77));
    let arg = candid::encode_one(elsewhere).unwrap();
    let refused = ask_raw(&mut world, "deposit", arg, generic);
    assert!(matches!(
        refused,
        Err(Icrc21Error::ConsentMessageUnavailable(_))
    ));
}

#[test]
fn the_canister_tells_its_standards() {
    let mut world = World::new();
    let standards: Vec<SupportedStandard> = world.ask("icrc10_supported_standards", ());
    let names: Vec<_> = standards.iter().map(|kept| kept.name.as_str()).collect();
    assert_eq!(names, ["ICRC-3", "ICRC-10", "ICRC-21"]);
}
