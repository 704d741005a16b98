use std::string::{String, ToString};

use super::*;

const PEER: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
const NODE: &str = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5";

/// The shortest settings that are complete.
fn shortest() -> String {
    std::format!(
        "peer = {PEER}@10.0.0.1:1337
         node = {NODE}@10.0.0.1:1338
         adjudicator = 80000000001000010101
         asset = 80000000001000020101
         receiver = 1d02"
    )
}

/// What is said about the shortest settings with `line` behind them, which is the sixth.
fn complaint(line: &str) -> String {
    let text = std::format!("{}\n{line}", shortest());
    Settings::parse(&text)
        .expect_err("must be refused")
        .to_string()
}

#[track_caller]
fn assert_complains(line: &str, complaint_about_it: &str) {
    assert_eq!(
        complaint(line),
        std::format!("settings, line 6: {complaint_about_it}")
    );
}

fn principal(bytes: &[u8]) -> Principal {
    Principal::from_slice(bytes).unwrap()
}

#[test]
fn what_is_not_said_is_as_in_the_table() {
    let text = shortest();
    let settings = Settings::parse(&text).unwrap();
    assert_eq!(settings.peers.len(), 1);
    assert_eq!(
        settings.peers[0].address,
        Some("10.0.0.1:1337".parse().unwrap())
    );
    assert_eq!(
        settings.asset,
        principal(&[128, 0, 0, 0, 0, 16, 0, 2, 1, 1])
    );
    assert_eq!(settings.receiver, Account::of(principal(&[0x1d, 2])));
    assert_eq!(settings.balance, [Amount::new(100_000); 2]);
    assert_eq!(settings.challenge.secs(), 3600);
    assert_eq!(settings.pay, Amount::new(100));
    assert_eq!(settings.policy, Policy::default());
    assert!(!settings.quick);
    assert_eq!(settings.address, Address::Dhcp);
    assert_eq!(settings.listen, None);
}

#[test]
fn everything_can_be_said() {
    let subaccount = "07".repeat(32);
    let text = std::format!(
        "# The owner's board.
        peer={PEER}            # It dials us.
        node = {NODE}@10.0.0.1:1338
        node = {PEER}@10.0.0.3:1338

        adjudicator = 80000000001000010101
        asset = 80000000001000020101
        receiver = 1d02.{subaccount}
        balance = 7 / 340282366920938463463374607431768211455
        challenge-secs = 25
        pay = 3
        per-payment = 50
        per-period = 500
        period-secs = 86400
        ask-above = 10
        max-deposit = 9
        receive-only = yes
        quick = yes
        address = 10.0.0.2/24 10.0.0.1
        listen = 1234"
    );
    let settings = Settings::parse(&text).unwrap();
    assert_eq!(settings.peers[0].address, None);
    assert_eq!(settings.nodes.len(), 2);
    assert_eq!(settings.receiver.subaccount, [7; 32]);
    assert_eq!(settings.balance, [Amount::new(7), Amount::new(u128::MAX)]);
    assert_eq!(settings.challenge.secs(), 25);
    assert_eq!(settings.pay, Amount::new(3));
    let policy = Policy {
        per_payment: Some(Amount::new(50)),
        per_period: Some(PerPeriod {
            units: Amount::new(500),
            period_secs: 86_400,
        }),
        ask_above: Some(Amount::new(10)),
        max_deposit: Some(Amount::new(9)),
        receive_only: true,
    };
    assert_eq!(settings.policy, policy);
    assert!(settings.quick);
    let fixed = Address::Fixed {
        address: Ipv4Cidr::new([10, 0, 0, 2].into(), 24),
        gateway: Some([10, 0, 0, 1].into()),
    };
    assert_eq!(settings.address, fixed);
    assert_eq!(settings.listen, Some(1234));
    assert_eq!(settings.dialled().count(), 2);
}

#[test]
fn what_is_missing_is_named() {
    for key in ["peer", "node", "adjudicator", "asset", "receiver"] {
        let mut text = String::new();
        for line in shortest().lines() {
            if !line.trim().starts_with(key) {
                text.push_str(line);
                text.push('\n');
            }
        }
        let complaint = Settings::parse(&text).unwrap_err().to_string();
        assert_eq!(complaint, std::format!("settings: `{key}` is missing"));
    }
}

