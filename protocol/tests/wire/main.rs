//! Messages and their bytes: as they are, once and for all, and nothing else; and what follows from them.
//!
//! `messages.json` holds the bytes of every message. It is written anew by
//! `UPDATE_VECTORS=1 cargo test -p perun-protocol --test wire`, which keeps every case that is there
//! as it is, and always fails, so that no build passes by it. The digests of what is hashed as it
//! travels are in it too.

mod messages;
mod properties;
#[path = "../properties/strategies.rs"]
#[allow(dead_code)]
mod strategies;
#[path = "../world/mod.rs"]
mod world;

use std::path::PathBuf;
use std::{env, fs};

use minicbor::Encoder;
use perun_protocol::channel::max_batch;
use perun_protocol::payment::{Batch, PAYMENT_APP, Tally};
use perun_protocol::wire::{Acceptance, Message, PaymentRequest, Proposal, ProposalError, Text};
use perun_protocol::{
    Amount, AssetId, Balances, ParamsError, PartIdx, Principal, StateError, Version,
};
use serde_json::{Value, json};

use crate::world::{assets, hex, secret_key, unhex};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire/messages.json")
}

fn read() -> Value {
    let text = fs::read_to_string(path()).unwrap_or_else(|_| "{\"good\": []}".into());
    serde_json::from_str(&text).expect("the file is JSON")
}

fn made() -> Value {
    let cases = messages::all().into_iter().map(|(name, message)| {
        let mut case = json!({ "name": name, "bytes": hex(&message.encode()) });
        match message {
            Message::Proposal(proposal) => case["id"] = json!(hex(&proposal.id())),
            Message::PaymentRequest(request) => {
                case["memo"] = json!(hex(&request.payment().memo.unwrap()));
            }
            _ => {}
        }
        case
    });
    json!({
        "about": "Messages between peers: their bytes, and the digests of proposals and requests",
        "good": cases.collect::<Vec<_>>(),
    })
}

#[test]
fn the_bytes_of_every_message_stay_as_they_are() {
    let (old, new) = (read(), made());
    if env::var_os("UPDATE_VECTORS").is_none() {
        assert_eq!(old, new, "messages.json holds other bytes");
        return;
    }
    assert!(env::var_os("CI").is_none(), "vectors are not written in CI");
    let new_cases = new["good"].as_array().unwrap();
    for case in old["good"].as_array().unwrap() {
        assert!(new_cases.contains(case), "{} would change", case["name"]);
    }
    let written = serde_json::to_string_pretty(&new).unwrap() + "\n";
    fs::write(path(), written).unwrap();
    panic!("the vectors were written anew: read the difference, then run without updating");
}

#[test]
fn the_longest_sync_fits_the_message_that_its_payments_are_measured_for() {
    for assets in [1, 2, 8] {
        for max_message in [4_096, 65_535, 1 << 20, usize::MAX] {
            let batch = max_batch(max_message, assets);
            assert!((2..=Batch::MAX_LENGTH).contains(&batch));
            let length = messages::longest_sync(assets, batch).encode().len();
            assert!(length <= max_message, "{length} of {max_message}");
        }
        // What is kept free for the rest: 1 KiB, and 256 bytes for each asset.
        let free = 1_024 + 256 * assets;
        assert_eq!(max_batch(free, assets), 0);
        assert_eq!(max_batch(free - 1, assets), 0);
        assert_eq!(max_batch(0, assets), 0);
        assert_eq!(max_batch(free + 1, assets), 1);
        let most = free + Batch::MAX_LENGTH;
        assert_eq!(max_batch(most, assets), Batch::MAX_LENGTH);
        assert_eq!(max_batch(most - 1, assets), Batch::MAX_LENGTH - 1);
        assert_eq!(max_batch(most + 1, assets), Batch::MAX_LENGTH);
    }
}

#[test]
fn every_message_is_read_back() {
    for (case, (name, message)) in read()["good"]
        .as_array()
        .unwrap()
        .iter()
        .zip(messages::all())
    {
        let bytes = unhex(case["bytes"].as_str().unwrap());
        assert_eq!(Message::decode(&bytes).unwrap(), message, "{name}");
    }
}

#[test]
fn a_message_names_its_channel() {
    for (name, message) in messages::all() {
        // Before there is a channel, or if nothing is known of the message.
        let names_none = matches!(
            message,
            Message::Proposal(_)
                | Message::Acceptance(_)
                | Message::ProposalRejection(_)
                | Message::Unknown { .. }
        );
        let channel = (!names_none).then(messages::channel);
        assert_eq!(message.channel(), channel, "{name}");
    }
}

