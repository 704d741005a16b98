//! Modules come from a folder, or are built.

#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use candid::Principal;
use local_ic::canister_wasm;
use perun_local_network::{Endowment, LocalNetwork, Setup, StartError};

/// A folder that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let unique = format!("perun-local-network-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(unique);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn modules_in_a_folder_are_installed() {
    let folder = Scratch::new("folder");
    for name in ["adjudicator", "ledger"] {
        let wasm = tokio::task::spawn_blocking(move || canister_wasm(name)).await;
        let path = folder.0.join(name).with_extension("wasm");
        fs::write(path, wasm.unwrap().unwrap()).unwrap();
    }
    let owner = Principal::self_authenticating(b"somebody");
    let network = LocalNetwork::start(Setup {
        endowments: vec![Endowment { owner, tokens: 1 }],
        wasm_folder: Some(folder.0.clone()),
        ..Setup::default()
    });
    let network = network.await.unwrap();
    assert_ne!(network.ledger, network.adjudicator);
    network.server.stop().await;
}

#[tokio::test]
async fn a_module_that_is_missing_is_named() {
    let folder = Scratch::new("missing");
    let network = LocalNetwork::start(Setup {
        wasm_folder: Some(folder.0.clone()),
        ..Setup::default()
    });
    let error = network.await.err().unwrap();
    assert!(matches!(error, StartError::Module { .. }), "{error}");
    assert!(error.to_string().contains("ledger.wasm"), "{error}");
}

#[tokio::test]
async fn what_is_no_module_is_told() {
    let folder = Scratch::new("garbage");
    for name in ["adjudicator.wasm", "ledger.wasm"] {
        fs::write(folder.0.join(name), "no module").unwrap();
    }
    let network = LocalNetwork::start(Setup {
        wasm_folder: Some(folder.0.clone()),
        ..Setup::default()
    });
    let error = network.await.err().unwrap();
    assert!(
        matches!(error, StartError::Install { name: "ledger", .. }),
        "{error}"
    );
}

#[tokio::test]
async fn bounds_that_the_adjudicator_refuses_are_told() {
    let network = LocalNetwork::start(Setup {
        challenge_durations_s: (60, 30),
        ..Setup::default()
    });
    let error = network.await.err().unwrap();
    let name = "adjudicator";
    assert!(
        matches!(error, StartError::Install { name: refused, .. } if refused == name),
        "{error}"
    );
}
