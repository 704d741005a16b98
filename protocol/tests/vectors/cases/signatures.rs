//! Digests with their domains, and signatures over digests.

use perun_protocol::encoding::{Domain, digest};
use perun_protocol::{SecretKey, Signature, Signer};
use serde_json::{Value, json};

use super::{File, with};
use crate::world::{
    HALF_ORDER, OFF_CURVE_X, ORDER, PRIME, hex, secret_bytes, secret_key, unhex_array, with_other_s,
};

pub fn digests() -> File {
    let domains = [
        Domain::Params,
        Domain::State,
        Domain::Withdrawal,
        Domain::Refund,
        Domain::FundsAccount,
        Domain::DepositAccount,
        Domain::Proposal,
        Domain::Nonce,
        Domain::Payments,
        Domain::Request,
        Domain::RequestText,
        Domain::WatchStream,
    ];
    let case = |domain: Domain, bytes: &[u8]| {
        json!({
            "name": format!("{domain:?}, {} bytes", bytes.len()),
            "domain": format!("{domain:?}"),
            "tag": hex(domain.tag()),
            "bytes": hex(bytes),
            "digest": hex(&digest(domain, bytes)),
        })
    };
    let good = domains.map(|domain| [case(domain, &[]), case(domain, b"perun")]);
    File {
        name: "digests",
        about: "SHA-256 of a domain's tag of 24 bytes and the bytes behind it",
        good: good.concat(),
        bad: vec![],
    }
}

pub fn file() -> File {
    File {
        name: "signatures",
        about: "ECDSA over secp256k1: deterministic (RFC 6979), low s only",
        good: [published(), ours(), verified_only()].concat(),
        bad: [bad_signatures(), bad_keys()].concat(),
    }
}

/// Known answers for RFC 6979 with secp256k1 and SHA-256, which the RFC itself does not have. The
/// signatures are quoted, not computed.
fn published() -> Vec<Value> {
    const FORUM: &str = "https://bitcointalk.org/index.php?topic=285142.40";
    const CORE_BITCOIN: &str = "github.com/oleganza/CoreBitcoin, BTCKeyTests.swift";
    let one = format!("{:064x}", 1);
    let cases = [
        (
            FORUM,
            one.as_str(),
            "Satoshi Nakamoto",
            "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
             2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
        ),
        (
            FORUM,
            one.as_str(),
            "All those moments will be lost in time, like tears in rain. Time to die...",
            "8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b\
             547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21",
        ),
        (
            FORUM,
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140",
            "Satoshi Nakamoto",
            "fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d0\
             6b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5",
        ),
        (
            FORUM,
            "f8b8af8ce3c7cca5e300d33939540c10d45ce001b8f252bfbc57ba0342904181",
            "Alan Turing",
            "7063ae83e7f62bbb171798131b4a0564b956930092b33b07b395615d9ec7e15c\
             58dfcc1e00a35e1572f366ffe34ba0fc47db1e7189759b9fb233c5b05ab388ea",
        ),
        (
            FORUM,
            "e91671c46231f833a6406ccbea0e3e392c76c167bac1cb013f6f1013980455c2",
            "There is a computer disease that anybody who works with computers knows about. \
             It's a very serious disease and it interferes completely with the work. \
             The trouble with computers is that you 'play' with them!",
            "b552edd27580141f3b2a5463048cb7cd3e047b97c9f98076c32dbdf85a68718b\
             279fa72dd19bfae05577e06c7c0c1900c371fcd5893f7e1d56a37d30174671f6",
        ),
        (
            CORE_BITCOIN,
            "cca9fbcc1b41e5a95d369eaa6ddcff73b61a4efaa279cfc6567e8daa39cbaf50",
            "sample",
            "af340daf02cc15c8d5d08d7735dfe6b98a474ed373bdb5fbecf7571be52b3842\
             5009fb27f37034a9b24b707b7c6b79ca23ddef9e25f7282e8a797efe53a8f124",
        ),
    ];
    let case = |(source, secret, message, signature): (&str, &str, &str, &str)| {
        use sha2::Digest as _;
        let key = SecretKey::from_bytes(&unhex_array(secret)).unwrap();
        json!({
            "name": format!("published: {message:.16}, key {secret:.8}"),
            "source": source,
            "message": message,
            "secret_key": secret,
            "public_key": hex(key.public_key().as_bytes()),
            "digest": hex(&sha2::Sha256::digest(message)),
            "signature": signature,
        })
    };
    cases.into_iter().map(case).collect()
}