#[test]
fn a_request_is_paid_by_a_payment_that_names_it() {
    let mut messages = messages::all().into_iter();
    let request = messages.find_map(|(_, message)| match message {
        Message::PaymentRequest(request) => Some(request),
        _ => None,
    });
    let request = request.unwrap();
    assert_eq!(request.memo(), request.memo.as_str());
    assert_eq!(request.memo(), "two coffees");
    let payment = request.payment();
    assert_eq!(
        (payment.asset, payment.amount),
        (request.asset, request.amount)
    );
    let changes: [fn(&mut PaymentRequest); 3] = [
        |request| request.id += 1,
        |request| request.amount = Amount::new(1),
        |request| request.memo = Text::new("three coffees"),
    ];
    for change in changes {
        let mut other = request.clone();
        change(&mut other);
        assert_ne!(other.payment().memo, payment.memo);
    }
}

fn proposal() -> Proposal {
    let mut messages = messages::all().into_iter();
    let proposal = messages.find_map(|(_, message)| match message {
        Message::Proposal(proposal) => Some(*proposal),
        _ => None,
    });
    proposal.expect("it is one of all messages")
}

#[test]
fn a_channel_follows_from_a_proposal_and_its_acceptance() {
    let good = proposal();
    let accept = |proposal: &Proposal| Acceptance {
        proposal: proposal.id(),
        part: Proposal::ACCEPTOR,
        participant: secret_key(1).participant(),
        nonce_share: [3; 32],
    };
    let (params, state) = good.channel(&accept(&good)).unwrap();
    let participants = [0, 1].map(|key| secret_key(key).participant());
    assert_eq!(params.participants(), participants);
    assert_eq!(params.assets(), good.terms.assets);
    assert_eq!(
        (state.channel(), state.version()),
        (params.id(), Version::INITIAL)
    );
    assert_eq!(state.funding(), &good.terms.funding);
    assert!(state.app_data().is_empty());
    // Both have a share in the nonce.
    let other_share = Acceptance {
        nonce_share: [4; 32],
        ..accept(&good)
    };
    assert_ne!(good.channel(&other_share).unwrap().0.id(), params.id());
    // The app of payments begins with a tally.
    let mut paying = good.clone();
    paying.terms.app = PAYMENT_APP;
    let (_, state) = paying.channel(&accept(&paying)).unwrap();
    assert_eq!(
        state.app_data(),
        Tally::opening(&good.terms.balances).encode()
    );

    let of_another = Acceptance {
        proposal: [7; 32],
        ..accept(&good)
    };
    assert_eq!(good.channel(&of_another), Err(ProposalError::WrongProposal));
    let part = Proposal::PROPOSER;
    let by_the_proposer = Acceptance {
        part,
        ..accept(&good)
    };
    assert_eq!(
        good.channel(&by_the_proposer),
        Err(ProposalError::WrongPart { part })
    );
    let oneself = Acceptance {
        participant: good.participant,
        ..accept(&good)
    };
    let twice = ParamsError::DuplicateParticipant {
        index: PartIdx::new(1),
    };
    assert_eq!(good.channel(&oneself), Err(ProposalError::Params(twice)));
    let mut more_assets = good.clone();
    more_assets.terms.assets = assets(2);
    let refused = more_assets.channel(&accept(&more_assets));
    assert_eq!(refused, Err(ProposalError::WrongShape));
    let mut other_funding = good.clone();
    let amounts = vec![Amount::new(1); 4];
    other_funding.terms.funding = Balances::new(2, amounts).unwrap();
    let refused = other_funding.channel(&accept(&other_funding));
    assert_eq!(refused, Err(ProposalError::State(StateError::FundingShape)));
}

