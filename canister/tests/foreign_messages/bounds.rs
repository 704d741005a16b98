//! What is refused for its size, and what is just not.

use candid::CandidType;
use perun_canister::encoding::decode;
use perun_canister_api::{ChannelRequest, Claim, DisputeRequest, UpgradeArgs};

use crate::MAX_BYTES;

fn refusal(bytes: &[u8]) -> String {
    decode::<ChannelRequest>(bytes, MAX_BYTES).unwrap_err()
}

#[test]
fn a_message_may_be_as_long_as_it_says() {
    let channel = vec![7; 32].into();
    let message = candid::encode_one(ChannelRequest { channel }).unwrap();
    let decode = |most| decode::<ChannelRequest>(&message, most);
    let length = message.len();
    assert!(decode(length).is_ok());
    let refused = format!(
        "the message has {length} bytes, at most {} are decoded",
        length - 1
    );
    assert_eq!(decode(length - 1), Err(refused));
}

#[test]
fn work_is_bounded() {
    // A vector of eight million nulls.
    let nulls = b"DIDL\x01\x6d\x7f\x01\0\xff\xff\xff\xff\x03";
    let refused = decode::<Option<UpgradeArgs>>(nulls, MAX_BYTES).unwrap_err();
    assert!(refused.contains("too much work"), "{refused}");
    // A record that has itself as a field.
    let refused = decode::<Option<UpgradeArgs>>(b"DIDL\x01\x6c\x01\0\0\x01\0", MAX_BYTES);
    assert!(refused.unwrap_err().contains("too deeply"));
    let table = [b"DIDL\xff\x7f".as_slice(), &b"\x6e\x7f".repeat(5_000)].concat();
    assert!(refusal(&table).contains("8 KiB"));
    let long = refusal(&vec![0; MAX_BYTES + 1]);
    assert!(long.contains("16385 bytes, at most 16384"), "{long}");
}

/// The longer a message is, the more work it may take.
#[test]
fn a_long_message_is_understood() {
    #[derive(CandidType)]
    struct Foreign {
        claim: Claim,
        hint: Vec<Option<u16>>,
    }
    let claim = Claim::State(vec![7; 12_000].into());
    let message = candid::encode_one(Foreign {
        claim: claim.clone(),
        hint: vec![Some(1); 1_000],
    });
    let request: DisputeRequest = decode(&message.unwrap(), MAX_BYTES).unwrap();
    assert_eq!(request, DisputeRequest { claim });
}

/// A value that takes no byte is work all the same.
#[test]
fn each_byte_may_cost_a_little_work() {
    #[derive(CandidType)]
    struct Foreign {
        channel: Vec<u8>,
        hints: Vec<Hint>,
    }
    #[derive(CandidType, Clone)]
    struct Hint {
        flag: bool,
        nothing: (),
    }
    let hint = Hint {
        flag: true,
        nothing: (),
    };
    let message = candid::encode_one(Foreign {
        channel: vec![7; 32],
        hints: vec![hint; 2_000],
    });
    let request = decode::<ChannelRequest>(&message.unwrap(), MAX_BYTES).unwrap();
    assert_eq!(*request.channel, [7; 32]);
}

#[test]
fn values_nest_as_deeply_as_the_bound_says() {
    // An `opt` in an `opt` and so on, and a bool in the innermost: none of that is expected, so it is none.
    let nested = |depth: u8| {
        let mut message = [b"DIDL".as_slice(), &[depth]].concat();
        for inner in 1..depth {
            message.extend([0x6e, inner]);
        }
        message.extend([0x6e, 0x7e, 1, 0]);
        message.extend(vec![1; usize::from(depth) + 1]);
        decode::<Option<UpgradeArgs>>(&message, MAX_BYTES)
    };
    assert_eq!(nested(32), Ok(None));
    assert!(nested(33).unwrap_err().contains("too deeply"));
}

#[test]
fn types_may_take_8_kib() {
    const MOST: usize = 8 * 1024;
    // Many entries that nothing uses, and a record without fields.
    let table = |entries: usize| {
        let mut message = b"DIDL".to_vec();
        let count = entries + 1;
        message.extend([count as u8 & 0x7f | 0x80, (count >> 7) as u8]);
        message.extend(b"\x6e\x7f".repeat(entries));
        message.extend(b"\x6c\x00\x01");
        let record = entries as i64;
        message.extend([record as u8 & 0x7f | 0x80, (record >> 7) as u8]);
        message
    };
    for entries in [600, (MOST - 11) / 2] {
        let message = table(entries);
        assert!(message.len() <= MOST);
        let refused = refusal(&message);
        assert!(refused.contains("found nothing"), "{entries}: {refused}");
    }
    // Where they are cut off only the message's end can be to blame, unless it is longer.
    let endless = |length: usize| {
        let mut message = [b"DIDL\xff\x7f".as_slice(), &b"\x6e\x7f".repeat(length / 2)].concat();
        message.truncate(length);
        refusal(&message)
    };
    assert!(endless(MOST).contains("types are cut off"));
    assert!(endless(MOST + 1).contains("8 KiB"));
    // What is wrong before is told as it is.
    assert!(refusal(&[7; MOST + 1]).contains("does not begin with DIDL"));
}
