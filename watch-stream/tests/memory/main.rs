//! A key that was used is nowhere in a watcher's memory any more.
//!
//! Every 32 bytes of the memory are tried as the key of a recorded packet.

#![allow(unsafe_code)]

#[path = "../world/mod.rs"]
mod world;

use std::mem::{MaybeUninit, size_of};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use perun_watch_stream::{HEADER_LENGTH, Message, Subscriber};
use sha2::Sha256;

use crate::world::{Flash, World, state};

/// What lies where the watcher does, its slots that are free included.
fn memory(watcher: &Subscriber<Flash>) -> Vec<u8> {
    let begin = std::ptr::from_ref(watcher).cast::<MaybeUninit<u8>>();
    // SAFETY: the bytes are the watcher's, which is borrowed. Those that were never written are only looked
    // at through a volatile read, which takes what is there.
    (0..size_of::<Subscriber<Flash>>())
        .map(|offset| unsafe { begin.add(offset).cast::<u8>().read_volatile() })
        .collect()
}

fn is_opened_by(packet: &[u8], key: &[u8]) -> bool {
    let message = Message::parse(packet).unwrap();
    let bound = HEADER_LENGTH + message.public().len();
    let (nonce, ciphertext) = message.masked().split_at(24);
    let mut keys = [0; 64];
    let hkdf = Hkdf::<Sha256>::from_prk(key).unwrap();
    hkdf.expand(b"perun-watch/1 cipher  k\0", &mut keys)
        .unwrap();
    let cipher = XChaCha20Poly1305::new_from_slice(&keys[..32]).unwrap();
    let payload = Payload {
        msg: ciphertext,
        aad: &packet[..bound],
    };
    let nonce = XNonce::from(<[u8; 24]>::try_from(nonce).unwrap());
    cipher.decrypt(&nonce, payload).is_ok()
}

fn holds_key_of(watcher: &Subscriber<Flash>, packet: &[u8]) -> bool {
    let memory = memory(watcher);
    memory.windows(32).any(|key| is_opened_by(packet, key))
}

#[test]
fn a_key_that_was_used_is_overwritten() {
    let mut world = World::with_watchers(1);
    let packets: Vec<_> = (1..=6).map(|version| world.publish(version)).collect();
    let watcher = &mut world.watchers[0];
    assert_eq!(watcher.receive(&packets[5]), Ok(state(6)));
    assert!(!holds_key_of(&watcher.side, &packets[5]));
    // Keys of what was overtaken are kept, until that comes: oldest, newest, between.
    for late in [0, 4, 2, 1, 3] {
        assert!(holds_key_of(&watcher.side, &packets[late]), "packet {late}");
        watcher.receive(&packets[late]).unwrap();
        assert!(
            !holds_key_of(&watcher.side, &packets[late]),
            "packet {late}"
        );
    }
}

#[test]
fn keys_of_an_epoch_that_was_given_up_are_overwritten() {
    let mut world = World::with_watchers(1);
    let packets = [1, 2].map(|version| world.publish(version));
    let watcher = &mut world.watchers[0];
    watcher.receive(&packets[1]).unwrap();
    assert!(holds_key_of(&watcher.side, &packets[0]));
    (0..3).for_each(|_| _ = world.open_epoch());
    assert!(!holds_key_of(&world.watchers[0].side, &packets[0]));
}