#[test]
fn a_proposal_names_at_most_eight_assets() {
    let mut proposal = proposal();
    let longest = |number| AssetId::Icrc(Principal::from_slice(&[number; 29]).unwrap());
    for count in [1, 8, 9] {
        proposal.terms.assets = (0..count).map(longest).collect();
        let message = Message::Proposal(Box::new(proposal.clone()));
        match Message::decode(&message.encode()) {
            Ok(decoded) => assert_eq!((count <= 8, decoded), (true, message)),
            Err(error) => {
                assert_eq!(count, 9, "{error}");
                let reason = "more assets than a channel can have";
                assert!(error.to_string().contains(reason), "{error}");
            }
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for (name, message) in messages::all() {
        let bytes = message.encode();
        for length in 0..bytes.len() {
            let refused = Message::decode(&bytes[..length]);
            assert!(refused.is_err(), "{name}: {length} of {}", bytes.len());
        }
    }
}

#[test]
fn bytes_behind_a_message_are_refused() {
    for (name, message) in messages::all() {
        let mut bytes = message.encode();
        bytes.push(0);
        for last in 0..=u8::MAX {
            *bytes.last_mut().unwrap() = last;
            let error = Message::decode(&bytes).expect_err(name);
            assert!(error.to_string().contains("1 bytes follow"), "{error}");
        }
    }
}

/// What newer software may put into a field.
fn values_of_the_future() -> Vec<Vec<u8>> {
    let encode = |write: &dyn Fn(&mut Encoder<Vec<u8>>)| {
        let mut encoder = Encoder::new(vec![]);
        write(&mut encoder);
        encoder.into_writer()
    };
    vec![
        encode(&|encoder| {
            encoder.u64(u64::MAX).unwrap();
        }),
        encode(&|encoder| {
            encoder.bytes(&[1; 70]).unwrap();
        }),
        encode(&|encoder| {
            let list = encoder.array(3).unwrap().null().unwrap();
            list.str("später").unwrap().f64(1.5).unwrap();
        }),
        encode(&|encoder| {
            let map = encoder.begin_map().unwrap().u8(1).unwrap();
            map.begin_array().unwrap().end().unwrap().end().unwrap();
        }),
        encode(&|encoder| {
            let tagged = encoder.tag(minicbor::data::Tag::new(99)).unwrap();
            tagged.bool(true).unwrap();
        }),
    ]
}

/// Where a map begins behind `offset`, with room in its header for one more field.
fn maps(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let headers = bytes.iter().enumerate();
    let headers = headers.filter(|(_, header)| (0xa1..0xb7).contains(*header));
    headers.map(|(offset, _)| offset)
}

#[test]
fn a_field_that_is_not_known_is_skipped() {
    for (name, message) in messages::all() {
        let bytes = message.encode();
        // The body's map follows the array's header and the type.
        let body = maps(&bytes).next();
        for value in values_of_the_future() {
            let Some(body) = body else {
                continue;
            };
            let mut longer = bytes.clone();
            longer[body] += 1;
            // As the last field of the body.
            longer.extend([0x18, 99]);
            longer.extend(&value);
            assert_eq!(Message::decode(&longer).as_ref(), Ok(&message), "{name}");
            // As its first.
            let mut longer = bytes.clone();
            longer[body] += 1;
            let field: Vec<u8> = [0x18, 99].into_iter().chain(value).collect();
            longer.splice(body + 1..body + 1, field);
            assert_eq!(Message::decode(&longer).as_ref(), Ok(&message), "{name}");
        }
    }
}

#[test]
fn a_field_that_is_not_known_is_skipped_in_what_a_message_contains() {
    let mut found = 0;
    for (name, message) in messages::all() {
        let bytes = message.encode();
        for map in maps(&bytes).skip(1) {
            let mut longer = bytes.clone();
            longer[map] += 1;
            longer.splice(map + 1..map + 1, [0x18, 99, 0x82, 1, 2]);
            // What looks like a map may be a byte of something else; then it is no message.
            if let Ok(decoded) = Message::decode(&longer) {
                assert_eq!(decoded, message, "{name}");
                found += 1;
            }
        }
    }
    // The terms of two proposals; the update and two witnesses of a sync.
    assert!(found >= 5, "{found}");
}

#[test]
fn a_message_that_is_not_known_is_skipped() {
    for kind in (12..40).chain([255, 256, 4_711, u16::MAX]) {
        for value in values_of_the_future() {
            let mut encoder = Encoder::new(vec![]);
            encoder.array(2).unwrap().u16(kind).unwrap();
            let mut bytes = encoder.into_writer();
            bytes.extend(value);
            assert_eq!(Message::decode(&bytes), Ok(Message::Unknown { kind }));
        }
    }
}

#[test]
fn what_is_nested_deeply_is_skipped_or_refused_without_a_deep_stack() {
    for opening in [0x81, 0x9f, 0xa1, 0xbf, 0xc1] {
        for kind in [12, 8] {
            let mut bytes = vec![0x82, kind];
            if kind == 8 {
                // An unknown field of a message that is known.
                bytes.extend([0xa1, 0x18, 99]);
            }
            bytes.extend(vec![opening; 1 << 20]);
            let _ = Message::decode(&bytes);
            bytes.push(0);
            let _ = Message::decode(&bytes);
        }
    }
}

#[test]
fn a_message_without_a_field_that_it_needs_is_refused() {
    for kind in 1..=11 {
        for body in [0xa0, 0x80, 0xf6, 0x00, 0x40] {
            let refused = Message::decode(&[0x82, kind, body]);
            assert!(refused.is_err(), "type {kind}, body {body:#x}");
        }
    }
    for frame in [
        &[][..],
        &[0x80],
        &[0x81, 1],
        &[0x83, 12, 0, 0],
        &[0xa0],
        &[0x9f, 12, 0, 0xff],
    ] {
        let error = Message::decode(frame).unwrap_err();
        assert_eq!(error.kind, None, "{frame:?}");
    }
    let beyond = [0x82, 0x1a, 0, 1, 0, 0, 0xa0];
    assert!(Message::decode(&beyond).is_err(), "a type has 16 bits");
}

#[test]
fn an_ordinary_payment_takes_250_bytes_at_most() {
    let update = Message::Update(Box::new(messages::ordinary_update())).encode();
    let acceptance = Message::UpdateAcceptance(messages::ordinary_acceptance()).encode();
    let (update, acceptance) = (update.len(), acceptance.len());
    println!("an update of one payment: {update} bytes, its acceptance: {acceptance} bytes");
    assert!(update + acceptance <= 250);
}
