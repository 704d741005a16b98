//! Requests as real agents sign them, and every way in which they may be wrong.

use std::borrow::Cow;

use ic_agent::Identity;
use ic_agent::identity::{BasicIdentity, Prime256v1Identity, Secp256k1Identity};
use ic_transport_types::{Delegation, SenderInfo};

use super::*;

const NOW: Window = Window {
    earliest_ns: 1_000_000_000_000,
    latest_ns: 1_000_000_000_000,
};
const SOON: u64 = NOW.earliest_ns + 60_000_000_000;

fn canister(n: u8) -> Principal {
    Principal::from_slice(&[n, 1, 1])
}

fn call(sender: Principal) -> EnvelopeContent {
    EnvelopeContent::Call {
        nonce: Some(vec![1; 16]),
        ingress_expiry: SOON,
        sender,
        canister_id: canister(1),
        method_name: "inc".into(),
        arg: b"DIDL\0\0".to_vec(),
        sender_info: None,
    }
}

fn query(sender: Principal) -> EnvelopeContent {
    EnvelopeContent::Query {
        nonce: None,
        ingress_expiry: SOON,
        sender,
        canister_id: canister(1),
        method_name: "read".into(),
        arg: vec![],
        sender_info: None,
    }
}

fn read_state(sender: Principal) -> EnvelopeContent {
    EnvelopeContent::ReadState {
        ingress_expiry: SOON,
        sender,
        paths: vec![vec!["time".into()]],
    }
}

fn ed25519(seed: u8) -> BasicIdentity {
    BasicIdentity::from_raw_key(&[seed; 32])
}

fn secp256k1(seed: u8) -> Secp256k1Identity {
    Secp256k1Identity::from_private_key(k256::SecretKey::from_slice(&[seed; 32]).unwrap())
}

fn p256(seed: u8) -> Prime256v1Identity {
    Prime256v1Identity::from_private_key(p256::SecretKey::from_slice(&[seed; 32]).unwrap())
}

fn signed(content: EnvelopeContent, by: &dyn Identity) -> Envelope<'static> {
    let signature = by.sign(&content).unwrap();
    Envelope {
        content: Cow::Owned(content),
        sender_pubkey: signature.public_key,
        sender_sig: signature.signature,
        sender_delegation: signature.delegations,
    }
}

fn unsigned(content: EnvelopeContent) -> Envelope<'static> {
    let content = Cow::Owned(content);
    Envelope {
        content,
        sender_pubkey: None,
        sender_sig: None,
        sender_delegation: None,
    }
}

fn refusal(envelope: Envelope<'static>) -> AuthError {
    authenticate(envelope, NOW).expect_err("must be refused")
}

/// A chain of delegations from `path[0]` over each identity to the last, which signs.
fn delegated(
    content: impl Fn(Principal) -> EnvelopeContent,
    path: &[&dyn Identity],
    restrict: impl Fn(usize, &mut Delegation),
) -> Envelope<'static> {
    let content = content(path[0].sender().unwrap());
    let mut chain = Vec::new();
    for (index, pair) in path.windows(2).enumerate() {
        let mut delegation = Delegation {
            pubkey: pair[1].public_key().unwrap(),
            expiration: SOON,
            targets: None,
            permissions: None,
        };
        restrict(index, &mut delegation);
        let signature = pair[0]
            .sign_delegation(&delegation)
            .unwrap()
            .signature
            .unwrap();
        chain.push(SignedDelegation {
            delegation,
            signature,
        });
    }
    let last = path[path.len() - 1];
    let mut envelope = signed(content, last);
    envelope.sender_pubkey = path[0].public_key();
    envelope.sender_delegation = Some(chain);
    envelope
}

#[test]
fn the_three_kinds_of_identity_are_let_in() {
    let identities: [&dyn Identity; 3] = [&ed25519(1), &secp256k1(2), &p256(3)];
    for identity in identities {
        let sender = identity.sender().unwrap();
        for content in [call(sender), query(sender), read_state(sender)] {
            let id = content.to_request_id();
            let request = authenticate(signed(content, identity), NOW).unwrap();
            assert_eq!(request.request_id, id);
            assert_eq!(*request.content.sender(), sender);
            assert!(request.may_target(&canister(9)));
        }
    }
}

#[test]
fn the_anonymous_sender_needs_no_signature_and_may_have_none() {
    assert!(authenticate(unsigned(call(Principal::anonymous())), NOW).is_ok());
    let mut pretending = signed(call(Principal::anonymous()), &ed25519(1));
    assert_eq!(
        refusal(pretending.clone()),
        AuthError::AnonymousWithSignature
    );
    pretending.sender_pubkey = None;
    assert_eq!(refusal(pretending), AuthError::AnonymousWithSignature);
}

