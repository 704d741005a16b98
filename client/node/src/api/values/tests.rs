use perun_protocol::{SecretKey, Signer as _};

use super::telling::told_state;
use super::*;

fn principal(number: u8) -> Principal {
    Principal::from_slice(&[number; 10]).unwrap()
}

fn keys() -> [SecretKey; 2] {
    [1, 2].map(|number| SecretKey::from_bytes(&[number; 32]).unwrap())
}

fn channel() -> Params {
    let params = Params::new(
        Nonce::from_bytes([7; 32]),
        keys().iter().map(SecretKey::participant).collect(),
        vec![AssetId::Icrc(principal(1)), AssetId::Icrc(principal(2))],
        ChallengeDuration::from_secs(3600).unwrap(),
        principal(9),
    );
    params.unwrap()
}

fn table(amounts: [u128; 4]) -> Balances {
    Balances::new(2, amounts.map(Amount::new).to_vec()).unwrap()
}

fn signed(params: &Params) -> SignedState {
    let (held, funding) = (
        table([0, 300, 1, u64::MAX.into()]),
        table([100, 200, 0, 1 << 64]),
    );
    let state = State::new(params.id(), Version::new(3), held, funding).unwrap();
    let digest = state.digest();
    let signatures = keys().iter().map(|key| key.sign(&digest)).collect();
    UnverifiedSignedState { state, signatures }
        .verify(params)
        .unwrap()
}

fn sigs(signed: &SignedState) -> Vec<Vec<u8>> {
    let signatures = signed.signatures().iter();
    signatures
        .map(|signature| signature.as_bytes().to_vec())
        .collect()
}

/// Params as perun-node tells them, and all that it does not.
fn told_params(params: &Params) -> pb::Params {
    pb::Params {
        id: params.id().as_bytes().to_vec(),
        challenge_duration: params.challenge_duration().secs().into(),
        parts: params.participants().iter().map(key_bytes).collect(),
        app: match params.app() {
            App::None => Vec::new(),
            App::Id(id) => id.to_vec(),
        },
        nonce: params.nonce().as_bytes().to_vec(),
        ledger_channel: params.kind() == ChannelKind::Ledger,
        virtual_channel: params.kind() == ChannelKind::Virtual,
        canonical: params.encode(),
    }
}

#[test]
fn what_is_told_is_read_again() {
    let expected = channel().with_aux([5; 32]);
    let signed = signed(&expected);
    let told = told_state(signed.state(), &expected);
    let read = params(&told_params(&expected), None, principal(9)).unwrap();
    assert_eq!(read, expected);
    assert_eq!(signed_state(&told, &sigs(&signed), &read).unwrap(), signed);
}

#[test]
fn without_the_canonical_encoding_the_state_tells_the_assets() {
    let expected = channel();
    let told = told_state(signed(&expected).state(), &expected);
    let mut short = told_params(&expected);
    short.canonical.clear();
    assert_eq!(params(&short, Some(&told), principal(9)).unwrap(), expected);
    assert!(params(&short, None, principal(9)).is_err());
    // The auxiliary hash cannot be told: the id is another one then.
    let mut other = told_params(&expected.clone().with_aux([5; 32]));
    other.canonical.clear();
    let error = params(&other, Some(&told), principal(9)).unwrap_err();
    assert!(error.to_string().contains("params.id"), "{error}");
}

#[test]
fn whatever_disagrees_is_refused() {
    let good = channel();
    let changes: [fn(&mut pb::Params); 7] = [
        |told| told.id[0] ^= 1,
        |told| told.challenge_duration += 1,
        |told| told.parts.swap(0, 1),
        |told| told.nonce[0] ^= 1,
        |told| told.app = vec![1; 32],
        |told| told.virtual_channel = true,
        |told| told.canonical.push(0),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut told = told_params(&good);
        change(&mut told);
        let refused = params(&told, None, principal(9));
        assert!(
            matches!(refused, Err(Error::InvalidArgument { .. })),
            "{number}"
        );
    }
    let elsewhere = params(&told_params(&good), None, principal(8));
    assert!(matches!(elsewhere, Err(Error::InvalidArgument { .. })));
}

#[test]
fn a_state_that_is_wrong_or_not_signed_by_all_is_refused() {
    let params = channel();
    let signed = signed(&params);
    let (good, sigs) = (told_state(signed.state(), &params), sigs(&signed));
    let changes: [fn(&mut pb::State); 8] = [
        |told| told.id.clear(),
        |told| told.version += 1,
        |told| told.app = vec![1; 31],
        |told| told.is_final = true,
        |told| told.funding = None,
        |told| told.allocation = None,
        |told| told.allocation.as_mut().unwrap().assets.swap(0, 1),
        |told| {
            let balances = told.allocation.as_mut().unwrap().balances.as_mut().unwrap();
            balances.balances[0].balance[0] = vec![0];
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut told = good.clone();
        change(&mut told);
        assert!(signed_state(&told, &sigs, &params).is_err(), "{number}");
    }
    assert!(signed_state(&good, &sigs[..1], &params).is_err());
    assert!(signed_state(&good, &[sigs[0].clone(), vec![0; 63]], &params).is_err());
    assert!(signed_state(&good, &[sigs[1].clone(), sigs[0].clone()], &params).is_err());
}
