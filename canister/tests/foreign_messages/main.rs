//! Messages of clients that have other types than ours: they are understood, or refused, as Candid's own
//! decoder would, but within bounds. Of damaged ones none is taken that it refuses.

mod bounds;
mod message;
mod types;

use std::fmt::Debug;

use candid::{CandidType, DecoderConfig, Nat, Principal};
use icrc_ledger_types::icrc2::allowance::Allowance;
use icrc_ledger_types::icrc2::transfer_from::TransferFromError;
use icrc_ledger_types::icrc3::blocks::GetBlocksRequest;
use icrc_ledger_types::icrc21::requests::ConsentMessageRequest;
use perun_canister::encoding::{Message, decode};
use perun_canister::http::HttpRequest;
use perun_canister_api::{
    Asset, ChannelRequest, ConcludeRequest, DepositRequest, DisputeRequest, EventsRequest,
    InitArgs, UpgradeArgs, WithdrawRequest,
};
use proptest::prelude::*;
use serde::Deserialize;

use message::message;
use types::{Choices, Ty};

const MAX_BYTES: usize = 16 * 1024;
/// What our decoder says of messages that exceed a bound.
const BOUNDS: [&str; 3] = ["too much work", "too deeply", "8 KiB"];

/// Decodes in both ways. `true` if the message was accepted.
fn agree<T>(message: &[u8], is_damaged: bool) -> Result<bool, TestCaseError>
where
    T: Message + CandidType + Debug + for<'a> Deserialize<'a>,
{
    let mut config = DecoderConfig::new();
    config.set_decoding_quota(5_000_000);
    config.set_full_error_message(false);
    let theirs = candid::utils::decode_one_with_config::<T>(message, &config);
    let ours = decode::<T>(message, MAX_BYTES);
    if let Err(refused) = &ours
        && BOUNDS.iter().any(|bound| refused.contains(bound))
    {
        return Ok(false);
    }
    if is_damaged && departs(&ours, &theirs) {
        return Ok(false);
    }
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
            Ok(true)
        }
        (Err(_), Err(_)) => Ok(false),
        (ours, theirs) => {
            let bytes = message.escape_ascii();
            let theirs = theirs.map_err(|error| error.to_string());
            Err(TestCaseError::fail(format!(
                "{bytes}\nours: {ours:?}\ntheirs: {theirs:?}"
            )))
        }
    }
}

/// Where Candid's decoder departs from Candid. Of the messages made here only damaged ones lead there, so of
/// those it is not asked whether we refuse too many:
///
/// - An empty vector of something else, where a blob may stand, it judges by the Rust type: it takes it for
///   a blob, and refuses it where 32 bytes may stand. By its type it is no blob, so none is there.
/// - Of a blob that is longer than the array that it is read into, it takes the rest for what follows.
fn departs<T>(ours: &Result<T, String>, theirs: &candid::Result<T>) -> bool {
    match (ours, theirs) {
        (Ok(_), Err(theirs)) => {
            format!("{theirs:?}").contains("invalid length 0, expected an array of length 32")
        }
        (Err(_), Ok(_)) => true,
        _ => false,
    }
}

/// A message that was to be a `T`, by a client with other types.
fn foreign<T: CandidType>(choices: &mut Choices<'_>) -> Vec<u8> {
    let ty = Ty::of(&T::ty());
    let mut arguments = vec![ty.changed(choices)];
    if choices.once_in(16) {
        arguments.push(Ty::Vec(Ty::Text.into()));
    }
    if choices.once_in(32) {
        arguments.clear();
    }
    message(&arguments, choices)
}