#[test]
fn nobody_speaks_for_somebody_else() {
    let (alice, mallory) = (ed25519(1), ed25519(2));
    let sender = alice.sender().unwrap();
    assert_eq!(
        refusal(unsigned(call(sender))),
        AuthError::MissingKey { sender }
    );

    let mut forged = signed(call(sender), &mallory);
    let owner = mallory.sender().unwrap();
    assert_eq!(
        refusal(forged.clone()),
        AuthError::ForeignKey { sender, owner }
    );

    forged.sender_pubkey = alice.public_key();
    let wrong = KeyError::WrongSignature {
        algorithm: "Ed25519",
    };
    assert_eq!(refusal(forged.clone()), AuthError::Request(wrong));

    forged.sender_sig = None;
    assert_eq!(refusal(forged), AuthError::MissingSignature { sender });
}

#[test]
fn a_changed_request_is_refused() {
    for identity in [&ed25519(1) as &dyn Identity, &secp256k1(1), &p256(1)] {
        let mut envelope = signed(call(identity.sender().unwrap()), identity);
        if let EnvelopeContent::Call { arg, .. } = envelope.content.to_mut() {
            arg.push(0);
        }
        let error = refusal(envelope);
        assert!(
            matches!(error, AuthError::Request(KeyError::WrongSignature { .. })),
            "{error}"
        );
    }
}

#[test]
fn a_sender_that_is_no_hash_of_a_key_is_refused() {
    let opaque = canister(7);
    let error = refusal(signed(call(opaque), &ed25519(1)));
    assert!(
        matches!(error, AuthError::ForeignKey { sender, .. } if sender == opaque),
        "{error}"
    );
}

#[test]
fn a_request_expires_by_the_slower_clock_and_not_before() {
    let at = |machine_s: u64, replica_s: u64| {
        let window = Window::new(machine_s * 1_000_000_000, replica_s * 1_000_000_000);
        authenticate(unsigned(call(Principal::anonymous())), window).map(|_| ())
    };
    let expiry_s = SOON / 1_000_000_000;
    assert_eq!(at(expiry_s - 1, expiry_s - 1), Ok(()));
    // Time was moved a day ahead by hand: agents still set their expiry by the machine's clock.
    assert_eq!(at(expiry_s - 1, expiry_s + 86_400), Ok(()));
    assert!(matches!(
        at(expiry_s, expiry_s + 5),
        Err(AuthError::Expired { .. })
    ));
    assert!(matches!(
        at(expiry_s, expiry_s),
        Err(AuthError::Expired { .. })
    ));
    // Six minutes ahead are allowed, of whichever clock is ahead.
    assert_eq!(at(expiry_s - 360, expiry_s - 360), Ok(()));
    assert_eq!(at(expiry_s - 900, expiry_s - 360), Ok(()));
    assert!(matches!(
        at(expiry_s - 361, expiry_s - 361),
        Err(AuthError::ExpiryTooFarAhead { .. })
    ));
}

#[test]
fn an_expiry_at_the_end_of_time_is_refused_without_overflow() {
    let mut content = call(Principal::anonymous());
    if let EnvelopeContent::Call { ingress_expiry, .. } = &mut content {
        *ingress_expiry = u64::MAX;
    }
    assert!(matches!(
        refusal(unsigned(content.clone())),
        AuthError::ExpiryTooFarAhead { .. }
    ));
    assert!(authenticate(unsigned(content), Window::new(u64::MAX - 1, 0)).is_ok());
}

#[test]
fn bounds_of_the_content_are_checked() {
    let mut content = call(Principal::anonymous());
    if let EnvelopeContent::Call { nonce, .. } = &mut content {
        *nonce = Some(vec![0; 33]);
    }
    assert_eq!(
        refusal(unsigned(content)),
        AuthError::NonceTooLong { len: 33 }
    );

    let mut content = query(Principal::anonymous());
    if let EnvelopeContent::Query { sender_info, .. } = &mut content {
        *sender_info = Some(SenderInfo {
            info: vec![],
            signer: vec![],
            sig: vec![],
        });
    }
    assert_eq!(refusal(unsigned(content)), AuthError::SenderInfo);
}

#[test]
fn a_delegation_chain_over_all_kinds_of_keys_is_followed() {
    let path: [&dyn Identity; 4] = [&p256(1), &ed25519(2), &secp256k1(3), &ed25519(4)];
    let request = authenticate(delegated(call, &path, |_, _| {}), NOW).unwrap();
    assert_eq!(*request.content.sender(), path[0].sender().unwrap());
    assert_eq!(request.targets, None);
}

