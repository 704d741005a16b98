//! What the program prints, compared with files.
//!
//! A file has command lines (`$ perun …`), and below each what it prints: errors begin with `! `, and
//! the exit code is told if it is not 0. `PERUN_UPDATE_SNAPSHOTS=1` writes the files anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::program::Home;

#[test]
fn the_help_of_all_commands() {
    compare("help.txt");
}

#[test]
fn answers_for_people_and_programs() {
    compare("answers.txt");
}

#[test]
fn mistakes_and_exit_codes() {
    compare("mistakes.txt");
}

#[test]
fn scripts() {
    compare("scripts.txt");
}

#[test]
fn perun_nodes_own_calls_in_plaintext() {
    compare("plaintext.txt");
}

fn compare(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli")
        .join(name);
    let expected = fs::read_to_string(&file).unwrap();
    let home = Home::new();
    let mut found = String::new();
    for line in expected.lines() {
        if line.starts_with("# ") {
            writeln!(found, "{line}").unwrap();
        }
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        let meant = command.replace("COMPAT", &home.node.compat.to_string());
        let ended = home.shell(&meant);
        writeln!(found, "$ {command}").unwrap();
        found.push_str(&ended.out);
        for line in ended.err.lines() {
            writeln!(found, "! {line}").unwrap();
        }
        if ended.code != 0 {
            writeln!(found, "[exit {}]", ended.code).unwrap();
        }
        found.push('\n');
    }
    let found = steady(&found, &home);
    if std::env::var_os("PERUN_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, &found).unwrap();
        return;
    }
    for (number, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(found, expected, "line {} of {name}", number + 1);
    }
    assert_eq!(
        found.lines().count(),
        expected.lines().count(),
        "{name} has other lines"
    );
}

/// Without what is different each time.
fn steady(text: &str, home: &Home) -> String {
    let text = text.replace(&home.node.address.to_string(), "NODE");
    let text = text.replace(&home.node.compat.to_string(), "COMPAT");
    let text = text.replace(&home.folder.display().to_string(), "HOME");
    let text = after(&text, "expires in ", "N", |c| c.is_ascii_digit());
    let text = after(&text, "\"idempotencyKey\":\"", "KEY", |c| {
        c.is_ascii_hexdigit()
    });
    let mut text = after(&text, "--idempotency-key ", "KEY", |c| {
        c.is_ascii_hexdigit()
    });
    for spaces in [" \n", "\t\n"] {
        while text.contains(spaces) {
            text = text.replace(spaces, "\n");
        }
    }
    text
}

/// What follows a mark, replaced.
fn after(text: &str, mark: &str, with: &str, is_part: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(mark);
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(&is_part);
        let replaced = if rest.len() == part.len() { "" } else { with };
        write!(made, "{mark}{replaced}{rest}").unwrap();
    }
    made
}
