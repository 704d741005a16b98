//! Both ways to verify give the same answers, on good signatures and on hostile ones.
//!
//! `cargo test -p perun-protocol --features secp256k1 --test backends`

mod world;

use std::cell::Cell;

use perun_protocol::signature::{K256, Libsecp256k1, Libsecp256k1Key, Verifier};
use perun_protocol::{PublicKey, SecretKey, Signature, Signer};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use world::{HALF_ORDER, OFF_CURVE_X, ORDER, PRIME, unhex_array, with_other_s};

/// The verdict, if there is only one.
fn verdict(
    key: &PublicKey,
    digest: &[u8; 32],
    signature: &Signature,
) -> Result<bool, TestCaseError> {
    let verdict = K256::verify(key, digest, signature);
    let other = Libsecp256k1::verify(key, digest, signature);
    prop_assert_eq!(verdict, other, "{:?} {:02x?} {:?}", key, digest, signature);
    Ok(verdict)
}

/// `number` + `add`; wraps, as it may for a hostile number.
fn plus(number: &str, add: i8) -> [u8; 32] {
    let mut bytes: [u8; 32] = unhex_array(number);
    let mut carry = i16::from(add);
    for byte in bytes.iter_mut().rev() {
        let sum = i16::from(*byte) + carry;
        *byte = sum.rem_euclid(256) as u8;
        carry = sum.div_euclid(256);
    }
    bytes
}

/// 32 bytes, often a number near one that matters.
fn scalar() -> impl Strategy<Value = [u8; 32]> {
    let near = |number: &'static str| (-2..=2_i8).prop_map(move |add| plus(number, add));
    prop_oneof![
        4 => any::<[u8; 32]>(),
        2 => near(ORDER),
        1 => near(HALF_ORDER),
        1 => near(PRIME),
        2 => near("0000000000000000000000000000000000000000000000000000000000000000"),
    ]
}

fn secret() -> impl Strategy<Value = SecretKey> {
    scalar().prop_filter_map("no secret key", |bytes| SecretKey::from_bytes(&bytes))
}

/// A key: mostly a good one, else any x, on the curve or off it.
fn key() -> impl Strategy<Value = PublicKey> {
    let any_x = prop_oneof![scalar(), Just(unhex_array(OFF_CURVE_X))];
    let any_key = (2..=3_u8, any_x).prop_map(|(sign, x)| {
        let mut bytes = [sign; 33];
        bytes[1..].copy_from_slice(&x);
        PublicKey::from_bytes(bytes).unwrap()
    });
    prop_oneof![secret().prop_map(|secret| secret.public_key()), any_key]
}

fn signature(r: [u8; 32], s: [u8; 32]) -> Signature {
    Signature::from_bytes([r, s].concat().try_into().unwrap())
}

proptest! {
    #[test]
    fn a_signature_is_good_and_its_twin_is_not(secret in secret(), digest in scalar()) {
        let key = secret.public_key();
        let signature = secret.sign(&digest);
        prop_assert!(key.is_on_curve());
        prop_assert!(verdict(&key, &digest, &signature)?);
        let twin = with_other_s(&signature);
        prop_assert!(!verdict(&key, &digest, &twin)?);
        prop_assert_eq!(with_other_s(&twin), signature);
    }

    #[test]
    fn a_changed_bit_is_noticed(
        secret in secret(),
        digest in any::<[u8; 32]>(),
        bit in 0..(33 + 32 + 64) * 8_usize,
    ) {
        let key = secret.public_key();
        let mut all = [&key.as_bytes()[..], &digest, secret.sign(&digest).as_bytes()].concat();
        all[bit / 8] ^= 1 << (bit % 8);
        let (key, rest) = all.split_at(33);
        let (digest, signature) = rest.split_at(32);
        // Another sign byte than 2 or 3 is no key in the first place.
        if let Some(key) = PublicKey::from_bytes(key.try_into().unwrap()) {
            let signature = Signature::from_bytes(signature.try_into().unwrap());
            prop_assert!(!verdict(&key, &digest.try_into().unwrap(), &signature)?);
        }
    }

    #[test]
    fn hostile_signatures_get_one_verdict(
        key in key(),
        digest in scalar(),
        r in scalar(),
        s in scalar(),
    ) {
        verdict(&key, &digest, &signature(r, s))?;
    }

    #[test]
    fn a_hostile_half_gets_one_verdict(
        secret in secret(),
        digest in scalar(),
        half in scalar(),
        is_r in any::<bool>(),
    ) {
        let good = secret.sign(&digest);
        let (r, s) = good.as_bytes().split_at(32);
        let (r, s) = (r.try_into().unwrap(), s.try_into().unwrap());
        let edited = if is_r { signature(half, s) } else { signature(r, half) };
        let is_good = verdict(&secret.public_key(), &digest, &edited)?;
        prop_assert_eq!(is_good, edited == good);
    }

    /// The C library signs the same bytes: both follow RFC 6979, also for digests beyond the order.
    #[test]
    fn both_sign_the_same(secret in any::<[u8; 32]>(), digest in scalar()) {
        let Some(ours) = SecretKey::from_bytes(&secret) else {
            return Ok(());
        };
        let theirs = Libsecp256k1Key::from_bytes(&secret).unwrap();
        prop_assert_eq!(ours.public_key(), theirs.public_key());
        prop_assert_eq!(ours.sign(&digest), theirs.sign(&digest));
    }
}

/// A key is on the curve exactly if the C library takes it; half of all x are.
#[test]
fn keys_are_on_the_curve_for_both() {
    let (on, off) = (Cell::new(0), Cell::new(0));
    let checked = TestRunner::default().run(&key(), |key| {
        let theirs = secp256k1::PublicKey::from_byte_array_compressed(*key.as_bytes());
        prop_assert_eq!(key.is_on_curve(), theirs.is_ok(), "{:?}", key);
        let counter = if theirs.is_ok() { &on } else { &off };
        counter.set(counter.get() + 1);
        Ok(())
    });
    checked.unwrap();
    assert!(
        on.get() > 0 && off.get() > 0,
        "{on:?} on, {off:?} off the curve"
    );
}

#[test]
fn a_key_shows_whose_it_is_and_nothing_of_the_secret() {
    let key = Libsecp256k1Key::from_bytes(&[0x17; 32]).unwrap();
    let whose = key.public_key();
    assert_eq!(format!("{key:?}"), format!("Libsecp256k1Key of({whose:?})"));
}
