//! Accounts: where the adjudicator keeps money, and any other.

use perun_protocol::encoding::{Canonical, DecodeError};
use perun_protocol::{Account, ChannelId, PartIdx, Principal};
use serde_json::{Value, json};

use super::{File, out_of_bounds, splice, undecodable, with};
use crate::form::account_to_json;
use crate::world::{adjudicator, hex, longest_params, params};

pub fn file() -> File {
    File {
        name: "accounts",
        about: "Accounts: a channel's funds (part is null), deposit accounts, and plain ones",
        good: [kept(), plain()].concat(),
        bad: bad(),
    }
}

fn kept() -> Vec<Value> {
    let case = |name: &str, owner: Principal, channel: ChannelId, part: Option<u8>| {
        let account = match part {
            None => Account::of_funds(owner, channel),
            Some(part) => Account::of_deposit_for(owner, channel, PartIdx::new(part)),
        };
        json!({
            "name": name,
            "adjudicator": hex(owner.as_slice()),
            "channel": hex(channel.as_bytes()),
            "part": part,
            "value": account_to_json(&account),
            "bytes": hex(&account.encode()),
        })
    };
    let (two, longest) = (params(1, 2).id(), longest_params());
    let zeros = ChannelId::from_bytes([0; 32]);
    vec![
        case("funds", adjudicator(), two, None),
        case(
            "funds of another channel",
            adjudicator(),
            params(2, 2).id(),
            None,
        ),
        case(
            "funds at another adjudicator",
            longest.adjudicator(),
            longest.id(),
            None,
        ),
        case("deposits of the first", adjudicator(), two, Some(0)),
        case("deposits of the second", adjudicator(), two, Some(1)),
        case(
            "deposits of the sixteenth",
            longest.adjudicator(),
            longest.id(),
            Some(15),
        ),
        case("funds of channel zero", adjudicator(), zeros, None),
        case(
            "deposits of the first of channel zero",
            adjudicator(),
            zeros,
            Some(0),
        ),
    ]
}

fn plain() -> Vec<Value> {
    let case = |name: &str, owner: &[u8], subaccount: [u8; 32]| {
        let owner = Principal::from_slice(owner).unwrap();
        let account = Account { owner, subaccount };
        json!({
            "name": name,
            "value": account_to_json(&account),
            "bytes": hex(&account.encode()),
        })
    };
    vec![
        case("the anonymous principal's default", &[4], [0; 32]),
        case(
            "the longest owner, the last subaccount",
            &[0xff; 29],
            [0xff; 32],
        ),
        case("an owner of zeros", &[0; 10], [0; 32]),
    ]
}

fn bad() -> Vec<Value> {
    let bytes = Account::of(adjudicator()).encode();
    assert_eq!(bytes.len(), 43);
    let end = |offset| DecodeError::UnexpectedEnd { offset };
    let trailing = DecodeError::TrailingBytes { count: 1 };
    let principal = |found| out_of_bounds("principal", found, 1, 29);
    vec![
        undecodable("nothing", &[], end(0)),
        undecodable("no subaccount", &bytes[..11], end(11)),
        undecodable("truncated by one byte", &bytes[..42], end(42)),
        undecodable("one byte too many", &splice(&bytes, 43, 0, &[0]), trailing),
        undecodable("empty owner", &with(&bytes, 0, &[0]), principal(0)),
        undecodable("owner of 30 bytes", &with(&bytes, 0, &[30]), principal(30)),
    ]
}
