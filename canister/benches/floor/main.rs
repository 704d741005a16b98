//! What must be paid in any case: a signature checked, and a key, by code that is built exactly as the
//! adjudicator is. Never shipped; the bench `instructions` measures it.
//!
//! A request is how often to do it (one byte), then the key, the digest and the signature. One
//! request with a count of 2 less one with a count of 1 is the thing itself.

use ic_cdk::update;
use perun_protocol::PublicKey;
use perun_protocol::signature::{
    K256, PUBLIC_KEY_LENGTH, SIGNATURE_LENGTH, Signature, Verifier as _,
};

struct Request {
    count: u8,
    key: PublicKey,
    digest: [u8; 32],
    signature: Signature,
}

fn decode(bytes: Vec<u8>) -> Request {
    let (count, rest) = bytes.split_first().expect("a count");
    let (key, rest) = rest
        .split_first_chunk::<PUBLIC_KEY_LENGTH>()
        .expect("a key");
    let (digest, rest) = rest.split_first_chunk().expect("a digest");
    let signature: [u8; SIGNATURE_LENGTH] = rest.try_into().expect("a signature");
    Request {
        count: *count,
        key: PublicKey::from_bytes(*key).expect("a key"),
        digest: *digest,
        signature: Signature::from_bytes(signature),
    }
}

fn encode(good: bool) -> Vec<u8> {
    vec![u8::from(good)]
}

/// Checks the signature, the key's decompression included.
#[update(decode_with = "decode", encode_with = "encode")]
fn verify(request: Request) -> bool {
    let mut times = 0..request.count;
    times.all(|_| {
        let key = std::hint::black_box(&request.key);
        K256::verify(key, &request.digest, &request.signature)
    })
}

/// Checks that the key is a point of the curve.
#[update(decode_with = "decode", encode_with = "encode")]
fn check_key(request: Request) -> bool {
    let mut times = 0..request.count;
    times.all(|_| std::hint::black_box(&request.key).is_on_curve())
}

fn main() {}
