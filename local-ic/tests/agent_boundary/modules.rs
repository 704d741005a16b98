//! The workspace's own canisters, built when a test asks for them.

use std::path::Path;

use local_ic::{BuildError, canister_wasm};

#[test]
fn a_module_is_built_and_tells_nothing_of_the_machine_that_built_it() {
    let wasm = canister_wasm("ledger").unwrap();
    assert!(wasm.starts_with(b"\0asm"));
    assert_eq!(canister_wasm("ledger").unwrap(), wasm);

    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME"));
    let secrets = [
        workspace.display().to_string(),
        home.expect("cargo lives somewhere"),
    ];
    for secret in secrets {
        // A workspace in "/" or the like is no secret, and too short to look for.
        if secret.len() >= 5 {
            let found = wasm
                .windows(secret.len())
                .any(|bytes| bytes == secret.as_bytes());
            assert!(!found, "the module contains the path {secret}");
        }
    }
}

#[test]
fn an_unknown_canister_is_named() {
    let error = canister_wasm("treasury").unwrap_err();
    assert!(
        matches!(error, BuildError::Failed { code: Some(1), .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("no canister is called 'treasury'"), "{text}");
}
