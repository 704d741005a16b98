//! Manual pages and completions.

use std::fs;

use crate::program::Home;

#[test]
fn every_command_has_its_page() {
    let home = Home::new();
    let ended = home.perun(&["man", "pages"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let folder = home.folder.join("pages");
    for name in [
        "perun",
        "perun-channel",
        "perun-channel-open",
        "perun-pay",
        "perun-demo-run",
    ] {
        let page = fs::read_to_string(folder.join(format!("{name}.1"))).unwrap();
        assert!(
            page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"),
            "{name}: {page}"
        );
    }
    assert!(!folder.join("perun-perund.1").exists());
    let page = home.perun(&["man"]).out;
    assert!(
        page.contains(".TH PERUN") && page.contains("Exit codes"),
        "{page}"
    );
}

#[test]
fn shells_complete() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = home.perun(&["completions", shell]);
        assert_eq!(ended.code, 0);
        assert!(ended.out.contains("channel"), "{shell}");
    }
    assert_eq!(home.perun(&["completions", "cmd"]).code, 2);
}

#[test]
fn bash_takes_the_completions() {
    let home = Home::new();
    let ended = home.shell("perun completions bash > c && bash -n c");
    assert_eq!(ended.code, 0, "{ended:?}");
}
