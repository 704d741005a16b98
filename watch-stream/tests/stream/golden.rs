//! Each kind of message as bytes that must not change, with the secrets to check them by another program
//! (`tests/decode.py`).

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use perun_protocol::{ChannelId, SecretKey, Version};
use perun_watch_stream::{Author, Record};
use serde_json::{Value, json};

use crate::world::{CHANNEL, Flash, Random, Watcher, identity_key, owner};

#[test]
fn messages_are_those_of_the_file() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stream.json");
    let made = stream();
    if env::var("UPDATE_VECTORS").is_ok_and(|it| it == "1") {
        assert!(env::var_os("CI").is_none(), "vectors are not written in CI");
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        fs::write(&path, text).unwrap();
    }
    let text = fs::read_to_string(path).unwrap();
    let kept: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(kept, made);
}

fn stream() -> Value {
    let mut random = Random::new(2_026);
    let flash = Flash::default();
    let channel = ChannelId::from_bytes(CHANNEL);
    let owner: SecretKey = owner();
    let mut author = Author::create(flash.clone(), channel, &owner, &mut random).unwrap();
    let announcement = author.announcement();
    let mut messages = Vec::new();
    let mut say = |by: &str, text: &[u8], message: &[u8]| {
        messages.push(json!({ "by": by, "bytes": hex(message), "text": hex(text) }));
    };
    say("author", &[], &announcement);

    let mut watchers = [0x41, 0x42].map(|seed| Watcher::follow(&announcement, seed, &mut random));
    for (watcher, seed) in watchers.iter_mut().zip([0x41, 0x42]) {
        author.allow(identity_key(seed)).unwrap();
        let subscription = watcher.side.subscribe(&mut random).unwrap();
        author.receive(&subscription).unwrap();
        say("watcher", &[], &subscription);
    }
    let record = |watcher: &Watcher| watcher.flash.record(Record::State).map(|it| hex(&it));
    let first_keys = json!([record(&watchers[0]), record(&watchers[1])]);

    let mut keyload = |author: &mut Author<Flash>, watchers: &mut [Watcher; 2]| {
        let bytes = author.open_epoch(&mut random).unwrap().to_vec();
        watchers
            .iter_mut()
            .for_each(|watcher| drop(watcher.receive(&bytes)));
        bytes
    };
    say("author", &[], &keyload(&mut author, &mut watchers));
    for (version, payload) in [(0, &b"version zero"[..]), (3, b"version three"), (4, b"")] {
        let published = author.publish(Version::new(version), b"to all", payload);
        let packet = published.unwrap().to_vec();
        watchers
            .iter_mut()
            .for_each(|watcher| drop(watcher.receive(&packet)));
        say("author", payload, &packet);
    }
    say(
        "author",
        b"still here",
        &author.heartbeat(b"still here").unwrap(),
    );
    say(
        "author",
        b"and here",
        &author.heartbeat(b"and here").unwrap(),
    );
    watchers[0].side.rotate(&mut Random::new(3)).unwrap();
    for watcher in &mut watchers {
        let ack = watcher.side.ack().unwrap();
        author.receive(&ack).unwrap();
        say("watcher", &[], &ack);
    }
    let rotated_keys = record(&watchers[0]);
    let unsubscription = watchers[1].side.unsubscribe().unwrap();
    author.receive(&unsubscription).unwrap();
    say("watcher", &[], &unsubscription);

    say("author", &[], &keyload(&mut author, &mut watchers));
    let published = author.publish(Version::new(5), &[], b"version five");
    say("author", b"version five", published.unwrap());
    author = Author::start(flash.clone()).unwrap().unwrap();
    say("author", &[], &keyload(&mut author, &mut watchers));
    json!({
        "about": "A stream from its announcement on: each message, and the text that it masks. Beside it what \
            the author and the watchers keep, as laid out in src/author/record.rs and src/subscriber/record.rs.",
        "author": hex(&flash.record(Record::State).unwrap()),
        "watchers": first_keys,
        "watcher_0_rotating": rotated_keys,
        "messages": messages,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Another program, in another language, reads the file.
#[test]
fn an_independent_decoder_reads_them() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    let decoder = Command::new("python3")
        .arg(folder.join("decode.py"))
        .arg(folder.join("golden/stream.json"))
        .output();
    match decoder {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
        }
        // Python is not asked for elsewhere.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert!(env::var_os("CI").is_none(), "CI has Python");
            eprintln!("not run: there is no python3");
        }
        Err(error) => panic!("{error}"),
    }
}
