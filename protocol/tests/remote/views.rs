//! Views in somebody else's words, and what is believed of them.

use perun_protocol::dispute::Rank;
use perun_protocol::remote::{SignedReceiver, UnverifiedStatus, UnverifiedView, ViewError, Watch};
use perun_protocol::view::{Status, View};
use perun_protocol::{
    Account, Amount, Balances, PartIdx, Signature, SignedState, SignedStateError, Signer, State,
    Timestamp, UnverifiedSignedState, Version, WithdrawalAuth,
};

use crate::world::{canister, params, secret_key};

fn table(amounts: &[u128]) -> Balances {
    Balances::new(2, amounts.iter().copied().map(Amount::new).collect()).unwrap()
}

fn signed(version: u64) -> SignedState {
    let params = params(1, 2);
    let version = Version::new(version);
    let state = State::new(params.id(), version, table(&[7, 3]), table(&[5, 5])).unwrap();
    let digest = state.digest();
    let signatures = [0, 1].map(|key| secret_key(key).sign(&digest)).to_vec();
    let unverified = UnverifiedSignedState { state, signatures };
    unverified.verify(&params).unwrap()
}

fn registered(version: u64) -> View {
    View {
        at: Timestamp::from_nanos(5),
        status: Status::Registered {
            rank: Rank::State(Version::new(version)),
            signed: Some(signed(version)),
            timeout: Timestamp::from_nanos(9),
            holdings: table(&[5, 5]),
        },
    }
}

fn shown(view: &UnverifiedView) -> Option<&UnverifiedSignedState> {
    match &view.status {
        UnverifiedStatus::Registered { signed, .. } => signed.as_ref(),
        _ => None,
    }
}

#[test]
fn every_view_is_the_same_behind_the_wire() {
    let params = params(1, 2);
    let refund = Status::Registered {
        rank: Rank::Refund,
        signed: None,
        timeout: Timestamp::from_nanos(9),
        holdings: table(&[5, 0]),
    };
    let concluded = Status::Concluded {
        remainders: table(&[0, 3]),
        in_flight: vec![Amount::new(7)],
    };
    let open = Status::Open {
        holdings: table(&[5, 5]),
    };
    let views = [refund, concluded, open].map(|status| View {
        at: Timestamp::from_nanos(5),
        status,
    });
    for view in views.into_iter().chain([registered(3)]) {
        for knows in [None, Some(Version::new(2)), Some(Version::new(3))] {
            let sent = UnverifiedView::of(&view, knows);
            let own = knows.map(|version| signed(version.number()));
            assert_eq!(sent.verify(&params, own.as_ref()), Ok(view.clone()));
        }
    }
}

#[test]
fn the_device_s_own_state_is_not_sent_back_to_it() {
    let view = registered(3);
    assert!(shown(&UnverifiedView::of(&view, Some(Version::new(3)))).is_none());
    assert!(shown(&UnverifiedView::of(&view, Some(Version::new(2)))).is_some());
    assert!(shown(&UnverifiedView::of(&view, None)).is_some());
}

#[test]
fn what_is_registered_must_be_shown() {
    let params = params(1, 2);
    let rank = Rank::State(Version::new(3));
    let hidden = UnverifiedView::of(&registered(3), Some(Version::new(3)));
    let missing = Err(ViewError::WrongState { rank });
    assert_eq!(hidden.clone().verify(&params, None), missing);
    assert_eq!(hidden.verify(&params, Some(&signed(4))), missing);
    let mut other = UnverifiedView::of(&registered(3), None);
    if let UnverifiedStatus::Registered { rank, .. } = &mut other.status {
        *rank = Rank::Refund;
    }
    let refused = other.verify(&params, None);
    assert_eq!(refused, Err(ViewError::WrongState { rank: Rank::Refund }));
}

#[test]
fn a_forged_state_and_another_shape_are_refused() {
    let mut forged = UnverifiedView::of(&registered(3), None);
    if let UnverifiedStatus::Registered { signed, .. } = &mut forged.status {
        signed.as_mut().unwrap().signatures[1] = Signature::from_bytes([1; 64]);
    }
    let part = PartIdx::new(1);
    let wrong = SignedStateError::WrongSignature { part };
    let refused = forged.verify(&params(1, 2), None);
    assert_eq!(refused, Err(ViewError::Signed(wrong)));
    let (open, concluded) = (
        UnverifiedStatus::Open {
            holdings: table(&[5, 5]),
        },
        UnverifiedStatus::Concluded {
            remainders: table(&[5, 5]),
            in_flight: vec![],
        },
    );
    let at = Timestamp::from_nanos(5);
    let view = |status| UnverifiedView { at, status };
    for params in [params(2, 2), params(1, 3)] {
        let refused = view(open.clone()).verify(&params, None);
        assert_eq!(refused, Err(ViewError::WrongShape));
    }
    let refused = view(concluded).verify(&params(1, 2), None);
    assert_eq!(refused, Err(ViewError::WrongShape));
}

#[test]
fn an_authorisation_is_rebuilt_from_receiver_and_signature() {
    let params = params(2, 2);
    let part = PartIdx::new(1);
    let receiver = Account::of(canister(9));
    let verify = |receivers: &[SignedReceiver]| {
        SignedReceiver::verify_all::<perun_protocol::signature::K256>(
            receivers,
            params.id(),
            &params,
            part,
        )
    };
    let auths: Vec<_> = (params.assets().iter())
        .map(|asset| {
            let auth = WithdrawalAuth {
                channel: params.id(),
                asset: *asset,
                part,
                receiver,
            };
            let signature = auth.sign(&secret_key(1));
            auth.verify(&params, signature).unwrap()
        })
        .collect();
    let sent: Vec<_> = auths.iter().map(SignedReceiver::of).collect();
    assert_eq!(verify(&sent), Some(auths));
    assert_eq!(verify(&sent[..1]), None, "one is missing");
    let swapped: Vec<_> = sent.iter().copied().rev().collect();
    assert_eq!(verify(&swapped), None, "each is for its asset");
    let mut redirected = sent;
    redirected[0].receiver = Account::of(canister(8));
    assert_eq!(verify(&redirected), None, "the receiver is signed");
}

#[test]
fn a_watch_has_an_authorisation_of_its_participant_for_each_asset() {
    let params = params(2, 2);
    let part = PartIdx::new(1);
    let signed_by = |key: usize| -> Vec<_> {
        let assets = params.assets().iter();
        let auths = assets.map(|asset| WithdrawalAuth {
            channel: params.id(),
            asset: *asset,
            part,
            receiver: Account::of(canister(9)),
        });
        auths
            .map(|auth| SignedReceiver {
                receiver: auth.receiver,
                signature: auth.sign(&secret_key(key)),
            })
            .collect()
    };
    let verified = |part, auths: &[SignedReceiver]| {
        let watch = Watch {
            channel: params.id(),
            part,
            params: None,
            auths: auths.to_vec(),
            newest: None,
            knows: None,
        };
        watch.verify_auths(&params)
    };
    let auths = signed_by(1);
    let good = verified(part, &auths).unwrap();
    let assets: Vec<_> = good.iter().map(|signed| signed.auth().asset).collect();
    assert_eq!(assets, params.assets());
    assert_eq!(verified(PartIdx::new(0), &auths), None);
    assert_eq!(verified(part, &auths[..1]), None);
    assert_eq!(verified(part, &signed_by(0)), None);
}
