//! What `perund` does while no node runs.

use std::path::Path;
use std::process::{Command, Output};

use candid::Principal;
use perun_node::tokens::{NewToken, Scope, Tokens};
use perun_protocol::Amount;

use crate::scratch::Scratch;

fn perund(data: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perund"));
    let command = command.env_clear().args(arguments).arg("--data").arg(data);
    command.output().unwrap()
}

const LEDGER: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";

#[test]
fn who_has_no_token_any_more_makes_one_while_the_node_does_not_run() {
    let scratch = Scratch::new();
    let data = scratch.path();
    // Not in a folder where no node ever was.
    let refused = perund(data, &["create-token", "me", "--scope", "admin"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!data.join("tokens.redb").exists());
    let open = || Tokens::open(&data.join("tokens.redb")).unwrap();
    let tokens = open();
    // Nor while one runs.
    let refused = perund(data, &["create-token", "me", "--scope", "admin"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("perun token create"), "{said}");
    drop(tokens);

    let limit = format!("{LEDGER}=150000000");
    let spend = ["--scope", "spend", "--for", "alice", "--limit", &limit];
    let more = ["--valid", "7d"];
    let arguments = [&["create-token", "shop"], &spend[..], &more].concat();
    let made = perund(data, &arguments);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let said = String::from_utf8(made.stdout).unwrap();
    let [id, secret] = said.lines().collect::<Vec<_>>().try_into().unwrap();
    let tokens = open();
    tokens.authenticate(secret).unwrap();
    let [token] = tokens.list().try_into().unwrap();
    assert_eq!((&*token.id, &*token.label), (id, "shop"));
    assert_eq!(
        (token.scope, token.session.as_deref()),
        (Scope::Spend, Some("alice"))
    );
    let ledger = Principal::from_text(LEDGER).unwrap();
    assert_eq!(token.limits, [(ledger, Amount::new(150_000_000))]);
    assert!(token.expiry_s.is_some());
}

#[test]
fn what_makes_no_token_is_refused() {
    let scratch = Scratch::new();
    let tokens = Tokens::open(&scratch.path().join("tokens.redb")).unwrap();
    let new = NewToken {
        label: "first".into(),
        scope: Scope::Read,
        session: None,
        limits: Vec::new(),
        valid_s: None,
    };
    tokens.create(new).unwrap();
    drop(tokens);
    for (wrong, code) in [
        (&["--limit", "ICP=1.5"][..], 2),
        (&["--scope", "everything"], 2),
        (&["--valid", "soon"], 2),
        (&["--scope", "admin", "--for", "alice"], 1),
    ] {
        let ended = perund(scratch.path(), &[&["create-token", "x"], wrong].concat());
        assert_eq!(ended.status.code(), Some(code), "{wrong:?} {ended:?}");
    }
    let tokens = Tokens::open(&scratch.path().join("tokens.redb")).unwrap();
    assert_eq!(tokens.list().len(), 1);
}
