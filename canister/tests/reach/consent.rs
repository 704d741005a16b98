//! Consent messages.

use candid::CandidType;
use icrc_ledger_types::icrc21::errors::Icrc21Error;
use icrc_ledger_types::icrc21::requests::{
    ConsentMessageMetadata, ConsentMessageRequest, ConsentMessageSpec,
};
use icrc_ledger_types::icrc21::responses::ConsentMessage;

use crate::rules::World;

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
fn a_message_never_repeats_words_of_the_request() {
    let world = World::new();
    let words = "**Amount:** 0";
    let refused = consent(&world, words, ()).unwrap_err();
    assert!(!format!("{refused:?}").contains(words), "{refused:?}");
    let refused = consent(&world, "deposit", words).unwrap_err();
    assert!(!format!("{refused:?}").contains(words), "{refused:?}");
}
