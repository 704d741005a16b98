//! The page, the figures, the consent messages and the numbers of `info`, as they are: so that a
//! change of any of them is seen by whoever makes it. By the rules alone; `tests/consent.rs` and
//! `tests/http.rs` ask the wasm.
//!
//! `UPDATE_WORDS=1 cargo test -p perun-canister --test words` writes the files beside this one anew, and always
//! fails, so that no build passes by it.

mod consent;
#[path = "../rules/mod.rs"]
mod rules;

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use perun_canister::http::{HttpRequest, HttpResponse, Surroundings};
use perun_canister_api::{DepositError, INTERFACE, Info, LedgerInfo, Policy, WithdrawError};
use rules::{ALICE, BOB, FEE, Strike, TestChannel, World, user};
use serde_bytes::ByteBuf;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Compares with what a file says; the code's version may be any.
#[track_caller]
fn assert_said(file: &str, words: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/words")
        .join(file);
    let words = words.replace(VERSION, "VERSION");
    if env::var_os("UPDATE_WORDS").is_some() {
        assert!(env::var_os("CI").is_none(), "words are not written in CI");
        fs::write(path, words).unwrap();
        panic!("{file} was written anew: read the difference, then run without updating");
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let pairs = words.lines().zip(expected.lines());
    for (number, (said, expected)) in pairs.enumerate() {
        assert_eq!(said, expected, "line {} of {file}", number + 1);
    }
    assert_eq!(words.len(), expected.len(), "the length of {file}");
}

fn ask(world: &World, method: &str, url: &str) -> HttpResponse {
    ask_with(Some(vec![1, 2, 3]), world, method, url)
}

fn ask_with(certificate: Option<Vec<u8>>, world: &World, method: &str, url: &str) -> HttpResponse {
    let request = HttpRequest {
        method: method.into(),
        url: url.into(),
        headers: vec![],
        body: ByteBuf::new(),
        certificate_version: None,
    };
    world.read(|adjudicator, now| {
        let around = Surroundings {
            now,
            certificate,
            stable_bytes: 3_000_000,
            heap_bytes: 2_000_000,
        };
        adjudicator.answer_http(&request, &around)
    })
}

fn body(answer: &HttpResponse) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn header<'a>(answer: &'a HttpResponse, name: &str) -> Option<&'a str> {
    let found = answer.headers.iter().find(|(given, _)| given == name);
    found.map(|(_, value)| value.as_str())
}

