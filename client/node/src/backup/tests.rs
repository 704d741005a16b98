use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use perun_client::store::{FileStore, Store as _, Write as StoreWrite};
use perun_protocol::{ChannelId, SecretKey, Signer as _, Version};

use super::manifest::NAME;
use super::*;
use crate::history::{self, History};
use crate::idempotency::{Begin, Calls};
use crate::scratch::Scratch;
use crate::tokens::Tokens;

/// A data folder with one session, and what in it is in use.
struct World {
    scratch: Scratch,
    data: PathBuf,
    store: Arc<FileStore>,
    history: Arc<History>,
    calls: Arc<Calls>,
}

fn identity() -> perun_protocol::PublicKey {
    SecretKey::from_bytes(&[1; 32]).unwrap().public_key()
}

fn session(data: &Path) -> PathBuf {
    data.join("sessions/alice")
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new();
        let data = scratch.path().join("data");
        let session = session(&data);
        fs::create_dir_all(session.join("keystore")).unwrap();
        fs::write(data.join("node.yaml"), "loglevel: debug\n").unwrap();
        fs::write(data.join("tls.key"), "secret").unwrap();
        fs::write(session.join("session.yaml"), "alias: alice\n").unwrap();
        fs::write(session.join("keystore/keys.json"), "{}").unwrap();
        fs::write(session.join("contacts.yaml.new-0123"), "half").unwrap();
        Self {
            store: Arc::new(FileStore::open(&session.join("database"), &identity()).unwrap()),
            history: Arc::new(History::open(&session).unwrap()),
            calls: Arc::new(Calls::open(&session.join("calls.redb")).unwrap()),
            scratch,
            data,
        }
    }

    fn live(&self) -> Vec<Live> {
        let session = session(&self.data);
        let store = Arc::clone(&self.store);
        let (history, calls) = (Arc::clone(&self.history), Arc::clone(&self.calls));
        vec![
            Live::new(session.join("database"), move |to| {
                store.copy_to(to).map_err(Error::internal)
            }),
            Live::new(session.join(history::FILE), move |to| history.copy_to(to)),
            Live::new(session.join("calls.redb"), move |to| calls.copy_to(to)),
        ]
    }

    fn backup(&self) -> PathBuf {
        let path = self.scratch.path().join("backup.tar");
        let file = fs::File::create(&path).unwrap();
        write::write(&self.data, &self.live(), file).unwrap();
        path
    }

    /// Stores a version with payments, durably.
    fn store_version(&self, version: u64) {
        let write = StoreWrite {
            opening: Some(vec![1]),
            snapshot: Some(version.to_be_bytes().to_vec()),
            payments: Some((Version::new(version), vec![version as u8])),
            ..StoreWrite::new(channel())
        };
        let ticket = self.store.write(write);
        while self.store.durable() < ticket {
            std::thread::yield_now();
        }
    }

    fn elsewhere(&self) -> PathBuf {
        self.scratch.path().join("elsewhere")
    }
}

fn channel() -> ChannelId {
    ChannelId::from_bytes([5; 32])
}

fn newest(store: &FileStore) -> u64 {
    let loaded = store.load().unwrap();
    let (_, stored) = loaded.channels.into_iter().next().unwrap();
    u64::from_be_bytes(stored.unwrap().snapshot.try_into().unwrap())
}

fn refusal(backup: &Path, data: &Path) -> String {
    match restore(backup, data) {
        Err(Error::InvalidConfig { name, reason, .. }) => {
            assert_eq!(name, "backup");
            reason
        }
        other => panic!("{other:?}"),
    }
}

/// The contents of a backup, in order.
fn unpack(backup: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(backup).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

/// Which files a backup has, where, and how long.
fn places(backup: &Path) -> Vec<(String, usize, usize)> {
    let mut archive = tar::Archive::new(fs::File::open(backup).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let place = usize::try_from(entry.raw_file_position()).unwrap();
        (name, place, usize::try_from(entry.size()).unwrap())
    });
    // The manifest is checked by what it says.
    entries
        .filter(|(name, _, length)| name != NAME && *length > 0)
        .collect()
}

fn pack(backup: &Path, files: &[(String, Vec<u8>)]) {
    let mut tar = tar::Builder::new(fs::File::create(backup).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        // The builder does not write such paths by itself.
        let name_field = &mut header.as_mut_bytes()[..100];
        name_field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, &bytes[..]).unwrap();
    }
    tar.finish().unwrap();
}

