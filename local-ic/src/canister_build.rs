//! The workspace's canisters as wasm, built when they are asked for.
//!
//! Tests, examples and benches call [`canister_wasm`], so nobody has to build anything first and
//! nobody tests yesterday's module. It runs the workspace's `build.sh`, never from a `build.rs`:
//! there the outer cargo would hold the lock that the inner one waits for.
//!
//! Many test binaries do this at the same time. A file lock in the target folder puts them in a
//! row, the first one builds, and for the others cargo finds nothing to do.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// How many of the last lines of `build.sh` an error shows.
const SHOWN_LINES: usize = 30;

/// The wasm module of the workspace's canister `name` (`adjudicator` or `ledger`), up to date with
/// its sources.
///
/// The first call of a process runs `build.sh NAME`, which takes minutes on a fresh machine and
/// half a second when nothing has changed; later calls return the same bytes. Blocks meanwhile:
/// call it before an async runtime starts, or from a blocking thread.
///
/// # Errors
/// If `build.sh` cannot be run or fails; the error ends with its last lines.
pub fn canister_wasm(name: &str) -> Result<Vec<u8>, BuildError> {
    static BUILT: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

    // Held while building: a second thread that wants the same module waits for it. A panic
    // can't leave the map half-changed, so poison means nothing here.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(wasm) = built.get(name) {
        return Ok(wasm.clone());
    }
    let workspace = workspace();
    let target = target_folder(&workspace, std::env::current_exe().ok().as_deref());
    let wasm = build(&workspace, &target, name)?;
    built.insert(name.to_owned(), wasm.clone());
    Ok(wasm)
}

/// Why there is no module.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A file or folder could not be used.
    Io {
        /// What was tried, with the path.
        attempt: String,
        /// What the system said.
        error: io::Error,
    },
    /// `build.sh` ended with an error.
    Failed {
        /// The canister that was asked for.
        name: String,
        /// The exit code, if the script was not killed.
        code: Option<i32>,
        /// The last lines it printed.
        output: String,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { attempt, error } => write!(f, "could not {attempt}: {error}"),
            Self::Failed { name, code, output } => {
                write!(f, "`build.sh {name}` ")?;
                match code {
                    Some(code) => write!(f, "ended with exit code {code}")?,
                    None => f.write_str("was killed")?,
                }
                write!(f, "; its last lines:\n{output}")
            }
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Failed { .. } => None,
        }
    }
}

/// Where this crate stood when it was compiled: its parent is the workspace.
fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// The target folder of the cargo that built this program, so that both share what is compiled.
///
/// The program itself lies in it, which is a better witness than `CARGO_TARGET_DIR`: that may be
/// relative to a folder we don't know, or be set in a config file that we don't read.
fn target_folder(workspace: &Path, program: Option<&Path>) -> PathBuf {
    let marked = program.and_then(|program| {
        program
            .ancestors()
            // Cargo marks the folder's root so that backups skip it.
            .find(|folder| folder.join("CACHEDIR.TAG").is_file())
    });
    if let Some(folder) = marked {
        return folder.to_owned();
    }
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) if Path::new(&folder).is_absolute() => folder.into(),
        _ => workspace.join("target"),
    }
}

fn build(workspace: &Path, target: &Path, name: &str) -> Result<Vec<u8>, BuildError> {
    let canisters = target.join("canisters");
    let wasm = canisters.join(name).with_extension("wasm");
    let lock_path = canisters.join(".lock");
    let try_to = |attempt: &str, path: &Path| {
        let attempt = format!("{attempt} {}", path.display());
        move |error| BuildError::Io { attempt, error }
    };

    fs::create_dir_all(&canisters).map_err(try_to("create", &canisters))?;
    let lock = File::create(&lock_path).map_err(try_to("create", &lock_path))?;
    lock.lock().map_err(try_to("lock", &lock_path))?;

    tracing::info!(
        canister = name,
        "building with build.sh; the first time takes a while"
    );
    let script = workspace.join("build.sh");
    let output = Command::new("bash")
        .arg(&script)
        .arg(name)
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .map_err(try_to("run bash for", &script))?;
    if !output.status.success() {
        let printed = [output.stdout, output.stderr].concat();
        return Err(BuildError::Failed {
            name: name.to_owned(),
            code: output.status.code(),
            output: last_lines(&String::from_utf8_lossy(&printed), SHOWN_LINES),
        });
    }
    // Read before the lock is let go (when `lock` is dropped), so nobody replaces it meanwhile.
    fs::read(&wasm).map_err(try_to("read", &wasm))
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is gone after the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let unique = format!("local-ic-{name}-{}", std::process::id());
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

    /// A workspace whose `build.sh` does `commands`, and its target folder.
    fn workspace_with(name: &str, commands: &str) -> (Scratch, PathBuf) {
        let workspace = Scratch::new(name);
        fs::write(workspace.0.join("build.sh"), commands).unwrap();
        let target = workspace.0.join("out");
        (workspace, target)
    }

    #[test]
    fn the_module_is_what_the_script_wrote_to_the_target_folder() {
        let script = "printf 'module %s' \"$1\" > \"$CARGO_TARGET_DIR/canisters/$1.wasm\"";
        let (workspace, target) = workspace_with("writes", script);
        assert_eq!(
            build(&workspace.0, &target, "ledger").unwrap(),
            b"module ledger"
        );
    }

    #[test]
    fn a_failing_script_is_quoted() {
        let script = "for i in $(seq 40); do echo line $i; done; echo no rustup >&2; exit 3";
        let (workspace, target) = workspace_with("fails", script);
        let error = build(&workspace.0, &target, "ledger").unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("`build.sh ledger` ended with exit code 3"),
            "{text}"
        );
        assert!(text.ends_with("line 40\nno rustup"), "{text}");
        assert!(!text.contains("line 11\n"), "{text}");
    }

    #[test]
    fn a_script_that_writes_nothing_is_an_error_with_the_path() {
        let (workspace, target) = workspace_with("lazy", "true");
        let text = build(&workspace.0, &target, "ledger")
            .unwrap_err()
            .to_string();
        assert!(text.contains("ledger.wasm"), "{text}");
    }

    #[test]
    fn builds_of_several_processes_stand_in_a_row() {
        // Each run counts itself in and out; the file ends with the most that were in at once.
        let script = "
            cd \"$CARGO_TARGET_DIR\"
            mkdir inside || { echo 'two builds at once'; exit 1; }
            sleep 0.05
            rmdir inside
            echo done > canisters/$1.wasm";
        let (workspace, target) = workspace_with("row", script);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| build(&workspace.0, &target, "ledger").unwrap());
            }
        });
    }

    #[test]
    fn the_target_folder_is_the_one_this_program_lies_in() {
        let program = std::env::current_exe().unwrap();
        let target = target_folder(Path::new("/nowhere"), Some(&program));
        assert!(program.starts_with(&target), "{}", target.display());
        assert!(target.join("CACHEDIR.TAG").exists());

        let elsewhere = target_folder(Path::new("/nowhere"), Some(Path::new("/no/such/program")));
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) if Path::new(&folder).is_absolute() => assert_eq!(elsewhere, folder),
            _ => assert_eq!(elsewhere, Path::new("/nowhere/target")),
        }
    }
}