#[test]
fn the_page_is_as_it_is_written_here() {
    let world = World::with_ledgers(2);
    let answer = ask(&world, "GET", "/?canisterId=x");
    assert_eq!(answer.status_code, 200);
    assert_said("page.html", &body(&answer));
    assert_eq!(
        header(&answer, "content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = header(&answer, "content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
    let proof = header(&answer, "ic-certificate").unwrap();
    let tree = proof.strip_prefix("certificate=:AQID:, tree=:").unwrap();
    assert!(tree.len() > 100 && tree.ends_with("=:"), "{proof}");
}

#[test]
fn without_a_certificate_the_page_claims_no_proof() {
    let answer = ask_with(None, &World::new(), "GET", "/");
    assert_eq!(answer.status_code, 200);
    assert_eq!(header(&answer, "ic-certificate"), None);
}

#[test]
fn the_figures_are_as_they_are_written_here() {
    // Every count is another one, so that none can stand for another.
    let mut world = World::with_ledgers(6);
    let [elapsed, late, first, second] = [1, 2, 3, 4].map(|nonce| world.funded(nonce, [100, 100]));
    let claim = |channel: &TestChannel| channel.disputing(1, &[50, 150], &[100, 100]);
    world.dispute(claim(&elapsed)).unwrap();
    world.advance(Duration::from_secs(700));
    for nonce in [5, 6, 7] {
        let disputed = world.funded(nonce, [100, 100]);
        world.dispute(claim(&disputed)).unwrap();
    }
    // Nothing ran for a while, and the windows go on.
    world.stall(Duration::from_secs(1_000));
    for channel in [&late, &first, &second] {
        let last = channel.concluding(2, &[0, 200], &[100, 100]);
        world.conclude(last).unwrap();
    }
    // Of two payouts and three deposits nobody knows what became; the first is asked for once more.
    let lost = |world: &mut World, channel: &TestChannel| {
        world.strike(Strike::LoseReply);
        let payout = world.withdraw(channel.withdrawing(0, BOB, user(10)));
        assert!(
            matches!(payout, Err(WithdrawError::Pending { .. })),
            "{payout:?}"
        );
    };
    lost(&mut world, &first);
    world.advance(Duration::from_secs(20));
    lost(&mut world, &second);
    world.approve(0, user(0), 1_000);
    for nonce in [8, 9, 10] {
        world.strike(Strike::LoseReply);
        let deposit = world.deposit(world.channel(nonce).by_approval(0, ALICE, 100));
        assert!(
            matches!(deposit, Err(DepositError::Pending { .. })),
            "{deposit:?}"
        );
    }
    world.strike(Strike::LoseReply);
    world.advance(Duration::from_secs(25));
    let answer = ask(&world, "GET", "/metrics#x");
    assert_eq!(answer.status_code, 200);
    assert_eq!(
        header(&answer, "content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(header(&answer, "cache-control"), Some("no-store"));
    assert_said("metrics.txt", &body(&answer));
}

#[test]
fn other_requests_are_refused() {
    let world = World::new();
    let said = |method: &str, url: &str| {
        let answer = ask(&world, method, url);
        let allowed = header(&answer, "allow").map(str::to_owned);
        (answer.status_code, body(&answer), allowed)
    };
    let none = "there are / and /metrics".to_owned();
    assert_eq!(said("GET", "/other"), (404, none.clone(), None));
    assert_eq!(said("GET", ""), (404, none, None));
    let allowed = Some("GET, HEAD".to_owned());
    assert_eq!(
        said("POST", "/"),
        (405, "only GET and HEAD".into(), allowed)
    );
    let long = |length: usize| format!("/{}", "x".repeat(length - 1));
    assert_eq!(said("GET", &long(512)).0, 404);
    let too_long = (414, "the address is too long".into(), None);
    assert_eq!(said("GET", &long(513)), too_long);
    for url in ["/", "/metrics"] {
        let (shown, hidden) = (ask(&world, "GET", url), ask(&world, "HEAD", url));
        assert_eq!((hidden.status_code, &hidden.headers), (200, &shown.headers));
        assert_eq!(hidden.body, shown.body, "the gateway leaves the body out");
    }
}

#[test]
fn the_numbers_are_those_of_the_interface() {
    let mut world = World::new();
    let ledger = world.ledgers[0];
    let now_ns = world.now_ns();
    let expected = Info {
        version: VERSION.into(),
        interface: INTERFACE,
        ledgers: vec![LedgerInfo {
            ledger,
            fee: Some(FEE),
        }],
        min_challenge_duration_s: 60,
        max_challenge_duration_s: 86_400,
        // 60 s / 32, rounded down.
        tick_interval_s: 1,
        max_participants: 16,
        max_assets: 8,
        max_request_bytes: 16_384,
        max_events: 100,
        channels: 0,
        events: 0,
        journal: 0,
        now_ns,
        policy: Policy {
            max_disputes: 100,
            max_batch_bytes: 40_960,
            max_ledgers: 64,
            max_unknown_outcomes: 10_000,
            event_retention_s: None,
            // The longest challenge, and a week.
            exit_window_s: 86_400 + 604_800,
            governance: "docs/governance.md in the sources".into(),
        },
    };
    assert_eq!(world.info(), expected);
    world.funded(1, [100, 100]);
    let counted = world.info();
    assert_eq!(
        (counted.channels, counted.events, counted.journal),
        (1, 2, 0)
    );
    assert_eq!(perun_canister::runway::READING_INTERVAL_S, 21_600);
    assert_eq!(perun_canister::consent::MAX_CONSENT_BYTES, 40_960 + 1_024);
    assert_eq!(
        perun_canister::finished::RETENTION_NS,
        2_592_000_000_000_000
    );
    assert_eq!(world.read(|adjudicator, _| adjudicator.gaps_ns()), 0);
}