#[tokio::test]
async fn what_was_backed_up_is_restored_and_marked() {
    let world = World::new();
    world.store_version(1);
    world.history.note_memo([2; 32], "coffee");
    world.history.flush().await.unwrap();
    match world.calls.begin("key", [3; 32]).await.unwrap() {
        Begin::First(ticket) => ticket.done(b"answer").unwrap(),
        other => panic!("{other:?}"),
    }
    let Begin::First(_under_way) = world.calls.begin("other", [3; 32]).await.unwrap() else {
        panic!();
    };
    let backup = world.backup();
    // Nothing of it stays in the data folder.
    assert!(fs::read_dir(&world.data).unwrap().all(|entry| {
        !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".backup")
    }));
    let data = world.elsewhere();
    restore(&backup, &data).unwrap();
    let alice = session(&data);
    for name in [
        "node.yaml",
        "tls.key",
        "sessions/alice/session.yaml",
        "sessions/alice/keystore/keys.json",
    ] {
        assert_eq!(
            fs::read(data.join(name)).unwrap(),
            fs::read(world.data.join(name)).unwrap()
        );
    }
    assert!(!alice.join("contacts.yaml.new-0123").exists());
    assert!(!data.join(NAME).exists());
    assert!(
        fs::read_to_string(alice.join(RESTORED))
            .unwrap()
            .contains("backup")
    );
    let store = FileStore::open(&alice.join("database"), &identity()).unwrap();
    assert_eq!(newest(&store), 1);
    History::open(&alice).unwrap();
    let calls = Calls::open(&alice.join("calls.redb")).unwrap();
    assert!(matches!(
        calls.begin("key", [3; 32]).await,
        Ok(Begin::Done(_))
    ));
    assert!(matches!(
        calls.begin("other", [3; 32]).await,
        Ok(Begin::Interrupted(_))
    ));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data), mode(&alice)), (0o700, 0o700));
        assert_eq!(mode(&data.join("tls.key")), 0o600);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_payments_run_is_of_one_moment() {
    let world = Arc::new(World::new());
    world.store_version(1);
    let is_over = Arc::new(AtomicBool::new(false));
    let paying = {
        let (world, is_over) = (Arc::clone(&world), Arc::clone(&is_over));
        std::thread::spawn(move || {
            let mut version = 1;
            while !is_over.load(Ordering::Relaxed) {
                version += 1;
                world.store_version(version);
                let memo = [version as u8; 32];
                world.history.note_memo(memo, "more");
            }
            version
        })
    };
    for _ in 0..5 {
        let before = newest(&world.store);
        let backup = world.backup();
        let after = newest(&world.store);
        let data = world.elsewhere();
        restore(&backup, &data).unwrap();
        {
            let database = session(&data).join("database");
            let store = FileStore::open(&database, &identity()).unwrap();
            let newest = newest(&store);
            assert!(
                (before..=after).contains(&newest),
                "{before} {newest} {after}"
            );
            let payments = store
                .payments(&channel(), Version::INITIAL, usize::MAX)
                .unwrap();
            let versions: Vec<_> = payments
                .iter()
                .map(|stored| stored.version.number())
                .collect();
            assert_eq!(versions, (1..=newest).collect::<Vec<_>>());
            History::open(&session(&data)).unwrap();
        }
        fs::remove_dir_all(&data).unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(paying.join().unwrap() > 1);
}

#[test]
fn a_session_that_is_not_open_is_copied_and_kept_closed_meanwhile() {
    let world = World::new();
    world.store_version(7);
    world.store.close().unwrap();
    let backup = world.scratch.path().join("backup.tar");
    let live = &world.live()[1..];
    write::write(&world.data, live, fs::File::create(&backup).unwrap()).unwrap();
    restore(&backup, &world.elsewhere()).unwrap();
    let database = session(&world.elsewhere()).join("database");
    assert_eq!(newest(&FileStore::open(&database, &identity()).unwrap()), 7);
    // If somebody opens it, the backup is refused.
    let database = session(&world.data).join("database");
    let _open = FileStore::open(&database, &identity()).unwrap();
    let refused = write::write(&world.data, live, Vec::new());
    assert!(
        matches!(refused, Err(Error::FailedPrecondition { .. })),
        "{refused:?}"
    );
}

#[test]
fn nothing_is_restored_over_what_is_there() {
    let world = World::new();
    let backup = world.backup();
    let before = fs::read_dir(world.scratch.path()).unwrap().count();
    let refused = restore(&backup, &world.data);
    assert!(
        matches!(refused, Err(Error::FailedPrecondition { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(world.scratch.path()).unwrap().count(), before);
    assert!(!session(&world.data).join(RESTORED).exists());
    fs::create_dir(world.elsewhere()).unwrap();
    restore(&backup, &world.elsewhere()).unwrap();
}

#[test]
fn a_damaged_backup_is_refused_by_the_name_of_the_file() {
    let world = World::new();
    world.store_version(1);
    let backup = world.backup();
    let files = unpack(&backup);
    let (manifest_name, _) = files.last().unwrap();
    assert_eq!(manifest_name, NAME);
    let bad = world.scratch.path().join("bad.tar");
    let data = world.elsewhere();
    for index in 0..files.len() - 1 {
        let name = &files[index].0;
        let mut changed = files.clone();
        match changed[index].1.last_mut() {
            Some(byte) => *byte ^= 1,
            None => changed[index].1.push(1),
        }
        pack(&bad, &changed);
        assert_eq!(
            refusal(&bad, &data),
            format!("{name} is damaged: it is not what was backed up")
        );
        let mut missing = files.clone();
        missing.remove(index);
        pack(&bad, &missing);
        assert_eq!(refusal(&bad, &data), format!("{name} is missing"));
    }
    let with = |index: usize, name: &str, bytes: &[u8]| {
        let mut changed = files.clone();
        changed.insert(index, (name.to_owned(), bytes.to_vec()));
        pack(&bad, &changed);
        refusal(&bad, &data)
    };
    assert_eq!(with(0, "more", b"1"), "more was not backed up");
    for name in ["../outside", "/outside", "a/../../outside"] {
        assert!(
            with(0, name, b"1").contains("no place in a data folder"),
            "{name}"
        );
    }
    assert_eq!(
        with(files.len(), "more", b"1"),
        "more is behind the manifest"
    );
    assert!(!world.scratch.path().join("outside").exists());
    pack(&bad, &files[..files.len() - 1]);
    assert!(refusal(&bad, &data).contains("not whole"));
    let mut changed = files.clone();
    changed.last_mut().unwrap().1[10] ^= 1;
    pack(&bad, &changed);
    assert!(refusal(&bad, &data).contains(NAME) || refusal(&bad, &data).contains("format"));
    // Nothing is left of any of it.
    assert!(!data.exists());
    let names: Vec<_> = fs::read_dir(world.scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("restoring"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
    // It was all right before.
    pack(&bad, &files);
    restore(&bad, &data).unwrap();
}

#[test]
fn a_backup_that_was_cut_or_flipped_anywhere_is_refused() {
    let world = World::new();
    let backup = world.backup();
    let whole = fs::read(&backup).unwrap();
    let data = world.elsewhere();
    let bad = world.scratch.path().join("bad.tar");
    // Two empty blocks at the end say only that there is no more.
    let end = whole.len() - 1024;
    for part in 0..40 {
        let length = end * part / 40;
        fs::write(&bad, &whole[..length]).unwrap();
        refusal(&bad, &data);
    }
    for (name, place, length) in places(&backup) {
        let mut flipped = whole.clone();
        flipped[place + length / 2] ^= 0x40;
        fs::write(&bad, &flipped).unwrap();
        let refusal = refusal(&bad, &data);
        assert!(refusal.contains(&name), "{name}: {refusal}");
    }
    let nothing = world.scratch.path().join("nothing.tar");
    refusal(&nothing, &data);
    let mut file = fs::File::create(&bad).unwrap();
    file.write_all(b"no tar at all").unwrap();
    refusal(&bad, &data);
    assert!(!data.exists());
}

#[test]
fn tokens_are_copied_while_they_are_used() {
    let scratch = Scratch::new();
    let tokens = Tokens::open(&scratch.path().join("tokens.redb")).unwrap();
    tokens
        .create_first(&scratch.path().join("admin.token"))
        .unwrap();
    let copy = scratch.path().join("copy.redb");
    tokens.copy_to(&copy).unwrap();
    let names = |tokens: &Tokens| -> Vec<String> {
        tokens.list().into_iter().map(|token| token.id).collect()
    };
    assert_eq!(names(&Tokens::open(&copy).unwrap()), names(&tokens));
    assert_eq!(names(&tokens).len(), 1);
}
