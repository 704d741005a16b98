//! The vectors: bytes, digests, ids and signatures as they are, once and for all.
//!
//! The files beside this one are read by the tests of every package that shares these bytes. Here
//! each case is checked from its JSON alone: values are built from their inputs and must encode to
//! the bytes, bytes must decode to the values, and bad ones must give the error they name.
//!
//! `cases` makes the files. They are written anew by
//! `UPDATE_VECTORS=1 cargo test -p perun-protocol --test vectors`, which keeps every case that is
//! already there as it is; see `README.md`. That run always fails, so that no build passes by it.

mod cases;
mod check;
mod form;
#[path = "../world/mod.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs};

use serde_json::Value;

use form::{list, text};

#[test]
fn accounts() {
    check::accounts(&read("accounts"));
}

#[test]
fn digests() {
    check::digests(&read("digests"));
}

#[test]
fn params() {
    check::params(&read("params"));
}

#[test]
fn refunds() {
    check::refunds(&read("refunds"));
}

#[test]
fn signatures() {
    check::signatures(&read("signatures"));
}

#[test]
fn signed_states() {
    check::signed_states(&read("signed_states"));
}

#[test]
fn states() {
    check::states(&read("states"));
}

#[test]
fn withdrawals() {
    check::withdrawals(&read("withdrawals"));
}

/// A new kind of error needs a case: this fails until it has one.
#[test]
fn every_error_that_bytes_can_cause_has_a_case() {
    let files = cases::files();
    let of_file = |file: &cases::File| list(&read(file.name), "bad").clone();
    let bad: Vec<Value> = files.iter().flat_map(of_file).collect();
    let found: BTreeSet<&str> = bad
        .iter()
        .map(|case| text(&case["error"], "name"))
        .collect();
    let expected = BTreeSet::from([
        "InvalidSecretKey",
        "InvalidSignByte",
        "NotSigned",
        "OutOfBounds",
        "Params.AssetCount",
        "Params.DuplicateAsset",
        "Params.DuplicateParticipant",
        "Params.InvalidKey",
        "Params.ParticipantCount",
        "SignedState.SignatureCount",
        "SignedState.WrongChannel",
        "SignedState.WrongShape",
        "SignedState.WrongSignature",
        "State.DuplicateLocked",
        "State.LockedShape",
        "State.NotConserved",
        "State.SumOverflow",
        "TrailingBytes",
        "UnexpectedEnd",
        "UnknownTag",
    ]);
    assert_eq!(found, expected);
}

#[test]
fn the_files_are_those_that_the_code_makes() {
    let files = cases::files();
    for file in &files {
        names_differ(file);
    }
    match env::var("UPDATE_VECTORS").as_deref() {
        Err(_) => files.iter().for_each(|file| {
            let found = read(file.name);
            assert!(
                found == file.to_json(),
                "{}.json holds other cases than the code makes: {:?} (README.md says what to do)",
                file.name,
                changed_cases(&found, &file.to_json()),
            );
        }),
        Ok(mode) => {
            update(&files, mode);
            panic!("the vectors were written anew: read the difference, then run without updating");
        }
    }
}

fn update(files: &[cases::File], mode: &str) {
    assert!(env::var_os("CI").is_none(), "vectors are not written in CI");
    assert!(
        matches!(mode, "1" | "changed-layout"),
        "UPDATE_VECTORS is 1 or changed-layout, not {mode}"
    );
    for file in files {
        let made = file.to_json();
        if let (Ok(old), "1") = (fs::read_to_string(path(file.name)), mode) {
            let old = serde_json::from_str(&old).expect("the old file is JSON");
            let changed = changed_cases(&old, &made);
            assert!(
                changed.is_empty(),
                "{}.json: {changed:?} would change. Bytes that somebody may have signed are not \
                 changed without a new domain tag; if that is what you do, README.md says how",
                file.name
            );
        }
        let written = serde_json::to_string_pretty(&made).expect("it is JSON") + "\n";
        fs::write(path(file.name), written).expect("the folder of the vectors can be written");
    }
}

/// The names of the cases of `old` that `new` lacks or has differently. The text of an error is no
/// promise and may change.
fn changed_cases(old: &Value, new: &Value) -> Vec<String> {
    let without_texts = |file: &Value, kind| {
        let mut cases = list(file, kind).clone();
        for case in &mut cases {
            if let Some(error) = case.get_mut("error").and_then(Value::as_object_mut) {
                error.remove("text");
            }
        }
        cases
    };
    let mut changed = Vec::new();
    for kind in ["good", "bad"] {
        let new = without_texts(new, kind);
        let old = without_texts(old, kind);
        let missing = old.iter().filter(|case| !new.contains(case));
        changed.extend(missing.map(|case| format!("{kind}: {}", text(case, "name"))));
    }
    changed
}

fn names_differ(file: &cases::File) {
    for cases in [&file.good, &file.bad] {
        let names: BTreeSet<_> = cases.iter().map(|case| text(case, "name")).collect();
        assert_eq!(
            names.len(),
            cases.len(),
            "{}.json: a name occurs twice",
            file.name
        );
    }
}

fn path(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    folder.join(name).with_extension("json")
}

fn read(name: &str) -> Value {
    let path = path(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}
