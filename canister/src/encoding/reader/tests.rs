use candid::{CandidType, Nat, Principal, encode_one};
use icrc_ledger_types::icrc2::allowance::Allowance;
use icrc_ledger_types::icrc2::transfer_from::TransferFromError;
use perun_canister_api::{
    Account, Asset, ChannelRequest, Claim, ConcludeRequest, DepositRequest, DepositSource,
    DisputeRequest, EventsRequest, WithdrawRequest,
};
use serde_bytes::ByteBuf;

use super::*;

/// Where the values begin: behind what messages of one type share, which has the same length for
/// all.
fn check<T>(value: T)
where
    T: CandidType + for<'a> Deserialize<'a> + fmt::Debug + PartialEq,
{
    let message = encode_one(&value).expect("it encodes");
    let mut values = candid::ser::ValueSerializer::new();
    value.idl_serialize(&mut values).expect("it encodes");
    let values = values.get_result();
    assert!(message.ends_with(values));
    assert_eq!(read::<T>(values).as_ref(), Some(&value));
    for length in 0..values.len() {
        assert_eq!(
            read::<T>(&values[..length]),
            None,
            "{length} bytes of {value:?}"
        );
    }
    assert_eq!(
        read::<T>(&[values, &[0]].concat()),
        None,
        "{value:?} and a byte"
    );
}

#[test]
fn requests_and_answers_decode_as_they_are_encoded() {
    let ledger = Principal::from_slice(&[1, 2, 3]);
    let blob = |length| ByteBuf::from(vec![7; length]);
    let deposit = |source| DepositRequest {
        params: blob(200),
        part: 3,
        asset: Asset::Icrc(ledger),
        source,
    };
    check(deposit(DepositSource::DepositAccount));
    for expected_holding in [None, Some(0), Some(1 << 100)] {
        check(deposit(DepositSource::Approval {
            from_subaccount: expected_holding.map(|_| [9; 32]),
            amount: 300,
            expected_holding,
        }));
    }
    let claims = [
        Claim::State(blob(400)),
        Claim::Refund {
            channel: blob(32),
            part: 1,
            signature: blob(64),
        },
    ];
    claims
        .into_iter()
        .for_each(|claim| check(DisputeRequest { claim }));
    for final_state in [None, Some(blob(0))] {
        check(ConcludeRequest {
            channel: blob(32),
            final_state,
        });
    }
    check(ChannelRequest { channel: blob(32) });
    check(EventsRequest {
        channel: None,
        start: u64::MAX,
        length: 100,
    });
    for subaccount in [None, Some([5; 32])] {
        check(WithdrawRequest {
            channel: blob(32),
            asset: Asset::Icrc(ledger),
            part: 0,
            receiver: Account {
                owner: ledger,
                subaccount,
            },
            signature: blob(64),
        });
    }
    let number = Nat::from(u64::MAX);
    check(Allowance {
        allowance: number.clone(),
        expires_at: Some(1),
    });
    check(Ok::<_, TransferFromError>(number.clone()));
    let errors = [
        TransferFromError::TooOld,
        TransferFromError::BadFee {
            expected_fee: number.clone(),
        },
        TransferFromError::GenericError {
            error_code: number,
            message: "so it is".into(),
        },
    ];
    errors
        .into_iter()
        .for_each(|error| check(Err::<Nat, _>(error)));
}

#[test]
fn numbers_are_as_large_as_they_are() {
    for bits in [0, 1, 63, 64, 65, 127, 128, 129, 500] {
        for number in [
            Nat(Nat::from(1_u8).0 << bits),
            Nat((Nat::from(5_u8).0 << bits) + 3_u8),
        ] {
            let mut values = Vec::new();
            number
                .encode(&mut values)
                .expect("a vector takes every byte");
            assert_eq!(read::<u128>(&values), u128::try_from(&number.0).ok());
            assert_eq!(read::<Nat>(&values), Some(number));
        }
    }
    assert_eq!(
        read::<Nat>(&[0x85, 0x80, 0]),
        Some(Nat::from(5_u8)),
        "zeros in front"
    );
    assert_eq!(
        read::<u128>(&[[0x80; 40].as_slice(), &[0]].concat()),
        Some(0)
    );
}

#[test]
fn what_is_odd_is_refused() {
    assert_eq!(read::<Nat>(&[0x80; 40]), None);
    assert_eq!(read::<u128>(&[0xff; 19]), None);
    assert_eq!(read::<Option<u8>>(&[2, 0]), None);
    assert_eq!(read::<String>(&[1, 0xff]), None);
    assert_eq!(read::<Principal>(&[0]), None);
    assert_eq!(read::<[u8; 32]>(&[31; 32]), None);
    assert_eq!(read::<Claim>(&[2]), None);
    assert_eq!(read::<Vec<u8>>(&[0xff, 0xff, 0xff, 0xff, 0x0f]), None);
}
