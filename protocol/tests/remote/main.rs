//! Messages between devices and nodes: their bytes, and that nothing else passes for one.
//!
//! `messages.json` holds the bytes of every message. It is written anew by
//! `UPDATE_VECTORS=1 cargo test -p perun-protocol --test remote`, which keeps every case that is
//! there as it is, and always fails, so that no build passes by it.

mod messages;
mod properties;
#[path = "../properties/strategies.rs"]
#[allow(dead_code)]
mod strategies;
mod views;
#[path = "../world/mod.rs"]
mod world;

use std::path::PathBuf;
use std::{env, fs};

use perun_protocol::remote::{RemoteMessage, UnverifiedStatus};
use perun_protocol::wire::Message;
use perun_protocol::{Amount, Balances};
use serde_json::{Value, json};

use crate::world::{hex, unhex};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/remote/messages.json")
}

fn read() -> Value {
    let text = fs::read_to_string(path()).unwrap_or_else(|_| "{\"good\": []}".into());
    serde_json::from_str(&text).expect("the file is JSON")
}

fn made() -> Value {
    let cases = messages::all().into_iter();
    let cases =
        cases.map(|(name, message)| json!({ "name": name, "bytes": hex(&message.encode()) }));
    json!({
        "about": "Messages between devices and nodes: their bytes",
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
fn every_message_is_read_back() {
    let read = read();
    let cases = read["good"].as_array().unwrap();
    for (case, (name, message)) in cases.iter().zip(messages::all()) {
        let bytes = unhex(case["bytes"].as_str().unwrap());
        assert_eq!(RemoteMessage::decode(&bytes).unwrap(), message, "{name}");
    }
}

#[test]
fn the_two_tables_do_not_take_each_other_s_messages() {
    for (name, message) in messages::all() {
        let kind = message.kind();
        let other = Message::decode(&message.encode()).unwrap();
        assert_eq!(other, Message::Unknown { kind }, "{name}");
        let is_known = !matches!(message, RemoteMessage::Unknown { .. });
        assert_eq!(RemoteMessage::KINDS.contains(&kind), is_known, "{name}");
    }
    for kind in 1..=40 {
        let bytes = Message::Unknown { kind }.encode();
        let unknown = RemoteMessage::Unknown { kind };
        assert_eq!(RemoteMessage::decode(&bytes), Ok(unknown));
    }
}

#[test]
fn the_largest_table_is_read() {
    let amounts = (0..128).map(|number| Amount::new(u128::from(u64::MAX) + number));
    let holdings = Balances::new(16, amounts.collect()).unwrap();
    let status = UnverifiedStatus::Open { holdings };
    let message = messages::ack_of(status);
    assert_eq!(RemoteMessage::decode(&message.encode()), Ok(message));
}

#[test]
fn a_message_names_its_channel() {
    for (name, message) in messages::all() {
        let is_about_none = matches!(
            message,
            RemoteMessage::TimeRequest | RemoteMessage::Time(_) | RemoteMessage::Unknown { .. }
        );
        let channel = (!is_about_none).then(messages::channel);
        assert_eq!(message.channel(), channel, "{name}");
    }
}

#[test]
fn every_truncation_and_every_byte_too_many_is_refused() {
    for (name, message) in messages::all() {
        let mut bytes = message.encode();
        for length in 0..bytes.len() {
            let refused = RemoteMessage::decode(&bytes[..length]);
            assert!(refused.is_err(), "{name}: {length} of {}", bytes.len());
        }
        bytes.push(0);
        let error = RemoteMessage::decode(&bytes).expect_err(name);
        assert!(error.to_string().contains("1 bytes follow"), "{error}");
    }
}

#[test]
fn a_field_that_is_not_known_is_skipped() {
    let value = [0x82, 0x18, 0x2a, 0x61, b'x'];
    for (name, message) in messages::all() {
        let bytes = message.encode();
        // Behind the array's header and the type of two bytes.
        let body = 3;
        if !(0xa1..0xb7).contains(&bytes[body]) {
            continue;
        }
        for place in [body + 1, bytes.len()] {
            let mut longer = bytes.clone();
            longer[body] += 1;
            let field: Vec<u8> = [0x18, 99].into_iter().chain(value).collect();
            longer.splice(place..place, field);
            assert_eq!(
                RemoteMessage::decode(&longer).as_ref(),
                Ok(&message),
                "{name}"
            );
        }
    }
}

#[test]
fn a_message_without_a_field_that_it_needs_is_refused() {
    // A request for the time needs none.
    for kind in (64..=72).filter(|kind| *kind != 71) {
        for body in [0xa0, 0x80, 0xf6, 0x00, 0x40] {
            let refused = RemoteMessage::decode(&[0x82, 0x18, kind, body]);
            assert!(refused.is_err(), "type {kind}, body {body:#x}");
        }
    }
}

#[test]
fn an_ordinary_ack_takes_less_than_110_bytes() {
    let ack = messages::ordinary_ack().encode().len();
    println!("an ack of an open channel: {ack} bytes");
    assert!(ack < 110, "{ack}");
}

#[test]
fn a_table_longer_than_any_channel_s_is_refused_before_it_is_read() {
    let mut bytes = messages::ordinary_ack().encode();
    // The holdings: an array of three, then two participants.
    let table = bytes.windows(2).rposition(|two| two == [0x83, 2]).unwrap();
    bytes.splice(table..=table, [0x9b, 0xff, 0, 0, 0, 0, 0, 0, 0]);
    let error = RemoteMessage::decode(&bytes).unwrap_err();
    assert!(error.to_string().contains("no table"), "{error}");
}
