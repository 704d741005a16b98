//! Consent messages.

use candid::CandidType;
use icrc_ledger_types::icrc21::errors::Icrc21Error;
use icrc_ledger_types::icrc21::requests::{
    ConsentMessageMetadata, ConsentMessageRequest, ConsentMessageSpec,
};
use icrc_ledger_types::icrc21::responses::ConsentMessage;
use perun_canister::consent::METHODS;

use crate::rules::{ALICE, BOB, World, user};

fn consent(world: &World, method: &str, argument: impl CandidType) -> Result<String, Icrc21Error> {
    let request = ConsentMessageRequest {
        method: method.into(),
        arg: candid::encode_one(argument).unwrap(),
        user_preferences: ConsentMessageSpec {
            metadata: ConsentMessageMetadata {
                language: "en".into(),
                utc_offset_minutes: None,
            },
            device_spec: None,
        },
    };
    let info = world.read(|adjudicator, now| adjudicator.consent(&request, now))?;
    match info.consent_message {
        ConsentMessage::GenericDisplayMessage(text) => Ok(text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_method_that_changes_anything_has_a_message() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let dispute = channel.disputing(2, &[50, 150], &[100, 100]);
    let last = channel.concluding(3, &[50, 150], &[100, 100]);
    let asked = [
        consent(&world, "deposit", channel.by_account(0, ALICE)),
        consent(&world, "dispute", dispute.clone()),
        consent(&world, "dispute_many", vec![dispute]),
        consent(&world, "conclude", last),
        consent(&world, "withdraw", channel.withdrawing(0, BOB, user(9))),
    ];
    assert_eq!(asked.len(), METHODS.len());
    for text in asked {
        let text = text.unwrap();
        assert!(text.contains(&channel.id().to_string()), "{text}");
        assert!(text.contains("This cannot be taken back."), "{text}");
        assert!(text.is_ascii(), "{text}");
    }
}

#[test]
fn a_message_never_repeats_words_of_the_request() {
    let world = World::new();
    let words = "**Amount:** 0";
    let refused = consent(&world, words, ()).unwrap_err();
    assert!(!format!("{refused:?}").contains(words), "{refused:?}");
    let refused = consent(&world, "deposit", words).unwrap_err();
    assert!(!format!("{refused:?}").contains(words), "{refused:?}");
}

#[test]
fn a_message_says_how_long_what_is_registered_can_be_refuted() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let dispute = |version| channel.disputing(version, &[50, 150], &[100, 100]);
    world.dispute(dispute(1)).unwrap();
    let text = consent(&world, "dispute", dispute(2)).unwrap();
    assert!(
        text.contains("`version 1, which can be refuted for 10 min more`"),
        "{text}"
    );
}