/// One of the messages that are decoded.
fn check(
    which: usize,
    choices: &mut Choices<'_>,
    damage: &[(u16, u8)],
) -> Result<bool, TestCaseError> {
    fn one<T>(choices: &mut Choices<'_>, damage: &[(u16, u8)]) -> Result<bool, TestCaseError>
    where
        T: Message + CandidType + Debug + for<'a> Deserialize<'a>,
    {
        let mut message = foreign::<T>(choices);
        for (place, mask) in damage {
            let place = usize::from(*place) % message.len();
            match mask {
                0 => message.truncate(place),
                1 => message.insert(place, 0),
                _ => message[place] ^= mask,
            }
            if message.is_empty() {
                break;
            }
        }
        agree::<T>(&message, !damage.is_empty())
    }
    match which {
        0 => one::<DepositRequest>(choices, damage),
        1 => one::<DisputeRequest>(choices, damage),
        2 => one::<Vec<DisputeRequest>>(choices, damage),
        3 => one::<ConcludeRequest>(choices, damage),
        4 => one::<WithdrawRequest>(choices, damage),
        5 => one::<EventsRequest>(choices, damage),
        6 => one::<ChannelRequest>(choices, damage),
        7 => one::<InitArgs>(choices, damage),
        8 => one::<Option<UpgradeArgs>>(choices, damage),
        9 => one::<Vec<GetBlocksRequest>>(choices, damage),
        10 => one::<Result<Nat, TransferFromError>>(choices, damage),
        11 => one::<Allowance>(choices, damage),
        12 => one::<Nat>(choices, damage),
        _ => one::<ConsentMessageRequest>(choices, damage),
    }
}

const CHECKED: usize = 14;

/// Not everything is refused for the same reason: many messages are other ones and understood.
#[test]
fn many_foreign_messages_are_understood() {
    let mut accepted = 0;
    for seed in 0..2_000_u32 {
        let choices: Vec<u8> = (0..9).flat_map(|part| sha256(seed, part)).collect();
        let which = seed as usize % CHECKED;
        let understood = check(which, &mut Choices(&choices), &[]).expect("both decoders agree");
        accepted += u32::from(understood);
    }
    assert!((400..1_600).contains(&accepted), "{accepted} of 2,000");
}

fn sha256(seed: u32, part: u32) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::digest([seed, part].map(u32::to_be_bytes).as_flattened()).into()
}

#[test]
fn what_is_wrong_is_said() {
    let refusal = |bytes: &[u8]| decode::<ChannelRequest>(bytes, MAX_BYTES).unwrap_err();
    #[derive(CandidType)]
    struct Other {
        channel: String,
    }
    let channel = candid::idl_hash("channel");
    for (refused, reason) in [
        (refusal(&[7; 20]), "does not begin with DIDL".to_owned()),
        (refusal(b"DIDL\x01\x6d"), "types are cut off".into()),
        (refusal(b"DIDL\0\x01\x09"), "not in the table".into()),
        (
            refusal(b"DIDL\0\0"),
            "expected record, found nothing".into(),
        ),
        (
            refusal(&candid::encode_one(7_u64).unwrap()),
            "expected record, found nat64".into(),
        ),
        (
            refusal(&{
                candid::encode_one(Other {
                    channel: "a".into(),
                })
                .unwrap()
            }),
            format!("expected vec, found text (the name's hash is {channel})"),
        ),
        (
            refusal(b"DIDL\x01\x6c\0\x01\0"),
            format!("expected vec, found nothing (the name's hash is {channel})"),
        ),
    ] {
        assert!(refused.contains(&reason), "{refused}, not {reason}");
    }
    let mut good = candid::encode_one(ChannelRequest {
        channel: vec![7; 32].into(),
    });
    let good = good.as_mut().unwrap();
    good.push(0);
    assert!(refusal(good).contains("bytes stand behind"));
    good.truncate(good.len() - 2);
    assert!(refusal(good).contains("values are cut off"));
}

/// `opt` and the like stand in the table only; and not every number is a type.
#[test]
fn a_type_that_there_is_not_is_refused() {
    for opcode in [0x6e, 0x69, 0x67] {
        let message = [b"DIDL\0\x01".as_slice(), &[opcode]].concat();
        let refused = decode::<ChannelRequest>(&message, MAX_BYTES).unwrap_err();
        assert!(refused.contains("no such type"), "{opcode:x}: {refused}");
    }
}

#[test]
fn the_methods_of_a_service_are_in_order() {
    let told = |names: [u8; 2]| {
        let [first, second] = names;
        let service = [0x69, 2, 1, first, 0, 1, second, 0];
        let message = [b"DIDL\x02\x6a\0\0\0".as_slice(), &service, &[0]].concat();
        decode::<ChannelRequest>(&message, MAX_BYTES).unwrap_err()
    };
    assert!(told(*b"ab").contains("found nothing"));
    for names in [*b"ba", *b"aa"] {
        assert!(told(names).contains("not in order"));
    }
}

