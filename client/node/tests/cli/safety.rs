//! What must not happen: money moved unasked or twice, secrets told, terminals steered.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::fake::SESSION;
use crate::program::Home;

#[test]
fn nothing_above_the_limit_is_moved_without_a_yes() {
    let home = Home::with_config("confirmAbove: { ICP: \"0.4\" }\n");
    for arguments in [
        &["payment", "send", "bob", "0.5"][..],
        &["pay", "bob", "0.5"],
        &["pay", "perunreq1tea"],
        &["channel", "open", "bob", "0.5", "1"],
        &["channel", "accept", "request_1_bob"],
        // The ledger's id is the same currency.
        &[
            "payment",
            "send",
            "bob",
            "0.5",
            "--currency",
            "ryjl3-tyaaa-aaaaa-aaaba-cai",
        ],
    ] {
        // The proposal gets its name first.
        home.perun(&["channel", "requests"]);
        let ended = home.perun(arguments);
        assert_eq!(ended.code, 5, "{arguments:?} {ended:?}");
        assert!(ended.err.contains("--yes"), "{ended:?}");
    }
    assert_eq!(home.fake.asked(), Vec::<String>::new());
    // What costs 0.3 is below.
    assert_eq!(home.perun(&["payment", "accept", "bob"]).code, 0);
    assert_eq!(
        home.perun(&["payment", "send", "bob", "0.5", "--yes"]).code,
        0
    );
    assert_eq!(home.perun(&["payment", "send", "bob", "0.4"]).code, 0);
    assert_eq!(home.fake.asked().len(), 3);
}

#[test]
fn without_names_of_currencies_every_amount_needs_a_yes() {
    // In plaintext the node tells the ledger, and not that it is ICP.
    let home = Home::with_config("confirmAbove: { ICP: \"5\" }\n");
    let compat = home.node.compat.to_string();
    let plaintext = ["--plaintext", "--node", &compat, "--session", SESSION];
    let open = [&plaintext[..], &["channel", "open", "bob", "0.1", "1"]].concat();
    assert_eq!(home.perun(&open).code, 5);
    assert_eq!(home.fake.asked(), Vec::<String>::new());
    assert_eq!(home.perun(&[&open[..], &["--yes"]].concat()).code, 0);
}

#[test]
fn a_configuration_that_everybody_can_change_is_not_used() {
    let home = Home::with_config("confirmAbove: { ICP: \"0.4\" }\n");
    let file = home.folder.join(".config/perun/perun.yaml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let ended = home.perun(&["payment", "send", "bob", "0.3"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("chmod o-w"), "{ended:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    assert_eq!(home.perun(&["payment", "send", "bob", "0.3"]).code, 0);
}

#[test]
fn one_key_is_not_for_several_commands() {
    let home = Home::new();
    let lines = home.folder.join("lines");
    fs::write(&lines, "payment send bob 1\npayment send bob 1\n").unwrap();
    for line in [
        "perun --idempotency-key mine < lines",
        "perun --idempotency-key mine script lines",
        "perun shell --idempotency-key mine < lines",
    ] {
        let ended = home.shell(line);
        assert_eq!(ended.code, 2, "{line} {ended:?}");
        assert!(ended.err.contains("one command's"), "{ended:?}");
    }
    assert_eq!(home.fake.asked(), Vec::<String>::new());
    fs::write(&lines, "payment send bob 1 --idempotency-key mine\n").unwrap();
    assert_eq!(home.shell("perun < lines").code, 0);
    assert!(home.fake.asked()[0].contains(" mine "));
}

#[test]
fn whatever_moves_money_has_a_key() {
    let home = Home::new();
    let lines = [
        "channel open bob 1 2",
        "channel accept bob",
        "channel close bob",
        "channel close bob --force",
        "payment send bob 1",
        "payment request bob 1",
        "payment accept bob",
        "pay bob 1",
        "pay perunreq1tea --yes",
    ];
    for line in lines {
        let arguments: Vec<&str> = line
            .split(' ')
            .chain(["--idempotency-key", "mine"])
            .collect();
        let ended = home.perun(&arguments);
        assert_eq!(ended.code, 0, "{line} {ended:?}");
    }
    let asked = home.fake.asked();
    assert_eq!(asked.len(), lines.len());
    for call in asked {
        assert_eq!(call.split(' ').nth(1), Some("mine"), "{call}");
    }
}

#[test]
fn a_cut_line_says_how_to_go_on() {
    let home = Home::new();
    let ended = home.perun(&["payment", "send", "bob", "666"]);
    assert_eq!(ended.code, 3);
    let key = home.fake.asked()[0].split(' ').nth(1).unwrap().to_owned();
    assert!(
        ended.err.contains(&format!("--idempotency-key {key}")),
        "{ended:?}"
    );
    assert_eq!(key.len(), 32);
}

#[test]
fn the_wrong_node_is_not_spoken_to() {
    let home = Home::new();
    let other = Home::new();
    fs::write(home.folder.join("tls.crt"), &other.node.certificate).unwrap();
    let ended = home.perun(&["node", "time"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("--tls-cert"), "{ended:?}");
}

#[test]
fn nobodys_text_steers_the_terminal() {
    let home = Home::new();
    let ended = home.perun(&["request", "read", "perunreq1tea"]);
    assert!(
        !ended.out.contains('\u{1b}') && ended.out.contains("tea"),
        "{ended:?}"
    );
}

#[test]
fn no_colours_in_a_pipe() {
    let home = Home::new();
    for arguments in [
        &["channel", "list"][..],
        &["nonsense"],
        &["contact", "get", "carol"],
    ] {
        let ended = home.perun(arguments);
        assert!(
            !format!("{}{}", ended.out, ended.err).contains('\u{1b}'),
            "{ended:?}"
        );
    }
}

#[test]
fn what_was_kept_is_private_and_lasts() {
    let home = Home::new();
    assert_eq!(home.perun(&["channel", "list"]).code, 0);
    let names = home.folder.join(".local/state/perun/names");
    let found: Vec<_> = fs::read_dir(&names)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(
        found
            .iter()
            .any(|file| file.extension().is_some_and(|kind| kind == "json")),
        "{found:?}"
    );
    let again = home.perun(&["--json", "channel", "list"]);
    assert!(again.out.contains("\"alias\":\"ch_1_bob\""), "{again:?}");
    // A home that can't be written to is no reason not to answer.
    fs::set_permissions(&names, fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(home.perun(&["channel", "list"]).code, 0);
    fs::set_permissions(&names, fs::Permissions::from_mode(0o700)).unwrap();
}
