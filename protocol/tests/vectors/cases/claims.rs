//! Withdrawal authorisations and refund claims: what one participant signs alone.

use perun_protocol::encoding::{Canonical, DecodeError, Domain, digest};
use perun_protocol::{
    Account, AssetId, ChannelId, PartIdx, Principal, RefundClaim, Signature, Signer, WithdrawalAuth,
};
use serde_json::{Value, json};

use super::{File, out_of_bounds, splice, undecodable, unknown, with};
use crate::form::{refund_to_json, withdrawal_to_json};
use crate::world::{
    ALICE, BOB, assets, canister, hex, params, secret_bytes, secret_key, with_other_s,
};

pub fn withdrawals() -> File {
    File {
        name: "withdrawals",
        about: "Withdrawal authorisations, signed by the participant they name",
        good: good_withdrawals(),
        bad: [undecodable_withdrawals(), unverified_withdrawals()].concat(),
    }
}

pub fn refunds() -> File {
    File {
        name: "refunds",
        about: "Refund claims, signed by the participant they name",
        good: good_refunds(),
        bad: [undecodable_refunds(), unverified_refunds()].concat(),
    }
}

fn wallet(bytes: &[u8]) -> Account {
    Account::of(Principal::from_slice(bytes).unwrap())
}

fn withdrawal() -> WithdrawalAuth {
    WithdrawalAuth {
        channel: params(1, 2).id(),
        asset: assets(1)[0],
        part: BOB,
        receiver: wallet(&[0xb0; 29]),
    }
}

fn good_withdrawals() -> Vec<Value> {
    let receiver = Account {
        subaccount: [0x5a; 32],
        ..wallet(&[0xb0; 29])
    };
    let auth = withdrawal();
    let second_asset = WithdrawalAuth {
        channel: params(2, 2).id(),
        asset: assets(2)[1],
        ..auth
    };
    let sixteenth = WithdrawalAuth {
        channel: params(1, 16).id(),
        part: PartIdx::new(15),
        ..auth
    };
    let to_canister = wallet(canister(7).as_slice());
    let cases = [
        ("to a default account", 1, 2, auth),
        ("to a subaccount", 1, 2, WithdrawalAuth { receiver, ..auth }),
        (
            "by the first participant",
            1,
            2,
            WithdrawalAuth {
                part: ALICE,
                ..auth
            },
        ),
        (
            "to a canister",
            1,
            2,
            WithdrawalAuth {
                receiver: to_canister,
                ..auth
            },
        ),
        (
            "to the anonymous principal",
            1,
            2,
            WithdrawalAuth {
                receiver: wallet(&[4]),
                ..auth
            },
        ),
        ("of the second asset", 2, 2, second_asset),
        ("by the sixteenth participant", 1, 16, sixteenth),
    ];
    let case = |(name, assets, parts, auth): (&str, usize, usize, WithdrawalAuth)| {
        let signer = auth.part.index();
        json!({
            "name": name,
            "value": withdrawal_to_json(&auth),
            "bytes": hex(&auth.encode()),
            "digest": hex(&auth.digest()),
            "params": hex(&params(assets, parts).encode()),
            "secret_key": hex(&secret_bytes(signer)),
            "signature": hex(auth.sign(&secret_key(signer)).as_bytes()),
        })
    };
    cases.into_iter().map(case).collect()
}

fn undecodable_withdrawals() -> Vec<Value> {
    // Channel, asset (tag, length, 10 bytes), participant, owner (length, 29 bytes), subaccount.
    let (asset, owner, length) = (32, 45, 107);
    let bytes = withdrawal().encode();
    assert_eq!(bytes.len(), length);
    let end = |offset| DecodeError::UnexpectedEnd { offset };
    let trailing = DecodeError::TrailingBytes { count: 1 };
    let principal = |found| out_of_bounds("principal", found, 1, 29);
    vec![
        undecodable("nothing", &[], end(0)),
        undecodable(
            "without a subaccount",
            &bytes[..length - 32],
            end(length - 32),
        ),
        undecodable(
            "truncated by one byte",
            &bytes[..length - 1],
            end(length - 1),
        ),
        undecodable(
            "one byte too many",
            &splice(&bytes, length, 0, &[0]),
            trailing,
        ),
        undecodable(
            "asset tag 0",
            &with(&bytes, asset, &[0]),
            unknown("asset", 0),
        ),
        undecodable("empty receiver", &with(&bytes, owner, &[0]), principal(0)),
        undecodable(
            "receiver of 30 bytes",
            &with(&bytes, owner, &[30]),
            principal(30),
        ),
    ]
}