/// Numbers may be written longer than they need be, opcodes not.
#[test]
fn an_opcode_takes_one_byte() {
    // Of opt, vec, record, variant, func and service, with what follows each; all read as nothing.
    let entries: [(u8, &[u8]); 6] = [
        (0x6e, b"\x7d"),
        (0x6d, b"\x7d"),
        (0x6c, b"\0"),
        (0x6b, b"\0"),
        (0x6a, b"\0\0\0"),
        (0x69, b"\0"),
    ];
    for (opcode, rest) in entries {
        for is_long in [false, true] {
            let opcode: &[u8] = match is_long {
                false => &[opcode],
                true => &[opcode | 0x80, 0x7f],
            };
            // An entry that no argument has.
            let message = [b"DIDL\x01", opcode, rest, b"\x01\x7f"].concat();
            let read = decode::<Option<UpgradeArgs>>(&message, MAX_BYTES);
            match is_long {
                false => assert_eq!(read, Ok(None)),
                true => assert!(read.unwrap_err().contains("no type that stands in a table")),
            }
        }
    }
}

/// A table has as many types as it says, and no number stands for more.
#[test]
fn a_type_that_is_not_in_the_table_is_refused() {
    let messages: [&[u8]; 4] = [
        b"DIDL\x00\x01\x00",
        b"DIDL\x01\x6e\x01\x01\x00",
        b"DIDL\x01\x6c\x01\x07\x01\x01\x00",
        b"DIDL\x01\x6a\x01\x01\x00\x00\x01\x00",
    ];
    for message in messages {
        let refused = decode::<ChannelRequest>(message, MAX_BYTES).unwrap_err();
        assert!(refused.contains("not in the table"), "{refused}");
    }
}

#[test]
fn an_empty_vector_of_something_else_is_no_blob() {
    #[derive(CandidType)]
    struct Withdrawal<T> {
        channel: Vec<u8>,
        asset: Asset,
        part: u8,
        receiver: Receiver<T>,
        signature: Vec<u8>,
    }
    #[derive(CandidType)]
    struct Receiver<T> {
        owner: Principal,
        subaccount: Option<Vec<T>>,
    }
    fn subaccount<T: CandidType>(given: Vec<T>) -> Result<Option<[u8; 32]>, String> {
        let message = candid::encode_one(Withdrawal {
            channel: vec![7; 32],
            asset: Asset::Icrc(Principal::anonymous()),
            part: 0,
            receiver: Receiver {
                owner: Principal::anonymous(),
                subaccount: Some(given),
            },
            signature: vec![7; 64],
        });
        let request = decode::<WithdrawRequest>(&message.unwrap(), MAX_BYTES)?;
        Ok(request.receiver.subaccount)
    }
    assert_eq!(subaccount(vec![7_u8; 32]), Ok(Some([7; 32])));
    assert_eq!(subaccount(Vec::<Option<u8>>::new()), Ok(None));
    for length in [0, 31, 33] {
        assert!(subaccount(vec![7_u8; length]).is_err(), "{length}");
    }
    // One that must be there is refused.
    #[derive(CandidType)]
    struct Channel<T> {
        channel: Vec<T>,
    }
    let none = Channel::<Option<u8>> { channel: vec![] };
    let refused = decode::<ChannelRequest>(&candid::encode_one(none).unwrap(), MAX_BYTES);
    assert!(refused.unwrap_err().contains("expected vec, found vec"));
}

/// Headers are tuples, which Candid's own decoder takes from longer ones wrongly; so they are not among
/// the messages above.
#[test]
fn a_gateway_is_understood() {
    #[derive(CandidType)]
    struct Gateway {
        method: &'static str,
        url: &'static str,
        headers: Vec<(&'static str, &'static str, u8)>,
        body: Vec<u8>,
        upgrade: Option<bool>,
    }
    let request = Gateway {
        method: "GET",
        url: "/",
        headers: vec![("a", "b", 7), ("c", "d", 8)],
        body: vec![1, 2],
        upgrade: Some(true),
    };
    let message = candid::encode_one(request).unwrap();
    let request: HttpRequest = decode(&message, MAX_BYTES).unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(request.headers, [pair("a", "b"), pair("c", "d")]);
    assert_eq!(
        (request.method.as_str(), request.body.as_slice()),
        ("GET", &[1, 2][..])
    );
    assert_eq!(request.certificate_version, None);
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn foreign_messages_are_understood_as_candid_has_it(
        which in 0..CHECKED,
        choices in choices(),
    ) {
        check(which, &mut Choices(&choices), &[])?;
    }

    #[test]
    fn damaged_messages_are_refused_as_candid_has_it(
        which in 0..CHECKED,
        choices in choices(),
        damage in prop::collection::vec(any::<(u16, u8)>(), 1..3),
    ) {
        check(which, &mut Choices(&choices), &damage)?;
    }
}
