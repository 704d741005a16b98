//! A story told by bytes: whoever relays, watches or has stolen a key sends what it likes to both sides, and
//! an honest author and its watcher go on. Fuzzed by `fuzz/fuzz_targets/watch_stream.rs`.

use ed25519_dalek::{Signer, SigningKey};
use perun_watch_stream::{HEADER_LENGTH, Message, Record, SIGNATURE_LENGTH};
use sha2::{Digest, Sha256};

use crate::world::{Got, World, state};

/// Each step: a byte that says what happens, two that say how long what follows is, and so many bytes, which
/// are sent to both sides or change the last message of the author.
pub fn tells(bytes: &[u8]) {
    let mut world = World::with_watchers(1);
    let record = world.flash.record(Record::State).expect("it was made");
    let author = SigningKey::from_bytes(record[2..34].try_into().expect("a seed"));
    let watcher = SigningKey::from_bytes(&[0x41; 32]);
    let mut version = 0;
    let mut last = world.author.keyload().expect("it is open").to_vec();
    let mut acted = None;
    let mut is_stolen = false;
    let mut rest = bytes;
    while let [step, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (given, after) = after.split_at(length);
        rest = after;
        let mut message = match step % 8 {
            0 => given.to_vec(),
            1 => of_this_stream(&world, given),
            2 => {
                is_stolen = true;
                signed_by(&author, of_this_stream(&world, given))
            }
            3 => signed_by(&watcher, of_this_stream(&world, given)),
            4 => {
                version += 1;
                if world.author.is_epoch_due() {
                    last = world.keyload();
                    let _ = world.watchers[0].receive(&last);
                }
                world.publish(version)
            }
            5 => {
                world.restart();
                world.keyload()
            }
            6 => {
                world.watchers[0].restart();
                last.clone()
            }
            _ => {
                let mut changed = last.clone();
                for change in given.chunks_exact(3) {
                    let position = usize::from(u16::from_be_bytes([change[0], change[1]]));
                    let position = position % changed.len();
                    changed[position] ^= change[2];
                }
                changed
            }
        };
        let _ = world.author.receive(&message);
        let got = [
            world.watchers[0].receive(&message).ok(),
            world.watchers[0].release(),
        ];
        for got in got.into_iter().flatten() {
            if let Got::State(version, _) = got {
                assert!(acted < Some(version), "what is acted on never falls");
                acted = Some(version);
            }
        }
        if matches!(step % 8, 4 | 5) {
            core::mem::swap(&mut last, &mut message);
        }
    }
    if is_stolen {
        return;
    }
    assert_eq!(
        world.watchers[0].side.fork(),
        None,
        "nobody makes evidence up"
    );
    assert!(
        acted <= Some(version),
        "nothing is acted on that was not published"
    );
    // A stranger has not kept the next state from getting through. The watcher may have been made to leave by
    // its own key.
    if world.author.recipient_count() == 1 {
        let keyload = world.keyload();
        let packet = world.publish(version + 1);
        // Sealed to a key that the watcher has, unless its own key was used to change that.
        if world.watchers[0].receive(&keyload).is_ok() {
            assert_eq!(world.watchers[0].receive(&packet), Ok(state(version + 1)));
        }
    }
}

/// The bytes with what gets them past the first checks: format, suite, stream, and lengths that fit.
fn of_this_stream(world: &World, given: &[u8]) -> Vec<u8> {
    let mut bytes = given.to_vec();
    if bytes.len() < HEADER_LENGTH + SIGNATURE_LENGTH {
        return bytes;
    }
    bytes[..2].copy_from_slice(&[1, 1]);
    bytes[2] = 1 + bytes[2] % 7;
    bytes[4..20].copy_from_slice(&world.author.stream().0);
    let signature = if matches!(bytes[2], 2 | 6) {
        0
    } else {
        SIGNATURE_LENGTH
    };
    let parts = (bytes.len() - HEADER_LENGTH - signature) as u16;
    let public = u16::from_be_bytes([bytes[64], bytes[65]]) % (parts + 1);
    bytes[64..66].copy_from_slice(&public.to_be_bytes());
    bytes[66..68].copy_from_slice(&(parts - public).to_be_bytes());
    bytes
}

fn signed_by(key: &SigningKey, mut bytes: Vec<u8>) -> Vec<u8> {
    if !Message::parse(&bytes).is_ok_and(|message| message.header().kind.is_signed()) {
        return bytes;
    }
    let body_end = bytes.len() - SIGNATURE_LENGTH;
    let mut signed = b"perun-watch/1 signature\0".to_vec();
    signed.extend(&bytes[..HEADER_LENGTH]);
    signed.extend(Sha256::digest(&bytes[HEADER_LENGTH..body_end]));
    bytes[body_end..].copy_from_slice(&key.sign(&signed).to_bytes());
    bytes
}