/// A case that decodes and does not verify for the params of two.
fn unverified(name: &str, bytes: &[u8], signature: Signature) -> Value {
    json!({
        "name": name,
        "stage": "verify",
        "params": hex(&params(1, 2).encode()),
        "bytes": hex(bytes),
        "signature": hex(signature.as_bytes()),
        "error": { "name": "NotSigned" },
    })
}

fn unverified_withdrawals() -> Vec<Value> {
    let auth = withdrawal();
    let (alice, bob) = (secret_key(0), secret_key(1));
    let good = auth.sign(&bob);
    let case = |name, auth: WithdrawalAuth, signature| unverified(name, &auth.encode(), signature);
    let nobody = WithdrawalAuth {
        part: PartIdx::new(2),
        ..auth
    };
    let channel = ChannelId::from_bytes([0xc1; 32]);
    let asset = AssetId::Icrc(canister(2));
    let receiver = wallet(&[0xa1; 29]);
    let subaccount = [1; 32];
    let aside = Account {
        subaccount,
        ..auth.receiver
    };
    let over = |domain| bob.sign(&digest(domain, &auth.encode()));
    vec![
        case("by another participant", auth, auth.sign(&alice)),
        case(
            "for another participant",
            WithdrawalAuth {
                part: ALICE,
                ..auth
            },
            good,
        ),
        case("for nobody", nobody, nobody.sign(&secret_key(2))),
        case(
            "redirected to another owner",
            WithdrawalAuth { receiver, ..auth },
            good,
        ),
        case(
            "redirected aside",
            WithdrawalAuth {
                receiver: aside,
                ..auth
            },
            good,
        ),
        case(
            "for another channel",
            WithdrawalAuth { channel, ..auth },
            good,
        ),
        case("for another asset", WithdrawalAuth { asset, ..auth }, good),
        case("high s", auth, with_other_s(&good)),
        case("over the state domain", auth, over(Domain::State)),
        case("over the refund domain", auth, over(Domain::Refund)),
        case("zeros", auth, Signature::from_bytes([0; 64])),
    ]
}

fn refund() -> RefundClaim {
    RefundClaim {
        channel: params(1, 2).id(),
        part: BOB,
    }
}

fn good_refunds() -> Vec<Value> {
    let claim = refund();
    let sixteenth = RefundClaim {
        channel: params(1, 16).id(),
        part: PartIdx::new(15),
    };
    let cases = [
        ("by the second participant", 2, claim),
        (
            "by the first participant",
            2,
            RefundClaim {
                part: ALICE,
                ..claim
            },
        ),
        ("by the sixteenth participant", 16, sixteenth),
    ];
    let case = |(name, parts, claim): (&str, usize, RefundClaim)| {
        let signer = claim.part.index();
        json!({
            "name": name,
            "value": refund_to_json(&claim),
            "bytes": hex(&claim.encode()),
            "digest": hex(&claim.digest()),
            "params": hex(&params(1, parts).encode()),
            "secret_key": hex(&secret_bytes(signer)),
            "signature": hex(claim.sign(&secret_key(signer)).as_bytes()),
        })
    };
    cases.into_iter().map(case).collect()
}

fn undecodable_refunds() -> Vec<Value> {
    let bytes = refund().encode();
    assert_eq!(bytes.len(), 33);
    let end = |offset| DecodeError::UnexpectedEnd { offset };
    let trailing = DecodeError::TrailingBytes { count: 1 };
    vec![
        undecodable("nothing", &[], end(0)),
        undecodable("a channel and no participant", &bytes[..32], end(32)),
        undecodable("one byte too many", &splice(&bytes, 33, 0, &[0]), trailing),
    ]
}

fn unverified_refunds() -> Vec<Value> {
    let claim = refund();
    let (alice, bob) = (secret_key(0), secret_key(1));
    let good = claim.sign(&bob);
    let case = |name, claim: RefundClaim, signature| unverified(name, &claim.encode(), signature);
    let nobody = RefundClaim {
        part: PartIdx::new(255),
        ..claim
    };
    let channel = ChannelId::from_bytes([0xc1; 32]);
    let over = |domain| bob.sign(&digest(domain, &claim.encode()));
    vec![
        case("by another participant", claim, claim.sign(&alice)),
        case(
            "for another participant",
            RefundClaim {
                part: ALICE,
                ..claim
            },
            good,
        ),
        case("for nobody", nobody, nobody.sign(&bob)),
        case(
            "for another channel",
            RefundClaim { channel, ..claim },
            good,
        ),
        case("high s", claim, with_other_s(&good)),
        // The bytes of a refund claim are those that a deposit account is the hash of.
        case(
            "over the deposit account domain",
            claim,
            over(Domain::DepositAccount),
        ),
        case(
            "over the withdrawal domain",
            claim,
            over(Domain::Withdrawal),
        ),
    ]
}