fn ours() -> Vec<Value> {
    let case = |name: &str, index: usize, digest: [u8; 32]| {
        json!({
            "name": name,
            "secret_key": hex(&secret_bytes(index)),
            "public_key": hex(secret_key(index).public_key().as_bytes()),
            "digest": hex(&digest),
            "signature": hex(secret_key(index).sign(&digest).as_bytes()),
        })
    };
    vec![
        case("the first participant", 0, digest(Domain::State, b"perun")),
        case(
            "the sixteenth participant",
            15,
            digest(Domain::State, b"perun"),
        ),
        case("a digest of zeros", 1, [0; 32]),
        case(
            "a digest above the order, which RFC 6979 reduces",
            1,
            [255; 32],
        ),
        case("a digest that is the order", 1, unhex_array(ORDER)),
    ]
}

/// Signatures that verify although no secret key here made them.
fn verified_only() -> Vec<Value> {
    vec![json!({
        "name": "the x of the nonce's point lies above the order, so that r is x less the order",
        "public_key": "02df9b20cb0d97d623048d70a80efbd6af09cf6868b4770837d8cbcf3ac7aac725",
        "digest": "dffdc26dabc83b5daafb1752eaaddd8136c6302a7ccc6f98e51ca094ddd3ad30",
        "signature": format!("{:064x}{:064x}", 2, 3),
    })]
}

fn bad_signatures() -> Vec<Value> {
    let digest = digest(Domain::State, b"perun");
    let (alice, bob) = (secret_key(0), secret_key(1));
    let good = alice.sign(&digest);
    let with_key = |name: &str, key: &str, digest: [u8; 32], signature: Signature| {
        json!({
            "name": name,
            "stage": "verify",
            "public_key": key,
            "digest": hex(&digest),
            "signature": hex(signature.as_bytes()),
            "error": { "name": "NotSigned" },
        })
    };
    let key = hex(alice.public_key().as_bytes());
    let case = |name, signature| with_key(name, &key, digest, signature);
    let edited = |offset: usize, other: [u8; 32]| {
        let bytes = with(good.as_bytes(), offset, &other);
        Signature::from_bytes(bytes.try_into().unwrap())
    };
    let (r, s) = good.as_bytes().split_at(32);
    let swapped = Signature::from_bytes([s, r].concat().try_into().unwrap());
    let mut other_digest = digest;
    other_digest[31] ^= 1;
    let mut negated = *alice.public_key().as_bytes();
    negated[0] ^= 1;
    let mut one_and_one = [0; 64];
    (one_and_one[31], one_and_one[63]) = (1, 1);
    let one_and_one = Signature::from_bytes(one_and_one);
    let generator = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let mut order_less_one: [u8; 32] = unhex_array(ORDER);
    order_less_one[31] -= 1;
    let order = unhex_array(ORDER);
    let mut high = unhex_array::<32>(HALF_ORDER);
    high[31] += 1;
    vec![
        case("high s", with_other_s(&good)),
        case("the lowest high s", edited(32, high)),
        case("r = 0", edited(0, [0; 32])),
        case("s = 0", edited(32, [0; 32])),
        case("r = the order", edited(0, order)),
        case("s = the order", edited(32, order)),
        case("r = the largest number", edited(0, [255; 32])),
        case("zeros", Signature::from_bytes([0; 64])),
        case("r and s swapped", swapped),
        case("by another key", bob.sign(&digest)),
        with_key("over another digest", &key, other_digest, good),
        with_key("the key's negative", &hex(&negated), digest, good),
        with_key(
            "a key off the curve",
            &format!("02{OFF_CURVE_X}"),
            digest,
            good,
        ),
        with_key(
            "a key whose x is the prime",
            &format!("02{PRIME}"),
            digest,
            good,
        ),
        with_key(
            "the nonce's point would be infinity",
            generator,
            order_less_one,
            one_and_one,
        ),
    ]
}

fn bad_keys() -> Vec<Value> {
    let secret = |name: &str, bytes: &str| {
        let error = json!({ "name": "InvalidSecretKey" });
        json!({ "name": name, "stage": "secret key", "bytes": bytes, "error": error })
    };
    let public = |name: &str, bytes: &str| {
        let error = json!({ "name": "InvalidSignByte" });
        json!({ "name": name, "stage": "public key", "bytes": bytes, "error": error })
    };
    let x = &hex(secret_key(0).public_key().as_bytes())[2..];
    vec![
        secret("a secret key of zero", &"0".repeat(64)),
        secret("a secret key that is the order", ORDER),
        secret("a secret key of ones", &"f".repeat(64)),
        public("sign byte 0", &format!("00{x}")),
        public("sign byte 4", &format!("04{x}")),
        public("sign byte 5", &format!("05{x}")),
    ]
}
