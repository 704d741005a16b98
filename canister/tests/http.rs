//! What browsers and monitors get, from the shipped wasm.

mod world;

use ic_certification::{HashTree, LookupResult};
use perun_canister::http::{HttpRequest, HttpResponse};
use perun_canister_api::{INTERFACE, UpgradeArgs};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};
use world::{World, user};

fn request(method: &str, url: &str) -> HttpRequest {
    HttpRequest {
        method: method.into(),
        url: url.into(),
        headers: vec![("host".into(), "x.icp0.io".into())],
        body: ByteBuf::new(),
        certificate_version: Some(2),
    }
}

fn get(world: &mut World, url: &str) -> HttpResponse {
    world.ask("http_request", request("GET", url))
}

fn body(answer: &HttpResponse) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn header<'a>(answer: &'a HttpResponse, name: &str) -> Option<&'a str> {
    let found = answer.headers.iter().find(|(given, _)| given == name);
    found.map(|(_, value)| value.as_str())
}

/// A figure of the metrics.
fn figure(metrics: &str, name: &str) -> u64 {
    let prefix = format!("perun_adjudicator_{name} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("no {name} in:\n{metrics}"))
        .parse()
        .unwrap()
}

#[test]
fn the_page_says_what_the_canister_is() {
    let mut world = World::new();
    let answer = get(&mut world, "/?canisterId=x");
    assert_eq!(answer.status_code, 200);
    assert_eq!(
        header(&answer, "content-type"),
        Some("text/html; charset=utf-8")
    );
    let page = body(&answer);
    let ledger = world.ledgers[0].to_text();
    let interface = format!("interface {INTERFACE}");
    for part in [&world.adjudicator.to_text(), &ledger, &interface] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
}

/// As a gateway does it: the tree has the certified root, and says the hash of the body.
#[test]
fn the_page_proves_itself() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let dispute = channel.disputing(1, &[50, 150], &[100, 100]);
    for disputed in [false, true] {
        if disputed {
            world.dispute(dispute.clone()).unwrap();
        }
        let answer = get(&mut world, "/");
        let proof = header(&answer, "ic-certificate").unwrap();
        let (certificate, tree) = proof
            .strip_prefix("certificate=:")
            .and_then(|rest| rest.strip_suffix(':'))
            .and_then(|rest| rest.split_once(":, tree=:"))
            .unwrap();
        assert!(!certificate.is_empty());
        let tree: HashTree = serde_cbor::from_slice(&from_base64(tree)).unwrap();
        let certified = world.ic.canister(world.adjudicator).unwrap().certified_data;
        assert_eq!(tree.digest().as_slice(), certified);
        let hash = Sha256::digest(&answer.body);
        let path = [b"http_assets".as_slice(), b"/"];
        assert_eq!(tree.lookup_path(path), LookupResult::Found(&hash));
    }
}

#[test]
fn the_page_changes_with_the_set_up_only() {
    let mut world = World::new();
    let before = body(&get(&mut world, "/"));
    world.funded(1, [100, 100]);
    assert_eq!(body(&get(&mut world, "/")), before);
    world.upgrade_adjudicator(None).unwrap();
    assert_eq!(body(&get(&mut world, "/")), before);
    let args = UpgradeArgs {
        add_ledgers: vec![user(50)],
        ..Default::default()
    };
    world.upgrade_adjudicator(Some(args)).unwrap();
    assert!(body(&get(&mut world, "/")).contains(&user(50).to_text()));
}

#[test]
fn metrics_count_what_is_there() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world.funded(2, [100, 100]);
    world
        .dispute(channel.disputing(1, &[50, 150], &[100, 100]))
        .unwrap();
    let answer = get(&mut world, "/metrics");
    assert_eq!(answer.status_code, 200);
    let metrics = body(&answer);
    println!("{metrics}");
    let expected = [
        ("channels", 2),
        ("open_disputes", 1),
        ("unfinished_registrations", 1),
        ("events", 5),
        ("ledger_calls", 0),
        ("payouts_pending", 0),
        ("ledgers", 1),
        ("gaps_seconds", 0),
    ];
    for (name, value) in expected {
        assert_eq!(figure(&metrics, name), value, "{name}");
    }
    for name in ["stable_memory_bytes", "heap_memory_bytes"] {
        assert!(figure(&metrics, name) >= 1 << 20, "{name}");
    }
    // Where events begin, events, and their links: a page of 64 KiB each.
    assert_eq!(figure(&metrics, "event_log_bytes"), 3 << 16);
    let now_s = world.ic.time_ns() / 1_000_000_000;
    assert!(figure(&metrics, "last_seen_timestamp_seconds") + 60 > now_s);
    // Every figure is explained, and none tells the cycles.
    let lines = metrics.lines();
    for line in lines.clone().filter(|line| !line.starts_with('#')) {
        let name = line.split([' ', '{']).next().unwrap();
        assert!(
            metrics.contains(&format!("# TYPE {name} gauge\n")),
            "{name}"
        );
        assert!(!name.contains("cycle"), "{name}");
    }
}

#[test]
fn what_is_not_there_is_said_so() {
    let mut world = World::new();
    for (method, url, status) in [
        ("GET", "/index.html", 404),
        ("GET", "", 404),
        ("GET", "//", 404),
        ("POST", "/", 405),
        ("DELETE", "/metrics", 405),
        ("HEAD", "/metrics", 200),
        ("GET", &format!("/{}", "x".repeat(512)), 414),
    ] {
        let answer: HttpResponse = world.ask("http_request", request(method, url));
        assert_eq!(answer.status_code, status, "{method} {url}");
        assert!(!answer.body.is_empty(), "{method} {url}");
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let value = DIGITS.iter().position(|one| *one == digit).unwrap();
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
