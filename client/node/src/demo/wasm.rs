//! Where the canisters' modules are.

use std::path::{Path, PathBuf};

/// The folder that was named; or one near this program that has both modules; or none: then they are
/// built by build.sh.
pub fn folder(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named.to_owned());
    }
    let program = std::env::current_exe().ok()?;
    // cargo puts programs into target/release, and build.sh modules into target/canisters.
    program.ancestors().skip(1).take(3).find_map(|folder| {
        let folders = [folder.to_owned(), folder.join("canisters")];
        folders.into_iter().find(|folder| has_both(folder))
    })
}

fn has_both(folder: &Path) -> bool {
    ["adjudicator.wasm", "ledger.wasm"]
        .iter()
        .all(|name| folder.join(name).is_file())
}
