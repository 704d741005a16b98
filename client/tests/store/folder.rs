//! The store's folder on the real file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use perun_client::store::{FileStore, Store, StoreError};
use redb::{Database, TableDefinition};
use sha2::{Digest as _, Sha256};

use crate::world::{identity, opened, snapshots};

/// A folder that is removed with this value.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "store-test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        // Not the system's: that may be a disk in memory.
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_stored_is_there_after_a_restart() {
    let scratch = Scratch::new();
    let store = FileStore::open(&scratch.store(), &identity(1)).unwrap();
    store.write(opened(1));
    store.close().unwrap();
    let store = FileStore::open(&scratch.store(), &identity(1)).unwrap();
    assert_eq!(snapshots(&store), [(1, "first snapshot of 1".to_owned())]);
}

#[test]
fn another_identity_is_refused() {
    let scratch = Scratch::new();
    drop(FileStore::open(&scratch.store(), &identity(1)).unwrap());
    let refused = FileStore::open(&scratch.store(), &identity(2)).unwrap_err();
    let StoreError::WrongIdentity {
        owner,
        identity: wanted,
    } = refused
    else {
        panic!("{refused}");
    };
    assert_eq!((*owner, *wanted), (identity(1), identity(2)));
}

#[test]
fn a_store_is_open_once() {
    let scratch = Scratch::new();
    let store = FileStore::open(&scratch.store(), &identity(1)).unwrap();
    let refused = FileStore::open(&scratch.store(), &identity(1)).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { path } if path == scratch.store()));
    store.close().unwrap();
    drop(store);
    FileStore::open(&scratch.store(), &identity(1)).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let scratch = Scratch::new();
    drop(FileStore::open(&scratch.store(), &identity(1)).unwrap());

    // Written as the docs say records are.
    let mut contents = 2_u16.to_be_bytes().to_vec();
    contents.extend_from_slice(identity(1).as_bytes());
    let mut hash = Sha256::new();
    hash.update([5]);
    hash.update(b"store");
    hash.update([0, 0]);
    hash.update(&contents);
    let mut record = vec![1];
    record.extend_from_slice(&hash.finalize()[..8]);
    record.extend_from_slice(&contents);
    let index = Database::open(scratch.store().join("index.redb")).unwrap();
    let write = index.begin_write().unwrap();
    {
        let meta: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
        let mut meta = write.open_table(meta).unwrap();
        meta.insert("store", &record[..]).unwrap();
    }
    write.commit().unwrap();
    drop(index);

    let refused = FileStore::open(&scratch.store(), &identity(1)).unwrap_err();
    let expected = matches!(refused, StoreError::NewerFormat { found: 2, known: 1 });
    assert!(expected, "{refused}");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.store()).unwrap();
    let index = scratch.store().join("index.redb");
    fs::write(&index, b"something else").unwrap();
    fs::write(scratch.store().join("other"), b"file").unwrap();
    let refused = FileStore::open(&scratch.store(), &identity(1)).unwrap_err();
    assert!(matches!(refused, StoreError::NotAStore { .. }), "{refused}");
    assert_eq!(fs::read(&index).unwrap(), b"something else");

    let file = scratch.0.join("file");
    fs::write(&file, b"no folder").unwrap();
    let refused = FileStore::open(&file, &identity(1)).unwrap_err();
    assert!(matches!(refused, StoreError::Io { .. }));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_look_inside() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    let store = FileStore::open(&scratch.store(), &identity(1)).unwrap();
    store.write(opened(1));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.store()), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(scratch.store()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
        files += 1;
    }
    assert_eq!(files, 3);
}
