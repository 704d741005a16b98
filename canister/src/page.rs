//! A page for people who wonder what this canister is. It says what the set-up says and nothing that
//! changes, so that its hash changes with an upgrade only; and it runs nothing.

use std::fmt::Write as _;

use candid::Principal;
use ic_certification::{HashTree, hash_tree};
use perun_canister_api::INTERFACE;
use perun_protocol::{MAX_ASSETS, MAX_PARTICIPANTS};
use sha2::{Digest as _, Sha256};

use crate::answers::{GOVERNANCE, MAX_EVENTS, MAX_REQUEST_BYTES};
use crate::batch::MAX_DISPUTES;
use crate::config::Config;
use crate::text::PrincipalText;

/// Where gateways look for the hashes of what they show.
pub(crate) const HTTP_ASSETS: &str = "http_assets";

/// What there is to call, and what for.
const METHODS: &[(&str, &str)] = &[
    ("deposit", "takes a deposit for a participant"),
    (
        "deposit_account",
        "tells where any wallet can pay a deposit to",
    ),
    (
        "dispute",
        "registers a signed state, or refutes what is registered",
    ),
    ("dispute_many", "does so for many channels"),
    ("conclude", "ends a channel"),
    ("withdraw", "pays what a participant has left"),
    ("query_holdings", "tells what is held for a channel"),
    ("query_state", "tells what is registered, with proof"),
    ("query_events", "gives pages of the event log, with proof"),
    ("info", "tells set-up, limits and policy"),
    (
        "cycles_runway",
        "tells controllers how long the cycles last",
    ),
    ("icrc3_get_blocks", "gives the event log as ICRC-3 blocks"),
    ("icrc3_get_archives", "tells where older blocks are"),
    (
        "icrc3_get_tip_certificate",
        "proves which block is the last",
    ),
    ("icrc3_supported_block_types", "tells the types of blocks"),
    ("icrc10_supported_standards", "tells the standards kept"),
    (
        "icrc21_canister_call_consent_message",
        "says in words what a call would do",
    ),
];

/// The page, and its part of the certified tree: hashed once, not with every message.
pub(crate) struct Page {
    body: String,
    tree: HashTree,
    digest: [u8; 32],
}

impl Page {
    /// The page of the canister `me`.
    pub(crate) fn new(me: Principal, config: &Config) -> Self {
        let body = body(me, config).expect("a string takes every text");
        let hash = hash_tree::leaf(Sha256::digest(&body).to_vec());
        let tree = hash_tree::label(HTTP_ASSETS, hash_tree::label("/", hash));
        let digest = tree.digest();
        Self { body, tree, digest }
    }

    pub(crate) fn body(&self) -> &str {
        &self.body
    }

    /// The page's hash under its path, under [`HTTP_ASSETS`].
    pub(crate) fn tree(&self) -> HashTree {
        self.tree.clone()
    }

    /// That as a digest.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

fn body(me: Principal, config: &Config) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let me = PrincipalText(&me);
    let version = env!("CARGO_PKG_VERSION");
    let min_s = config.min_challenge_duration.secs();
    let max_s = config.max_challenge_duration.secs();
    let exit_days = config.exit_window_s().div_ceil(86_400);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Perun adjudicator</title>\n\
         <style>body{{font:1rem/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}}\
         code{{overflow-wrap:anywhere}}td{{padding-right:1rem;vertical-align:top}}</style>\n\
         </head>\n<body>\n<h1>Perun adjudicator</h1>\n\
         <p>The canister <code>{me}</code> holds the funds of payment channels, and pays out what the \
         newest state signed by all participants says. Nobody needs it for a payment: only to open a \
         channel, to close it, and to settle a dispute.</p>\n\
         <h2>Set-up</h2>\n<table>\n\
         <tr><td>Version</td><td>{version}, interface {INTERFACE}</td></tr>\n\
         <tr><td>Challenge duration</td><td>{min_s} s to {max_s} s</td></tr>\n\
         <tr><td>A channel</td><td>2 to {MAX_PARTICIPANTS} participants, at most {MAX_ASSETS} \
         assets</td></tr>\n\
         <tr><td>A request</td><td>at most {MAX_REQUEST_BYTES} bytes; {MAX_DISPUTES} claims at once; \
         {MAX_EVENTS} events a page</td></tr>\n\
         <tr><td>An upgrade</td><td>is to be announced {exit_days} days before; see {GOVERNANCE}</td>\
         </tr>\n</table>\n<h2>Ledgers</h2>\n<ul>\n"
    )?;
    for ledger in config.ledgers().iter().map(PrincipalText) {
        writeln!(out, "<li><code>{ledger}</code></li>")?;
    }
    writeln!(out, "</ul>\n<h2>Methods</h2>\n<table>")?;
    for (name, what) in METHODS {
        writeln!(out, "<tr><td><code>{name}</code></td><td>{what}</td></tr>")?;
    }
    write!(
        out,
        "</table>\n<p>Its code, controllers and methods on \
         <a href=\"https://dashboard.internetcomputer.org/canister/{me}\">the dashboard</a>; figures \
         at <a href=\"https://{me}.raw.icp0.io/metrics\">/metrics</a>, which nobody certifies.</p>\n\
         </body>\n</html>\n"
    )?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use perun_canister_api::InitArgs;

    /// A page that forgets a method would mislead.
    #[test]
    fn the_page_names_every_method_of_the_interface() {
        let promised = include_str!("../../candid/adjudicator.did");
        let (_, service) = promised.split_once("\nservice :").unwrap();
        let lines = service.lines().map(str::trim);
        let methods: Vec<_> = lines
            .filter(|line| !line.starts_with("//"))
            .filter_map(|line| Some(line.split_once(" : (")?.0))
            .collect();
        assert!(methods.contains(&"withdraw"), "{methods:?}");
        for method in methods {
            // That is what the page came by.
            let is_named = METHODS.iter().any(|(name, _)| *name == method);
            assert_eq!(is_named, method != "http_request", "{method}");
        }
    }

    #[test]
    fn the_page_changes_with_the_set_up_only() {
        let page = |max_challenge_duration_s| {
            let args = InitArgs {
                ledgers: vec![Principal::from_slice(&[1])],
                min_challenge_duration_s: 60,
                max_challenge_duration_s,
            };
            let me = Principal::from_slice(&[2]);
            Page::new(me, &Config::new(args, me).unwrap())
        };
        let digest = page(600).digest();
        assert_eq!(page(600).digest(), digest);
        assert_ne!(page(601).digest(), digest);
        assert!(!page(600).body().contains("<script"));
    }
}
