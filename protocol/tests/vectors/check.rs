//! Checks of each file's cases, from the JSON alone.

use core::fmt::Debug;

use perun_protocol::encoding::{Canonical, DecodeError, Domain, digest};
#[cfg(feature = "secp256k1")]
use perun_protocol::signature::Libsecp256k1;
use perun_protocol::signature::{K256, Verifier};
use perun_protocol::{
    Account, ChannelId, Params, PublicKey, RefundClaim, SecretKey, Signature, SignedState,
    SignedStateError, Signer, State, UnverifiedSignedState, WithdrawalAuth,
};
use serde_json::Value;

use crate::form::{
    account_from_json, array, bytes, decode_error_to_json, kept_account_from_json, list,
    params_error_to_json, params_from_json, refund_from_json, signed_state_error_to_json,
    state_from_json, text, withdrawal_from_json,
};

pub fn params(file: &Value) {
    for case in list(file, "good") {
        let params = params_from_json(&case["value"]);
        is_the_encoding_of(case, &params);
        assert_eq!(params.id().as_bytes(), &array(case, "id"), "{case:#}");
        assert_eq!(params.check_keys(), Ok(()), "{case:#}");
    }
    for case in list(file, "bad") {
        match text(case, "stage") {
            "decode" => does_not_decode::<Params>(case),
            "keys" => {
                let refused = Params::decode(&bytes(case, "bytes")).unwrap().check_keys();
                let error = refused.expect_err("a key is no point of the curve");
                assert_eq!(params_error_to_json(&error), case["error"], "{case:#}");
            }
            other => panic!("no stage of params: {other}"),
        }
    }
}

pub fn states(file: &Value) {
    for case in list(file, "good") {
        let state = state_from_json(&case["value"]);
        is_the_encoding_of(case, &state);
        assert_eq!(state.digest(), array(case, "digest"), "{case:#}");
    }
    for case in list(file, "bad") {
        assert_eq!(text(case, "stage"), "decode");
        does_not_decode::<State>(case);
    }
}

pub fn signed_states(file: &Value) {
    for case in list(file, "good") {
        let params = Params::decode(&bytes(case, "params")).unwrap();
        let state = State::decode(&bytes(case, "state")).unwrap();
        assert_eq!(state.digest(), array(case, "digest"), "{case:#}");
        let keys = list(case, "secret_keys")
            .iter()
            .map(|key| secret_key(key.as_str().unwrap()));
        let signatures: Vec<_> = keys.map(|key| key.sign(&state.digest())).collect();
        let expected = list(case, "signatures").iter();
        let expected: Vec<_> = expected.map(|s| signature(s.as_str().unwrap())).collect();
        assert_eq!(signatures, expected, "{case:#}");
        let unverified = UnverifiedSignedState { state, signatures };
        is_the_encoding_of(case, &unverified);
        let signed = verify_state(unverified, &params).unwrap();
        assert_eq!(signed.encode(), bytes(case, "bytes"), "{case:#}");
        assert_eq!(signed.channel(), params.id());
    }
    for case in list(file, "bad") {
        match text(case, "stage") {
            "decode" => does_not_decode::<UnverifiedSignedState>(case),
            "verify" => {
                let params = Params::decode(&bytes(case, "params")).unwrap();
                let signed = UnverifiedSignedState::decode(&bytes(case, "bytes")).unwrap();
                let error = verify_state(signed, &params).unwrap_err();
                assert_eq!(
                    signed_state_error_to_json(&error),
                    case["error"],
                    "{case:#}"
                );
            }
            other => panic!("no stage of a signed state: {other}"),
        }
    }
}

pub fn withdrawals(file: &Value) {
    let verify = |auth: WithdrawalAuth, params: &Params, signature| {
        let verified = auth.verify(params, signature);
        #[cfg(feature = "secp256k1")]
        assert_eq!(
            verified,
            auth.verify_with::<Libsecp256k1>(params, signature)
        );
        verified
    };
    for case in list(file, "good") {
        let auth = withdrawal_from_json(&case["value"]);
        is_the_encoding_of(case, &auth);
        assert_eq!(auth.digest(), array(case, "digest"), "{case:#}");
        let signature = signature(text(case, "signature"));
        assert_eq!(
            auth.sign(&secret_key(text(case, "secret_key"))),
            signature,
            "{case:#}"
        );
        let params = Params::decode(&bytes(case, "params")).unwrap();
        assert_eq!(auth.channel, params.id());
        let signed = verify(auth, &params, signature).unwrap();
        assert_eq!((signed.auth(), signed.signature()), (&auth, &signature));
    }
    for case in list(file, "bad") {
        is_bad_claim(case, |auth, params, signature| {
            verify(auth, params, signature).is_none()
        });
    }
}

pub fn refunds(file: &Value) {
    let verify = |claim: RefundClaim, params: &Params, signature| {
        let verified = claim.verify(params, signature);
        #[cfg(feature = "secp256k1")]
        assert_eq!(
            verified,
            claim.verify_with::<Libsecp256k1>(params, signature)
        );
        verified
    };
    for case in list(file, "good") {
        let claim = refund_from_json(&case["value"]);
        is_the_encoding_of(case, &claim);
        assert_eq!(claim.digest(), array(case, "digest"), "{case:#}");
        let signature = signature(text(case, "signature"));
        assert_eq!(
            claim.sign(&secret_key(text(case, "secret_key"))),
            signature,
            "{case:#}"
        );
        let params = Params::decode(&bytes(case, "params")).unwrap();
        assert_eq!(claim.channel, params.id());
        let signed = verify(claim, &params, signature).unwrap();
        assert_eq!((signed.claim(), signed.signature()), (&claim, &signature));
    }
    for case in list(file, "bad") {
        is_bad_claim(case, |claim, params, signature| {
            verify(claim, params, signature).is_none()
        });
    }
}