#[test]
fn lines_that_say_nothing_are_named() {
    assert_complains("listen 1234", "`listen 1234` is no `key = value`");
    assert_complains("lisen = 1234", "there is no key `lisen`");
    assert_complains("asset = 1d02", "`asset` can be given only once");
}

#[test]
fn values_that_make_no_sense_are_named() {
    let cases = [
        ("listen", "0", "a TCP port"),
        ("listen", "65536", "a TCP port"),
        ("pay", "0", "a number of units above 0"),
        ("pay", "+5", "a number of units above 0"),
        ("pay", "1e3", "a number of units above 0"),
        ("per-payment", "", "a number of units"),
        ("balance", "100", "ours/theirs, in units"),
        ("challenge-secs", "0", "1 to 31536000"),
        ("challenge-secs", "31536001", "1 to 31536000"),
        ("period-secs", "0", "1 to 4294967295"),
        ("receive-only", "true", "yes or no"),
    ];
    for (key, value, wanted) in cases {
        assert_complains(
            &std::format!("{key} = {value}"),
            &std::format!("`{key}` must be {wanted}, not `{value}`"),
        );
    }
    for address in [
        "10.0.0.2",
        "10.0.0.2/33",
        "10.0.0/24",
        "10.0.0.2/24 10.0.0.1 10.0.0.3",
    ] {
        let wanted = "dhcp, or like 10.0.0.2/24, perhaps a space and a gateway";
        assert_complains(
            &std::format!("address = {address}"),
            &std::format!("`address` must be {wanted}, not `{address}`"),
        );
    }
}

#[test]
fn keys_that_nobody_has_are_named() {
    let of_no_point = std::format!("02{}", "ff".repeat(32));
    let too_short = &PEER[..64];
    let no_prefix = std::format!("04{}", &PEER[2..]);
    let not_hex = PEER.replace('e', "g");
    let no_port = std::format!("{PEER}@10.0.0.1");
    for peer in [&of_no_point, too_short, &no_prefix, &not_hex, &no_port, ""] {
        let wanted = "66 hex digits of a public key, perhaps with @address:port";
        assert_complains(
            &std::format!("peer = {peer}"),
            &std::format!("`peer` must be {wanted}, not `{peer}`"),
        );
    }
}

#[test]
fn principals_have_1_to_29_bytes() {
    let text = |asset: &str| shortest().replace("80000000001000020101", asset);
    let longest = "1d".repeat(29);
    assert!(Settings::parse(&text(&longest)).is_ok());
    for asset in ["", "1", "1g", &"1d".repeat(30)] {
        let text = text(asset);
        let error = Settings::parse(&text).unwrap_err();
        assert_eq!(error.line, Some(4), "{asset:?}");
        assert!(matches!(error.fault, Fault::Value { key: "asset", .. }));
    }
}

#[test]
fn a_period_needs_its_units_and_units_their_period() {
    assert_eq!(
        complaint("per-period = 5"),
        "settings: `per-period` needs `period-secs`, too"
    );
    assert_eq!(
        complaint("period-secs = 5"),
        "settings: `period-secs` needs `per-period`, too"
    );
}

#[test]
fn a_peer_must_be_reachable_one_way_or_the_other() {
    let silent = shortest().replace("@10.0.0.1:1337", "");
    let error = Settings::parse(&silent).unwrap_err();
    assert_eq!(error.to_string(), "settings: `peer` needs `listen`, too");
    let text = std::format!("{silent}\nlisten = 1234");
    assert!(Settings::parse(&text).is_ok());
}

#[test]
fn nobody_is_named_in_vain() {
    let dialled = std::format!("node = {NODE}@10.0.0.1:1339\n").repeat(3);
    assert_eq!(
        complaint(&dialled),
        "settings, line 8: there can be at most 4 peers and nodes with an address"
    );
    let named = std::format!("peer = {PEER}\n").repeat(8);
    assert_eq!(
        complaint(&named),
        "settings, line 13: there can be at most 8 peers"
    );
}