#[test]
fn a_link_signed_by_another_key_breaks_the_chain() {
    let path: [&dyn Identity; 3] = [&ed25519(1), &ed25519(2), &ed25519(3)];
    let mut envelope = delegated(call, &path, |_, _| {});
    let chain = envelope.sender_delegation.as_mut().unwrap();
    chain[1].signature = ed25519(9)
        .sign_delegation(&chain[1].delegation)
        .unwrap()
        .signature
        .unwrap();
    let error = KeyError::WrongSignature {
        algorithm: "Ed25519",
    };
    assert_eq!(refusal(envelope), AuthError::Delegation { index: 1, error });
}

#[test]
fn the_first_key_may_not_skip_its_own_chain() {
    let alice = ed25519(1);
    let mut envelope = delegated(call, &[&alice, &ed25519(2)], |_, _| {});
    envelope.sender_sig = alice
        .sign(&call(alice.sender().unwrap()))
        .unwrap()
        .signature;
    let error = KeyError::WrongSignature {
        algorithm: "Ed25519",
    };
    assert_eq!(refusal(envelope), AuthError::Request(error));
}

#[test]
fn an_expired_delegation_is_refused() {
    let envelope = delegated(call, &[&ed25519(1), &ed25519(2)], |_, d| {
        d.expiration = NOW.earliest_ns - 1;
    });
    let error = refusal(envelope);
    assert!(
        matches!(error, AuthError::DelegationExpired { index: 0, .. }),
        "{error}"
    );
}

#[test]
fn targets_only_narrow_down() {
    let path: [&dyn Identity; 3] = [&ed25519(1), &ed25519(2), &ed25519(3)];
    let narrowed = |first: &[u8], second: &[u8]| {
        let lists = [first, second].map(|ids| ids.iter().map(|n| canister(*n)).collect());
        authenticate(
            delegated(call, &path, |index, d| {
                d.targets = Some(Vec::clone(&lists[index]))
            }),
            NOW,
        )
    };
    let request = narrowed(&[1, 2], &[1, 3]).unwrap();
    assert!(request.may_target(&canister(1)));
    assert!(!request.may_target(&canister(2)) && !request.may_target(&canister(3)));
    let refused = AuthError::NotATarget {
        canister: canister(1),
    };
    assert_eq!(narrowed(&[1, 2], &[2]).unwrap_err(), refused);
    assert_eq!(narrowed(&[2], &[1]).unwrap_err(), refused);
    assert_eq!(narrowed(&[], &[1]).unwrap_err(), refused);
}

#[test]
fn a_queries_only_delegation_makes_no_calls() {
    let path: [&dyn Identity; 3] = [&ed25519(1), &ed25519(2), &ed25519(3)];
    let restrict = |index: usize, d: &mut Delegation| {
        d.permissions = Some(match index {
            0 => DelegationPermissions::Queries,
            _ => DelegationPermissions::All,
        });
    };
    assert_eq!(
        refusal(delegated(call, &path, restrict)),
        AuthError::QueriesOnly { index: 0 }
    );
    assert!(authenticate(delegated(query, &path, restrict), NOW).is_ok());
    assert!(authenticate(delegated(read_state, &path, restrict), NOW).is_ok());
}

#[test]
fn chains_are_bounded_and_have_no_cycles() {
    let identities: Vec<BasicIdentity> = (1..=22).map(ed25519).collect();
    let path: Vec<&dyn Identity> = identities.iter().map(|i| i as &dyn Identity).collect();
    assert!(authenticate(delegated(call, &path[..21], |_, _| {}), NOW).is_ok());
    let too_long = delegated(call, &path, |_, _| {});
    assert_eq!(
        refusal(too_long),
        AuthError::TooManyDelegations { count: 21 }
    );

    let cycle = delegated(call, &[path[0], path[1], path[0]], |_, _| {});
    assert_eq!(refusal(cycle), AuthError::DelegationCycle { index: 1 });

    let crowded = delegated(call, &path[..2], |_, d| {
        d.targets = Some(vec![canister(1); MAX_TARGETS + 1]);
    });
    assert_eq!(
        refusal(crowded),
        AuthError::TooManyTargets {
            index: 0,
            count: 1_001
        }
    );
}

#[test]
fn refusals_read_well() {
    let alice = ed25519(1).sender().unwrap();
    let text = refusal(signed(call(alice), &ed25519(2))).to_string();
    assert!(text.starts_with("sender_pubkey belongs to "), "{text}");
    assert!(
        text.ends_with(&format!("not to the sender {alice}")),
        "{text}"
    );
}