pub fn accounts(file: &Value) {
    for case in list(file, "good") {
        let account = account_from_json(&case["value"]);
        is_the_encoding_of(case, &account);
        if case.get("channel").is_some() {
            assert_eq!(kept_account_from_json(case), account, "{case:#}");
        }
    }
    for case in list(file, "bad") {
        assert_eq!(text(case, "stage"), "decode");
        does_not_decode::<Account>(case);
    }
}

pub fn digests(file: &Value) {
    for case in list(file, "good") {
        let domain = match text(case, "domain") {
            "Params" => Domain::Params,
            "State" => Domain::State,
            "Withdrawal" => Domain::Withdrawal,
            "Refund" => Domain::Refund,
            "FundsAccount" => Domain::FundsAccount,
            "DepositAccount" => Domain::DepositAccount,
            "Proposal" => Domain::Proposal,
            "Nonce" => Domain::Nonce,
            "Payments" => Domain::Payments,
            "Request" => Domain::Request,
            "RequestText" => Domain::RequestText,
            "WatchStream" => Domain::WatchStream,
            other => panic!("no domain: {other}"),
        };
        assert_eq!(domain.tag(), &array(case, "tag"), "{case:#}");
        let hashed = digest(domain, &bytes(case, "bytes"));
        assert_eq!(hashed, array(case, "digest"), "{case:#}");
    }
}

pub fn signatures(file: &Value) {
    for case in list(file, "good") {
        let key = PublicKey::from_bytes(array(case, "public_key")).unwrap();
        let (digest, signature) = (array(case, "digest"), signature(text(case, "signature")));
        if let Some(secret) = case["secret_key"].as_str() {
            let secret = secret_key(secret);
            assert_eq!(secret.public_key(), key, "{case:#}");
            assert_eq!(secret.sign(&digest), signature, "{case:#}");
        }
        assert!(key.is_on_curve(), "{case:#}");
        assert!(is_good(&key, &digest, &signature), "{case:#}");
    }
    for case in list(file, "bad") {
        match text(case, "stage") {
            "secret key" => {
                assert!(
                    SecretKey::from_bytes(&array(case, "bytes")).is_none(),
                    "{case:#}"
                );
            }
            "public key" => {
                assert!(
                    PublicKey::from_bytes(array(case, "bytes")).is_none(),
                    "{case:#}"
                );
            }
            "verify" => {
                let key = PublicKey::from_bytes(array(case, "public_key")).unwrap();
                let signature = signature(text(case, "signature"));
                assert!(
                    !is_good(&key, &array(case, "digest"), &signature),
                    "{case:#}"
                );
            }
            other => panic!("no stage of a signature: {other}"),
        }
    }
}

/// The verdict of all backends.
fn is_good(key: &PublicKey, digest: &[u8; 32], signature: &Signature) -> bool {
    let verdict = K256::verify(key, digest, signature);
    #[cfg(feature = "secp256k1")]
    assert_eq!(verdict, Libsecp256k1::verify(key, digest, signature));
    verdict
}

/// The verdict of all backends.
fn verify_state(
    signed: UnverifiedSignedState,
    params: &Params,
) -> Result<SignedState, SignedStateError> {
    let verdict = signed.clone().verify(params);
    let id: ChannelId = params.id();
    assert_eq!(verdict, signed.clone().verify_for::<K256>(id, params));
    #[cfg(feature = "secp256k1")]
    assert_eq!(verdict, signed.verify_for::<Libsecp256k1>(id, params));
    verdict
}

/// The value and its bytes are each other's, and no part of the bytes is enough.
fn is_the_encoding_of<T: Canonical + Debug + PartialEq>(case: &Value, value: &T) {
    let bytes = bytes(case, "bytes");
    assert_eq!(value.encode(), bytes, "{case:#}");
    assert_eq!(&T::decode(&bytes).unwrap(), value, "{case:#}");
    assert!(bytes.len() <= T::MAX_ENCODED_LENGTH, "{case:#}");
    for offset in 0..bytes.len() {
        let cut = T::decode(&bytes[..offset]);
        assert_eq!(cut, Err(DecodeError::UnexpectedEnd { offset }), "{case:#}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    let trailing = DecodeError::TrailingBytes { count: 1 };
    assert_eq!(T::decode(&longer), Err(trailing), "{case:#}");
}

fn does_not_decode<T: Canonical + Debug>(case: &Value) {
    let error = T::decode(&bytes(case, "bytes")).expect_err(text(case, "name"));
    assert_eq!(decode_error_to_json(&error), case["error"], "{case:#}");
}

fn is_bad_claim<T: Canonical + Debug>(
    case: &Value,
    is_refused: impl Fn(T, &Params, Signature) -> bool,
) {
    match text(case, "stage") {
        "decode" => does_not_decode::<T>(case),
        "verify" => {
            let claim = T::decode(&bytes(case, "bytes")).unwrap();
            let params = Params::decode(&bytes(case, "params")).unwrap();
            let signature = signature(text(case, "signature"));
            assert!(is_refused(claim, &params, signature), "{case:#}");
        }
        other => panic!("no stage of a claim: {other}"),
    }
}

fn secret_key(hex: &str) -> SecretKey {
    SecretKey::from_bytes(&crate::world::unhex_array(hex)).unwrap()
}

fn signature(hex: &str) -> Signature {
    Signature::from_bytes(crate::world::unhex_array(hex))
}
